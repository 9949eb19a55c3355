"""What a collection would do and did, for people and as JSON."""

from collections.abc import Iterator

from artifactstore.cli.rendering import count_text, iso_time, size_text, time_text
from artifactstore.deletion.collecting import GcSummary
from artifactstore.maintenance.sweep_plan import Purge, SweepPlan

Shape = dict[str, object]

_NS_PER_MS = 1_000_000
_SHOWN_MAX = 20


def gc_plan_lines(plan: SweepPlan) -> Iterator[str]:
    """What a collection would do, what it keeps back, and why."""
    if plan.refused:
        yield f"nothing may be purged: {plan.refused}"
    elif plan.is_empty:
        yield "there is nothing to take away"
    else:
        yield (
            f"frees {size_text(max(0, plan.freed_bytes))}: purges {count_text(len(plan.purge), 'version')}, gives up"
            f" {count_text(len(plan.condemn), 'pack')}"
        )
    yield from _some(f"  purge {one.name}, {size_text(one.size_bytes)}" for one in plan.purge)
    if plan.rewrite:
        yield (
            f"  rewrites {size_text(plan.rewritten_bytes)} that other versions need"
            f" out of {count_text(len(plan.rewrite), 'pack')}"
        )
    if plan.stale:
        yield f"  gives up {count_text(len(plan.stale), 'object')} of states and index that were replaced"
    if plan.orphans:
        yield f"  gives up {count_text(len(plan.orphans), 'object')} of pushes that died"
    if plan.signs:
        yield f"  gives up {count_text(len(plan.signs), 'sign')} of life of runs that ended"
    if plan.expired:
        yield f"  gives up {count_text(len(plan.expired), 'push')} that did not go on".replace(
            "pushs", "pushes"
        )
    if plan.left:
        yield f"  deletes {count_text(len(plan.left), 'object')} that an earlier run gave up and left"
    if plan.returned:
        yield f"  deletes again {count_text(len(plan.returned), 'object')} that came back"
    yield from _some(f"keeps {one.name} for now: --max-rewrite" for one in plan.postponed)
    yield from _some(
        f"keeps {one.name}: it can be brought back until {time_text(one.due_ms * _NS_PER_MS)}"
        for one in plan.waiting
    )
    if plan.pinned_bytes:
        yield f"keeps {size_text(plan.pinned_bytes)} of pushes that are still running"
    if plan.garbage_bytes:
        yield f"keeps {size_text(plan.garbage_bytes)} of garbage in packs that are not worth rewriting (--threshold)"


def gc_lines(done: GcSummary) -> Iterator[str]:
    """What a collection did."""
    if done.slot is not None:
        yield (
            f"purged {count_text(len(done.purged), 'version')}, gave up {count_text(done.condemned, 'object')}"
            f" by record {done.slot}; generation {done.generation} begins"
        )
    yield f"saw {count_text(done.erased, 'object')} gone"
    if done.purged:
        yield "a receipt of each version that was purged: `artifactstore receipt list`"
    if done.kept_packs:
        yield f"kept {count_text(done.kept_packs, 'pack')}: something that is needed in them can't be read"
    if done.left_total:
        yield f"{count_text(done.left_total, 'object')} could not be deleted; `artifactstore gc --resume` tries again"
    yield from _some(f"  {one.name}: {one.reason}" for one in done.left)
    yield from _some(f"  came back and was deleted again: {name}" for name in done.returned)


def gc_plan_shape(plan: SweepPlan) -> Shape:
    """What a collection would do."""
    return {
        "refused": plan.refused,
        "purge": [_purge_shape(one) for one in plan.purge],
        "postponed": [_purge_shape(one) for one in plan.postponed],
        "waiting": [
            {"version": one.name, "until": iso_time(one.due_ms * _NS_PER_MS)} for one in plan.waiting
        ],
        "packs_given_up": len(plan.condemn),
        "packs_rewritten": len(plan.rewrite),
        "replaced": len(plan.stale),
        "orphans": len(plan.orphans),
        "signs_of_life": len(plan.signs),
        "runs_killed": [run.hex() for run, _ in plan.killed],
        "returned": list(plan.returned),
        "pushes_given_up": len(plan.expired),
        "left_to_delete": len(plan.left),
        "freed_bytes": plan.freed_bytes,
        "rewritten_bytes": plan.rewritten_bytes,
        "garbage_kept_bytes": plan.garbage_bytes,
        "running_pushes_bytes": plan.pinned_bytes,
    }


def gc_shape(done: GcSummary) -> Shape:
    """What a collection did."""
    return {
        "slot": done.slot,
        "generation": done.generation,
        "purged": list(done.purged),
        "condemned": done.condemned,
        "rewritten_bytes": done.rewritten_bytes,
        "kept_packs": done.kept_packs,
        "claims": done.claims,
        "erased": done.erased,
        "left": [{"object": one.name, "reason": one.reason} for one in done.left],
        "left_total": done.left_total,
        "returned": list(done.returned),
    }


def _purge_shape(one: Purge) -> Shape:
    return {"version": one.name, "size_bytes": one.size_bytes, "deleted_by": one.slot}


def _some(lines: Iterator[str]) -> Iterator[str]:
    """The first lines, and how many more there are."""
    more = 0
    for at, line in enumerate(lines):
        if at < _SHOWN_MAX:
            yield line
        else:
            more += 1
    if more:
        yield f"  and {more:,} more"
