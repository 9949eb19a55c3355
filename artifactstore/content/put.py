"""Putting chunks: known ones are skipped, new neighbours become solid blobs, blobs fill packs, packs are uploaded.

Anonymous memory is bounded (invariant 18): one open pack a type, a fixed number of packs on their way to the
backend, and the cids claimed since the last `drain`.
"""

import threading
from collections import deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, wait
from typing import Final, NamedTuple, Protocol

from artifactstore.backend.base import Backend, Buffer
from artifactstore.clock import Randomness
from artifactstore.compression import compress
from artifactstore.crypto.hashing import keyed_blake3
from artifactstore.executors import Executors
from artifactstore.format.limits import (
    BLOB_RAW_BYTES_TARGET,
    CID_PREFIX_BYTES,
    KEY_BYTES,
    PACK_BYTES_TARGET,
)
from artifactstore.format.pack import PackType
from artifactstore.format.segment import ROW
from artifactstore.index.environment import Environment
from artifactstore.index.tables import holders, known_chunks, pack_names
from artifactstore.pack.writer import FinishedPack, PackSink

# Packs of a type in memory: one that is filled, and those that are closed, hashed and on their way to the backend. Each
# holds its 32 MiB, however many threads there are. Who stores anew holds what it reads too, and the marks.
_PACKS_MAX: Final = 4
_PACKS_ANEW_MAX: Final = 3


class Chunk(NamedTuple):
    """A chunk to be put: its cid and its bytes."""

    cid: bytes
    data: Buffer


class CidKeys(Protocol):
    """What gives the key of each type's cids."""

    @property
    def store_id(self) -> bytes:
        """The store's id."""
        ...

    def cid_key(self, type_name: str) -> bytes:
        """The key under which chunks of one type are named."""
        ...


class Stored(NamedTuple):
    """What went in so far: chunks and raw bytes that were new, and bytes of finished packs."""

    chunks: int
    raw_bytes: int
    pack_bytes: int
    packs: int


class ChunkWriter:
    """Takes chunks of every type from many threads.

    Args:
        backend: Where packs go.
        environment: The client index, asked which chunks are known.
        keys: Gives store id and cid keys.
        executors: `io` runs the uploads.
        randomness: Makes pack keys.
        level: zstd level.
        anew: Store also chunks that are known, as a sweep does that takes them out of condemned packs.

    `put` is thread-safe. `flush` and `drain` are called when no thread is inside `put`.
    """

    def __init__(
        self,
        backend: Backend,
        environment: Environment,
        keys: CidKeys,
        executors: Executors,
        randomness: Randomness,
        *,
        level: int,
        anew: bool = False,
    ) -> None:
        self._backend = backend
        self._environment = environment
        self._executors = executors
        self._anew = anew
        self._level = level
        self._lock = threading.Lock()
        self._claimed: set[bytes] = set()
        self._used: set[int] = set()
        self._uploads: deque[Future[FinishedPack]] = deque()
        self._done: list[FinishedPack] = []
        self._chunks = self._raw_bytes = self._pack_bytes = self._packs = 0
        self._sinks = {
            kind: PackSink(
                keys.store_id,
                kind,
                new_key=lambda: randomness.token(KEY_BYTES),
                finished=self._upload,
                target_bytes=PACK_BYTES_TARGET,
                packs_max=_PACKS_ANEW_MAX if anew else _PACKS_MAX,
            )
            for kind in PackType
        }
        self._cid_keys = {kind: keys.cid_key(kind.name.lower()) for kind in PackType}

    @property
    def stored(self) -> Stored:
        """What went in so far."""
        return Stored(self._chunks, self._raw_bytes, self._pack_bytes, self._packs)

    def cid_key(self, kind: PackType) -> bytes:
        """The key under which chunks of a type are named."""
        return self._cid_keys[kind]

    def cid_of(self, kind: PackType, data: Buffer) -> bytes:
        """The name of a chunk: BLAKE3 of its bytes, keyed by store and type."""
        return keyed_blake3(self._cid_keys[kind], data)

    def put_one(self, kind: PackType, data: Buffer) -> bytes:
        """Put one chunk and return its cid."""
        cid = self.cid_of(kind, data)
        self.put(kind, [Chunk(cid, data)])
        return cid

    def put(self, kind: PackType, chunks: Sequence[Chunk]) -> int:
        """Put neighbouring chunks; return the raw bytes that were new.

        New neighbours are compressed together, up to 256 KiB raw a blob: solid frames of small text files take
        0.120 of the bytes where one frame a file takes 0.286.
        """
        if kind is not PackType.DATA:
            self.note_used([chunk.cid for chunk in chunks])
        fresh = self._claim(chunks)
        sink = self._sinks[kind]
        run: list[Chunk] = []
        run_bytes = total = 0
        for chunk in fresh:
            size = len(chunk.data)
            if run and run_bytes + size > BLOB_RAW_BYTES_TARGET:
                self._seal(sink, run, run_bytes)
                run, run_bytes = [], 0
            run.append(chunk)
            run_bytes += size
            total += size
        if run:
            self._seal(sink, run, run_bytes)
        if kind is PackType.DATA:
            with self._lock:
                self._chunks += len(fresh)
                self._raw_bytes += total
        return total

    def put_blob(
        self,
        kind: PackType,
        payload: Buffer,
        raw_bytes: int,
        codec: int,
        cids: bytes,
        lengths: Sequence[int],
    ) -> None:
        """Put a whole blob that is compressed already, whether its chunks are known or not.

        Args:
            kind: What the chunks are.
            payload: The blob, compressed.
            raw_bytes: Its length before.
            codec: How it was compressed.
            cids: Those of its chunks, one after another.
            lengths: Their bytes.
        """
        self._sinks[kind].add(payload, raw_bytes, codec, cids, lengths)

    def note_used(self, cids: Iterable[bytes]) -> None:
        """Remember the packs that hold these pages or lists, as far as they are known already."""
        found = holders(self._environment, cids)
        with self._lock:
            self._used.update(number for number in found if number is not None)

    def used(self) -> list[bytes]:
        """Names of the packs that `note_used` has met, oldest first."""
        with self._environment.read() as txn:
            return pack_names(txn, sorted(self._used))

    def flush(self) -> None:
        """Close all open packs and have them stored."""
        for sink in self._sinks.values():
            sink.flush()

    def drain(self) -> list[FinishedPack]:
        """Close all open packs, wait until every pack is stored, and return those since the last drain."""
        self.flush()
        self._settle()
        with self._lock:
            done, self._done = self._done, []
        return done

    def settle(self, timeout_s: float) -> None:
        """Wait for the uploads under way, for so long at most."""
        with self._lock:
            uploads = list(self._uploads)
        wait(uploads, timeout_s)

    @property
    def registrable_bytes(self) -> int:
        """Bytes of the packs that `take_stored` would return."""
        with self._lock:
            self._collect()
            return sum(pack.added.size for pack in self._done if pack.added.type == PackType.DATA)

    def take_stored(self) -> list[FinishedPack]:
        """Data packs that are stored by now, without waiting for any other.

        Packs of pages and chunk lists stay until `drain`, so that a list is never registered before what it lists.
        """
        with self._lock:
            self._collect()
            taken = [pack for pack in self._done if pack.added.type == PackType.DATA]
            self._done = [pack for pack in self._done if pack.added.type != PackType.DATA]
        return taken

    def _collect(self) -> None:
        """Set finished uploads aside; one that failed stays, for whoever waits for it. The lock is held."""
        left: deque[Future[FinishedPack]] = deque()
        for future in self._uploads:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._done.append(future.result())
            else:
                left.append(future)
        self._uploads = left

    def registered(self, packs: Sequence[FinishedPack]) -> None:
        """Forget the claims on the chunks of these packs: they are in the index now."""
        with self._lock:
            # A sweep has claimed none of its million chunks.
            for pack in packs if self._claimed else []:
                rows = pack.rows
                self._claimed.difference_update(
                    rows[at : at + CID_PREFIX_BYTES] for at in range(0, len(rows), ROW.size)
                )

    def _claim(self, chunks: Sequence[Chunk]) -> list[Chunk]:
        if self._anew:
            # Whoever stores anew says each chunk once; what it said is not remembered.
            return list(chunks)
        known = known_chunks(self._environment, [chunk.cid for chunk in chunks])
        fresh: list[Chunk] = []
        with self._lock:
            claimed = self._claimed
            for chunk, is_known in zip(chunks, known, strict=True):
                prefix = chunk.cid[:CID_PREFIX_BYTES]
                if not is_known and prefix not in claimed:
                    claimed.add(prefix)
                    fresh.append(chunk)
        return fresh

    def _seal(self, sink: PackSink, run: Sequence[Chunk], raw_bytes: int) -> None:
        data = run[0].data if len(run) == 1 else b"".join(chunk.data for chunk in run)
        codec, payload = compress(data, self._level)
        cids = b"".join([chunk.cid for chunk in run])
        sink.add(payload, raw_bytes, codec, cids, [len(chunk.data) for chunk in run])

    def _upload(self, pack: FinishedPack) -> None:
        sink = self._sinks[PackType(pack.added.type)]
        try:
            with self._lock:
                self._pack_bytes += pack.added.size
                self._packs += 1
                self._collect()
                failed = next((future for future in self._uploads if future.done()), None)
            if failed is not None:
                failed.result()
            future = self._executors.io.submit(self._store, pack)
        except BaseException:
            sink.let_go()
            raise
        with self._lock:
            self._uploads.append(future)
        future.add_done_callback(lambda _: sink.let_go())

    def _store(self, pack: FinishedPack) -> FinishedPack:
        assert pack.data is not None
        # A pack's name is the hash of its bytes: putting it twice puts the same bytes.
        self._backend.put(pack.name, pack.data)
        return pack._replace(data=None)

    def _settle(self) -> None:
        """Wait until no upload is under way."""
        while True:
            with self._lock:
                if not self._uploads:
                    return
                future = self._uploads.popleft()
            stored = future.result()
            with self._lock:
                self._done.append(stored)
