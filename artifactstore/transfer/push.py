"""Push: files → chunks → packs → manifest → one record.

Read top to bottom: found files become entries in path order, unchanged ones from the stat cache without being read;
entries become pages; packs that are stored already are registered by pending records, so that an interrupted push
pays for 256 MiB twice at most; the commit is the only point at which a version exists.
"""

from collections import deque
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple, Protocol

from artifactstore import transfer
from artifactstore.catalog.commit import Committed, Committer
from artifactstore.catalog.denied import DenyList, deny_list, refuse_denied
from artifactstore.catalog.links import refuse_collection
from artifactstore.catalog.runs import refuse_producer
from artifactstore.chunking import Chunker
from artifactstore.clock import Clock, Randomness
from artifactstore.content.put import ChunkWriter, Stored
from artifactstore.errors import (
    ArtifactStoreError,
    Damaged,
    Denied,
    LineageCircle,
    NoSuchRun,
    PreconditionFailed,
    PushEnded,
    RunEnded,
)
from artifactstore.executors import Executors
from artifactstore.format.cids import split_cids
from artifactstore.format.commitment import SALT_BYTES
from artifactstore.format.limits import CID_BYTES
from artifactstore.format.operations import Manifest, Operation, Part, Pending, PendingDone, Push
from artifactstore.format.pack import PackType
from artifactstore.format.page import Kind
from artifactstore.format.record import RecordType
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import Environment, ReadTransaction
from artifactstore.index.statcache import StatCache, is_empty, remember
from artifactstore.index.tables import damaged_packs, known_chunks
from artifactstore.log.log import GenerationPassed
from artifactstore.manifest.build import ManifestBuilder
from artifactstore.manifest.read import Getter
from artifactstore.manifest.splice import Spliced
from artifactstore.pack.writer import FinishedPack
from artifactstore.progress import Progress
from artifactstore.transfer.ingest import (
    BATCH_BYTES,
    BATCH_FILES,
    SMALL_BYTES_MAX,
    Ingest,
    LargeRead,
    Read,
    known_entry,
)
from artifactstore.transfer.request import Pushed, Wanted, refuse_ended
from artifactstore.transfer.scan import Found, without_reading

# What a push that was cut short may have to upload again, at most.
PENDING_BYTES: Final = 256 << 20
# Chunks not yet registered are remembered in memory, so their number is bounded too.
PENDING_CHUNKS: Final = 1 << 16
# An advisory list, in every state for good: a push of terabytes names its first packs only.
_PACKS_NAMED_MAX: Final = 1024
_PAGE_PACKS_NAMED_MAX: Final = 64
_STAT_ROWS_MAX: Final = 8192
_LOOKUPS_PER_TRANSACTION: Final = 512
# Entries that are ready may wait for one before them that is not.
_WINDOW_MAX: Final = 4096
_PUSH_ID_BYTES: Final = 16
# What is being uploaded when a push is cut short may still be worth a moment.
_RESCUE_S: Final = 2.0
# Each further try needs a takedown between the last one and it.
_RULES_TRIES_MAX: Final = 64


class Pipeline(NamedTuple):
    """The parts that a push runs through."""

    writer: ChunkWriter
    chunker: Chunker
    committer: Committer
    environment: Environment
    reader: Getter
    deny_key: bytes
    executors: Executors
    clock: Clock
    randomness: Randomness
    progress: Progress


class _Outstanding(Protocol):
    """Files with the workers: a batch of small ones, or the rest of a large one."""

    def done(self) -> bool: ...
    def result(self) -> list[Read]: ...


class Begun(NamedTuple):
    """What a push has stored so far.

    Attributes:
        push_id: The id under which it registered packs; empty when it did not.
        packs: Names of the packs that it registered.
        stored: Packs that are stored and that no record names yet.
        counted: What went into the store.
    """

    push_id: bytes
    packs: Sequence[bytes]
    stored: Sequence[FinishedPack]
    counted: Stored

    def without(self, gone: Collection[str]) -> "Begun":
        """The same without packs that a sweep condemned."""
        return self._replace(stored=[pack for pack in self.stored if pack.name not in gone])


NOTHING_BEGUN: Final = Begun(b"", (), (), Stored(0, 0, 0, 0))


class Pusher:
    """One push. Not thread-safe; used once.

    Args:
        pipeline: What it runs through.
        begun: What a push of the same sources that had to give up has stored.
        rereads: Whether its sources can be read again. Where they can't, it goes on through a sweep without
            registering packs, and sees at its end whether all is there.
        ordered: Whether its sources come in manifest order. Where they don't, entries are sorted when all are read.
        keeps: Whether what it has stored is registered when it is cut short; else it is given up.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        begun: Begun = NOTHING_BEGUN,
        *,
        rereads: bool = True,
        ordered: bool = True,
        keeps: bool = True,
    ) -> None:
        self._parts = pipeline
        self._ingest = Ingest(pipeline.writer, pipeline.chunker, pipeline.executors, pipeline.clock)
        builder = ManifestBuilder(pipeline.writer)
        self._builder = builder if ordered else transfer.sorting.SortedBuilder(builder)
        self._window: deque[Read | Spliced | _Outstanding] = deque()
        self._batch: list[Found] = []
        self._batch_bytes = 0
        self._stat_rows: list[tuple[bytes, bytes]] = []
        self._push_id = begun.push_id
        self._registered = list(begun.packs)
        self._unregistered = list(begun.stored)
        self._before = begun.counted
        self._registering: Future[None] | None = None
        self._rereads = rereads
        self._keeps = keeps
        self._passed = False
        self._manifest: Manifest | None = None
        self._own_id = b""
        with pipeline.environment.read() as txn:
            self._damaged = frozenset(damaged_packs(txn))
            self._rules = deny_list(txn, pipeline.deny_key)
        self._pending_chunks = PENDING_CHUNKS
        self._files_read = self._bytes_read = 0

    @property
    def begun(self) -> Begun:
        """What it has stored so far."""
        return Begun(self._push_id, tuple(self._registered), tuple(self._unregistered), self._counted)

    @property
    def _counted(self) -> Stored:
        """What went into the store, by earlier starts too."""
        chunks, raw_bytes, pack_bytes, packs = self._parts.writer.stored
        before = self._before
        return Stored(
            before.chunks + chunks,
            before.raw_bytes + raw_bytes,
            before.pack_bytes + pack_bytes,
            before.packs + packs,
        )

    @property
    def has_read(self) -> bool:
        """Whether all sources are read and stored, so that only the commit is left."""
        return self._manifest is not None

    def run(self, found: Iterable[Found], request: Wanted) -> Pushed:
        """Push everything found and commit the version.

        When it is cut short, what was uploaded so far is registered, so that the next push takes it up.

        Raises:
            PreconditionFailed: A pack that it may rely on was found damaged meanwhile. The same push again stores
                what that pack held.
            Denied: One of the files was taken down.
            GenerationPassed: A sweep was met. When all was read, `carry_over` goes on from there.
        """
        self._own_id = request.push_id
        self._register([])
        try:
            for item, known in self._looked_up(found):
                if known is not None:
                    self._enter(known)
                elif (item.size_bytes or 0) <= SMALL_BYTES_MAX and item.size_bytes is not None:
                    self._to_batch(item)
                else:
                    self._read_large(item)
            self._flush_batch()
            self._settle(0)
            manifest = self._builder.finish()
            self._parts.writer.flush()
            self._settle_registration()
        except BaseException as error:
            if isinstance(error, Denied) or not self._keeps:
                self._abandon()
                raise
            with suppress(ArtifactStoreError, GenerationPassed, TimeoutError):
                self._parts.writer.settle(_RESCUE_S)
                self._remember()
                self._end_registration(_RESCUE_S)
                self._register(self._parts.writer.take_stored())
            raise
        return self._commit(manifest, request)

    def carry_over(
        self, pipeline: Pipeline, getter: Getter, request: Wanted, gone: Collection[str]
    ) -> Pushed:
        """Commit, after a sweep, a version that was read and stored whole before it.

        Args:
            pipeline: As it is in the current generation.
            getter: Reads pages and lists in it.
            request: As for `run`.
            gone: Names of objects condemned since this push began.

        Raises:
            PreconditionFailed: The sweep took chunks that the version relies on.
            GenerationPassed: Another sweep was met.
        """
        manifest = self._manifest
        assert manifest is not None
        self._own_id = request.push_id
        self._before = self._counted
        self._parts = pipeline
        self._passed = False
        self._unregistered = list(self.begun.without(gone).stored)
        with pipeline.environment.read() as txn:
            self._damaged = frozenset(damaged_packs(txn))
        self._register([])
        if not self._is_there(getter, manifest):
            raise PreconditionFailed(
                "a sweep took chunks that this push had found in the store",
                next_step="push again; what was uploaded is not uploaded twice",
            )
        return self._commit(manifest, request)

    def _is_there(self, getter: Getter, manifest: Manifest) -> bool:
        """Invariant 1: whether everything that the version reaches lies in the store as it is now."""
        from artifactstore.manifest.reach import reach  # noqa: PLC0415 - only for a push that a sweep overtook

        try:
            for _, cids, _ in reach(getter, manifest, set()):
                if not all(known_chunks(self._parts.environment, split_cids(cids))):
                    return False
        except Damaged:
            return False
        return True

    def _looked_up(self, found: Iterable[Found]) -> Iterable[tuple[Found, Read | Spliced | None]]:
        """Pair each find with what is known of it without reading, some hundred lookups a transaction."""
        with self._parts.environment.read() as txn:
            # In a first push nothing can be known, so nothing is looked up.
            cached = not is_empty(txn)
        group: list[Found] = []
        for item in found:
            group.append(item)
            # Whoever sends a stream may wait until it is read before the next one comes.
            at_once = item.stream is not None or (item.given is not None and item.given.at_once)
            if len(group) >= _LOOKUPS_PER_TRANSACTION or at_once:
                yield from self._known(group, cached=cached)
                group = []
        yield from self._known(group, cached=cached)

    def _known(self, group: list[Found], *, cached: bool) -> list[tuple[Found, Read | Spliced | None]]:
        pairs: list[tuple[Found, Read | Spliced | None]] = []
        with self._parts.environment.read() as txn:
            lookup = StatCache(txn).lookup
            for item in group:
                if item.given is not None and item.given.pages is not None:
                    pairs.append((item, item.given.pages))
                    continue
                unread = without_reading(item)
                if unread is not None:
                    pairs.append((item, Read(*unread, None, 0)))
                    continue
                known = lookup(item.key, item.stat) if cached and item.stat is not None else None
                if known is None or item.stat is None:
                    pairs.append((item, None))
                    continue
                pairs.append((item, known_entry(item, item.stat, known)))
        self._parts.progress.advance(
            bytes=sum(read.identity[2] if isinstance(read, Read) else read.size for _, read in pairs if read),
            files=sum(1 if isinstance(read, Read) else read.entries for _, read in pairs if read),
        )
        return pairs

    def _enter(self, read: Read | Spliced) -> None:
        if self._batch:
            self._flush_batch()
        if self._window:
            self._window.append(read)
            self._settle(_WINDOW_MAX)
        else:
            self._add(read)

    def _to_batch(self, item: Found) -> None:
        self._batch.append(item)
        self._batch_bytes += item.size_bytes or 0
        if self._batch_bytes >= BATCH_BYTES or len(self._batch) >= BATCH_FILES:
            self._flush_batch()

    def _flush_batch(self) -> None:
        if self._batch:
            batch, self._batch, self._batch_bytes = self._batch, [], 0
            self._await(self._ingest.submit_batch(batch))

    def _read_large(self, item: Found) -> None:
        self._flush_batch()
        # Its last segments are compressed while the next file is read.
        self._await(self._ingest.read_large(item, self._pending_if_due, self._parts.progress))

    def _await(self, files: _Outstanding) -> None:
        self._window.append(files)
        self._settle(_WINDOW_MAX)
        self._pending_if_due()

    def _settle(self, waiting_max: int) -> None:
        """Enter what is finished, in order; wait for what is not only while more than `waiting_max` stand behind it."""
        while self._window:
            head = self._window[0]
            if isinstance(head, Read | Spliced):
                self._add(head)
            else:
                if len(self._window) <= waiting_max and not head.done():
                    return
                reads = head.result()
                self._count(reads, told=isinstance(head, LargeRead))
                for read in reads:
                    self._add(read)
            self._window.popleft()

    def _count(self, reads: list[Read], *, told: bool) -> None:
        """Count files that were read; of a large one, progress was told segment by segment."""
        size = sum(read.identity[2] for read in reads)
        self._files_read += len(reads)
        self._bytes_read += size
        if told:
            self._parts.progress.advance(files=len(reads))
        else:
            new_bytes = sum(read.new_bytes for read in reads)
            self._parts.progress.advance(bytes=size, files=len(reads), new_bytes=new_bytes)

    def _add(self, read: Read | Spliced) -> None:
        if isinstance(read, Spliced):
            assert isinstance(self._builder, ManifestBuilder), "pages come in path order"
            self._parts.writer.note_used(read.add_to(self._builder))
            return
        path, kind, _, digest, _ = read.identity
        if self._rules and digest in self._rules and kind == Kind.FILE:
            raise self._rules.refusal(digest, "the push", path)
        if read.content.depth:
            cids = read.content.cids
            self._parts.writer.note_used(cids[at : at + CID_BYTES] for at in range(0, len(cids), CID_BYTES))
        self._builder.add(read.identity, read.content)
        if read.stat_row is not None:
            self._stat_rows.append(read.stat_row)
            if len(self._stat_rows) >= _STAT_ROWS_MAX:
                self._remember()

    def _remember(self) -> None:
        # Safe at any time: a row counts only while the index knows its chunks.
        remember(self._parts.environment, self._stat_rows)
        self._stat_rows = []

    def _pending_if_due(self) -> None:
        """Register the packs stored so far, when there are enough of them that losing them would hurt.

        That happens behind the push, which waits only where too much more would be stored meanwhile. Due is a quarter
        of what may be lost, and five eighths are too much: before either is seen a few packs more are under way.
        """
        writer = self._parts.writer
        chunks, stored_bytes = writer.stored.chunks, writer.registrable_bytes
        due = stored_bytes >= PENDING_BYTES // 4 or chunks >= self._pending_chunks
        if self._registering is not None:
            unnamed_bytes = stored_bytes + sum(pack.added.size for pack in self._unregistered)
            if due or self._registering.done() or unnamed_bytes >= PENDING_BYTES // 8 * 5:
                self._settle_registration()
        if due:
            self._pending_chunks = chunks + PENDING_CHUNKS
            self._begin_registration(writer.take_stored())

    def _register(self, packs: Sequence[FinishedPack]) -> None:
        """Register packs, and wait until they are."""
        self._begin_registration(packs)
        self._end_registration()

    def _begin_registration(self, packs: Sequence[FinishedPack]) -> None:
        self._unregistered = [*self._unregistered, *packs]
        if self._unregistered and not self._passed:
            self._push_id = self._push_id or self._own_id or self._parts.randomness.token(_PUSH_ID_BYTES)
            self._registering = self._parts.executors.io.submit(self._commit_pending, self._unregistered)

    def _commit_pending(self, packs: Sequence[FinishedPack]) -> None:
        # Invariant 12: these packs are stored before the record names them.
        self._parts.committer.commit([Pending(self._push_id)], packs, kind=RecordType.PENDING)
        self._parts.writer.registered(packs)

    def _end_registration(self, timeout_s: float | None = None) -> None:
        """Wait for the record that is under way, if there is one, and raise what it raised."""
        if self._registering is not None:
            done, self._registering = self._registering, None
            done.result(timeout_s)
            self._registered += [pack.added.name for pack in self._unregistered]
            self._unregistered = []

    def _settle_registration(self) -> None:
        """The same in the middle of a push that may have to go on through a sweep."""
        try:
            self._end_registration()
        except GenerationPassed:
            if self._rereads:
                raise
            self._passed = True

    def _commit(self, manifest: Manifest, request: Wanted) -> Pushed:
        writer = self._parts.writer
        # What this push has stored is its own until a record names it.
        packs = self._unregistered = [*self._unregistered, *writer.drain()]
        self._manifest = manifest
        stored = self._counted
        pushed = Pushed(
            number=0,
            created=False,
            files=manifest.entries,
            logical_bytes=manifest.size,
            files_read=self._files_read,
            bytes_read=self._bytes_read,
            new_bytes=stored.raw_bytes,
            stored_bytes=stored.pack_bytes,
            packs=stored.packs,
        )
        with self._parts.environment.read() as txn:
            unchanged = None if packs or self._push_id else request.unchanged(txn, manifest)
        if unchanged is not None:
            self._remember()
            return pushed._replace(number=unchanged)
        salt = self._parts.randomness.token(SALT_BYTES)
        operations: list[Operation] = [request.operation(manifest, stored, self._named(packs), salt)]
        if self._push_id or request.push_id:
            operations.append(PendingDone(self._push_id or request.push_id))
        try:
            committed = self._committed(operations, manifest, request)
        except PreconditionFailed:
            if self._keeps:
                self._register([])
            else:
                self._abandon()
            raise
        except (Denied, NoSuchRun, RunEnded, LineageCircle, PushEnded):
            self._abandon()
            raise
        self._unregistered = []
        writer.registered(packs)
        self._remember()
        number, created = request.made(committed.outcomes[0])
        return pushed._replace(number=number, created=created)

    def _named(self, packs: Sequence[FinishedPack]) -> list[bytes]:
        """What a client without an index should look into: packs of pages and lists, then those of the data."""
        pages = [pack.added.name for pack in packs if pack.added.type != PackType.DATA]
        data = [pack.added.name for pack in packs if pack.added.type == PackType.DATA]
        used = self._parts.writer.used()[-_PAGE_PACKS_NAMED_MAX:]
        return list(dict.fromkeys([*pages, *reversed(used), *self._registered, *data]))[:_PACKS_NAMED_MAX]

    def _committed(self, operations: list[Operation], manifest: Manifest, request: Wanted) -> Committed:
        """Commit, once the manifest was held against the deny list as it is at the very slot."""
        for _ in range(_RULES_TRIES_MAX):
            try:
                return self._parts.committer.commit(
                    operations,
                    self._unregistered,
                    precondition=partial(self._refuse_changes, operations, request),
                )
            except _DenyListGrew as grew:
                # Its pages can be read once they are registered; of its files nothing else is remembered.
                self._register([])
                if self._push_id and not any(isinstance(one, PendingDone) for one in operations):
                    operations.append(PendingDone(self._push_id))
                refuse_denied(self._parts.reader, grew.rules.beyond(self._rules), [("the push", manifest)])
                self._rules = grew.rules
        raise PreconditionFailed(
            "files were taken down faster than this push could commit", next_step="push again"
        )

    def _abandon(self) -> None:
        """Give up what this push stored: what it registered is a root no more, and the rest is known to be garbage."""
        give_up = (ArtifactStoreError, GenerationPassed, TimeoutError)
        with suppress(*give_up):
            self._end_registration()
        with suppress(*give_up):
            self._parts.writer.settle(_RESCUE_S)
            packs = [*self._unregistered, *self._parts.writer.take_stored()]
            if self._push_id or packs:
                done = PendingDone(self._push_id or self._parts.randomness.token(_PUSH_ID_BYTES))
                self._parts.committer.commit([done], packs)

    def _refuse_changes(self, operations: Sequence[Operation], request: Wanted, txn: ReadTransaction) -> None:
        """Refuse what other writers changed before the very slot of the commit.

        Invariant 1: what was left out because it was known must still be known there. What was taken down meanwhile
        must not come back. A collection takes no versions of its own.
        """
        for one in operations:
            if isinstance(one, Push):
                refuse_collection(txn, ArtifactName(one.project, one.name))
                refuse_producer(txn, one)
            elif isinstance(one, Part):
                refuse_ended(txn, one.push)
        request.refuse(txn)
        rules = deny_list(txn, self._parts.deny_key)
        if rules.beyond(self._rules):
            raise _DenyListGrew(rules)
        found = damaged_packs(txn).keys() - self._damaged
        if found:
            raise PreconditionFailed(
                f"{len(found)} packs were found damaged while this push relied on what was known",
                next_step="push again; what was uploaded is not uploaded twice",
                packs=sorted(name.hex() for name in found),
            )


class _DenyListGrew(Exception):
    """Files were taken down since this push looked."""

    def __init__(self, rules: DenyList) -> None:
        super().__init__()
        self.rules = rules
