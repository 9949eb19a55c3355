"""What a machine that works on a store stands on: the world, the model, clients, and what must agree at all times."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant

from artifactstore.backend.base import Backend
from artifactstore.errors import Deleted
from artifactstore.ids import LATEST
from artifactstore.store.store import Store
from artifactstore.testing import invariants
from artifactstore.testing.model import Contents, ModelStore, PushState, shown_by
from artifactstore.testing.simulation import World
from tests.faults.interrupted import Interrupted

ARTIFACTS = ("p/one", "p/two", "q/one")
COLLECTIONS = ("c/one", "c/two")
ALIASES = ("blue", "green")
TAGS = ("good", "bad", "old")
CLIENTS = ("first", "second")
# As long as a push in parts is waited for.
WEEK_S = 7 * 24 * 3600

artifact_names = st.sampled_from(ARTIFACTS)
clients = st.sampled_from(CLIENTS)
alias_sets = st.lists(st.sampled_from(ALIASES), max_size=2, unique=True)
tag_sets = st.lists(st.sampled_from(TAGS), max_size=2, unique=True)
paths = st.sampled_from(["a", "b", "folder", "folder/c", "folder/deeper", "folder/deeper/d"])
contents = st.dictionaries(
    st.sampled_from(["a", "b", "folder/c", "folder/deeper/d"]),
    st.one_of(st.sampled_from([b"", b"x", b"y" * 3000]), st.binary(max_size=40)),
    max_size=4,
)


class Ground(RuleBasedStateMachine):
    """Two clients that keep their indexes, one that follows every record, and the model."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.folder = Path(tempfile.mkdtemp(prefix="store-machine-"))
        (self.folder / "world").mkdir()
        self.world = self.make_world(self.folder / "world")
        self.model = ModelStore()
        self.backends: dict[str, Interrupted] = {}
        self.digests: dict[str, dict[str, bytes]] = {}
        self.runs: list[str] = []
        # What came of what: versions and runs by their names.
        self.edges: set[tuple[str, str]] = set()
        self.stores: dict[str, Store] = {}
        # Another store, made when something is copied to it first.
        self.elsewhere: World | None = None
        self.aways: dict[str, Store] = {}
        self.away_model = ModelStore()
        # Of pushes in parts, by what the model calls them.
        self.tokens: dict[str, str] = {}

    def make_world(self, folder: Path) -> World:
        return World(folder)

    @initialize(
        tail=st.sampled_from([0, 1500, 64 << 10]),
        tiers=st.integers(2, 8),
        inline=st.sampled_from([200, 64 << 10]),
    )
    def make(self, tail: int, tiers: int, inline: int) -> None:
        """When states are written, index packs merged, and index rows kept out of records differs from run to run."""
        self.patch.setattr("artifactstore.catalog.state._TAIL_BYTES_MIN", tail)
        self.patch.setattr("artifactstore.catalog.state._TIER_WIDTH", tiers)
        self.patch.setattr("artifactstore.catalog.commit.INLINE_INDEX_BYTES_MAX", inline)
        self.world.create("steps").close()
        for client in (*CLIENTS, "steps"):
            self.open(client)

    def open(self, client: str) -> None:
        def wrap(inner: Backend) -> Backend:
            self.backends[client] = Interrupted(inner)
            return self.backends[client]

        self.stores[client] = self.world.open(client, wrap=wrap)

    def source(self, held: Contents) -> Path:
        """A folder with these contents, made once, so that pushing it again may find it unchanged."""
        folder = self.folder / hashlib.sha256(repr(sorted(held.items())).encode()).hexdigest()
        if not folder.exists():
            folder.mkdir()
            for name, data in held.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(data)
        return folder

    @invariant()
    def names_and_digests_agree(self) -> None:
        """Every version has its number, aliases and tags; digests are equal exactly when contents are."""
        if "steps" not in self.stores:
            return
        for name, artifact in self.model.artifacts.items():
            if artifact.gone:
                with pytest.raises(Deleted, match="purged"):
                    self.stores["steps"].versions(name)
                continue
            found = self.stores["steps"].versions(name)
            assert [version.number for version in found] == artifact.shown()
            for version in found:
                expected = artifact.versions[version.number]
                assert self.digests.setdefault(version.digest, expected.contents) == expected.contents
                assert set(version.tags) == expected.tags
                assert version.metadata == expected.metadata
                assert version.artifact == (artifact.called or name)
                assert (version.link is not None) == (expected.source is not None)
                assert dict.fromkeys(version.aliases, version.number) == {
                    alias: at for alias, at in artifact.aliases.items() if at == version.number
                }

    def succeed(self, before: dict[str, int]) -> None:
        """Successors, which have come since, came of what those came of in whose place they stand."""
        for name, count in before.items():
            versions = self.model.artifacts[name].versions
            for number in range(count, len(versions)):
                place = versions[number].place
                # The one before it in that place: itself a successor, or the first of them.
                replaced = max(
                    at for at in range(number) if at == place or versions[at].place == place
                )  # fmt: skip
                self.edges |= {
                    (source, f"{name}:v{number}") for source, to in self.edges if to == f"{name}:v{replaced}"
                }

    def came_of(self, node: str, origin: str) -> bool:
        """Whether one node of lineage came of another."""
        return node == origin or any(
            self.came_of(source, origin) for source, target in self.edges if target == node
        )

    def lineage_agrees(self, store: Store) -> None:
        """Each run has the edges that the model has; purged versions are shown by their numbers alone."""

        def shown(name: str) -> str:
            artifact, _, number = name.partition(":v")
            if not number:
                return name
            known = self.model.artifacts[artifact]
            purged = known.versions[int(number)].purged
            return f":v{number}" if purged else f"{known.called or artifact}:v{number}"

        def hidden(name: str) -> str:
            return f":v{name.partition(':v')[2]}" if name.startswith("deleted-") else name

        for run in self.runs:
            expected = sorted(
                (shown(source), shown(target)) for source, target in self.edges if run in {source, target}
            )
            found = store.lineage(run, depth=1).edges
            assert sorted((hidden(edge.source), hidden(edge.target)) for edge in found) == expected

    def give_up(self, names: Iterable[str]) -> None:
        """A sweep has given these pushes in parts up."""
        for name in names:
            self.model.pushes[name].state = PushState.FORGOTTEN

    def pushes_agree(self, store: Store) -> None:
        """Pushes in parts that are open are so in the model, with the same parts."""
        found = {one.token: one for one in store.distributed_pushes() if one.state == "open"}
        assert {
            self.tokens[name]: push.missing
            for name, push in self.model.pushes.items()
            if push.state is PushState.OPEN
        } == {token: list(one.missing) for token, one in found.items()}

    def version(self, data: st.DataObject) -> tuple[str, int]:
        """One that is shown."""
        return data.draw(st.sampled_from(self.numbers()))

    def numbers(self, *, deleted: bool = False) -> list[tuple[str, int]]:
        """Versions that are shown, or those that are deleted."""
        return [
            (name, number)
            for name, artifact in sorted(self.model.artifacts.items())
            for number, version in enumerate(artifact.versions)
            if version.deleted == deleted and not version.purged
        ]

    def held(self) -> list[bytes]:
        """Contents of files that versions hold, deleted ones too, and finished parts."""
        parts = [held for push in self.model.pushes.values() for held in push.parts.values()]
        versions = [version.contents for one in self.model.artifacts.values() for version in one.versions]
        return sorted({content for held in (*parts, *versions) for content in held.values()})

    def aliases(self) -> list[tuple[str, str]]:
        """Those that can be removed, each with its artifact."""
        return [
            (name, alias)
            for name, artifact in sorted(self.model.artifacts.items())
            for alias in sorted(artifact.aliases)
            if alias != LATEST
        ]

    def teardown(self) -> None:
        """At the end everything reads back, and all clients hold one index, however they came to it."""
        try:
            if self.stores:
                self.conclude()
        finally:
            for store in (*self.stores.values(), *self.aways.values()):
                store.close()
            for world in (self.world, self.elsewhere):
                if world is not None:
                    world.end()
            self.patch.undo()
            shutil.rmtree(self.folder)

    def away(self) -> Store:
        """The other store."""
        if self.elsewhere is None:
            (self.folder / "elsewhere").mkdir()
            self.elsewhere = World(self.folder / "elsewhere", seed=7)
            self.aways["away"] = self.elsewhere.create()
        return self.aways["away"]

    def conclude(self) -> None:
        for away in self.aways.values():
            assert shown_by(away) == self.away_model.shown()
            invariants.assert_whole(away)
        steps = self.stores["steps"]
        assert shown_by(steps) == self.model.shown()
        assert len(set(self.digests)) == len({repr(sorted(held.items())) for held in self.digests.values()})
        self.lineage_agrees(steps)
        self.pushes_agree(steps)
        invariants.assert_whole(steps)
        invariants.assert_packs_precede_records(steps._parts)
        with closing(self.world.open("new")) as new:
            for store in (new, *self.stores.values()):
                store.projects()
                invariants.assert_same_index(steps._parts, store._parts)
