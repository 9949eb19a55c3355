"""Growing a frontier by hashes from tiles: the right one for every pair of sizes, and none from tiles that are cut."""

import pytest

from artifactstore.backend.memory import MemoryBackend
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.format.tile import tile_name
from artifactstore.log.consistency import grown_frontier
from artifactstore.log.merkle import append, subtree_root, void_leaf
from artifactstore.log.signers import Signers
from artifactstore.log.slots import Slots
from artifactstore.log.tiles import Tiles
from artifactstore.testing import MeteredBackend
from tests.stores import memory_url

SLOTS = 140_000
PAIRS = [
    (0, 1),
    (1, 2),
    (1, 256),
    (255, 257),
    (256, 512),
    (300, 900),
    (512, 65_536),
    (300, 65_536 + 700),
    (65_536, 131_072),
    (70_000, SLOTS),
    (0, SLOTS),
    (SLOTS, SLOTS),
]


class Garbage(WrapperBackend):
    """A log whose slots are all filled and all void; tiles lie in the backend below."""

    def get(self, name: str, *, limit_bytes: int) -> bytes:
        return b"garbage" if name.startswith("log/") else self.inner.get(name, limit_bytes=limit_bytes)


@pytest.fixture(scope="module")
def objects() -> MemoryBackend:
    """The full tiles of both levels over so many void slots."""
    made = MemoryBackend(memory_url())
    leaves = [void_leaf(slot) for slot in range(SLOTS)]
    roots = []
    for number in range(SLOTS // 256):
        hashes = leaves[number * 256 : (number + 1) * 256]
        made.put(tile_name(0, number), b"".join(hashes))
        roots.append(subtree_root(hashes))
    for number in range(len(roots) // 256):
        made.put(tile_name(1, number), b"".join(roots[number * 256 : (number + 1) * 256]))
    return made


@pytest.fixture(scope="module")
def frontiers() -> dict[int, list[bytes]]:
    """The frontier of every size that is asked for."""
    wanted = {size for pair in PAIRS for size in pair}
    grown: list[bytes] = []
    found = {0: grown}
    for slot in range(SLOTS):
        grown = append(grown, slot, void_leaf(slot))
        if slot + 1 in wanted:
            found[slot + 1] = grown
    return found


def grow(backend, frontier: list[bytes], size: int, target: int) -> list[bytes] | None:
    return grown_frontier(Slots(backend), Tiles(backend, Signers(bytes(32))), frontier, size, target)


@pytest.mark.parametrize(("size", "target"), PAIRS)
def test_it_is_the_frontier_that_records_would_give(
    objects: MemoryBackend, frontiers: dict[int, list[bytes]], size: int, target: int
) -> None:
    """Grown from any size to any other, over both levels of tiles and the slots behind the last of them."""
    meter = MeteredBackend(Garbage(objects))
    assert grow(meter, frontiers[size], size, target) == frontiers[target]
    assert len(meter.asked) <= 800


def test_another_beginning_grows_to_another_end(
    objects: MemoryBackend, frontiers: dict[int, list[bytes]]
) -> None:
    """A client that has seen other records is told apart, whatever the tiles are."""
    other = [bytes(32), *frontiers[300][1:]]
    assert grow(Garbage(objects), other, 300, 900) not in (None, frontiers[900])


@pytest.mark.parametrize("how", ["missing", "cut", "longer"])
def test_a_tile_that_is_no_tile_tells_nothing(
    objects: MemoryBackend, frontiers: dict[int, list[bytes]], how: str
) -> None:
    """Then the log is to be read."""
    name = tile_name(0, 2)
    tile = objects.get(name, limit_bytes=1 << 20)
    try:
        objects.delete(name)
        if how != "missing":
            objects.put(name, tile[:-1] if how == "cut" else tile + tile[:32])
        assert grow(Garbage(objects), frontiers[300], 300, 900) is None
    finally:
        objects.put(name, tile)
