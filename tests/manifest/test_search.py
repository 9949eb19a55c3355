"""Searching versions by content: the same answers as reading everything, with each page read once."""

from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from artifactstore import Store
from artifactstore.catalog.rows import all_versions
from artifactstore.errors import Damaged
from artifactstore.format.coding import encode
from artifactstore.format.operations import Manifest
from artifactstore.format.pack import PackType
from artifactstore.format.page import Content, Identity, Kind, Page
from artifactstore.manifest import search as searching
from artifactstore.manifest.build import ListBuilder, ManifestBuilder
from artifactstore.manifest.read import entries, spans
from artifactstore.manifest.search import Search, SoughtFile
from tests.manifest.pages import Shelf, pages, rude_page
from tests.stores import make_store, write_tree

CHUNKS = [blake3(b"%d" % number).digest() for number in range(300)]
chunk_lists = st.one_of(
    st.lists(st.integers(0, 12), max_size=5),
    # Past 64 chunks a file has a list, past some hundred a tree of them.
    st.builds(
        lambda start, count: [at % 300 for at in range(start, start + count)],
        st.integers(0, 299),
        st.integers(65, 1500),
    ),
)
trees = st.dictionaries(st.sampled_from("abcdef"), chunk_lists, max_size=4)


class Counting(Shelf):
    """Remembers what was read."""

    def __init__(self) -> None:
        super().__init__()
        self.cids: list[bytes] = []

    def read(self, kind: PackType, cid: bytes) -> bytes:
        self.cids.append(cid)
        return super().read(kind, cid)


def digest_of(chunks: list[int]) -> bytes:
    """A stand-in for a file's digest."""
    return blake3(repr(chunks).encode()).digest()


def manifest_of(shelf: Shelf, tree: dict[str, list[int]]) -> Manifest:
    """A version whose files have these chunks, each of ten bytes."""
    builder = ManifestBuilder(shelf)
    for path, chunks in sorted(tree.items()):
        listed = ListBuilder(shelf)
        listed.extend((CHUNKS[number], 10) for number in chunks)
        identity = (path, int(Kind.FILE), 10 * len(chunks), digest_of(chunks), 0)
        builder.add(identity, listed.finish())
    return builder.finish()


def sought(chunks: list[int]) -> SoughtFile:
    """A file of these chunks."""
    held: dict[bytes, int] = {}
    for number in chunks:
        held[CHUNKS[number]] = held.get(CHUNKS[number], 0) + 10
    return SoughtFile(digest_of(chunks), held)


def by_reading_everything(
    tree: dict[str, list[int]], files: list[list[int]]
) -> list[tuple[str, tuple[int, ...]]]:
    """What a search must find in a version."""
    found = []
    for path, chunks in sorted(tree.items()):
        shared = tuple(10 * sum(number in set(chunks) for number in wanted) for wanted in files)
        if any(shared) or chunks in files:
            found.append((path, shared))
    return found


@given(st.lists(trees, min_size=1, max_size=6), st.lists(chunk_lists, min_size=1, max_size=3), st.booleans())
def test_it_finds_what_reading_everything_finds(
    history: list[dict[str, list[int]]], files: list[list[int]], forgetful: bool
) -> None:
    """Whole files and shared chunks, inline or in trees of lists, however little is remembered between versions."""
    shelf = Counting()
    with pytest.MonkeyPatch.context() as patch:
        if forgetful:
            patch.setattr(searching, "_REMEMBERED", 1)
            patch.setattr(searching, "_VERSIONS_TOGETHER", 2)
            patch.setattr(searching, "_PAGES_TOGETHER", 1)
            patch.setattr(searching, "_MEASURED_MAX", 1)
        search = Search(shelf, [sought(file) for file in files])
        versions = [(number, manifest_of(shelf, tree)) for number, tree in enumerate(history)]
        for number, found in search.run(versions):
            hits = [(hit.identity[0], hit.shared) for hit in found.hits]
            assert (hits, found.damage) == (by_reading_everything(history[number], files), None)
    in_any = [{number for tree in history for chunks in tree.values() for number in chunks} for _ in files]
    assert search.seen == tuple(
        10 * sum(number in held for number in wanted) for wanted, held in zip(files, in_any, strict=True)
    )


def test_each_page_and_list_is_read_once() -> None:
    """However many versions share it: reading is counted, by cid."""
    shelf = Counting()
    tree = {f"{number:04}": [number % 13] for number in range(900)}
    versions = []
    for number in range(20):
        tree[f"{number * 40:04}"] = [13 + number]
        tree["large"] = [at % 300 for at in range(number, 3000)]
        versions.append(manifest_of(shelf, tree))
    cids = {cid for version in versions for cid, _ in pages(shelf, version)}
    lists: set[bytes] = set()
    for version in versions:
        for entry in entries(shelf, version):
            if entry.content.depth:
                lists.add(entry.content.cids)
                list(spans(shelf, entry.content, on_list=lists.add))
    shelf.cids.clear()
    search = Search(shelf, [sought([5]), sought(tree["large"])])
    assert len(list(search.run(enumerate(versions)))) == 20
    assert sorted(shelf.cids) == sorted(cids | lists)
    assert (search.pages, search.lists) == (len(cids), len(lists))
    before = len(shelf.cids)
    assert len(list(search.run(enumerate(versions)))) == 20
    assert len(shelf.cids) == before


def test_what_is_lost_is_told_and_the_rest_is_searched() -> None:
    """The version that lost a page says so; the others, and its other pages, are searched as ever."""
    shelf = Counting()
    tree = {f"{number:04}": [number % 13] for number in range(900)}
    whole = manifest_of(shelf, tree)
    changed = manifest_of(shelf, tree | {"0000": [20]})
    only = {cid for cid, _ in pages(shelf, changed)} - {cid for cid, _ in pages(shelf, whole)}
    (lost,) = only - {changed.cid}
    del shelf.chunks[lost]
    found = dict(Search(shelf, [sought([5])]).run([("changed", changed), ("whole", whole)]))
    assert found["whole"].damage is None
    assert isinstance(found["changed"].damage, Damaged)
    assert 0 < len(found["changed"].hits) < len(found["whole"].hits) == 900 // 13 + (900 % 13 > 5)


def test_a_woven_manifest_is_told_once() -> None:
    """A page that a hostile writer put into a parent many times costs no more than once."""
    shelf = Counting()
    identity: Identity = ("a", int(Kind.FILE), 10, digest_of([1]), 0)
    root = rude_page(shelf, [(identity, Content(0, CHUNKS[1], [10]))])
    for level in range(1, 9):
        woven = (("a", int(Kind.PAGE), 10, root.digest, 0), Content(0, root.cid, [1], chunks=root.chunks))
        root = rude_page(shelf, [woven, woven], level)
    ((_, found),) = Search(shelf, [sought([1])]).run([(0, root)])
    assert [hit.identity for hit in found.hits] == [identity]
    assert len(shelf.cids) == 9


@pytest.mark.parametrize(
    "spoilt", [b"", encode(Page(1, [], [])), encode([0, [("a", 1, 0, b"\0" * 32, 0)], []])]
)
def test_a_page_that_is_none_is_damage(spoilt: bytes) -> None:
    """Malformed, of another level, or with names and no content."""
    shelf = Counting()
    root = Manifest(shelf.put_one(PackType.PAGE, spoilt), 0, b"\0" * 32, 0, 0, bytes(32))
    ((_, found),) = Search(shelf, [sought([1])]).run([(0, root)])
    assert (found.hits, isinstance(found.damage, Damaged)) == ([], True)


def test_through_a_store(tmp_path: Path) -> None:
    """With the real reader, which asks for pages together, the same is found."""
    with make_store(tmp_path) as store:
        for number in range(3):
            files = {f"{at:04}": b"%d" % at for at in range(600)} | {"mine": b"mine", "new": b"%d" % number}
            store.push([write_tree(tmp_path / f"in{number}", files)], "p/n")
        assert hits_of(store, b"mine") == [["mine"]] * 3


def hits_of(store: Store, data: bytes) -> list[list[str]]:
    """Paths of a file, version by version."""
    with store._parts.environment.read() as txn:
        versions = [(number, row.manifest) for _, number, row in all_versions(txn)]
    search = Search(store._parts.reader, [SoughtFile(blake3(data).digest())])
    return [[hit.identity[0] for hit in found.hits] for _, found in search.run(versions)]
