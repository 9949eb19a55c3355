"""The census: by one look at every row of the index, what each pack holds of what is needed, and of what is not.

A sweep goes on from it in place of looking at a million rows again. It stays true for the packs that it saw: what was
needed then is needed still, and rows are taken out by sweeps alone. What came later is looked at by itself.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from artifactstore.format.segment import TAIL_SHARE
from artifactstore.index.environment import ReadTransaction
from artifactstore.index.tables import CHUNKS, ListedPack

_SEVERAL_MAX: Final = 100_000


class Census(NamedTuple):
    """What the rows of the index said.

    Attributes:
        prefix: The slot up to which records were applied.
        alone: By pack number, how many needed chunks lie there and nowhere else.
        several: Needed chunks that lie in several packs, by the first 16 bytes of their cids; None when too many do.
        idle: Numbers of the packs with a chunk that is not needed.
    """

    prefix: int
    alone: dict[int, int]
    several: list[bytes] | None
    idle: frozenset[int]

    def is_clear(self, listed: Iterator[ListedPack], going: frozenset[int]) -> bool:
        """Whether no pack can hold something that nobody needs, once these are gone."""
        return self.idle <= going and all(pack.slot < self.prefix or pack.number in going for pack in listed)


class Held(NamedTuple):
    """By pack number: stored bytes of all chunks, of needed ones, and of those that go with each unit of purge."""

    every: Mapping[int, float]
    live: Mapping[int, float]
    dead: Mapping[int, Mapping[int, float]]


def take_census(
    txn: ReadTransaction, live: set[bytes], dead: Mapping[bytes, int], prefix: int
) -> tuple[Held, Census]:
    """Look at every row.

    Args:
        txn: A view of the index, which is complete.
        live: Chunks that are needed.
        dead: Chunks that go with a unit of purge, with its number.
        prefix: The slot up to which records are applied.
    """
    needed: defaultdict[int, float] = defaultdict(float)
    # By pack and unit; -1: garbage whatever is purged.
    others: defaultdict[tuple[int, int], float] = defaultdict(float)
    alone: defaultdict[int, int] = defaultdict(int)
    several: list[bytes] = []
    size_of_one, unpack = TAIL_SHARE.size, TAIL_SHARE.unpack
    for key, value in txn.scan(CHUNKS):
        is_needed = key in live
        if len(value) == size_of_one:
            pack, length, raw_length, span = unpack(value)
            if is_needed:
                needed[pack] += length * span / raw_length
                alone[pack] += 1
            else:
                others[pack, dead.get(key, -1)] += length * span / raw_length
            continue
        if is_needed and len(several) <= _SEVERAL_MAX:
            several.append(bytes(key))
        for pack, length, raw_length, span in TAIL_SHARE.iter_unpack(value):
            if is_needed:
                needed[pack] += length * span / raw_length
            else:
                others[pack, dead.get(key, -1)] += length * span / raw_length
    every = defaultdict(float, needed)
    by_unit: defaultdict[int, dict[int, float]] = defaultdict(dict)
    for (pack, unit), size in others.items():
        every[pack] += size
        if unit >= 0:
            by_unit[pack][unit] = size
    found = several if len(several) <= _SEVERAL_MAX else None
    idle = frozenset(pack for pack, _ in others)
    return Held(every, needed, by_unit), Census(prefix, alone, found, idle)
