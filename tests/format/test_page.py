"""Pages and chunk lists: round trip, digests, and every way in which an entry can contradict itself."""

import msgspec
import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.errors import Damaged
from artifactstore.format.coding import encode
from artifactstore.format.limits import (
    BLOB_RAW_BYTES_MAX,
    INLINE_CHUNKS_MAX,
    LIST_REFERENCES_MAX,
    PAGE_ENTRIES_MAX,
    PATH_BYTES_MAX,
)
from artifactstore.format.page import (
    EMPTY,
    EXECUTABLE,
    Content,
    Identity,
    Kind,
    ListNode,
    Page,
    decode_list,
    decode_page,
    page_digest,
    path_order,
)
from artifactstore.format.reference import reference_digest
from tests.format.damage import HOSTILE, damaged, refused_or_read

CID = bytes(range(32))
NOTHING = blake3(b"").digest()
hashes = st.binary(min_size=32, max_size=32)
paths = st.lists(st.text(min_size=1, max_size=8).map(lambda text: text.replace("\0", "x")), max_size=12)

Row = tuple[Identity, Content]


@st.composite
def entry(draw: st.DrawFn, path: str) -> Row:
    kind = draw(st.sampled_from([Kind.FILE, Kind.SYMLINK, Kind.FOLDER, Kind.REFERENCE]))
    if kind is Kind.REFERENCE:
        text = f"https://host/{draw(st.text('abc/'))}\netag:{draw(st.text('xyz', min_size=1))}\n"
        raw = (path, kind, draw(st.integers(0, 99)), reference_digest(text), 0)
        return raw, Content(0, b"", [], text)
    if kind is Kind.FOLDER:
        return (path, kind, 0, NOTHING, 0), EMPTY
    if kind is Kind.SYMLINK:
        target = draw(st.text(min_size=1, max_size=9)).replace("\0", "x")
        raw = target.encode()
        return (path, kind, len(raw), blake3(raw).digest(), 0), Content(0, b"", [], target)
    sizes = draw(st.lists(st.integers(1, BLOB_RAW_BYTES_MAX), max_size=3))
    content = Content(0, b"".join(draw(hashes) for _ in sizes), sizes)
    if draw(st.booleans()) and sizes:
        content = Content(draw(st.integers(1, 4)), draw(hashes), [sum(sizes)], chunks=draw(hashes))
    return (path, kind, sum(sizes), draw(hashes), draw(st.integers(0, EXECUTABLE))), content


@st.composite
def leaves(draw: st.DrawFn) -> Page:
    unique = {path_order(path): path for path in draw(paths)}
    rows = [draw(entry(unique[order])) for order in sorted(unique)]
    return Page(0, [identity for identity, _ in rows], [content for _, content in rows])


@st.composite
def branches(draw: st.DrawFn) -> Page:
    names = sorted(draw(st.sets(st.text("abc", min_size=1, max_size=5), min_size=2, max_size=5)))
    identities: list[Identity] = [
        (name, Kind.PAGE, draw(st.integers(0, 2**60)), draw(hashes), 0) for name in names
    ]
    contents = [Content(0, draw(hashes), [draw(st.integers(0, 2**60))], chunks=draw(hashes)) for _ in names]
    return Page(draw(st.integers(1, 8)), identities, contents)


pages = leaves() | branches()


def page(*rows: Row, level: int = 0) -> Page:
    return Page(level, [identity for identity, _ in rows], [content for _, content in rows])


@given(pages)
def test_round_trip(made: Page) -> None:
    """A page comes back, and its digest can be computed from what was read."""
    found = decode_page(encode(made), "here")
    assert found == made
    assert page_digest(found.identities) == page_digest(made.identities)


@given(pages, st.data())
def test_damage_is_refused_or_read(made: Page, drawn: st.DataObject) -> None:
    """A hostile member can put any bytes here; they decode, or are refused with an error of ours."""
    for bad in damaged(encode(made), drawn):
        refused_or_read(lambda data: decode_page(data, "here"), bad)
        refused_or_read(lambda data: decode_list(data, 1, 100, "here"), bad)


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_bytes(data: bytes) -> None:
    """Declared lengths, nesting and bad text are refused without taking memory for them."""
    assert refused_or_read(lambda raw: decode_page(raw, "here"), data) is None
    assert refused_or_read(lambda raw: decode_list(raw, 1, 100, "here"), data) is None


def test_the_digest_is_of_the_shortest_encoding() -> None:
    """A page in another encoding of the same values has the same digest: it stands over values."""
    identity: Identity = ("a", Kind.FILE, 7, NOTHING, 0)
    shortest = b"\x91\x95\xa1a\x01\x07\xc4\x20" + NOTHING + b"\x00"
    assert page_digest([identity]) == blake3(shortest).digest()
    longer = b"\x93\x00\xdc\x00\x01" + b"\x95\xd9\x01a\x01\xcd\x00\x07\xc5\x00\x20" + NOTHING + b"\xd0\x00"
    contents = encode([Content(0, CID, [7])])
    assert page_digest(decode_page(longer + contents, "here").identities) == page_digest([identity])


FILE: Row = (("f", Kind.FILE, 7, NOTHING, 0), Content(0, CID, [7]))
LINK: Row = (("l", Kind.SYMLINK, 1, blake3(b"t").digest(), 0), Content(0, b"", [], "t"))
TEXT = "s3://bucket/key?part=1\netag:a-2\nv1"


def referring(text: str, size: int = 7) -> Row:
    return ("r", Kind.REFERENCE, size, reference_digest(text), 0), Content(0, b"", [], text)


REFERENCE = referring(TEXT)
FOLDER: Row = (("d", Kind.FOLDER, 0, NOTHING, 0), EMPTY)
ABOVE: Row = (("a", Kind.PAGE, 7, NOTHING, 0), Content(0, CID, [1], chunks=CID))
ALSO_ABOVE: Row = (("b", Kind.PAGE, 7, NOTHING, 0), Content(0, CID, [1], chunks=CID))


def changed(row: Row, **changes: object) -> Row:
    """A row with fields of its identity (path, kind, size, digest, flags) or its content replaced."""
    names = ("path", "kind", "size", "digest", "flags")
    identity = tuple(changes.pop(name, old) for name, old in zip(names, row[0], strict=True))
    return identity, msgspec.structs.replace(row[1], **changes)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "bad",
    [
        changed(FILE, path=""),
        changed(FILE, path="x" * (PATH_BYTES_MAX + 1)),
        changed(FILE, path="\u00e9" * (PATH_BYTES_MAX // 2 + 1)),
        changed(FILE, kind=Kind.REFERENCE),
        changed(FILE, kind=0),
        changed(FILE, kind=9),
        changed(FILE, kind=Kind.PAGE),
        changed(FILE, kind=Kind.FOLDER),
        changed(FILE, kind=Kind.SYMLINK),
        changed(FILE, size=8),
        changed(FILE, size=-7),
        changed(FILE, digest=bytes(31)),
        changed(FILE, flags=2),
        changed(FILE, flags=-1),
        changed(FILE, target="t"),
        changed(FILE, cids=CID + CID),
        changed(FILE, cids=b""),
        changed(FILE, size=0, sizes=[0]),
        changed(FILE, cids=CID * 2, sizes=[8, -1]),
        changed(FILE, size=1 << 61, sizes=[1 << 61]),
        changed(FILE, size=BLOB_RAW_BYTES_MAX + 1, sizes=[BLOB_RAW_BYTES_MAX + 1]),
        changed(FILE, size=65, cids=CID * 65, sizes=[1] * (INLINE_CHUNKS_MAX + 1)),
        changed(FILE, depth=5),
        changed(FILE, depth=-1),
        changed(FILE, depth=1, size=8, cids=CID * 2, sizes=[4, 4]),
        changed(FILE, depth=1, size=0, cids=b"", sizes=[]),
        changed(REFERENCE, flags=1),
        changed(REFERENCE, digest=bytes(32)),
        changed(REFERENCE, cids=CID, sizes=[7]),
        changed(REFERENCE, depth=1),
        changed(REFERENCE, chunks=CID),
        referring("s3://bucket/key\netag:a"),
        referring("s3://bucket/key\netag:a\n\n"),
        referring("s3://user:secret@bucket/key\netag:a\n"),
        referring("s3://bucket/a key\netag:a\n"),
        referring("s3://bucket/key#part\netag:a\n"),
        referring("/etc/passwd\netag:a\n"),
        referring("s3://bucket/key\nETAG:a\n"),
        referring("s3://bucket/key\netag:\n"),
        referring("s3://bucket/key\netag:a\na b"),
        referring("s3://bucket/key\n\n"),
        referring("s3://bucket/" + "k" * 4096 + "\netag:a\n"),
        changed(LINK, flags=1),
        changed(LINK, target=""),
        changed(LINK, target="tt"),
        changed(LINK, target="u"),
        changed(LINK, depth=1),
        changed(LINK, cids=CID, sizes=[1]),
        changed(LINK, size=4097, target="t" * 4097, digest=blake3(b"t" * 4097).digest()),
        changed(FOLDER, size=1),
        changed(FOLDER, flags=1),
        changed(FOLDER, digest=bytes(32)),
        changed(FOLDER, target="t"),
        changed(FOLDER, depth=1),
        changed(FOLDER, cids=CID, sizes=[0]),
    ],
)
def test_entries_that_contradict_themselves(bad: Row) -> None:
    """Sizes, kinds, flags, references and targets must fit each other before anyone acts on them."""
    good = page(FOLDER, FILE, LINK, REFERENCE)
    assert decode_page(encode(good), "here") == good
    with pytest.raises(Damaged):
        decode_page(encode(page(bad)), "here")


@pytest.mark.parametrize(
    "bad",
    [
        page(LINK, FILE),
        page(FILE, FILE),
        page(changed(FILE, path="f-"), changed(FILE, path="f/x")),
        Page(0, [FILE[0]], []),
        Page(0, [], [FILE[1]]),
        Page(9, [ABOVE[0], ALSO_ABOVE[0]], [ABOVE[1], ALSO_ABOVE[1]]),
        page(ABOVE, ALSO_ABOVE, level=-1),
        page(ABOVE, ALSO_ABOVE),
        page(ABOVE, level=1),
        page(level=1),
        page(ABOVE, changed(FILE, path="b"), level=1),
        page(ABOVE, changed(ALSO_ABOVE, depth=1), level=1),
        page(ABOVE, changed(ALSO_ABOVE, target="t"), level=1),
        page(ABOVE, changed(ALSO_ABOVE, flags=1), level=1),
        page(ABOVE, changed(ALSO_ABOVE, cids=CID * 2, sizes=[1, 1]), level=1),
        page(*(changed(FOLDER, path=f"{at:05d}") for at in range(PAGE_ENTRIES_MAX + 1))),
        page(*(changed(ABOVE, path=f"{at:05d}") for at in range(PAGE_ENTRIES_MAX + 2)), level=1),
        page(*(changed(FOLDER, path=f"{at:04d}" + "x" * 4000) for at in range(66))),
    ],
)
def test_pages_that_contradict_themselves(bad: Page) -> None:
    """Order, number, level and the bytes of all paths have bounds."""
    assert decode_page(encode(page(ABOVE, ALSO_ABOVE, level=1)), "here").level == 1
    with pytest.raises(Damaged):
        decode_page(encode(bad), "here")


def test_full_pages_are_read() -> None:
    """1,024 entries fit a leaf; one more fits above, where a lone last child joins the page before it."""
    full = page(*(changed(FOLDER, path=f"{at:05d}") for at in range(PAGE_ENTRIES_MAX)))
    above = page(*(changed(ABOVE, path=f"{at:05d}") for at in range(PAGE_ENTRIES_MAX + 1)), level=1)
    assert [decode_page(encode(one), "here") == one for one in (full, above)] == [True, True]


def test_order_of_paths() -> None:
    """'/' sorts below every other character, so that a folder is one run."""
    assert sorted(["a0", "a.txt", "a/b", "a-b", "a"], key=path_order) == ["a", "a/b", "a-b", "a.txt", "a0"]


@given(st.lists(st.integers(1, BLOB_RAW_BYTES_MAX), min_size=1, max_size=5), st.integers(1, 4))
def test_list_round_trip(sizes: list[int], level: int) -> None:
    """A node comes back under a parent that knows its level and size, and under no other."""
    node = ListNode(level, CID * len(sizes), sizes)
    assert decode_list(encode(node), level, sum(sizes), "here") == node
    for other_level, other_size in ((level + 1, sum(sizes)), (level, sum(sizes) + 1)):
        with pytest.raises(Damaged):
            decode_list(encode(node), other_level, other_size, "here")


@pytest.mark.parametrize(
    "node",
    [
        ListNode(1, b"", []),
        ListNode(1, CID, [5, 5]),
        ListNode(1, CID * 2, [10]),
        ListNode(1, CID * 2, [10, 0]),
        ListNode(1, CID * 2, [11, -1]),
        ListNode(1, CID, [BLOB_RAW_BYTES_MAX + 1]),
        ListNode(1, CID * (LIST_REFERENCES_MAX + 1), [1] * (LIST_REFERENCES_MAX + 1)),
        ListNode(0, CID, [10]),
        ListNode(5, CID, [10]),
    ],
)
def test_lists_that_contradict_themselves(node: ListNode) -> None:
    """References, their number and sizes have bounds, and no reference is of nothing."""
    with pytest.raises(Damaged):
        decode_list(encode(node), node.level, sum(node.sizes), "here")
