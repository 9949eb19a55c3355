"""The stat cache: files that have not changed since they were read are not read again.

A row is found by the file's absolute path and counts only when size, mtime, ctime and inode are all equal. No row is
written for a file whose times are within two seconds of the read that made it: a later write in the same tick of a
coarse clock would not show. A hit counts only while the index still knows the chunks, which whoever asks checks.
"""

import os
import struct
from collections.abc import Sequence
from typing import Final, NamedTuple

from artifactstore.crypto.hashing import blake3
from artifactstore.format.limits import CID_BYTES, CID_PREFIX_BYTES, DIGEST_BYTES
from artifactstore.index.environment import Environment, ReadTransaction
from artifactstore.index.tables import CHUNKS, STAT

_STAT: Final = struct.Struct(">QqqQ")
_REF: Final = struct.Struct(">BH")
_SETTLED_NS: Final = 2_000_000_000
_KEY_BYTES: Final = 16
_U64: Final = (1 << 64) - 1


class Known(NamedTuple):
    """What is known of an unchanged file: its digest and where its bytes are.

    Attributes:
        digest: Plain BLAKE3 of the file.
        depth: Levels of chunk list under `cids`.
        cids: Concatenated cids.
        sizes: Bytes under each.
    """

    digest: bytes
    depth: int
    cids: bytes
    sizes: list[int]


def stat_key(path: str) -> bytes:
    """The key of a file: a hash of its absolute path."""
    return blake3(os.fsencode(path))[:_KEY_BYTES]


def stat_row(stat: os.stat_result, read_ns: int, known: Known) -> bytes | None:
    """The row for a file, or None when its times are too close to the read to be trusted.

    Args:
        stat: Of the file, taken after it was read.
        read_ns: When the read began, since the epoch.
        known: What was read.
    """
    if max(stat.st_mtime_ns, stat.st_ctime_ns) > read_ns - _SETTLED_NS:
        return None
    sizes = struct.pack(f">{len(known.sizes)}Q", *known.sizes)
    return b"".join(
        (_packed(stat), known.digest, _REF.pack(known.depth, len(known.sizes)), known.cids, sizes)
    )


def lookup(txn: ReadTransaction, path: str, stat: os.stat_result) -> Known | None:
    """What is known of the file at `path`, if its stat is what it was and every chunk is still in the index."""
    row = txn.get(STAT, stat_key(path))
    if row is None or row[: _STAT.size] != _packed(stat):
        return None
    at = _STAT.size + DIGEST_BYTES
    depth, count = _REF.unpack_from(row, at)
    at += _REF.size
    cids = bytes(row[at : at + count * CID_BYTES])
    for start in range(0, len(cids), CID_BYTES):
        if txn.get(CHUNKS, cids[start : start + CID_PREFIX_BYTES]) is None:
            return None
    sizes = list(struct.unpack_from(f">{count}Q", row, at + count * CID_BYTES))
    return Known(bytes(row[_STAT.size : _STAT.size + DIGEST_BYTES]), depth, cids, sizes)


def remember(environment: Environment, rows: Sequence[tuple[bytes, bytes]]) -> None:
    """Write rows of (key, row)."""
    if rows:
        with environment.write() as txn:
            txn.put_many(STAT, sorted(rows))


def _packed(stat: os.stat_result) -> bytes:
    return _STAT.pack(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino & _U64)
