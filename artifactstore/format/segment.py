"""Index rows: where chunks lie, sorted by cid; inline in records and as segments of index packs.

What `decode_segment` returns keeps every bound, so that its rows may be taken apart without another look. A row is 45
bytes: the cid's first 16 bytes, then the location, whose pack is a position in the segment's own
table of pack names. `ROW_TAIL` is the location alone, as the client index keeps it (pack as a local number).
"""

import struct
from collections.abc import Container, Mapping, Sequence
from operator import eq
from typing import Final, NamedTuple

import msgspec

from artifactstore.errors import Damaged
from artifactstore.format.coding import Bytes32, decoder_of, encode
from artifactstore.format.limits import (
    BLOB_RAW_BYTES_MAX,
    CID_PREFIX_BYTES,
    PACK_BLOBS_MAX,
    PACK_BYTES_MAX,
    SEGMENT_ROWS_MAX,
    TAG_BYTES,
)

# The header of a pack: no blob begins before it ends.
_OFFSET_MIN: Final = 48

ROW: Final = struct.Struct(">16sIIIIIBII")
ROW_TAIL: Final = struct.Struct(">IIIIIBII")
# A row in three: a prefix, what it says of the blob (pack, ordinal, offset, length, raw length, codec), start and span.
ROW_BLOB: Final = struct.Struct(">IIIIIB")
ROW_SPAN: Final = struct.Struct(">II")
# Of a `ROW_TAIL` what says how much is stored: pack, length, raw length, span.
TAIL_SHARE: Final = struct.Struct(">I8xII5xI")
# A row in three: the chunk, the number of its pack, and where in the pack it lies.
ROW_PARTS: Final = struct.Struct("16s4s25s")


class Location(NamedTuple):
    """Where one chunk lies.

    Attributes:
        pack: Number of the pack, in whatever table it was read from.
        ordinal: The blob's position in the pack; it is the blob's nonce.
        offset: The sealed blob's first byte in the pack.
        length: The sealed blob's bytes.
        raw_length: The opened blob's bytes.
        codec: How the blob is compressed.
        start: The chunk's first byte in the opened blob.
        span: The chunk's bytes.
    """

    pack: int
    ordinal: int
    offset: int
    length: int
    raw_length: int
    codec: int
    start: int
    span: int


class Segment(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Rows with the packs they point into.

    Attributes:
        packs: Names (SHA-256) of the packs.
        rows: Rows of 45 bytes, sorted by their first 16.
    """

    packs: list[Bytes32]
    rows: bytes


_decode = decoder_of(Segment, "an index segment")
_decode_fan_out = decoder_of(list[bytes], "the fan-out")


def encode_segment(packs: Sequence[bytes], rows: Sequence[bytes]) -> bytes:
    """Encode rows that are sorted already."""
    return encode(Segment(list(packs), b"".join(rows)))


def decode_segment(data: bytes | memoryview, where: str, without: Container[bytes] = ()) -> Segment:
    """Parse a segment and check every row of it.

    Args:
        data: The segment.
        where: What it is, for errors.
        without: Names of packs whose rows nobody will take: where all are among them, no row is looked at.

    Raises:
        Damaged: It is malformed, or a row is out of order, names a pack that is not in the segment's table, or points
            outside what a pack or a blob may be.
    """
    segment = _decode(data, where)
    count, rest = divmod(len(segment.rows), ROW.size)
    if rest or not 1 <= count <= SEGMENT_ROWS_MAX:
        raise Damaged(f"{where}: an index segment is malformed", object=where)
    if without and all(name in without for name in segment.packs):
        return segment
    last, packs = b"", len(segment.packs)
    # Unrolled, since every location of a store passes here when an index is built.
    for prefix, pack, ordinal, offset, length, raw_length, _, start, span in ROW.iter_unpack(segment.rows):
        if (
            prefix < last
            or pack >= packs
            or ordinal >= PACK_BLOBS_MAX
            or offset < _OFFSET_MIN
            or length < TAG_BYTES
            or offset + length > PACK_BYTES_MAX
            or raw_length > BLOB_RAW_BYTES_MAX
            or not span
            or start + span > raw_length
        ):
            raise Damaged(f"{where}: an index row is out of order or out of bounds", object=where)
        last = prefix
    return segment


def split_rows(packs: Sequence[bytes], rows: Sequence[bytes]) -> list[tuple[bytes, bytes]]:
    """Cut sorted rows into segments of at most 4,096; return (first prefix, encoded segment) of each."""
    segments = []
    for start in range(0, len(rows), SEGMENT_ROWS_MAX):
        part = rows[start : start + SEGMENT_ROWS_MAX]
        used = sorted({row[16:20] for row in part})
        numbers = {old: new.to_bytes(4, "big") for new, old in enumerate(used)}
        names = [packs[int.from_bytes(old, "big")] for old in used]
        own = part if all(map(eq, numbers, numbers.values())) else renumbered(b"".join(part), numbers)
        segments.append((part[0][:CID_PREFIX_BYTES], encode_segment(names, own)))
    return segments


def renumbered(rows: bytes, numbers: Mapping[bytes, bytes]) -> list[bytes]:
    """Rows, apart, with other numbers for their packs, both of 4 bytes; those of a pack without one are left out."""
    return [
        prefix + numbers[pack] + place
        for prefix, pack, place in ROW_PARTS.iter_unpack(rows)
        if pack in numbers
    ]


def encode_fan_out(first_prefixes: Sequence[bytes]) -> bytes:
    """Encode the fan-out: the first prefix of each segment, in order; the last chunk of an index pack."""
    return encode(list(first_prefixes))


def decode_fan_out(data: bytes | memoryview, where: str) -> list[bytes]:
    """Parse a fan-out.

    Raises:
        Damaged: It is malformed.
    """
    prefixes = _decode_fan_out(data, where)
    if any(len(prefix) != CID_PREFIX_BYTES for prefix in prefixes) or prefixes != sorted(prefixes):
        raise Damaged(f"{where}: the fan-out is malformed", object=where)
    return prefixes
