"""A bucket set back to last week: who has seen more refuses it, sees what is lost, and may go on with what is there."""

import pytest

from artifactstore import AdoptPlan, Names
from artifactstore.errors import Damaged, Deleted, NoSuchVersion, PreconditionFailed, RolledBack
from artifactstore.format.pack import PackType
from artifactstore.format.record import slot_name
from artifactstore.log.merkle import root_of
from tests.maintenance.broken import TREES, Small


@pytest.fixture
def small(small: Small) -> Small:
    """With a record after the last version."""
    small.store.add_aliases("p/a:v0", ["kept"])
    return small


def test_nothing_is_to_be_adopted_of_a_log_that_goes_on(small: Small) -> None:
    """A client that is merely behind has nothing to acknowledge."""
    with small.newcomer("behind") as behind:
        behind.projects()
        small.store.add_aliases("p/a:v1", ["more"])
        plan = behind.plan_adopt()
        assert plan == AdoptPlan(needed=False, slots_known=6, slots_found=6)
        behind.adopt(plan)
    assert small.slots() == 6


def test_a_log_that_was_set_back_is_refused_shown_and_adopted(small: Small) -> None:
    """The record says what was given up; the content of the lost version is stored again when it is pushed again."""
    known = small.store._parts.catalog.position()
    small.set_back(3)
    for operation in (small.store.check, small.store.plan_repair, small.store.projects):
        with pytest.raises(RolledBack) as caught:
            operation()
        assert "artifactstore adopt" in caught.value.next_step
    plan = small.store.plan_adopt()
    assert (plan.needed, plan.slots_known, plan.slots_found) == (True, 5, 3)
    assert plan.lost == Names(("p/b:v0",), 1)
    assert (plan.replaced, plan.come_back) == (Names(), Names())
    assert plan.lost_packs >= 2
    with pytest.raises(RolledBack):
        small.store.projects()
    small.store.adopt(plan)
    newest = next(small.store.log())
    assert (newest.slot, newest.kind) == (3, "adopt")
    assert newest.operations[0] == "adopt a log set back, of which 5 slots were known"
    with pytest.raises(NoSuchVersion):
        small.store.version("p/a:kept")
    report = small.store.check(read_data=True)
    assert report.ok
    assert report.orphans.names.total == plan.lost_packs
    with small.newcomer() as other:
        assert [info.name for info in other.projects()] == ["p"]
        assert [info.artifact for info in other.artifacts("p")] == ["p/a"]
    small.push("p/b:v0")
    assert small.store.check(read_data=True).ok
    assert all(small.restores(small.store, reference) for reference in TREES)
    assert root_of(known.frontier) == plan.root_known


def test_a_log_that_grew_again_is_another_one(small: Small) -> None:
    """Somebody without memory has pushed on: a number may stand for other content now, and nobody forks the log."""
    small.set_back(3)
    with small.newcomer("innocent") as innocent:
        innocent.push([small.folder / "sources" / "p/a:v0"], "p/b")
        innocent.add_aliases("p/a:v0", ["other"])
        innocent.add_aliases("p/a:v0", ["another"])
        slots = innocent._parts.catalog.position().next_slot
        with pytest.raises(RolledBack):
            small.store.add_tags("p/a:v0", ["x"])
        plan = small.store.plan_adopt()
        assert (plan.slots_known, plan.slots_found) == (5, slots)
        assert plan.lost == Names()
        assert plan.replaced == Names(("p/b:v0",), 1)
        small.store.adopt(plan)
        assert innocent.version("p/b:v0").digest == small.store.version("p/b:v0").digest
        assert innocent.check(read_data=True).ok


def test_a_last_record_that_was_altered_can_be_adopted_too(small: Small) -> None:
    """It is void to everybody who has not seen it; whoever has is asked."""
    small.flip(slot_name(4), 90)
    with small.newcomer() as other, pytest.raises(NoSuchVersion):
        other.version("p/a:kept")
    plan = small.store.plan_adopt()
    assert (plan.slots_known, plan.slots_found, plan.lost.total) == (5, 5, 0)
    small.store.adopt(plan)
    assert [entry.kind for entry in small.store.log(limit=2)] == ["adopt", "void"]
    assert small.store.check(read_data=True).ok


def test_a_deleted_version_that_is_back_is_said(small: Small) -> None:
    """Its deletion is among what was lost."""
    small.store.delete(["p/a:v0"], force=True)
    small.set_back(5)
    assert small.store.plan_adopt().come_back == Names(("p/a:v0",), 1)


def test_a_log_with_a_hole_is_not_adopted(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not whole in itself is damage, and no older store."""
    monkeypatch.setattr("artifactstore.log.tail._HOLE_PATIENCE_S", 0.1)
    good = small.get(slot_name(1))
    small.set_back(4)
    small.delete(slot_name(1))
    with pytest.raises(Damaged, match="missing"):
        small.store.plan_adopt()
    small.put(slot_name(1), good)
    assert small.store.plan_adopt().needed


def test_a_plan_that_no_longer_holds_is_refused(small: Small) -> None:
    """The bucket was set back further after it was shown; nothing is forgotten that was not shown."""
    small.set_back(4)
    plan = small.store.plan_adopt()
    small.delete(slot_name(3))
    with pytest.raises(PreconditionFailed):
        small.store.adopt(plan)
    with pytest.raises(RolledBack):
        small.store.projects()
    small.store.adopt(small.store.plan_adopt())
    assert small.store.check(read_data=True).ok


def test_other_clients_adopt_for_themselves(small: Small) -> None:
    """Another client that has seen more refuses the store until its own user has agreed."""
    with small.newcomer("colleague") as colleague:
        colleague.projects()
        small.set_back(3)
        small.store.adopt(small.store.plan_adopt())
        with pytest.raises(RolledBack):
            colleague.projects()
        colleague.adopt(colleague.plan_adopt())
        assert [entry.kind for entry in colleague.log(limit=2)] == ["adopt", "adopt"]
    small.store.projects()
    assert small.store.check(read_data=True).ok


def test_an_adoption_that_is_cut_is_taken_up(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the record and before the memory is given up, the client still knows what it is about."""
    small.set_back(3)
    plan = small.store.plan_adopt()
    with monkeypatch.context() as patch:
        patch.setattr("artifactstore.store.upkeep.with_memory_of", _cut)
        with pytest.raises(KeyboardInterrupt):
            small.store.adopt(plan)
    with pytest.raises(RolledBack):
        small.store.projects()
    again = small.store.plan_adopt()
    assert again.lost == plan.lost
    small.store.adopt(again)
    assert small.store.check(read_data=True).ok
    assert not list(small.folder.glob("cache/adopting-*"))


def _cut(*_: object) -> None:
    raise KeyboardInterrupt


def test_packs_of_the_lost_records_are_orphans_and_no_danger(small: Small) -> None:
    """They are not deduplicated against, though they still lie there."""
    (lost,) = small.packs(PackType.DATA, 3)
    small.set_back(3)
    small.store.adopt(small.store.plan_adopt())
    assert small.exists(lost)
    before = len(small.packs(PackType.DATA))
    small.push("p/b:v0")
    assert len(small.packs(PackType.DATA)) == before + 1


def test_what_was_purged_and_is_back_is_deleted_again(small: Small) -> None:
    """The bucket was set back behind a sweep, to keys of an earlier generation: the client goes on with those."""
    before = small.objects()
    small.store.delete(["p/a:v0"], force=True, now=True)
    assert small.store.gc(trust_clock=True).purged == ("p/a:v0",)
    small.restore(before)
    with pytest.raises(RolledBack):
        small.store.projects()
    plan = small.store.plan_adopt()
    assert plan.purged == Names(("p/a:v0",), 1)
    small.store.adopt(plan)
    with pytest.raises(Deleted):
        small.store.version("p/a:v0")
    assert small.store.members.generation == 0
    assert small.store.check(read_data=True).ok
    assert small.store.gc(trust_clock=True).purged == ("p/a:v0",)
    with small.newcomer() as other:
        with pytest.raises(Deleted, match="purged"):
            other.version("p/a:v0")
        assert small.restores(other, "p/a:v1")
