"""The lines in which people read what commands on content say; as `lines`, which has those of the others."""

from collections.abc import Iterator, Sequence

from artifactstore.cli.rendering import count_text, printable, share_text, size_text, table, time_text
from artifactstore.store import (
    DeniedFile,
    FindReport,
    FoundFile,
    Place,
    TakedownPlan,
    TakedownSummary,
    Version,
)

_RUNS_SHOWN = 6
_VERSIONS_SHOWN = 50


def find_lines(report: FindReport) -> Iterator[str]:
    """Where files are kept."""
    for file in report.files:
        yield from _file_lines(file)
    if report.unread.total:
        shown = ", ".join(report.unread.shown)
        yield (
            f"not all could be searched: {count_text(report.unread.total, 'version')} can't be read in full ({shown});"
            " run `artifactstore check`"
        )


def found_versions(files: Sequence[FoundFile]) -> list[str]:
    """The versions that hold one of some files whole."""
    found = {
        f"{place.artifact}:v{number}": None
        for file in files
        for place in file.places
        if place.whole
        for number in (*place.versions, *place.deleted)
    }
    return list(found)


def takedown_plan_lines(plan: TakedownPlan) -> Iterator[str]:
    """What a takedown would do, and what it would leave alone."""
    for file in plan.files:
        yield from _file_lines(file)
    yield from _versions_lines("would delete", plan.delete)
    yield from _versions_lines("would replace by a successor without it", plan.replace)
    yield from _versions_lines("deleted already, to be purged by the next sweep", plan.hasten)
    for part in plan.parts[:_VERSIONS_SHOWN]:
        yield f"would have to be pushed again without it: {part}"
    if plan.aliases:
        yield f"aliases that go with them: {printable(' '.join(plan.aliases))}"
    if any(not place.whole for file in plan.files for place in file.places):
        yield "files that share a part of it are other files, and stay"
    denied = (
        "is refused already" if plan.denied else "would be refused from then on, in pushes and undeletions"
    )
    yield f"the content {denied}"


def takedown_lines(done: TakedownSummary) -> Iterator[str]:
    """What a takedown did."""
    if not done.slots:
        yield "there was nothing to do: no version holds it, and it is refused already"
        return
    yield (
        f"deleted {count_text(len(done.deleted), 'version')}, replaced {len(done.replaced):,};"
        f" {len(done.hastened):,} deleted before will be purged by the next sweep"
    )
    for old, new in done.replaced[:_VERSIONS_SHOWN]:
        yield f"  {old} -> {new}"
    for part in done.parts[:_VERSIONS_SHOWN]:
        yield f"  to be pushed again without it: {part}"
    yield "the content is refused from now on; the next `artifactstore gc` takes the bytes away"


def denied_lines(files: Sequence[DeniedFile]) -> Iterator[str]:
    """The list of what is refused."""
    if not files:
        yield "nothing is refused"
        return
    yield from table(
        ("id", "taken down", "record", "reason", "requested by"),
        [
            (file.id, time_text(file.time_ns), str(file.slot), file.reason, file.requested_by)
            for file in files
        ],
        right=(2,),
    )


def allowed_lines(files: Sequence[DeniedFile]) -> Iterator[str]:
    """What is refused no longer."""
    yield f"{count_text(len(files), 'file')} may be kept again"


def _versions_lines(words: str, versions: Sequence[Version]) -> Iterator[str]:
    if versions:
        yield f"{words}: {count_text(len(versions), 'version')}"
    for version in versions[:_VERSIONS_SHOWN]:
        yield f"  {version.qualified_name}: {count_text(version.file_count, 'file')}, {size_text(version.size_bytes)}"
    if len(versions) > _VERSIONS_SHOWN:
        yield f"  and {len(versions) - _VERSIONS_SHOWN:,} more"


def numbers_text(numbers: Sequence[int]) -> str:
    """`v0-v3 v7`; of many runs the first few."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and runs[-1][1] == number - 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    texts = [f"v{first}" if first == last else f"v{first}-v{last}" for first, last in runs]
    more = sum(last - first + 1 for first, last in runs[_RUNS_SHOWN:])
    return " ".join(texts[:_RUNS_SHOWN]) + (f" and {more:,} more" if more else "")


def _file_lines(file: FoundFile) -> Iterator[str]:
    size = "" if file.size_bytes is None else f" ({size_text(file.size_bytes)})"
    name = f"{printable(file.name)}{size}"
    if not file.places:
        yield f"{name}: in no version of this store"
    else:
        whole = sum(place.whole for place in file.places)
        part = len(file.places) - whole
        yield f"{name}: whole at {count_text(whole, 'place')}, in part at {part:,}"
        yield from (
            f"  {line}"
            for line in table(
                ("share", "artifact", "path", "versions", "deleted"),
                [_row(file, place) for place in file.places],
                right=(0,),
            )
        )
    if file.references:
        yield f"  {count_text(len(file.references), 'reference')} to it, with the same checksum:"
        yield from (
            f"  {line}"
            for line in table(
                ("artifact", "path", "versions", "deleted"),
                [_row(file, place)[1:] for place in file.references],
            )
        )
    if file.more:
        yield f"  and {file.more:,} more finds, counted in each version"
    if file.unused_bytes:
        yield f"  {size_text(file.unused_bytes)} of it are stored and in no version: pushed right now, or left over"
    if file.estimated:
        yield "  shares are estimated from a part of its chunks"


def _row(file: FoundFile, place: Place) -> tuple[str, ...]:
    share = "whole" if place.whole else share_text(place.shared_bytes, file.size_bytes or 0)
    return share, place.artifact, place.path, numbers_text(place.versions), numbers_text(place.deleted)
