"""Checking packs: each footer against its record and the index, and with `read_data` every byte of them.

A pack that turns out broken is examined blob by blob, since what concerns whom depends on what can still be read.
Reading whole packs is a run that may be cut: those that were read and found whole are marked in the client index.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from typing import Final, NamedTuple

from artifactstore.backend.base import Backend
from artifactstore.clock import Clock, Randomness
from artifactstore.content.locate import Locator
from artifactstore.content.packs import INDEXED_TYPES, ref_of
from artifactstore.crypto.hashing import keyed_blake3, sha256
from artifactstore.errors import ArtifactStoreError, Damaged
from artifactstore.executors import Executors
from artifactstore.format.limits import CID_PREFIX_BYTES
from artifactstore.format.pack import END, HEADER, PackedChunk, encode_trailer
from artifactstore.index.environment import Environment
from artifactstore.index.readmarks import ReadingRun, begin_run, end_run, mark_read, open_run, read_since
from artifactstore.index.tables import PackTable, StoredPack, damaged_packs, locations
from artifactstore.keyring.keyring import Keyring
from artifactstore.maintenance.examination import blobs_of
from artifactstore.maintenance.findings import BrokenPack, Problem, problem_of
from artifactstore.pack.reader import BlobOpener, PackRef, read_contents, read_whole
from artifactstore.progress import Progress

# Each holds a whole pack of 32 MiB in memory.
_READ_IN_FLIGHT: Final = 3
_LOOKED_AT_IN_FLIGHT: Final = 64
_MARKED_TOGETHER: Final = 8
_SEED_BYTES: Final = 16


class Reading(NamedTuple):
    """Which packs are to be read whole.

    Attributes:
        percent: How many of them, by chance; 0 for none.
        restart: Begin a new run although an earlier one was cut.
    """

    percent: float = 0.0
    restart: bool = False


class CheckParts(NamedTuple):
    """What a check runs through.

    Attributes:
        backend: Where the objects lie.
        keyring: Verifies and opens.
        environment: The client index, which has followed the log.
        packs: Its pack table.
        locator: Completes the index.
        executors: `io` reads packs.
        clock: Dates the marks of packs that were read.
        randomness: Chooses a sample.
        progress: Told what happens.
    """

    backend: Backend
    keyring: Keyring
    environment: Environment
    packs: PackTable
    locator: Locator
    executors: Executors
    clock: Clock
    randomness: Randomness
    progress: Progress


class _Looked(NamedTuple):
    pack: StoredPack
    chunks: int = 0
    read: int = 0
    error: ArtifactStoreError | None = None
    index_lacks: bytes = b""


class PackCheck:
    """One check of all packs. Used once.

    Attributes:
        packs: Packs that were looked at.
        chunks: Chunks that were opened.
        bytes_read: Bytes of packs that were read whole.
        read_before: Packs that an earlier part of the run had read.
        broken: Packs that are missing or not what they were, by number.
        whole_again: Packs that a record calls damaged and that are whole, with the record's slot.
        problems: What else is wrong.
    """

    def __init__(self, parts: CheckParts) -> None:
        self._parts = parts
        self._read: list[bytes] = []
        self._failed: list[_Looked] = []
        self._damaged: dict[bytes, int] = {}
        self._away: set[int] = set()
        self._in_use: frozenset[bytes] = frozenset()
        self._suspected: set[int] = set()
        self.packs = self.chunks = self.bytes_read = self.read_before = 0
        self.broken: dict[int, BrokenPack] = {}
        self.whole_again: list[tuple[bytes, int]] = []
        self.problems: list[Problem] = []

    @property
    def out_of_use(self) -> int:
        """Packs that records call damaged, and that were not found whole."""
        return len(self._damaged) - len(self.whole_again)

    def run(self, reading: Reading, in_use: frozenset[bytes]) -> None:
        """Check every registered pack.

        Args:
            reading: Which of them to read whole.
            in_use: Index packs and packs of the state that newcomers start from.
        """
        with self._parts.environment.read() as txn:
            known = list(self._parts.packs.all(txn))
            self._damaged = damaged_packs(txn)
        self.packs = len(known)
        self._in_use = in_use
        run = self._begun(reading)
        # What a record calls damaged may be whole again, and only reading it tells.
        whole = self._chosen(known, run) | self._damaged.keys()
        self._parts.progress.start(
            "check packs",
            bytes_total=sum(pack.added.size for pack in known if pack.added.name in whole) or None,
            files_total=len(known),
        )
        try:
            for looked in self._look_at(known, whole):
                self._take_in(looked)
        finally:
            self._mark()
        if run is not None:
            with self._parts.environment.write() as txn:
                end_run(txn)
        self._sort_out()

    def suspect(self, number: int) -> None:
        """Look at every byte of a pack that did not give what it should; it is among the broken then, or whole."""
        if number in self._suspected:
            return
        self._suspected.add(number)
        with self._parts.environment.read() as txn:
            pack = self._parts.packs.get(txn, number)
        if pack is None:
            return
        looked = self._look(pack, whole=True)
        if isinstance(looked.error, Damaged):
            self._away.add(number)
            self.broken[number] = self._examined(pack, looked.error.message)

    # --- which are read -----------------------------------------------------------------------------------

    def _begun(self, reading: Reading) -> ReadingRun | None:
        if not reading.percent:
            return None
        with self._parts.environment.write() as txn:
            run = open_run(txn)
            if run is None or reading.restart or run.percent != reading.percent:
                run = ReadingRun(
                    self._parts.clock.now_ns(), reading.percent, self._parts.randomness.token(_SEED_BYTES)
                )
                begin_run(txn, run)
        return run

    def _chosen(self, known: list[StoredPack], run: ReadingRun | None) -> set[bytes]:
        """Names of the packs to read whole; those that an earlier part of the run has read are left out."""
        if run is None:
            return set()
        drawn = [pack.added.name for pack in known if run.chooses(pack.added.name)]
        with self._parts.environment.read() as txn:
            left = {name for name in drawn if not read_since(txn, name, run.started_ns)}
        self.read_before = len(drawn) - len(left)
        return left

    # --- looking ------------------------------------------------------------------------------------------

    def _look_at(self, known: Iterable[StoredPack], whole: set[bytes]) -> Iterator[_Looked]:
        """Look at packs on the pool, a bounded number at a time; fewer where they are read whole."""
        allowed = _READ_IN_FLIGHT if whole else _LOOKED_AT_IN_FLIGHT
        window: deque[Future[_Looked]] = deque()
        for pack in known:
            window.append(self._parts.executors.io.submit(self._look, pack, whole=pack.added.name in whole))
            while len(window) >= allowed:
                yield window.popleft().result()
        while window:
            yield window.popleft().result()

    def _look(self, pack: StoredPack, *, whole: bool) -> _Looked:
        ref = ref_of(pack)
        read = 0
        try:
            if whole:
                data, chunks = read_whole(self._parts.backend, self._parts.keyring.store_id, ref)
                read = len(data)
                self._open_all(ref, data, chunks)
            else:
                chunks = read_contents(self._parts.backend, self._parts.keyring.store_id, ref)
            _compare_record(pack, ref, chunks)
        except ArtifactStoreError as error:
            return _Looked(pack, read=read, error=error)
        lacks = self._index_lacks(pack, chunks) if ref.type in INDEXED_TYPES else b""
        return _Looked(pack, len(chunks) if whole else 0, read, index_lacks=lacks)

    def _open_all(self, ref: PackRef, data: memoryview, chunks: list[PackedChunk]) -> None:
        opener = BlobOpener(self._parts.keyring.store_id, ref)
        key = self._parts.keyring.cid_key(ref.type.name.lower())
        ordinal, raw = -1, memoryview(b"")
        for chunk in chunks:
            if chunk.ordinal != ordinal:
                blob = chunk.blob
                sealed = data[blob.offset : blob.offset + blob.length]
                raw = memoryview(opener.open(sealed, chunk.ordinal, blob.codec, blob.raw_length))
                ordinal = chunk.ordinal
            if keyed_blake3(key, raw[chunk.start : chunk.start + chunk.length]) != chunk.cid:
                raise Damaged(f"{ref.name}: a chunk of blob {ordinal} is not the one its cid names")

    def _index_lacks(self, pack: StoredPack, chunks: list[PackedChunk]) -> bytes:
        """The first chunk of a footer that is not in the index at exactly that place (invariant 10)."""
        with self._parts.environment.read() as txn:
            for chunk in chunks:
                at = (pack.number, chunk.ordinal, *chunk.blob, chunk.start, chunk.length)
                if at not in locations(txn, chunk.cid):
                    return chunk.cid
        return b""

    def _take_in(self, looked: _Looked) -> None:
        self.chunks += looked.chunks
        self.bytes_read += looked.read
        self._parts.progress.advance(bytes=looked.read, files=1)
        name = looked.pack.added.name
        if looked.error is not None or looked.index_lacks:
            self._failed.append(looked)
        elif looked.read:
            self._read.append(name)
            if len(self._read) >= _MARKED_TOGETHER:
                self._mark()
        if looked.error is None and name in self._damaged:
            self.whole_again.append((name, self._damaged[name]))

    def _mark(self) -> None:
        if self._read:
            with self._parts.environment.write() as txn:
                mark_read(txn, self._read, self._parts.clock.now_ns())
            self._read = []

    # --- what is broken ------------------------------------------------------------------------------------

    def _sort_out(self) -> None:
        """Tell broken packs from an index that lacks something, and from what could not be looked at."""
        out = self._damaged.keys() - {name for name, _ in self.whole_again}
        self._away = {looked.pack.number for looked in self._failed if isinstance(looked.error, Damaged)}
        with self._parts.environment.read() as txn:
            self._away |= {
                number for name in out if (number := self._parts.packs.number_of(txn, name)) is not None
            }
        for looked in self._failed:
            name = ref_of(looked.pack).name
            if isinstance(looked.error, Damaged):
                self.broken[looked.pack.number] = self._examined(looked.pack, looked.error.message)
            elif looked.error is not None:
                self.problems.append(problem_of(looked.error, name, "pack"))
            else:
                self.problems.append(_index_problem(name, looked.index_lacks))

    def _examined(self, pack: StoredPack, reason: str) -> BrokenPack:
        ref = ref_of(pack)
        lost: set[int] = set()
        found = survivors = 0
        for blob in blobs_of(self._parts.backend, self._parts.keyring, self._parts.environment, pack):
            found += 1
            if not blob.chunks:
                lost.add(blob.ordinal)
            elif ref.type in INDEXED_TYPES:
                with self._parts.environment.read() as txn:
                    survivors += sum(
                        all(at.pack in self._away for at in locations(txn, cid)) for cid, _ in blob.chunks
                    )
        return BrokenPack(
            name=ref.sha256,
            object=ref.name,
            number=pack.number,
            type=ref.type,
            reason=reason,
            lost=frozenset(lost) if found > len(lost) else None,
            survivors=survivors,
            taken_out=ref.sha256 in self._damaged,
            in_use=ref.sha256 in self._in_use,
        )


def _index_problem(name: str, cid: bytes) -> Problem:
    error = Damaged(
        f"{name}: the index does not know its chunk {cid.hex()[:16]}…",
        next_step="artifactstore index rebuild",
        object=name,
    )
    return problem_of(error, name, "index")


def _compare_record(pack: StoredPack, ref: PackRef, chunks: list[PackedChunk]) -> None:
    """A pack's contents are what the record that registered it promised: so many chunks, this very trailer."""
    last = chunks[-1].blob if chunks else None
    blobs_end = HEADER.size if last is None else last.offset + last.length
    trailer_bytes = len(chunks) * CID_PREFIX_BYTES + END.size
    trailer = encode_trailer(b"".join([chunk.cid for chunk in chunks]), ref.size - blobs_end - trailer_bytes)
    if len(chunks) != pack.added.count or sha256(trailer) != pack.added.trailer:
        raise Damaged(f"{ref.name}: its trailer is not the one that its record promised", object=ref.name)
