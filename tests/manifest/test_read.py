"""Walking manifests that nobody honest wrote: refused by name, before anyone acts on them."""

import pytest
from blake3 import blake3

from artifactstore.errors import Damaged, HostileManifest
from artifactstore.format.coding import encode
from artifactstore.format.operations import Manifest
from artifactstore.format.pack import PackType
from artifactstore.format.page import EMPTY, Content, Kind, ListNode
from artifactstore.manifest.read import entries, find_entry, read_lists_ahead, spans
from tests.manifest.pages import Shelf, built, file_content, file_identity, pages, rude_page

CID = bytes(32)


def walked(manifest: Manifest, shelf: Shelf) -> list[str]:
    return [entry.path for entry in entries(shelf, manifest)]


def page_of(shelf: Shelf, *paths: str) -> Manifest:
    return rude_page(shelf, [(file_identity(path), EMPTY) for path in paths])


def child(manifest: Manifest, path: str):
    """A page as its parent holds it."""
    identity = (path, int(Kind.PAGE), manifest.size, manifest.digest, 0)
    return identity, Content(0, manifest.cid, [manifest.entries], chunks=manifest.chunks)


@pytest.mark.parametrize(
    "path",
    [
        "../x",
        "/etc/passwd",
        "a/../../x",
        "a//b",
        ".",
        "CON",
        "a/nul.txt",
        "C:/x",
        "a\\b",
        "a\nb",
        "u\u0308",
        "a/",
    ],
)
def test_a_path_that_no_push_makes_is_hostile(path: str) -> None:
    """One rule holds for what is pushed and for what is pulled."""
    shelf = Shelf()
    manifest = page_of(shelf, path)
    with pytest.raises(HostileManifest) as caught:
        walked(manifest, shelf)
    assert caught.value.facts["path"] == path
    with pytest.raises(HostileManifest):
        find_entry(shelf, manifest, path)


def test_an_entry_that_is_also_a_folder_is_hostile() -> None:
    """A symlink `a` beside a file `a/b` would lead a pull out of its folder."""
    shelf = Shelf()
    link = (("a", int(Kind.SYMLINK), 4, blake3(b"/etc").digest(), 0), Content(0, b"", [], "/etc"))
    with pytest.raises(HostileManifest, match="as a folder"):
        walked(rude_page(shelf, [link, (file_identity("a/b"), EMPTY)]), shelf)


def test_order_across_pages_is_checked() -> None:
    """Pages that are sorted in themselves may still repeat or interleave each other's paths."""
    for pair in (["a", "b"], ["c", "d"]), (["a", "c"], ["b", "d"]), (["a", "b"], ["b", "c"]):
        shelf = Shelf()
        one, other = page_of(shelf, *pair[0]), page_of(shelf, *pair[1])
        manifest = rude_page(shelf, [child(one, pair[0][0]), child(other, pair[1][0])], level=1)
        if pair[0][-1] < pair[1][0]:
            assert walked(manifest, shelf) == ["a", "b", "c", "d"]
        else:
            with pytest.raises(HostileManifest, match="out of order"):
                walked(manifest, shelf)


def test_a_file_and_folder_of_one_name_across_pages_are_hostile() -> None:
    """The rule holds where a page ends between them."""
    shelf = Shelf()
    one, other = page_of(shelf, "a"), page_of(shelf, "a/b")
    with pytest.raises(HostileManifest, match="as a folder"):
        walked(rude_page(shelf, [child(one, "a"), child(other, "a/b")], level=1), shelf)


def test_one_page_under_many_parents_is_refused_at_once() -> None:
    """A few pages can't pretend to be a million entries: the second look at one is refused."""
    shelf = Shelf()
    manifest = page_of(shelf, "a")
    for level in range(1, 8):
        rows = [child(manifest, f"p{number:04}") for number in range(1000)]
        manifest = rude_page(shelf, rows, level=level)
    assert manifest.entries == 1000**7
    shelf.gets = 0
    with pytest.raises(Damaged):
        walked(manifest, shelf)
    assert shelf.gets < 20


@pytest.mark.parametrize("what", ["digest", "size", "entries", "level", "chunks"])
def test_a_page_that_contradicts_its_parent_is_damaged(what: str) -> None:
    """Each number that a parent claims of a page is held against the page."""
    import msgspec

    shelf = Shelf()
    manifest = built(shelf, ["a", "b"], b"xyz")
    wrong = {"digest": bytes(32), "size": 7, "entries": 3, "level": 1, "chunks": bytes(32)}[what]
    with pytest.raises(Damaged, match="contradicts"):
        walked(msgspec.structs.replace(manifest, **{what: wrong}), shelf)


@pytest.mark.parametrize(
    ("identity", "content"),
    [
        (("a", 1, 10_000_000_000, CID, 0), Content(0, CID, [10])),
        (("a", 1, 10, CID, 0), Content(0, CID, [10, 0])),
        (("a", 1, 10, CID, 0), Content(0, CID * 2, [10])),
        (("a", 1, 10, CID, 0), Content(5, CID, [10], chunks=CID)),
        (("a", 1, 10, CID, 0), Content(-1, CID, [10], chunks=CID)),
        (("a", 1, 10, CID, 0), Content(1, CID * 2, [5, 5], chunks=CID)),
        (("a", 1, 10, CID, 0), Content(1, CID, [10])),
        (("a", 1, 10, CID, 0), Content(1, CID, [10], chunks=CID[1:])),
        (("a", 1, 10, CID, 0), Content(0, CID, [10], chunks=CID)),
        (("a", 1, 0, CID, 0), Content(0, CID, [0])),
        (("a", 1, 65, CID, 0), Content(0, CID * 65, [1] * 65)),
        (("a", 1, -1, CID, 0), EMPTY),
        (("a", 1, 1 << 61, CID, 0), Content(0, CID, [1 << 61])),
        (("a", 1, 0, bytes(31), 0), EMPTY),
        (("a", 2, 0, CID, 0), Content(0, b"", [], "")),
        (("a", 2, 3, CID, 0), Content(0, b"", [], "four")),
        (("a", 2, 3, CID, 0), Content(0, b"", [], "a\0b")),
        (("a", 2, 5000, CID, 0), Content(0, b"", [], "x" * 5000)),
        (("a", 3, 5, CID, 0), EMPTY),
        (("a", 3, 0, CID, 0), Content(0, CID, [5])),
        (("a", 5, 0, CID, 0), Content(0, CID, [1], chunks=CID)),
        (("a", 77, 0, CID, 0), EMPTY),
        (("a", 0, 0, CID, 0), EMPTY),
        (("x" * 4097, 1, 0, CID, 0), EMPTY),
    ],
)
def test_an_entry_that_contradicts_itself_is_damaged(identity, content) -> None:
    """Sizes, depths, targets and kinds that no honest page has are refused as the page is parsed."""
    shelf = Shelf()
    with pytest.raises(Damaged):
        walked(rude_page(shelf, [(identity, content)]), shelf)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc0",
        b"\x93\x00\x90\x91\xc0",
        encode([0, [["a", 1]], [[0, b"", []]]]),
        b"\x91" * 5000,
        b"\xdd\xff\xff\xff\xff",
    ],
)
def test_bytes_that_are_no_page_are_damaged(data: bytes) -> None:
    """Anything but a page is our own error, whatever it declares."""
    shelf = Shelf()
    cid = shelf.put_one(PackType.PAGE, data)
    with pytest.raises(Damaged):
        walked(Manifest(cid, 0, bytes(32), 0, 0, bytes(32)), shelf)


def test_a_missing_page_is_damaged() -> None:
    """A hole in the tree is damage and names it."""
    shelf = Shelf()
    manifest = built(shelf, [f"{number:04}" for number in range(2000)])
    del shelf.chunks[pages(shelf, manifest)[-1][0]]
    with pytest.raises(Damaged, match="no location left"):
        walked(manifest, shelf)


def test_finding_a_path_reads_one_page_a_level() -> None:
    """A lookup costs the depth of the tree."""
    shelf = Shelf()
    paths = [f"folder{number // 100:03}/{number:05}" for number in range(8000)]
    manifest = built(shelf, paths, b"x")
    for path in (paths[0], paths[4321], paths[-1]):
        shelf.gets = 0
        found = find_entry(shelf, manifest, path)
        assert found is not None
        assert found.path == path
        assert shelf.gets == manifest.level + 1
    for absent in ("", "a", "folder000", "folder000/00000x", "zzz"):
        assert find_entry(shelf, manifest, absent) is None


# --- chunk lists ---


def list_node(shelf: Shelf, level: int, cids: bytes, sizes: list[int]) -> bytes:
    return shelf.put_one(PackType.LIST, encode(ListNode(level, cids, sizes)))


@pytest.mark.parametrize(
    ("level", "cids", "sizes"),
    [
        (2, CID, [10]),
        (1, CID, [11]),
        (1, CID * 2, [10]),
        (1, b"", []),
        (1, CID * 2, [10, 0]),
        (1, CID * 2, [-5, 15]),
        (1, CID * 4098, [1] * 4098),
    ],
    ids=["level", "size", "cids", "empty", "zero", "negative", "too many"],
)
def test_a_list_that_contradicts_its_parent_is_damaged(level: int, cids: bytes, sizes: list[int]) -> None:
    """Depth, sizes and bounds of a list node are held against what stands above it."""
    shelf = Shelf()
    top = list_node(shelf, level, cids, sizes)
    with pytest.raises(Damaged):
        list(spans(shelf, Content(1, top, [10])))


def test_a_list_that_holds_itself_ends() -> None:
    """Levels go down by one, so that no list can go round in a circle."""
    shelf = Shelf()
    cid = list_node(shelf, 1, CID, [10])
    with pytest.raises(Damaged):
        list(spans(shelf, Content(2, cid, [10])))


def test_a_good_file_content_is_one_span() -> None:
    """One chunk, one span."""
    content = file_content(b"data")
    assert [(span.start, span.length) for span in spans(Shelf(), content)] == [(0, 4)]


class Counting(Shelf):
    """Notes how many chunks are read together."""

    def __init__(self) -> None:
        super().__init__()
        self.lots: list[int] = []

    def read_many(self, kind: PackType, cids):
        self.lots.append(len(cids))
        return super().read_many(kind, cids)


def large_files(shelf: Shelf, count: int) -> list[Content]:
    """Files of a list that holds two lists of a chunk each, every list another one."""
    found = []
    for number in range(count):
        below = [list_node(shelf, 1, bytes([number, side]) + CID[2:], [10]) for side in range(2)]
        found.append(Content(2, list_node(shelf, 2, b"".join(below), [10, 10]), [20]))
    return found


@pytest.mark.parametrize(("lists_max", "lots"), [(100, [20, 40]), (30, [20, 10]), (20, [20]), (7, [7])])
def test_lists_of_many_files_are_read_level_by_level(lists_max: int, lots: list[int]) -> None:
    """Those of one level together, as many as are allowed; files without lists cost nothing."""
    shelf = Counting()
    files = [*large_files(shelf, 20), file_content(b"data"), EMPTY]
    read_lists_ahead(shelf, files, lists_max)
    assert shelf.lots == lots


def test_more_lists_than_are_asked_for_at_once_are_read_in_lots() -> None:
    """At most 64 requests are made together."""
    shelf = Counting()
    read_lists_ahead(shelf, large_files(shelf, 70), 150)
    assert shelf.lots == [64, 6, 64, 16]


def test_a_list_that_is_damaged_shows_where_it_is_needed() -> None:
    """Reading ahead raises nothing."""
    shelf = Counting()
    missing, malformed = Content(1, CID, [10]), Content(2, shelf.put_one(PackType.LIST, b"garbage"), [10])
    for content in (missing, malformed):
        read_lists_ahead(shelf, [content], 64)
        with pytest.raises(Damaged):
            list(spans(shelf, content))
