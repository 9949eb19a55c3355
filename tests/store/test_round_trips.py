"""What commands cost in round trips for a client that has seen the store, in memory and on a real S3 server alike."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from artifactstore import Store
from artifactstore.backend.base import Backend
from artifactstore.client import opening
from artifactstore.format.pack import PackType
from artifactstore.testing import MeteredBackend
from tests.stores import make_store, memory_url, noise, read_tree, write_tree

Open = Callable[[], Store]


@pytest.fixture(params=["memory", "s3"])
def place(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any] | None]:
    """Where the store lies, and how to reach it."""
    if request.param == "memory":
        return memory_url(), None
    return request.getfixturevalue("s3_url"), request.getfixturevalue("s3_options")


@pytest.fixture
def meters(monkeypatch: pytest.MonkeyPatch) -> list[MeteredBackend]:
    """The counts of every backend that is opened."""
    made: list[MeteredBackend] = []
    open_backend = opening.open_backend

    def metered(url: str, **options: Any) -> Backend:
        made.append(MeteredBackend(open_backend(url, **options)))
        return made[-1]

    monkeypatch.setattr(opening, "open_backend", metered)
    return made


@pytest.fixture
def warm(
    tmp_path: Path, place: tuple[str, dict[str, Any] | None], meters: list[MeteredBackend]
) -> Iterator[Open]:
    """Opens a store with some records that this client has opened, pushed to and read before."""
    url, options = place

    def opened() -> Store:
        meters.clear()
        return Store.open(
            url, key_file=tmp_path / "key", cache_dir=tmp_path / "cache", storage_options=options
        )

    write_tree(tmp_path / "in", {"a": b"one", "folder/b": b"two"})
    with make_store(tmp_path, url, storage_options=options) as store:
        store.push([tmp_path / "in"], "p/n")
        for number in range(5):
            store.add_tags("p/n:v0", [f"tag{number}"])
    with opened() as store:
        store.projects()
    return opened


COMMANDS: dict[str, tuple[Callable[[Store], object], int]] = {
    "ls": (lambda store: store.projects(), 2),
    "ls project": (lambda store: store.artifacts("p"), 2),
    "ls artifact": (lambda store: store.versions("p/n"), 2),
    "show": (lambda store: store.version("p/n:v0"), 2),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_looking_takes_two_round_trips(warm: Open, meters: list[MeteredBackend], command: str) -> None:
    """Record 0, to see whose store it is, and a look at the head."""
    call, rounds = COMMANDS[command]
    with warm() as store:
        call(store)
        (meter,) = meters
        assert meter.round_trips == rounds
        assert sum(meter.requests.values()) == 10


def test_a_push_of_nothing_new_takes_two(tmp_path: Path, warm: Open, meters: list[MeteredBackend]) -> None:
    """Nothing is read of the version that it equals, and nothing written."""
    with warm() as store:
        version = store.push([tmp_path / "in"], "p/n")
        assert version.push is not None
        assert not version.push.created
        (meter,) = meters
        assert meter.round_trips == 2
        assert {"create", "put"} & set(meter.requests) == set()


def test_a_diff_waits_once_for_each_level_of_pages(
    tmp_path: Path, warm: Open, meters: list[MeteredBackend]
) -> None:
    """Of both versions together, after record 0 and the look at the head; and once more for a level of chunk lists."""
    tree = {f"{number % 7}/{number}": b"%d" % number for number in range(1500)}
    source = write_tree(tmp_path / "many", {**tree, "large": noise(9 << 20, 1)})
    with warm() as store:
        store.push([source], "p/many")
        write_tree(source, {"3/3": b"changed", "5/5": b"changed", "large": noise(9 << 20, 1)[:-5]})
        levels = store.push([source], "p/many").manifest.level + 1
    with warm() as store:
        assert len(store.diff("p/many:v0", "p/many")) == 3
        (meter,) = meters
        assert meter.round_trips == 2 + levels + 1
        assert {"create", "put"} & set(meter.requests) == set()


def test_a_pull_asks_for_data_in_the_third(
    tmp_path: Path, place: tuple[str, dict[str, Any] | None], warm: Open, meters: list[MeteredBackend]
) -> None:
    """Pages and chunk lists come with the look at the head, of whatever depth; one more where that brings a version."""
    large = write_tree(tmp_path / "large", {"large": noise(9 << 20, 1)})
    colleague = Store.open(
        place[0], key_file=tmp_path / "key", cache_dir=tmp_path / "other", storage_options=place[1]
    )
    with warm() as store, colleague:
        store.push([large], "p/large")
        (large / "more").write_bytes(b"more")
        for number, rounds in enumerate((3, 4)):
            with warm() as reader:
                if number:
                    colleague.push([large], "p/large")
                meter = meters[-1]
                reader.pull("p/large", tmp_path / f"out{number}")
            first = min(asked.round for asked in meter.asked if is_of_data(store, asked.name))
            assert first == rounds
            assert read_tree(tmp_path / f"out{number}")["large"] == (large / "large").read_bytes()


def is_of_data(store: Store, name: str) -> bool:
    """Whether an object is a pack of file chunks."""
    if not name.startswith("packs/"):
        return False
    parts = store._parts
    with parts.environment.read() as txn:
        number = parts.packs.number_of(txn, bytes.fromhex(name.rpartition("/")[2]))
        pack = None if number is None else parts.packs.get(txn, number)
    return pack is not None and pack.added.type == PackType.DATA


def test_a_commit_takes_a_look_and_a_create_more(warm: Open, meters: list[MeteredBackend]) -> None:
    """Opening, a look that resolves the version, one before the claim, and the create, which shows what it made."""
    with warm() as store:
        store.add_aliases("p/n:v0", ["named"])
        (meter,) = meters
        assert [asked.round for asked in meter.asked if asked.method == "create"] == [4]
        assert meter.round_trips == 4


def test_the_log_is_read_in_lots(warm: Open, meters: list[MeteredBackend]) -> None:
    """Newest first, 64 records a round trip, and no more of them than are wanted."""
    with warm() as store:
        assert len(list(store.log())) == 7
        (meter,) = meters
        assert meter.round_trips == 3
        meter.reset()
        assert [entry.slot for entry in store.log(limit=2)] == [6, 5]
        assert (meter.round_trips, meter.requests["get"]) == (2, 4)


def test_a_new_client_of_a_small_store(tmp_path: Path, warm: Open, meters: list[MeteredBackend]) -> None:
    """Record 0 and a glance at the log; keys and all records; and, when they are asked for, a look for newer ones."""
    with warm() as store:
        url, options = store._access.url, store._access.storage_options
    meters.clear()
    with Store.open(
        url, key_file=tmp_path / "key", cache_dir=tmp_path / "new", storage_options=options
    ) as new:
        new.projects()
        (meter,) = meters
        assert meter.round_trips == 3
