"""The stat cache: files that have not changed since they were read are not read again.

A row is found by a hash of the folder's absolute path and the file's name, and counts only when size, mtime, ctime
and inode are all equal. No row is written for a file whose times are within two seconds of the read that made it: a
later write in the same tick of a coarse clock would not show. A hit counts only while the index knows the chunks, in
packs that are not damaged.
"""

import os
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from artifactstore.crypto.hashing import blake3
from artifactstore.format.limits import CID_BYTES, CID_PREFIX_BYTES, DIGEST_BYTES
from artifactstore.index.environment import Environment, ReadTransaction
from artifactstore.index.tables import STAT, presence

_STAT: Final = struct.Struct(">QqqQ")
_REF: Final = struct.Struct(">BH")
# The whole row of a file that is one chunk, as nearly all small files are.
_ROW_OF_ONE: Final = struct.Struct(f">QqqQ{DIGEST_BYTES}sBH{CID_BYTES}sQ")
_SETTLED_NS: Final = 2_000_000_000
FOLDER_KEY_BYTES: Final = 16
_STAT_BYTES: Final = _STAT.size
_REF_AT: Final = _STAT_BYTES + DIGEST_BYTES
_CIDS_AT: Final = _REF_AT + _REF.size
_U64: Final = (1 << 64) - 1


class Known(NamedTuple):
    """What is known of an unchanged file: its digest and where its bytes are.

    Attributes:
        digest: Plain BLAKE3 of the file.
        depth: Levels of chunk list under `cids`.
        cids: Concatenated cids.
        sizes: Bytes under each.
        chunks: What stands for the chunks of the list, where there is one.
    """

    digest: bytes
    depth: int
    cids: bytes
    sizes: list[int]
    chunks: bytes


def folder_key(folder: str) -> bytes:
    """What the keys of a folder's files begin with: a hash of its absolute path."""
    return blake3(folder.encode("utf-8", "surrogateescape"))[:FOLDER_KEY_BYTES]


def file_key(folder: bytes, name: str) -> bytes:
    """The key of a file: rows of one folder lie side by side, in the order in which a push asks for them."""
    return folder + name.encode("utf-8", "surrogateescape")


def stat_row(
    stat: os.stat_result,
    read_ns: int,
    digest: bytes,
    depth: int,
    cids: bytes,
    sizes: list[int],
    chunks: bytes = b"",
) -> bytes | None:
    """The row for a file, or None when its times are too close to the read to be trusted.

    Args:
        stat: Of the file, taken after it was read.
        read_ns: When the read began, since the epoch.
        digest: Plain BLAKE3 of the file.
        depth: Levels of chunk list under `cids`.
        cids: Concatenated cids.
        sizes: Bytes under each.
        chunks: What stands for the chunks of the list, where there is one.
    """
    if stat.st_mtime_ns > read_ns - _SETTLED_NS or stat.st_ctime_ns > read_ns - _SETTLED_NS:
        return None
    count = len(sizes)
    if count == 1 and not chunks:
        size, inode = stat.st_size, stat.st_ino & _U64
        return _ROW_OF_ONE.pack(
            size, stat.st_mtime_ns, stat.st_ctime_ns, inode, digest, depth, 1, cids, sizes[0]
        )
    return b"".join(
        (_packed(stat), digest, _REF.pack(depth, count), cids, struct.pack(f">{count}Q", *sizes), chunks)
    )


class StatCache:
    """Looks files up within one read transaction."""

    def __init__(self, txn: ReadTransaction) -> None:
        self._row = txn.getter(STAT)
        self._is_known = presence(txn)

    def lookup(self, key: bytes, stat: os.stat_result, *, stored: bool = True) -> Known | None:
        """What is known of a file, if its stat is what it was.

        Args:
            key: Of the file.
            stat: As it is now.
            stored: Only if every chunk is still in the index.
        """
        row = self._row(key)
        if row is None or row[:_STAT_BYTES] != _packed(stat):
            return None
        depth, count = _REF.unpack_from(row, _REF_AT)
        end = _CIDS_AT + count * CID_BYTES
        cids = row[_CIDS_AT:end]
        for start in range(0, len(cids), CID_BYTES):
            if stored and not self._is_known(cids[start : start + CID_PREFIX_BYTES]):
                return None
        sizes = [stat.st_size] if count == 1 else _sizes(row, end, count)
        return Known(row[_STAT_BYTES:_REF_AT], depth, cids, sizes, row[end + count * 8 :])

    def digest(self, key: bytes, stat: os.stat_result) -> bytes | None:
        """The digest of a file, if its stat is what it was, whether its chunks are still known or not."""
        row = self._row(key)
        return None if row is None or row[:_STAT_BYTES] != _packed(stat) else row[_STAT_BYTES:_REF_AT]


def _sizes(row: bytes, at: int, count: int) -> list[int]:
    return list(struct.unpack_from(f">{count}Q", row, at))


def is_empty(txn: ReadTransaction) -> bool:
    """Whether there is nothing to look up."""
    return txn.count(STAT) == 0


def remember(environment: Environment, rows: Sequence[tuple[bytes, bytes]]) -> None:
    """Write rows of (key, row)."""
    if rows:
        with environment.write() as txn:
            txn.put_many(STAT, sorted(rows))


def _packed(stat: os.stat_result) -> bytes:
    return _STAT.pack(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino & _U64)
