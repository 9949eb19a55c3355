"""Finding where a log ends, for a client that has nothing of it yet.

Slots are filled without holes, so the head is searched for by asking about 64 at once: below 2^18 records it takes
3 round trips, of which the first brings record 0 and the last the records before the head.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX
from artifactstore.format.record import Clear
from artifactstore.log.records import examine
from artifactstore.log.slots import Slots

_WIDTH: Final = PARALLEL_REQUESTS_MAX
_FIRST_POINTS: Final = (_WIDTH, *range(_WIDTH**2, (_WIDTH - 1) * _WIDTH**2, _WIDTH**2))
_VOID_RUN_MAX: Final = 4096


class Glance(NamedTuple):
    """What one round trip tells of a log.

    Attributes:
        first: The bytes of record 0, None where there is none.
        low: A slot that is filled, when there is a first record.
        high: A slot that is absent; None when all that were asked about are filled.
    """

    first: bytes | None
    low: int
    high: int | None


class End(NamedTuple):
    """Where a log ends.

    Attributes:
        head: The lowest absent slot.
        slot: The last slot that holds a valid record, None when there is none.
        clear: That record's clear part.
    """

    head: int
    slot: int | None
    clear: Clear | None


def glance(slots: Slots) -> Glance:
    """Read record 0, and see roughly how far the log goes, in one round trip."""
    (first,), filled = slots.look([0], _FIRST_POINTS)
    return Glance(first, *_between(0, _FIRST_POINTS, filled))


def find_end(slots: Slots, seen: Glance, store_id: bytes) -> End:
    """The head, and the last valid record before it.

    Args:
        slots: The log's slots.
        seen: What a glance told: there is a record 0.
        store_id: Whose records count.

    Raises:
        NewerStore: The last valid record needs a newer release.
    """
    low, high = seen.low, seen.high
    scale = _WIDTH**2
    while high is None:
        points = range(low + scale, low + (_WIDTH + 1) * scale, scale)
        low, high = _between(low, points, slots.look((), points)[1])
        scale *= _WIDTH
    while high - low > _WIDTH:
        step = -(-(high - low) // (_WIDTH + 1))
        points = range(low + step, high, step)
        low, found = _between(low, points, slots.look((), points)[1])
        high = high if found is None else found
    bytes_read = slots.read_many(range(low, high))
    head = next((low + at for at, data in enumerate(bytes_read) if data is None), high)
    while low > head - _VOID_RUN_MAX:
        for slot in range(min(head, low + len(bytes_read)) - 1, low - 1, -1):
            frame = examine(bytes_read[slot - low] or b"", slot, store_id)
            if frame is not None:
                return End(head, slot, frame.clear)
        if not low:
            break
        low, upto = max(0, low - _WIDTH), low
        bytes_read = slots.read_many(range(low, upto))
    return End(head, None, None)


def _between(low: int, points: Sequence[int], filled: Sequence[bool]) -> tuple[int, int | None]:
    """The last of rising points before the first absent one, and that one."""
    for point, there in zip(points, filled, strict=True):
        if not there:
            return low, point
        low = point
    return low, None
