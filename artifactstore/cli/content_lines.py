"""The lines in which people read what commands on content say; as `lines`, which has those of the others."""

from collections.abc import Iterator, Sequence

from artifactstore.cli.rendering import count_text, printable, share_text, size_text, table
from artifactstore.store import FindReport, FoundFile, Place

_RUNS_SHOWN = 6


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
    if file.more:
        yield f"  and {file.more:,} more finds, counted in each version"
    if file.unused_bytes:
        yield f"  {size_text(file.unused_bytes)} of it are stored and in no version: pushed right now, or left over"
    if file.estimated:
        yield "  shares are estimated from a part of its chunks"


def _row(file: FoundFile, place: Place) -> tuple[str, ...]:
    share = "whole" if place.whole else share_text(place.shared_bytes, file.size_bytes or 0)
    return share, place.artifact, place.path, numbers_text(place.versions), numbers_text(place.deleted)
