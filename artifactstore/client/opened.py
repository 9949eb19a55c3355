"""What every part of a store's front door stands on: the open parts, following the log, committing, closing."""

import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from artifactstore.backend.probe import probe
from artifactstore.catalog.rows import get_version, packs_named
from artifactstore.chunking import Chunker
from artifactstore.client.listing import resolve
from artifactstore.client.opening import Access, Parts, refuse_other_parameters
from artifactstore.client.renewing import PROBED, drop_earlier, renewed
from artifactstore.clock import Clock, Randomness
from artifactstore.content.get import ChunkReader
from artifactstore.content.put import ChunkWriter
from artifactstore.errors import Damaged
from artifactstore.executors import Executors
from artifactstore.forks import renewed_in_children
from artifactstore.format.operations import Operation
from artifactstore.format.pack import PackType
from artifactstore.ids import ArtifactName, Reference
from artifactstore.index.environment import Environment, ReadTransaction
from artifactstore.index.tables import META, Position
from artifactstore.log.log import GenerationPassed
from artifactstore.log.tail import Beside
from artifactstore.manifest.read import Getter
from artifactstore.progress import Progress, Quiet
from artifactstore.transfer.scan import Apart

T = TypeVar("T")
MakeExecutors = Callable[[], AbstractContextManager[Executors]]


class OpenStore:
    """An open store; `Store` adds what users ask of one.

    Attributes:
        notices: Sentences that the user should read, such as where an index went.
    """

    def __init__(
        self,
        access: Access,
        parts: Parts,
        *,
        clock: Clock,
        randomness: Randomness,
        make_executors: MakeExecutors,
        progress: Progress | None,
    ) -> None:
        self._access = access
        self._parts = parts
        self._clock = clock
        self._randomness = randomness
        self._make_executors = make_executors
        self._progress: Progress = progress or Quiet()
        self._chunker: Chunker | None = None
        # Indexes of earlier generations, which operations under way may still read.
        self._retired: weakref.WeakSet[Environment] = weakref.WeakSet()
        self._stale = False
        self._watch = access.watch(clock)
        self.renew()
        renewed_in_children(self)
        self.notices = parts.notices

    def renew(self) -> None:
        """In a child of a fork: what another thread of the parent held is free here."""
        self._renewing = threading.RLock()

    @property
    def id(self) -> str:
        """SHA-256 of the store's first public key, as hex."""
        return self._parts.keyring.store_id.hex()

    @property
    def url(self) -> str:
        """Where it lies, without credentials."""
        return self._parts.backend.url

    @property
    def key_file(self) -> Path:
        """The key file that unlocked it, or would have."""
        return self._access.ways.key_file

    @property
    def cache_dir(self) -> Path:
        """Where this client keeps its indexes, and what else it remembers."""
        return self._access.cache_dir

    @property
    def clock(self) -> Clock:
        """Tells it the time."""
        return self._clock

    @property
    def parts(self) -> Parts:
        """The open parts, of the current generation."""
        return self._parts

    @property
    def make_executors(self) -> MakeExecutors:
        """Makes the thread pools of one operation."""
        return self._make_executors

    @property
    def watcher(self) -> Progress:
        """Told what long work does, where a call names nobody else."""
        return self._progress

    def watched(self, operation: str) -> AbstractContextManager[None]:
        """Tell the store's observer, and the log, that an operation begins and ends, for a `with` block."""
        return self._watch.operation(self.id, operation)

    def close(self) -> None:
        """Close the index and the backend; the store is not used afterwards. Closing it twice does no harm."""
        for environment in (*self._retired, self._parts.environment):
            environment.close()
        self._parts.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def reader_of(self, artifact: ArtifactName, number: int) -> ChunkReader:
        """Reads chunks of a version, whose packs are looked at first where the index does not know them yet."""
        parts = self._parts
        with parts.environment.read() as txn:
            row = get_version(txn, artifact, number)
        if row is not None and not parts.locator.knows(row.manifest.cid):
            with parts.environment.read() as txn:
                names = packs_named(txn, artifact, number)
            parts.locator.expect(names)
        return parts.reader

    def getter_of(self, artifact: ArtifactName, number: int) -> Getter:
        """Reads chunks of a version, also when a sweep moves them meanwhile."""
        return _Following(self, [(artifact, number)])

    def getter_of_all(self, versions: Sequence[tuple[ArtifactName, int]]) -> Getter:
        """The same for several versions, whose chunks can be asked for together."""
        return _Following(self, versions)

    def name_key(self) -> bytes:
        """Under which names of purged artifacts are hashed."""
        return self._parts.keyring.name_key()

    def _apart(self) -> Apart:
        """The store's own folder, where it is one, and the index: no push takes them."""
        folders = [self._parts.environment.path, Path(self.url)]
        return Apart([str(folder.resolve()) for folder in folders if folder.is_absolute()], self._notice)

    def _notice(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)

    def refresh(self, beside: Beside | None = None) -> Position:
        """Follow the log to its head, with other requests beside the look at it."""
        position = self.across(lambda: self._parts.log.follow(self._parts.catalog, beside=beside))
        refuse_other_parameters(position.parameters)
        return position

    def unlock_with(self, passphrase: str) -> None:
        """Unlock the generations to come by a passphrase, instead of what unlocked this one."""
        ways = self._access.ways._replace(pair=None, passphrase=passphrase, password_command=None)
        self._access = self._access._replace(ways=ways)

    def across(self, act: Callable[[], T]) -> T:
        """Do something that follows the log, again with the keys of the next generation when a sweep is met."""
        while True:
            before = self._parts
            try:
                done = act()
            except GenerationPassed:
                self._renew(before)
                continue
            except Damaged:
                if not before.log.is_passed():
                    raise
                self._renew(before)
                continue
            if self._stale:
                drop_earlier(self._parts.environment.path)
                self._stale = False
            return done

    def _renew(self, before: Parts) -> None:
        """Unlock the current generation, unless another thread has.

        The index of the one before is closed when nothing that is under way reads it any more.
        """
        with self._renewing:
            if self._parts is before:
                self._parts, pair = renewed(self._access, before, self._clock, self._randomness)
                self._retired.add(before.environment)
                if self._access.ways.passphrase is not None:
                    ways = self._access.ways._replace(pair=pair, passphrase=None)
                    self._access = self._access._replace(ways=ways)
                self._stale = True

    def _commit(
        self,
        operations: Sequence[Operation],
        precondition: Callable[[ReadTransaction], None] | None = None,
    ) -> str:
        """Apply operations in one record; return why the first that did not apply did not, empty when all did.

        Args:
            operations: What to do.
            precondition: As for `Committer.commit`.
        """
        self.before_writing()
        outcomes = self.across(
            lambda: self._parts.committer.commit(operations, precondition=precondition)
        ).outcomes
        return next((outcome.skipped for outcome in outcomes if outcome.skipped), "")

    def _the_chunker(self) -> Chunker:
        """Cuts files as this store does; made when first needed."""
        if self._chunker is None:
            self._chunker = Chunker(self._parts.keyring.chunker_seed())
        return self._chunker

    def _chunk_writer(self, executors: Executors, *, anew: bool = False) -> ChunkWriter:
        """Stores chunks that the index does not know, or all of them."""
        parts = self._parts
        if not anew:
            # What the index does not know is taken for new.
            parts.locator.complete()
        return ChunkWriter(
            parts.backend,
            parts.environment,
            parts.keyring,
            executors,
            self._randomness,
            level=self._access.compression_level,
            anew=anew,
        )

    def before_writing(self) -> None:
        """Refuse who may only read, and test the backend's promise before this client's first write to it."""
        self._parts.keyring.signer()
        environment = self._parts.environment
        if self._access.single_writer:
            return
        with environment.read() as txn:
            if txn.get(META, PROBED) is not None:
                return
        with self._make_executors() as executors:
            probe(self._parts.backend, self._randomness, executors)
        self._remember_probe()

    def _remember_probe(self) -> None:
        if self._access.single_writer:
            return
        with self._parts.environment.write() as txn:
            txn.put(META, PROBED, str(self._clock.now_ns()).encode())

    def _probed_ns(self) -> int:
        """When this client last tested the backend's promise, by its clock; 0 for never."""
        with self._parts.environment.read() as txn:
            said = txn.get(META, PROBED)
        return 0 if said is None else int(bytes(said))


class _Following:
    """Reads chunks of some versions, in whichever generation the store is. Thread-safe."""

    def __init__(self, store: OpenStore, versions: Sequence[tuple[ArtifactName, int]]) -> None:
        self._store = store
        self._versions = versions
        self._parts = store.parts
        self._reader = self._reader_now()

    def read(self, kind: PackType, cid: bytes) -> bytes:
        return self._read(lambda reader: reader.read(kind, cid))

    def read_many(self, kind: PackType, cids: Sequence[bytes]) -> list[bytes]:
        return self._read(lambda reader: reader.read_many(kind, cids))

    def _read(self, act: Callable[[ChunkReader], T]) -> T:
        """Read; what a sweep moved is looked for again, and what it purged is said to be deleted (invariant 16)."""
        try:
            return act(self._reader)
        except Damaged:
            before = self._parts
            self._store.refresh()
            if self._store.parts is before:
                raise
            self._parts = self._store.parts
            with self._parts.environment.read() as txn:
                for artifact, number in self._versions:
                    resolve(self._store, txn, Reference(artifact, number=number))
            self._reader = self._reader_now()
            return act(self._reader)

    def _reader_now(self) -> ChunkReader:
        """What reads all of them: one reader of the store, which is told of the packs of each."""
        readers = [self._store.reader_of(*version) for version in self._versions]
        return readers[-1]
