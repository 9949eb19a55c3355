"""The pack: header, sealed blobs, sealed footer, clear trailer.

Invariant 10: trailer, footer and the cids of the opened chunks agree. Invariant 15: a blob opens only as what it
was sealed as, because its associated data names suite, store, type, ordinal, codec and raw length.
"""

import struct
from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import pairwise
from typing import Final, NamedTuple

import msgspec

from artifactstore.errors import Damaged, NewerStore
from artifactstore.format.cids import cid_prefixes, split_cids
from artifactstore.format.coding import decoder_of, encode
from artifactstore.format.limits import (
    BLOB_RAW_BYTES_MAX,
    CID_BYTES,
    CID_PREFIX_BYTES,
    FORMAT_VERSION,
    PACK_BLOBS_MAX,
    PACK_BYTES_MAX,
    PACK_CHUNKS_MAX,
    SUITE,
    TAG_BYTES,
)

MAGIC: Final = b"ASTP"
END_MAGIC: Final = b"PTSA"
HEADER: Final = struct.Struct(">4sHBB32s8x")
END: Final = struct.Struct(">II4s")
_AAD: Final = struct.Struct(">B32sBIBI")
CODEC_MAX: Final = 255
FOOTER_ORDINAL: Final = 0xFFFF_FFFF
FOOTER_NONCE: Final = b"\xff" * 12


class PackType(IntEnum):
    """What the chunks of a pack are; one type a pack, one cid key a type."""

    DATA = 1
    PAGE = 2
    LIST = 3
    INDEX = 4
    STATE = 5
    RECEIPT = 6


class Blob(NamedTuple):
    """Where one sealed blob lies in its pack, and what it opens to."""

    offset: int
    length: int
    raw_length: int
    codec: int


class Footer(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The sealed table of contents: per blob its lengths, codec and chunk count; per chunk its cid and length.

    Attributes:
        blobs: (sealed length, raw length, codec, number of chunks) of each blob, in order from the header on.
        cids: The 32-byte cids of all chunks, concatenated in order.
        lengths: The raw length of each chunk, in the same order.
    """

    blobs: list[tuple[int, int, int, int]]
    cids: bytes
    lengths: list[int]


_decode_footer = decoder_of(Footer, "the pack footer")


def encode_header(store_id: bytes, pack_type: PackType) -> bytes:
    """Return the 48 bytes that open a pack."""
    return HEADER.pack(MAGIC, FORMAT_VERSION, SUITE, pack_type, store_id)


def check_header(data: bytes | memoryview, store_id: bytes, pack_type: PackType, where: str) -> None:
    """Verify that a pack begins as this store's pack of that type must.

    Raises:
        Damaged: It is not a pack, or of another store or type.
        NewerStore: It is of a format or suite that this release does not know.
    """
    if len(data) < HEADER.size:
        raise Damaged(f"{where} is too short for a pack", object=where)
    magic, version, suite, kind, found_id = HEADER.unpack_from(data)
    if magic != MAGIC or any(data[HEADER.size - 8 : HEADER.size]):
        raise Damaged(f"{where} is not a pack", object=where)
    if version != FORMAT_VERSION or suite != SUITE:
        raise NewerStore(f"{where} is of format {version}, suite {suite}", object=where)
    if found_id != store_id or kind != pack_type:
        raise Damaged(f"{where} is a pack of another store or type", object=where, found_type=kind)


def blob_aad(store_id: bytes, pack_type: PackType, ordinal: int, codec: int, raw_length: int) -> bytes:
    """The associated data of one blob (or, with `FOOTER_ORDINAL`, of the footer)."""
    return _AAD.pack(SUITE, store_id, pack_type, ordinal, codec, raw_length)


def encode_trailer(cids: bytes, footer_length: int) -> bytes:
    """Return the clear trailer of a pack with these cids, one after another.

    It is the sorted prefixes of the cids, their count and the sealed footer's length.
    """
    return sorted_prefixes(cids) + END.pack(len(cids) // CID_BYTES, footer_length, END_MAGIC)


def sorted_prefixes(cids: bytes) -> bytes:
    """What a trailer says of chunks whose cids these are, one after another."""
    return b"".join(sorted(cid_prefixes(cids)))


class Trailer(NamedTuple):
    """What the end of a pack says in clear."""

    prefixes: list[bytes]
    footer_length: int
    length: int


def trailer_length(end: bytes | memoryview, where: str) -> tuple[int, int]:
    """From a pack's last 12 bytes, return (length of the trailer, length of the sealed footer).

    Raises:
        Damaged: These are not the last bytes of a pack.
    """
    if len(end) < END.size:
        raise Damaged(f"{where} is too short for a pack", object=where)
    count, footer_length, magic = END.unpack(end[-END.size :])
    total = count * CID_PREFIX_BYTES + END.size
    if magic != END_MAGIC or count > PACK_CHUNKS_MAX or footer_length < TAG_BYTES:
        raise Damaged(f"{where} does not end as a pack does; it was cut or altered", object=where)
    if total + footer_length + HEADER.size > PACK_BYTES_MAX:
        raise Damaged(f"{where} declares a footer beyond the size of a pack", object=where)
    return total, footer_length


def decode_trailer(data: bytes | memoryview, where: str) -> Trailer:
    """Parse a trailer; `data` is exactly the trailer's bytes.

    Raises:
        Damaged: The length or the order of the prefixes is wrong.
    """
    total, footer_length = trailer_length(data, where)
    if total != len(data):
        raise Damaged(
            f"{where}: the trailer's length is wrong", object=where, expected=total, found=len(data)
        )
    body = bytes(data[: -END.size])
    step = CID_PREFIX_BYTES
    prefixes = [body[i : i + step] for i in range(0, len(body), step)]
    if any(a > b for a, b in pairwise(prefixes)):
        raise Damaged(f"{where}: the trailer is not sorted", object=where)
    return Trailer(prefixes, footer_length, total)


def trailer_fits(data: bytes | memoryview, cids: bytes, where: str) -> bool:
    """Whether a trailer says of a pack's chunks what their cids, one after another, do (invariant 10).

    Raises:
        Damaged: These are not the last bytes of a pack.
    """
    total, _ = trailer_length(data, where)
    return total == len(data) and data[: -END.size] == sorted_prefixes(cids)


def encode_footer(blobs: Sequence[tuple[int, int, int, int]], cids: bytes, lengths: Sequence[int]) -> bytes:
    """Return the plaintext of a footer; the cids stand one after another."""
    return encode(Footer(list(blobs), cids, list(lengths)))


class PackedChunk(NamedTuple):
    """One chunk as a footer describes it."""

    cid: bytes
    ordinal: int
    blob: Blob
    start: int
    length: int


class PackedBlob(NamedTuple):
    """One blob as a footer describes it, with the cids of its chunks one after another, and their lengths."""

    ordinal: int
    place: Blob
    cids: bytes
    lengths: list[int]

    def chunks(self) -> Iterator[PackedChunk]:
        """Its chunks, in order."""
        start = 0
        for cid, length in zip(split_cids(self.cids), self.lengths, strict=True):
            yield PackedChunk(cid, self.ordinal, self.place, start, length)
            start += length


def decode_footer(data: bytes, pack_length: int, where: str) -> list[PackedBlob]:
    """Parse and check an opened footer; return its blobs in order.

    Args:
        data: The footer's plaintext.
        pack_length: Bytes of the pack before its sealed footer; all blobs must end exactly there.
        where: The pack's name, for errors.

    Raises:
        Damaged: Lengths contradict each other, or exceed a bound.
    """
    footer = _decode_footer(data, where)
    count = len(footer.lengths)
    if len(footer.cids) != count * CID_BYTES or len(footer.blobs) > PACK_BLOBS_MAX or count > PACK_CHUNKS_MAX:
        raise Damaged(f"{where}: the footer's tables differ in length", object=where)
    blobs: list[PackedBlob] = []
    offset, at = HEADER.size, 0
    for ordinal, (length, raw_length, codec, chunk_count) in enumerate(footer.blobs):
        spans = footer.lengths[at : at + chunk_count]
        if (
            chunk_count < 1
            or len(spans) != chunk_count
            or sum(spans) != raw_length
            or min(spans) < 1
            or not 0 < raw_length <= BLOB_RAW_BYTES_MAX
            or not 0 <= codec <= CODEC_MAX
            or length < TAG_BYTES
            or offset + length > pack_length
        ):
            raise Damaged(f"{where}: blob {ordinal} of the footer contradicts itself", object=where)
        cids = footer.cids[at * CID_BYTES : (at + chunk_count) * CID_BYTES]
        blobs.append(PackedBlob(ordinal, Blob(offset, length, raw_length, codec), cids, spans))
        at += chunk_count
        offset += length
    if at != count or offset != pack_length:
        raise Damaged(f"{where}: the footer does not account for every byte of the pack", object=where)
    return blobs
