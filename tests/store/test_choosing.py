"""Versions and artifacts by what is said of them."""

from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.errors import InvalidName, InvalidQuery, NoSuchProject
from tests.stores import make_store, write_tree

pytestmark = pytest.mark.places("memory")


@pytest.fixture
def store(tmp_path: Path):
    """Versions of three artifacts in two projects."""
    with make_store(tmp_path) as store:
        for number in range(3):
            source = write_tree(tmp_path / str(number), {"file": b"x" * (100 + number)})
            store.push(
                [source], "p/n", tags=["even"] if number % 2 == 0 else [], metadata={"rows": number * 1000}
            )
            store.push([source], "q/model", type="model", metadata={"rows": number})
        store.push([tmp_path / "0"], "p/other", type="model", description="the other")
        store.add_aliases("p/n:v1", ["best"])
        yield store


@pytest.mark.parametrize(
    ("scope", "conditions", "expected"),
    [
        ("p/n", {}, ["p/n:v0", "p/n:v1", "p/n:v2"]),
        ("p/n", {"tags": ["even"]}, ["p/n:v0", "p/n:v2"]),
        ("p/n", {"tags": ["even", "odd"]}, []),
        ("p/n", {"aliases": ["best"]}, ["p/n:v1"]),
        ("p/*", {"aliases": ["latest"]}, ["p/n:v2", "p/other:v0"]),
        ("p/*", {"type": "model"}, ["p/other:v0"]),
        ("*", {"type": "model", "aliases": ["latest"]}, ["p/other:v0", "q/model:v2"]),
        ("*", {"where": "metadata.rows >= 2"}, ["p/n:v1", "p/n:v2", "q/model:v2"]),
        ("*", {"where": "size = 101 and project = 'q'"}, ["q/model:v1"]),
        ("p/n", {"where": "'even' in tags and number > 0", "type": "dataset"}, ["p/n:v2"]),
        ("*", {"where": "description != '' and artifact = 'p/other' and files = 1"}, ["p/other:v0"]),
        ("*", {"where": "created > '2000-01-01' and expires = null and link = null and runs != []"}, []),
        ("*", {"since_ns": 1 << 62}, []),
        ("p/n", {"until_ns": 1 << 62, "where": "name = 'n' and 'best' in aliases"}, ["p/n:v1"]),
    ],
)
def test_versions(store: Store, scope: str, conditions: dict[str, object], expected: list[str]) -> None:
    """Each condition narrows what the one before left."""
    assert [one.qualified_name for one in store.versions(scope, **conditions)] == expected  # type: ignore[arg-type]


def test_digests_and_times_are_fields_too(store: Store) -> None:
    """A version is found by any of them."""
    version = store.version("p/n:v1")
    (found,) = store.versions("p/*", where=f"digest = '{version.digest}'")
    assert found.qualified_name == "p/n:v1"
    since = version.created_ns
    assert version.number in {one.number for one in store.versions("p/n", since_ns=since, until_ns=since + 1)}


def test_artifacts(store: Store) -> None:
    """By type, and by what holds of the newest version."""
    assert [one.artifact for one in store.artifacts("p", type="model")] == ["p/other"]
    assert [one.artifact for one in store.artifacts("p", where="metadata.rows = 2000")] == ["p/n"]
    assert store.artifacts("p", where="metadata.rows = 1000") == []


def test_a_link_is_chosen_by_what_it_is_of(store: Store) -> None:
    """Links are versions, and their metadata is the source's until somebody says otherwise."""
    store.link("p/n:v1", "registry/n")
    (found,) = store.versions("*", where="link = 'p/n:v1' and metadata.rows = 1000")
    assert found.qualified_name == "registry/n:v0"


def test_what_is_refused(store: Store) -> None:
    """Each with an error of its own."""
    with pytest.raises(InvalidQuery, match="character 1: there is no field 'sise'"):
        store.versions("p/n", where="sise > 1")
    with pytest.raises(NoSuchProject):
        store.versions("x/*", where="true")
    with pytest.raises(InvalidName):
        store.versions("p/n", tags=["no tag"])
