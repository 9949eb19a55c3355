"""Writers that race each other, and readers that race writers: nothing is lost, doubled or mixed up."""

import itertools
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from artifactstore.backend.base import Backend, Buffer
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.client.version import Version
from artifactstore.errors import ConnectionLost
from artifactstore.store.store import Store
from artifactstore.testing import invariants
from artifactstore.testing.simulation import SeededRandomness, World
from tests.faults.interrupted import Interrupted
from tests.faults.process import Command
from tests.faults.trees import Tree, contents

WRITERS = 8
ARTIFACT = "project/data"


class Place:
    """A folder store, and clients of it with a cache of their own or a common one."""

    def __init__(self, folder: Path, *, one_cache: bool) -> None:
        self.folder = folder
        self.one_cache = one_cache
        folder.mkdir()
        self.open(create=True).close()

    def open(self, client: int = 0, *, create: bool = False) -> Store:
        act = Store.create if create else Store.open
        return act(
            self.folder / "store", key_file=self.folder / "key", cache_dir=self.folder / self.cache(client)
        )

    def cache(self, client: int) -> str:
        return "cache" if self.one_cache else f"cache-{client}"

    def command(self, client: int, monkeypatch: pytest.MonkeyPatch, *words: str) -> Command:
        monkeypatch.setenv("ARTIFACTSTORE_KEY_FILE", str(self.folder / "key"))
        monkeypatch.setenv("ARTIFACTSTORE_CACHE_DIR", str(self.folder / self.cache(client)))
        return Command(*words, "--store", str(self.folder / "store"), "-q")


@pytest.fixture(params=[True, False], ids=["one-cache", "own-caches"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(tmp_path / "place", one_cache=request.param)


def race(commands: list[Command]) -> None:
    """Start all commands at once, and demand that each succeeds."""
    with ExitStack() as stack:
        for command in commands:
            stack.enter_context(command)
        for command in commands:
            command.wait_until_ready()
        for command in commands:
            command.start()
        assert [command.finish() for command in commands] == [0] * len(commands)


def assert_sound(store: Store) -> None:
    invariants.assert_whole(store)
    invariants.assert_numbered(store)
    invariants.assert_packs_precede_records(store._parts)


def assert_new_client_agrees(place: Place, store: Store) -> None:
    """A client that starts from the newest state holds what one holds that saw every record."""
    store.projects()
    with Store.open(store.url, key_file=place.folder / "key", cache_dir=place.folder / "witness") as witness:
        witness.projects()
        invariants.assert_same_index(store._parts, witness._parts)
    shutil.rmtree(place.folder / "witness")


def files_of(version: Version) -> dict[str, bytes]:
    found = {}
    for entry in version.files():
        with version.open(entry.path) as file:
            found[entry.path] = file.read()
    return found


def assert_alias_follows_the_log(store: Store, artifact: str, alias: str) -> None:
    """An alias is where the last record that names it put it; here, at the version which that record made."""
    at = [version.number for version in store.versions(artifact) if alias in version.aliases]
    assert at == [max(version.number for version in store.versions(artifact))]


def test_processes_race_for_one_artifact(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pushes at once make two versions, in the order of the log, and the alias is with the later one."""
    trees = [Tree(tmp_path / f"tree-{number}", seed=number) for number in range(2)]
    for rounds in range(1, 5):
        for tree in trees:
            tree.change()
        race(
            [
                place.command(number, monkeypatch, "push", str(tree.folder), ARTIFACT, "--alias", "mine")
                for number, tree in enumerate(trees)
            ]
        )
        with place.open() as store:
            assert_sound(store)
            assert_new_client_agrees(place, store)
            assert len(store.versions(ARTIFACT)) == 2 * rounds
            assert_alias_follows_the_log(store, ARTIFACT, "mine")
            pulled = []
            for back in (1, 2):
                target = tmp_path / f"pulled-{back}"
                store.pull(f"{ARTIFACT}:v{2 * rounds - back}", target)
                pulled.append(contents(target))
                shutil.rmtree(target)
            sources = [contents(tree.folder) for tree in trees]
            assert pulled in (sources, sources[::-1])


def test_processes_race_with_equal_content(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two pushes of the same files at once make one version."""
    tree = Tree(tmp_path / "tree", seed=1)
    for rounds in range(1, 4):
        tree.change()
        race(
            [
                place.command(
                    number, monkeypatch, "push", str(tree.folder), ARTIFACT, "--tag", f"by-{number}"
                )
                for number in range(2)
            ]
        )
        with place.open() as store:
            assert_sound(store)
            assert_new_client_agrees(place, store)
            assert len(store.versions(ARTIFACT)) == rounds
            assert store.version(ARTIFACT).tags == ("by-0", "by-1")


def test_processes_push_to_artifacts_of_their_own(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight pushes at once to eight artifacts all succeed, and each artifact holds what was pushed to it."""
    trees = [Tree(tmp_path / f"tree-{number}", seed=number) for number in range(WRITERS)]
    for rounds in range(1, 3):
        for tree in trees:
            tree.change()
        race(
            [
                place.command(number, monkeypatch, "push", str(tree.folder), f"project/data-{number}")
                for number, tree in enumerate(trees)
            ]
        )
        with place.open() as store:
            assert_sound(store)
            assert_new_client_agrees(place, store)
            for number, tree in enumerate(trees):
                assert len(store.versions(f"project/data-{number}")) == rounds
                target = tmp_path / "pulled"
                store.pull(f"project/data-{number}", target)
                assert contents(target) == contents(tree.folder)
                shutil.rmtree(target)


def test_a_push_races_a_pull(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pull beside a push gets one version or the next, never a mixture."""
    tree = Tree(tmp_path / "tree", seed=1)
    tree.change()
    with place.open(1) as store:
        store.push([tree.folder], ARTIFACT)
        known = [contents(tree.folder)]
        for _ in range(4):
            tree.change()
            known.append(contents(tree.folder))
            with place.command(0, monkeypatch, "push", str(tree.folder), ARTIFACT) as command:
                command.wait_until_ready()
                command.start()
                for pull in itertools.count():
                    ended = command.process.poll() is not None
                    target = tmp_path / f"pulled-{pull}"
                    store.pull(ARTIFACT, target)
                    found = contents(target)
                    assert found in known[-2:]
                    shutil.rmtree(target)
                    if ended:
                        break
                assert command.finish() == 0
                assert found == known[-1]
        assert_sound(store)


def in_threads(work: Callable[[int], None], count: int = WRITERS) -> None:
    """Run `work(n)` on `count` threads at once."""
    barrier = threading.Barrier(count)

    def started(number: int) -> None:
        barrier.wait()
        work(number)

    with ThreadPoolExecutor(count) as pool:
        for future in [pool.submit(started, number) for number in range(count)]:
            future.result()


@pytest.mark.parametrize("stores", ["one-store", "own-stores"])
def test_threads_race(place: Place, tmp_path: Path, stores: str) -> None:
    """Eight threads push to artifacts of their own and to a common one, through one store object or several."""
    pushes = 3
    data = SeededRandomness(7)
    sources = {}
    for number, push in itertools.product(range(WRITERS), range(pushes)):
        folder = tmp_path / f"source-{number}-{push}"
        folder.mkdir()
        sources[number, push] = {"own": data.token(700), "common": b"the same everywhere"}
        for name, content in sources[number, push].items():
            (folder / name).write_bytes(content)
    with ExitStack() as stack:
        shared = stack.enter_context(place.open())

        def work(number: int) -> None:
            with ExitStack() as own:
                store = shared if stores == "one-store" else own.enter_context(place.open(number))
                for push in range(pushes):
                    folder = tmp_path / f"source-{number}-{push}"
                    made = store.push([folder], f"project/own-{number}", aliases=["mine"])
                    assert made.number == push
                    made = store.push([folder], ARTIFACT, aliases=["mine"])
                    assert files_of(made) == sources[number, push]

        in_threads(work)
        assert_sound(shared)
        for number in range(WRITERS):
            found = shared.versions(f"project/own-{number}")
            assert [files_of(version) for version in found] == [
                sources[number, push] for push in range(pushes)
            ]
            assert_alias_follows_the_log(shared, f"project/own-{number}", "mine")
        common = [files_of(version)["own"] for version in shared.versions(ARTIFACT)]
        assert sorted(common) == sorted(each["own"] for each in sources.values())
        assert_alias_follows_the_log(shared, ARTIFACT, "mine")


class Forgetful(WrapperBackend):
    """Loses the answer of every third create of a record: half of them took effect."""

    def __init__(self, inner: Backend, seed: int) -> None:
        super().__init__(inner)
        self._random = random.Random(seed)
        self.lost = 0

    def create(self, name: str, data: Buffer) -> None:
        fate = self._random.randrange(6) if name.startswith("log/") else 6
        if fate == 0:
            self.lost += 1
            raise ConnectionLost("the request was lost")
        self.inner.create(name, data)
        if fate == 1:
            self.lost += 1
            raise ConnectionLost("the answer was lost")


def test_lost_answers_are_won_once(tmp_path: Path) -> None:
    """Threads whose creates are answered unreliably: each push makes exactly one version."""
    pushes = 6
    world = World(tmp_path / "world")
    world.folder.mkdir()
    world.create().close()
    source = tmp_path / "source"
    source.mkdir()
    for number, push in itertools.product(range(WRITERS), range(pushes)):
        (source / f"{number}-{push}").write_bytes(b"%d %d" % (number, push))
    lost = []

    def work(number: int) -> None:
        backends: list[Forgetful] = []

        def wrap(backend: Backend) -> Backend:
            backends.append(Forgetful(backend, number))
            return backends[-1]

        with closing(world.open(f"cache-{number}", wrap=wrap)) as store:
            for push in range(pushes):
                version = store.push([source / f"{number}-{push}"], ARTIFACT)
                assert version.push is not None
                assert version.push.created
        lost.append(backends[0].lost)

    in_threads(work)
    with world.client("witness") as store:
        assert_sound(store)
        found = [files_of(version) for version in store.versions(ARTIFACT)]
        expected = [
            {f"{number}-{push}": b"%d %d" % (number, push)}
            for number, push in itertools.product(range(WRITERS), range(pushes))
        ]
        assert sorted(map(str, found)) == sorted(map(str, expected))
        assert sum(1 for entry in store.log() if entry.kind != "create") == len(expected)
    assert sum(lost) > 0
    world.end()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    folder = tmp_path / "world"
    folder.mkdir()
    made = World(folder)
    made.create().close()
    yield made
    made.end()


@pytest.mark.parametrize("cache", ["cache", "another"])
@pytest.mark.parametrize("effect", [True, False])
def test_others_write_before_a_lost_answer_is_looked_into(
    world: World, tmp_path: Path, effect: bool, cache: str
) -> None:
    """Whoever filled the slot has it: the other goes on after it, and the operation is applied once."""
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "theirs").write_bytes(b"theirs")

    def others() -> None:
        with world.client(cache) as other:
            other.push([tmp_path / "theirs"], ARTIFACT, aliases=["last"])
            other.push([tmp_path / "theirs"], "project/else")

    with closing(world.open(wrap=lambda inner: Interrupted(inner).arm(others, effect=effect))) as store:
        made = store.push([tmp_path / "mine"], ARTIFACT, aliases=["last"])
        assert made.push is not None
        assert (made.number, made.push.created) == (0 if effect else 1, True)
        assert_sound(store)
        names = [next(iter(files_of(version))) for version in store.versions(ARTIFACT)]
        assert names == (["mine", "theirs"] if effect else ["theirs", "mine"])
        assert_alias_follows_the_log(store, ARTIFACT, "last")


@pytest.mark.parametrize("cache", ["cache", "another"])
def test_a_push_of_what_another_has_just_pushed_makes_no_version(
    world: World, tmp_path: Path, cache: str
) -> None:
    """Equal content is decided where the record lands, and its writer is told which version it is."""
    (tmp_path / "same").write_bytes(b"same")

    def others() -> None:
        with world.client(cache) as other:
            other.push([tmp_path / "same"], ARTIFACT)

    with closing(world.open(wrap=lambda inner: Interrupted(inner).arm(others, effect=False))) as store:
        made = store.push([tmp_path / "same"], ARTIFACT, tags=["twice"])
        assert made.push is not None
        assert (made.number, made.push.created, made.tags) == (0, False, ("twice",))
        assert_sound(store)


def test_chunks_stored_twice_are_known_alike(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Racing pushes store a chunk twice; states and merged index packs keep both places, in one order."""
    monkeypatch.setattr("artifactstore.catalog.state._TAIL_BYTES_MIN", 0)
    monkeypatch.setattr("artifactstore.catalog.state._TIER_WIDTH", 2)
    # The larger of two racing pushes brings an index pack of its own; the rows of the other go into one later.
    monkeypatch.setattr("artifactstore.catalog.commit.INLINE_INDEX_BYTES_MAX", 300)
    data = SeededRandomness(3)
    for number in range(6):
        folder = tmp_path / f"source-{number}"
        folder.mkdir()
        for name in range(1 + number * 3):
            (folder / f"{name}").write_bytes(data.token(50))

        def others(folder: Path = folder, number: int = number) -> None:
            with world.client("another") as other:
                other.push([folder / "0"], f"project/theirs-{number}")

        def wrap(inner: Backend, others: Callable[[], None] = others) -> Backend:
            return Interrupted(inner).arm(others, effect=False)

        with closing(world.open(wrap=wrap)) as store:
            store.push([folder], f"project/mine-{number}")
    with world.client() as store, world.client("another") as other, world.client("new") as new:
        assert_sound(store)
        for client in (other, new):
            client.projects()
            invariants.assert_same_index(store._parts, client._parts)
