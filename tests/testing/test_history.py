"""What clients note is what they did, killed clients included, and the log says the same."""

from contextlib import closing
from pathlib import Path

import pytest

from artifactstore.backend.base import Backend
from artifactstore.errors import ConnectionLost
from artifactstore.ids import LATEST
from artifactstore.testing import FaultyBackend, workload
from artifactstore.testing.history import Recorder, content_of, read_journal, read_log
from artifactstore.testing.linearizability import (
    Delete,
    Found,
    Landed,
    Mark,
    Move,
    Push,
    Resolve,
    Undelete,
    Write,
    assert_follows_log,
    assert_linearizable,
)
from artifactstore.testing.simulation import World
from artifactstore.testing.workload import Workload
from tests.stores import make_store, reopened

ARTIFACT = "p/n"


def test_a_journal_and_the_log_tell_the_same_story(tmp_path: Path) -> None:
    """Each operation is noted with its result and its slot, and stands at that slot in the log."""
    with make_store(tmp_path) as store:
        with closing(Recorder(store, "c", tmp_path / "journal", tmp_path / "scratch")) as recorder:
            assert recorder.push(ARTIFACT, "one", 10, aliases=["x"]) == Landed(0, True)
            assert recorder.push(ARTIFACT, "two", 200_000) == Landed(1, True)
            assert recorder.push(ARTIFACT, "two", 200_000, tagged=False) == Landed(1, False)
            assert recorder.push(ARTIFACT, "two", 200_000, aliases=["y"], tagged=False) == Landed(1, False)
            assert recorder.move(ARTIFACT, 1, ["x"])
            assert recorder.mark(ARTIFACT, 0, ["good"])
            assert recorder.mark(ARTIFACT, 0, [], ["one"])
            assert recorder.move(ARTIFACT, 7, ["x"]) is False
            assert recorder.pull(ARTIFACT) == Found(1, "two", ("two",))
            assert recorder.pull(ARTIFACT, "v0") == Found(0, "one", ("good",))
            assert recorder.pull(ARTIFACT, "nowhere") is None
            assert recorder.delete(ARTIFACT, 1) is False
            assert recorder.delete(ARTIFACT, 1, force=True)
            assert recorder.delete(ARTIFACT, 1) is False
            assert recorder.pull(ARTIFACT, "v1") is None
            assert recorder.undelete(ARTIFACT, 1)
            assert recorder.undelete(ARTIFACT, 1) is False
        noted = read_journal(tmp_path / "journal")
        log = read_log(store)
    assert log == [
        Write(1, ARTIFACT, Push("one", ("x",), ("one",))),
        Write(2, ARTIFACT, Push("two", (), ("two",))),
        Write(3, ARTIFACT, Push("two", ("y",))),
        Write(4, ARTIFACT, Move(1, ("x",))),
        Write(5, ARTIFACT, Mark(0, ("good",), ())),
        Write(6, ARTIFACT, Mark(0, (), ("one",))),
        Write(7, ARTIFACT, Delete((1,), force=True)),
        Write(8, ARTIFACT, Undelete((1,))),
    ]
    events = [one.event for one in noted]
    assert [event.slot for event in events] == [1, 2, None, 3, 4, 5, 6, *[None] * 5, 7, *[None] * 2, 8, None]
    assert [one.tries for one in noted] == [1, 1, 0, 1, 1, 1, 1, *[0] * 5, 1, 0, 0, 1, 0]
    assert [event.action for event in events[8:11]] == [Resolve(LATEST), Resolve("v0"), Resolve("nowhere")]
    assert all(event.end_s is not None and event.begin_s < event.end_s for event in events)
    assert_follows_log(events, log)
    assert_linearizable(events)


def test_failures_and_kills_leave_open_ends(tmp_path: Path) -> None:
    """An operation that failed has no end but the error's kind; one whose client was killed has nothing more."""
    faulty: list[FaultyBackend] = []

    def wrap(inner: Backend) -> Backend:
        faulty.append(FaultyBackend(inner))
        return faulty[0]

    (tmp_path / "world").mkdir()
    world = World(tmp_path / "world")
    with (
        closing(world.create(wrap=wrap)) as store,
        closing(Recorder(store, "c", tmp_path / "journal", tmp_path / "scratch")) as recorder,
    ):
        recorder.push(ARTIFACT, "one", 10)
        faulty[0].fail(at=len(faulty[0].operations), forever=True, error=ConnectionLost)
        assert recorder.pull(ARTIFACT) is None
        faulty[0].heal()
        recorder.pull(ARTIFACT)
    world.end()
    whole = (tmp_path / "journal").read_bytes().splitlines(keepends=True)
    (tmp_path / "journal").write_bytes(b"".join(whole[:-1]))
    first, failed, killed = read_journal(tmp_path / "journal")
    assert first.event.result == Landed(0, True)
    assert (failed.event.end_s, failed.error) == (None, "connection-lost")
    assert (killed.event.end_s, killed.error) == (None, "")
    assert killed.event.begin_s > failed.event.begin_s


def test_wrong_bytes_are_noticed(tmp_path: Path) -> None:
    """What is pulled must be what its label says, to the last byte."""
    (tmp_path / "label").write_text("one")
    (tmp_path / "data").write_bytes(content_of("one", 50)[:-1] + b"?")
    with make_store(tmp_path / "store") as store:
        store.push([tmp_path / "label", tmp_path / "data"], ARTIFACT)
        recorder = Recorder(store, "c", tmp_path / "journal", tmp_path / "scratch")
        with closing(recorder), pytest.raises(AssertionError, match="wrong bytes under one"):
            recorder.pull(ARTIFACT)


def test_a_workload_is_its_seeds(tmp_path: Path) -> None:
    """A client alone does the same things for the same seed, in its own process; it ends at its time, too."""
    told = []
    for name in ("one", "two"):
        folder = tmp_path / name
        with make_store(folder, folder / "store"):
            pass
        work = Workload(str(folder / "store"), None, str(folder), "c", 3, [ARTIFACT, "p/m"], 60)
        process = workload.start(work)
        assert process.wait() == 0, work.journal.with_suffix(".log").read_text()
        noted = read_journal(work.journal)
        told.append([(one.event.artifact, one.event.action, one.event.result) for one in noted])
        with reopened(folder, folder / "store") as store:
            assert_follows_log([one.event for one in noted], read_log(store))
        late = Workload(str(folder / "store"), None, str(folder), "late", 3, [ARTIFACT], 30, until_s=0.0)
        workload.run(late)
        assert not late.journal.exists()
    assert told[0] == told[1]
    assert {type(action) for _, action, _ in told[0]} == {Push, Move, Mark, Delete, Undelete, Resolve}
