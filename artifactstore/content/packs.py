"""Whole packs of what is read before any index can help: index segments and states."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import eq
from typing import Final, TypeVar

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX, Backend
from artifactstore.clock import Randomness
from artifactstore.compression import RAW, compress
from artifactstore.content.put import CidKeys
from artifactstore.crypto.hashing import keyed_blake3
from artifactstore.errors import Damaged
from artifactstore.format.limits import (
    CID_PREFIX_BYTES,
    KEY_BYTES,
    PACK_BYTES_MAX,
    PACK_BYTES_TARGET,
    TAG_BYTES,
)
from artifactstore.format.pack import PackedChunk, PackType
from artifactstore.format.segment import (
    ROW,
    Segment,
    decode_fan_out,
    decode_segment,
    encode_fan_out,
    renumbered,
    split_rows,
)
from artifactstore.index.tables import StoredPack
from artifactstore.pack.reader import BlobOpener, PackRef, open_whole, read_contents
from artifactstore.pack.writer import FinishedPack, OpenPack

T = TypeVar("T")

# Whose chunks the index knows: the others are read whole.
INDEXED_TYPES: Final = (PackType.DATA, PackType.PAGE, PackType.LIST)
# Of whole packs that are fetched together.
FETCHED_BYTES_MAX: Final = 32 << 20
# 24 MiB of rows: with its footer an index pack always fits one pack.
INDEX_ROWS_MAX: Final = 1 << 19
_LEVEL: Final = 3
# The number of the only pack in its own rows.
_FIRST: Final = bytes(4)


def pack_up(
    keys: CidKeys,
    kind: PackType,
    chunks: Iterable[bytes],
    randomness: Randomness,
    *,
    level: int | None = _LEVEL,
) -> Iterator[FinishedPack]:
    """Yield packs that hold `chunks` in order, one blob each; the caller stores them.

    Args:
        keys: Gives store id and cid keys.
        kind: What the chunks are.
        chunks: The chunks.
        randomness: Makes pack keys.
        level: zstd's; None for chunks that nothing compresses.
    """
    cid_key = keys.cid_key(kind.name.lower())
    pack: OpenPack | None = None
    for chunk in chunks:
        codec, payload = (RAW, chunk) if level is None else compress(chunk, level)
        described = keyed_blake3(cid_key, chunk), [len(chunk)]
        length = len(payload) + TAG_BYTES
        at = None if pack is None else pack.reserve(length, len(chunk), codec, *described)
        if pack is None or at is None:
            if pack is not None:
                yield pack.close()
            pack = OpenPack(keys.store_id, kind, randomness.token(KEY_BYTES), PACK_BYTES_TARGET)
            at = pack.reserve(length, len(chunk), codec, *described)
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
    rows: list[bytes] = []
    for number, pack in enumerate(packs):
        rows += renumbered(pack.rows, {_FIRST: number.to_bytes(4, "big")})
    rows.sort()
    return rows


def merged_rows(segments: Iterable[Segment]) -> tuple[list[bytes], list[bytes]]:
    """Join segments into one sorted list; return (names of packs, rows numbered by them)."""
    return next(merged_groups(segments, (), None), ([], []))


def merged_groups(
    segments: Iterable[Segment], without: Container[bytes], rows_max: int | None
) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Join segments into sorted lists; yield (names of packs, rows numbered by them) of each.

    Args:
        segments: Each with its rows sorted; taken one by one.
        without: Names of packs that are left out, with their rows.
        rows_max: A list ends with the segment that reaches so many rows; None for a single one.
    """
    numbers: dict[bytes, int] = {}
    rows: list[bytes] = []
    for segment in segments:
        for name in segment.packs:
            if name not in numbers and name not in without:
                numbers[name] = len(numbers)
        if not numbers.keys().isdisjoint(segment.packs):
            rows += renumbered_rows(segment, numbers)
        if rows_max is not None and len(rows) >= rows_max:
            yield list(numbers), _distinct(rows)
            numbers, rows = {}, []
    if rows:
        yield list(numbers), _distinct(rows)


def _distinct(rows: list[bytes]) -> list[bytes]:
    """Rows sorted, each once: as runs that are sorted already, in a third of the time that a set of them takes."""
    rows.sort()
    if any(map(eq, rows, islice(rows, 1, None))):
        rows = list(dict.fromkeys(rows))
    return rows


def renumbered_rows(segment: Segment, numbers: Mapping[bytes, int]) -> list[bytes]:
    """A segment's rows with other numbers for its packs; rows of a pack without one are left out.

    Args:
        segment: The segment.
        numbers: The number of each pack, by its name.
    """
    return renumbered(
        segment.rows,
        {
            at.to_bytes(4, "big"): numbers[name].to_bytes(4, "big")
            for at, name in enumerate(segment.packs)
            if name in numbers
        },
    )


def ref_of(stored: StoredPack) -> PackRef:
    """What opens a registered pack."""
    return PackRef(stored.added.name, PackType(stored.added.type), stored.added.size, stored.key)


def chunks_of(
    data: memoryview, start: int, chunks: Iterable[PackedChunk], keys: CidKeys, pack: PackRef
) -> Iterator[bytes]:
    """Open chunks one by one, each verified against its cid.

    Args:
        data: The part of the pack that holds their blobs.
        start: Where in the pack that part begins.
        chunks: Some of the pack's, those of one blob side by side.
        keys: Gives store id and cid keys.
        pack: The pack.

    Raises:
        Damaged: A blob was altered.
    """
    opener = BlobOpener(keys.store_id, pack)
    key = keys.cid_key(pack.type.name.lower())
    ordinal, raw = -1, b""
    for chunk in chunks:
        if chunk.ordinal != ordinal:
            ordinal, blob = chunk.ordinal, chunk.blob
            at = blob.offset - start
            raw = opener.open(data[at : at + blob.length], ordinal, blob.codec, blob.raw_length)
        part = raw[chunk.start : chunk.start + chunk.length]
        if keyed_blake3(key, part) != chunk.cid:
            raise Damaged(f"{pack.name}: a chunk is not the one its cid names", object=pack.name)
        yield part


def footer_segments(backend: Backend, keys: CidKeys, pack: PackRef) -> list[Segment]:
    """The index rows of a pack's chunks, by its own footer: the same that the index holds of it.

    Raises:
        Damaged: The pack is missing, or its footer was altered.
    """
    rows = footer_rows(read_contents(backend, keys.store_id, pack))
    return [decode_segment(segment, pack.name) for _, segment in split_rows([pack.sha256], rows)]


def footer_rows(chunks: Iterable[PackedChunk]) -> list[bytes]:
    """The sorted index rows of one pack's chunks, with pack number 0."""
    return sorted(
        ROW.pack(chunk.cid[:CID_PREFIX_BYTES], 0, chunk.ordinal, *chunk.blob, chunk.start, chunk.length)
        for chunk in chunks
    )


def fetch_whole(
    backend: Backend, keys: CidKeys, packs: Sequence[PackRef]
) -> Iterator[tuple[PackRef, Iterator[bytes]]]:
    """Fetch whole packs, several together, and yield each with its chunks in order, verified.

    Packs of at most 32 MiB together are in memory, or a single larger one.

    Raises:
        Damaged: A pack is missing or was altered.
    """
    for lot in lots(packs, lambda pack: pack.size, FETCHED_BYTES_MAX):
        fetched = list(backend.get_many([pack.name for pack in lot], limit_bytes=PACK_BYTES_MAX))
        for at, pack in enumerate(lot):
            data, chunks = open_whole(fetched[at], keys.store_id, pack)
            yield pack, chunks_of(data, 0, chunks, keys, pack)


def lots(items: Iterable[T], size_of: Callable[[T], int], bytes_max: int) -> Iterator[list[T]]:
    """Split what is to be fetched into lots that are asked for together and fit into memory together."""
    lot: list[T] = []
    total = 0
    for item in items:
        size = size_of(item)
        if lot and (total + size > bytes_max or len(lot) == PARALLEL_REQUESTS_MAX):
            yield lot
            lot, total = [], 0
        lot.append(item)
        total += size
    if lot:
        yield lot


def segments_of(chunks: Iterable[bytes], where: str, without: Container[bytes] = ()) -> Iterator[Segment]:
    """The segments among an index pack's chunks; the last chunk is their fan-out.

    Args:
        chunks: The chunks.
        where: The pack's name, for errors.
        without: As of `decode_segment`.

    Raises:
        Damaged: One is malformed, or the fan-out does not fit them.
    """
    firsts: list[bytes] = []
    last: bytes | None = None
    for chunk in chunks:
        if last is not None:
            segment = decode_segment(last, where, without)
            firsts.append(segment.rows[:CID_PREFIX_BYTES])
            yield segment
        last = chunk
    if firsts != decode_fan_out(last or b"", where):
        raise Damaged(f"{where}: the fan-out does not fit the segments", object=where)


def read_segments(
    backend: Backend, keys: CidKeys, packs: Sequence[PackRef], without: Container[bytes] = ()
) -> Iterator[Segment]:
    """The segments of index packs, pack by pack.

    Args:
        backend: Where the packs lie.
        keys: Gives store id and cid keys.
        packs: The index packs.
        without: As of `decode_segment`.

    Raises:
        Damaged: A pack is missing, was altered, or its fan-out does not fit its segments.
    """
    for pack, chunks in fetch_whole(backend, keys, packs):
        yield from segments_of(chunks, pack.name, without)
