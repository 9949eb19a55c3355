"""Every operation of a takedown, of what it refuses, and of retention fails in its turn; nothing is half done."""

from pathlib import Path

import pytest
from blake3 import blake3

from artifactstore import RetentionPolicy
from artifactstore.errors import Denied
from artifactstore.store.store import Store
from artifactstore.testing.model import ModelStore
from artifactstore.testing.simulation import World
from tests.faults.enumeration import ARTIFACT, CONTENTS, FAULTS, Fault, Prepared, Scenario, named, survive_all

BAD = CONTENTS["first"]["a"]
DIGEST = blake3(BAD).hexdigest()


class Takedown(Scenario):
    """Deletes the version, with its alias; a client with a new index has to load it first."""

    cache = "another"

    def act(self, store: Store, folder: Path) -> None:
        store.takedown([DIGEST])

    def expect(self, model: ModelStore) -> None:
        model.takedown(BAD, rewrite=False)

    def verify(self, world: World, store: Store) -> None:
        with pytest.raises(Denied):
            store.push([self.sources / "first"], ARTIFACT)
        assert len(store.denied_files()) == 1


class Rewrite(Takedown):
    """Replaces it by a successor, whose pages are registered first; cut after that, they wait for their expiry."""

    cache = "cache"

    def act(self, store: Store, folder: Path) -> None:
        store.takedown([DIGEST], rewrite=True)

    def expect(self, model: ModelStore) -> None:
        model.takedown(BAD, rewrite=True)

    def verify(self, world: World, store: Store) -> None:
        super().verify(world, store)
        assert store.version(f"{ARTIFACT}:prod").stands_for == 0


class RefusedPush(Scenario):
    """A push of what was taken down: it is refused, and what it had registered is given up."""

    def prepare(self, world: World) -> None:
        with world.client("cache") as store:
            store.takedown([blake3(CONTENTS["long"]["2"]).hexdigest()])

    def act(self, store: Store, folder: Path) -> None:
        with pytest.raises(Denied):
            store.push([self.sources / "long"], ARTIFACT)


class Retain(Scenario):
    """Sets a policy that keeps nothing old, and applies it."""

    def act(self, store: Store, folder: Path) -> None:
        store.set_retention(ARTIFACT, RetentionPolicy(min_age_s=1, aliased=False))
        store._clock.sleep(2)
        store.apply_retention(store.plan_retention(), everything=True)

    def expect(self, model: ModelStore) -> None:
        model.delete(ARTIFACT, 0)


@pytest.mark.parametrize("fault", FAULTS, ids=named)
@pytest.mark.parametrize("kind", [Takedown, Rewrite, RefusedPush, Retain], ids=lambda kind: kind.__name__)
def test_no_failure_loses_anything(
    prepared: Prepared, kind: type[Scenario], fault: Fault, sources: Path, tmp_path: Path
) -> None:
    """Whichever operation fails: check is clean, nothing is half done, a repetition succeeds."""
    survive_all(prepared, kind(sources), fault, tmp_path)
