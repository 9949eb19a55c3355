"""What can be told of an LMDB data file before LMDB maps it: whether it is one, whole and of sane shape.

LMDB trusts its file: reading a page that lies beyond the end of one that was cut kills the process with
SIGBUS, so the check is made here, on bytes that are read and not mapped. It looks at the two meta pages, the
length of the file and the root pages; it does not walk the trees. Layout: data format 1 of LMDB 0.9 on 64-bit
machines.
"""

import os
import struct
from pathlib import Path
from typing import Final, NamedTuple

PAGE_SIZE_MIN: Final = 512
PAGE_SIZE_MAX: Final = 65536
DEPTH_MAX: Final = 32
MAGIC: Final = 0xBEEFC0DE
DATA_FORMAT: Final = 1

_PAGE = struct.Struct("=QHHHH")  # number, pad, flags, lower, upper
_META = struct.Struct("=IIQQ")  # magic, format, address, map size
_TREE = struct.Struct("=IHHQQQQQ")  # pad, flags, depth, branch, leaf and overflow pages, entries, root
_TAIL = struct.Struct("=QQ")  # last page, transaction
_META_BYTES = _PAGE.size + _META.size + 2 * _TREE.size + _TAIL.size
_FLAG_BRANCH, _FLAG_LEAF, _FLAG_META = 0x01, 0x02, 0x08
_NO_ROOT = (1 << 64) - 1


class IndexBroken(Exception):
    """An index can't be used as it is: cut, garbage, not LMDB's or found corrupt. Destroy and rebuild it.

    Attributes:
        path: The index's folder.
        reason: What is wrong with it.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class _Meta(NamedTuple):
    page_size: int
    roots: tuple[int, ...]
    depths: tuple[int, ...]
    last_page: int
    transaction: int


class _Malformed(Exception):
    pass


def check_data_file(folder: Path) -> None:
    """Return if `folder` has no `data.mdb`, or an empty one, or one that LMDB can be trusted with.

    Raises:
        IndexBroken: It is anything else.
        OSError: It can't be read.
    """
    path = folder / "data.mdb"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return
    try:
        _check(descriptor)
    except _Malformed as error:
        raise IndexBroken(folder, str(error)) from None
    except IsADirectoryError:
        raise IndexBroken(folder, "data.mdb is a folder") from None
    finally:
        os.close(descriptor)


def _check(descriptor: int) -> None:
    first = os.pread(descriptor, _META_BYTES, 0)
    if not first and os.fstat(descriptor).st_size == 0:
        return
    metas = [_parse_meta(first)]
    page_size = metas[0].page_size
    metas.append(_parse_meta(os.pread(descriptor, _META_BYTES, page_size)))
    if metas[1].page_size != page_size:
        raise _Malformed("its meta pages disagree")
    meta = max(metas, key=lambda each: each.transaction)
    # The length is taken after the meta page: a writer in another process only ever adds to it.
    length = os.fstat(descriptor).st_size
    if length < (meta.last_page + 1) * page_size:
        raise _Malformed(f"it was cut: {length} bytes, {(meta.last_page + 1) * page_size} expected")
    for root, depth in zip(meta.roots, meta.depths, strict=True):
        _check_root(descriptor, meta, root, depth)


def _parse_meta(data: bytes) -> _Meta:
    if len(data) < _META_BYTES:
        raise _Malformed("it was cut within its meta pages")
    flags = _PAGE.unpack_from(data)[2]
    magic, data_format, _, _ = _META.unpack_from(data, _PAGE.size)
    if magic != MAGIC or not flags & _FLAG_META:
        raise _Malformed("it is not an LMDB data file")
    if data_format != DATA_FORMAT:
        raise _Malformed(f"it has LMDB's data format {data_format}, not {DATA_FORMAT}")
    at = _PAGE.size + _META.size
    trees = [_TREE.unpack_from(data, at), _TREE.unpack_from(data, at + _TREE.size)]
    last_page, transaction = _TAIL.unpack_from(data, at + 2 * _TREE.size)
    page_size = trees[0][0]
    if not PAGE_SIZE_MIN <= page_size <= PAGE_SIZE_MAX or page_size & (page_size - 1):
        raise _Malformed(f"it claims pages of {page_size} bytes")
    return _Meta(
        page_size,
        tuple(tree[7] for tree in trees),
        tuple(tree[2] for tree in trees),
        last_page,
        transaction,
    )


def _check_root(descriptor: int, meta: _Meta, root: int, depth: int) -> None:
    if root == _NO_ROOT:
        return
    if not 2 <= root <= meta.last_page or depth > DEPTH_MAX:  # noqa: PLR2004 - 0 and 1 are the meta pages
        raise _Malformed("a root lies outside of it")
    head = os.pread(descriptor, _PAGE.size, root * meta.page_size)
    number, _, flags, _, _ = _PAGE.unpack(head)
    if number != root or not flags & (_FLAG_BRANCH | _FLAG_LEAF):
        raise _Malformed("a root page is not one")
