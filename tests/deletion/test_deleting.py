"""Deleting hides at once and can be taken back; whatever is meant has to be said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artifactstore import Store
from artifactstore.client.version import Version
from artifactstore.errors import (
    Deleted,
    InvalidMetadata,
    InvalidReference,
    NoSuchArtifact,
    NoSuchProject,
    NoSuchVersion,
    PreconditionFailed,
)
from artifactstore.format.operations import Operation
from tests.stores import make_store, read_tree, reopened, write_tree

pytestmark = pytest.mark.places("memory", "s3")


@pytest.fixture
def store(tmp_path: Path):
    """Three versions of `p/n`, one of `p/m`, one of `q/n`."""
    with make_store(tmp_path) as store:
        for name, text in (("p/n", "0"), ("p/n", "1"), ("p/n", "2"), ("p/m", "0"), ("q/n", "1")):
            source = write_tree(tmp_path / f"{name}-{text}", {"file": text.encode() * 100})
            store.push([source], name)
        yield store


WRITES: dict[str, Callable[[Store], object]] = {
    "alias": lambda store: store.add_aliases("p/n:v1", ["mine"]),
    "tag": lambda store: store.add_tags("p/n:v1", ["mine"]),
    "ttl": lambda store: store.set_ttl("p/n:v1", 60),
}


@pytest.mark.parametrize("write", WRITES)
def test_what_is_deleted_before_it_is_named_is_said_to_be_unchanged(
    tmp_path: Path, store: Store, write: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody deletes the version after it was looked up: the operation is skipped, and its writer is told so."""
    commit = store._commit

    def late(*arguments: Any) -> str:
        with reopened(tmp_path, store, cache="another") as other:
            other.delete(["p/n:v1"])
        return commit(*arguments)

    monkeypatch.setattr(store, "_commit", late)
    with pytest.raises(NoSuchArtifact, match="nothing was changed"):
        WRITES[write](store)
    monkeypatch.undo()
    assert references(store.undelete(["p/n:v1"])) == ["p/n:v1"]
    shown = store.version("p/n:v1")
    assert (shown.aliases, shown.tags, shown.expires_ns) == ((), (), None)


def references(versions: list[Version]) -> list[str]:
    return [version.qualified_name for version in versions]


def test_a_deleted_version_is_gone_from_every_answer(tmp_path: Path, store: Store) -> None:
    """By number, digest, listing and pull, for this client and for another; its error says how to bring it back."""
    digest = store.version("p/n:v2").digest
    assert references(store.delete(["p/n:v2"])) == ["p/n:v2"]
    with reopened(tmp_path, store, cache="another") as other:
        for client in (store, other):
            assert references(client.versions("p/n")) == ["p/n:v0", "p/n:v1"]
            assert client.version("p/n").number == 1
            for name in ("p/n:v2", f"p/n@{digest}"):
                with pytest.raises(Deleted) as caught:
                    client.version(name)
                assert "undelete p/n:v2" in caught.value.next_step
            with pytest.raises(Deleted):
                client.pull("p/n:v2", tmp_path / "out")
            assert client.artifacts("p")[1].versions == 2


def test_undelete_gives_every_byte_back(tmp_path: Path, store: Store) -> None:
    """What came back is pulled, `latest` follows it, and the check is clean before and after."""
    store.delete(["p/n:v2"])
    assert store.check(read_data=True).ok
    (back,) = store.undelete(["p/n:v2"])
    assert (back.aliases, back.deleted_ns) == (("latest",), None)
    store.pull("p/n", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"file": b"2" * 100}
    assert store.check(read_data=True).ok


def test_all_of_an_artifact_and_of_a_project(store: Store) -> None:
    """A star means all; what is left of a project with nothing in it is not listed, and comes back whole."""
    assert references(store.delete(["p/n:*"])) == ["p/n:v0", "p/n:v1", "p/n:v2"]
    assert [artifact.artifact for artifact in store.artifacts("p")] == ["p/m"]
    assert references(store.delete(["p/*"])) == ["p/m:v0"]
    assert [project.name for project in store.projects()] == ["q"]
    with pytest.raises(NoSuchProject):
        store.artifacts("p")
    assert references(store.undelete(["p/*"])) == ["p/m:v0", "p/n:v0", "p/n:v1", "p/n:v2"]
    assert [project.name for project in store.projects()] == ["p", "q"]


def test_selections_that_overlap_count_once(store: Store) -> None:
    """A version that is named twice is deleted once."""
    plan = store.plan_delete(["p/n:v0", "p/*", "p/n:*"])
    assert references(list(plan.versions)) == ["p/m:v0", "p/n:v0", "p/n:v1", "p/n:v2"]
    assert plan.logical_bytes == 400
    assert references(store.versions("p/n")) == ["p/n:v0", "p/n:v1", "p/n:v2"]


def test_an_alias_is_in_the_way(store: Store) -> None:
    """The refusal names it; forced, it goes with the version."""
    store.add_aliases("p/n:v0", ["prod"])
    with pytest.raises(PreconditionFailed, match="p/n:prod"):
        store.delete(["p/n:*"])
    assert store.plan_delete(["p/n:*"]).aliases == ("p/n:prod",)
    store.delete(["p/n:prod"], force=True)
    with pytest.raises(NoSuchVersion):
        store.version("p/n:prod")


def test_an_alias_that_moves_meanwhile_is_in_the_way_too(tmp_path: Path, store: Store) -> None:
    """The precondition is held at the slot of the record, not at the time of the question."""
    with reopened(tmp_path, store, cache="another") as other:
        plan = store.plan_delete
        patched = pytest.MonkeyPatch()
        patched.setattr(
            store, "plan_delete", lambda refs: (plan(refs), other.add_aliases("p/n:v0", ["late"]))[0]
        )
        with pytest.raises(PreconditionFailed, match="'late' points at v0"):
            store.delete(["p/n:v0"])
        patched.undo()
    assert store.version("p/n:late").number == 0


@pytest.mark.parametrize(
    ("reference", "error"),
    [
        ("p/n", InvalidReference),
        ("p", InvalidReference),
        ("*", InvalidReference),
        ("p/n:v9", NoSuchVersion),
        ("p/x:*", NoSuchArtifact),
        ("x/*", NoSuchProject),
    ],
)
def test_what_is_not_there_or_not_said(store: Store, reference: str, error: type[Exception]) -> None:
    """A command that destroys has no default, and what it does not find is an error of its own."""
    with pytest.raises(error):
        store.delete([reference])
    with pytest.raises(error):
        store.undelete([reference])


def test_twice(store: Store) -> None:
    """What is deleted can't be deleted, and what is not can't be brought back."""
    with pytest.raises(NoSuchVersion, match="no deleted version at p/n:v0"):
        store.undelete(["p/n:v0"])
    store.delete(["p/n:v0"])
    with pytest.raises(Deleted):
        store.delete(["p/n:v0"])


def test_a_reason_has_a_bound(store: Store) -> None:
    """It is refused before anything is deleted."""
    with pytest.raises(InvalidMetadata):
        store.delete(["p/n:v0"], reason="x" * 5000)
    assert store.version("p/n:v0").number == 0


def test_the_log_tells(store: Store) -> None:
    """Which versions, in the words of the commands."""
    store.delete(["p/n:*"])
    store.undelete(["p/n:v1"])
    words = [operation for entry in store.log(limit=2) for operation in entry.operations]
    assert words == ["undelete p/n v1", "delete p/n v0 v1 v2"]


@pytest.mark.parametrize("act", ["add_aliases", "add_tags", "undelete"])
def test_what_was_done_is_told_although_it_was_deleted_at_once(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch, act: str
) -> None:
    """Somebody deletes the version right behind the record; whoever wrote that is told of it, and of no error."""
    if act == "undelete":
        store.delete(["p/n:v1"])
    commit = store._commit
    with reopened(tmp_path, store, cache="another") as other:

        def overtaken(operations: list[Operation], *more: object) -> str:
            said = commit(operations, *more)
            other.delete(["p/n:v1"], force=True)
            return said

        monkeypatch.setattr(store, "_commit", overtaken)
        if act == "undelete":
            assert references(store.undelete(["p/n:v1"])) == ["p/n:v1"]
        else:
            made = getattr(store, act)("p/n:v1", ["good"])
            assert "good" in (made.aliases if act == "add_aliases" else made.tags)
    with pytest.raises(Deleted):
        store.version("p/n:v1")
