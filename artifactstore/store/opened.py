"""What every part of a store's front door stands on: the open parts, following the log, committing, closing."""

import io
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from artifactstore.backend.probe import probe
from artifactstore.catalog.rows import get_version, packs_named
from artifactstore.chunking import Chunker
from artifactstore.clock import Clock, Randomness
from artifactstore.content.get import ChunkReader
from artifactstore.content.put import ChunkWriter
from artifactstore.executors import Executors
from artifactstore.format.operations import Operation
from artifactstore.ids import ArtifactName
from artifactstore.index.tables import META
from artifactstore.manifest.read import StoredEntry
from artifactstore.progress import Progress, Quiet
from artifactstore.store.members import Members
from artifactstore.store.opening import Access, Parts
from artifactstore.transfer.read import open_entry

_PROBED: Final = b"probed"

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
        self.notices = parts.notices

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
    def members(self) -> Members:
        """Its slot keys: who can unlock it, and adding more."""
        return Members(self._parts, self._randomness, self._before_writing)

    def close(self) -> None:
        """Close the index and the backend; the store is not used afterwards."""
        self._parts.environment.close()
        self._parts.backend.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def getter_of(self, artifact: ArtifactName, number: int) -> ChunkReader:
        """Reads chunks of a version, whose packs are looked at first where the index does not know them yet."""
        parts = self._parts
        with parts.environment.read() as txn:
            row = get_version(txn, artifact, number)
        if row is not None and not parts.locator.knows(row.manifest.cid):
            with parts.environment.read() as txn:
                names = packs_named(txn, artifact, number)
            parts.locator.expect(names)
        return parts.reader

    def open_entry(self, entry: StoredEntry) -> io.BufferedReader:
        """Open a file of one of the store's versions."""
        return open_entry(self._parts.reader, entry)

    def _notice(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)

    def _refresh(self) -> None:
        self._parts.log.follow(self._parts.catalog)

    def _commit(self, operations: Sequence[Operation]) -> str:
        """Apply operations in one record; return why the first that did not apply did not, empty when all did."""
        self._before_writing()
        outcomes = self._parts.committer.commit(operations).outcomes
        return next((outcome.skipped for outcome in outcomes if outcome.skipped), "")

    def _the_chunker(self) -> Chunker:
        """Cuts files as this store does; made when first needed."""
        if self._chunker is None:
            self._chunker = Chunker(self._parts.keyring.chunker_seed())
        return self._chunker

    def _chunk_writer(self, executors: Executors) -> ChunkWriter:
        parts = self._parts
        # What the index does not know is taken for new.
        parts.locator.complete()
        return ChunkWriter(
            parts.backend,
            parts.environment,
            parts.keyring,
            executors,
            self._randomness,
            level=self._access.compression_level,
        )

    def _before_writing(self) -> None:
        """Refuse who may only read, and test the backend's promise before this client's first write to it."""
        self._parts.keyring.signer()
        environment = self._parts.environment
        if self._access.single_writer:
            return
        with environment.read() as txn:
            if txn.get(META, _PROBED) is not None:
                return
        with self._make_executors() as executors:
            probe(self._parts.backend, self._randomness, executors)
        self._remember_probe()

    def _remember_probe(self) -> None:
        if self._access.single_writer:
            return
        with self._parts.environment.write() as txn:
            txn.put(META, _PROBED, str(self._clock.now_ns()).encode())

    def _probed_ns(self) -> int:
        """When this client last tested the backend's promise, by its clock; 0 for never."""
        with self._parts.environment.read() as txn:
            said = txn.get(META, _PROBED)
        return 0 if said is None else int(bytes(said))
