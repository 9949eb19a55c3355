"""Taking survivors out of condemned packs: what is needed of them is stored in new ones.

Only the ranges that hold survivors are read. A blob of which everything is needed is opened and sealed anew, compressed
as it is: its seal says that these are the bytes which a writer put under these cids, as the footer's says which cids
they are, and whoever reads one recomputes it, from the new pack as from the old. Chunks out of other blobs are verified
here and compressed together. Reading, opening, compressing, sealing and writing overlap, with a fixed number of ranges
in memory (invariant 18).
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Final, NamedTuple

from artifactstore.backend.base import Backend, ByteRange
from artifactstore.content.packs import lots, ref_of
from artifactstore.content.put import Chunk, ChunkWriter
from artifactstore.crypto.hashing import keyed_blake3
from artifactstore.errors import ArtifactStoreError, Damaged
from artifactstore.executors import Executors
from artifactstore.format.cids import cid_prefixes
from artifactstore.format.limits import BLOB_RAW_BYTES_TARGET, CID_PREFIX_BYTES
from artifactstore.format.pack import PackedBlob, PackedChunk, PackType
from artifactstore.index.environment import Environment, ReadTransaction
from artifactstore.index.tables import CHUNKS, PackTable, StoredPack, packs_of
from artifactstore.keyring.keyring import Keyring
from artifactstore.maintenance.census import Census
from artifactstore.maintenance.examination import blobs_of
from artifactstore.pack.ranges import coalesce
from artifactstore.pack.reader import BlobOpener, PackRef, arrived, open_blobs, tail_range
from artifactstore.progress import Progress

# Of a condemned pack, in one round trip; one such lot is read while another is worked on.
_READ_BYTES_MAX: Final = 4 << 20
_READS_MAX: Final = 2
_RANGE_BYTES_MAX: Final = 1 << 20
# Smaller blobs are joined with their neighbours, which takes fewer bytes; larger ones go over as they are.
_WHOLE_RAW_BYTES_MIN: Final = BLOB_RAW_BYTES_TARGET // 4
# As many ranges as a pack has: while the next one's are picked, threads work on these.
_RANGES_PER_THREAD: Final = 12
_PUTS_PER_THREAD: Final = 2
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
    """A blob with survivors, and those in it; None where it goes over as it is."""

    packed: PackedBlob
    chunks: list[PackedChunk] | None


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
        # Of the few marked chunks that lie more than once, the pack that each is taken out of, if all of its packs go.
        self._sources: dict[bytes, int | None] = {}
        self._reads: deque[tuple[list[_Span], Future[Sequence[bytes | ArtifactStoreError]]]] = deque()
        self._opening: deque[Future[_Opened]] = deque()
        self._putting: deque[Future[int]] = deque()
        self._ranges_max = _RANGES_PER_THREAD * parts.executors.width
        self._puts_max = _PUTS_PER_THREAD * parts.executors.width
        self._runs: dict[PackType, _Run] = {}

    def copy(self, census: Census | None, *, all_marked: bool) -> list[StoredPack]:
        """Hand survivors to the writer; return packs with one that can't be read.

        Args:
            census: What each pack holds of all that is marked; None where that is not known.
            all_marked: Look at every chunk of the index, as most of them are marked; else at the marked ones alone.
        """
        parts = self._parts
        with parts.environment.read() as txn:
            if all_marked and census is not None and census.several is not None:
                # A chunk that lies elsewhere too by now is stored once more, which does no harm.
                alone = {pack: count for pack, count in census.alone.items() if pack in self._going}
                counts = self._counted(txn.get_many(CHUNKS, census.several), alone)
            else:
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
            self._put(kind, run)
        self._settle(0)
        return [pack for pack in packs if self._taken.get(pack.number, 0) < counts[pack.number]]

    def _counts(self, txn: ReadTransaction, only: set[bytes] | None) -> dict[int, int]:
        """By condemned pack: how many chunks have to be stored anew from it."""
        rows = txn.scan(CHUNKS) if only is None else txn.get_many(CHUNKS, sorted(only))
        return self._counted((row for row in rows if row[0] in self._marked), {})

    def _counted(self, rows: Iterable[tuple[bytes, bytes]], counts: dict[int, int]) -> dict[int, int]:
        """Add needed chunks, by their rows, to the counts; each is taken out of one pack, if all that it lies in go."""
        for prefix, value in rows:
            packs = packs_of(value)
            source = packs[0] if self._going.issuperset(packs) else None
            if len(packs) > 1:
                self._sources[bytes(prefix)] = source
            if source is not None:
                counts[source] = counts.get(source, 0) + 1
        return counts

    # --- what to read -------------------------------------------------------------------------------------------------

    def _spans(self, packs: Sequence[StoredPack]) -> Iterator[_Span]:
        """The ranges that hold survivors, pack by pack; of a pack without a footer everything is looked at at once."""
        parts = self._parts
        for lot in lots(packs, lambda pack: _tail_of(pack).length, _READ_BYTES_MAX):
            tails = parts.backend.get_ranges([_tail_of(pack) for pack in lot])
            for at, pack in enumerate(lot):
                ref = ref_of(pack)
                try:
                    blobs = open_blobs(tails[at], parts.keyring.store_id, ref)
                except Damaged:
                    self._examine(pack)
                else:
                    source = _Source(pack.number, ref, BlobOpener(parts.keyring.store_id, ref))
                    yield from self._planned(source, blobs)
                parts.progress.advance(files=1)

    def _planned(self, source: _Source, packed: Iterable[PackedBlob]) -> Iterator[_Span]:
        """The ranges that hold chunks which have to be taken out of a pack, each of them once."""
        blobs: list[_Blob] = []
        taken: set[bytes] = set()
        for blob in packed:
            prefixes = cid_prefixes(blob.cids)
            wanted = self._wanted(source.number, prefixes) - taken
            if not wanted:
                continue
            taken |= wanted
            if len(wanted) == len(prefixes) and blob.place.raw_length >= _WHOLE_RAW_BYTES_MIN:
                blobs.append(_Blob(blob, None))
                continue
            found: list[PackedChunk] = []
            for prefix, chunk in zip(prefixes, blob.chunks(), strict=True):
                if prefix in wanted:
                    wanted.discard(prefix)
                    found.append(chunk)
            blobs.append(_Blob(blob, found))
        rest = iter(blobs)
        places = ((blob.packed.place.offset, blob.packed.place.length) for blob in blobs)
        for span in coalesce(places, range_max=_RANGE_BYTES_MAX):
            asked = ByteRange(source.ref.name, span.start, span.length)
            yield _Span(source, asked, list(islice(rest, len(span.blobs))))

    def _wanted(self, pack: int, prefixes: Iterable[bytes]) -> set[bytes]:
        """Those of a pack's chunks that have to be taken out of it, by the first 16 bytes of their cids."""
        marked = self._marked.intersection(prefixes)
        if self._sources:
            elsewhere = marked.intersection(self._sources)
            marked -= {prefix for prefix in elsewhere if self._sources[prefix] != pack}
        return marked

    def _examine(self, pack: StoredPack) -> None:
        """Take what can be had of a pack that is gone or has lost its footer."""
        parts = self._parts
        for blob in blobs_of(parts.backend, parts.keyring, parts.environment, pack):
            wanted = self._wanted(pack.number, [cid[:CID_PREFIX_BYTES] for cid, _ in blob.chunks])
            loose = [Chunk(cid, bytes(data)) for cid, data in blob.chunks if cid[:CID_PREFIX_BYTES] in wanted]
            self._take(_Opened(pack.number, PackType(pack.added.type), 0, 0, loose))

    # --- opening and storing ------------------------------------------------------------------------------------------

    def _open_until(self, allowed: int) -> None:
        """Open what was read, until at most so many lots are still being read."""
        while len(self._reads) > allowed:
            spans, read = self._reads.popleft()
            for span, fetched in zip(spans, read.result(), strict=True):
                if span.asked.length < _HANDED_OVER_BYTES_MIN * len(span.blobs):
                    self._take(self._open(span, fetched))
                    continue
                self._settle(self._ranges_max - 1)
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
            ordinal, at = blob.packed.ordinal, blob.packed.place
            start = at.offset - span.asked.start
            sealed = data[start : start + at.length]
            try:
                if blob.chunks is None:
                    payload = source.opener.unseal(sealed, ordinal, at.codec, at.raw_length)
                    cids, lengths = blob.packed.cids, blob.packed.lengths
                    self._parts.writer.put_blob(kind, payload, at.raw_length, at.codec, cids, lengths)
                    whole += len(lengths)
                    whole_bytes += at.raw_length
                else:
                    raw = source.opener.open(sealed, ordinal, at.codec, at.raw_length)
                    loose += _verified(key, raw, blob.chunks)
            except Damaged:
                continue
        return _Opened(source.number, kind, whole, whole_bytes, loose)

    def _take(self, opened: _Opened) -> None:
        """Count what was got, and have chunks that lay in a blob with garbage put, neighbours in one blob."""
        self._taken[opened.pack] = self._taken.get(opened.pack, 0) + opened.whole + len(opened.loose)
        total = opened.whole_bytes
        run = self._runs.setdefault(opened.kind, _Run())
        for chunk in opened.loose:
            size = len(chunk.data)
            if run.chunks and run.size + size > BLOB_RAW_BYTES_TARGET:
                self._put(opened.kind, run)
                run = self._runs[opened.kind] = _Run()
            run.chunks.append(chunk)
            run.size += size
            total += size
        self._parts.progress.advance(bytes=total, new_bytes=total)

    def _put(self, kind: PackType, run: _Run) -> None:
        self._wait_for_puts(self._puts_max - 1)
        self._putting.append(self._parts.executors.cpu.submit(self._parts.writer.put, kind, run.chunks))

    def _settle(self, allowed: int) -> None:
        """Wait until at most so many ranges are being opened, and as many runs being put."""
        while len(self._opening) > allowed:
            self._take(self._opening.popleft().result())
        self._wait_for_puts(allowed)

    def _wait_for_puts(self, allowed: int) -> None:
        while len(self._putting) > allowed:
            self._putting.popleft().result()


def _tail_of(pack: StoredPack) -> ByteRange:
    return tail_range(ref_of(pack), pack.added.count)


def _verified(key: bytes, raw: bytes, chunks: Iterable[PackedChunk]) -> Iterator[Chunk]:
    """Chunks of an opened blob that are what their cids name; copied, so that the rest of it can go."""
    for chunk in chunks:
        data = raw[chunk.start : chunk.start + chunk.length]
        if keyed_blake3(key, data) == chunk.cid:
            yield Chunk(chunk.cid, data)
