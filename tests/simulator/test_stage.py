"""The simulation itself: one seed is one trace, schedules reach what they are for, and failures tell their story."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from artifactstore.catalog.denied import DenyList
from artifactstore.errors import Denied, ObjectExists
from artifactstore.format.pack import PackType
from artifactstore.format.record import RecordType
from artifactstore.log.log import Log
from artifactstore.testing.schedule import (
    ARTIFACTS,
    MORE_MIXES,
    Act,
    Fate,
    Fault,
    Schedule,
    Step,
    Turn,
    make_schedule,
)
from artifactstore.testing.stage import FILES, TREES, Played, Stage
from artifactstore.testing.story import shrink, tell

ROOT = Path(__file__).resolve().parents[2]
ONE = ARTIFACTS[0]
SAME = 12
REACHED = 150
REACHED_OF_MORE = 60
OF_MORE = {Act.TAKEDOWN, Act.ALLOW, Act.EXPIRE, Act.APPLY, Act.CHECK, Act.JOIN, Act.LEAVE}
OF_SHARED = {Act.SHARE}

PRINT_DIGESTS = f"""
import sys, pathlib
from artifactstore.testing.schedule import make_schedule
from artifactstore.testing.stage import TREES, Stage
stage = Stage(pathlib.Path(sys.argv[1]))
print(*[stage.play(make_schedule(seed, TREES)).digest for seed in range({SAME})])
"""


def test_a_seed_is_a_trace(stage: Stage) -> None:
    """Played twice, a schedule makes the same operations in the same order, with the same answers."""
    for seed in range(SAME):
        first, second = (stage.play(make_schedule(seed, TREES)) for _ in range(2))
        assert first.events == second.events
        assert first.outcomes[-1].author == second.outcomes[-1].author
        assert len(first.events) > 0


def test_a_seed_is_a_trace_in_every_process(stage: Stage, tmp_path: Path) -> None:
    """Neither the order of a set nor the place of a folder has a say."""
    expected = [stage.play(make_schedule(seed, TREES)).digest for seed in range(SAME)]
    for hashing in ("1", "2"):
        (tmp_path / hashing).mkdir()
        done = subprocess.run(
            [sys.executable, "-c", PRINT_DIGESTS, tmp_path / hashing],
            env={**os.environ, "PYTHONHASHSEED": hashing, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.split() == expected


def test_schedules_reach_what_they_are_for(stage: Stage) -> None:
    """Every fate strikes, clients die over pushes, claims are lost, what is late arrives; all act and are refused."""
    fates: Counter[Fate] = Counter()
    seen: Counter[str] = Counter()
    for seed in range(REACHED):
        played = stage.play(make_schedule(seed, TREES))
        fates.update(event.fate for event in played.events if event.fate is not None)
        seen.update(outcome.step.act.value for outcome in played.outcomes if outcome.error is None)
        seen["died"] += sum(outcome.died for outcome in played.outcomes)
        seen["failed"] += sum(outcome.error is not None for outcome in played.outcomes)
        seen["moved"] += len(played.used)
        seen["sharing"] += played.schedule.sharing
        seen["patient"] += played.schedule.patient
        seen["late"] += sum(event.late for event in played.events)
        seen["late record"] += sum(event.late and event.name.startswith("log/") for event in played.events)
        seen["lost claim"] += sum(
            event.method == "create" and event.said == ObjectExists.kind for event in played.events
        )
    assert set(fates) == set(Fate)
    assert set(seen) >= {act.value for act in Act} - {act.value for act in OF_MORE | OF_SHARED}
    few = {what: count for what, count in seen.items() if count < 5}
    assert few == {}


def test_schedules_of_content_do_and_are_refused(stage: Stage) -> None:
    """Files are taken down with and without successors, allowed again, refused; versions expire; checks run."""
    seen: Counter[str] = Counter()
    for seed in range(REACHED_OF_MORE):
        for outcome in stage.play(make_schedule(seed, TREES, FILES, MORE_MIXES)).outcomes:
            kind = getattr(outcome.error, "kind", "died" if outcome.died else "")
            seen[f"{outcome.step.act.value} {kind}".strip()] += 1
            seen["with successors"] += outcome.step.act is Act.TAKEDOWN and outcome.step.force and not kind
    assert set(seen) >= {act.value for act in OF_MORE} | {"with successors", f"push {Denied.kind}"}


def test_a_denied_push_that_counts_is_found(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A push that does not look at the deny list leaves what was taken down in sight, and that is told."""
    monkeypatch.setattr("artifactstore.transfer.push.deny_list", lambda _, key: DenyList(key, []))
    steps = (Step(Act.TAKEDOWN, what="plaintext-c"), Step(Act.PUSH, ONE, "right"))
    assert "holds what is denied" in stage.play(Schedule(1, (steps,))).broken


def test_a_takedown_is_judged(stage: Stage) -> None:
    """Content goes with its versions at the record, the next sweep takes it, and it is refused until it is allowed."""
    for rewrite in (False, True):
        steps = (
            Step(Act.TAKEDOWN, what="plaintext-c", force=rewrite),
            Step(Act.PUSH, ONE, "right"),
            Step(Act.GC, force=True),
            Step(Act.ALLOW, what="plaintext-c"),
            Step(Act.PUSH, ONE, "right"),
        )
        played = stage.play(Schedule(1, (steps,)))
        assert played.broken == ""
        kinds = [getattr(outcome.error, "kind", "") for outcome in played.outcomes]
        assert kinds == ["", Denied.kind, "", "", ""]


def test_a_successor_is_newer_than_what_it_stands_for(stage: Stage) -> None:
    """Where the version that it replaced comes back, `latest` stays on the successor."""
    steps = (
        Step(Act.PUSH, ONE, "right"),
        Step(Act.TAKEDOWN, what="plaintext-c", force=True),
        Step(Act.ALLOW, what="plaintext-c"),
        Step(Act.UNDELETE, ONE, "v2"),
        Step(Act.PULL, ONE, "latest"),
    )
    played = stage.play(Schedule(1, (steps,)))
    assert played.broken == ""
    assert getattr(played.outcomes[-1].result, "number", None) == 3


def test_keys_for_a_member_may_arrive_after_their_generation(stage: Stage) -> None:
    """What was sealed to a member in time and arrives late is no attempt that shares a key with another."""
    steps = (Step(Act.ROTATE), Step(Act.JOIN), Step(Act.ROTATE))
    played = stage.play(Schedule(1, (steps,), (Fault(0, "keys", 2, Fate.DIES_LATE, delay=1000),)))
    assert [event.late for event in played.events][-1]
    assert played.broken == ""


def test_records_of_every_kind_are_made(stage: Stage) -> None:
    """Stores are small enough for pending records, index packs and states."""
    pushes = (Step(Act.PUSH, ONE, tree) for tree in ("large", "heavy", "right"))
    scripts = ((*pushes, Step(Act.DELETE, ONE, "v2", now=True), Step(Act.GC)),)
    records: Counter[int] = Counter()
    packs: Counter[int] = Counter()
    for seed in range(10):
        for _, opened, _ in stage.play(Schedule(seed, scripts)).records:
            assert opened.clear is not None
            records[opened.clear.type] += 1
            packs.update(pack.type for pack in opened.clear.packs)
    made_otherwise = {RecordType.ADOPT, RecordType.INTENT}
    assert set(records) == set(RecordType) - made_otherwise
    assert {PackType.DATA, PackType.PAGE, PackType.INDEX, PackType.STATE} <= set(packs)


def test_the_dead_stay_dead_and_their_successors_go_on(stage: Stage) -> None:
    """A client that dies over a record does nothing after it; its next life finds what it had done."""
    scripts = ((Step(Act.PUSH, ONE, "right"), Step(Act.PUSH, ONE, "right"), Step(Act.PULL, ONE, "latest")),)
    for fate, created in ((Fate.DIES_BEFORE, True), (Fate.DIES_AFTER, False)):
        for forget in (False, True):
            faults = (Fault(0, "create", 0, fate, forget=forget),)
            played = stage.play(Schedule(1, scripts, faults))
            assert played.broken == ""
            died, again, pulled = played.outcomes
            assert died.died
            assert again.result is not None
            assert again.result == (2, created)
            assert pulled.result is not None


def test_what_is_late_arrives(stage: Stage) -> None:
    """A record that its client has given up takes effect an hour later, where its slot is still absent."""
    scripts = ((Step(Act.PUSH, ONE, "right"),), (Step(Act.PULL, ONE, "latest"),))
    faults = (Fault(0, "create", 0, Fate.LATE, count=200, delay=1000),)
    played = stage.play(Schedule(1, scripts, faults))
    assert played.broken == ""
    first, *others = [event.said for event in played.events if event.late]
    assert first == "ok"
    assert set(others) == {ObjectExists.kind}
    assert "arrives, an hour late" in tell(played)


def wrong(stage: Stage) -> Played:
    """A schedule under which a client whose answer was lost takes its own record for another's."""
    steps = tuple(Step(Act.PUSH, ONE, tree) for tree in TREES)
    faults = (
        Fault(0, "create", 1, Fate.LOST_AFTER),
        Fault(1, "read", 30, Fate.JUMP, jump_s=3600),
        Fault(1, "create", 3, Fate.DIES_AFTER),
    )
    turns = tuple(Turn(at, at % 2) for at in range(0, 300, 7))
    return stage.play(
        Schedule(3, (steps, steps[::-1]), faults, turns, newcomers=frozenset({1}), patient=False)
    )


@pytest.fixture
def confused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients that don't look at what fills a slot."""
    create = Log._create

    def careless(self: Log, slot: int, data: bytes) -> bool:
        read = self.read
        monkeypatch.setattr(self, "read", lambda _: b"")
        try:
            return create(self, slot, data)
        finally:
            monkeypatch.setattr(self, "read", read)

    monkeypatch.setattr(Log, "_create", careless)


def test_a_failure_shrinks_and_tells_its_story(stage: Stage, confused: None) -> None:
    """What is left of the schedule is what the failure needs, and its story names it."""
    played = wrong(stage)
    assert played.broken.startswith("invariant 4: records")
    shrunk = shrink(played.schedule, stage.play)
    assert [fault.fate for fault in shrunk.schedule.faults] == [Fate.LOST_AFTER]
    assert sum(map(len, shrunk.schedule.scripts)) <= 2
    assert shrunk.schedule.turns == ()
    story = tell(shrunk)
    assert "is done, and the answer is lost" in story
    assert story.splitlines()[-1] == f"BROKEN: {shrunk.broken}"
    assert "push" in story


def test_what_holds_is_told_as_well(stage: Stage) -> None:
    """Without the fault in the engine nothing breaks."""
    played = wrong(stage)
    assert played.broken == ""
    assert tell(played).splitlines()[-1] == "everything holds"
