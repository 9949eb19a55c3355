"""Pairing files that are gone with files that are new and have the same bytes."""

from hypothesis import given
from hypothesis import strategies as st

from artifactstore.manifest.renames import moved_folder, pair_renames

names = st.lists(st.sampled_from(["a", "b", "c", "1", "2"]), min_size=1, max_size=3).map("/".join)
sides = st.dictionaries(names, st.integers(0, 3).map(lambda number: b"%d" % number), max_size=12)


def grouped(side: dict[str, bytes]) -> dict[bytes, list[str]]:
    found: dict[bytes, list[str]] = {}
    for path, digest in side.items():
        found.setdefault(digest, []).append(path)
    return found


def pairs_of(gone: dict[str, bytes], come: dict[str, bytes]) -> dict[str, str]:
    return pair_renames(grouped(gone), grouped(come))


@given(sides, sides, st.randoms(use_true_random=False))
def test_pairs_have_one_digest_and_are_the_same_from_both_sides(gone, come, random) -> None:
    """As many as there can be, none twice, whatever order they were found in."""
    come = {f"n/{path}": digest for path, digest in come.items()}
    pairs = pairs_of(gone, come)
    assert all(gone[old] == come[new] for old, new in pairs.items())
    assert len(set(pairs.values())) == len(pairs)
    counts = {
        digest: (len(paths), len(grouped(come).get(digest, []))) for digest, paths in grouped(gone).items()
    }
    assert len(pairs) == sum(min(each) for each in counts.values())
    shuffled = []
    for side in (gone, come):
        items = list(side.items())
        random.shuffle(items)
        shuffled.append(dict(items))
    assert pairs_of(*shuffled) == pairs
    assert {old: new for new, old in pairs_of(come, gone).items()} == pairs


def test_equal_files_follow_the_folder_that_was_renamed() -> None:
    """Empty labels of a thousand pictures go with their pictures."""
    gone = {f"old/{number}.jpg": b"%d" % number for number in range(5)}
    gone |= {f"old/{number}.txt": b"same" for number in range(5)} | {"other/1.txt": b"same"}
    come = {path.replace("old/", "new/"): digest for path, digest in gone.items() if path != "other/1.txt"}
    come["elsewhere/1.txt"] = b"same"
    pairs = pairs_of(gone, come)
    assert pairs == {
        **{path: path.replace("old/", "new/") for path in gone},
        "other/1.txt": "elsewhere/1.txt",
    }


def test_equal_files_keep_the_longest_end_of_their_paths() -> None:
    """Where no folder says anything, the name does, and the folders above it."""
    gone = dict.fromkeys(["a/x/__init__.py", "a/y/__init__.py", "a/z"], b"same")
    come = dict.fromkeys(["b/y/__init__.py", "b/c/x/__init__.py", "b/q"], b"same")
    assert pairs_of(gone, come) == {
        "a/x/__init__.py": "b/c/x/__init__.py",
        "a/y/__init__.py": "b/y/__init__.py",
        "a/z": "b/q",
    }


def test_a_copy_of_a_file_that_is_gone_is_no_rename() -> None:
    """One of two new ones is paired; the other one is just new."""
    assert pairs_of({"a/x": b"1"}, {"b/x": b"1", "b/y": b"1"}) == {"a/x": "b/x"}


def test_the_folder_that_moved_is_what_differs_in_front() -> None:
    """The equal end of two paths does not count."""
    assert moved_folder("a/x/f", "b/x/f") == ("a/", "b/")
    assert moved_folder("a/f", "a/b/f") == ("a/", "a/b/")
    assert moved_folder("f", "b/f") == ("", "b/")
    assert moved_folder("a/f", "b/g") is None
    assert moved_folder("x/a/f", "a/f") == ("x/", "")
