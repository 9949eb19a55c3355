"""Building manifests and chunk lists: where they are cut, how large a page may be, and what depends on what."""

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.format.limits import (
    INLINE_CHUNKS_MAX,
    LIST_REFERENCES_MAX,
    LIST_REFERENCES_MIN,
    PAGE_CUT_MASK,
    PAGE_ENTRIES_MAX,
    PAGE_ENTRIES_MIN,
    PAGE_PATH_BYTES_MAX,
)
from artifactstore.format.page import Kind, Page, path_order
from artifactstore.manifest.build import ListBuilder, ManifestBuilder
from artifactstore.manifest.read import entries, spans
from tests.manifest.pages import Shelf, built, file_content, file_identity, pages

MANY = [f"folder{number // 100:03}/file{number:06}.txt" for number in range(20_000)]


def leaves(shelf: Shelf, manifest) -> list[Page]:
    return [page for _, page in pages(shelf, manifest) if page.level == 0]


def is_cut(path: str, level: int = 0) -> bool:
    """The cut rule, written as the format says it."""
    return not int.from_bytes(blake3(bytes([level]) + path.encode()).digest()[:4], "big") & PAGE_CUT_MASK


def test_an_empty_version_has_one_empty_page() -> None:
    """Nothing is also a version."""
    shelf = Shelf()
    manifest = ManifestBuilder(shelf).finish()
    assert (manifest.level, manifest.size, manifest.entries) == (0, 0, 0)
    assert list(entries(shelf, manifest)) == []


def test_a_small_version_is_one_page() -> None:
    """Below the smallest page nothing is cut."""
    shelf = Shelf()
    manifest = built(shelf, MANY[: PAGE_ENTRIES_MIN - 1])
    assert (manifest.level, manifest.entries, shelf.puts) == (0, PAGE_ENTRIES_MIN - 1, 1)


def test_pages_are_cut_by_the_hash_of_a_path() -> None:
    """A leaf ends at the first path after the 32nd entry whose hash says so, or at the bound, and nowhere else."""
    shelf = Shelf()
    found = leaves(shelf, built(shelf, MANY))
    assert 40 < len(found) < 150
    for page in found[:-1]:
        paths = [identity[0] for identity in page.identities]
        assert PAGE_ENTRIES_MIN <= len(paths) <= PAGE_ENTRIES_MAX
        assert is_cut(paths[-1]) or len(paths) == PAGE_ENTRIES_MAX
        assert not any(is_cut(path) for path in paths[PAGE_ENTRIES_MIN - 1 : -1])
    assert [identity[0] for page in found for identity in page.identities] == MANY


def test_no_page_outgrows_its_bound() -> None:
    """Where no path is a cut, the bound on entries cuts."""
    paths = [path for path in MANY if not is_cut(path)][: PAGE_ENTRIES_MAX * 2 + 5]
    shelf = Shelf()
    sizes = [len(page.identities) for page in leaves(shelf, built(shelf, paths))]
    assert sizes == [PAGE_ENTRIES_MAX, PAGE_ENTRIES_MAX, 5]


def test_long_paths_cut_before_the_bound_on_entries() -> None:
    """A page holds 256 KiB of paths at most."""
    paths = [f"{'x' * 250}/" * 14 + f"{number:06}" for number in range(200)]
    shelf = Shelf()
    found = leaves(shelf, built(shelf, paths))
    held = [sum(len(identity[0].encode()) for identity in page.identities) for page in found]
    assert len(found) > 1
    assert max(held) <= PAGE_PATH_BYTES_MAX


def test_a_lone_last_child_joins_the_page_before_it() -> None:
    """Above the leaves no page has a single child, and none but the last has fewer than two."""
    seen = set()
    for count in range(2000, 20_000, 397):
        shelf = Shelf()
        manifest = built(shelf, MANY[:count])
        for _, page in pages(shelf, manifest):
            if page.level:
                seen.add(len(page.identities))
                assert len(page.identities) >= 2
    assert len(seen) > 5


def test_a_lone_child_joins_even_a_full_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page before may thereby hold one child more than the bound, and readers allow for it."""
    monkeypatch.setattr("artifactstore.manifest.build.PAGE_ENTRIES_MAX", 4)
    monkeypatch.setattr("artifactstore.manifest.build.PAGE_ENTRIES_MIN", 4)
    monkeypatch.setattr("artifactstore.manifest.build.PAGE_CUT_MASK", (1 << 32) - 1)
    shelf = Shelf()
    manifest = built(shelf, [f"{number:03}" for number in range(4 * 4 + 1)])
    found = pages(shelf, manifest)
    assert [len(page.identities) for _, page in found if page.level] == [5]
    assert [one.path for one in entries(shelf, manifest)] == [f"{number:03}" for number in range(17)]


def test_versions_that_differ_in_few_files_share_most_pages() -> None:
    """A changed, an added and a removed file cost the pages on their paths to the root and no more."""
    shelf = Shelf()
    old = {cid for cid, _ in pages(shelf, built(shelf, MANY))}
    changed = sorted({*MANY[:5000], *MANY[5001:], "folder123/added.txt"}, key=path_order)
    new = [cid for cid, _ in pages(shelf, built(shelf, changed))]
    fresh = [cid for cid in new if cid not in old]
    assert len(new) > 50
    assert len(fresh) <= 8


def test_the_digest_does_not_depend_on_the_store() -> None:
    """Two stores name pages differently and give the version one digest."""
    one, other = built(Shelf(), MANY[:3000]), built(Shelf(b"\1" * 32), MANY[:3000])
    assert one.digest == other.digest
    assert one.cid != other.cid


def test_the_digest_does_not_depend_on_where_bytes_lie() -> None:
    """How a file was cut into chunks is no part of what the version is."""
    digests = []
    for content in (file_content(b"data"), file_content(b"tada")):
        builder = ManifestBuilder(Shelf())
        builder.add(file_identity("a", b"data"), content)
        digests.append(builder.finish().digest)
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    "other",
    [
        file_identity("b", b"data"),
        file_identity("a", b"dato"),
        file_identity("a", b"data", flags=1),
        ("a", int(Kind.SYMLINK), 4, blake3(b"data").digest(), 0),
    ],
    ids=["path", "bytes", "executable", "kind"],
)
def test_the_digest_depends_on_all_that_is_kept(other) -> None:
    """Path, kind, bytes and the executable bit each change it."""
    digests = []
    for identity in (file_identity("a", b"data"), other):
        builder = ManifestBuilder(Shelf())
        builder.add(identity, file_content(b"data"))
        digests.append(builder.finish().digest)
    assert digests[0] != digests[1]


@given(st.sets(st.text(st.sampled_from("ab/.-z0"), min_size=1, max_size=6), max_size=150))
def test_what_is_built_is_walked_back(names: set[str]) -> None:
    """A walk gives the entries in order, with the counts that the manifest claims."""
    paths = sorted({f"p/{name.replace('/', '_')}{len(name)}" for name in names}, key=path_order)
    shelf = Shelf()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("PAGE_ENTRIES_MIN", 2), ("PAGE_ENTRIES_MAX", 6), ("PAGE_CUT_MASK", 3)):
            patch.setattr(f"artifactstore.manifest.build.{name}", value)
        manifest = built(shelf, paths, b"xyz")
    assert [entry.path for entry in entries(shelf, manifest)] == paths
    assert (manifest.entries, manifest.size) == (len(paths), 3 * len(paths))


# --- chunk lists ---------------------------------------------------------------------------------------------


def references(count: int) -> list[tuple[bytes, int]]:
    return [(blake3(number.to_bytes(4, "big")).digest(), 1 + number % 5) for number in range(count)]


@pytest.mark.parametrize("count", [0, 1, INLINE_CHUNKS_MAX])
def test_few_chunks_stay_in_the_entry(count: int) -> None:
    """Up to 64 references need no list."""
    shelf = Shelf()
    builder = ListBuilder(shelf)
    builder.extend(references(count))
    content = builder.finish()
    assert (content.depth, len(content.sizes), shelf.puts) == (0, count, 0)


@pytest.mark.parametrize("count", [INLINE_CHUNKS_MAX + 1, LIST_REFERENCES_MIN, 4097, 30_000])
def test_many_chunks_become_a_tree_that_reads_back(count: int) -> None:
    """Every reference comes back in order, from any depth."""
    shelf = Shelf()
    builder = ListBuilder(shelf)
    expected = references(count)
    builder.extend(expected)
    content = builder.finish()
    assert content.depth >= 1
    assert content.sizes == [sum(size for _, size in expected)]
    assert [(span.cid, span.length) for span in spans(shelf, content)] == expected


def test_lists_are_cut_by_content() -> None:
    """An edit in the middle of a large file leaves most nodes of its list as they were."""
    shelf = Shelf()
    old, new = ListBuilder(shelf), ListBuilder(shelf)
    all_references = references(30_000)
    old.extend(all_references)
    old.finish()
    known = shelf.puts
    new.extend([*all_references[:15_000], (bytes(32), 7), *all_references[15_001:]])
    before = set(shelf.chunks)
    new.finish()
    assert shelf.puts - known > 10
    assert len(set(shelf.chunks) - before) <= 3


def test_a_node_never_outgrows_its_bound() -> None:
    """References that never cut are cut by count."""
    shelf = Shelf()
    builder = ListBuilder(shelf)
    builder.extend([(b"\xff" * 32, 1)] * (2 * LIST_REFERENCES_MAX + 10))
    content = builder.finish()
    assert content.depth == 2
    assert sum(span.length for span in spans(shelf, content)) == 2 * LIST_REFERENCES_MAX + 10


def test_seeking_costs_the_depth() -> None:
    """Reading a few bytes of a large file reads one node a level, not the list."""
    shelf = Shelf()
    builder = ListBuilder(shelf)
    builder.extend(references(30_000))
    content = builder.finish()
    shelf.gets = 0
    found = list(spans(shelf, content, 45_000, 45_003))
    assert 1 <= len(found) <= 4
    assert found[0].start <= 45_000 < found[0].start + found[0].length
    assert shelf.gets <= content.depth + 1
