"""The invariants find what they are there to find: each is shown a store that breaks it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from artifactstore.index.tables import ALIASES, CHUNKS, PENDING
from artifactstore.store.store import Store
from artifactstore.testing import invariants
from artifactstore.testing.simulation import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "world").mkdir()
    made = World(tmp_path / "world")
    made.create().close()
    with made.client() as store:
        for number in range(2):
            (tmp_path / "file").write_bytes(b"%d" % number)
            store.push([tmp_path / "file"], "project/data")
    yield made
    made.end()


@pytest.fixture
def store(world: World) -> Iterator[Store]:
    with world.client() as opened:
        yield opened


def test_a_sound_store_passes(world: World, store: Store) -> None:
    """None of them complains without reason."""
    invariants.assert_whole(store)
    invariants.assert_numbered(store)
    invariants.assert_packs_precede_records(store._parts)
    with world.client("another") as other:
        other.projects()
        invariants.assert_same_index(store._parts, other._parts)


def test_a_missing_pack_is_found(world: World, store: Store) -> None:
    """A record that promises a pack which is not there."""
    world.objects.delete(next(world.objects.list("packs/")).name)
    with pytest.raises(AssertionError, match="missing"):
        invariants.assert_whole(store)
    with pytest.raises(Exception, match="packs/"):
        invariants.assert_packs_precede_records(store._parts)


def test_a_lost_alias_is_found(store: Store) -> None:
    """`latest` is on exactly the newest version."""
    with store._parts.environment.write() as txn:
        txn.clear(ALIASES)
    with pytest.raises(AssertionError):
        invariants.assert_numbered(store)


@pytest.mark.parametrize("table", [CHUNKS, PENDING])
def test_a_different_index_is_found(world: World, store: Store, table: str) -> None:
    """One row more or less, in whichever table, is named."""
    with world.client("another") as other:
        other.projects()
        with other._parts.environment.write() as txn:
            txn.put(table, b"\xff" * 16, b"row")
        with pytest.raises(AssertionError, match=f"table {table} differs"):
            invariants.assert_same_index(store._parts, other._parts)


def test_a_different_position_is_found(world: World, store: Store) -> None:
    """A client that is behind does not agree."""
    with world.client("another") as other, pytest.raises(AssertionError, match="differs"):
        invariants.assert_same_index(store._parts, other._parts)
