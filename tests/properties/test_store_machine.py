"""A store behaves like a dictionary of versions, whatever is done to it, by whom, and in which order."""

import itertools
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import Phase, assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule, run_state_machine_as_test

from artifactstore import Artifact
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
from artifactstore.exchange.copy_plan import CopyStep
from artifactstore.exchange.copying import copy_versions
from artifactstore.testing.model import ModelVersion
from artifactstore.testing.simulation import World
from tests.properties.changes import Changes, attempt, judge
from tests.properties.ground import (
    ALIASES,
    ARTIFACTS,
    COLLECTIONS,
    WEEK_S,
    Ground,
    alias_sets,
    artifact_names,
    clients,
    contents,
    paths,
    tag_sets,
)
from tests.servers import BUCKET

STEPS = 25


class StoreMachine(Ground):
    """Whatever two clients do, one after the other or in the middle of each other's doing."""

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

    @rule(data=st.data(), effect=st.booleans())
    def race(self, data: st.DataObject, effect: bool) -> None:
        """A change whose record another one gets in front of, or whose answer is lost while another one follows."""
        changes = Changes(self, data)
        sweeps = data.draw(st.integers(0, 5)) == 0
        mine, theirs = changes.any(), changes.sweep() if sweeps else changes.any()
        expected: list[object] = []

        def during() -> None:
            if effect:
                expected.append(mine.expect())
            judge(attempt(theirs, self.stores["second"]), theirs.expect())

        backend = self.backends["first"].arm(during, effect=effect)
        found = attempt(mine, self.stores["first"])
        if sweeps and isinstance(found, mine.after_sweeps):
            return
        if backend.disarm() or not effect:
            expected.append(mine.expect())
        judge(found, expected[0])

    @rule(client=clients, data=st.data())
    def change(self, client: str, data: st.DataObject) -> None:
        """Uploads, links that are taken out, and pushes in parts, by one client at a time."""
        changes = Changes(self, data)
        chosen = data.draw(
            st.sampled_from([changes.upload, changes.any, changes.begin, *[changes.share] * 4])
        )()
        judge(attempt(chosen, self.stores[client]), chosen.expect())

    @rule(client=clients, artifact=artifact_names, held=contents)
    def hang_up(self, client: str, artifact: str, held: dict[str, bytes]) -> None:
        """Of an upload that is given up nothing is left, however much of it had come."""
        assume(not self.model.refuses(held))
        with pytest.raises(ConnectionResetError), self.stores[client].upload(artifact) as upload:
            for path, data in held.items():
                upload.write(path, data)
            raise ConnectionResetError

    @precondition(lambda self: self.numbers())
    @rule(client=clients, data=st.data(), everything=st.booleans())
    def copy(self, client: str, data: st.DataObject, everything: bool) -> None:
        """What is copied to another store is there as it is here; what changes follows, and nothing comes twice."""
        chosen = self.version(data)
        versions = self.numbers() if everything else [chosen]
        refs = ["*"] if everything else [f"{chosen[0]}:v{chosen[1]}"]
        self.copied(client, refs, versions)
        self.stores[client].describe(f"{chosen[0]}:v{chosen[1]}", metadata={"copied": len(self.digests)})
        self.model.describe(*chosen, {"copied": len(self.digests)})
        self.stores[client].add_tags(f"{chosen[0]}:v{chosen[1]}", ["good"])
        self.model.add_tags(*chosen, ["good"])
        assert "copy" not in self.copied(client, refs, versions)
        assert self.copied(client, refs, versions) <= {"keep"}

    def copied(self, client: str, refs: list[str], versions: list[tuple[str, int]]) -> set[str]:
        """Copy versions to the other store, hold what came of each against the models; return what was done."""
        done = copy_versions(self.stores[client], self.away(), refs)
        targets: dict[tuple[str, int], ModelVersion] = {}
        for step in done.steps:
            known = str(step.version.first_name), step.version.number
            source = self.model.artifacts[known[0]].versions[known[1]]
            at = step.version.artifact, step.target
            assert at[1] is not None
            if step.action == "copy":
                self.land(at[0], source, step, {target for name, target in targets if name == at[0]})
            else:
                self.away_model.add_aliases(*at, step.aliases)
                self.away_model.add_tags(*at, step.tags)
                if step.said:
                    self.away_model.artifacts[at[0]].versions[at[1]].metadata = dict(source.metadata)
            there = self.away_model.artifacts[at[0]].versions[at[1]]
            assert there.contents == source.contents
            assert there.tags >= source.tags
            assert at in targets or there.metadata == source.metadata
            targets[at] = there
            versions = [one for one in versions if one != known]
        assert versions == []
        return {step.action for step in done.steps}

    def land(self, name: str, source: ModelVersion, step: CopyStep, taken: set[int | None]) -> None:
        """A version has come to the other store, where none was left that could stand for it."""
        held = self.away_model.artifacts.get(name)
        left = set() if held is None else set(held.shown()) - taken
        assert held is None or all(held.versions[at].contents != source.contents for at in left)
        metadata = dict(source.metadata) or None
        landed = self.away_model.push(
            name, source.contents, aliases=step.aliases, tags=step.tags, metadata=metadata
        )
        assert landed == (step.target, True)

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

    @rule(client=clients, data=st.data(), race=st.booleans(), impatient=st.booleans())
    def sweep(self, client: str, data: st.DataObject, race: bool, impatient: bool) -> None:
        """What is due is purged for good, and nothing else; also when another client acts in that very moment."""
        due, running, happened = self.model.due(), self.model.open_pushes(), False
        if race:
            client, theirs = "first", Changes(self, data).any()

            def during() -> None:
                nonlocal happened
                happened = True
                judge(attempt(theirs, self.stores["second"]), theirs.expect())

            self.backends["first"].arm(during, effect=False)
        prepared = self.stores[client].plan_gc(expiry_s=0 if impatient else WEEK_S)
        done = self.stores[client].gc(prepared, trust_clock=True)
        self.backends["first"].disarm()
        purged = self.model.sweep(due)
        assert len(done.purged) == len(purged)
        assert happened or sorted(done.purged) == sorted(purged)
        assert done.left_total == 0
        if impatient:
            # One that somebody went on with in that moment is not given up.
            kept = {one.token for one in self.stores[client].distributed_pushes() if happened}
            self.give_up(name for name in running & self.model.open_pushes() if self.tokens[name] not in kept)

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
