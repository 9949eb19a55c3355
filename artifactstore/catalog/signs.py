"""Signs of life: whether runs that have not said that they ended are still there.

A run that beats puts a small object about every minute. The later of the backend's time of that object and of its first
record's own time is its last sign; a run without one for five minutes is shown as killed, and may still come back.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from artifactstore.backend.base import Backend
from artifactstore.catalog.runs import RunRow
from artifactstore.format.alive import ALIVE_PREFIX, run_of_name
from artifactstore.format.run_operations import KILLED, RUNNING

BEAT_S: Final = 60.0
SILENT_MS: Final = 5 * 60 * 1000
# A sweep takes a run for killed that was silent for so long. One that was asleep for a day gives no more signs.
GIVEN_UP_MS: Final = 7 * 24 * 3600 * 1000
ASLEEP_MS: Final = 24 * 3600 * 1000
_NS_PER_MS: Final = 1_000_000


def needs_signs(rows: Iterable[RunRow]) -> bool:
    """Whether any of these runs is one whose state depends on its signs of life."""
    return any(row.state == RUNNING and row.beats for row in rows)


def signs_of_life(backend: Backend) -> dict[bytes, int]:
    """By run the time of its sign of life in milliseconds; 0 where the backend does not know."""
    found: dict[bytes, int] = {}
    for info in backend.list(ALIVE_PREFIX):
        run = run_of_name(info.name)
        if run is not None:
            found[run] = info.modified_ns // _NS_PER_MS
    return found


def last_sign_ms(run: bytes, row: RunRow, signs: Mapping[bytes, int]) -> int:
    """When a run gave its last sign, in milliseconds."""
    return max(row.started_ms, signs.get(run, 0))


def is_silent(
    run: bytes, row: RunRow, signs: Mapping[bytes, int], now_ms: int, after_ms: int = SILENT_MS
) -> bool:
    """Whether a run has not said that it ended, and has given no sign for so long.

    Never of one that gives none, nor where the backend keeps no times.
    """
    if row.state != RUNNING or not row.beats or signs.get(run) == 0:
        return False
    return last_sign_ms(run, row, signs) + after_ms < now_ms


def state_of(run: bytes, row: RunRow, signs: Mapping[bytes, int], now_ms: int) -> tuple[str, int | None]:
    """(The state of a run as it is to be shown, when it ended in milliseconds or None)."""
    if is_silent(run, row, signs, now_ms):
        return KILLED, last_sign_ms(run, row, signs)
    return row.state, row.ended_ms
