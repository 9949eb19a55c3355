"""Every operation on the backend fails, once and for good, before and after it took effect; nothing is lost."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from artifactstore.backend.base import Backend
from artifactstore.backend.memory import MemoryBackend
from artifactstore.errors import (
    AliasMoved,
    ConnectionLost,
    PermissionRefused,
    StorageFull,
    StoreExists,
    Throttled,
)
from artifactstore.store.store import Store
from artifactstore.testing import invariants
from artifactstore.testing.faulty import FaultyBackend
from artifactstore.testing.model import ModelStore
from artifactstore.testing.simulation import World
from tests.faults.enumeration import (
    ARTIFACT,
    CONTENTS,
    FAULTS,
    Fault,
    Prepared,
    Scenario,
    named,
    survive_all,
)


class Push(Scenario):
    """A version that shares a chunk with the one before it."""

    name = "second"

    def act(self, store: Store, folder: Path) -> None:
        version = store.push([self.sources / self.name], ARTIFACT, aliases=["new"], tags=["label"])
        assert (version.number, "new" in version.aliases) == (1, True)

    def expect(self, model: ModelStore) -> None:
        model.push(ARTIFACT, CONTENTS[self.name], aliases=["new"], tags=["label"])


class FirstPush(Push):
    """The first push of a client that replays the log and probes the backend."""

    cache = "another"


class LongPush(Push):
    """A push that registers its packs by pending records; one file is a pack."""

    name = "long"


class EqualPush(Scenario):
    """A push of what is the newest version already, for its alias."""

    def act(self, store: Store, folder: Path) -> None:
        version = store.push([self.sources / "first"], ARTIFACT, aliases=["same"])
        assert version.number == 0

    def expect(self, model: ModelStore) -> None:
        model.push(ARTIFACT, CONTENTS["first"], aliases=["same"])


class Pull(Scenario):
    """A pull by a client that has to replay the log first; the second try goes on where the first one ended."""

    cache = "another"

    def act(self, store: Store, folder: Path) -> None:
        store.pull(ARTIFACT, folder / "pulled", overwrite=True)
        found = folder / "pulled"
        files = {
            path.relative_to(found).as_posix(): path.read_bytes()
            for path in found.rglob("*")
            if path.is_file()
        }
        assert files == CONTENTS["first"]


class AddAlias(Scenario):
    """Moves an alias."""

    def act(self, store: Store, folder: Path) -> None:
        store.add_aliases(ARTIFACT, ["good"])

    def expect(self, model: ModelStore) -> None:
        model.add_aliases(ARTIFACT, 0, ["good"])


class RemoveAlias(Scenario):
    """Removes an alias; after an answer that was lost, the repetition finds nothing to remove."""

    def act(self, store: Store, folder: Path) -> None:
        if any("prod" in version.aliases for version in store.versions(ARTIFACT)):
            store.remove_aliases(ARTIFACT, ["prod"])

    def expect(self, model: ModelStore) -> None:
        model.remove_aliases(ARTIFACT, ["prod"])


class AddTag(Scenario):
    """Puts a label on."""

    def act(self, store: Store, folder: Path) -> None:
        store.add_tags(ARTIFACT, ["checked"])

    def expect(self, model: ModelStore) -> None:
        model.add_tags(ARTIFACT, 0, ["checked"])


class RemoveTag(Scenario):
    """Takes a label off."""

    def act(self, store: Store, folder: Path) -> None:
        store.remove_tags(ARTIFACT, ["raw"])

    def expect(self, model: ModelStore) -> None:
        model.remove_tags(ARTIFACT, 0, ["raw"])


class MoveAlias(Scenario):
    """Moves an alias from where it is; after an answer that was lost the repetition finds it there."""

    def act(self, store: Store, folder: Path) -> None:
        with suppress(AliasMoved):
            store.add_aliases(ARTIFACT, ["moved"], expected=None)

    def expect(self, model: ModelStore) -> None:
        model.add_aliases(ARTIFACT, 0, ["moved"])


class Describe(Scenario):
    """Says something of a version."""

    def act(self, store: Store, folder: Path) -> None:
        store.describe(ARTIFACT, metadata={"rows": 3})

    def expect(self, model: ModelStore) -> None:
        model.describe(ARTIFACT, 0, {"rows": 3})


class Rename(Scenario):
    """Renames the artifact; the old name goes on naming it, so that the repetition finds nothing to do."""

    def act(self, store: Store, folder: Path) -> None:
        store.rename(ARTIFACT, "elsewhere/renamed")

    def expect(self, model: ModelStore) -> None:
        model.rename(ARTIFACT, "elsewhere/renamed")


class Link(Scenario):
    """Makes a collection; the repetition finds the link."""

    def act(self, store: Store, folder: Path) -> None:
        assert store.link(ARTIFACT, "registry/linked", aliases=["production"]).number == 0

    def expect(self, model: ModelStore) -> None:
        model.link(ARTIFACT, 0, "registry/linked", ["production"])


class Delete(Scenario):
    """Hides the version; the repetition of one whose answer was lost finds it hidden."""

    def act(self, store: Store, folder: Path) -> None:
        if not store.deleted_versions(ARTIFACT):
            store.delete([f"{ARTIFACT}:v0"], force=True)

    def expect(self, model: ModelStore) -> None:
        model.delete(ARTIFACT, 0)


class Rebuild(Scenario):
    """Builds the client's index anew from the log."""

    def act(self, store: Store, folder: Path) -> None:
        store.rebuild_index()


class Check(Scenario):
    """Reads everything; a failure is reported or raised, and writes nothing."""

    def act(self, store: Store, folder: Path) -> None:
        report = store.check(read_data=True)
        assert {problem.kind for problem in report.problems} <= OUTAGES


OUTAGES = {error.kind for error in (ConnectionLost, StorageFull, Throttled, PermissionRefused)}
SCENARIOS = [
    FirstPush,
    Push,
    LongPush,
    EqualPush,
    Pull,
    AddAlias,
    RemoveAlias,
    AddTag,
    RemoveTag,
    MoveAlias,
    Describe,
    Rename,
    Link,
    Delete,
    Rebuild,
    Check,
]
# With a state in nearly every record: those that write one, and those that start from one.
SCENARIOS_WITH_STATES = [Push, LongPush, AddAlias, Rename, Link, Pull, Rebuild]


@pytest.mark.parametrize("fault", FAULTS, ids=named)
@pytest.mark.parametrize("kind", SCENARIOS, ids=lambda kind: kind.__name__)
def test_no_failure_loses_anything(
    prepared: Prepared, kind: type[Scenario], fault: Fault, sources: Path, tmp_path: Path
) -> None:
    """Whichever operation fails: check is clean, what was acknowledged is there, a repetition succeeds."""
    survive_all(prepared, kind(sources), fault, tmp_path)


@pytest.mark.parametrize("fault", FAULTS, ids=named)
@pytest.mark.parametrize("kind", SCENARIOS_WITH_STATES, ids=lambda kind: kind.__name__)
def test_no_failure_around_a_state_loses_anything(
    states: None, prepared: Prepared, kind: type[Scenario], fault: Fault, sources: Path, tmp_path: Path
) -> None:
    """The same where records name states: a state is stored before its record, and clients start from it."""
    survive_all(prepared, kind(sources), fault, tmp_path)


@pytest.mark.parametrize("fault", FAULTS, ids=named)
def test_no_failure_spoils_the_making_of_a_store(fault: Fault, tmp_path: Path) -> None:
    """A store that could not be made is made by the next try, or was made: then it opens and is whole."""
    count = len(making(tmp_path / "counted", lambda backend: None).operations)
    assert count
    for at in range(count):
        making(
            tmp_path / f"case-{at}",
            lambda backend, at=at: backend.fail(  # type: ignore[misc]
                at=at, when=fault.when, forever=fault.forever, error=fault.error
            ),
        )


def making(folder: Path, faults: Callable[[FaultyBackend], None]) -> FaultyBackend:
    """Make a store under faults, then make or open it without, and use it."""
    folder.mkdir()
    world = World(folder)
    backends: list[FaultyBackend] = []

    def wrap(inner: Backend) -> Backend:
        backends.append(FaultyBackend(inner))
        faults(backends[0])
        return backends[0]

    with suppress(ConnectionLost, StorageFull, Throttled, PermissionRefused):
        world.create(wrap=wrap).close()
    with suppress(StoreExists):
        world.create().close()
    with world.client() as store:
        store.push([folder / "key"], ARTIFACT)
        invariants.assert_whole(store)
    world.end()
    return backends[0]


def test_a_failed_operation_is_seen(tmp_path: Path) -> None:
    """The harness itself: a fault that is injected is raised, at the operation that was named."""
    backend = FaultyBackend(MemoryBackend("seen"))
    backend.fail(at=1, when="after")
    backend.put("a", b"1")
    with pytest.raises(ConnectionLost):
        backend.put("b", b"2")
    assert backend.get("b", limit_bytes=1) == b"2"
