"""What a sweep would do: a frozen plan, computed from a survey without I/O, and all that `sweep` accepts.

Versions are purged in units, one for each record that deleted some. A unit is purged whole or postponed whole. Every
pack that holds a chunk which only purged versions needed is condemned; other garbage is worth rewriting a pack only
where there is enough of it.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from artifactstore.maintenance.settings import THRESHOLD_DEFAULT

# A sweep's record names what it condemns: a hundred thousand names fit.
_CONDEMNED_MAX: Final = 100_000
_SIGNS_MAX: Final = 10_000
# They are 40 bytes each: fewer wait for a sweep that something else is worth.
_SIGNS_WORTH_A_SWEEP: Final = 100


class PackUse(msgspec.Struct, frozen=True):
    """What is needed of one registered pack of pages, lists or data.

    Attributes:
        name: Its SHA-256.
        size: Its bytes.
        stored_bytes: Bytes of its blobs.
        live_bytes: Bytes of its blobs that live chunks take.
        dead_bytes: By unit of purge: bytes that are garbage once all units up to it are purged.
        pinned: Whether a push that is still running registered it.
        damaged: Whether a record says that it is damaged.
    """

    name: bytes
    size: int
    stored_bytes: int
    live_bytes: int
    dead_bytes: tuple[tuple[int, int], ...]
    pinned: bool
    damaged: bool


class Purge(msgspec.Struct, frozen=True):
    """A version that may be purged.

    Attributes:
        artifact: `project/name` that its artifact was called first.
        number: Its number.
        slot: The record that deleted it.
        size_bytes: Its logical bytes.
        shown: What its artifact is called now; empty where that is the same.
    """

    artifact: str
    number: int
    slot: int
    size_bytes: int
    shown: str = ""

    @property
    def name(self) -> str:
        """`project/name:v3`."""
        return f"{self.shown or self.artifact}:v{self.number}"


class Waiting(msgspec.Struct, frozen=True):
    """A deleted version that no sweep may purge yet.

    Attributes:
        artifact: As of a `Purge`.
        number: Its number.
        shown: As of a `Purge`.
        due_ms: From when on, in milliseconds since the Unix epoch.
    """

    artifact: str
    number: int
    shown: str
    due_ms: int

    @property
    def name(self) -> str:
        """`project/name:v3`."""
        return f"{self.shown or self.artifact}:v{self.number}"


class Survey(msgspec.Struct, frozen=True):
    """What was found out about a store, at one prefix of its log.

    Attributes:
        prefix: Everything before this slot was looked at.
        units: What may be purged, unit by unit, the oldest first.
        waiting: Deleted versions within their grace.
        packs: Packs of pages, lists and data.
        stale: Names and sizes of other registered objects that nothing needs any more: states and index packs that
            were replaced.
        orphans: Names and sizes of objects that no record names, old enough that nobody is about to.
        signs: Names and sizes of signs of life of runs that live no more.
        killed: Runs that have given none for days, with the time of the last one in milliseconds.
        returned: Names of objects that were condemned before and lie there again.
        expired: Ids of pushes that are given up.
        running: How many pushes are still running.
        left: Names of objects that an earlier sweep condemned and that were not seen gone yet.
        unread: Versions whose pages can't be read, so that nothing may be purged.
    """

    prefix: int
    units: tuple[tuple[Purge, ...], ...]
    waiting: tuple[Waiting, ...]
    packs: tuple[PackUse, ...]
    stale: tuple[tuple[str, int], ...]
    orphans: tuple[tuple[str, int], ...]
    signs: tuple[tuple[str, int], ...]
    killed: tuple[tuple[bytes, int], ...]
    returned: tuple[str, ...]
    expired: tuple[bytes, ...]
    running: int
    left: tuple[str, ...]
    unread: tuple[str, ...]


class SweepPlan(msgspec.Struct, frozen=True):
    """What a sweep would do.

    Attributes:
        prefix: The survey's.
        purge: Versions that it purges.
        postponed: Versions that it would purge if it might rewrite more.
        waiting: Deleted versions within their grace.
        condemn: Packs that it gives up.
        rewrite: Those of them that hold live chunks, which are stored in new packs.
        stale: Names of other objects that it gives up.
        orphans: Names of objects that no record names, which it gives up.
        signs: Names of signs of life of runs that live no more, which it gives up.
        killed: Runs that it takes for killed, with the time of their last sign of life in milliseconds.
        returned: Names of objects that came back after they were condemned; they are deleted again.
        expired: Ids of pushes that it gives up.
        left: Names of objects that an earlier sweep left to be deleted.
        freed_bytes: Bytes of objects that go, less what is rewritten.
        rewritten_bytes: Bytes that are stored anew.
        garbage_bytes: Bytes of garbage that stay in packs which are not worth rewriting.
        pinned_bytes: Bytes of packs of pushes that are still running.
        refused: Why nothing may be purged; empty when it may.
    """

    prefix: int
    purge: tuple[Purge, ...] = ()
    postponed: tuple[Purge, ...] = ()
    waiting: tuple[Waiting, ...] = ()
    condemn: tuple[bytes, ...] = ()
    rewrite: tuple[bytes, ...] = ()
    stale: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()
    signs: tuple[str, ...] = ()
    killed: tuple[tuple[bytes, int], ...] = ()
    returned: tuple[str, ...] = ()
    expired: tuple[bytes, ...] = ()
    left: tuple[str, ...] = ()
    freed_bytes: int = 0
    rewritten_bytes: int = 0
    garbage_bytes: int = 0
    pinned_bytes: int = 0
    refused: str = ""

    @property
    def sweeps(self) -> bool:
        """Whether there is something that only a sweep's record can give up."""
        worth_it = self.purge or self.condemn or self.stale or self.orphans or self.expired
        return bool(worth_it) or len(self.signs) >= _SIGNS_WORTH_A_SWEEP

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to take away."""
        return not (self.sweeps or self.left or self.returned)


def plan_sweep(
    survey: Survey, *, threshold: float = THRESHOLD_DEFAULT, max_rewrite: int | None = None
) -> SweepPlan:
    """Plan from a survey.

    Args:
        survey: What was found out.
        threshold: Packs with a larger share of garbage are rewritten; those that purged versions used always are.
        max_rewrite: Rewrite at most so many bytes: later units of purge wait until a further sweep.
    """
    if survey.unread:
        return SweepPlan(
            survey.prefix,
            waiting=survey.waiting,
            left=survey.left,
            returned=survey.returned,
            refused=f"{survey.unread[0]} can't be read whole, so it is not known what is needed",
        )
    units = len(survey.units)
    choice = _choose(survey.packs, units, threshold)
    while units and max_rewrite is not None and _rewritten(choice) > max_rewrite:
        units -= 1
        choice = _choose(survey.packs, units, threshold)
    if max_rewrite is not None and _rewritten(choice) > max_rewrite:
        choice = _choose(survey.packs, units, 1.0)
    condemned = [use for use, _ in choice]
    gone = {use.name for use in condemned}
    signs = survey.signs[:_SIGNS_MAX]
    others = [*survey.stale, *survey.orphans[: max(0, _CONDEMNED_MAX - len(condemned) - len(survey.stale))]]
    rewritten = _rewritten(choice)
    return SweepPlan(
        prefix=survey.prefix,
        purge=tuple(one for unit in survey.units[:units] for one in unit),
        postponed=tuple(one for unit in survey.units[units:] for one in unit),
        waiting=survey.waiting,
        condemn=tuple(use.name for use in condemned),
        rewrite=tuple(use.name for use, live in choice if live),
        stale=tuple(name for name, _ in survey.stale),
        orphans=tuple(name for name, _ in others[len(survey.stale) :]),
        signs=tuple(name for name, _ in signs),
        killed=survey.killed,
        returned=survey.returned,
        expired=survey.expired,
        left=survey.left,
        freed_bytes=sum(use.size for use in condemned)
        + sum(size for _, size in (*others, *signs))
        - rewritten,
        rewritten_bytes=rewritten,
        garbage_bytes=sum(
            use.stored_bytes - _needed(use, units)
            for use in survey.packs
            if use.name not in gone and not use.pinned
        ),
        pinned_bytes=sum(use.size for use in survey.packs if use.pinned),
    )


def _choose(packs: Sequence[PackUse], units: int, threshold: float) -> list[tuple[PackUse, int]]:
    """The packs to be condemned when so many units are purged, each with the bytes of it that are still needed."""
    chosen: list[tuple[PackUse, int]] = []
    for use in packs:
        if use.pinned or len(chosen) >= _CONDEMNED_MAX:
            continue
        needed = _needed(use, units)
        used_by_purged = any(unit < units for unit, _ in use.dead_bytes)
        if (
            not needed
            or used_by_purged
            or (use.stored_bytes - needed > threshold * use.stored_bytes and not use.damaged)
        ):
            chosen.append((use, needed))
    return chosen


def _needed(use: PackUse, units: int) -> int:
    """Bytes of a pack that are needed when the first units are purged."""
    return use.live_bytes + sum(size for unit, size in use.dead_bytes if unit >= units)


def _rewritten(choice: Sequence[tuple[PackUse, int]]) -> int:
    return sum(needed for _, needed in choice)
