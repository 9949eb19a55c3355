"""Edits of descriptions and metadata."""

import pytest

from artifactstore.catalog.apply import outcome_at
from artifactstore.catalog.outcome import Outcome
from artifactstore.format.operations import Delete, Describe
from tests.catalog.replaying import Replay, push


@pytest.mark.parametrize(
    ("edit", "description", "metadata"),
    [
        (Describe("p", "n", 0, "new", {}, [], replace=False), "new", {"a": 1, "b": [2]}),
        (Describe("p", "n", 0, "", {"c": 3}, [], replace=False), "", {"a": 1, "b": [2], "c": 3}),
        (Describe("p", "n", 0, None, {"a": {"x": 0}}, ["b", "z"], replace=False), "old", {"a": {"x": 0}}),
        (Describe("p", "n", 0, None, {"a": 9}, ["a"], replace=False), "old", {"b": [2], "a": 9}),
        (Describe("p", "n", 0, None, {"c": 3}, [], replace=True), "old", {"c": 3}),
    ],
)
def test_an_edit(replay: Replay, edit: Describe, description: str, metadata: dict[str, object]) -> None:
    """What is given replaces what stands there, key by key; the version stays as it is."""
    replay(push(1, description="old", metadata={"a": 1, "b": [2]}, tags=["t"]))
    assert replay(edit) == Outcome(0)
    row = replay.version(0)
    assert (row.description, list(row.metadata.items())) == (description, list(metadata.items()))
    assert (row.tags, row.created_ms, replay.artifact().updated_ms) == (["t"], 1000, 1001)
    with replay.environment.read() as txn:
        assert outcome_at(txn, edit, 1) == Outcome(0)


def test_metadata_grows_to_its_bound_and_not_beyond(replay: Replay) -> None:
    """Many edits don't make what one push may not."""
    replay(push(1))
    edits = [
        Describe("p", "n", 0, None, {f"key {at}": "x" * (512 << 10)}, [], replace=False) for at in range(4)
    ]
    assert [bool(replay(edit).skipped) for edit in edits] == [False, False, False, True]
    assert list(replay.version(0).metadata) == ["key 0", "key 1", "key 2"]


def test_what_is_deleted_is_not_edited(replay: Replay) -> None:
    """Nor is what was never there."""
    replay(push(1))
    replay(Delete("p", "n", [0], force=False, now=False, reason="", requested_by=""))
    for number in (0, 1):
        edit = Describe("p", "n", number, "x", {}, [], replace=False)
        assert replay(edit).skipped
        with replay.environment.read() as txn:
            assert outcome_at(txn, edit, replay.slot - 1).skipped
