"""Every operation of adding members, repairing and adopting fails; nothing is lost, and nobody is shut out."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.errors import RolledBack
from artifactstore.format.pack import PackType
from artifactstore.format.record import slot_name
from artifactstore.keyring.keyfile import create_key_file
from artifactstore.keyring.request import KeyRequest, request_line
from artifactstore.pack.names import pack_name
from artifactstore.testing.model import Shown, shown_by
from artifactstore.testing.simulation import SeededRandomness, SteppedClock, World
from tests.faults.enumeration import ARTIFACT, FAULTS, Fault, Prepared, Scenario, named, survive_all


class AddMember(Scenario):
    """Adds a colleague; after an answer that was lost, the repetition finds the key there."""

    read_only = False

    def __init__(self, sources: Path) -> None:
        super().__init__(sources)
        pair = create_key_file(
            sources / f"colleague-{self.read_only}", randomness=SeededRandomness(7), clock=SteppedClock()
        )
        self.line = request_line(KeyRequest("ana", pair.public))

    def act(self, store: Store, folder: Path) -> None:
        if all(slot.name != "ana" for slot in store.members.slots()):
            store.members.add(self.line, read_only=self.read_only)

    def verify(self, world: World, store: Store) -> None:
        (_, slot) = store.members.slots()
        assert (slot.name, slot.read_only) == ("ana", self.read_only)
        own = self.sources / f"colleague-{self.read_only}"
        (world.folder / "key").write_bytes(own.read_bytes())
        with world.client("ana") as colleague:
            assert shown_by(colleague) == shown_by(store)


class AddReader(AddMember):
    """Adds a colleague who may only read."""

    read_only = True


class AddRecovery(Scenario):
    """Adds a recovery phrase; whose answer was lost leaves a slot whose phrase nobody has, and another is added."""

    def act(self, store: Store, folder: Path) -> None:
        slot, self.phrase = store.members.add_recovery()
        assert slot.kind == "recovery"

    def verify(self, world: World, store: Store) -> None:
        assert len(store.members.slots()) in {2, 3}
        cache = world.folder / "restored"
        with Store.open(store._access.url, passphrase=self.phrase, cache_dir=cache) as restored:
            assert shown_by(restored) == shown_by(store)


class Repair(Scenario):
    """Mends a store whose pack of data lost its end; an outage is no damage."""

    type = PackType.DATA

    def prepare(self, world: World) -> None:
        with world.client() as store:
            self.broken = packs_of(store, self.type)[-1]
        whole = world.objects.get(self.broken, limit_bytes=world.objects.size(self.broken))
        world.objects.put(self.broken, whole[:-8] + bytes(8))

    def act(self, store: Store, folder: Path) -> None:
        plan = store.plan_repair(read_data=True)
        assert not plan.refused
        if not plan.is_empty:
            store.repair(plan)

    def demand(self, store: Store, allowed: Sequence[Shown]) -> None:
        assert shown_by(store) in allowed
        report = store.check(read_data=True)
        assert report.versions_hurt == 0
        assert {pack.object for pack in report.diagnosis.broken} <= {self.broken}

    def verify(self, world: World, store: Store) -> None:
        assert store.check().packs_out_of_use == 1


class RepairState(Repair):
    """Mends a store whose newest state is unreadable, so that newcomers can't start; the witness is one."""

    type = PackType.STATE


class Adopt(Scenario):
    """Goes on with a store that was set back by a version."""

    def prepare(self, world: World) -> None:
        with world.client() as store:
            store.push([self.sources / "second"], ARTIFACT)
            newest = store._parts.catalog.position().next_slot - 1
        world.objects.delete(slot_name(newest))

    def act(self, store: Store, folder: Path) -> None:
        store.adopt(store.plan_adopt())

    def demand(self, store: Store, allowed: Sequence[Shown]) -> None:
        try:
            super().demand(store, allowed)
        except RolledBack:
            assert store.plan_adopt().lost.shown == (f"{ARTIFACT}:v1",)


def packs_of(store: Store, kind: PackType) -> list[str]:
    """Names of the packs of one type, oldest first."""
    with store._parts.environment.read() as txn:
        return [pack_name(pack.added.name) for pack in store._parts.packs.all(txn) if pack.added.type == kind]


@pytest.mark.parametrize("fault", FAULTS, ids=named)
@pytest.mark.parametrize(
    "kind", [AddMember, AddReader, AddRecovery, Repair, Adopt], ids=lambda kind: kind.__name__
)
def test_no_failure_of_care_loses_anything(
    prepared: Prepared, kind: type[Scenario], fault: Fault, sources: Path, tmp_path: Path
) -> None:
    """Whichever operation fails: what was there is there, a repetition succeeds, and members get in."""
    survive_all(prepared, kind(sources), fault, tmp_path)


@pytest.mark.parametrize("fault", FAULTS, ids=named)
@pytest.mark.parametrize("kind", [AddMember, RepairState], ids=lambda kind: kind.__name__)
def test_no_failure_of_care_around_a_state_loses_anything(
    states: None, prepared: Prepared, kind: type[Scenario], fault: Fault, sources: Path, tmp_path: Path
) -> None:
    """The same where records name states."""
    survive_all(prepared, kind(sources), fault, tmp_path)
