"""How lock files look on standard output: lines for people, shapes for `--json`."""

from collections.abc import Iterator, Sequence

from artifactstore.checkout import LockCheck, LockedTarget, LockMove, Restored, RestorePlan, TargetStatus
from artifactstore.cli.rendering import count_text, printable, short_digest, size_text
from artifactstore.store import Names

Shape = dict[str, object]
_MARKS = (("modified", "M"), ("missing", "D"), ("extra", "?"))


def locked_shape(locked: LockedTarget) -> Shape:
    """A block of a lock file."""
    return {
        "target": locked.target,
        "reference": locked.reference,
        "artifact": locked.artifact,
        "version": locked.version,
        "digest": locked.digest,
        "store": locked.store,
        "follows": locked.follows,
    }


def locked_lines(added: Sequence[LockedTarget]) -> list[str]:
    """What was locked."""
    return [f"{printable(each.target)}: {each.reference} {short_digest(each.digest)}" for each in added]


def move_shape(move: LockMove) -> Shape:
    """What an update did to a block."""
    return {"moved": move.moved, "before": move.before.reference, **locked_shape(move.after)}


def move_lines(moves: Sequence[LockMove]) -> list[str]:
    """What an update did."""
    lines = []
    for move in moves:
        target = printable(move.after.target)
        if move.after.follows is None:
            lines.append(f"{target}: {move.after.reference} was locked by its number, and stays")
        elif move.moved:
            lines.append(f"{target}: {move.before.reference} -> {move.after.reference}")
        else:
            lines.append(f"{target}: {move.after.reference} is what {move.after.follows!r} is on")
    return lines


def check_shape(check: LockCheck) -> Shape:
    """Whether a block can be restored."""
    return {
        **locked_shape(check.locked),
        "problem": check.problem,
        "next_step": check.next_step,
        "newest": check.newest,
    }


def check_lines(checks: Sequence[LockCheck]) -> Iterator[str]:
    """Whether blocks can be restored."""
    for check in checks:
        target = printable(check.locked.target)
        if check.problem:
            yield f"{target}: {printable(check.problem)}"
            yield f"  next: {printable(check.next_step)}"
        elif check.behind:
            yield (
                f"{target}: {check.locked.reference} is there; {check.locked.follows!r} is on v{check.newest} by now:"
                " artifactstore lock --update"
            )
        else:
            yield f"{target}: {check.locked.reference} is there"


def names_shape(names: Names) -> Shape:
    """Some paths, and how many there are."""
    return {"shown": list(names.shown), "total": names.total}


def status_shape(status: TargetStatus) -> Shape:
    """A folder against its block."""
    return {
        **locked_shape(status.locked),
        "state": status.state,
        "modified": names_shape(status.modified),
        "missing": names_shape(status.missing),
        "extra": names_shape(status.extra),
        "files_read": status.files_read,
        "bytes_read": status.bytes_read,
    }


def status_lines(found: Sequence[TargetStatus]) -> Iterator[str]:
    """Folders against their blocks, as git shows a working tree."""
    for status in found:
        head = f"{printable(status.locked.target)}: {status.locked.reference}"
        if status.state != "different":
            yield f"{head} {'is not there: artifactstore pull --locked' if status.state == 'absent' else 'clean'}"
            continue
        counts = [(name, getattr(status, name).total) for name, _ in _MARKS]
        yield f"{head} {', '.join(f'{count:,} {name}' for name, count in counts if count)}"
        for name, mark in _MARKS:
            yield from _paths(mark, getattr(status, name))


def restore_plan_shape(plan: RestorePlan) -> Shape:
    """What making a target so takes."""
    return {
        **locked_shape(plan.locked),
        "present": plan.present,
        "write": names_shape(plan.write),
        "remove": names_shape(plan.remove),
        "changed": names_shape(plan.changed),
        "extra": names_shape(plan.extra),
    }


def restore_plan_lines(plans: Sequence[RestorePlan]) -> Iterator[str]:
    """What making folders so takes."""
    for plan in plans:
        head = f"{printable(plan.locked.target)}: {plan.locked.reference}"
        if not plan.present:
            yield f"{head} would be written as a whole"
            continue
        if not plan.write.total and not plan.remove.total:
            yield f"{head} is there already"
            continue
        yield f"{head} would write {count_text(plan.write.total, 'path')} and remove {plan.remove.total:,}"
        if plan.changed.total:
            yield f"  {count_text(plan.changed.total, 'path')} changed here, which takes --overwrite:"
            yield from _paths("M", plan.changed)
        if plan.extra.total:
            yield f"  {count_text(plan.extra.total, 'path')} in no version, which takes --clean:"
            yield from _paths("?", plan.extra)


def restored_shape(restored: Restored) -> Shape:
    """What became of a target."""
    return {
        **locked_shape(restored.locked),
        "written": restored.written,
        "removed": restored.removed,
        "bytes_written": restored.bytes_written,
    }


def restored_lines(done: Sequence[Restored]) -> Iterator[str]:
    """What became of targets."""
    for each in done:
        head = f"{printable(each.locked.target)}: {each.locked.reference}"
        if each.written or each.removed:
            yield (
                f"{head} written {each.written:,}, removed {each.removed:,}, {size_text(each.bytes_written)} fetched"
            )
        else:
            yield f"{head} was so already"


def _paths(mark: str, names: Names) -> Iterator[str]:
    yield from (f"  {mark} {printable(path)}" for path in names.shown)
    if names.total > len(names.shown):
        yield f"  {mark} … and {names.total - len(names.shown):,} more"
