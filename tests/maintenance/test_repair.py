"""For each class of damage: what check says of it, what repair does about it, and that nothing else breaks."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from artifactstore import CheckReport, Problem, RepairPlan, RepairSummary, Store
from artifactstore.errors import Damaged, PreconditionFailed
from artifactstore.format.operations import Damage
from artifactstore.format.pack import PackType
from artifactstore.format.record import slot_name
from artifactstore.index.tables import damaged_packs
from tests.maintenance.broken import DESCRIPTION, TREES, Small
from tests.stores import noise


def only(report: CheckReport) -> Problem:
    (problem,) = report.problems
    return problem


def mended(store: Store) -> tuple[RepairPlan, RepairSummary]:
    plan = store.plan_repair(read_data=True)
    assert not plan.is_empty
    return plan, store.repair(plan)


def whole(small: Small, *, but: tuple[str, ...] = ()) -> None:
    """Every version comes back, for this client and for one without memory; those named are damaged, no worse."""
    with small.newcomer(f"newcomer-{len(list(small.folder.iterdir()))}") as other:
        for client in (small.store, other):
            for reference in TREES:
                if reference in but:
                    with pytest.raises(Damaged):
                        small.restores(client, reference)
                else:
                    assert small.restores(client, reference)


def first_data(small: Small) -> str:
    """The pack with the files of the first version, one of which the second has too."""
    (name,) = small.packs(PackType.DATA, 1)
    return name


# --- packs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["missing", "cut", "swapped", "another's"])
def test_a_lost_pack_is_taken_out_and_healed_by_pushing_again(tmp_path: Path, small: Small, how: str) -> None:
    """Check says which versions and files miss it; after the repair a push stores it anew, and all is whole."""
    name = first_data(small)
    if how == "missing":
        small.delete(name)
    elif how == "cut":
        small.cut(name)
    elif how == "swapped":
        small.put(name, small.get(small.packs(PackType.DATA, 3)[0]))
    else:
        (tmp_path / "other").mkdir()
        stranger = Small(tmp_path / "other")
        small.put(name, stranger.get(first_data(stranger)))
        stranger.store.close()
    problem = only(small.store.check())
    assert (problem.kind, problem.object, problem.part) == ("damaged", name, "pack")
    assert problem.versions.shown == ("p/a:v0", "p/a:v1")
    lost = {"p/a:v0 docs/readme", "p/a:v0 one", "p/a:v0 shared", "p/a:v1 docs/readme", "p/a:v1 shared"}
    if how == "cut":  # what stands in the first half of it can still be read
        assert set(problem.paths.shown) <= lost
    else:
        assert set(problem.paths.shown) == lost
    assert problem.next_step.startswith("artifactstore repair; then push")
    plan, done = mended(small.store)
    assert [pack.object for pack in plan.take_out] == [name]
    assert (done.taken_out, done.problems_left) == (1, 1)
    assert small.store.check().problems[0].next_step.startswith("push the files")
    whole(small, but=("p/a:v0", "p/a:v1"))
    small.push("p/a:v0", "elsewhere/again")
    assert small.store.check(read_data=True).ok
    assert small.store.check().packs_out_of_use == 1
    whole(small)


def test_two_packs_in_each_others_place_are_both_healed(small: Small) -> None:
    """Of swapped packs nothing can be read, for the bytes are under another pack's key."""
    small.swap(first_data(small), small.packs(PackType.DATA, 3)[0])
    report = small.store.check()
    assert {problem.object for problem in report.problems} == {
        first_data(small),
        small.packs(PackType.DATA, 3)[0],
    }
    assert report.versions_hurt == 3
    mended(small.store)
    for reference in TREES:
        small.push(reference, "again/x")
    assert small.store.check(read_data=True).ok
    whole(small)


def test_of_a_flipped_bit_only_its_own_blob_is_lost(small: Small) -> None:
    """The other blobs are read, verified and stored in a new pack; what hung on the one is said by path."""
    name = first_data(small)
    small.flip(name, 60)
    assert small.store.check().ok  # the end of the pack is whole
    report = small.store.check(read_data=True)
    problem = only(report)
    assert (problem.object, problem.versions.total) == (name, 2)
    # Which blob comes first in a pack is up to the threads; it is never all there is.
    assert 0 < problem.paths.total < sum(len(list(one.files())) for one in small.store.versions("p/a"))
    plan, done = mended(small.store)
    (broken,) = plan.save
    assert broken.survivors > 0
    assert done.saved_bytes > 100_000
    assert done.packs_added == 1
    # What was saved does not need the broken pack any more.
    small.delete(name)
    after = only(small.store.check(read_data=True))
    assert after.paths == problem.paths
    small.push("p/a:v0", "p/again")
    assert small.store.check(read_data=True).ok
    whole(small)


def test_a_pack_that_lost_its_end_alone_loses_nothing(small: Small) -> None:
    """The index still knows where its blobs are; all of them are stored anew, and nobody misses anything."""
    name = first_data(small)
    small.put(name, small.get(name)[:-20])
    problem = only(small.store.check())
    assert problem.versions.total == 0
    assert problem.next_step == "artifactstore repair"
    _, done = mended(small.store)
    assert (done.problems_left, done.packs_added) == (0, 1)
    small.delete(name)
    assert small.store.check(read_data=True).ok
    whole(small)


def test_a_pack_with_bytes_put_behind_it_loses_nothing(small: Small) -> None:
    """It is not what its name says, which a listing tells; all in it is stored anew, and nobody misses anything."""
    name = first_data(small)
    small.put(name, small.get(name) + b"more")
    problem = only(small.store.check())
    assert (problem.object, problem.versions.total) == (name, 0)
    assert problem.next_step == "artifactstore repair"
    _, done = mended(small.store)
    assert (done.problems_left, done.packs_added) == (0, 1)
    assert small.store.check(read_data=True).ok
    whole(small)


def test_a_chunk_with_another_location_is_not_lost(small: Small) -> None:
    """What lies in a second pack is found there, and neither stored anew nor missed by anybody."""
    name = first_data(small)
    small.store._parts.committer.commit([Damage([bytes.fromhex(name[-64:])], [])])
    small.push("p/a:v0", "p/copy")
    small.store._parts.committer.commit([Damage([], [bytes.fromhex(name[-64:])])])
    small.delete(name)
    assert only(small.store.check()).versions.total == 0
    whole(small)
    plan, done = mended(small.store)
    assert (plan.save, done.saved_bytes, done.problems_left) == ((), 0, 0)
    assert small.store.check(read_data=True).ok


def test_a_pack_that_is_put_back_is_taken_back(small: Small) -> None:
    """It is read whole first; then it is deduplicated against again."""
    name = first_data(small)
    data = small.get(name)
    small.delete(name)
    mended(small.store)
    small.put(name, data)
    report = small.store.check()
    assert report.ok
    assert report.packs_out_of_use == 0
    plan, done = mended(small.store)
    assert (plan.take_out, done.taken_back) == ((), 1)
    with small.store._parts.environment.read() as txn:
        assert damaged_packs(txn) == {}
    before = len(small.packs(PackType.DATA))
    small.push("p/a:v0", "p/again")
    assert len(small.packs(PackType.DATA)) == before
    whole(small)


def test_taking_back_is_refused_when_it_was_called_damaged_meanwhile(small: Small) -> None:
    """Another client's finding is newer than this plan."""
    name = first_data(small)
    sha256 = bytes.fromhex(name[-64:])
    small.store._parts.committer.commit([Damage([sha256], [])])
    plan = small.store.plan_repair()
    assert [pack for pack, _ in plan.take_back] == [sha256]
    with small.newcomer() as other:
        other.projects()
        other._parts.committer.commit([Damage([sha256], [])])
    with pytest.raises(PreconditionFailed):
        small.store.repair(plan)
    with small.store._parts.environment.read() as txn:
        assert list(damaged_packs(txn)) == [sha256]


@pytest.mark.parametrize("how", ["missing", "flipped"])
def test_lost_pages_are_healed_by_pushing_the_version_again(small: Small, how: str) -> None:
    """Without its page a version's paths are not even known; the pages of the same files are the same."""
    (name,) = small.packs(PackType.PAGE, 2)
    if how == "missing":
        small.delete(name)
    else:
        small.flip(name, 60)
    problem = only(small.store.check())
    assert (problem.object, problem.versions.shown) == (name, ("p/a:v1",))
    assert "all paths" in problem.paths.shown[0]
    mended(small.store)
    whole(small, but=("p/a:v1",))
    small.push("p/a:v1", "p/again")
    assert small.store.check(read_data=True).ok
    whole(small)


def test_a_repair_that_is_cut_is_taken_up(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first record, before what survives is stored anew: the next plan still holds that."""
    name = first_data(small)
    small.put(name, small.get(name)[:-20])
    plan = small.store.plan_repair()
    with monkeypatch.context() as patch:
        patch.setattr("artifactstore.maintenance.repair.blobs_of", _cut)
        with pytest.raises(KeyboardInterrupt):
            small.store.repair(plan)
    assert only(small.store.check()).next_step == "artifactstore repair"
    again, done = mended(small.store)
    assert (again.take_out, len(again.save), done.packs_added) == ((), 1, 1)
    small.delete(name)
    assert small.store.check(read_data=True).ok
    whole(small)


def _cut(*_: object) -> None:
    raise KeyboardInterrupt


# --- states and index packs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", [Small.delete, Small.cut, lambda small, name: small.flip(name, 60)])
@pytest.mark.parametrize("kind", [PackType.STATE, PackType.INDEX])
@pytest.mark.parametrize("by", ["a client with memory", "a newcomer"])
def test_what_newcomers_start_from_is_made_anew(
    small: Small, kind: PackType, change: Callable[[Small, str], None], by: str
) -> None:
    """Without a state a newcomer is told to repair; who does so needs no memory: log and footers hold it all."""
    name = small.packs(kind)[-1]
    change(small, name)
    with small.newcomer("unlucky") as unlucky:
        if kind is PackType.STATE:
            with pytest.raises(Damaged) as caught:
                unlucky.projects()
            assert caught.value.facts["object"] == name
        else:
            assert unlucky.info().chunks
            assert name in unlucky.notices[-1]
    repairer = small.store if by == "a client with memory" else small.newcomer("repairer")
    problem = only(repairer.check(read_data=True))
    assert (problem.object, problem.part) == (name, "state" if kind is PackType.STATE else "index-pack")
    assert (problem.versions.total, problem.next_step) == (0, "artifactstore repair")
    _, done = mended(repairer)
    assert done.new_state
    assert done.problems_left == 0
    assert repairer.check(read_data=True).ok
    small.store.projects()
    whole(small)
    small.push("p/b:v0", "p/more")
    assert small.store.check(read_data=True).ok
    if repairer is not small.store:
        repairer.close()


def test_writers_go_on_while_an_index_pack_is_unreadable(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left out of merging until it is made anew."""
    monkeypatch.setattr("artifactstore.catalog.state._TIER_WIDTH", 2)
    (name,) = small.packs(PackType.INDEX)
    small.delete(name)
    states = len(small.packs(PackType.STATE))
    for number in range(8):
        new = {"new": io.BytesIO(noise(1000, number))}
        small.store.push([], "p/many", streams=new, description=DESCRIPTION)
    assert len(small.packs(PackType.STATE)) > states
    mended(small.store)
    assert small.store.check(read_data=True).ok
    whole(small)


# --- the log -------------------------------------------------------------------------------------------------------


def test_rubbish_in_a_slot_is_void_and_no_damage(small: Small) -> None:
    """A stranger's object at the head: the log goes on behind it, and there is nothing to repair."""
    small.put(slot_name(small.slots()), b"rubbish")
    small.store.add_tags("p/a:v0", ["after"])
    assert small.store.check(read_data=True).ok
    assert small.store.plan_repair().is_empty
    whole(small)


@pytest.mark.parametrize("how", ["missing", "altered", "another's"])
def test_a_record_in_the_middle_stops_all_that_read_it(small: Small, how: str) -> None:
    """Check says which versions it made, repair writes nothing, and putting it back is the way out."""
    name = slot_name(2)
    good = small.get(name)
    if how == "missing":
        small.delete(name)
    elif how == "altered":
        small.flip(name, 90)
    else:
        small.put(name, small.get(slot_name(1)))
    problem = only(small.store.check())
    assert problem.part == "log"
    assert problem.object == (name if how == "missing" else slot_name(3))
    assert problem.versions.shown == ("p/a:v1",)
    assert "from a copy of the bucket" in problem.next_step
    if how != "missing":
        assert name in problem.message
    before = small.slots()
    plan = small.store.plan_repair(read_data=True)
    assert plan.refused
    with pytest.raises(Damaged, match="the log is not whole"):
        small.store.repair(plan)
    assert small.slots() == before
    small.put(name, good)
    assert small.store.check(read_data=True).ok
    whole(small)


# --- keys, tiles, strangers ----------------------------------------------------------------------------------------


def test_a_keys_object_that_is_gone_is_beyond_repair(small: Small) -> None:
    """Whoever has the store open goes on; nobody opens it anew before the object is put back."""
    name = small.store._parts.keyring.keys_object
    good = small.get(name)
    small.delete(name)
    problem = only(small.store.check())
    assert (problem.object, problem.part) == (name, "keys")
    assert "from a copy of the bucket" in problem.next_step
    plan = small.store.plan_repair()
    assert plan.is_empty
    assert plan.beyond == (problem,)
    with pytest.raises(Damaged, match="keys/"):
        small.newcomer()
    small.put(name, good)
    assert small.store.check(read_data=True).ok
    whole(small)


def test_a_record_0_that_was_altered_stops_everybody(small: Small) -> None:
    """It is the store: a client that has it open says so, and nobody opens it anew before it is put back."""
    name = slot_name(0)
    good = small.get(name)
    small.flip(name, 90)
    assert {problem.object for problem in small.store.check().problems} == {slot_name(1)}
    assert small.store.plan_repair().refused
    with pytest.raises(Damaged, match="which makes the store, was altered"):
        small.newcomer()
    small.put(name, good)
    assert small.store.check(read_data=True).ok
    whole(small)


@pytest.mark.parametrize("how", ["wrong", "cut", "missing"])
@pytest.mark.parametrize("name", ["tree/0/0", "tree/data/2"])
def test_a_tile_is_made_again_from_the_log(small: Small, name: str, how: str) -> None:
    """A wrong one is damage; one that is not there costs time alone, and a repair writes it too."""
    while small.slots() < 257:
        small.store._parts.committer.commit([])
    good = small.get(name)
    if how == "missing":
        small.delete(name)
        assert small.store.check().ok
    else:
        small.put(name, bytes(len(good)) if how == "wrong" else good[:-1])
        problem = only(small.store.check())
        assert (problem.object, problem.part) == (name, "tile")
        assert (problem.versions.total, problem.next_step) == (0, "artifactstore repair")
    _, done = mended(small.store)
    assert (done.tiles, done.problems_left) == (1, 0)
    assert small.get(name) == good
    assert small.store.check(read_data=True).ok


def test_foreign_objects_are_told_and_are_no_damage(small: Small) -> None:
    """Nothing that a stranger puts there counts, and nothing of it is touched (invariant 19)."""
    orphan = f"packs/ab/ab{'0' * 62}"
    planted = [
        "packs/ab/stray",
        "log/7",
        "keys/" + "0" * 64,
        "notes.txt",
        "tree/0/0",
        "tree/data/0",
        slot_name(99),
    ]
    for name in [orphan, *planted, "tmp-of-mine", "probe/left"]:
        small.put(name, b"something")
    report = small.store.check(read_data=True)
    assert report.ok
    assert report.orphans.names.shown == (orphan,)
    assert report.foreign is not None
    assert set(report.foreign.names.shown) == {*planted, "tmp-of-mine"}
    assert report.foreign.size_bytes == 9 * 8
    assert small.store.plan_repair().is_empty
    assert all(small.exists(name) for name in planted)
    whole(small)
