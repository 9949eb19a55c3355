"""What operations of runs do to the catalog, and what a writer is refused."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from artifactstore.catalog.apply import apply_operation, outcome_at
from artifactstore.catalog.edges import DOWN, UP, edges, neighbours, node_version, run_node, version_node
from artifactstore.catalog.outcome import Cause, Outcome
from artifactstore.catalog.runs import (
    CIRCLE,
    NO_RUN,
    NO_VERSION,
    RUN_ENDED,
    RUN_KNOWN,
    RunRow,
    find_run,
    get_run,
    kill_run,
    open_run,
    refuse_producer,
)
from artifactstore.errors import LineageCircle, NoSuchRun, RunEnded
from artifactstore.format.operations import Delete, Manifest, Operation, Push, Replace
from artifactstore.format.run_operations import RunDeleted, RunFinished, RunStarted, RunUpdated, Used
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import Environment, WriteTransaction
from artifactstore.index.tables import TABLES

ONE, TWO = b"first run of two", b"second run, too."
NAME = ArtifactName("p", "n")
STARTED = RunStarted(
    ONE, "p", "train", "fit", "g", ["b", "a", "b"], {"rate": 1}, "a" * 40, {"cpus": 2}, beats=True
)


class Replay:
    """Applies operations one by one, each in a record of its own, in one transaction."""

    def __init__(self, txn: WriteTransaction) -> None:
        self.txn = txn
        self.slot = 0

    def __call__(self, operation: Operation) -> Outcome:
        self.slot += 1
        cause = Cause(self.slot, self.slot * 10, b"m" * 16, bytes(32))
        outcome = apply_operation(self.txn, operation, cause)
        assert outcome_at(self.txn, operation, self.slot).skipped.replace(NO_VERSION, CIRCLE) == (
            outcome.skipped.replace(NO_VERSION, CIRCLE).replace(RUN_ENDED, CIRCLE)
            if isinstance(operation, Used)
            else outcome.skipped
        )
        return outcome

    def start(self, run: bytes, **changes: object) -> None:
        assert not self(msgspec.structs.replace(STARTED, run=run, **changes)).skipped

    def run(self, run: bytes = ONE) -> RunRow:
        row = get_run(self.txn, run)
        assert row is not None
        return row


@pytest.fixture
def replay(tmp_path: Path) -> Iterator[Replay]:
    with Environment.open(tmp_path / "index", tables=TABLES) as environment, environment.write() as txn:
        yield Replay(txn)


def push(content: int, run: bytes | None = None, name: str = "n") -> Push:
    manifest = Manifest(bytes(32), 0, bytes([content]) * 32, 10, 1, bytes(32))
    return Push("p", name, "dataset", manifest, None, None, [], [], 1, 2, [], bytes(32), run)


def used(number: int, run: bytes = ONE, name: str = "n") -> Used:
    return Used(run, "p", name, number, "role")


def produced(replay: Replay, run: bytes = ONE) -> list[str]:
    found = [node_version(node) for node in neighbours(replay.txn, run_node(run), DOWN)]
    return [f"{version[0].name}:v{version[1]}" for version in found if version is not None]


def test_a_run_begins_and_ends(replay: Replay) -> None:
    """Its row says what its operations said, and when."""
    replay.start(ONE)
    row = replay.run()
    assert (row.state, row.tags, row.started_ms, row.slot, row.member) == (
        "running",
        ["a", "b"],
        10,
        1,
        b"m" * 16,
    )
    assert not replay(RunUpdated(ONE, "better", None, {"rate": 2})).skipped
    assert not replay(RunUpdated(ONE, None, ["c"], None)).skipped
    assert not replay(RunFinished(ONE, "failed")).skipped
    row = replay.run()
    assert (row.name, row.tags, row.config, row.commit) == ("better", ["c"], {"rate": 2}, "a" * 40)
    assert (row.state, row.ended_ms, row.ended_slot) == ("failed", 40, 4)


def test_a_run_ends_once(replay: Replay) -> None:
    """A second end is skipped, also a second beginning; one that was only taken for killed may still end."""
    replay.start(ONE)
    assert replay(STARTED).skipped == RUN_KNOWN
    kill_run(replay.txn, ONE, 5)
    assert (replay.run().state, replay.run().ended_ms) == ("killed", 5)
    assert not replay(RunFinished(ONE, "finished")).skipped
    assert replay(RunFinished(ONE, "failed")).skipped == RUN_ENDED
    kill_run(replay.txn, ONE, 6)
    assert replay.run().state == "finished"


def test_what_is_said_of_no_run_is_skipped(replay: Replay) -> None:
    """Each operation says why."""
    for operation in (
        RunUpdated(ONE, "x", None, None),
        RunFinished(ONE, "finished"),
        RunDeleted(ONE),
        used(0),
    ):
        assert replay(operation).skipped == NO_RUN


def test_a_deleted_run_says_nothing_any_more(replay: Replay) -> None:
    """Its edges and its times stay, and nothing else is left of what it had said."""
    replay.start(ONE)
    replay(push(1))
    replay(used(0))
    assert not replay(RunDeleted(ONE)).skipped
    assert replay.run() == RunRow(
        "", "", "", "", [], {}, None, None, True, "killed", 10, 1, b"m" * 16, 40, None, 40
    )
    assert neighbours(replay.txn, run_node(ONE), UP) == [version_node(NAME, 0)]
    assert apply_operation(
        replay.txn, RunUpdated(ONE, "again", None, None), Cause(9, 9, b"", b"")
    ).skipped == NO_RUN  # fmt: skip
    with pytest.raises(NoSuchRun):
        open_run(replay.txn, ONE)


def test_using_needs_a_version_that_is_shown(replay: Replay) -> None:
    """And a run that has not ended."""
    replay.start(ONE)
    assert replay(used(0)).skipped == NO_VERSION
    replay(push(1))
    replay(push(2))
    assert not replay(used(0)).skipped
    replay(Delete("p", "n", [1], force=False, now=False, reason="", requested_by=""))
    assert replay(used(1)).skipped == NO_VERSION
    replay(RunFinished(ONE, "finished"))
    replay(push(3))
    assert replay(used(2)).skipped == RUN_ENDED
    assert neighbours(replay.txn, run_node(ONE), UP) == [version_node(NAME, 0)]


def test_whoever_logs_the_same_again_is_a_producer_too(replay: Replay) -> None:
    """There is no new version, and two runs that produced the one."""
    replay.start(ONE)
    replay.start(TWO)
    assert replay(push(1, ONE)).created
    assert not replay(push(1, TWO)).created
    assert not replay(push(1, TWO)).created
    assert produced(replay, ONE) == produced(replay, TWO) == ["n:v0"]
    found = [edge.slot for _, edge in edges(replay.txn, version_node(NAME, 0), UP)]
    assert found == [3, 4]


def test_a_run_that_has_ended_produces_nothing(replay: Replay) -> None:
    """The push is made all the same, by whoever does not look; a writer who looks is refused."""
    replay.start(ONE)
    replay(RunFinished(ONE, "finished"))
    assert replay(push(1, ONE)).created
    assert replay(push(2, TWO)).created
    assert produced(replay) == []
    with pytest.raises(RunEnded):
        refuse_producer(replay.txn, push(3, ONE))
    with pytest.raises(NoSuchRun):
        refuse_producer(replay.txn, push(3, TWO))


def test_no_lineage_goes_round_in_a_circle(replay: Replay) -> None:
    """Over one run, over several, and where equal content is found."""
    replay.start(ONE)
    replay.start(TWO)
    replay(push(1, ONE))
    assert replay(used(0)).skipped == CIRCLE
    assert not replay(used(0, TWO)).skipped
    replay(push(2, TWO, name="m"))
    assert replay(used(0, ONE, name="m")).skipped == CIRCLE
    with pytest.raises(LineageCircle):
        refuse_producer(replay.txn, push(1, TWO))
    assert replay(push(1, TWO)).number == 0
    assert produced(replay, TWO) == ["m:v0"]
    refuse_producer(replay.txn, push(3, TWO))


def test_a_successor_came_of_what_its_predecessor_came_of(replay: Replay) -> None:
    """A takedown leaves the lineage of what it keeps whole."""
    replay.start(ONE)
    replay(push(1, ONE))
    manifest = Manifest(bytes(32), 0, bytes([9]) * 32, 5, 1, bytes(32))
    replay(Replace("p", "n", 0, manifest, 1, 2, [], bytes(32), "", ""))
    assert produced(replay) == ["n:v0", "n:v1"]


def test_a_run_is_found_by_its_first_digits(replay: Replay) -> None:
    """Eight at least, and as many as tell it from others."""
    near = ONE[:-1] + b"\0"
    replay.start(ONE)
    replay.start(near)
    replay.start(TWO)
    assert find_run(replay.txn, TWO.hex()[:8]) == TWO
    assert find_run(replay.txn, TWO.hex()[:9].upper()) == TWO
    assert find_run(replay.txn, ONE.hex()) == ONE
    for text in (TWO.hex()[:7], ONE.hex()[:30], "0" * 32, "no id at all", ""):
        with pytest.raises(NoSuchRun):
            find_run(replay.txn, text)
