"""A store behaves like a dictionary of versions, whatever is done to it, by whom, and in which order."""

import hashlib
import itertools
import os
import shutil
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import Phase, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from artifactstore import Artifact
from artifactstore.backend.base import Backend
from artifactstore.errors import (
    AliasMoved,
    Deleted,
    Denied,
    IsCollection,
    LineageCircle,
    NameTaken,
    NotACollection,
    PreconditionFailed,
)
from artifactstore.ids import LATEST
from artifactstore.store.store import Store
from artifactstore.testing import invariants
from artifactstore.testing.model import Contents, ModelStore, shown_by
from artifactstore.testing.simulation import World
from tests.faults.interrupted import Interrupted
from tests.servers import BUCKET

ARTIFACTS = ("p/one", "p/two", "q/one")
COLLECTIONS = ("c/one", "c/two")
ALIASES = ("blue", "green")
TAGS = ("good", "bad", "old")
CLIENTS = ("first", "second")
STEPS = 25

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


class StoreMachine(RuleBasedStateMachine):
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

    @rule(client=clients, artifact=artifact_names, held=contents, aliases=alias_sets, tags=tag_sets)
    def push(
        self, client: str, artifact: str, held: dict[str, bytes], aliases: list[str], tags: list[str]
    ) -> None:
        """A push makes a version, unless its content is that of the newest one; what was taken down is refused."""
        if self.model.refuses(held):
            with pytest.raises(Denied):
                self.stores[client].push([self.source(held)], artifact, aliases=aliases, tags=tags)
            return
        if not self.model.takes_pushes(artifact):
            with pytest.raises(IsCollection):
                self.stores[client].push([self.source(held)], artifact)
            return
        expected = self.model.push(artifact, held, aliases=aliases, tags=tags)
        made = self.stores[client].push([self.source(held)], artifact, aliases=aliases, tags=tags)
        assert made.push is not None
        assert (made.number, made.push.created) == expected

    @rule(
        artifact=artifact_names,
        mine=contents,
        theirs=contents,
        same_artifact=st.booleans(),
        effect=st.booleans(),
        alias=st.sampled_from(ALIASES),
    )
    def race(
        self,
        artifact: str,
        mine: dict[str, bytes],
        theirs: dict[str, bytes],
        same_artifact: bool,
        effect: bool,
        alias: str,
    ) -> None:
        """A push whose claim another push gets in front of, or whose answer is lost while another one follows."""
        assume(not self.model.refuses(mine) and not self.model.refuses(theirs))
        assume(self.model.takes_pushes(artifact) and self.model.takes_pushes("q/raced"))
        other = artifact if same_artifact else "q/raced"
        expected: list[tuple[int, bool]] = []

        def during() -> None:
            if effect:
                expected.append(self.model.push(artifact, mine, aliases=[alias]))
            self.model.push(other, theirs, aliases=[alias])
            self.stores["second"].push([self.source(theirs)], other, aliases=[alias])

        backend = self.backends["first"].arm(during, effect=effect)
        made = self.stores["first"].push([self.source(mine)], artifact, aliases=[alias])
        assert not backend.disarm()
        if not effect:
            expected.append(self.model.push(artifact, mine, aliases=[alias]))
        assert made.push is not None
        assert [(made.number, made.push.created)] == expected

    @rule(client=clients, artifact=artifact_names, held=contents, data=st.data())
    def run(self, client: str, artifact: str, held: dict[str, bytes], data: st.DataObject) -> None:
        """A run is noted with what it used and produced; where it would produce what it came of, nothing is."""
        assume(not self.model.refuses(held) and self.model.takes_pushes(artifact))
        artifact = self.model.first(artifact)
        with self.stores[client].run("p", git=False, heartbeat=False) as run:
            self.runs.append(run.id)
            if self.numbers():
                name, number = self.version(data)
                run.use(f"{name}:v{number}")
                self.edges.add((f"{name}:v{number}", run.id))
            known = self.model.artifacts.get(artifact)
            newest = None if known is None else known.newest()
            equal = known is not None and newest is not None and known.versions[newest].contents == held
            if equal and self.came_of(run.id, f"{artifact}:v{newest}"):
                with pytest.raises(LineageCircle):
                    run.log_artifact([self.source(held)], artifact)
                return
            number, created = self.model.push(artifact, held)
            made = run.log_artifact([self.source(held)], artifact)
            assert made.push is not None
            assert (made.number, made.push.created) == (number, created)
            self.edges.add((run.id, f"{artifact}:v{number}"))

    @precondition(lambda self: self.numbers())
    @rule(
        client=clients, data=st.data(), added=contents, gone=st.sets(paths, max_size=2), newest=st.booleans()
    )
    def draft(
        self, client: str, data: st.DataObject, added: dict[str, bytes], gone: set[str], newest: bool
    ) -> None:
        """A draft of a version, or of the newest, holds what that does but for what it adds and removes."""
        artifact, number = self.version(data)
        assume(self.model.takes_pushes(artifact))
        project, name = artifact.split("/")
        if newest:
            found = self.model.artifacts[artifact].newest()
            assert found is not None
            number = found
        base = self.model.artifacts[artifact].versions[number].contents
        gone = {path for path in gone if any(one == path or one.startswith(path + "/") for one in base)}
        # What lies in a folder that goes is gone with it.
        gone = {path for path in gone if not any(path.startswith(one + "/") for one in gone)}
        held = {
            path: content
            for path, content in base.items()
            if not any(path == one or path.startswith(one + "/") for one in gone)
        } | added
        store = self.stores[client]
        made = Artifact(name, "dataset", incremental=True)
        metadata = None
        if not newest:
            # It goes by the name of now, and takes over what is said of the version.
            saved = store.artifact(f"{artifact}:v{number}")
            made, project, metadata = saved.new_draft(), saved.project, saved.metadata or None
        for path in gone:
            made.remove(path)
        for path in added:
            made.add_file(self.source(added) / path, path)
        if self.model.refuses(added):
            with pytest.raises(Denied):
                made.save(store, project)
            return
        expected = self.model.push(artifact, held, metadata=metadata)
        version = made.save(store, project).as_version
        assert version.push is not None
        assert (version.number, version.push.created) == expected

    @precondition(lambda self: self.numbers())
    @rule(client=clients, data=st.data())
    def pull(self, client: str, data: st.DataObject) -> None:
        """A pull by number or alias writes the bytes that were pushed."""
        artifact, number = self.version(data)
        names = [name for name, at in self.model.artifacts[artifact].aliases.items() if at == number]
        reference = data.draw(st.sampled_from([f"v{number}", *names]))
        target = self.folder / "pulled"
        self.stores[client].pull(f"{artifact}:{reference}", target)
        found = {
            path.relative_to(target).as_posix(): path.read_bytes()
            for path in target.rglob("*")
            if path.is_file()
        }
        assert found == self.model.artifacts[artifact].versions[number].contents
        shutil.rmtree(target)

    @precondition(lambda self: self.numbers())
    @rule(client=clients, data=st.data(), aliases=alias_sets)
    def add_aliases(self, client: str, data: st.DataObject, aliases: list[str]) -> None:
        """An alias moves to the version it is put on."""
        artifact, number = self.version(data)
        self.stores[client].add_aliases(f"{artifact}:v{number}", aliases)
        self.model.add_aliases(artifact, number, aliases)

    @precondition(lambda self: self.numbers())
    @rule(client=clients, data=st.data(), alias=st.sampled_from(ALIASES), wrong=st.booleans())
    def move_alias(self, client: str, data: st.DataObject, alias: str, wrong: bool) -> None:
        """An alias moves from where it is, and from nowhere else."""
        artifact, number = self.version(data)
        at = self.model.artifacts[artifact].aliases.get(alias)
        expected = None if at is None else f"v{at}"
        reference, store = f"{artifact}:v{number}", self.stores[client]
        if wrong:
            with pytest.raises(AliasMoved):
                store.add_aliases(reference, [alias], expected="v77" if at is None else None)
            return
        store.add_aliases(reference, [alias], expected=expected)
        self.model.add_aliases(artifact, number, [alias])

    @precondition(lambda self: self.numbers())
    @rule(
        client=clients,
        data=st.data(),
        metadata=st.dictionaries(st.sampled_from("ab"), st.integers(0, 9), min_size=1),
    )
    def describe(self, client: str, data: st.DataObject, metadata: dict[str, object]) -> None:
        """What is said of a version is there for everyone; keys that are not given stay."""
        artifact, number = self.version(data)
        self.stores[client].describe(f"{artifact}:v{number}", metadata=metadata)
        self.model.describe(artifact, number, metadata)

    @precondition(lambda self: self.numbers())
    @rule(client=clients, data=st.data(), new=st.sampled_from((*ARTIFACTS, *COLLECTIONS, "r/new")))
    def rename(self, client: str, data: st.DataObject, new: str) -> None:
        """An artifact gets a name that nothing has or had, or one of its own; all go on answering."""
        artifact, _ = self.version(data)
        if not self.model.rename(artifact, new):
            with pytest.raises(NameTaken):
                self.stores[client].rename(artifact, new)
            return
        self.stores[client].rename(artifact, new)
        assert self.stores["steps"].version(artifact).artifact == new

    @precondition(lambda self: self.numbers())
    @rule(client=clients, data=st.data(), collection=st.sampled_from(COLLECTIONS), aliases=alias_sets)
    def link(self, client: str, data: st.DataObject, collection: str, aliases: list[str]) -> None:
        """A link is a version of its collection; each version has one there at most."""
        artifact, number = self.version(data)
        source = self.model.artifacts[artifact].versions[number].source
        if source is not None:
            version = self.model.artifacts[source[0]].versions[source[1]]
            if version.deleted:
                with pytest.raises(Deleted):
                    self.stores[client].link(f"{artifact}:v{number}", collection)
                return
        there = self.model.artifacts.get(self.model.first(collection))
        if there is not None and not there.collection and not there.gone:
            with pytest.raises(NotACollection):
                self.stores[client].link(f"{artifact}:v{number}", collection)
            return
        made = self.stores[client].link(f"{artifact}:v{number}", collection, aliases=aliases)
        assert made.push is not None
        held, at = source or (artifact, number)
        expected = self.model.link(held, at, collection, aliases)
        assert (made.number, made.push.created) == expected
        self.edges.add((f"{held}:v{at}", f"{self.model.first(collection)}:v{made.number}"))

    @precondition(lambda self: self.aliases())
    @rule(client=clients, data=st.data())
    def remove_alias(self, client: str, data: st.DataObject) -> None:
        """An alias that was removed is gone."""
        artifact, alias = data.draw(st.sampled_from(self.aliases()))
        self.stores[client].remove_aliases(artifact, [alias])
        self.model.remove_aliases(artifact, [alias])

    @precondition(lambda self: self.numbers())
    @rule(client=clients, data=st.data(), labels=tag_sets, add=st.booleans())
    def change_tags(self, client: str, data: st.DataObject, labels: list[str], add: bool) -> None:
        """Labels are put on a version and taken off; one that is not there is taken off all the same."""
        artifact, number = self.version(data)
        store = self.stores[client]
        (store.add_tags if add else store.remove_tags)(f"{artifact}:v{number}", labels)
        (self.model.add_tags if add else self.model.remove_tags)(artifact, number, labels)

    @precondition(lambda self: self.numbers())
    @rule(client=clients, data=st.data(), now=st.booleans())
    def delete(self, client: str, data: st.DataObject, now: bool) -> None:
        """A deleted version is gone from sight, and the aliases on it with it."""
        artifact, number = self.version(data)
        if self.model.links(artifact, number):
            with pytest.raises(PreconditionFailed):
                self.stores[client].delete([f"{artifact}:v{number}"])
        self.stores[client].delete([f"{artifact}:v{number}"], force=True, now=now)
        self.model.delete(artifact, number, now=now)
        with pytest.raises(Deleted):
            self.stores["steps"].version(f"{artifact}:v{number}")

    @precondition(lambda self: self.numbers(deleted=True))
    @rule(client=clients, data=st.data())
    def undelete(self, client: str, data: st.DataObject) -> None:
        """It comes back with every byte."""
        artifact, number = data.draw(st.sampled_from(self.numbers(deleted=True)))
        if self.model.refuses(self.model.artifacts[artifact].versions[number].contents):
            with pytest.raises(Denied):
                self.stores[client].undelete([f"{artifact}:v{number}"])
            return
        self.stores[client].undelete([f"{artifact}:v{number}"])
        self.model.undelete(artifact, number)

    @rule(client=clients, race=st.sampled_from([None, False, True]), held=contents)
    def sweep(self, client: str, race: bool | None, held: dict[str, bytes]) -> None:
        """What is due is purged for good, and nothing else; also when another client pushes in that very moment."""
        if race is not None and not self.model.refuses(held):
            client = "first"

            def during() -> None:
                self.model.push("q/beside", held)
                self.stores["second"].push([self.source(held)], "q/beside")

            self.backends["first"].arm(during, effect=False)
        prepared = self.stores[client].plan_gc(expiry_s=0)
        done = self.stores[client].gc(prepared, trust_clock=True)
        self.backends["first"].disarm()
        assert (sorted(done.purged), done.left_total) == (sorted(self.model.sweep()), 0)

    @precondition(lambda self: self.held())
    @rule(client=clients, data=st.data(), rewrite=st.booleans(), effect=st.sampled_from([None, False, True]))
    def takedown(self, client: str, data: st.DataObject, rewrite: bool, effect: bool | None) -> None:
        """A file is gone from every version, also when another client pushes it in that very moment."""
        content = data.draw(st.sampled_from(self.held()))
        late = {"late": content, "more": content + b"!"}

        def during() -> None:
            if not effect and not self.model.refuses(late):
                self.model.push("q/late", late)
                self.stores["second"].push([self.source(late)], "q/late")

        if effect is not None:
            client = "first"
            self.backends["first"].arm(during, effect=effect)
        self.stores[client].takedown([blake3(content).hexdigest()], rewrite=rewrite)
        self.backends["first"].disarm()
        before = {name: len(one.versions) for name, one in self.model.artifacts.items()}
        self.model.takedown(content, rewrite=rewrite)
        self.succeed(before)

    @precondition(lambda self: self.model.denied)
    @rule(client=clients, data=st.data())
    def allow(self, client: str, data: st.DataObject) -> None:
        """What is allowed again can be pushed; what was taken down stays down."""
        content = data.draw(st.sampled_from(sorted(self.model.denied)))
        self.stores[client].allow([blake3(content).hexdigest()])
        self.model.denied.remove(content)

    @rule(client=clients, forget=st.booleans())
    def reopen(self, client: str, forget: bool) -> None:
        """A client ends and another one goes on, with its index or without."""
        self.stores[client].close()
        if forget:
            self.world.forget(client)
        self.open(client)

    @rule(client=clients)
    def rebuild(self, client: str) -> None:
        """An index that was rebuilt is the one that was there."""
        self.stores[client].rebuild_index()

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
        """Contents of files that versions hold, deleted ones too."""
        return sorted(
            {
                content
                for artifact in self.model.artifacts.values()
                for version in artifact.versions
                for content in version.contents.values()
            }
        )

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
            for store in self.stores.values():
                store.close()
            self.world.end()
            self.patch.undo()
            shutil.rmtree(self.folder)

    def conclude(self) -> None:
        steps = self.stores["steps"]
        assert shown_by(steps) == self.model.shown()
        assert len(set(self.digests)) == len({repr(sorted(held.items())) for held in self.digests.values()})
        self.lineage_agrees(steps)
        invariants.assert_whole(steps)
        invariants.assert_packs_precede_records(steps._parts)
        with closing(self.world.open("new")) as new:
            for store in (new, *self.stores.values()):
                store.projects()
                invariants.assert_same_index(steps._parts, store._parts)


def test_a_store_is_a_dictionary_of_versions() -> None:
    """Push, race, pull, alias, tag, take down, reopen and rebuild against the model, with states and without."""
    chosen = settings(stateful_step_count=max(STEPS, settings().stateful_step_count // 2))
    run_state_machine_as_test(StoreMachine, settings=chosen)


def test_a_store_on_s3_is_one_too(s3_options: dict[str, Any], deep: bool) -> None:
    """The same, on a real server, where each step costs a hundred requests: fewer and shorter stories."""
    numbers = itertools.count()

    class OnS3(StoreMachine):
        def make_world(self, folder: Path) -> World:
            url = f"s3://{BUCKET}/machine-{os.getpid()}-{next(numbers)}"
            return World(folder, url=url, storage_options=s3_options)

    examples, steps = (100, 25) if deep else (1, 8)
    chosen = settings(max_examples=examples, stateful_step_count=steps, phases=[Phase.generate])
    run_state_machine_as_test(OnS3, settings=chosen)
