"""Renames: rows stay where they are, every name goes on answering, and no number ever recurs under any of them."""

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.catalog import names, rows
from artifactstore.catalog.apply import outcome_at
from artifactstore.catalog.generation import Purged, number_after_purged, purged_prefix, purged_version
from artifactstore.catalog.outcome import Outcome
from artifactstore.catalog.purging import purge_versions
from artifactstore.catalog.renaming import NAME_PURGED, NAME_TAKEN, NOTHING_TO_RENAME
from artifactstore.format.operations import Alias, Delete, Rename, Tag
from artifactstore.ids import ArtifactName, parse_artifact_name
from artifactstore.index.environment import Environment
from artifactstore.index.tables import NAMES, TABLES
from tests.catalog.replaying import NAME_KEY, Replay, push


def rename(old: str, new: str) -> Rename:
    if "/" in old:
        return Rename(*old.split("/"), *new.split("/"))
    return Rename(old, None, new, None)


def pushed(replay: Replay, name: str, content: int) -> Outcome:
    project, _, artifact = name.partition("/")
    return replay(push(content, project=project, name=artifact))


def shown(replay: Replay, project: str | None = None) -> list[str]:
    with replay.environment.read() as txn:
        return sorted(str(names.shown_name(txn, name)) for name, _ in rows.artifacts(txn, project))


def purge(replay: Replay, name: str, numbers: Iterable[int]) -> None:
    with replay.environment.write() as txn:
        purge_versions(txn, [(parse_artifact_name(name), one) for one in numbers], NAME_KEY, Purged(9, 9))


def test_every_name_goes_on_answering(replay: Replay) -> None:
    """Pushes, aliases and tags by any name that there ever was go to one artifact."""
    pushed(replay, "p/n", 0)
    assert replay(rename("p/n", "p/m")) == Outcome(None)
    assert replay(rename("p/m", "q/k")) == Outcome(None)
    assert [pushed(replay, name, at).number for at, name in enumerate(["p/n", "p/m", "q/k"])] == [0, 1, 2]
    assert replay(Alias("p", "m", 1, ["prod"])) == Outcome(1)
    assert replay(Tag("p", "n", 2, ["raw"], [])) == Outcome(2)
    for name in ("p/n", "p/m", "q/k"):
        assert replay.aliases(parse_artifact_name(name)) == {"latest": 2, "prod": 1}
    assert (shown(replay), shown(replay, "p"), shown(replay, "q")) == (["q/k"], [], ["q/k"])


def test_what_a_push_said_is_kept(replay: Replay) -> None:
    """The commitment of a version is over the names that its push gave, whatever the artifact is called."""
    pushed(replay, "p/n", 0)
    replay(rename("p/n", "p/m"))
    pushed(replay, "p/m", 1)
    assert [replay.version(number).said for number in (0, 1)] == [None, ("p", "m")]


def test_a_project_is_renamed_with_all_that_comes_later(replay: Replay) -> None:
    """What is pushed under the old name is in the project too, and its artifacts may be renamed with either."""
    pushed(replay, "p/n", 0)
    assert replay(rename("p", "q")) == Outcome(None)
    pushed(replay, "p/late", 0)
    assert shown(replay, "p") == shown(replay, "q") == ["q/late", "q/n"]
    replay(rename("p/late", "q/later"))
    replay(rename("q", "r"))
    assert shown(replay, "p") == ["r/later", "r/n"]
    replay(rename("r", "p"))
    assert shown(replay) == ["p/later", "p/n"]


def test_back_to_a_name_that_it_had(replay: Replay) -> None:
    """An artifact's own earlier names are free for it, and for nobody else."""
    pushed(replay, "p/n", 0)
    pushed(replay, "p/other", 0)
    replay(rename("p/n", "p/m"))
    assert replay(rename("p/other", "p/n")) == Outcome(None, skipped=NAME_TAKEN)
    assert replay(rename("p/m", "p/n")) == Outcome(None)
    assert shown(replay) == ["p/n", "p/other"]
    assert pushed(replay, "p/m", 5) == Outcome(1, created=True)


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (rename("p/absent", "p/x"), NOTHING_TO_RENAME),
        (rename("absent", "x"), NOTHING_TO_RENAME),
        (rename("p/n", "p/other"), NAME_TAKEN),
        (rename("p/n", "q/n"), NAME_TAKEN),
        (rename("p", "q"), NAME_TAKEN),
        (rename("p", "old"), NAME_TAKEN),
        (rename("p/n", "old/n"), NAME_TAKEN),
        (Rename("p", "n", "q", None), NOTHING_TO_RENAME),
    ],
)
def test_what_is_refused_changes_nothing(replay: Replay, operation: Rename, why: str) -> None:
    """A name that leads somewhere is nobody else's, and what is not there has no name."""
    for name in ("p/n", "p/other", "old/n"):
        pushed(replay, name, 0)
    replay(rename("old", "q"))
    before = shown(replay)
    assert replay(operation) == Outcome(None, skipped=why)
    assert shown(replay) == before


def test_what_it_did_is_read_back(replay: Replay) -> None:
    """Whoever committed a rename learns of it from the catalog."""
    pushed(replay, "p/n", 0)
    pushed(replay, "p/taken", 0)
    for operation in (rename("p/n", "p/m"), rename("p/m", "p/taken"), rename("p", "q"), rename("x", "y")):
        done = replay(operation)
        with replay.environment.read() as txn:
            assert bool(outcome_at(txn, operation, replay.slot - 1).skipped) == bool(done.skipped)


def test_numbers_recur_under_no_name(replay: Replay) -> None:
    """After all of an artifact is purged each of its names is free, goes on counting, and no other gets it."""
    for content in range(3):
        pushed(replay, "p/n", content)
    replay(rename("p/n", "p/m"))
    replay(rename("p", "q"))
    replay(Delete("q", "m", [0, 1, 2], force=True, now=True, reason="", requested_by=""))
    purge(replay, "q/m", [0, 1])
    assert shown(replay) == ["q/m"]
    purge(replay, "p/n", [2])
    with replay.environment.read() as txn:
        assert txn.count(NAMES) == 0
        for name in ("p/n", "p/m", "q/n", "q/m"):
            prefix = purged_prefix(NAME_KEY, parse_artifact_name(name))
            assert (number_after_purged(txn, prefix), purged_version(txn, prefix, 1)) == (3, Purged(9, 9))
    pushed(replay, "p/free", 0)
    assert replay(rename("p/free", "q/m")) == Outcome(None, skipped=NAME_PURGED)
    pushed(replay, "s/m", 0)
    assert replay(rename("s", "q")) == Outcome(None, skipped=NAME_PURGED)
    assert [pushed(replay, name, 7).number for name in ("p/n", "q/m", "p/m")] == [3, 3, 3]


def test_a_number_does_not_recur_through_a_renamed_project(replay: Replay) -> None:
    """A project that takes the name of one that was purged counts on where that one ended."""
    pushed(replay, "q/n", 0)
    replay(Delete("q", "n", [0], force=True, now=True, reason="", requested_by=""))
    purge(replay, "q/n", [0])
    pushed(replay, "p/other", 0)
    assert replay(rename("p", "q")) == Outcome(None)
    assert pushed(replay, "q/n", 0) == Outcome(1, created=True)


class Book:
    """Names as a list of artifacts, each with every name that leads to it."""

    def __init__(self) -> None:
        self.artifacts: list[list[tuple[int, str]]] = []
        self.projects: list[list[str]] = []

    def project(self, name: str) -> int | None:
        return next((at for at, called in enumerate(self.projects) if name in called), None)

    def find(self, project: str, name: str) -> int | None:
        at = self.project(project)
        return next((one for one, called in enumerate(self.artifacts) if (at, name) in called), None)

    def push(self, project: str, name: str) -> None:
        if self.find(project, name) is None:
            self.artifacts.append([(self.enter(project), name)])

    def enter(self, project: str) -> int:
        at = self.project(project)
        if at is None:
            self.projects.append([project])
            return len(self.projects) - 1
        return at

    def rename(self, old: tuple[str, str], new: tuple[str, str]) -> None:
        at, taken = self.find(*old), self.find(*new)
        if at is not None and taken in {None, at}:
            name = (self.enter(new[0]), new[1])
            self.artifacts[at] = [one for one in self.artifacts[at] if one != name] + [name]

    def rename_project(self, old: str, new: str) -> None:
        at, taken = self.project(old), self.project(new)
        if at is not None and taken in {None, at}:
            self.projects[at] = [one for one in self.projects[at] if one != new] + [new]

    def shown(self) -> list[str]:
        return sorted(f"{self.projects[called[-1][0]][-1]}/{called[-1][1]}" for called in self.artifacts)


words = st.sampled_from(["a", "b", "c"])
pairs = st.tuples(words, words)
steps = st.one_of(
    st.tuples(st.just("push"), pairs),
    st.tuples(st.just("rename"), pairs, pairs),
    st.tuples(st.just("project"), words, words),
)


@given(st.lists(steps, max_size=12))
def test_names_are_a_book(tmp_path_factory: Any, story: list[Any]) -> None:
    """Whatever is renamed in whatever order: the names that lead to an artifact are those that it had."""
    book = Book()
    with Environment.open(tmp_path_factory.mktemp("index"), tables=TABLES) as environment:
        replay = Replay(environment)
        for step in story:
            if step[0] == "push":
                book.push(*step[1])
                pushed(replay, "/".join(step[1]), replay.slot)
            elif step[0] == "rename":
                book.rename(*step[1:])
                replay(Rename(*step[1], *step[2]))
            else:
                book.rename_project(*step[1:])
                replay(rename(*step[1:]))
        assert shown(replay) == book.shown()
        with environment.read() as txn:
            for project in "abc":
                for name in "abc":
                    at = book.find(project, name)
                    first = names.first_name(txn, ArtifactName(project, name))
                    assert (rows.get_artifact(txn, first) is None) == (at is None)
                    if at is not None:
                        inside, called = book.artifacts[at][-1]
                        expected = f"{book.projects[inside][-1]}/{called}"
                        assert str(names.shown_name(txn, first)) == expected
