"""Whether a log goes on from a prefix that a client knows: by the hashes in its tiles, without reading every record.

A frontier that is grown by hashes from tiles proves nothing yet; where its root is the one that a valid record is
signed over, the prefix is a prefix of that record's log, whatever else the tiles say.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, NamedTuple

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX
from artifactstore.format.tile import DATA_TILE_WIDTH, TILE_WIDTH
from artifactstore.log.merkle import append, leaf_of, void_leaf
from artifactstore.log.slots import Slots
from artifactstore.log.tiles import Tiles

_LEVELS: Final = (1, 0)


class _Step(NamedTuple):
    """Hashes of one tile that cover the slots from `start` to `stop`, each 256^level of them."""

    level: int
    number: int
    start: int
    stop: int


def grown_frontier(
    slots: Slots, tiles: Tiles, frontier: Sequence[bytes], size: int, target: int
) -> list[bytes] | None:
    """The frontier of the first `target` slots, as the backend tells them now, grown from one of fewer.

    Args:
        slots: The log's slots.
        tiles: Its tiles.
        frontier: The frontier that is known.
        size: How many slots it is over.
        target: How many slots to grow it to; all of them are filled.

    Returns:
        The frontier, or None where a tile is missing or malformed.
    """
    grown = list(frontier)
    steps = list(_steps(size, target))
    for first in range(0, len(steps), PARALLEL_REQUESTS_MAX):
        lot = steps[first : first + PARALLEL_REQUESTS_MAX]
        for step, hashes in zip(lot, tiles.read_hashes([step[:2] for step in lot]), strict=True):
            if not hashes:
                return None
            width = TILE_WIDTH**step.level
            for at in range(step.start // width, step.stop // width):
                grown = append(grown, at, hashes[at % TILE_WIDTH])
    start = steps[-1].stop if steps else size
    for slot, leaf in zip(range(start, target), _leaves(slots, tiles, start, target), strict=True):
        grown = append(grown, slot, leaf)
    return grown


def _steps(size: int, target: int) -> Iterator[_Step]:
    """Full tiles that cover the slots from `size` on as far as they go, the widest first where they fit."""
    at = size
    while True:
        for level in _LEVELS:
            width = TILE_WIDTH**level
            stop = (at // (width * TILE_WIDTH) + 1) * width * TILE_WIDTH
            if stop <= target and at % width == 0:
                yield _Step(level, at // (width * TILE_WIDTH), at, stop)
                at = stop
                break
        else:
            return


def _leaves(slots: Slots, tiles: Tiles, start: int, target: int) -> Iterator[bytes]:
    """The leaves behind the last full tile, of the records themselves."""
    told: dict[int, bytes] = {}

    def take(number: int) -> None:
        told.update(enumerate(tiles.read_data(number), number * DATA_TILE_WIDTH))

    numbers = range(start // DATA_TILE_WIDTH, target // DATA_TILE_WIDTH)
    calls: list[Callable[[], object]] = [partial(take, number) for number in numbers]
    rest = range(max(start, target // DATA_TILE_WIDTH * DATA_TILE_WIDTH), target)
    read = dict(zip(rest, slots.look(rest, (), calls)[0], strict=True))
    lacking = [slot for slot in range(start, rest.start) if slot not in told]
    read |= zip(lacking, slots.read_many(lacking), strict=True)
    for slot in range(start, target):
        if slot in read:
            data = read[slot]
            valid = data is not None and tiles.is_valid(data, slot)
            yield leaf_of(data or b"") if valid else void_leaf(slot)
        else:
            yield leaf_of(told[slot]) if told[slot] else void_leaf(slot)
