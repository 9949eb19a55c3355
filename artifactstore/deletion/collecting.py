"""Collecting garbage: planning a sweep, running it, deleting what it condemned, and setting the grace period."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from artifactstore import maintenance
from artifactstore.client.members import Members
from artifactstore.client.observed import operation
from artifactstore.client.opened import OpenStore
from artifactstore.deletion.receipts import Receipts
from artifactstore.errors import PreconditionFailed, SweptMeanwhile, UsageError
from artifactstore.format.operations import Configure
from artifactstore.log.log import GenerationPassed
from artifactstore.maintenance.settings import EXPIRY_MS_DEFAULT, THRESHOLD_DEFAULT
from artifactstore.progress import Progress

_NS_PER_MS: Final = 1_000_000
_MS_PER_S: Final = 1000
_RESWEEPS_MAX: Final = 8


class PreparedSweep(NamedTuple):
    """A plan, with what only the client that made it knows.

    Attributes:
        plan: What `gc` would do.
        mark: Which chunks are needed.
        generation: The generation that it was made in.
    """

    plan: maintenance.sweep_plan.SweepPlan
    mark: maintenance.mark.Mark
    generation: int

    def __repr__(self) -> str:
        """The plan: marks have an entry for each chunk of the store."""
        return f"PreparedSweep({self.plan!r})"


class GcSummary(msgspec.Struct, frozen=True):
    """What a collection did.

    Attributes:
        slot: The sweep's record; None when there was nothing to sweep.
        generation: The store's generation after it.
        purged: Versions that are gone for good.
        condemned: Objects that were given up.
        rewritten_bytes: Bytes that were stored anew.
        kept_packs: Packs that had to stay, since something in them that is needed can't be read.
        claims: How many slots the sweep tried for.
        erased: Objects seen gone, those of earlier sweeps included.
        left: The first condemned objects that could not be deleted.
        left_total: How many there are of them.
        returned: Names of objects that had come back after they were condemned, and were deleted again.
    """

    slot: int | None
    generation: int
    purged: tuple[str, ...] = ()
    condemned: int = 0
    rewritten_bytes: int = 0
    kept_packs: int = 0
    claims: int = 0
    erased: int = 0
    left: tuple[maintenance.erase.Left, ...] = ()
    left_total: int = 0
    returned: tuple[str, ...] = ()


class Collecting(OpenStore):
    """The part of a store that takes away what is deleted."""

    @property
    def members(self) -> Members:
        """Its slot keys: who can unlock it, adding more, taking some away."""
        return Members(self, self._randomness)

    @property
    def receipts(self) -> Receipts:
        """Receipts of versions that were purged."""
        return Receipts(self)

    def plan_gc(
        self,
        *,
        threshold: float = THRESHOLD_DEFAULT,
        max_rewrite: int | None = None,
        expiry_s: float = EXPIRY_MS_DEFAULT / _MS_PER_S,
        progress: Progress | None = None,
    ) -> PreparedSweep:
        """Say what `gc` would do; nothing is written.

        Args:
            threshold: Packs with a larger share of garbage are rewritten, 0 to 1; those that purged versions used
                always are.
            max_rewrite: Rewrite at most so many bytes; deletions that would need more wait for a further run.
            expiry_s: How old, in seconds, an object that no record names or a push that does not go on must be to be
                given up.
            progress: Told what happens; the store's own when None.

        Raises:
            UsageError: A number is out of range.
            PermissionRefused: The backend does not allow listing, which a collection needs.
        """
        if not 0 <= threshold <= 1 or expiry_s < 0 or (max_rewrite is not None and max_rewrite < 0):
            raise UsageError(
                f"a threshold is between 0 and 1, and ages and sizes are not negative: {threshold}, {expiry_s},"
                f" {max_rewrite}"
            )

        def act() -> PreparedSweep:
            parts = self._parts
            parts.log.follow(parts.catalog)
            found = self._surveyed(progress or self._progress, round(expiry_s * _MS_PER_S))
            if found.survey.unread and parts.log.is_passed():
                raise GenerationPassed
            plan = maintenance.sweep_plan.plan_sweep(
                found.survey, threshold=threshold, max_rewrite=max_rewrite
            )
            return PreparedSweep(plan, found.mark, parts.keyring.generation)

        self.refresh()
        return self.across(act)

    def _surveyed(
        self, progress: Progress, expiry_ms: int = EXPIRY_MS_DEFAULT
    ) -> maintenance.survey.Surveyed:
        """Survey the store as far as the index has followed its log."""
        parts = self._parts
        parts.locator.complete()
        return maintenance.survey.survey(
            maintenance.survey.SurveyParts(
                parts.backend, parts.environment, parts.packs, parts.log, parts.reader, progress
            ),
            self._clock.now_ns() // _NS_PER_MS,
            expiry_ms=expiry_ms,
        )

    @operation
    def gc(
        self,
        prepared: PreparedSweep | None = None,
        *,
        trust_clock: bool = False,
        progress: Progress | None = None,
    ) -> GcSummary:
        """Take away what is deleted, beside whatever others do with the store.

        It may be cut at any moment: what the sweep's record says holds, and `resume_gc` or the next `gc` deletes
        what is left.

        Args:
            prepared: From `plan_gc` of this very store object; planned here when None.
            trust_clock: Go on where this machine's clock and the backend's differ by more than an hour.
            progress: Told what happens; the store's own when None.

        Raises:
            SweptMeanwhile: Another sweep was faster.
            PreconditionFailed: Nothing may be purged.
            ClockSkewed: This machine's clock is not to be trusted.
            PermissionRefused: This member may only read.
        """
        prepared = prepared or self.plan_gc(progress=progress)
        plan = prepared.plan
        if plan.refused:
            raise PreconditionFailed(plan.refused, next_step="artifactstore check, then artifactstore repair")
        self.before_writing()
        swept = None
        if plan.sweeps:
            swept = self._sweep(prepared, progress=progress, trust_clock=trust_clock)
        return self._erased(plan.returned, swept, progress)

    @operation
    def resume_gc(self, *, progress: Progress | None = None) -> GcSummary:
        """Delete what earlier sweeps condemned and left; nothing is planned or swept.

        Raises:
            PermissionRefused: This member may only read.
        """
        self.before_writing()
        self.refresh()
        return self._erased((), None, progress)

    def set_grace(self, seconds: float) -> None:
        """Set how long a deleted version can be brought back at least, for everybody.

        Raises:
            UsageError: It is negative.
        """
        if seconds < 0:
            raise UsageError(f"a grace period is not negative: {seconds} s")
        self._commit([Configure(round(seconds * _MS_PER_S))])

    def resweep(self, members: maintenance.sweep.MemberChange) -> GcSummary:
        """Begin a generation with new secrets for other members; nothing is purged that was not before.

        Raises:
            PreconditionFailed: Others sweep faster than this client can.
            PermissionRefused: This member may only read.
        """
        for attempt in range(1, _RESWEEPS_MAX + 1):
            self.before_writing()
            position = self.refresh()
            plan = maintenance.sweep_plan.SweepPlan(position.next_slot)
            prepared = PreparedSweep(
                plan, maintenance.mark.Mark(self._parts.reader), self._parts.keyring.generation
            )
            try:
                # No age matters here, so neither does the clock.
                swept = self._sweep(prepared, members=members, trust_clock=True)
            except SweptMeanwhile:
                if attempt == _RESWEEPS_MAX:
                    raise
            else:
                return self._erased((), swept, None)
        raise AssertionError("the last attempt returns or raises")

    def _sweep(
        self,
        prepared: PreparedSweep,
        *,
        members: maintenance.sweep.MemberChange | None = None,
        trust_clock: bool = False,
        progress: Progress | None = None,
    ) -> maintenance.sweep.Swept:
        """Run a sweep and go on in the generation that it begins."""
        before = self._parts
        if before.keyring.generation != prepared.generation:
            raise SweptMeanwhile("another sweep was faster")
        with self._make_executors() as executors:
            parts = maintenance.sweep.SweepParts(
                before.backend,
                before.keyring,
                before.environment,
                before.packs,
                before.locator,
                before.log,
                before.catalog,
                before.committer,
                self._chunk_writer(executors, anew=True),
                executors,
                self._clock,
                self._randomness,
                progress or self._progress,
            )
            sweeper = maintenance.sweep.Sweeper(
                parts,
                prepared.plan,
                prepared.mark,
                members=members or maintenance.sweep.SAME_MEMBERS,
                trust_clock=trust_clock,
            )
            swept = sweeper.run()
        self._renew(before)
        self.refresh()
        return swept

    def _erased(
        self, returned: tuple[str, ...], swept: maintenance.sweep.Swept | None, progress: Progress | None
    ) -> GcSummary:
        watcher = progress or self._progress
        came_back: list[maintenance.erase.Left] = []
        if returned:
            with self._make_executors() as executors:
                came_back = maintenance.erase.erase(self._parts.backend, returned, executors, watcher)

        def act() -> GcSummary:
            parts = self._parts
            with self._make_executors() as executors:
                done = maintenance.erase.erase_condemned(
                    parts.backend, parts.environment, parts.committer, executors, watcher
                )
            summary = GcSummary(
                slot=None,
                generation=parts.keyring.generation,
                erased=done.objects,
                left=(*came_back, *done.left),
                left_total=len(came_back) + done.left_total,
                returned=returned,
            )
            if swept is None:
                return summary
            return msgspec.structs.replace(
                summary,
                slot=swept.slot,
                purged=swept.purged,
                condemned=swept.condemned,
                rewritten_bytes=swept.rewritten_bytes,
                kept_packs=swept.kept_packs,
                claims=swept.claims,
            )

        return self.across(act)
