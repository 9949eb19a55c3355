"""A client with an empty index pulls one version in few round trips, however much the store holds."""

from pathlib import Path

import pytest

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX
from artifactstore.content.get import ChunkReader
from artifactstore.format.pack import PackType
from artifactstore.testing import MeteredBackend
from artifactstore.testing.simulation import World
from tests.stores import noise, read_tree, settle, write_tree

# The packs that the version names and the fan-outs of index packs, the root page, segments for the first chunk.
LOOKS_MAX = 3
# More entries than one page holds, and a file of more chunks than its entry holds.
LARGE = {f"many/{number:04}": b"%d" % number for number in range(1500)} | {"large": noise(9 << 20, 1)}
LEVELS_OF_LARGE = 2


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest):
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


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize(
    ("ref", "levels"),
    [
        ("p/small0", 0),
        ("p/small1:v0", 0),
        ("p/small2:v50", 0),
        ("p/large", LEVELS_OF_LARGE),
        ("p/large:v0", LEVELS_OF_LARGE),
        ("p/copy", LEVELS_OF_LARGE),
    ],
)
def test_one_version_is_pulled_in_few_round_trips(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ref: str, levels: int, whole: bool
) -> None:
    """Once the log is followed: three before the first range of data, and one for each level below a root."""
    if not whole:
        monkeypatch.setattr("artifactstore.content.locate._WHOLE_BYTES_MAX", 0)
    rounds, meter = rounds_before_data(world, ref, tmp_path / "out", monkeypatch)
    per_round = [sum(asked.round == at for asked in meter.asked) for at in range(1, rounds + 1)]
    first_look = min(
        asked.round
        for asked in meter.asked
        if asked.method == "get_range" and asked.name.startswith("packs/")
    )
    assert rounds - first_look < LOOKS_MAX + levels, [
        asked for asked in meter.asked if first_look <= asked.round <= rounds
    ]
    assert max(per_round) <= PARALLEL_REQUESTS_MAX
    assert read_tree(tmp_path / "out")
