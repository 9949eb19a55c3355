"""Every operation of a sweep, of new keys, and of whoever meets a sweep fails in its turn; nothing is lost by it."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from artifactstore.errors import ConnectionLost, Deleted, WrongKey
from artifactstore.format.keys import ARGON_MEMORY_KIB_MIN
from artifactstore.format.pack import decode_trailer, trailer_length
from artifactstore.keyring.keyfile import create_key_file
from artifactstore.keyring.request import KeyRequest, request_line
from artifactstore.store.store import Store
from artifactstore.testing import invariants
from artifactstore.testing.model import ModelStore, Shown, shown_by
from artifactstore.testing.simulation import SeededRandomness, SteppedClock, World
from tests.faults.enumeration import ARTIFACT, CONTENTS, FAULTS, Fault, Prepared, Scenario, named, survive_all

LATER = "project/later"


@pytest.fixture
def deleted(prepared: Prepared, sources: Path, tmp_path: Path):
    """A world with two versions, of which the first is deleted and due."""
    world = prepared.world.copy(tmp_path / "deleted")
    model = prepared.model.copy()
    with world.client() as store:
        store.push([sources / "second"], ARTIFACT)
        model.push(ARTIFACT, CONTENTS["second"])
        store.delete([f"{ARTIFACT}:v0"], force=True, now=True)
        model.delete(ARTIFACT, 0)
    yield Prepared(world, model)
    world.end()
    shutil.rmtree(tmp_path / "deleted")


def collect(store: Store) -> None:
    """Sweep until nothing is left to be taken away, not even what attempts that failed have stored."""
    while not (prepared := store.plan_gc(expiry_s=0)).plan.is_empty:
        store.gc(prepared, trust_clock=True)


class Sweep(Scenario):
    """Purges the version; a repetition ends whatever was begun."""

    def act(self, store: Store, folder: Path) -> None:
        collect(store)

    def demand(self, store: Store, allowed: Sequence[Shown]) -> None:
        """Right after the fault too, what is live reads back whole."""
        assert shown_by(store) in allowed
        invariants.assert_whole(store)

    def verify(self, world: World, store: Store) -> None:
        """Nothing that only the purged version held is left, in no object under any name."""
        with pytest.raises(Deleted, match="purged"):
            store.version(f"{ARTIFACT}:v0")
        held: set[bytes] = set()
        for info in world.objects.list("packs/"):
            data = world.objects.get(info.name, limit_bytes=info.size_bytes)
            length, _ = trailer_length(data[-12:], info.name)
            held.update(decode_trailer(data[-length:], info.name).prefixes)
        store.refresh()
        with store.parts.environment.read() as txn:
            registered = {pack.added.name.hex() for pack in store.parts.packs.all(txn)}
        assert {info.name.rpartition("/")[2] for info in world.objects.list("packs/")} == registered
        assert len(list(world.objects.list("keys/"))) == 2


class RotateKeys(Scenario):
    """Gives the store new keys; each repetition begins one generation more."""

    def act(self, store: Store, folder: Path) -> None:
        store.members.rotate()
        assert store.members.generation >= 1


class RemoveMember(Scenario):
    """Takes a colleague's slot away; whose removal took effect unheard is not there to be removed again."""

    def prepare(self, world: World) -> None:
        self.pair = create_key_file(
            world.folder / "colleague", randomness=SeededRandomness(7), clock=SteppedClock()
        )
        with world.client() as store:
            store.members.add(request_line(KeyRequest("ana", self.pair.public)))

    def act(self, store: Store, folder: Path) -> None:
        if any(slot.name == "ana" for slot in store.members.slots()):
            store.members.remove(self.pair.slot_id.hex())

    def verify(self, world: World, store: Store) -> None:
        assert [slot.name for slot in store.members.slots()] == [""]
        shutil.copy(world.folder / "colleague", world.folder / "key")
        with pytest.raises(WrongKey):
            world.open("ana")


class ChangePassphrase(Scenario):
    """Replaces a passphrase by another; the first opens nothing any more, whether the answer was heard or not."""

    def prepare(self, world: World) -> None:
        with world.client() as store:
            store.members.add_passphrase("the first words", "cyd", memory_kib=ARGON_MEMORY_KIB_MIN)

    def act(self, store: Store, folder: Path) -> None:
        store.members.change_passphrase("other words", memory_kib=ARGON_MEMORY_KIB_MIN)

    def verify(self, world: World, store: Store) -> None:
        assert [slot.kind for slot in store.members.slots()] == ["key-file", "passphrase"]
        given = {"url": store._access.url, "cache_dir": world.folder / "typed"}
        with Store.open(passphrase="other words", **given) as opened:
            assert shown_by(opened) == shown_by(store)
        with pytest.raises(WrongKey):
            Store.open(passphrase="the first words", **given)


class Across(Scenario):
    """Something that meets a sweep which another client made meanwhile."""

    def prepare(self, world: World) -> None:
        self._world = world
        self._swept = False

    def sweep_once(self) -> None:
        if not self._swept:
            self._swept = True
            with self._world.client("sweeper") as other:
                collect(other)


class PushAcross(Across):
    """A push of what the sweep has just taken, by a client that knew it."""

    def act(self, store: Store, folder: Path) -> None:
        self.sweep_once()
        assert store.push([self.sources / "first"], LATER).number == 0

    def expect(self, model: ModelStore) -> None:
        model.push(LATER, CONTENTS["first"])


class PullAcross(Across):
    """A pull of what stays, by a client that knew where it lay before."""

    def act(self, store: Store, folder: Path) -> None:
        self.sweep_once()
        store.pull(ARTIFACT, folder / "pulled", overwrite=True)
        assert (folder / "pulled" / "folder" / "b").read_bytes() == CONTENTS["second"]["folder/b"]


@pytest.mark.parametrize("fault", FAULTS, ids=named)
@pytest.mark.parametrize(
    "kind",
    [
        Sweep,
        RotateKeys,
        pytest.param(RemoveMember, marks=pytest.mark.deep),
        PushAcross,
        PullAcross,
    ],
    ids=lambda kind: kind.__name__,
)
def test_no_failure_around_a_sweep_loses_anything(
    deleted: Prepared, kind: type[Scenario], fault: Fault, sources: Path, tmp_path: Path
) -> None:
    """Whichever operation fails: what is live reads back, a repetition succeeds, what was purged is gone."""
    survive_all(deleted, kind(sources), fault, tmp_path)


@pytest.mark.deep
@pytest.mark.parametrize(
    "fault", [Fault("after", False, ConnectionLost), Fault("before", True, ConnectionLost)], ids=named
)
def test_no_failure_leaves_two_passphrases_or_none(
    prepared: Prepared, fault: Fault, sources: Path, tmp_path: Path
) -> None:
    """Whichever operation fails: one passphrase opens the store in the end, and it is the new one."""
    survive_all(prepared, ChangePassphrase(sources), fault, tmp_path)
