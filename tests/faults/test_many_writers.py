"""Many processes write to one store, on a folder and on S3: nothing is lost, and one order explains what each saw."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from artifactstore.backend.base import Backend, Buffer
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.errors import ConnectionLost
from artifactstore.store.store import Store
from artifactstore.testing import MeteredBackend, invariants, workload
from artifactstore.testing.history import Noted, Recorder, read_journal, read_log
from artifactstore.testing.linearizability import (
    Event,
    State,
    assert_follows_log,
    assert_linearizable,
    step,
)
from artifactstore.testing.simulation import World
from artifactstore.testing.workload import SWAPPED_VERSIONS, Workload
from tests.servers import Server

ARTIFACT = "project/data"
A_DAY_S = 24 * 3600


class Place:
    """A new store and what its clients need."""

    def __init__(self, folder: Path, url: str, options: dict[str, Any] | None) -> None:
        self.folder, self.url, self.options = folder, url, options
        folder.mkdir()
        Store.create(
            url, key_file=folder / "key", cache_dir=folder / "witness.cache", storage_options=options
        ).close()

    def open(self) -> Store:
        return Store.open(
            self.url,
            key_file=self.folder / "key",
            cache_dir=self.folder / "witness.cache",
            storage_options=self.options,
        )


@pytest.fixture(params=["folder", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "folder":
        return Place(tmp_path / "place", str(tmp_path / "store"), None)
    server: Server = request.getfixturevalue("s3_server")
    return Place(tmp_path / "place", request.getfixturevalue("s3_url"), server.options())


def work(place: Place, works: list[Workload]) -> list[Noted]:
    """Let clients run to their ends, and return what they noted."""
    processes = [workload.start(one) for one in works]
    try:
        codes = [process.wait() for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    logs = "".join(one.journal.with_suffix(".log").read_text() for one in works)
    assert codes == [0] * len(works), logs
    return [noted for one in works for noted in read_journal(one.journal)]


def assert_explained(store: Store, history: list[Event]) -> None:
    """One order, that of the log, explains everything; what the store holds in the end is what it leads to."""
    log = read_log(store)
    assert_follows_log(history, log)
    assert_linearizable(history)
    states: dict[str, State] = {}
    for write in log:
        states[write.artifact], _ = step(states.get(write.artifact, State()), write.action)
    for artifact, state in states.items():
        versions = store.versions(artifact)
        assert [version.number for version in versions] == [
            number for number in range(len(state.contents)) if state.shows(number)
        ]
        aliases = {alias: version.number for version in versions for alias in version.aliases}
        assert aliases == dict(state.aliases)
        assert all(tuple(sorted(version.tags)) == state.tags[version.number] for version in versions)
    invariants.assert_numbered(store, undeleted=True)
    invariants.assert_whole(store)
    invariants.assert_packs_precede_records(store._parts)


def test_processes_push_move_and_pull(place: Place, deep: bool) -> None:
    """Every push is a version or deleted, each alias where the last record put it; clocks a day off change nothing."""
    clients, operations = (8, 150) if deep else (4, 12)
    works = [
        Workload(
            url=place.url,
            storage_options=place.options,
            folder=str(place.folder),
            client=f"w{number}",
            seed=number,
            artifacts=[ARTIFACT, "project/other"],
            operations=operations,
            skew_s={0: A_DAY_S, 1: -A_DAY_S}.get(number, 0),
        )
        for number in range(clients)
    ]
    noted = work(place, works)
    assert [one.error for one in noted] == [""] * clients * operations
    with place.open() as store:
        assert_explained(store, [one.event for one in noted])


def test_aliases_are_moved_by_one_of_several_each_time(tmp_path: Path, deep: bool) -> None:
    """Each client moves aliases from where it has seen them: one order explains who was told what.

    Of all that wanted to move an alias from one place one did, and it is where the last of them put it.
    """
    place = Place(tmp_path / "place", str(tmp_path / "store"), None)
    clients, aliases, operations = (8, 1000, 400) if deep else (4, 3, 10)
    names = [f"alias-{number}" for number in range(aliases)]
    with place.open() as store:
        setting = Recorder(store, "setting", place.folder / "setting.journal", place.folder / "scratch")
        for number in range(SWAPPED_VERSIONS):
            setting.push(ARTIFACT, f"label-{number}", 10)
        for number in range(SWAPPED_VERSIONS):
            some = names[number::SWAPPED_VERSIONS]
            if some:
                setting.move(ARTIFACT, number, some, expected=None)
        setting.close()
    works = [
        Workload(place.url, None, str(place.folder), f"w{one}", one, [ARTIFACT], operations, swaps=aliases)
        for one in range(clients)
    ]
    noted = read_journal(place.folder / "setting.journal") + work(place, works)
    assert {one.error for one in noted} == {""}
    results = [one.event.result for one in noted if one.event.client != "setting"]
    assert len(results) == clients * operations
    assert True in results
    with place.open() as store:
        if deep:
            assert_follows_log([one.event for one in noted], read_log(store))
        else:
            assert_explained(store, [one.event for one in noted])


class Overtaken(WrapperBackend):
    """Somebody else fills each of the next slots just before they are claimed here; answers to claims may be lost."""

    def __init__(self, inner: Backend, others: Callable[[str], object], *, answered: bool) -> None:
        super().__init__(inner)
        self.losses = 0
        self._lost: list[str] = []
        self._others = others
        self._answered = answered

    def create(self, name: str, data: Buffer) -> None:
        if name.startswith("log/") and name not in self._lost and len(self._lost) < self.losses:
            self._lost.append(name)
            self._others(f"before-{name[-3:]}")
            if not self._answered:
                raise ConnectionLost("the answer was lost")
        self.inner.create(name, data)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "world")
    made.folder.mkdir()
    made.create("other").close()
    yield made
    made.end()


def cost_of_a_push(world: World, other: Store, source: Path, losses: int, *, answered: bool) -> int:
    """Push as a client that loses its slot so many times, and return how many requests that took."""
    metered: list[MeteredBackend] = []
    overtaken: list[Overtaken] = []

    def wrap(inner: Backend) -> Backend:
        metered.append(MeteredBackend(inner))
        overtaken.append(
            Overtaken(metered[0], lambda tag: other.add_tags("p/theirs:v0", [tag]), answered=answered)
        )
        return overtaken[0]

    with closing(world.open("mine", wrap=wrap)) as mine:
        # This client tests the backend when it first writes.
        mine.add_tags("p/theirs:v0", [f"tag-{losses}"])
        metered[0].reset()
        overtaken[0].losses = losses
        mine.push([source], ARTIFACT, tags=[f"after-{losses}"])
    return sum(metered[0].requests.values())


@pytest.mark.parametrize("answered", [True, False], ids=["refused", "answers-lost"])
def test_a_writer_that_always_loses_gets_through(world: World, tmp_path: Path, answered: bool) -> None:
    """Losing its slot 100 times in a row costs one record in the end, and for each loss the same few requests."""
    (tmp_path / "mine").write_bytes(b"mine")
    with closing(world.open("other")) as other:
        other.push([tmp_path / "mine"], "p/theirs")
        costs = [
            cost_of_a_push(world, other, tmp_path / "mine", losses, answered=answered)
            for losses in (0, 50, 100)
        ]
        newest, *others = other.log(limit=101)
        assert newest.operations == (f"push {ARTIFACT}",)
        assert all("before-" in entry.operations[0] for entry in others)
        assert sorted(other.version(ARTIFACT).tags) == ["after-0", "after-100", "after-50"]
    # The second fifty cost what the first did, give or take a request for each.
    assert costs[2] - costs[1] <= costs[1] - costs[0] + 50
