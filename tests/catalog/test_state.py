"""States: whoever starts from one knows exactly what stepping through every record gives."""

from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.catalog import state as state_module
from artifactstore.errors import Damaged
from artifactstore.format.pack import PackType
from artifactstore.index.tables import ALIASES, ARTIFACTS, BEGUN, CHUNKS, PARTS, PENDING, VERSIONS
from tests.stores import make_store, noise, read_tree, reopened, write_tree

pytestmark = pytest.mark.places("memory", "s3")


@pytest.fixture(autouse=True)
def small_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    """States after few records."""
    monkeypatch.setattr(state_module, "_TAIL_BYTES_MIN", 3000)


@pytest.fixture
def store(tmp_path: Path):
    """A store with a long history and several states."""
    with make_store(tmp_path) as made:
        for number in range(40):
            write_tree(tmp_path / "in", {f"f{number % 7}": noise(3000, number)})
            made.push([tmp_path / "in"], f"p{number % 3}/n", aliases=[f"a{number % 5}"], tags=[f"t{number}"])
        yield made


def contents(store: Store) -> dict[str, object]:
    """All that an index says of the store, packs by name."""
    parts = store._parts
    with parts.environment.read() as txn:
        packs = list(parts.packs.all(txn))
        names = {pack.number.to_bytes(4, "big"): pack.added.name for pack in packs}
        chunks = {}
        for key, value in txn.scan(CHUNKS):
            rows = [value[at : at + 29] for at in range(0, len(value), 29)]
            chunks[bytes(key)] = sorted(names[bytes(row[:4])] + bytes(row[4:]) for row in rows)
        tables = {
            name: [(bytes(key), bytes(value)) for key, value in txn.scan(name)]
            for name in (ARTIFACTS, VERSIONS, ALIASES, PENDING, BEGUN, PARTS)
        }
        return {"packs": {pack.added.name: pack[1:] for pack in packs}, "chunks": chunks, **tables}


def test_a_state_is_written_now_and_then(store: Store) -> None:
    """A tail that outgrows the last state brings a new one, and not with every record."""
    states = [entry.slot for entry in store.log() if "state" in entry.operations]
    assert 2 <= len(states) <= 15


def test_starting_from_a_state_equals_stepping_through(tmp_path: Path, store: Store) -> None:
    """Last state plus tail gives the very rows that every record one by one gives."""
    with reopened(tmp_path, store, cache="fresh") as other:
        other.refresh()
        other._parts.locator.complete()
        assert contents(other) == contents(store)
        assert other.check(read_data=True).ok
        other.pull("p1/n:v3", tmp_path / "out")
    store.pull("p1/n:v3", tmp_path / "same")
    assert read_tree(tmp_path / "out") == read_tree(tmp_path / "same")


def test_a_client_with_a_state_can_write(tmp_path: Path, store: Store) -> None:
    """What it commits is understood by those who stepped through."""
    with reopened(tmp_path, store, cache="fresh") as other:
        version = other.push([write_tree(tmp_path / "in", {"new": b"x"})], "p0/n", aliases=["new"])
    assert store.version("p0/n:new").digest == version.digest
    assert store.check(read_data=True).ok


def test_old_records_are_not_read_by_a_newcomer(tmp_path: Path, store: Store) -> None:
    """Starting costs the state and the tail, not the history."""
    from artifactstore.testing import FaultyBackend

    with reopened(tmp_path, store, cache="fresh") as other:
        backend = FaultyBackend(other._parts.backend)
        other._parts.log._backend = backend
        other.refresh()
    read = {operation.name for operation in backend.operations if operation.method == "get"}
    assert len([name for name in read if name.startswith("log/")]) < 25


def test_index_packs_are_merged_by_tier(store: Store) -> None:
    """However many states there were, a newcomer reads few index packs."""
    position = store._parts.catalog.position()
    assert 1 <= len(position.index_packs) <= 16


def damage(store: Store, kind: PackType, how: str) -> list[str]:
    """Do something to all packs of a type that count, and return their names."""
    parts = store._parts
    with parts.environment.read() as txn:
        current = set(parts.catalog.position().index_packs)
        names = [
            f"packs/{pack.added.name.hex()[:2]}/{pack.added.name.hex()}"
            for pack in parts.packs.all(txn)
            if pack.added.type == kind and (kind == PackType.STATE or pack.added.name in current)
        ]
    for name in names:
        data = parts.backend.get(name, limit_bytes=1 << 30)
        if how == "missing":
            parts.backend.delete(name)
        else:
            parts.backend.put(
                name, data[:-5] if how == "cut" else data[:60] + bytes([data[60] ^ 1]) + data[61:]
            )
    return names


@pytest.mark.parametrize("how", ["missing", "altered", "cut"])
def test_a_damaged_state_is_damage_and_not_half_a_store(tmp_path: Path, store: Store, how: str) -> None:
    """A newcomer that can't read the state says so and knows nothing."""
    names = damage(store, PackType.STATE, how)
    with reopened(tmp_path, store, cache="fresh") as other:
        with pytest.raises(Damaged) as caught:
            other.projects()
        assert caught.value.facts["object"] in names
        assert other._parts.catalog.position().next_slot == 0
        with other._parts.environment.read() as txn:
            assert list(txn.scan(VERSIONS)) == []


@pytest.mark.parametrize("how", ["missing", "altered", "cut"])
def test_a_damaged_index_pack_stops_nobody(tmp_path: Path, store: Store, how: str) -> None:
    """A newcomer finds in the footers what the index packs of a state no longer say; the check names them."""
    names = damage(store, PackType.INDEX, how)
    with reopened(tmp_path, store, cache="fresh") as other:
        assert len(other.projects()) == 3
        other.pull("p1/n:v0", tmp_path / "out")
        pushed = other.push([tmp_path / "in"], "p1/n").push
        assert pushed is not None
        assert pushed.new_bytes == 0
        report = other.check(read_data=True)
        assert set(names) <= {problem.object for problem in report.problems}


def test_an_index_can_be_rebuilt_at_any_time(store: Store) -> None:
    """Rebuilding gives the same rows again."""
    before = contents(store)
    store.rebuild_index()
    assert contents(store) == before
