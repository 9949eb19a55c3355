"""What a client with an empty index reads of a log before it follows it, in few round trips.

Record 0 and the head are found in three (`log.head`); the next one brings the record that names the newest state, and
of what follows it all that is known by then to be needed. Nothing of it is opened here, so it can be read while the
store is still locked, and nothing is believed: it is verified as all records are when it is followed.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX
from artifactstore.format.record import Clear
from artifactstore.format.tile import DATA_TILE_WIDTH
from artifactstore.log.head import End
from artifactstore.log.slots import Slots
from artifactstore.log.tiles import Tiles


class Start(NamedTuple):
    """What was read of a log.

    Attributes:
        head: The lowest slot that was absent then.
        last: The clear part of the last valid record, None where there is none.
        named: The slot whose record names the newest state, None where none does.
        slots: Bytes of slots, as they lie there.
        tiles: What data tiles say of others.
    """

    head: int
    last: Clear | None
    named: int | None
    slots: dict[int, bytes]
    tiles: dict[int, bytes]


def read_start(slots: Slots, tiles: Tiles, end: End, beside: Sequence[Callable[[], object]] = ()) -> Start:
    """Read the newest state's record and, as far as one round trip goes, the slots after it that were not read yet.

    Args:
        slots: The log's slots.
        tiles: Its tiles.
        end: Where it ends.
        beside: Other requests, made in the same round trip where there is one.
    """
    named: int | None = None
    if end.clear is not None:
        named = end.clear.state_slot if end.clear.state is None else end.slot
    base = named or 0
    lacking = [slot for slot in range(base, end.head) if slot not in end.read]
    room = PARALLEL_REQUESTS_MAX - len(beside)
    found: dict[int, bytes] = {}
    numbers: list[int] = []
    if len(lacking) > room:
        full = range(base // DATA_TILE_WIDTH, end.head // DATA_TILE_WIDTH)
        numbers = [number for number in full if number * DATA_TILE_WIDTH <= lacking[-1]][: room - 1]
        covered = {base, *range(base, (numbers[-1] + 1) * DATA_TILE_WIDTH)} if numbers else {base}
        lacking = [base] * (base not in end.read) + [slot for slot in lacking if slot not in covered]
        lacking = lacking[: room - len(numbers)]

    def take(number: int) -> None:
        found.update(enumerate(tiles.read_data(number), number * DATA_TILE_WIDTH))

    read = dict(end.read)
    if lacking:
        answers, _ = slots.look(lacking, (), [*beside, *(partial(take, number) for number in numbers)])
        read |= {slot: data for slot, data in zip(lacking, answers, strict=True) if data is not None}
    tail = {slot: data for slot, data in found.items() if slot >= base and slot not in read}
    return Start(end.head, end.clear, named, read, tail)
