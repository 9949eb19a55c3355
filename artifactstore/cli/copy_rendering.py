"""What `copy` and `mirror` print, for people and for programs."""

from collections.abc import Iterator

from artifactstore.cli.rendering import count_text, printable, size_text
from artifactstore.exchange import CopyPlan, CopyStep

Shape = dict[str, object]


def copy_shape(plan: CopyPlan, *, dry_run: bool) -> Shape:
    """A copy that was planned or done; `target` is null for what is not copied yet."""
    return {
        "dry_run": dry_run,
        "source": plan.source,
        "destination": plan.destination,
        "versions": [_step_shape(step) for step in plan.steps],
        "deletes": list(plan.deletes),
        "logical_bytes": plan.logical_bytes,
    }


def copy_lines(plan: CopyPlan, *, dry_run: bool) -> Iterator[str]:
    """A line for each version, and a sum."""
    verb = "would copy" if dry_run else "copied"
    kept = len(plan.steps) - len(plan.copied)
    there = f"; {count_text(kept, 'version')} there already" if kept else ""
    yield (
        f"{verb} {count_text(len(plan.copied), 'version')}, {size_text(plan.logical_bytes)},"
        f" to {printable(plan.destination)}{there}"
    )
    for step in plan.steps:
        yield from _step_lines(step)
    for ref in plan.deletes:
        yield f"  {ref}: {'would be deleted' if dry_run else 'deleted'} there"


def _step_shape(step: CopyStep) -> Shape:
    version = step.version
    return {
        "reference": version.qualified_name,
        "digest": version.digest,
        "action": step.action,
        "target": None if step.target is None else f"{version.artifact}:v{step.target}",
        "aliases": list(step.aliases),
        "tags": list(step.tags),
        "said": step.said,
        "expires": step.expires,
        "file_count": version.file_count,
        "size_bytes": version.size_bytes,
        "stored_bytes": step.stored_bytes,
    }


def _step_lines(step: CopyStep) -> Iterator[str]:
    if step.action == "keep":
        return
    version = step.version
    target = "" if step.target is None or step.target == version.number else f" as v{step.target}"
    names = [*(f"alias {name}" for name in step.aliases), *(f"label {name}" for name in step.tags)]
    if step.said:
        names.append("description and metadata")
    if step.expires:
        names.append("time of expiry")
    words = f", {', '.join(names)}" if names else ""
    what = size_text(version.size_bytes) if step.action == "copy" else "is there"
    yield f"  {version.qualified_name}{target}: {what}{words}"
