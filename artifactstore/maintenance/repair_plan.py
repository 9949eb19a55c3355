"""What a repair would do, computed from what a check found: without I/O, frozen, and all that `repair` accepts."""

from typing import Final

import msgspec

from artifactstore.maintenance.findings import BrokenPack, CheckReport, Problem

_LOG_DAMAGED: Final = (
    "the log is not whole, and nothing is written to the store before its records are put back from a copy"
)


class RepairPlan(msgspec.Struct, frozen=True):
    """What a repair would do, and what it can't.

    Attributes:
        refused: Why nothing may be done; empty when it may.
        take_out: Packs that a record is to take out of use: nothing is deduplicated against them any more, so that
            pushing what they held stores it anew.
        take_back: Packs that were taken out of use and are whole again, each with the slot of the record that did.
        save: Packs that are not whole and hold chunks that no whole pack has; these are stored anew.
        new_state: Whether a new state and new index packs are to be written, because newcomers can't start.
        tiles: Tiles of the Merkle tree to be written.
        beyond: Problems that are left after it, each with what helps.
    """

    refused: str = ""
    take_out: tuple[BrokenPack, ...] = ()
    take_back: tuple[tuple[bytes, int], ...] = ()
    save: tuple[BrokenPack, ...] = ()
    new_state: bool = False
    tiles: tuple[str, ...] = ()
    beyond: tuple[Problem, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that it would do."""
        return not (self.take_out or self.take_back or self.save or self.new_state or self.tiles)


def plan_repair(report: CheckReport) -> RepairPlan:
    """Plan from a check.

    Args:
        report: What the check found. What it did not read is not repaired: a flipped bit in a pack shows only
            where packs were read whole.
    """
    facts = report.diagnosis
    if not facts.log_is_whole:
        return RepairPlan(_LOG_DAMAGED, beyond=report.problems)
    return RepairPlan(
        take_out=tuple(pack for pack in facts.broken if not pack.taken_out),
        take_back=facts.whole_again,
        save=tuple(pack for pack in facts.broken if pack.survivors),
        new_state=any(pack.in_use for pack in facts.broken),
        tiles=facts.tiles,
        beyond=tuple(problem for problem in report.problems if _is_beyond(problem)),
    )


def _is_beyond(problem: Problem) -> bool:
    """Whether something is left of a problem: what is derived is made anew, lost content is not."""
    return problem.versions.total > 0 or problem.part in {"log", "keys", "version", "index"}
