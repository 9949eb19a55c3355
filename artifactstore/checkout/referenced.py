"""Files that a pull fetched for references: whether one is still what the reference names.

A hash of the bytes answers for itself. What an entity tag stands for only its server knows, and of some references
nobody has looked at the bytes: there the client goes by the file's times and inode, as it noted them when it had
fetched it.
"""

import os
from collections.abc import Iterable
from typing import Final

from artifactstore.crypto.hashing import blake3
from artifactstore.index.environment import Environment
from artifactstore.index.statcache import FOLDER_KEY_BYTES, file_key, folder_key, remember, stat_row
from artifactstore.manifest.read import StoredEntry

_LABEL: Final = b"artifactstore referenced\0"
# As if read long after it was written: the file is the client's own, and any later write gives it other times.
_SETTLED_NS: Final = 1 << 62
_ROWS_MAX: Final = 10_000


def told_by_bytes(entry: StoredEntry) -> bool:
    """Whether the bytes alone tell if a file is what a reference names."""
    return entry.reference.checksum.partition(":")[0] in {"blake3", "md5"}


def referenced_key(key: bytes) -> bytes:
    """What the stat cache knows a fetched file by: not what a push asks for, as its bytes are in no pack."""
    return blake3(_LABEL + key[:FOLDER_KEY_BYTES])[:FOLDER_KEY_BYTES] + key[FOLDER_KEY_BYTES:]


def note_fetched(environment: Environment, folder: str, entries: Iterable[StoredEntry]) -> None:
    """Note the files that were fetched for references, where nothing but that says what they are."""
    rows: list[tuple[bytes, bytes]] = []
    for entry in entries:
        if told_by_bytes(entry):
            continue
        source = os.path.join(folder, entry.path)
        try:
            stat = os.lstat(source)
        except OSError:
            continue
        row = stat_row(stat, _SETTLED_NS, entry.digest, 0, b"", [])
        if row is not None:
            parent, name = os.path.split(source)
            rows.append((referenced_key(file_key(folder_key(parent), name)), row))
        if len(rows) >= _ROWS_MAX:
            remember(environment, rows)
            rows = []
    remember(environment, rows)
