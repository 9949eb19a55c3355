"""Taking survivors out of condemned packs: what is needed of them is stored in new ones.

Only the ranges that hold survivors are read. A blob of which everything is needed is opened and sealed anew, compressed
as it is: its seal says that these are the bytes which a writer put under these cids, as the footer's says which cids
they are, and whoever reads one recomputes it, from the new pack as from the old. Chunks out of other blobs are verified
here and compressed together. Reading, opening, compressing, sealing and writing overlap, with a fixed number of ranges
in memory (invariant 18).
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from itertools import groupby, islice
from typing import Final, NamedTuple

from artifactstore.backend.base import Backend, ByteRange
from artifactstore.content.packs import lots, ref_of
from artifactstore.content.put import Chunk, ChunkWriter
from artifactstore.crypto.hashing import keyed_blake3
from artifactstore.errors import ArtifactStoreError, Damaged
from artifactstore.executors import Executors, InlineExecutor
from artifactstore.format.limits import BLOB_RAW_BYTES_TARGET, CID_PREFIX_BYTES
from artifactstore.format.pack import PackedChunk, PackType
from artifactstore.index.environment import Environment, ReadTransaction
from artifactstore.index.tables import CHUNKS, PackTable, StoredPack, packs_of
from artifactstore.keyring.keyring import Keyring
from artifactstore.maintenance.examination import blobs_of
from artifactstore.pack.ranges import coalesce
from artifactstore.pack.reader import BlobOpener, PackRef, arrived, open_tail, tail_range
from artifactstore.progress import Progress

# Of a condemned pack, in one round trip; one such lot is read while another is worked on.
_READ_BYTES_MAX: Final = 4 << 20
_READS_MAX: Final = 2
_RANGE_BYTES_MAX: Final = 1 << 20
# Smaller blobs are joined with their neighbours, which takes fewer bytes; larger ones go over as they are.
_WHOLE_RAW_BYTES_MIN: Final = BLOB_RAW_BYTES_TARGET // 4
_TASKS_PER_THREAD: Final = 2
# Every call gives the interpreter's lock up: two threads that open blobs of 2 KiB take twice the time of one.
_HANDED_OVER_BYTES_MIN: Final = 16 << 10


class SurvivorParts(NamedTuple):
    """The parts that survivors are copied through; the index is complete."""

    backend: Backend
    keyring: Keyring
    environment: Environment
    packs: PackTable
    writer: ChunkWriter
    executors: Executors
    progress: Progress


class _Source(NamedTuple):
    """A condemned pack, opened."""

    number: int
    ref: PackRef
    opener: BlobOpener


class _Blob(NamedTuple):
    """A blob with survivors: those in it, and whether it goes over as it is."""

    chunks: list[PackedChunk]
    whole: bool


class _Span(NamedTuple):
    """A range of a pack, and the blobs with survivors in it."""

    source: _Source
    asked: ByteRange
    blobs: list[_Blob]


class _Opened(NamedTuple):
    """What was got out of a range: chunks and raw bytes that went over in whole blobs, and the other chunks."""

    pack: int
    kind: PackType
    whole: int
    whole_bytes: int
    loose: list[Chunk]


class _Run:
    """Chunks of one type that are to share a blob."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.size = 0


class Survivors:
    """Copies what is needed of condemned packs. Used once, by one thread.

    Args:
        parts: What it works through.
        marked: Chunks that are needed, by the first 16 bytes of their cids.
        going: Numbers of the condemned packs.
    """

    def __init__(self, parts: SurvivorParts, marked: set[bytes], going: frozenset[int]) -> None:
        self._parts = parts
        self._marked = marked
        self._going = going
        self._taken: dict[int, int] = {}
        self._reads: deque[tuple[list[_Span], Future[Sequence[bytes | ArtifactStoreError]]]] = deque()
        self._opening: deque[Future[_Opened]] = deque()
        self._putting: deque[Future[int]] = deque()
        self._tasks_max = _TASKS_PER_THREAD * parts.executors.width
        self._runs: dict[PackType, _Run] = {}
        self._here = InlineExecutor()

    def copy(self, *, all_marked: bool) -> list[StoredPack]:
        """Hand survivors to the writer; return packs with one that can't be read.

        Args:
            all_marked: Look at every chunk of the index, as most of them are marked; else at the marked ones alone.
        """
        parts = self._parts
        with parts.environment.read() as txn:
            counts = self._counts(txn, None if all_marked else self._marked)
            found = [parts.packs.get(txn, number) for number in sorted(counts)]
        packs = [pack for pack in found if pack is not None]
        for lot in lots(self._spans(packs), lambda span: span.asked.length, _READ_BYTES_MAX):
            asked = [span.asked for span in lot]
            self._reads.append((lot, parts.executors.io.submit(parts.backend.get_ranges, asked)))
            self._open_until(_READS_MAX - 1)
        self._open_until(0)
        self._settle(0)
        for kind, run in self._runs.items():
            self._put(kind, run, self._here)
        self._settle(0)
        return [pack for pack in packs if self._taken.get(pack.number, 0) < counts[pack.number]]

    def _counts(self, txn: ReadTransaction, only: set[bytes] | None) -> Mapping[int, int]:
        """By condemned pack: how many chunks have to be stored anew from it."""
        found: dict[int, int] = {}
        marked, going = self._marked, self._going
        for prefix, value in txn.scan(CHUNKS) if only is None else txn.get_many(CHUNKS, sorted(only)):
            if prefix in marked:
                pack = _source_of(value, going)
                if pack is not None:
                    found[pack] = found.get(pack, 0) + 1
        return found

    # --- what to read -------------------------------------------------------------------------------------------------

    def _spans(self, packs: Sequence[StoredPack]) -> Iterator[_Span]:
        """The ranges that hold survivors, pack by pack; of a pack without a footer everything is looked at at once."""
        parts = self._parts
        for lot in lots(packs, lambda pack: _tail_of(pack).length, _READ_BYTES_MAX):
            tails = parts.backend.get_ranges([_tail_of(pack) for pack in lot])
            for at, pack in enumerate(lot):
                ref = ref_of(pack)
                try:
                    _, chunks = open_tail(tails[at], parts.keyring.store_id, ref)
                except Damaged:
                    self._examine(pack)
                else:
                    source = _Source(pack.number, ref, BlobOpener(parts.keyring.store_id, ref))
                    wanted = self._wanted(pack.number, [chunk.cid for chunk in chunks])
                    yield from _planned(source, chunks, wanted)
                parts.progress.advance(files=1)

    def _wanted(self, pack: int, cids: Iterable[bytes]) -> set[bytes]:
        """Those of a pack's chunks that have to be taken out of it, by the first 16 bytes of their cids."""
        going = self._going
        prefixes = {cid[:CID_PREFIX_BYTES] for cid in cids} & self._marked
        with self._parts.environment.read() as txn:
            rows = txn.get_many(CHUNKS, sorted(prefixes))
        return {prefix for prefix, value in rows if _source_of(value, going) == pack}

    def _examine(self, pack: StoredPack) -> None:
        """Take what can be had of a pack that is gone or has lost its footer."""
        parts = self._parts
        for blob in blobs_of(parts.backend, parts.keyring, parts.environment, pack):
            wanted = self._wanted(pack.number, [cid for cid, _ in blob.chunks])
            loose = [Chunk(cid, bytes(data)) for cid, data in blob.chunks if cid[:CID_PREFIX_BYTES] in wanted]
            self._take(_Opened(pack.number, PackType(pack.added.type), 0, 0, loose), self._here)

    # --- opening and storing ------------------------------------------------------------------------------------------

    def _open_until(self, allowed: int) -> None:
        """Open what was read, until at most so many lots are still being read."""
        while len(self._reads) > allowed:
            spans, read = self._reads.popleft()
            for span, fetched in zip(spans, read.result(), strict=True):
                if span.asked.length < _HANDED_OVER_BYTES_MIN * len(span.blobs):
                    self._take(self._open(span, fetched), self._here)
                    continue
                self._settle(self._tasks_max - 1)
                self._opening.append(self._parts.executors.cpu.submit(self._open, span, fetched))

    def _open(self, span: _Span, fetched: bytes | ArtifactStoreError) -> _Opened:
        """Store whole blobs of a range, and return the chunks of the others; what can't be read is left out."""
        source, kind = span.source, span.source.ref.type
        whole = whole_bytes = 0
        loose: list[Chunk] = []
        try:
            data = arrived(fetched, source.ref)
        except Damaged:
            return _Opened(source.number, kind, 0, 0, loose)
        key = self._parts.writer.cid_key(kind)
        for blob in span.blobs:
            ordinal, at = blob.chunks[0].ordinal, blob.chunks[0].blob
            start = at.offset - span.asked.start
            sealed = data[start : start + at.length]
            try:
                if blob.whole:
                    payload = source.opener.unseal(sealed, ordinal, at.codec, at.raw_length)
                    described = [(chunk.cid, chunk.length) for chunk in blob.chunks]
                    self._parts.writer.put_blob(kind, payload, at.raw_length, at.codec, described)
                    whole += len(described)
                    whole_bytes += at.raw_length
                else:
                    raw = source.opener.open(sealed, ordinal, at.codec, at.raw_length)
                    loose += _verified(key, raw, blob.chunks)
            except Damaged:
                continue
        return _Opened(source.number, kind, whole, whole_bytes, loose)

    def _take(self, opened: _Opened, executor: Executor) -> None:
        """Count what was got, and have chunks that lay in a blob with garbage put, neighbours in one blob."""
        self._taken[opened.pack] = self._taken.get(opened.pack, 0) + opened.whole + len(opened.loose)
        total = opened.whole_bytes
        run = self._runs.setdefault(opened.kind, _Run())
        for chunk in opened.loose:
            size = len(chunk.data)
            if run.chunks and run.size + size > BLOB_RAW_BYTES_TARGET:
                self._put(opened.kind, run, executor)
                run = self._runs[opened.kind] = _Run()
            run.chunks.append(chunk)
            run.size += size
            total += size
        self._parts.progress.advance(bytes=total, new_bytes=total)

    def _put(self, kind: PackType, run: _Run, executor: Executor) -> None:
        self._wait_for_puts(self._tasks_max - 1)
        self._putting.append(executor.submit(self._parts.writer.put, kind, run.chunks))

    def _settle(self, allowed: int) -> None:
        """Wait until at most so many ranges are being opened, and as many runs being put."""
        while len(self._opening) > allowed:
            self._take(self._opening.popleft().result(), self._parts.executors.cpu)
        self._wait_for_puts(allowed)

    def _wait_for_puts(self, allowed: int) -> None:
        while len(self._putting) > allowed:
            self._putting.popleft().result()


def _tail_of(pack: StoredPack) -> ByteRange:
    return tail_range(ref_of(pack), pack.added.count)


def _source_of(value: bytes, going: frozenset[int]) -> int | None:
    """The pack that a chunk has to be taken out of, by its locations: the first, if all its packs go."""
    packs = packs_of(value)
    return packs[0] if going.issuperset(packs) else None


def _planned(source: _Source, chunks: Iterable[PackedChunk], wanted: set[bytes]) -> Iterator[_Span]:
    """The ranges that hold wanted chunks, each of them once."""
    blobs: list[_Blob] = []
    for _, group in groupby(chunks, key=_ordinal_of):
        rows = list(group)
        found: list[PackedChunk] = []
        for row in rows:
            prefix = row.cid[:CID_PREFIX_BYTES]
            if prefix in wanted:
                wanted.discard(prefix)
                found.append(row)
        if found:
            large = rows[0].blob.raw_length >= _WHOLE_RAW_BYTES_MIN
            blobs.append(_Blob(found, large and len(found) == len(rows)))
    rest = iter(blobs)
    places = ((blob.chunks[0].blob.offset, blob.chunks[0].blob.length) for blob in blobs)
    for span in coalesce(places, range_max=_RANGE_BYTES_MAX):
        asked = ByteRange(source.ref.name, span.start, span.length)
        yield _Span(source, asked, list(islice(rest, len(span.blobs))))


def _ordinal_of(chunk: PackedChunk) -> int:
    return chunk.ordinal


def _verified(key: bytes, raw: bytes, chunks: Iterable[PackedChunk]) -> Iterator[Chunk]:
    """Chunks of an opened blob that are what their cids name; copied, so that the rest of it can go."""
    for chunk in chunks:
        data = raw[chunk.start : chunk.start + chunk.length]
        if keyed_blake3(key, data) == chunk.cid:
            yield Chunk(chunk.cid, data)
