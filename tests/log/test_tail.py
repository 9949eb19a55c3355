"""Catching up: in few round trips, and with nothing of it taken on a tile's word."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from artifactstore.backend.memory import MemoryBackend
from artifactstore.errors import Damaged
from artifactstore.format.limits import RECORD_BYTES_MAX
from artifactstore.format.record import slot_name
from artifactstore.format.tile import data_tile_name, decode_data_tile, encode_data_tile, tile_name
from artifactstore.index.tables import Position
from artifactstore.log.merkle import leaf_of, root_of, subtree_root, void_leaf
from artifactstore.store.store import Store
from artifactstore.testing import MeteredBackend
from artifactstore.testing.simulation import World
from tests.stores import write_tree

VOID = 70
RECORDS = 330


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A store of 330 slots, one of them void, that one client has seen whole and another only six slots of."""
    folder = tmp_path_factory.mktemp("long")
    (folder / "world").mkdir()
    world = World(folder / "world")
    source = write_tree(folder / "in", {"a": b"one"})
    with world.create() as store:
        store.push([source], "p/n")
        for number in range(4):
            store.add_tags("p/n:v0", [f"early{number}"])
        with world.client("behind") as other:
            other.projects()
        while (slot := position(store).next_slot) < RECORDS:
            if slot == VOID:
                world.objects.create(slot_name(slot), b"garbage")
            store.add_tags("p/n:v0", [f"late{slot}"])
    yield world
    world.end()


@pytest.fixture
def world(long: World, tmp_path: Path) -> Iterator[World]:
    """A copy of it that a test may spoil."""
    copied = long.copy(tmp_path / "copy")
    yield copied
    copied.end()


def position(store: Store) -> Position:
    return store._parts.catalog.position()


def metered(world: World, cache: str) -> tuple[Store, MeteredBackend]:
    """A client that has just opened the store, and the count of what it asks from now on."""
    meters: list[MeteredBackend] = []
    store = world.open(cache, wrap=lambda inner: meters.append(MeteredBackend(inner)) or meters[0])
    meters[0].reset()
    return store, meters[0]


def caught_up(world: World, cache: str = "behind") -> tuple[Position, frozenset[str]]:
    """Where a client is once it has followed the log, and what it then knows."""
    with world.open(cache) as store:
        tags = frozenset(store.version("p/n").tags)
        return position(store), tags


def record(objects: MemoryBackend, slot: int) -> bytes:
    return objects.get(slot_name(slot), limit_bytes=RECORD_BYTES_MAX)


# --- what it costs ------------------------------------------------------------------------------------------


def test_who_is_up_to_date_learns_so_in_one_round_trip(world: World) -> None:
    """The last slot applied, the next one and seven beyond are asked about together."""
    store, meter = metered(world, "cache")
    with store:
        store.projects()
        assert (meter.round_trips, sum(meter.requests.values())) == (1, 9)


def test_a_commit_is_a_look_and_a_create(world: World) -> None:
    """Nothing else is asked while a record is committed that no other writer comes before."""
    store, meter = metered(world, "cache")
    with store:
        store._parts.committer.commit([])
        assert meter.requests["create"] == 1
        assert meter.round_trips == 2


def test_who_is_far_behind_reads_tiles(world: World) -> None:
    """A look, the tiles, the last record of all, and the records after them; index packs are left alone."""
    store, meter = metered(world, "behind")
    with store:
        store.projects()
        assert position(store).next_slot == RECORDS
        assert meter.round_trips == 4
        assert not [asked for asked in meter.asked if asked.name.startswith("packs/")]
        assert [asked.round for asked in meter.asked if asked.name.startswith("tree/data/")] == [2] * 64


@pytest.mark.parametrize(("behind", "rounds"), [(1, 2), (2, 2), (3, 2), (20, 2), (57, 2), (120, 4)])
def test_who_is_a_little_behind_reads_what_is_new_together(world: World, behind: int, rounds: int) -> None:
    """What a first look doesn't bring is read 57 records at a time, and the last look finds nothing more."""
    store, meter = metered(world, "cache")
    with store, world.client("other") as other:
        for number in range(behind):
            other.add_tags("p/n:v0", [f"new{number}"])
        store.projects()
        assert position(store) == position(other)
        assert meter.round_trips == rounds


# --- tiles --------------------------------------------------------------------------------------------------


def test_full_tiles_are_written_and_right(world: World) -> None:
    """The record that completes a tile writes it: the bytes or leaves of its slots, void ones included."""
    objects = world.objects
    records = [record(objects, slot) for slot in range(RECORDS)]
    tile = objects.get(tile_name(0, 0), limit_bytes=1 << 20)
    leaves = [void_leaf(slot) if slot == VOID else leaf_of(records[slot]) for slot in range(256)]
    assert tile == b"".join(leaves)
    for number in range(RECORDS // 64):
        held = decode_data_tile(objects.get(data_tile_name(number), limit_bytes=1 << 20))
        slots = range(64 * number, 64 * number + 64)
        assert held == [b"" if slot == VOID else records[slot] for slot in slots]
    assert [info.name for info in objects.list("tree/")] == [
        tile_name(0, 0),
        *(data_tile_name(number) for number in range(RECORDS // 64)),
    ]
    frontier = caught_up(world, "cache")[0].frontier
    assert subtree_root(leaves) == frontier[0]
    assert len(root_of(frontier)) == 32


def test_a_tile_that_is_not_written_costs_nothing_but_time(world: World) -> None:
    """A writer that may not write tiles commits all the same, and readers do without."""
    before = caught_up(world, "cache")
    for info in list(world.objects.list("tree/")):
        world.objects.delete(info.name)
    assert caught_up(world) == before


def wrong(tile: bytes, how: str) -> bytes:
    records: list[bytes | None] = [data or None for data in decode_data_tile(tile)]
    match how:
        case "garbage":
            return b"garbage" * 100
        case "cut":
            return tile[:-1]
        case "all void":
            records = [None] * 64
        case "void at the end":
            records[-10:] = [None] * 10
        case "one void":
            records[31] = None
        case "swapped":
            records[8], records[9] = records[9], records[8]
        case "flipped":
            data = records[20] or b""
            records[20] = data[:100] + bytes([data[100] ^ 1]) + data[101:]
    return encode_data_tile(records) or b""


@pytest.mark.parametrize(
    "how", ["garbage", "cut", "all void", "void at the end", "one void", "swapped", "flipped"]
)
@pytest.mark.parametrize("number", [0, 1, 4])
def test_a_wrong_tile_misleads_nobody(world: World, how: str, number: int) -> None:
    """Whatever a tile says, a client that reads it knows in the end what the slots say."""
    before = caught_up(world, "cache")
    name = data_tile_name(number)
    world.objects.put(name, wrong(world.objects.get(name, limit_bytes=1 << 20), how))
    assert caught_up(world) == before
    with world.client("behind") as store:
        store.add_tags("p/n:v0", ["after"])
    assert caught_up(world, "cache") == caught_up(world)


@pytest.mark.parametrize("records", [100, 128, 200, 320])
def test_tiles_are_no_log(world: World, records: int) -> None:
    """Where the log was shortened, tiles that remember more of it are not believed."""
    for slot in range(records, RECORDS):
        world.objects.delete(slot_name(slot))
    at, tags = caught_up(world)
    assert at.next_slot == records
    assert f"late{records - 1}" in tags
    assert f"late{records}" not in tags


def test_tiles_hide_no_damage_from_a_check(world: World) -> None:
    """A record that was altered is still right in its tile: clients go on, and a check finds it."""
    before = caught_up(world, "cache")
    world.objects.put(slot_name(40), b"altered")
    assert caught_up(world) == before
    with world.open("behind") as store:
        assert {problem.kind for problem in store.check().problems} == {Damaged.kind}


def test_an_altered_record_that_signs_for_tiles_is_damage(world: World) -> None:
    """The last record of all tiles that are read counts as it lies in its slot."""
    world.objects.put(slot_name(319), b"altered")
    with world.open("behind") as store, pytest.raises(Damaged):
        store.projects()


def test_tiles_that_no_record_signs_for_say_nothing(world: World) -> None:
    """Where strangers filled all slots behind a tile, the slots are read themselves."""
    before = caught_up(world, "cache")[0]
    for slot in range(before.next_slot, 64 * 7):
        world.objects.create(slot_name(slot), b"garbage")
    records = [record(world.objects, slot) for slot in range(320, before.next_slot)]
    forged = encode_data_tile([*records[:-1], records[0]] + [None] * (64 - len(records)))
    world.objects.put(data_tile_name(5), forged or b"")
    at, _ = caught_up(world)
    assert at == caught_up(world, "cache")[0]
    assert at.next_slot == 64 * 7
