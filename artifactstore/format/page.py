"""Manifest pages, chunk-list nodes, and the digests that stand over them.

A page is a run of entries sorted by path, where '/' sorts before every other character, so that the order is the
order of a depth-first walk. Leaf pages hold files, symlinks, empty folders and references; pages above hold pages.
The digest of a page is BLAKE3 over the MessagePack of the (path, kind, size, digest, flags) of its entries: nothing of
the store, and nothing of how files were cut, goes into it.
"""

from collections.abc import Sequence
from enum import IntEnum
from hashlib import sha256
from typing import Annotated, Final

import msgspec
from blake3 import blake3
from msgspec import Meta

from artifactstore.errors import Damaged
from artifactstore.format.cids import cid_prefixes
from artifactstore.format.coding import Bytes32, Size, SmallInt, decoder_of, encode
from artifactstore.format.limits import (
    BLOB_RAW_BYTES_MAX,
    CID_BYTES,
    CID_PREFIX_BYTES,
    DIGEST_BYTES,
    INLINE_CHUNKS_MAX,
    LIST_DEPTH_MAX,
    LIST_REFERENCES_MAX,
    PAGE_CHILDREN_MIN,
    PAGE_ENTRIES_MAX,
    PAGE_LEVEL_MAX,
    PAGE_PATH_BYTES_MAX,
    PATH_BYTES_MAX,
)
from artifactstore.format.reference import parse_reference, reference_digest

EXECUTABLE: Final = 1


class Kind(IntEnum):
    """What an entry is; a reference is to bytes that lie outside the store."""

    FILE = 1
    SYMLINK = 2
    FOLDER = 3
    REFERENCE = 4
    PAGE = 5


# (path, kind, size in bytes, digest, flags): all that a digest stands over.
Identity = tuple[str, int, int, bytes, int]
_CheckedIdentity = tuple[
    Annotated[str, Meta(max_length=PATH_BYTES_MAX)],
    SmallInt,
    Size,
    Bytes32,
    Annotated[int, Meta(ge=0, le=EXECUTABLE)],
]
_Level = Annotated[int, Meta(ge=0, le=PAGE_LEVEL_MAX)]
_Depth = Annotated[int, Meta(ge=0, le=LIST_DEPTH_MAX)]
_LIST_NODE_REFERENCES = Meta(min_length=1, max_length=LIST_REFERENCES_MAX)


class Content(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Where an entry's bytes come from.

    Attributes:
        depth: 0 when `cids` are data chunks; else the number of list levels under the one list chunk in `cids`.
        cids: 32-byte cids, concatenated.
        sizes: Plaintext bytes under each cid (for a page: entries under it).
        target: A symlink's target, a reference's text; empty otherwise.
        chunks: Of a page and of a file with `depth`: `chunks_root` of the node in `cids`; empty otherwise.
    """

    depth: _Depth
    cids: bytes
    sizes: Annotated[list[Size], Meta(max_length=INLINE_CHUNKS_MAX)]
    target: str = ""
    chunks: Annotated[bytes, Meta(max_length=DIGEST_BYTES)] = b""


class Page(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One node of a manifest.

    Attributes:
        level: 0 for a leaf.
        identities: What the digest stands over, sorted by path.
        contents: Parallel to `identities`.
    """

    level: _Level
    identities: list[_CheckedIdentity]
    contents: list[Content]


class ListNode(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One node of a chunk list: children and the plaintext bytes under each.

    Attributes:
        level: 1 when the children are data chunks.
        cids: 32-byte cids of the children, concatenated.
        sizes: Plaintext bytes under each child.
    """

    level: Annotated[int, Meta(ge=1, le=LIST_DEPTH_MAX)]
    cids: bytes
    sizes: Annotated[list[Size], _LIST_NODE_REFERENCES]


EMPTY: Final = Content(0, b"", [])
_KINDS: Final = frozenset(Kind)
_DIGEST_OF_NOTHING: Final = blake3(b"").digest()

_CHUNKS: Final = b"artifactstore chunks v1\0"


class _Contents(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """A page of which the identities are passed over."""

    level: _Level
    identities: msgspec.Raw
    contents: list[Content]


_decode_page = decoder_of(Page, "a manifest page")
_decode_contents = decoder_of(_Contents, "a manifest page")
_decode_list = decoder_of(ListNode, "a chunk list")


def path_order(path: str) -> str:
    """The sort key of a path: '/' sorts below every other character."""
    return path.replace("/", "\0")


def page_digest(identities: list[Identity]) -> bytes:
    """BLAKE3-256 over the MessagePack array of identities, every value in its shortest form."""
    return blake3(encode(identities)).digest()


def chunks_root(cids: bytes, below: Sequence[tuple[bytes, bytes]] = ()) -> bytes:
    """What stands for all chunks that a node of a manifest names, directly and through the nodes below it.

    Args:
        cids: Cids of its data chunks in order, concatenated.
        below: Cid and `chunks_root` of each node below it, in order.
    """
    return chunks_root_of(cid_prefixes(cids), below)


def chunks_root_of(prefixes: list[bytes], below: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The same from the first 16 bytes of the cids of the data chunks."""
    nodes = [cid[:CID_PREFIX_BYTES] + root for cid, root in below]
    return sha256(_CHUNKS + len(prefixes).to_bytes(4, "big") + b"".join(prefixes + nodes)).digest()


def page_chunks(contents: Sequence[Content]) -> bytes:
    """The `chunks_root` of a page with these contents."""
    cids = b"".join([content.cids for content in contents if not content.chunks])
    return chunks_root(cids, [(content.cids, content.chunks) for content in contents if content.chunks])


def decode_page(data: bytes, where: str) -> Page:
    """Parse a page and check everything that does not need another object.

    Raises:
        Damaged: It is malformed, unsorted or out of bounds.
    """
    page = _decode_page(data, where)
    count = len(page.identities)
    # Above the leaves one more: a lone last child joins the page before it.
    bound = PAGE_ENTRIES_MAX + (page.level > 0)
    if len(page.contents) != count or count > bound or (page.level and count < PAGE_CHILDREN_MIN):
        raise Damaged(f"{where}: a page has {count} entries and {len(page.contents)} contents", object=where)
    last, path_bytes = "", 0
    for identity, content in zip(page.identities, page.contents, strict=True):
        path = identity[0]
        order, length = path_order(path), len(path.encode())
        if order <= last or length > PATH_BYTES_MAX:
            raise Damaged(f"{where}: a page is unsorted or holds a path that is too long", object=where)
        last = order
        path_bytes += length + len(content.target.encode())
        _check_entry(identity, content, page.level, where)
    if path_bytes > PAGE_PATH_BYTES_MAX + PATH_BYTES_MAX * (page.level > 0):
        raise Damaged(f"{where}: a page holds more bytes of paths than it may", object=where)
    return page


def glance_page(data: bytes, level: int, where: str) -> Page:
    """Parse a page only as far as who looks for something in it needs: nothing of its paths and sizes is checked.

    Raises:
        Damaged: It is malformed, or of another level than `level`.
    """
    page = _decode_page(data, where)
    _refuse_other_level(page.level, page.contents, level, where)
    if len(page.contents) != len(page.identities):
        raise Damaged(f"{where}: a page contradicts what stands above it", object=where)
    return page


def glance_contents(data: bytes, level: int, where: str) -> list[Content]:
    """What the entries of a page are made of, at two thirds of the cost of `glance_page`.

    Raises:
        Damaged: It is malformed, or of another level than `level`.
    """
    page = _decode_contents(data, where)
    _refuse_other_level(page.level, page.contents, level, where)
    return page.contents


def _refuse_other_level(found: int, contents: Sequence[Content], level: int, where: str) -> None:
    lonely = found and any(len(content.cids) != CID_BYTES for content in contents)
    if found != level or lonely:
        raise Damaged(f"{where}: a page contradicts what stands above it", object=where)


def _check_entry(identity: Identity, content: Content, level: int, where: str) -> None:
    path, kind, size, digest, flags = identity
    has_nodes = kind == Kind.PAGE or content.depth > 0
    good = kind in _KINDS and (kind == Kind.PAGE) == (level > 0) and (kind == Kind.FILE or not flags)
    good = good and len(content.cids) == len(content.sizes) * CID_BYTES
    good = good and len(content.chunks) == has_nodes * DIGEST_BYTES
    if kind == Kind.FILE:
        good = good and _file_fits(size, content)
    elif kind == Kind.PAGE:
        good = good and len(content.sizes) == 1 and not content.depth and not content.target
    elif kind == Kind.REFERENCE:
        good = good and not content.sizes and not content.depth
        good = good and parse_reference(content.target, size) is not None
        good = good and digest == reference_digest(content.target)
    else:
        target = content.target.encode()
        good = good and not content.sizes and not content.depth and len(target) == size <= PATH_BYTES_MAX
        good = good and (kind == Kind.SYMLINK) == (size > 0) and b"\0" not in target
        good = good and digest == (blake3(target).digest() if target else _DIGEST_OF_NOTHING)
    if not good:
        raise Damaged(f"{where}: entry {path!r} contradicts itself", object=where, path=path)


def _file_fits(size: int, content: Content) -> bool:
    """Whether a file's references can make up its size."""
    sizes = content.sizes
    if content.depth:
        return len(sizes) == 1 and sizes[0] == size > 0 and not content.target
    largest = max(sizes, default=0)
    return sum(sizes) == size and 0 not in sizes and largest <= BLOB_RAW_BYTES_MAX and not content.target


def decode_list(data: bytes, level: int, size: int, where: str) -> ListNode:
    """Parse a chunk-list node that its parent says is of `level` over `size` bytes.

    Raises:
        Damaged: It is malformed or contradicts its parent.
    """
    node = _decode_list(data, where)
    if (
        node.level != level
        or len(node.cids) != len(node.sizes) * CID_BYTES
        or 0 in node.sizes
        or sum(node.sizes) != size
        or (level == 1 and max(node.sizes) > BLOB_RAW_BYTES_MAX)
    ):
        raise Damaged(f"{where}: a chunk list contradicts its parent", object=where)
    return node


def glance_list(data: bytes, level: int, where: str) -> ListNode:
    """Parse a chunk-list node only as far as who looks for a chunk in it needs: no size is checked.

    Raises:
        Damaged: It is malformed, or of another level than `level`.
    """
    node = _decode_list(data, where)
    if node.level != level or len(node.cids) % CID_BYTES:
        raise Damaged(f"{where}: a chunk list contradicts its parent", object=where)
    return node
