"""Every operation of a push in parts fails in its turn: none of it is seen or all, and parts are done again."""

from pathlib import Path

import pytest

from artifactstore.store.store import Store
from artifactstore.testing.model import ModelStore
from artifactstore.testing.simulation import World
from tests.faults.enumeration import ARTIFACT, CONTENTS, FAULTS, Fault, Prepared, Scenario, named, survive_all

PARTS = ("second", "long")
WHOLE = {path: data for name in PARTS for path, data in CONTENTS[name].items()}


class Shared(Scenario):
    """What a push in parts is prepared with."""

    finished: tuple[int, ...] = ()
    token = ""

    def prepare(self, world: World) -> None:
        with world.client("cache") as store:
            push = store.distributed(ARTIFACT, shards=len(PARTS), aliases=["whole"])
            for part in self.finished:
                push.part(part).push([self.sources / PARTS[part]])
        self.token = push.token

    def finish(self, store: Store) -> None:
        """Make what is missing, and commit."""
        push = store.join(self.token)
        for part in push.status().missing:
            push.part(part).push([self.sources / PARTS[part]])
        version = push.commit()
        assert {entry.path for entry in version.files()} == set(WHOLE)


class Beginning(Shared):
    """Begins a push; what was begun when the answer was lost stays open, and is given up by its age."""

    def act(self, store: Store, folder: Path) -> None:
        assert store.distributed(ARTIFACT, shards=2).status().missing == (0, 1)


class Part(Shared):
    """Pushes a part, which registers its packs by pending records, beside one that is finished."""

    finished = (0,)

    def act(self, store: Store, folder: Path) -> None:
        store.part(self.token, 1).push([self.sources / PARTS[1]])

    def verify(self, world: World, store: Store) -> None:
        assert store.join(self.token).status().missing == ()
        assert store.join(self.token).status().running == ()
        self.finish(store)


class PartAgain(Shared):
    """Replaces a part by another client, which loads the index first."""

    finished = (0, 1)
    cache = "another"

    def act(self, store: Store, folder: Path) -> None:
        store.part(self.token, 1).push([self.sources / "first"], exclude=["a", "folder"])

    def verify(self, world: World, store: Store) -> None:
        assert store.join(self.token).commit().file_count == len(CONTENTS[PARTS[0]])


class Gathering(Shared):
    """Commits; repeated after an answer that was lost, it names the version that was made."""

    finished = (0, 1)

    def act(self, store: Store, folder: Path) -> None:
        assert store.join(self.token).commit().number == 1

    def expect(self, model: ModelStore) -> None:
        model.push(ARTIFACT, WHOLE, aliases=["whole"])

    def verify(self, world: World, store: Store) -> None:
        assert store.distributed_pushes() == []


class Abandoning(Shared):
    """Gives it up."""

    finished = (0, 1)

    def act(self, store: Store, folder: Path) -> None:
        store.join(self.token).abandon()

    def verify(self, world: World, store: Store) -> None:
        assert store.join(self.token).status().state == "abandoned"


@pytest.mark.parametrize("fault", FAULTS, ids=named)
@pytest.mark.parametrize(
    "kind",
    [
        Gathering,
        # The same code as every push, and as every small record.
        pytest.param(Part, marks=pytest.mark.deep),
        pytest.param(PartAgain, marks=pytest.mark.deep),
        pytest.param(Beginning, marks=pytest.mark.deep),
        pytest.param(Abandoning, marks=pytest.mark.deep),
    ],
    ids=lambda kind: kind.__name__,
)
def test_no_failure_loses_anything(
    prepared: Prepared, kind: type[Shared], fault: Fault, sources: Path, tmp_path: Path
) -> None:
    """Whichever operation fails: check is clean, nothing is half done, a repetition succeeds."""
    survive_all(prepared, kind(sources), fault, tmp_path)
