"""Manifest pages, chunk-list nodes, and the digests that stand over them.

A page is a run of entries sorted by path, where '/' sorts before every other character, so that the order is the
order of a depth-first walk. Leaf pages hold files, symlinks and empty folders; pages above hold pages. The digest
of a page is BLAKE3 over the MessagePack of the (path, kind, size, digest, flags) of its entries: nothing of the
store, and nothing of how files were cut, goes into it.
"""

from enum import IntEnum
from typing import Final

import msgspec
from blake3 import blake3

from artifactstore.errors import Damaged
from artifactstore.format.coding import decoder_of, encode
from artifactstore.format.limits import (
    CID_BYTES,
    DIGEST_BYTES,
    FILE_BYTES_MAX,
    INLINE_CHUNKS_MAX,
    LIST_DEPTH_MAX,
    LIST_REFERENCES_MAX,
    PAGE_ENTRIES_MAX,
    PAGE_LEVEL_MAX,
    PATH_BYTES_MAX,
)

EXECUTABLE: Final = 1


class Kind(IntEnum):
    """What an entry is."""

    FILE = 1
    SYMLINK = 2
    FOLDER = 3
    REFERENCE = 4
    PAGE = 5


# (path, kind, size in bytes, digest, flags): all that a digest stands over.
Identity = tuple[str, int, int, bytes, int]


class Content(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Where an entry's bytes come from.

    Attributes:
        depth: 0 when `cids` are data chunks; else the number of list levels under the one list chunk in `cids`.
        cids: 32-byte cids, concatenated.
        sizes: Plaintext bytes under each cid (for a page: entries under it).
        target: A symlink's target; empty otherwise.
    """

    depth: int
    cids: bytes
    sizes: list[int]
    target: str = ""


class Page(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One node of a manifest.

    Attributes:
        level: 0 for a leaf.
        identities: What the digest stands over, sorted by path.
        contents: Parallel to `identities`.
    """

    level: int
    identities: list[Identity]
    contents: list[Content]


class ListNode(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One node of a chunk list: children and the plaintext bytes under each.

    Attributes:
        level: 1 when the children are data chunks.
        cids: 32-byte cids of the children, concatenated.
        sizes: Plaintext bytes under each child.
    """

    level: int
    cids: bytes
    sizes: list[int]


EMPTY: Final = Content(0, b"", [])

_decode_page = decoder_of(Page, "a manifest page")
_decode_list = decoder_of(ListNode, "a chunk list")


def path_order(path: str) -> str:
    """The sort key of a path: '/' sorts below every other character."""
    return path.replace("/", "\0")


def page_digest(identities: list[Identity]) -> bytes:
    """BLAKE3-256 over the MessagePack array of identities."""
    return blake3(encode(identities)).digest()


def decode_page(data: bytes, where: str) -> Page:
    """Parse a page and check everything that does not need another object.

    Raises:
        Damaged: It is malformed, unsorted or out of bounds.
    """
    page = _decode_page(data, where)
    # One more than the maximum: a lone last child joins the page before it.
    if len(page.identities) != len(page.contents) or len(page.identities) > PAGE_ENTRIES_MAX + 1:
        raise Damaged(f"{where}: a page's tables differ in length or exceed {PAGE_ENTRIES_MAX}", object=where)
    if not 0 <= page.level <= PAGE_LEVEL_MAX:
        raise Damaged(f"{where}: a page declares level {page.level}", object=where)
    last = ""
    for (path, kind, size, digest, _flags), content in zip(page.identities, page.contents, strict=True):
        order = path_order(path)
        if order <= last or len(path.encode()) > PATH_BYTES_MAX:
            raise Damaged(f"{where}: a page is unsorted or holds a path that is too long", object=where)
        last = order
        if (
            len(digest) != DIGEST_BYTES
            or not 0 <= size <= FILE_BYTES_MAX
            or (kind == Kind.PAGE) != (page.level > 0)
        ):
            raise Damaged(f"{where}: entry {path!r} is malformed", object=where, path=path)
        _check_content(kind, size, content, path, where)
    return page


def _check_content(kind: int, size: int, content: Content, path: str, where: str) -> None:
    count = len(content.sizes)
    good = len(content.cids) == count * CID_BYTES and all(
        0 <= part <= FILE_BYTES_MAX for part in content.sizes
    )
    if kind == Kind.FILE:
        bound = INLINE_CHUNKS_MAX if content.depth == 0 else 1
        good = good and 0 <= content.depth <= LIST_DEPTH_MAX and count <= bound and sum(content.sizes) == size
        good = good and (content.depth == 0 or count == 1) and 0 not in content.sizes and not content.target
    elif kind == Kind.PAGE:
        good = good and count == 1 and not content.target
    elif kind == Kind.SYMLINK:
        good = good and count == 0 and 0 < len(content.target.encode()) == size <= PATH_BYTES_MAX
    else:
        good = good and count == 0 and size == 0 and not content.target
    if not good:
        raise Damaged(f"{where}: the content of {path!r} contradicts its size", object=where, path=path)


def decode_list(data: bytes, level: int, size: int, where: str) -> ListNode:
    """Parse a chunk-list node that its parent says is of `level` over `size` bytes.

    Raises:
        Damaged: It is malformed or contradicts its parent.
    """
    node = _decode_list(data, where)
    count = len(node.sizes)
    if (
        node.level != level
        or not 1 <= count <= LIST_REFERENCES_MAX + 1
        or len(node.cids) != count * CID_BYTES
        or min(node.sizes) <= 0
        or sum(node.sizes) != size
    ):
        raise Damaged(f"{where}: a chunk list contradicts its parent", object=where)
    return node
