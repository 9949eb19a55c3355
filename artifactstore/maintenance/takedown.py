"""Taking files down: every version that holds one is deleted or replaced by a successor without it, the file is denied.

The first record denies the files and acts on every version that holds one as of its very slot: what others commit
meanwhile is searched again for each slot tried. Whoever commits after it looks at the deny list. So no order of two
writers leaves a version with the file in sight.
"""

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

from artifactstore.catalog.begun import finished_parts
from artifactstore.catalog.commit import Committer
from artifactstore.catalog.denied import DenyList, deny_list
from artifactstore.catalog.outcome import Outcome
from artifactstore.catalog.pending import pending
from artifactstore.catalog.rows import VersionRow, artifacts, get_version, versions
from artifactstore.clock import Randomness
from artifactstore.content.put import ChunkWriter
from artifactstore.crypto.hashing import keyed_blake3
from artifactstore.errors import Damaged, PreconditionFailed
from artifactstore.format.commitment import SALT_BYTES
from artifactstore.format.limits import NUMBERS_PER_OPERATION_MAX
from artifactstore.format.operations import (
    Delete,
    Deny,
    Manifest,
    Operation,
    PartDropped,
    Pending,
    PendingDone,
    Replace,
)
from artifactstore.format.page import Kind
from artifactstore.format.record import RecordType
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import Environment, ReadTransaction
from artifactstore.index.tables import PackTable, locations
from artifactstore.manifest.build import ManifestBuilder
from artifactstore.manifest.read import Getter, entries
from artifactstore.manifest.search import Hit, Search
from artifactstore.progress import Progress

_PUSH_ID_BYTES: Final = 16
_VERSIONS_PER_READ: Final = 1024
# What one record says stays far below its bound: a successor takes some 300 bytes.
VERSIONS_PER_RECORD_MAX: Final = 16_384
# Each further try needs a version with the file that was pushed since the last one.
_TRIES_MAX: Final = 1000


class Held(NamedTuple):
    """A version that holds a file which is looked for.

    Attributes:
        artifact: Its artifact.
        number: Its number.
        alone: Whether it holds nothing else.
    """

    artifact: ArtifactName
    number: int
    alone: bool


class Holders:
    """Which versions hold one of some files; asked again, it looks at those alone that came since.

    Args:
        getter: Reads pages.
        environment: The client index.
        digests: The files.
        progress: Told of each version.

    Not thread-safe.
    """

    def __init__(
        self, getter: Getter, environment: Environment, digests: Collection[bytes], progress: Progress
    ) -> None:
        self._environment = environment
        self._progress = progress
        self._search = Search(getter, digests=frozenset(digests))
        self._next: dict[ArtifactName, int] = {}
        self._held: list[Held] = []
        self._parts: dict[Manifest, bool] = {}

    def held(self) -> list[Held]:
        """The versions, by artifact and number, those that were deleted or purged meanwhile among them.

        Raises:
            Damaged: A version can't be searched in full.
        """
        found = [
            Held(name, number, len(hits) == row.manifest.entries)
            for (name, number, row), hits in self._hits()
        ]
        if found:
            self._held = sorted(self._held + found)
        return self._held

    def held_parts(self) -> dict[bytes, list[int]]:
        """Finished parts of distributed pushes that hold one of the files, by push: those that can't be read count."""
        with self._environment.read() as txn:
            parts = [(one.push, one.part, one.row.manifest) for one in finished_parts(txn)]
        new = {manifest for _, _, manifest in parts} - self._parts.keys()
        for manifest, found in self._search.run((one, one) for one in sorted(new, key=lambda one: one.cid)):
            self._parts[manifest] = bool(found.hits) or found.damage is not None
        held: dict[bytes, list[int]] = {}
        for push, part, manifest in parts:
            if self._parts[manifest]:
                held.setdefault(push, []).append(part)
        return held

    def _hits(self) -> Iterator[tuple[tuple[ArtifactName, int, VersionRow], list[Hit]]]:
        new = ((version, version[2].manifest) for version in self._new())
        for version, found in self._search.run(new):
            self._progress.advance(files=1)
            if found.hits:
                yield version, found.hits
            elif found.damage is not None and is_kept(version[2]):
                name = f"{version[0]}:v{version[1]}"
                raise Damaged(
                    f"{name} can't be searched: {found.damage.message}",
                    next_step=f"repair it, or give it up: artifactstore delete {name} --now",
                    version=name,
                )

    def _new(self) -> Iterator[tuple[ArtifactName, int, VersionRow]]:
        """The versions that were not looked at yet; no view of the index is held while pages are read."""
        with self._environment.read() as txn:
            grown = [
                (name, row.next_number)
                for name, row in artifacts(txn)
                if row.next_number > self._next.get(name, 0)
            ]
        for name, end in grown:
            since = self._next.get(name, 0)
            while since < end:
                with self._environment.read() as txn:
                    lot = list(islice(versions(txn, name, since), _VERSIONS_PER_READ))
                yield from ((name, number, row) for number, row in lot)
                since = lot[-1][0] + 1 if lot else end
            self._next[name] = max(since, end)


def is_kept(row: VersionRow) -> bool:
    """Whether a version is not given up for the next sweep already."""
    return row.deleted is None or not row.deleted.now


class Wish(NamedTuple):
    """What is to be taken down, and how.

    Attributes:
        digests: The files.
        chunks: Cids of their chunks, as far as they are known.
        rewrite: Whether versions get a successor without them.
        reason: Why; may be empty.
        requested_by: Who asked for it; may be empty.
    """

    digests: tuple[bytes, ...]
    chunks: tuple[bytes, ...]
    rewrite: bool
    reason: str
    requested_by: str


class Taken(NamedTuple):
    """What a takedown did.

    Attributes:
        deleted: Versions that were shown and are deleted.
        replaced: Versions that were replaced, each with the number of its successor.
        hastened: Versions that were deleted before and are now purged by the next sweep.
        parts: Finished parts of distributed pushes that have to be made again, each as (id of the push, number).
        slots: Its records.
    """

    deleted: list[tuple[ArtifactName, int]]
    replaced: list[tuple[ArtifactName, int, int]]
    hastened: list[tuple[ArtifactName, int]]
    parts: list[tuple[bytes, int]]
    slots: list[int]


class TakedownParts(NamedTuple):
    """What a takedown works on."""

    environment: Environment
    packs: PackTable
    getter: Getter
    deny_key: bytes
    committer: Committer
    writer: ChunkWriter | None
    randomness: Randomness
    progress: Progress


class Takedown:
    """One takedown. Used once.

    Args:
        parts: What it works on; with `rewrite` it needs a writer.
        wish: What is to be done.
        taken: Where it notes what it has done: a takedown that met a sweep begins anew and goes on with it.
    """

    def __init__(self, parts: TakedownParts, wish: Wish, taken: Taken) -> None:
        self._parts = parts
        self._wish = wish
        self._taken = taken
        self._holders = Holders(parts.getter, parts.environment, wish.digests, parts.progress)
        self._files = sorted({keyed_blake3(parts.deny_key, digest) for digest in wish.digests})
        self._successors: dict[Manifest, Manifest | None] = {}
        self._push_id = b""
        self._hidden: frozenset[tuple[ArtifactName, int]] = frozenset()

    def run(self) -> None:
        """Take the files down, in one record, or several where the versions are very many.

        Raises:
            Damaged: A version can't be searched in full; nothing was done to it.
            PreconditionFailed: Versions with the files are pushed faster than successors can be made.
        """
        made: Sequence[Operation] = ()

        def operations() -> Sequence[Operation]:
            nonlocal made
            made = self._operations()
            return made

        for _ in range(_TRIES_MAX):
            try:
                committed = self._parts.committer.commit(operations)
            except _SuccessorsWanted as wanted:
                self._make_successors(wanted.manifests)
            except _NothingLeft:
                return
            else:
                self._taken.slots.append(committed.slot)
                self._note(made, committed.outcomes)
        raise PreconditionFailed(
            "versions with these files are pushed faster than they can be replaced",
            next_step="take the files down without --rewrite",
        )

    def _operations(self) -> Sequence[Operation]:
        """What is to be done as of the records that the index has applied."""
        held = self._holders.held()
        with self._parts.environment.read() as txn:
            rules = deny_list(txn, self._parts.deny_key)
            due = list(islice(self._due(txn, held), VERSIONS_PER_RECORD_MAX))
            pushes = self._pushes(txn)
        self._hidden = frozenset((one.artifact, one.number) for one, row in due if row.deleted is not None)
        deletions: dict[ArtifactName, list[int]] = {}
        replacements: list[Operation] = []
        wanted: list[Manifest] = []
        for one, row in due:
            successor = None
            if self._wish.rewrite and row.deleted is None and not one.alone:
                if row.manifest not in self._successors:
                    wanted.append(row.manifest)
                    continue
                successor = self._successors[row.manifest]
            if successor is None:
                deletions.setdefault(one.artifact, []).append(one.number)
            else:
                replacements.append(self._replacement(one, successor))
        if wanted:
            raise _SuccessorsWanted(wanted)
        if self._push_id and len(due) < VERSIONS_PER_RECORD_MAX:
            pushes.append(self._push_id)
        return self._all(rules, deletions, replacements, pushes)

    def _all(
        self,
        rules: DenyList,
        deletions: dict[ArtifactName, list[int]],
        replacements: list[Operation],
        pushes: Sequence[bytes],
    ) -> list[Operation]:
        wish = self._wish
        operations: list[Operation] = []
        if not set(self._files) <= set(rules):
            operations.append(Deny(self._files, wish.reason, wish.requested_by))
        for name, numbers in deletions.items():
            for start in range(0, len(numbers), NUMBERS_PER_OPERATION_MAX):
                lot = numbers[start : start + NUMBERS_PER_OPERATION_MAX]
                operations.append(
                    Delete(
                        name.project,
                        name.name,
                        lot,
                        force=True,
                        now=True,
                        reason=wish.reason,
                        requested_by=wish.requested_by,
                    )
                )
        operations += replacements
        operations += [PartDropped(push, parts) for push, parts in self._holders.held_parts().items()]
        operations += [PendingDone(push) for push in pushes]
        if not operations:
            raise _NothingLeft
        return operations

    def _due(self, txn: ReadTransaction, held: Sequence[Held]) -> Iterator[tuple[Held, VersionRow]]:
        """Those of the versions that are not given up for the next sweep already."""
        for one in held:
            row = get_version(txn, one.artifact, one.number)
            if row is not None and is_kept(row):
                yield one, row

    def _pushes(self, txn: ReadTransaction) -> list[bytes]:
        """Pushes still running, or dead, that have registered packs with chunks of the files.

        What holds one of the files will be refused. One that only shares a chunk finds that it lost what it registered,
        if a sweep comes before its end, and stores it again.
        """
        running = {row.slot: row.push for row in pending(txn) if row.push != self._push_id}
        if not running:
            return []
        numbers = {at.pack for cid in self._wish.chunks for at in locations(txn, cid)}
        packs = [self._parts.packs.get(txn, number) for number in sorted(numbers)]
        slots = {pack.slot for pack in packs if pack is not None}
        return sorted({push for slot, push in running.items() if slot in slots})

    def _replacement(self, held: Held, successor: Manifest) -> Replace:
        name, wish = held.artifact, self._wish
        salt = self._parts.randomness.token(SALT_BYTES)
        return Replace(
            name.project, name.name, held.number, successor, 0, 0, [], salt, wish.reason, wish.requested_by
        )

    def _make_successors(self, manifests: Sequence[Manifest]) -> None:
        """Store the pages of successors, registered as of a push that is still running until they are used."""
        writer = self._parts.writer
        assert writer is not None
        for manifest in manifests:
            if manifest not in self._successors:
                self._successors[manifest] = self._without(manifest, writer)
        packs = writer.drain()
        if packs:
            self._push_id = self._push_id or self._parts.randomness.token(_PUSH_ID_BYTES)
            # Invariant 12: these packs are stored before the record names them.
            self._parts.committer.commit([Pending(self._push_id)], packs, kind=RecordType.PENDING)
            writer.registered(packs)

    def _without(self, manifest: Manifest, writer: ChunkWriter) -> Manifest | None:
        """The version without the files; None where it can't be read in full, so that it has no successor."""
        builder = ManifestBuilder(writer)
        try:
            for entry in entries(self._parts.getter, manifest):
                if entry.kind != Kind.FILE or entry.digest not in self._wish.digests:
                    builder.add(entry.identity, entry.content)
        except Damaged:
            return None
        return builder.finish()

    def _note(self, operations: Sequence[Operation], outcomes: Sequence[Outcome]) -> None:
        for operation, outcome in zip(operations, outcomes, strict=True):
            if isinstance(operation, Replace) and outcome.number is not None:
                name = ArtifactName(operation.project, operation.name)
                self._taken.replaced.append((name, operation.number, outcome.number))
            elif isinstance(operation, PartDropped):
                self._taken.parts.extend((operation.push, part) for part in operation.parts)
            elif operation == PendingDone(self._push_id):
                self._push_id = b""
            elif isinstance(operation, Delete):
                name = ArtifactName(operation.project, operation.name)
                for number in operation.numbers:
                    hidden = (name, number) in self._hidden
                    (self._taken.hastened if hidden else self._taken.deleted).append((name, number))


class _SuccessorsWanted(Exception):
    """Some versions have no successor yet."""

    def __init__(self, manifests: Sequence[Manifest]) -> None:
        super().__init__()
        self.manifests = manifests


class _NothingLeft(Exception):
    """Everything is done."""
