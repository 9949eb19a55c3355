"""What two versions don't have in common: the same as reading both says, while equal pages are not read."""

from collections.abc import Iterable
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.errors import Damaged, HostileManifest
from artifactstore.format.operations import Manifest
from artifactstore.format.pack import PackType
from artifactstore.format.page import path_order
from artifactstore.manifest import diff as diffing
from artifactstore.manifest.build import ManifestBuilder
from artifactstore.manifest.diff import Pair, differing, differing_from
from artifactstore.manifest.read import StoredEntry
from tests.manifest.pages import Shelf, file_content, file_identity, pages, rude_page

paths = st.one_of(
    st.integers(0, 3000).map(lambda number: f"d{number % 7}/f{number}"),
    st.text("ab/\U0010ffff", min_size=1, max_size=4).filter(
        lambda path: "//" not in path and not path.startswith("/") and not path.endswith("/")
    ),
)


class Counting(Shelf):
    """Remembers which pages were read, and how many times somebody waited for some."""

    def __init__(self) -> None:
        super().__init__()
        self.cids: list[bytes] = []
        self.round_trips = 0

    def read(self, kind: PackType, cid: bytes) -> bytes:
        self.cids.append(cid)
        return super().read(kind, cid)

    def read_many(self, kind: PackType, cids: Iterable[bytes]) -> list[bytes]:
        self.round_trips += 1
        return super().read_many(kind, cids)


def manifest_of(shelf: Shelf, tree: dict[str, bytes]) -> Manifest:
    """A version of files with these bytes."""
    builder = ManifestBuilder(shelf)
    for path, data in sorted(tree.items(), key=lambda item: path_order(item[0])):
        builder.add(file_identity(path, data), file_content(data))
    return builder.finish()


def told(pairs: Iterable[Pair]) -> list[tuple[str, bytes | None, bytes | None]]:
    """Each path with the digests on both sides."""
    return [
        (pair.path, pair.before and pair.before.digest, pair.after and pair.after.digest) for pair in pairs
    ]


def by_reading_everything(before: dict[str, bytes], after: dict[str, bytes]):
    found = []
    for path in sorted({**before, **after}, key=path_order):
        digests = [file_identity(path, tree[path])[3] if path in tree else None for tree in (before, after)]
        if digests[0] != digests[1]:
            found.append((path, *digests))
    return found


def without_clashes(tree: dict[str, bytes]) -> dict[str, bytes]:
    """No path is also a folder."""
    folders = {path[:at] for path in tree for at in range(len(path)) if path[at] == "/"}
    return {path: data for path, data in tree.items() if path not in folders}


class Trees(NamedTuple):
    """Two versions, too long to be printed."""

    before: dict[str, bytes]
    after: dict[str, bytes]

    def __repr__(self) -> str:
        return f"Trees of {len(self.before)} and {len(self.after)}: {by_reading_everything(*self)[:20]}"


@st.composite
def two_trees(draw) -> Trees:
    """A tree, large as a rule, and one that was made of it."""
    count = draw(st.sampled_from([0, 1, 40, 700, 700, 2500]))
    start = {f"d{number % 7}/f{number}": b"%d" % (number % 50) for number in range(count)}
    changes = draw(st.dictionaries(paths, st.one_of(st.none(), st.binary(max_size=2)), max_size=12))
    after = dict(start)
    for path, data in changes.items():
        if data is None:
            after.pop(path, None)
        else:
            after[path] = data
    gone = draw(st.sampled_from(["", "d3/", "d"]))
    if gone:
        after = {path: data for path, data in after.items() if not path.startswith(gone)}
    return Trees(without_clashes(start), without_clashes(after))


@given(two_trees())
def test_a_diff_is_what_reading_both_versions_says(trees: Trees) -> None:
    """Applied to the first it gives the second, and the other way round it is the same diff reversed."""
    before, after = trees
    shelf = Shelf()
    one, other = manifest_of(shelf, before), manifest_of(shelf, after)
    found = told(differing(shelf, one, other))
    assert found == by_reading_everything(before, after)
    assert [(path, new, old) for path, old, new in found] == told(differing(shelf, other, one))
    patched = {path: file_identity(path, data)[3] for path, data in before.items()}
    for path, _, digest in found:
        if digest is None:
            del patched[path]
        else:
            patched[path] = digest
    assert patched == {path: file_identity(path, data)[3] for path, data in after.items()}


def entries_of(tree: dict[str, bytes]) -> list[StoredEntry]:
    return [
        StoredEntry(file_identity(path, data), file_content(data))
        for path, data in sorted(tree.items(), key=lambda item: path_order(item[0]))
    ]


@given(two_trees())
def test_entries_from_elsewhere_are_held_against_a_version(trees: Trees) -> None:
    """With the same answer, and without reading the pages of entries that are equal."""
    shelf = Counting()
    one, other = manifest_of(shelf, trees.before), manifest_of(shelf, trees.after)
    found = told(differing_from(shelf, one, entries_of(trees.after)))
    assert found == by_reading_everything(*trees)
    after = {cid for cid, _ in pages(shelf, other)}
    assert sorted(shelf.cids) == sorted(
        cid for cid, page in pages(shelf, one) if page.level or cid not in after
    )


def test_a_folder_with_many_new_files_is_merged_as_it_comes() -> None:
    """Between two paths of a version there may be any number of others."""
    shelf = Counting()
    tree = {"a": b"1", "z": b"2"}
    more = {**tree, "z": b"3", **{f"m/{number:05}": b"x" for number in range(5000)}, "zz": b"4"}
    one = manifest_of(shelf, tree)
    assert told(differing_from(shelf, one, entries_of(more))) == by_reading_everything(tree, more)
    large = manifest_of(shelf, {f"{number:05}": b"x" for number in range(40_000)})
    shelf.round_trips = 0
    gone = told(differing_from(shelf, large, []))
    assert len(gone) == 40_000
    assert shelf.round_trips <= 5


@given(two_trees(), st.sampled_from([(1, 2), (3, 4), (128, 128)]))
def test_pages_that_both_versions_have_are_not_read_and_no_other_twice(
    trees: Trees, bounds: tuple[int, int]
) -> None:
    """However little is read ahead."""
    shelf = Counting()
    one, other = manifest_of(shelf, trees[0]), manifest_of(shelf, trees[1])
    before = {cid for cid, _ in pages(shelf, one)}
    after = {cid for cid, _ in pages(shelf, other)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(diffing, "_LEAVES_MAX", bounds[0])
        patch.setattr(diffing, "_ABOVE_MAX", bounds[1])
        found = told(differing(shelf, one, other))
    assert found == by_reading_everything(*trees)
    assert sorted(shelf.cids) == sorted(before ^ after)


@pytest.mark.parametrize("count", [10_000, 100_000, pytest.param(1_000_000, marks=pytest.mark.deep)])
def test_ten_changes_among_many_entries_read_few_pages(count: int) -> None:
    """At most a hundred pages of a million entries, and as many round trips as the trees are deep."""
    shelf = Counting()
    tree = {f"part-{number % 100:02}/{number:07}.bin": b"x" for number in range(count)}
    one = manifest_of(shelf, tree)
    for number in range(10):
        tree[f"part-{number * 7 % 100:02}/{number * 7 + number * (count // 1000) * 100:07}.bin"] = b"changed"
    other = manifest_of(shelf, tree)
    found = list(differing(shelf, one, other))
    assert len(found) == 10
    assert len(shelf.cids) <= 100
    assert shelf.round_trips == one.level + 1


def test_a_walk_reads_ahead_no_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    """Versions that have nothing in common are read page by page, some of them ahead."""
    held: list[int] = []
    real = diffing._Walk._read

    def watched(walk, nodes) -> None:
        real(walk, nodes)
        held.append(len(walk._ahead))

    monkeypatch.setattr(diffing._Walk, "_read", watched)
    shelf = Counting()
    one = manifest_of(shelf, {f"{number:06}": b"x" for number in range(60_000)})
    other = manifest_of(shelf, {f"{number:06}": b"y" for number in range(60_000)})
    assert sum(1 for _ in differing(shelf, one, other)) == 60_000
    assert max(held) <= diffing._LEAVES_MAX + diffing._ABOVE_MAX
    assert shelf.round_trips < 30


def test_a_changed_path_that_no_push_makes_is_hostile() -> None:
    """As for a pull; what both versions have is not looked at."""
    shelf = Shelf()
    hostile = rude_page(shelf, [(file_identity("../x"), file_content())])
    honest = manifest_of(shelf, {"a": b"x"})
    for pair in (hostile, honest), (honest, hostile):
        with pytest.raises(HostileManifest):
            list(differing(shelf, *pair))
    with pytest.raises(HostileManifest):
        list(differing_from(shelf, hostile, entries_of({"a": b"x"})))
    assert list(differing(shelf, hostile, hostile)) == []


def test_a_version_that_contradicts_itself_is_damaged() -> None:
    """A page that is in one version twice, and one that claims another page's digest."""
    shelf = Shelf()
    leaf = rude_page(shelf, [(file_identity("a"), file_content())])
    rows = [
        (("a", 5, 0, leaf.digest, 0), file_content()),
        (("b", 5, 0, leaf.digest, 0), file_content()),
    ]
    rows = [(row, type(content)(0, leaf.cid, [1], chunks=leaf.chunks)) for row, content in rows]
    woven = rude_page(shelf, rows, level=1)
    honest = manifest_of(shelf, {"c": b"x"})
    for pair in (woven, honest), (honest, woven):
        with pytest.raises(Damaged):
            list(differing(shelf, *pair))
