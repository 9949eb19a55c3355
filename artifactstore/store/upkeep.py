"""Looking after a store: its log, a check, the client index, the store as a whole."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from artifactstore import maintenance
from artifactstore.client import listing
from artifactstore.client.observed import operation
from artifactstore.client.opening import Parts, with_empty_index, with_memory_of, without_memory
from artifactstore.client.results import IndexInfo, LogEntry, StoreInfo
from artifactstore.deletion.collecting import Collecting
from artifactstore.errors import Damaged, PreconditionFailed, RolledBack
from artifactstore.index.tables import Position
from artifactstore.log.checkpoint import Checkpoint, sign_note
from artifactstore.log.log import GenerationPassed
from artifactstore.log.merkle import root_of
from artifactstore.progress import Progress
from artifactstore.store.log_words import log_entries


class Upkeep(Collecting):
    """The part of a store that looks after it."""

    def log(self, *, limit: int | None = None) -> Iterator[LogEntry]:
        """Yield the log's slots, newest first."""
        position = self.refresh()
        return log_entries(self._parts.log, position.next_slot, limit)

    def checkpoint(self) -> str:
        """How long the log is and its Merkle root, as a C2SP signed note.

        Raises:
            PermissionRefused: This member may only read, and can't sign.
        """
        position = self._parts.log.follow(self._parts.catalog)
        keyring = self._parts.keyring
        return sign_note(
            Checkpoint(keyring.store_id, position.next_slot, root_of(position.frontier)), keyring.signer()
        )

    @operation
    def check(
        self,
        *,
        read_data: bool = False,
        sample_percent: float = 100.0,
        restart: bool = False,
        progress: Progress | None = None,
    ) -> maintenance.findings.CheckReport:
        """Check that everything the store promises is there and whole.

        Reading packs is a run that may be cut; the next check with `read_data` and the same percentage goes on with
        what was not read yet.

        Args:
            read_data: Read packs whole, and open every chunk in them.
            sample_percent: How many of the packs to read, by chance.
            restart: Read from the start although an earlier run was cut.
            progress: Told what happens; the store's own when None.

        Raises:
            RolledBack: The log is not the one that this client has seen.
        """
        failures = self._followed()
        parts = self._parts
        with self._make_executors() as executors:
            checker = maintenance.check.Checker(
                maintenance.pack_check.CheckParts(
                    parts.backend,
                    parts.keyring,
                    parts.environment,
                    parts.packs,
                    parts.locator,
                    executors,
                    self._clock,
                    self._randomness,
                    progress or self._progress,
                )
            )
            return checker.run(
                maintenance.pack_check.Reading(sample_percent if read_data else 0.0, restart), failures
            )

    def plan_repair(
        self,
        *,
        read_data: bool = False,
        sample_percent: float = 100.0,
        restart: bool = False,
        progress: Progress | None = None,
    ) -> maintenance.repair_plan.RepairPlan:
        """Check the store, and say what `repair` would do about what was found; nothing is written.

        Args:
            read_data: As for `check`. Damage within packs shows only where they are read.
            sample_percent: As for `check`.
            restart: As for `check`.
            progress: As for `check`.

        Raises:
            RolledBack: The log is not the one that this client has seen.
        """
        report = self.check(
            read_data=read_data, sample_percent=sample_percent, restart=restart, progress=progress
        )
        return maintenance.repair_plan.plan_repair(report)

    @operation
    def repair(
        self, plan: maintenance.repair_plan.RepairPlan, *, progress: Progress | None = None
    ) -> maintenance.repair.RepairSummary:
        """Do what a plan says.

        Args:
            plan: From `plan_repair` of this very store object.
            progress: Told what happens; the store's own when None.

        Raises:
            Damaged: The log is not whole, so nothing may be written.
            PreconditionFailed: The store has changed so that the plan no longer holds.
        """
        self.before_writing()
        parts, watcher = self._parts, progress or self._progress
        with self._make_executors() as executors:
            repairer = maintenance.repair.Repairer(
                maintenance.repair.RepairParts(
                    parts.backend,
                    parts.keyring,
                    parts.environment,
                    parts.packs,
                    parts.log,
                    parts.committer,
                    self._chunk_writer(executors),
                    executors,
                    self._randomness,
                    watcher,
                )
            )
            try:
                return repairer.run(plan)
            except GenerationPassed:
                raise PreconditionFailed(
                    "a sweep came while the store was repaired", next_step="plan the repair anew"
                ) from None

    def plan_adopt(self) -> maintenance.adopt.AdoptPlan:
        """Say what this client has seen and the bucket does not have any more; nothing is written.

        The bucket's log is replayed from its first record, or from the state of its last sweep, so that as little as
        can be is taken for granted in it.

        Raises:
            Damaged: The bucket's log is not whole in itself.
        """
        try:
            self.refresh()
        except Damaged:
            pass
        else:
            slots = self._parts.catalog.position().next_slot
            return maintenance.adopt.AdoptPlan(needed=False, slots_known=slots, slots_found=slots)
        with without_memory(self._access, self._parts, self._clock, self._randomness) as fresh:
            _replay(fresh)
            return self._adoption(fresh)

    def adopt(self, plan: maintenance.adopt.AdoptPlan) -> None:
        """Acknowledge a bucket that was set back: say so in a record, and go on with what its log says.

        This client forgets what it has seen beyond it. What it knows as deleted or purged and finds there again is
        deleted again; `gc` then takes it away. A member who may only read forgets, and writes no record.

        Args:
            plan: From `plan_adopt`.

        Raises:
            PreconditionFailed: The bucket lacks more, or other things, than the plan says.
            Damaged: The bucket's log is not whole in itself.
        """
        if not plan.needed:
            return
        with without_memory(self._access, self._parts, self._clock, self._randomness) as fresh:
            position = _replay(fresh)
            now = self._adoption(fresh)
            if msgspec.structs.replace(now, slots_found=plan.slots_found) != plan:
                raise PreconditionFailed(
                    "the bucket lacks other things by now than the plan says", next_step="plan it anew"
                )
            if position.next_slot < plan.slots_found:
                raise PreconditionFailed("the log was set back once more", next_step="plan it anew")
            if fresh.keyring.signing_key is not None:
                self.before_writing()
                parts = self._parts
                again = maintenance.adopt.deletions_again(
                    parts.environment, fresh.environment, parts.keyring.name_key()
                )
                maintenance.adopt.acknowledge(fresh.committer, plan, again)
            # Only now: whoever is cut before it still knows what there is to acknowledge.
            self._parts = with_memory_of(self._access, self._parts, fresh, self._clock, self._randomness)
        self.refresh()

    def _adoption(self, fresh: Parts) -> maintenance.adopt.AdoptPlan:
        parts = self._parts
        return maintenance.adopt.plan_adopt(
            parts.environment, fresh.environment, parts.packs, parts.keyring.name_key()
        )

    @operation
    def rebuild_index(self, progress: Progress | None = None) -> None:
        """Delete this client's index and build it again from the log."""
        watcher = progress or self._progress
        watcher.start("rebuild")
        self._parts = with_empty_index(self._access, self._parts, self._clock, self._randomness)
        self.refresh()
        self._parts.locator.complete()
        watcher.finish()

    def index_info(self) -> IndexInfo:
        """What this client's index holds."""
        self.refresh()
        return listing.index_info(self._parts.environment)

    def info(self) -> StoreInfo:
        """The store as a whole."""
        self.refresh()
        self._parts.locator.complete()
        return listing.store_info(
            self._parts.environment,
            self._parts.packs,
            self._parts.log,
            self.members.slots(),
            store_id=self.id,
            url=self.url,
            single_writer=self._access.single_writer,
            probed_ns=self._probed_ns(),
            key_file=self.key_file,
        )

    def _followed(self) -> list[Damaged]:
        """Follow the log as far as it goes, and return why it goes no further.

        A newcomer that can't start from the last state replays the log from its first record.

        Raises:
            RolledBack: The log is not the one that this client has seen.
        """
        try:
            self.refresh()
        except RolledBack:
            raise
        except Damaged as error:
            if self._parts.catalog.position().next_slot:
                return [error]
        else:
            return []
        # What was taken over of the state is in the way of a replay.
        self._parts = with_empty_index(self._access, self._parts, self._clock, self._randomness)
        try:
            self._parts.log.follow(self._parts.catalog, from_start=True)
        except Damaged as error:
            return [error]
        return []


def _replay(fresh: Parts) -> Position:
    """Read a log as a newcomer: from its start where all of it opens."""
    return fresh.log.follow(fresh.catalog, from_start=fresh.keyring.generation == 0)
