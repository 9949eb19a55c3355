"""Finding where a log ends, for a client that has nothing of it yet.

Slots are filled without holes, so the head is searched for by asking about 64 at once: below 131,072 records it takes
3 round trips, below 40 million 5. The first brings record 0 and the last the records before the head.
"""

from collections.abc import Callable, Iterator, Sequence
from math import isqrt
from typing import Final, NamedTuple

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX
from artifactstore.format.record import Clear
from artifactstore.log.records import examine
from artifactstore.log.signers import Signers
from artifactstore.log.slots import Slots

_WIDTH: Final = PARALLEL_REQUESTS_MAX
# Record 0 is read with them. Up to 131,072 each leaves 64 times 64 slots to search, and beyond it 41 in 100.
_EVEN: Final = range(_WIDTH**2, _WIDTH**2 * (_WIDTH // 2 + 1), _WIDTH**2)
_FIRST_POINTS: Final = (
    _WIDTH,
    *_EVEN,
    *(isqrt(_EVEN[-1] ** 2 << number) for number in range(1, _WIDTH // 2 - 1)),
)
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
        read: Bytes of slots as they lie there: of record 0, and of those about the last valid record.
    """

    head: int
    slot: int | None
    clear: Clear | None
    read: dict[int, bytes]


def glance(slots: Slots) -> Glance:
    """Read record 0, and see roughly how far the log goes, in one round trip."""
    (first,), filled = slots.look([0], _FIRST_POINTS)
    return Glance(first, *_between(0, _FIRST_POINTS, filled))


def find_end(
    slots: Slots, seen: Glance, signers: Signers, beside: Sequence[Callable[[], object]] = ()
) -> End:
    """The head, and the last valid record before it.

    Args:
        slots: The log's slots.
        seen: What a glance told: there is a record 0.
        signers: Whose records count.
        beside: Other requests, made in the first round trip.

    Raises:
        NewerStore: The last valid record needs a newer release.
    """
    low, high = seen.low, seen.high
    scale = _WIDTH**2
    while high is None:
        points = range(low + scale, low + (_WIDTH + 1) * scale, scale)
        low, high = _between(low, points, slots.look((), points, beside)[1])
        beside = ()
        scale *= _WIDTH
    while high - low > _WIDTH:
        step = -(-(high - low) // (_WIDTH + 1))
        points = range(low + step, high, step)
        low, found = _between(low, points, slots.look((), points, beside)[1])
        beside = ()
        high = high if found is None else found
    read = {0: seen.first or b""}
    head = high
    for slot, data in _read(slots, range(max(low, 1), high), beside):
        if data is None:
            head = slot
            break
        read[slot] = data
    return _last_valid(slots, low, head, signers, read)


def _read(
    slots: Slots, wanted: range, beside: Sequence[Callable[[], object]] = ()
) -> Iterator[tuple[int, bytes | None]]:
    return zip(wanted, slots.look(wanted, (), beside)[0], strict=True)


def _last_valid(slots: Slots, low: int, head: int, signers: Signers, read: dict[int, bytes]) -> End:
    """The last valid record, searched for from the head down."""
    upto = head
    while True:
        frames = (examine(read[slot], slot, signers) for slot in range(low, upto))
        valid = [frame.clear for frame in frames if frame is not None]
        if valid:
            # Generations rise only: after a later one's record, an earlier one's counts for nothing.
            clear = max(valid, key=lambda clear: (clear.generation, clear.slot))
            return End(head, clear.slot, clear, read)
        if not low or low <= head - _VOID_RUN_MAX:
            return End(head, None, None, read)
        low, upto = max(0, low - _WIDTH), low
        # Void slots may be long: those of one lot are in memory at once.
        read = {0: read[0]} | {slot: data or b"" for slot, data in _read(slots, range(max(low, 1), upto))}


def _between(low: int, points: Sequence[int], filled: Sequence[bool]) -> tuple[int, int | None]:
    """The last of rising points before the first absent one, and that one."""
    for point, there in zip(points, filled, strict=True):
        if not there:
            return low, point
        low = point
    return low, None
