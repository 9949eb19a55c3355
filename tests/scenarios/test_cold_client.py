"""A client with an empty index pulls one version in few round trips, however much the store holds."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX
from artifactstore.clock import SystemClock, SystemRandomness
from artifactstore.content.get import ChunkReader
from artifactstore.format.pack import PackType
from artifactstore.keyring.keyfile import load_or_create_key_file
from artifactstore.keyring.request import KeyRequest, request_line
from artifactstore.testing import MeteredBackend
from artifactstore.testing.simulation import World
from tests.stores import noise, read_tree, settle, write_tree

# Before the first range of data; one more where index packs are too large to be read whole.
ROUNDS_MAX = 6
# More entries than one page holds, and a file of more chunks than its entry holds.
LARGE = {f"many/{number:04}": b"%d" % number for number in range(1500)} | {"large": noise(9 << 20, 1)}
LEVELS_OF_LARGE = 2
REFS = ["p/small0", "p/small1:v0", "p/small2:v50", "p/large", "p/large:v0", "p/copy"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[World]:
    """A store of many small versions, and of a large artifact whose versions share nearly everything."""
    versions = 3000 if request.config.getoption("--deep") else 300
    folder = tmp_path_factory.mktemp("cold")
    made = World(folder, seed=1)
    large = settle(write_tree(folder / "large", LARGE))
    patch = pytest.MonkeyPatch()
    # Packs of this many chunks get an index pack of their own, as packs of a thousand do in earnest.
    patch.setattr("artifactstore.catalog.commit.INLINE_INDEX_BYTES_MAX", 200)
    with made.create() as store:
        store.push([large], "p/large")
        for number in range(versions):
            small = write_tree(
                folder / "small", {f"{number % 7}": noise(500, number), "n": noise(90, number)}
            )
            store.push([small], f"p/small{number % 3}")
            if number % 50 == 0:
                (large / f"many/{number % 1500:04}").write_bytes(b"changed")
                store.push([large], "p/large")
        store.push([large], "p/copy")
    patch.undo()
    yield made
    made.end()


@pytest.fixture(scope="module")
def behind(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The same with hundreds of records behind its newest state, of which the third adds a member with a new key."""
    folder = tmp_path_factory.mktemp("behind")
    made = world.copy(folder / "world")
    with pytest.MonkeyPatch.context() as patch, made.client() as store:
        patch.setattr("artifactstore.catalog.commit.state_due", lambda position: False)
        store.add_tags("p/copy:v0", ["one"])
        member, _ = load_or_create_key_file(
            folder / "member", randomness=SystemRandomness(), clock=SystemClock()
        )
        store.members.add(request_line(KeyRequest("member", member.public)))
        for number in range(300):
            store.add_tags("p/copy:v0", [f"tag{number}"])
    yield made
    made.end()


def rounds_before_data(
    world: World, ref: str, destination: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[int, MeteredBackend]:
    """Round trips of opening a store and pulling, up to the first range of a file's bytes."""
    meters: list[MeteredBackend] = []
    rounds: list[int] = []
    open_range = ChunkReader.open_range

    def wrap(backend):
        meters.append(MeteredBackend(backend))
        return meters[0]

    def noting(self: ChunkReader, kind: PackType, *rest, **named) -> None:
        if kind == PackType.DATA:
            rounds.append(meters[0].round_trips - 1)
        open_range(self, kind, *rest, **named)

    monkeypatch.setattr(ChunkReader, "open_range", noting)
    world.forget("newcomer")
    with world.open("newcomer", wrap=wrap) as store:
        store.pull(ref, destination)
    return rounds[0], meters[0]


def assert_few(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ref: str, rounds_max: int
) -> None:
    """Pull with an empty index, and count; what comes is what a client with an index pulls."""
    tmp_path.mkdir(exist_ok=True)
    rounds, meter = rounds_before_data(world, ref, tmp_path / "out", monkeypatch)
    per_round = [sum(asked.round == at for asked in meter.asked) for at in range(1, rounds + 1)]
    assert rounds <= rounds_max, [asked for asked in meter.asked if asked.round <= rounds]
    assert max(per_round) <= PARALLEL_REQUESTS_MAX
    with world.client() as warm:
        warm.pull(ref, tmp_path / "warm")
    assert read_tree(tmp_path / "out") == read_tree(tmp_path / "warm")


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("ref", REFS)
def test_one_version_is_pulled_in_few_round_trips(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ref: str, whole: bool
) -> None:
    """Five before the first range of data, and one more where index packs are too large to be read whole."""
    if not whole:
        monkeypatch.setattr("artifactstore.content.locate._WHOLE_BYTES_MAX", 0)
    assert_few(world, tmp_path, monkeypatch, ref, ROUNDS_MAX - whole)


@pytest.mark.parametrize("ref", REFS)
def test_pages_that_are_many_cost_one_for_each_level(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ref: str
) -> None:
    """Packs of pages and lists too large to be fetched whole are read page by page, from the root down."""
    monkeypatch.setattr("artifactstore.content.get._WHOLE_BYTES_MAX", 0)
    monkeypatch.setattr("artifactstore.content.locate._WHOLE_BYTES_MAX", 0)
    levels = LEVELS_OF_LARGE if ref in {"p/large", "p/large:v0", "p/copy"} else 0
    assert_few(world, tmp_path, monkeypatch, ref, ROUNDS_MAX + 1 + levels)


@pytest.mark.parametrize("ref", REFS)
def test_a_long_tail_costs_one_more(
    behind: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ref: str
) -> None:
    """The state lies hundreds of records back, and nothing that a version names helps to find its chunks."""
    monkeypatch.setattr("artifactstore.content.locate._WHOLE_BYTES_MAX", 0)
    monkeypatch.setattr("artifactstore.client.opened.packs_named", lambda *_: [])
    monkeypatch.setattr("artifactstore.client.naming.packs_named", lambda *_: [])
    assert_few(behind, tmp_path, monkeypatch, ref, ROUNDS_MAX + 1)


def test_a_member_who_was_added_later_waits_no_longer(
    behind: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keys that the last record names come along."""
    member = behind.copy(tmp_path / "world")
    (behind.folder.parent / "member").replace(member.folder / "key")
    rounds, _ = rounds_before_data(member, "p/small0", tmp_path / "out", monkeypatch)
    assert rounds <= ROUNDS_MAX
    member.end()


def test_a_server_is_asked_as_often(
    behind: World, s3_url: str, s3_options: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a real S3 server requests that are made together are one round trip too."""
    copied = behind.copy(tmp_path / "world", url=s3_url, storage_options=s3_options)
    for number, ref in enumerate([REFS[2], REFS[5]]):
        assert_few(copied, tmp_path / f"{number}", monkeypatch, ref, ROUNDS_MAX)
    copied.end()
