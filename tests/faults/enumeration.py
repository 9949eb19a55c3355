"""Failing every operation of a client in its turn: what a scenario is, the faults, and what must hold after each.

The world lies in memory, so that each case begins with a copy of it.
"""

import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from artifactstore.backend.base import Backend
from artifactstore.errors import (
    ArtifactStoreError,
    ConnectionLost,
    PermissionRefused,
    StorageFull,
    Throttled,
)
from artifactstore.store.store import Store
from artifactstore.testing import invariants
from artifactstore.testing.faulty import FaultyBackend, When
from artifactstore.testing.model import ModelStore, Shown, shown_by
from artifactstore.testing.simulation import SeededRandomness, World

ARTIFACT = "project/data"
FILE_BYTES = 3000
CONTENTS = {
    "first": {"a": b"a" * 40, "folder/b": SeededRandomness(1).token(900)},
    "second": {"a": b"a" * 40, "folder/b": SeededRandomness(2).token(900), "c": b""},
    "long": {f"{n}": SeededRandomness(n).token(FILE_BYTES) for n in range(3)},
}


class Fault(NamedTuple):
    """How an operation fails."""

    when: When
    forever: bool
    error: type[ArtifactStoreError]


FAULTS = [
    Fault("before", False, ConnectionLost),
    Fault("after", False, ConnectionLost),
    Fault("before", True, ConnectionLost),
    Fault("after", True, ConnectionLost),
    Fault("before", True, StorageFull),
    # The same places by other names: nothing new is expected of them.
    pytest.param(Fault("before", False, Throttled), marks=pytest.mark.deep),
    pytest.param(Fault("before", False, StorageFull), marks=pytest.mark.deep),
    pytest.param(Fault("after", True, PermissionRefused), marks=pytest.mark.deep),
]


def named(fault: Fault) -> str:
    return f"{fault.when}-{'for-good' if fault.forever else 'once'}-{fault.error.kind}"


class Scenario:
    """Something that a client does: for real, and to the model."""

    # Which cache the client has: "cache" is that of the store's maker, any other one is new.
    cache = "cache"

    def __init__(self, sources: Path) -> None:
        self.sources = sources

    def act(self, store: Store, folder: Path) -> None:
        raise NotImplementedError

    def expect(self, model: ModelStore) -> None:
        """Change the model likewise; most of what is tested changes nothing."""

    def prepare(self, world: World) -> None:
        """What happened to the world before it begins."""

    def demand(self, store: Store, allowed: Sequence[Shown]) -> None:
        """What must hold after a fault, before anything is repeated."""
        assert shown_by(store) in allowed
        invariants.assert_whole(store)

    def verify(self, world: World, store: Store) -> None:
        """What else must hold once it has succeeded."""


class Prepared(NamedTuple):
    """A world with one version in it, and the model of it."""

    world: World
    model: ModelStore


def opened(world: World, cache: str) -> tuple[Store, FaultyBackend]:
    """A client whose backend is to fail from now on, not while it was opened."""
    backends: list[FaultyBackend] = []

    def wrap(inner: Backend) -> Backend:
        backends.append(FaultyBackend(inner))
        return backends[0]

    store = world.open(cache, wrap=wrap)
    backends[0].reset()
    return store, backends[0]


def operations_of(prepared: Prepared, scenario: Scenario, folder: Path) -> int:
    """How many operations it takes when nothing fails."""
    world = prepared.world.copy(folder)
    scenario.prepare(world)
    store, backend = opened(world, scenario.cache)
    with closing(store):
        scenario.act(store, folder)
        count = len(backend.operations)
    world.end()
    shutil.rmtree(folder)
    return count


def survive(prepared: Prepared, scenario: Scenario, fault: Fault, at: int, folder: Path) -> None:
    """Fail one operation, and demand that nothing is lost and a repetition succeeds."""
    world = prepared.world.copy(folder)
    scenario.prepare(world)
    before, model = prepared.model.shown(), prepared.model.copy()
    scenario.expect(model)
    after = model.shown()
    store, backend = opened(world, scenario.cache)
    backend.fail(at=at, when=fault.when, forever=fault.forever, error=fault.error)
    try:
        scenario.act(store, folder)
    except fault.error:
        allowed = [before, after]
    else:
        allowed = [after]
    backend.heal()
    if fault.forever:
        # A new process goes on; otherwise this very client does.
        store.close()
        store = world.open(scenario.cache)
    with closing(store):
        scenario.demand(store, allowed)
        scenario.act(store, folder)
        assert shown_by(store) == after
        invariants.assert_whole(store)
        invariants.assert_numbered(store)
        invariants.assert_packs_precede_records(store._parts)
        with world.client("witness") as witness:
            assert shown_by(witness) == after
            invariants.assert_same_index(store._parts, witness._parts)
        scenario.verify(world, store)
    world.end()
    shutil.rmtree(folder)


def survive_all(prepared: Prepared, scenario: Scenario, fault: Fault, tmp_path: Path) -> None:
    """Fail each operation of a scenario in its turn."""
    count = operations_of(prepared, scenario, tmp_path / "counted")
    assert count
    for at in range(count):
        try:
            survive(prepared, scenario, fault, at, tmp_path / f"case-{at}")
        except Exception as error:
            error.add_note(f"operation {at} of {count} failed {named(fault)}")
            raise
