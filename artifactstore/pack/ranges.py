"""Which byte ranges of a pack to fetch for a set of blobs: neighbours in one request, gaps kept small."""

from collections.abc import Iterable
from typing import Final, NamedTuple

# A gap this small costs less to read over than another request does.
GAP_BYTES_MAX: Final = 128 << 10
RANGE_BYTES_MAX: Final = 4 << 20


class Range(NamedTuple):
    """One request: `length` bytes from `start` on, holding the blobs at these (offset, length)."""

    start: int
    length: int
    blobs: tuple[tuple[int, int], ...]


def coalesce(
    blobs: Iterable[tuple[int, int]], *, gap_max: int = GAP_BYTES_MAX, range_max: int = RANGE_BYTES_MAX
) -> list[Range]:
    """Plan the ranges that cover all `blobs`, each an (offset, length) in one pack."""
    ranges: list[Range] = []
    run: list[tuple[int, int]] = []
    start = end = 0
    for offset, length in sorted(set(blobs)):
        if run and (offset > end + gap_max or offset + length - start > range_max):
            ranges.append(Range(start, end - start, tuple(run)))
            run = []
        if not run:
            start = offset
        run.append((offset, length))
        end = max(end, offset + length)
    if run:
        ranges.append(Range(start, end - start, tuple(run)))
    return ranges
