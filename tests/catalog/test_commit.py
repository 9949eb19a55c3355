"""Committing: exactly once, whoever else writes, and through one index that several clients share."""

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artifactstore import Store
from tests.stores import make_store, reopened, write_tree

pytestmark = pytest.mark.places("memory", "s3")


@pytest.fixture
def store(tmp_path: Path):
    with make_store(tmp_path) as made:
        made.push([write_tree(tmp_path / "in", {"a": b"x"})], "p/n")
        yield made


@pytest.mark.parametrize("cache", ["cache", "other"])
def test_two_clients_number_versions_together(tmp_path: Path, store: Store, cache: str) -> None:
    """Versions pushed by turns, through one index or two, get the numbers of their order in the log."""
    with reopened(tmp_path, store, cache=cache) as other:
        for number in range(1, 9):
            writer = (store, other)[number % 2]
            version = writer.push([write_tree(tmp_path / "in", {"a": bytes([number])})], "p/n")
            assert version.number == number
            assert version.push.created


def applied_first_by(other: Store, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have another client of the same index apply each of the store's records before the store does."""
    log = store._parts.log
    create = log._create

    def creating(slot: int, data: bytes) -> bool:
        won = create(slot, data)
        other.refresh()
        return won

    monkeypatch.setattr(log, "_create", creating)


def test_a_record_that_another_process_applied_has_its_outcome(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes share an index: whoever is first applies a record, and its writer still learns what it did."""
    with reopened(tmp_path, store) as other:
        applied_first_by(other, store, monkeypatch)
        version = store.push([write_tree(tmp_path / "in", {"a": b"y"})], "p/n", aliases=["one"])
        assert (version.number, version.push.created) == (1, True)
        again = store.push([tmp_path / "in"], "p/n", aliases=["two"])
        assert (again.number, again.push.created) == (1, False)
        assert store.add_aliases("p/n:v0", ["three"]).aliases == ("three",)
        assert store.add_tags("p/n:v0", ["t"]).tags == ("t",)


def test_eight_clients_race_and_none_is_lost(tmp_path: Path, store: Store) -> None:
    """Every commit of eight clients lands exactly once, and all agree on the order."""
    write_tree(tmp_path / "in", {f"{client}/a": bytes([client]) for client in range(8)})

    def work(client: int) -> list[int]:
        with reopened(tmp_path, store, cache=f"cache{client % 4}") as other:
            numbers = []
            for turn in range(5):
                stream = {"a": io.BytesIO(f"{client} {turn}".encode())}
                numbers.append(other.push([], "p/race", streams=stream).number)
            return numbers

    with ThreadPoolExecutor(8) as pool:
        numbers = [number for found in pool.map(work, range(8)) for number in found]
    assert sorted(numbers) == list(range(40))
    assert len(store.versions("p/race")) == 40
    assert {store.version(f"p/race:v{number}").open("a").read() for number in range(40)} == {
        f"{client} {turn}".encode() for client in range(8) for turn in range(5)
    }
    assert store.check(read_data=True).ok
