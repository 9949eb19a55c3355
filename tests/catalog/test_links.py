"""Links: versions of a collection, with numbers and aliases of their own, that hold what others hold."""

import msgspec
import pytest

from artifactstore.catalog.apply import outcome_at
from artifactstore.catalog.generation import Purged
from artifactstore.catalog.links import (
    IS_COLLECTION,
    NO_COLLECTION,
    NO_SOURCE,
    OTHER_TYPE,
    Link,
    links_of,
)
from artifactstore.catalog.outcome import Outcome
from artifactstore.catalog.purging import purge_versions
from artifactstore.format.operations import Delete, Manifest, Push, Rename, Replace, Source
from artifactstore.ids import ArtifactName
from artifactstore.index.tables import LINKS
from tests.catalog.replaying import NAME_KEY, Replay, push

REGISTRY = ArtifactName("registry", "m")


def link(number: int, content: int | None = None, **changes: object) -> Push:
    """Link version `number` of p/n, which holds its own number unless `content` says what."""
    fields = {"project": "registry", "name": "m", "source": Source("p", "n", number)}
    return push(number if content is None else content, **(fields | changes))


def delete(name: ArtifactName, *numbers: int, force: bool = False) -> Delete:
    return Delete(*name, list(numbers), force, now=False, reason="", requested_by="")


def links(replay: Replay, name: ArtifactName, number: int) -> list[Link]:
    with replay.environment.read() as txn:
        return list(links_of(txn, name, number))


@pytest.fixture
def linked(replay: Replay) -> Replay:
    """Three versions of p/n, of which the second is linked, then the first."""
    for content in range(3):
        replay(push(content, description=f"no. {content}", metadata={"at": content}, tags=["own"]))
    assert replay(link(1, aliases=["production"])) == Outcome(0, created=True)
    assert replay(link(0, metadata={"other": 1}, tags=["picked"])) == Outcome(1, created=True)
    return replay


def test_a_link_is_a_version_of_its_own(linked: Replay) -> None:
    """It has the source's manifest and, where nothing else is said, what is said of it; tags are its own."""
    first, second = linked.version(0, REGISTRY), linked.version(1, REGISTRY)
    assert first.manifest == linked.version(1).manifest
    assert (first.description, first.metadata, first.tags) == ("no. 1", {"at": 1}, [])
    assert (second.description, second.metadata, second.tags) == ("no. 0", {"other": 1}, ["picked"])
    assert (first.source, linked.version(1).source) == (Source("p", "n", 1), None)
    assert linked.aliases(REGISTRY) == {"latest": 1, "production": 0}
    assert linked.artifact(REGISTRY).collection
    assert not linked.artifact().collection
    assert links(linked, ArtifactName("p", "n"), 1) == [Link(REGISTRY, 0)]


def test_linking_again_moves_aliases_only(linked: Replay) -> None:
    """One version has one link in a collection; what is said of it anew is an edit."""
    assert linked(link(1, aliases=["staging"], tags=["again"])) == Outcome(0, created=False)
    assert linked(link(0, aliases=["production"])) == Outcome(1, created=False)
    assert linked.aliases(REGISTRY) == {"latest": 1, "production": 1, "staging": 0}
    assert (linked.artifact(REGISTRY).versions, linked.version(0, REGISTRY).tags) == (2, ["again"])
    with linked.environment.read() as txn:
        assert outcome_at(txn, link(0), linked.slot - 1) == Outcome(1, created=False)
        assert outcome_at(txn, link(0), 4) == Outcome(1, created=True)


@pytest.mark.parametrize(
    ("operation", "why"),
    [
        (link(7), NO_SOURCE),
        (link(1, content=2), NO_SOURCE),
        (link(1, source=Source("registry", "m", 0)), NO_SOURCE),
        (link(1, project="p"), NO_COLLECTION),
        (link(1, type="model"), OTHER_TYPE),
        (link(2, source=Source("p", "model", 0), type="model"), OTHER_TYPE),
        (push(9, project="registry", name="m"), IS_COLLECTION),
    ],
)
def test_what_is_refused(linked: Replay, operation: Push, why: str) -> None:
    """A collection takes links of one type, of versions that are there; nothing else takes links."""
    linked(push(0, name="m"))
    linked(push(2, name="model", type="model"))
    before = linked.artifact(REGISTRY)
    assert linked(operation) == Outcome(None, skipped=why)
    assert linked.artifact(REGISTRY) == before


def test_what_is_linked_is_not_deleted_by_the_way(linked: Replay) -> None:
    """It takes force, or the link goes first."""
    refused = linked(delete(ArtifactName("p", "n"), 0, 1))
    assert "registry/m:v1 is a link" in refused.skipped
    assert linked.version(0).deleted is None
    assert linked(delete(REGISTRY, 1)) == Outcome(None)
    assert linked(delete(ArtifactName("p", "n"), 0)) == Outcome(None)
    assert linked(delete(ArtifactName("p", "n"), 1, force=True)) == Outcome(None)
    assert linked.version(0, REGISTRY).deleted is None
    assert linked(link(1)) == Outcome(None, skipped=NO_SOURCE)


def test_names_of_both_sides_may_change(linked: Replay) -> None:
    """A link knows its source by the first name, so renames don't part them."""
    linked(Rename("p", "n", "p", "now"))
    linked(Rename("registry", None, "shelf", None))
    again = link(2, project="shelf", source=Source("p", "now", 2))
    assert linked(again) == Outcome(2, created=True)
    assert linked.version(2, REGISTRY).source == Source("p", "n", 2)
    assert linked(msgspec.structs.replace(again, project="registry")) == Outcome(2, created=False)
    assert links(linked, ArtifactName("p", "now"), 2) == [Link(REGISTRY, 2)]
    assert "shelf/m:v2" in linked(delete(ArtifactName("p", "now"), 2)).skipped


def test_a_successor_is_a_link_too(linked: Replay) -> None:
    """A takedown treats a link as any version; what stands in its place is still of that source."""
    manifest = Manifest(bytes(32), 0, bytes([99]) * 32, 5, 1, bytes(32))
    linked(Replace(*REGISTRY, 0, manifest, 0, 0, [], bytes(32), "", ""))
    assert linked.version(2, REGISTRY).source == Source("p", "n", 1)
    assert links(linked, ArtifactName("p", "n"), 1) == [Link(REGISTRY, 2)]
    assert linked.aliases(REGISTRY)["production"] == 2


def test_a_purged_link_leaves_nothing(linked: Replay) -> None:
    """Its row is gone from both sides, and its number is not given again."""
    linked(delete(REGISTRY, 0, 1, force=True))
    with linked.environment.write() as txn:
        purge_versions(txn, [(REGISTRY, 0), (REGISTRY, 1)], NAME_KEY, Purged(9, 9))
        assert txn.count(LINKS) == 0
    assert linked(link(1)) == Outcome(2, created=True)
