"""Distributed pushes: many processes or machines each push a part, and one commit makes one version of all of them."""

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, Final, NamedTuple

import msgspec

from artifactstore.catalog.begun import BegunRow, OpenPush, get_begun, open_push, open_pushes
from artifactstore.catalog.names import first_name, shown_name
from artifactstore.catalog.rows import newest_live
from artifactstore.client import listing
from artifactstore.client.pushing import Pushing
from artifactstore.client.referring import referred
from artifactstore.client.requests import push_request, sources_of
from artifactstore.client.token import make_token, parse_token
from artifactstore.client.version import PushSummary, Version
from artifactstore.errors import (
    InvalidPart,
    NoSuchPush,
    PreconditionFailed,
)
from artifactstore.format.limits import PARTS_MAX, PUSH_ID_BYTES
from artifactstore.format.operations import Begin, Ended
from artifactstore.format.reference import Reference
from artifactstore.ids import ArtifactName, parse_artifact_name
from artifactstore.index.environment import ReadTransaction
from artifactstore.log.log import GenerationPassed
from artifactstore.progress import Progress
from artifactstore.transfer.gather import Gatherer, released
from artifactstore.transfer.request import PartRequest, Pushed, refuse_ended

_NS_PER_MS: Final = 1_000_000
# A commit starts over at most so often, each time for a sweep that came between.
_STARTS_MAX: Final = 16


class PartInfo(msgspec.Struct, frozen=True):
    """A finished part of a distributed push.

    Attributes:
        part: Its number.
        digest: The digest that a version of its files alone would have, as hex.
        files: Its entries.
        size_bytes: Bytes of its files.
        finished_ns: When it was finished, by the clock of who did.
        slot: The record that finished it.
        member: The slot key id that its writer claims, as hex.
    """

    part: int
    digest: str
    files: int
    size_bytes: int
    finished_ns: int
    slot: int
    member: str


class DistributedInfo(msgspec.Struct, frozen=True):
    """How far a distributed push is.

    Attributes:
        token: Its token.
        artifact: `project/name`.
        type: The artifact's type, when the version is its first.
        shards: How many parts it has.
        state: `open`, `committed` or `abandoned`.
        version: The version that it made, while there is that one; else None.
        begun_ns: When it was begun, by the clock of who did.
        heard_ns: When somebody was last seen at it, likewise; of one that has ended, when it ended.
        finished: Its finished parts, while it is open.
        running: Numbers of parts that are not finished, and for which something was registered.
        missing: Numbers of the parts that are not finished.
    """

    token: str
    artifact: str
    type: str
    shards: int
    state: str
    version: str | None
    begun_ns: int
    heard_ns: int
    finished: tuple[PartInfo, ...]
    running: tuple[int, ...]
    missing: tuple[int, ...]


class PartSummary(msgspec.Struct, frozen=True):
    """What pushing a part did.

    Attributes:
        part: Its number.
        created: False when the part was finished with the same files before.
        files: Its entries.
        logical_bytes: As in `PushSummary`, of the part.
        files_read: Likewise.
        bytes_read: Likewise.
        new_bytes: Likewise.
        stored_bytes: Likewise.
        packs: Likewise.
        seconds: Likewise.
    """

    part: int
    created: bool
    files: int
    logical_bytes: int
    files_read: int
    bytes_read: int
    new_bytes: int
    stored_bytes: int
    packs: int
    seconds: float


class Distributing(Pushing):
    """The part of a store that runs distributed pushes."""

    def distributed(
        self,
        artifact: str,
        *,
        shards: int,
        type: str = "dataset",  # noqa: A002 - the word users know
        aliases: Iterable[str] = (),
        tags: Iterable[str] = (),
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> "DistributedPush":
        """Begin a push whose parts many processes or machines make, each its own.

        Args:
            artifact: `project/name`.
            shards: How many parts there are, 1 to 1024; they are numbered from 0.
            type: As for `push`.
            aliases: As for `push`.
            tags: As for `push`.
            description: As for `push`.
            metadata: As for `push`.

        Returns:
            The push. Its `token` goes to the workers.

        Raises:
            InvalidPart: `shards` is out of bounds.
        """
        if not 1 <= shards <= PARTS_MAX:
            raise InvalidPart(f"a push has 1 to {PARTS_MAX} parts, and not {shards}", shards=shards)
        name = parse_artifact_name(artifact)
        request = push_request(name, type, aliases, tags, description, metadata)
        self.refresh()
        push = self._randomness.token(PUSH_ID_BYTES)
        self._commit(
            [
                Begin(
                    push,
                    name.project,
                    name.name,
                    request.type,
                    shards,
                    request.description,
                    request.metadata,
                    request.aliases,
                    request.tags,
                )
            ]
        )
        return self._handle(push, shards)

    def join(self, token: str) -> "DistributedPush":
        """The distributed push that a token names, on any machine that has the store.

        Raises:
            InvalidToken: It is none, or one of another store.
            NoSuchPush: The store knows no such push, or no more.
        """
        found = parse_token(token, self._parts.keyring.store_id)
        self.refresh()
        with self._parts.environment.read() as txn:
            self._begun(txn, found.push)
        return self._handle(found.push, found.parts)

    def part(self, token: str, part: int) -> "PushPart":
        """A part of the distributed push that a token names: `store.join(token).part(part)`.

        Raises:
            InvalidToken: As for `join`.
            NoSuchPush: As for `join`.
            InvalidPart: There is no part of that number.
        """
        return self.join(token).part(part)

    def distributed_pushes(self) -> list[DistributedInfo]:
        """The distributed pushes that are open, the oldest first."""
        self.refresh()
        with self._parts.environment.read() as txn:
            found = [self._info(txn, one.push, one.row) for one in open_pushes(txn)]
        return sorted(found, key=lambda one: (one.begun_ns, one.token))

    # --- for a push and its parts ------------------------------------------------------------------------------

    def _handle(self, push: bytes, shards: int) -> "DistributedPush":
        token = make_token(self._parts.keyring.store_id, push, shards)
        acts = _Acts(self._status, self._commit_distributed, self._abandon_distributed, self._push_part)
        return DistributedPush(acts, push, token, shards)

    def _status(self, push: bytes) -> DistributedInfo:
        self.refresh()
        with self._parts.environment.read() as txn:
            return self._info(txn, push, self._begun(txn, push))

    def _begun(self, txn: ReadTransaction, push: bytes) -> BegunRow:
        row = get_begun(txn, push)
        if row is None:
            raise NoSuchPush(
                "the store knows no such distributed push: it was never begun, was given up by a sweep because "
                "nobody went on with it, or ended long ago"
            )
        return row

    def _info(self, txn: ReadTransaction, push: bytes, row: BegunRow) -> DistributedInfo:
        found = open_push(txn, push)
        ended = "committed" if row.committed else "abandoned"
        heard = row.ended_ms if found is None else max(time_ms for _, time_ms in found.heard)
        return DistributedInfo(
            token=make_token(self._parts.keyring.store_id, push, row.parts),
            artifact=str(shown_name(txn, first_name(txn, ArtifactName(row.project, row.name)))),
            type=row.type,
            shards=row.parts,
            state=ended if found is None else "open",
            version=self._version_made(txn, row),
            begun_ns=row.time_ms * _NS_PER_MS,
            heard_ns=heard * _NS_PER_MS,
            finished=() if found is None else tuple(_part_infos(found)),
            running=() if found is None else _running(found),
            missing=() if found is None else tuple(found.missing),
        )

    def _version_made(self, txn: ReadTransaction, row: BegunRow) -> str | None:
        """The version that a push made or found, while it is there."""
        if not row.committed or row.ended_slot is None:
            return None
        name = ArtifactName(row.project, row.name)
        found = newest_live(txn, name, slot=row.ended_slot)
        return None if found is None or found[1].deleted is not None else f"{name}:v{found[0]}"

    def _push_part(self, request: PartRequest, given: "_Given", progress: Progress | None) -> PartSummary:
        self._parts.keyring.signer()
        sources = sources_of(
            given.sources,
            given.exclude,
            given.files,
            given.streams,
            self._apart(),
            referred(given.references or {}),
        )
        started = self._clock.monotonic_s()
        watcher = progress or self._progress
        self.refresh()
        with self._parts.environment.read() as txn:
            refuse_ended(txn, request.push)
        self.before_writing()
        watcher.start("push")
        with self.watched("push_part"), self._make_executors() as executors:
            pushed = self._pushed(sources, request, executors, watcher)
        watcher.finish()
        return PartSummary(*pushed, self._clock.monotonic_s() - started)

    def _commit_distributed(self, push: bytes, run: str | None, progress: Progress | None) -> Version:
        started = self._clock.monotonic_s()
        self.refresh()
        with self._parts.environment.read() as txn:
            row = self._begun(txn, push)
            made = self._version_made(txn, row)
            if made is not None:
                return self._version_named(txn, row)
            refuse_ended(txn, push)
        self.before_writing()
        producer = None if run is None else self._open_run(run)
        pushed = self._gathered(push, producer, progress or self._progress)
        summary = PushSummary(*pushed[1:], self._clock.monotonic_s() - started)
        with self._parts.environment.read() as txn:
            return listing.version_of(self, txn, ArtifactName(row.project, row.name), pushed.number, summary)

    def _version_named(self, txn: ReadTransaction, row: BegunRow) -> Version:
        """The version of a push that was committed before: whoever asks again is told the same."""
        name = ArtifactName(row.project, row.name)
        found = newest_live(txn, name, slot=row.ended_slot)
        assert found is not None
        return listing.version_of(self, txn, name, found[0], None)

    def _gathered(self, push: bytes, run: bytes | None, progress: Progress) -> Pushed:
        with self.watched("commit_parts"), self._make_executors() as executors:
            for _ in range(_STARTS_MAX):
                before = self._parts
                try:
                    return Gatherer(self._pipeline(executors, progress), push, run).run()
                except GenerationPassed:
                    if self._parts is before:
                        self._renew(before)
                    self.refresh()
        raise PreconditionFailed("sweeps came faster than this push could commit", next_step="commit again")

    def _abandon_distributed(self, push: bytes) -> None:
        self.refresh()
        with self._parts.environment.read() as txn:
            row = self._begun(txn, push)
            if row.ended_slot is not None and not row.committed:
                return
            refuse_ended(txn, push)
            found = open_push(txn, push)
        assert found is not None
        self._commit([Ended(push, committed=False), *released(found)], lambda txn: refuse_ended(txn, push))


class _Given(NamedTuple):
    """What a part is pushed from."""

    sources: Iterable[str | os.PathLike[str]]
    exclude: Iterable[str]
    files: Iterable[str] | None
    streams: Mapping[str, BinaryIO] | None
    references: Mapping[str, Reference] | None


class _Acts(NamedTuple):
    """What a push and its parts have done by the store."""

    status: Callable[[bytes], DistributedInfo]
    commit: Callable[[bytes, str | None, Progress | None], Version]
    abandon: Callable[[bytes], None]
    push_part: Callable[[PartRequest, _Given, Progress | None], PartSummary]


class DistributedPush:
    """A push whose parts many make. Thread-safe; in another process or machine it is `join`ed by its token.

    Attributes:
        token: What workers need: a word that is no secret. It names the store and the push, and opens nothing.
        shards: How many parts it has.
    """

    def __init__(self, acts: _Acts, push: bytes, token: str, shards: int) -> None:
        self._acts = acts
        self._push = push
        self.token = token
        self.shards = shards

    def __repr__(self) -> str:
        return f"DistributedPush({self.token!r})"

    def part(self, part: int) -> "PushPart":
        """One of its parts, 0 to `shards` - 1.

        Raises:
            InvalidPart: There is no part of that number.
        """
        if not 0 <= part < self.shards:
            raise InvalidPart(
                f"there is no part {part}: the parts of this push are 0 to {self.shards - 1}",
                part=part,
                shards=self.shards,
            )
        return PushPart(self._acts, self._push, part)

    def status(self) -> DistributedInfo:
        """How far it is.

        Raises:
            NoSuchPush: A sweep gave it up, or it ended long ago.
        """
        return self._acts.status(self._push)

    def commit(self, *, run: str | None = None, progress: Progress | None = None) -> Version:
        """Make the version of all parts, or nothing.

        Files, their order and the digest are those of one push of all files. When it was committed before, the version
        that was made then is returned.

        Args:
            run: As for `Store.push`.
            progress: Told what happens; the store's own when None.

        Raises:
            PartsMissing: Parts are not finished; it names them.
            PartLost: Something that finished parts held can't be read any more; it names them.
            PathCollision: Two parts hold one path, or paths that differ by case or Unicode form only.
            Denied: A part holds a file that was taken down.
            PushEnded: It was abandoned, or its version is deleted.
            NoSuchPush: A sweep gave it up, or it ended long ago.
        """
        return self._acts.commit(self._push, run, progress)

    def abandon(self) -> None:
        """Give it up: what its parts hold is kept no more.

        Raises:
            PushEnded: It was committed.
            NoSuchPush: A sweep gave it up, or it ended long ago.
        """
        self._acts.abandon(self._push)


class PushPart:
    """A part of a distributed push.

    Attributes:
        part: Its number.
    """

    def __init__(self, acts: _Acts, push: bytes, part: int) -> None:
        self._acts = acts
        self._push = push
        self.part = part

    def push(
        self,
        sources: Iterable[str | os.PathLike[str]],
        *,
        exclude: Iterable[str] = (),
        files: Iterable[str] | None = None,
        streams: Mapping[str, BinaryIO] | None = None,
        references: Mapping[str, Reference] | None = None,
        progress: Progress | None = None,
    ) -> PartSummary:
        """Push the part's files; they lie in the version where `Store.push` would put them.

        Done again it replaces the part, or finds it equal. After a worker has died, what it had uploaded and registered
        is not uploaded again.

        Args:
            sources: As for `Store.push`.
            exclude: As for `Store.push`.
            files: As for `Store.push`.
            streams: As for `Store.push`.
            references: As for `Store.push`.
            progress: As for `Store.push`.

        Raises:
            PushEnded: The push was committed or abandoned, or a sweep gave it up.
            NoSuchPath, InvalidSource, SourceChanged, PathCollision, PreconditionFailed: As for `Store.push`.
        """
        given = _Given(sources, exclude, files, streams, references)
        return self._acts.push_part(PartRequest(self._push, self.part), given, progress)


def _part_infos(push: OpenPush) -> Iterable[PartInfo]:
    for part, row in sorted(push.finished.items()):
        yield PartInfo(
            part,
            row.manifest.digest.hex(),
            row.manifest.entries,
            row.manifest.size,
            row.time_ms * _NS_PER_MS,
            row.slot,
            row.member.hex(),
        )


def _running(push: OpenPush) -> tuple[int, ...]:
    return tuple(sorted({part for part, _ in push.attempts} - push.finished.keys()))
