"""Distributed pushes in the catalog: what begins, finishes, drops and ends them, and what comes too late."""

from pathlib import Path

import pytest

from artifactstore.catalog.apply import apply_operation, outcome_at
from artifactstore.catalog.begun import (
    NOT_OPEN,
    attempt_id,
    begun,
    drop_begun,
    finished_parts,
    forget_ended,
    get_begun,
    open_push,
    open_pushes,
)
from artifactstore.catalog.outcome import Cause
from artifactstore.format.operations import Begin, Ended, Manifest, Operation, Part, PartDropped, Pending
from artifactstore.index.environment import Environment
from artifactstore.index.tables import TABLES

PUSH, OTHER = b"a" * 16, b"b" * 16
WEEK_MS = 7 * 24 * 3600 * 1000


def begin(push: bytes = PUSH, parts: int = 3) -> Begin:
    return Begin(push, "p", "n", "dataset", parts, "text", {"a": 1}, ["best"], ["raw"])


def part(number: int, content: int = 0, push: bytes = PUSH) -> Part:
    return Part(
        push, number, Manifest(bytes([content]) * 32, 0, bytes([content]) * 32, 1, 1, bytes(32)), 5, 4, []
    )


@pytest.fixture
def index(tmp_path: Path):
    with Environment.open(tmp_path / "index", tables=TABLES) as environment:
        yield environment


def applied(index: Environment, *operations: Operation, slot: int = 0) -> list[str]:
    """What was skipped, one record for each operation."""
    skipped = []
    for at, operation in enumerate(operations, slot):
        with index.write() as txn:
            skipped.append(
                apply_operation(txn, operation, Cause(at, 1000 + at, bytes(16), bytes(32))).skipped
            )
        with index.read() as txn:
            assert outcome_at(txn, operation, at).skipped == skipped[-1]
    return skipped


def test_parts_are_finished_replaced_and_dropped(index: Environment) -> None:
    """A part stands until another with its number comes, or it is dropped; numbers beyond the last are skipped."""
    assert applied(index, begin(), part(2), part(0, 1), part(2, 3), PartDropped(PUSH, [0, 1])) == [""] * 5
    with index.read() as txn:
        found = open_push(txn, PUSH)
        assert [one.part for one in finished_parts(txn)] == [2]
    assert found is not None
    assert (found.missing, found.finished[2].manifest.cid, found.finished[2].slot) == (
        [0, 1],
        bytes([3]) * 32,
        3,
    )
    assert found.row.slot == 0


def test_a_part_beyond_the_last_is_skipped(index: Environment) -> None:
    """Who counts wrongly adds nothing."""
    assert applied(index, begin()) == [""]
    with index.write() as txn:
        assert apply_operation(txn, part(3), Cause(1, 1, bytes(16), bytes(32))).skipped == NOT_OPEN
        assert list(finished_parts(txn)) == []


def test_one_id_is_begun_once(index: Environment) -> None:
    """A second beginning changes nothing."""
    first, second = applied(index, begin(parts=2), begin(parts=3))
    assert first == ""
    assert second
    with index.read() as txn:
        row = get_begun(txn, PUSH)
    assert row is not None
    assert row.parts == 2


@pytest.mark.parametrize("committed", [True, False])
def test_what_ended_takes_nothing_more(index: Environment, committed: bool) -> None:
    """After the end a push has no parts, keeps no text, and says for a while what became of it."""
    ended = Ended(PUSH, committed)
    late = [part(1), PartDropped(PUSH, [0])]
    assert applied(index, begin(), begin(OTHER), part(0), part(0, push=OTHER), ended) == [""] * 5
    assert applied(index, *late, slot=5) == [NOT_OPEN] * 2
    with index.read() as txn:
        row = get_begun(txn, PUSH)
        assert [one.push for one in finished_parts(txn)] == [OTHER]
        assert [one.push for one in open_pushes(txn)] == [OTHER]
        assert open_push(txn, PUSH) is None
    assert row is not None
    assert (row.ended_slot, row.ended_ms, row.committed) == (4, 1004, committed)
    assert (row.description, row.metadata, row.aliases, row.tags) == (None, None, [], [])


def test_attempts_show_that_somebody_is_at_it(index: Environment) -> None:
    """Packs that are registered for a part count as a sign of life of the whole push."""
    assert applied(index, begin(), Pending(attempt_id(PUSH, 1)), Pending(attempt_id(OTHER, 1))) == [""] * 3
    with index.read() as txn:
        found = open_push(txn, PUSH)
    assert found is not None
    assert found.heard == [(0, 1000), (1, 1001)]
    assert [number for number, _ in found.attempts] == [1]


def test_a_sweep_forgets_what_expired_and_what_ended_long_ago(index: Environment) -> None:
    """An expired push goes with its parts, unless it has ended meanwhile; the memory of an end goes after a week."""
    assert applied(index, begin(), part(0), begin(OTHER), Ended(OTHER, committed=True)) == [""] * 4
    with index.write() as txn:
        for push in (PUSH, OTHER):
            drop_begun(txn, push)
        forget_ended(txn, 1003 + WEEK_MS - 1)
    with index.read() as txn:
        assert [push for push, _ in begun(txn)] == [OTHER]
        assert list(finished_parts(txn)) == []
    with index.write() as txn:
        forget_ended(txn, 1003 + WEEK_MS)
        assert list(begun(txn)) == []
