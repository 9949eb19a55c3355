"""Tiles, objects derived from the log: their names, and the layout of data tiles.

Layout of a data tile: 64 lengths as u32, those of void slots 2^32 - 1 ‖ the records of the other slots, in order.
"""

import struct
from collections.abc import Sequence
from typing import Final

from artifactstore.format.limits import DATA_TILE_BYTES_MAX

TILE_WIDTH: Final = 256
HASH_BYTES: Final = 32
DATA_TILE_WIDTH: Final = 64
_LENGTHS: Final = struct.Struct(f">{DATA_TILE_WIDTH}I")
_VOID: Final = (1 << 32) - 1


def tile_name(level: int, number: int) -> str:
    """The object name of a full Merkle tile: 256 hashes of 32 bytes."""
    return f"tree/{level}/{number}"


def data_tile_name(number: int) -> str:
    """The object name of the data tile of slots 64·number and on."""
    return f"tree/data/{number}"


def encode_data_tile(records: Sequence[bytes | None]) -> bytes | None:
    """The bytes of a data tile, None when they are too many for one.

    Args:
        records: The records of its 64 slots, None for void ones.
    """
    lengths = [_VOID if data is None else len(data) for data in records]
    size = _LENGTHS.size + sum(len(data) for data in records if data is not None)
    if size > DATA_TILE_BYTES_MAX:
        return None
    return _LENGTHS.pack(*lengths) + b"".join(data for data in records if data is not None)


def decode_data_tile(tile: bytes) -> list[bytes]:
    """What a data tile says of each of its slots, void ones empty; nothing when its lengths don't fit its size."""
    if len(tile) < _LENGTHS.size:
        return []
    at = _LENGTHS.size
    records = []
    for length in _LENGTHS.unpack_from(tile):
        size = 0 if length == _VOID else length
        records.append(tile[at : at + size])
        at += size
    return records if at == len(tile) else []
