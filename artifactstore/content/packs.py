"""Whole packs of what is read before any index can help: index segments and states."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from artifactstore.backend.base import Backend
from artifactstore.clock import Randomness
from artifactstore.compression import compress
from artifactstore.content.put import CidKeys
from artifactstore.crypto.hashing import keyed_blake3
from artifactstore.errors import Damaged
from artifactstore.format.limits import CID_PREFIX_BYTES, KEY_BYTES, PACK_BYTES_TARGET, TAG_BYTES
from artifactstore.format.pack import PackType
from artifactstore.format.segment import (
    ROW,
    Segment,
    decode_fan_out,
    decode_segment,
    encode_fan_out,
    split_rows,
)
from artifactstore.pack.reader import BlobOpener, PackRef, read_contents, read_whole
from artifactstore.pack.writer import FinishedPack, OpenPack

# Whose chunks the index knows: the others are read whole.
INDEXED_TYPES: Final = (PackType.DATA, PackType.PAGE, PackType.LIST)
# 24 MiB of rows: with its footer an index pack always fits one pack.
INDEX_ROWS_MAX: Final = 1 << 19
_LEVEL: Final = 3


def pack_up(
    keys: CidKeys, kind: PackType, chunks: Iterable[bytes], randomness: Randomness
) -> Iterator[FinishedPack]:
    """Yield packs that hold `chunks` in order, one blob each; the caller stores them."""
    cid_key = keys.cid_key(kind.name.lower())
    pack: OpenPack | None = None
    for chunk in chunks:
        codec, payload = compress(chunk, _LEVEL)
        described = [(keyed_blake3(cid_key, chunk), len(chunk))]
        length = len(payload) + TAG_BYTES
        at = None if pack is None else pack.reserve(length, len(chunk), codec, described)
        if pack is None or at is None:
            if pack is not None:
                yield pack.close()
            pack = OpenPack(keys.store_id, kind, randomness.token(KEY_BYTES), PACK_BYTES_TARGET)
            at = pack.reserve(length, len(chunk), codec, described)
            assert at is not None
        pack.seal(at, payload, codec, len(chunk))
    if pack is not None:
        yield pack.close()


def index_packs(
    keys: CidKeys, packs: Sequence[bytes], rows: Sequence[bytes], randomness: Randomness
) -> Iterator[FinishedPack]:
    """Yield index packs over sorted rows, each with its fan-out as the last chunk.

    Args:
        keys: Gives store id and cid keys.
        packs: Names of the packs that the rows' pack numbers stand for.
        rows: Rows of 45 bytes, sorted.
        randomness: Makes pack keys.
    """
    for start in range(0, len(rows), INDEX_ROWS_MAX):
        segments = split_rows(packs, rows[start : start + INDEX_ROWS_MAX])
        chunks = [segment for _, segment in segments]
        chunks.append(encode_fan_out([first for first, _ in segments]))
        yield from pack_up(keys, PackType.INDEX, chunks, randomness)


def joined_rows(packs: Sequence[FinishedPack]) -> list[bytes]:
    """The sorted rows of several finished packs, numbered by their position in `packs`."""
    rows = [
        row[:16] + number.to_bytes(4, "big") + row[20:]
        for number, pack in enumerate(packs)
        for row in pack.rows
    ]
    rows.sort()
    return rows


def merged_rows(segments: Iterable[Segment]) -> tuple[list[bytes], list[bytes]]:
    """Join segments into one sorted list; return (names of packs, rows numbered by them)."""
    numbers: dict[bytes, int] = {}
    rows: set[bytes] = set()
    for segment in segments:
        heads = [numbers.setdefault(name, len(numbers)).to_bytes(4, "big") for name in segment.packs]
        data = segment.rows
        for at in range(0, len(data), ROW.size):
            head = heads[int.from_bytes(data[at + 16 : at + 20], "big")]
            rows.add(data[at : at + 16] + head + data[at + 20 : at + ROW.size])
    return list(numbers), sorted(rows)


def read_all(backend: Backend, keys: CidKeys, pack: PackRef) -> list[bytes]:
    """Every chunk of a pack, in order, each verified against its cid.

    Raises:
        Damaged: The pack is missing or was altered.
    """
    data, chunks = read_whole(backend, keys.store_id, pack)
    opener = BlobOpener(keys.store_id, pack)
    key = keys.cid_key(pack.type.name.lower())
    found: list[bytes] = []
    ordinal, raw = -1, b""
    for chunk in chunks:
        if chunk.ordinal != ordinal:
            ordinal, blob = chunk.ordinal, chunk.blob
            raw = opener.open(
                data[blob.offset : blob.offset + blob.length], ordinal, blob.codec, blob.raw_length
            )
        part = raw[chunk.start : chunk.start + chunk.length]
        if keyed_blake3(key, part) != chunk.cid:
            raise Damaged(f"{pack.name}: a chunk is not the one its cid names", object=pack.name)
        found.append(part)
    return found


def footer_segments(backend: Backend, keys: CidKeys, pack: PackRef) -> list[Segment]:
    """The index rows of a pack's chunks, by its own footer: the same that the index holds of it.

    Raises:
        Damaged: The pack is missing, or its footer was altered.
    """
    rows = sorted(
        ROW.pack(chunk.cid[:CID_PREFIX_BYTES], 0, chunk.ordinal, *chunk.blob, chunk.start, chunk.length)
        for chunk in read_contents(backend, keys.store_id, pack)
    )
    return [decode_segment(segment, pack.name) for _, segment in split_rows([pack.sha256], rows)]


def read_segments(backend: Backend, keys: CidKeys, pack: PackRef) -> list[Segment]:
    """The segments of an index pack; its last chunk is their fan-out.

    Raises:
        Damaged: The pack is missing, was altered, or its fan-out does not fit its segments.
    """
    *parts, fan_out = read_all(backend, keys, pack)
    segments = [decode_segment(part, pack.name) for part in parts]
    if [segment.rows[:16] for segment in segments] != decode_fan_out(fan_out, pack.name):
        raise Damaged(f"{pack.name}: the fan-out does not fit the segments", object=pack.name)
    return segments
