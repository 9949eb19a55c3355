"""Taking files down for good, and the list of what was taken down."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

import msgspec

from artifactstore import maintenance
from artifactstore.catalog.begun import get_begun
from artifactstore.catalog.denied import denied, deny_list
from artifactstore.catalog.rows import get_version
from artifactstore.client import listing
from artifactstore.client.observed import operation
from artifactstore.client.token import make_token
from artifactstore.client.version import Version
from artifactstore.content.put import ChunkWriter
from artifactstore.crypto.hashing import keyed_blake3
from artifactstore.deletion.deleting import Deleting, refuse_long
from artifactstore.deletion.finding import Finding
from artifactstore.errors import Damaged, NoSuchEntry
from artifactstore.executors import Executors
from artifactstore.format.operations import Allow
from artifactstore.ids import LATEST
from artifactstore.progress import Progress

_NS_PER_MS = 1_000_000


class TakedownPlan(msgspec.Struct, frozen=True):
    """What a takedown would do.

    Attributes:
        files: The files, and where they lie; places that hold only a part of one are left alone, and so are references
            to them.
        delete: Versions that would be deleted.
        replace: Versions that would be replaced by a successor without the files.
        hasten: Versions that are deleted already, and would be purged by the next sweep.
        parts: Finished parts of distributed pushes that would have to be made again, as `part 3 of TOKEN`.
        aliases: References by alias, other than `latest`, that would go with deleted versions.
        denied: Whether all of the files are on the deny list already.
    """

    files: tuple[maintenance.find.FoundFile, ...]
    delete: tuple[Version, ...]
    replace: tuple[Version, ...]
    hasten: tuple[Version, ...]
    parts: tuple[str, ...]
    aliases: tuple[str, ...]
    denied: bool


class TakedownSummary(msgspec.Struct, frozen=True):
    """What a takedown did.

    Attributes:
        deleted: References to versions that were deleted.
        replaced: References to versions that were replaced, each with that of its successor.
        hastened: References to versions that were deleted before, and are purged by the next sweep.
        parts: Finished parts of distributed pushes that have to be made again, as `part 3 of TOKEN`.
        slots: Its records; none where there was nothing to do.
    """

    deleted: tuple[str, ...]
    replaced: tuple[tuple[str, str], ...]
    hastened: tuple[str, ...]
    parts: tuple[str, ...]
    slots: tuple[int, ...]


class DeniedFile(msgspec.Struct, frozen=True):
    """A file that the store takes no more.

    Attributes:
        id: What the list knows it by, as hex: a hash of its digest that only members can make.
        time_ns: When it was taken down, by the clock of who did.
        slot: The record that did it.
        member: The slot key id that its writer claims, as hex.
        reason: Why; may be empty.
        requested_by: Who asked for it; may be empty.
    """

    id: str
    time_ns: int
    slot: int
    member: str
    reason: str
    requested_by: str


class TakingDown(Deleting, Finding):
    """The part of a store that takes files down."""

    def plan_takedown(
        self,
        files: Iterable[str | os.PathLike[str]],
        *,
        within: str | None = None,
        rewrite: bool = False,
        progress: Progress | None = None,
    ) -> TakedownPlan:
        """Say what `takedown` would do; nothing is changed.

        Args:
            files: As for `find`.
            within: As for `find`.
            rewrite: As for `takedown`.
            progress: Told what happens; the store's own when None.

        Raises:
            NoSuchPath, InvalidSource, NoSuchEntry, NoSuchVersion, Deleted: As for `find`.
            Damaged: A version can't be searched in full.
        """
        watcher = progress or self._progress
        known = self._known(files, within, watcher)
        report = self._finder(watcher, references=True).run(known)
        parts = self._parts
        digests = [one.digest for one in known]
        holders = maintenance.takedown.Holders(parts.reader, parts.environment, digests, watcher)
        held, held_parts = holders.held(), holders.held_parts()
        watcher.finish()
        delete: list[Version] = []
        replace: list[Version] = []
        hasten: list[Version] = []
        with parts.environment.read() as txn:
            rules = deny_list(txn, parts.keyring.deny_key())
            for one in held:
                row = get_version(txn, one.artifact, one.number)
                if row is None or not maintenance.takedown.is_kept(row):
                    continue
                version = listing.version_at(self, txn, one.artifact, one.number)
                kept = rewrite and not one.alone
                (hasten if row.deleted is not None else replace if kept else delete).append(version)
        return TakedownPlan(
            report.files,
            tuple(delete),
            tuple(replace),
            tuple(hasten),
            self._parts_named((push, part) for push, numbers in held_parts.items() for part in numbers),
            tuple(f"{one.artifact}:{alias}" for one in delete for alias in one.aliases if alias != LATEST),
            all(one.digest in rules for one in known),
        )

    @operation
    def takedown(
        self,
        files: Iterable[str | os.PathLike[str]],
        *,
        within: str | None = None,
        rewrite: bool = False,
        reason: str = "",
        requested_by: str = "",
        progress: Progress | None = None,
    ) -> TakedownSummary:
        """Take files out of every version, for good, and refuse them from now on.

        Versions that hold one of them are deleted, with their aliases, and purged by the next sweep without grace;
        those that others commit meanwhile as well. From then on, pushing or undeleting what holds one raises `Denied`.

        Args:
            files: As for `find`; files with the same content, whatever they are called.
            within: As for `find`.
            rewrite: Replace versions that hold other files too by successors without these, which take their
                aliases and their place.
            reason: Why, kept sealed in the log.
            requested_by: Who asked for it, kept sealed in the log.
            progress: Told what happens; the store's own when None.

        Raises:
            NoSuchPath, InvalidSource, NoSuchEntry, NoSuchVersion, Deleted: As for `find`.
            InvalidMetadata: `reason` or `requested_by` is too long.
            Damaged: A version can't be searched in full.
        """
        refuse_long(reason, requested_by)
        watcher = progress or self._progress
        self.before_writing()
        known = self._known(files, within, watcher)
        self._parts.locator.complete()
        known = self._finder(watcher).with_chunks(known)
        wish = maintenance.takedown.Wish(
            tuple(one.digest for one in known), _chunks(known), rewrite, reason, requested_by
        )
        taken = maintenance.takedown.Taken([], [], [], [], [])
        with self._make_executors() as executors:
            while True:
                before = self._parts
                try:
                    self.across(lambda: self._takedown(wish, taken, executors, watcher))
                    break
                except Damaged:
                    self.refresh()
                    if self._parts is before:
                        raise
        watcher.finish()
        named = self._parts_named(taken.parts)
        with self._parts.environment.read() as txn:
            return TakedownSummary(
                tuple(listing.called(txn, *one) for one in taken.deleted),
                tuple(
                    (listing.called(txn, name, number), listing.called(txn, name, successor))
                    for name, number, successor in taken.replaced
                ),
                tuple(listing.called(txn, *one) for one in taken.hastened),
                named,
                tuple(taken.slots),
            )

    def _parts_named(self, parts: Iterable[tuple[bytes, int]]) -> tuple[str, ...]:
        store_id = self._parts.keyring.store_id
        with self._parts.environment.read() as txn:
            known = [(push, part, get_begun(txn, push)) for push, part in parts]
        return tuple(
            f"part {part} of {make_token(store_id, push, row.parts)}"
            for push, part, row in known
            if row is not None
        )

    def _takedown(
        self,
        wish: maintenance.takedown.Wish,
        taken: maintenance.takedown.Taken,
        executors: Executors,
        progress: Progress,
    ) -> None:
        parts = self._parts
        writer: ChunkWriter | None = self._chunk_writer(executors) if wish.rewrite else None
        maintenance.takedown.Takedown(
            maintenance.takedown.TakedownParts(
                parts.environment,
                parts.packs,
                parts.reader,
                parts.keyring.deny_key(),
                parts.committer,
                writer,
                self._randomness,
                progress,
            ),
            wish,
            taken,
        ).run()

    def denied_files(self) -> list[DeniedFile]:
        """The deny list, in the order of the log."""
        self.refresh()
        with self._parts.environment.read() as txn:
            found = [
                DeniedFile(
                    file.hex(),
                    row.time_ms * _NS_PER_MS,
                    row.slot,
                    row.member.hex(),
                    row.reason,
                    row.requested_by,
                )
                for file, row in denied(txn)
            ]
        return sorted(found, key=lambda file: (file.slot, file.id))

    def allow(
        self, files: Iterable[str | os.PathLike[str]], *, progress: Progress | None = None
    ) -> list[DeniedFile]:
        """Take files off the deny list; what was taken down does not come back.

        Args:
            files: As for `find`, or what the list knows them by.
            progress: Told what happens; the store's own when None.

        Returns:
            What stood on the list.

        Raises:
            NoSuchEntry: One of them is not on the list.
        """
        watcher = progress or self._progress
        listed = {file.id: file for file in self.denied_files()}
        key = self._parts.keyring.deny_key()
        wanted: dict[str, DeniedFile] = {}
        for file in [os.fspath(one) for one in files]:
            known = [] if file in listed else self._known([file], None, watcher)
            name = keyed_blake3(key, known[0].digest).hex() if known else file
            if name not in listed:
                raise NoSuchEntry(
                    f"{file!r} is not on the deny list",
                    next_step="`artifactstore takedown --list` shows what is",
                    file=file,
                )
            wanted[name] = listed[name]
        watcher.finish()
        self._commit([Allow([bytes.fromhex(name) for name in sorted(wanted)])])
        return list(wanted.values())


def _chunks(known: Sequence[maintenance.find.Known]) -> tuple[bytes, ...]:
    return tuple({cid for one in known if one.fingerprint is not None for cid in one.fingerprint.chunks})
