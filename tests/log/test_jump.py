"""A client that is far behind starts from a newer state, and only where that goes on from what it has seen."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artifactstore.errors import Damaged, RolledBack
from artifactstore.format.record import slot_name
from artifactstore.format.tile import tile_name
from artifactstore.index.partial import unloaded
from artifactstore.log import log as log_module
from artifactstore.log import tail as tail_module
from artifactstore.testing import MeteredBackend, invariants
from artifactstore.testing.simulation import World
from tests.stores import write_tree

RECORDS = 600
SEEN = 6


def grow(world: World, source: Path, name: str, records: int) -> None:
    """Commit until the log has so many records, and a state now and then."""
    with world.client("writer") as store:
        while (slot := store._parts.catalog.position().next_slot) < records:
            if slot % 50 == 0:
                source.joinpath("a").write_bytes(f"{name} {slot}".encode())
                store.push([source], f"p/{name}")
            else:
                store.add_tags("p/n:v0", [f"{name}{slot}"])


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, World]]:
    """A store of hundreds of records of which one client has seen six, and another that parted from it at the fifth."""
    folder = tmp_path_factory.mktemp("jump")
    (folder / "world").mkdir()
    world = World(folder / "world")
    source = write_tree(folder / "in", {"a": b"one"})
    with world.create("writer") as store:
        store.push([source], "p/n")
    grow(world, source, "n", SEEN - 2)
    fork = world.copy(folder / "fork")
    grow(world, source, "n", SEEN)
    with world.client("behind") as store:
        store.pull("p/n", folder / "out")
    grow(world, source, "n", RECORDS)
    grow(fork, source, "fork", RECORDS)
    yield world, fork
    world.end()
    fork.end()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of records are what thousands are in earnest."""
    monkeypatch.setattr(log_module, "_JUMP_RECORDS_MIN", 100)
    monkeypatch.setattr(tail_module, "_TILES_MAX", 2)


@pytest.fixture
def world(pair: tuple[World, World], tmp_path: Path) -> Iterator[World]:
    """A copy of the store that a test may spoil."""
    copied = pair[0].copy(tmp_path / "copy")
    yield copied
    copied.end()


def caught_up(world: World) -> MeteredBackend:
    """What it takes the client that is behind to catch up, and then to know all that the writer knows."""
    meters: list[MeteredBackend] = []
    with (
        world.open("behind", wrap=lambda inner: meters.append(MeteredBackend(inner)) or meters[0]) as store,
        world.client("writer") as writer,
    ):
        writer.projects()
        store.projects()
        asked = list(meters[0].asked)
        invariants.assert_same_index(store._parts, writer._parts)
    meters[0].asked[:] = asked
    return meters[0]


def tiles_read(meter: MeteredBackend) -> set[int]:
    names = [asked.name for asked in meter.asked]
    return {int(name.rpartition("/")[2]) for name in names if name.startswith("tree/data/")}


def test_who_is_far_behind_jumps(world: World) -> None:
    """Most records are never read; tiles, a state and the records behind it give the very same index."""
    with world.client("writer") as writer:
        state = writer._parts.catalog.position().state_slot
    assert state is not None
    assert state > 256 + 64
    read = tiles_read(caught_up(world))
    with world.client("behind") as store:
        invariants.assert_whole(store)
    # Those that told how far the log goes, and those behind the last full tile of hashes.
    assert read <= {0, 1, *range(256 // 64, RECORDS // 64 + 1)}
    assert 2 not in read


def test_chunks_that_are_known_stay_known(world: World, tmp_path: Path) -> None:
    """What the client had looked up or loaded is not loaded again."""
    with world.client("behind") as store:
        store._parts.locator.complete()
        known = set(store._parts.catalog.position().index_packs)
        store.projects()
        with store._parts.environment.read() as txn:
            assert not known & set(unloaded(txn))
        store.pull("p/n:v0", tmp_path / "out")


def take_hash(world: World) -> None:
    world.objects.delete(tile_name(0, 0))


def swap_hashes(world: World) -> None:
    tile = world.objects.get(tile_name(0, 0), limit_bytes=1 << 20)
    world.objects.put(tile_name(0, 0), tile[:6400] + tile[6432:6464] + tile[6400:6432] + tile[6464:])


def spoil_state(world: World) -> None:
    with world.client("writer") as writer:
        slot = writer._parts.catalog.position().state_slot
        assert slot is not None
        [opened] = writer._parts.log.reread(slot, slot + 1)
    assert opened.clear is not None
    assert opened.clear.state is not None
    digest = opened.clear.state.packs[0].hex()
    world.objects.put(f"packs/{digest[:2]}/{digest}", b"garbage")


@pytest.mark.parametrize("spoil", [take_hash, swap_hashes])
def test_where_tiles_do_not_tell_the_records_do(world: World, spoil: Callable[[World], None]) -> None:
    """A tile that is missing or wrong costs time and nothing else."""
    spoil(world)
    assert 2 in tiles_read(caught_up(world))


def test_a_state_that_can_not_be_read_is_done_without(world: World) -> None:
    """Who has an index needs none: the records are there."""
    spoil_state(world)
    with world.client("behind") as store, world.client("writer") as writer:
        store.projects()
        assert store._parts.catalog.position() == writer._parts.catalog.position()


def test_another_history_is_refused(world: World, pair: tuple[World, World]) -> None:
    """Neither the state nor a record of a log that parted from what was seen is applied, and nothing is written."""
    with world.client("behind") as store:
        before = store._parts.catalog.position
        seen = before().next_slot
        _, fork = pair
        kept = world.objects.get(slot_name(seen - 1), limit_bytes=1 << 20)
        for info in list(world.objects.list("")):
            world.objects.delete(info.name)
        for info in fork.objects.list(""):
            world.objects.put(info.name, fork.objects.get(info.name, limit_bytes=info.size_bytes))
        position = before()
        with pytest.raises(RolledBack):
            store.projects()
        # The last record that the client has seen lies where it lay: only the tree tells now.
        world.objects.put(slot_name(seen - 1), kept)
        with pytest.raises(Damaged):
            store.projects()
        with pytest.raises(Damaged):
            store.add_tags("p/n:v0", ["mine"])
        assert before() == position


def test_a_log_that_was_set_back_is_refused(world: World) -> None:
    """However long it is still: what was seen last is gone."""
    with world.client("writer"):
        for slot in range(RECORDS - 100, RECORDS):
            world.objects.delete(slot_name(slot))
    with world.client("writer") as store, pytest.raises(RolledBack):
        store.projects()
