"""What operations do to the catalog: numbers, `latest`, edits, and what is skipped by all alike."""

import pytest

from artifactstore.catalog import rows
from artifactstore.catalog.apply import outcome_at
from artifactstore.catalog.outcome import Outcome
from artifactstore.catalog.pending import PendingRow, pending
from artifactstore.format.operations import (
    Adopt,
    Alias,
    Damage,
    Delete,
    Operation,
    Pending,
    PendingDone,
    Tag,
    Undelete,
)
from artifactstore.ids import ArtifactName
from artifactstore.index.tables import PACK_NAMES, TABLES, damaged_packs
from tests.catalog.replaying import NAME, Replay, push


def test_numbers_rise_by_one_and_latest_follows(replay: Replay) -> None:
    """Each new content is the next number."""
    assert [replay(push(content)).number for content in (1, 2, 1)] == [0, 1, 2]
    assert replay.aliases() == {"latest": 2}
    assert (replay.artifact().versions, replay.artifact().newest, replay.artifact().next_number) == (3, 2, 3)


def test_equal_content_is_an_edit(replay: Replay) -> None:
    """The version stays; what was given replaces what stands outside its digest, what was not stays."""
    replay(push(1, description="old", metadata={"a": 1}, tags=["b", "a"]))
    outcome = replay(push(1, metadata={"c": 2}, tags=["c"], aliases=["prod"], type="model"))
    assert outcome == Outcome(0, created=False)
    row = replay.version(0)
    assert (row.description, row.metadata, row.tags) == ("old", {"c": 2}, ["a", "b", "c"])
    assert (row.created_ms, row.slot, replay.artifact().updated_ms) == (1000, 0, 1001)
    assert replay.artifact().type == "dataset"
    assert replay.aliases() == {"latest": 0, "prod": 0}


def test_aliases_move_and_go(replay: Replay) -> None:
    """An alias names one version at a time."""
    replay(push(1, aliases=["prod"]))
    replay(push(2))
    assert replay.aliases() == {"latest": 1, "prod": 0}
    assert replay(Alias("p", "n", 1, ["prod", "best"])) == Outcome(1)
    assert replay.aliases() == {"best": 1, "latest": 1, "prod": 1}
    replay(Alias("p", "n", None, ["prod", "unknown"]))
    assert replay.aliases() == {"best": 1, "latest": 1}


@pytest.mark.parametrize(
    ("operation", "moved"),
    [
        (Alias("p", "n", 1, ["prod"], [0]), True),
        (Alias("p", "n", 1, ["prod"], [1]), False),
        (Alias("p", "n", 1, ["prod"], []), False),
        (Alias("p", "n", 1, ["new"], []), True),
        (Alias("p", "n", 1, ["new"], [0]), False),
        (Alias("p", "n", 1, ["prod", "new"], [0]), False),
        (Alias("p", "n", 1, ["prod", "best"], [0]), True),
        (Alias("p", "n", None, ["prod"], [0]), True),
        (Alias("p", "n", None, ["prod"], [1]), False),
    ],
)
def test_aliases_move_from_where_they_are_expected(replay: Replay, operation: Alias, moved: bool) -> None:
    """All of them, or none."""
    replay(push(1, aliases=["prod", "best"]))
    replay(push(2))
    before = replay.aliases()
    assert bool(replay(operation).skipped) != moved
    expected = dict.fromkeys(operation.aliases, operation.number)
    after = {alias: at for alias, at in (before | (expected if moved else {})).items() if at is not None}
    assert replay.aliases() == after


def test_tags_are_a_sorted_set(replay: Replay) -> None:
    """Adding twice is adding once; removing what is not there is nothing."""
    replay(push(1, tags=["x", "x"]))
    replay(Tag("p", "n", 0, ["z", "a"], ["absent"]))
    assert replay.version(0).tags == ["a", "x", "z"]
    replay(Tag("p", "n", 0, [], ["x", "a"]))
    assert replay.version(0).tags == ["z"]


@pytest.mark.parametrize(
    "operation",
    [
        Alias("p", "n", 7, ["prod"]),
        Alias("p", "other", 0, ["prod"]),
        Alias("p", "other", None, ["prod"]),
        Tag("p", "n", 7, ["x"], []),
        Tag("q", "n", 0, ["x"], []),
    ],
)
def test_what_does_not_apply_is_skipped_and_says_why(replay: Replay, operation: Operation) -> None:
    """An operation on what is not there changes nothing, for every reader."""
    replay(push(1))
    with replay.environment.read() as txn:
        before = [list(txn.scan(table)) for table in TABLES]
    assert "no such version" in replay(operation).skipped
    with replay.environment.read() as txn:
        assert [list(txn.scan(table)) for table in TABLES] == before


def test_pending_pushes_are_kept_until_they_are_done(replay: Replay) -> None:
    """Every record of each running push is known, with its time."""
    replay(Pending(b"a" * 16))
    replay(Pending(b"b" * 16))
    replay(Pending(b"a" * 16))
    with replay.environment.read() as txn:
        assert list(pending(txn)) == [
            PendingRow(b"a" * 16, 0, 1000),
            PendingRow(b"a" * 16, 2, 1002),
            PendingRow(b"b" * 16, 1, 1001),
        ]
    replay(PendingDone(b"a" * 16))
    replay(PendingDone(b"c" * 16))
    with replay.environment.read() as txn:
        assert [row.push for row in pending(txn)] == [b"b" * 16]


def test_names_do_not_run_into_each_other(replay: Replay) -> None:
    """An artifact whose name begins like another's, or a project like another's, is another."""
    for project, name in (("p", "n"), ("p", "n2"), ("p2", "n"), ("p", "n-1")):
        replay(push(1, project=project, name=name, aliases=["x"]))
    with replay.environment.read() as txn:
        assert [number for number, _ in rows.versions(txn, NAME)] == [0]
        assert [str(name) for name, _ in rows.artifacts(txn, "p")] == ["p/n", "p/n-1", "p/n2"]
        assert len(list(rows.all_versions(txn))) == 4
        assert dict(rows.aliases(txn, NAME)) == {"latest": 0, "x": 0}


def test_damage_is_set_and_taken_back(replay: Replay) -> None:
    """Of packs that are registered; the last record that says so is remembered, and `whole` has the last word."""
    one, other = b"1" * 32, b"2" * 32
    with replay.environment.write() as txn:
        for number, name in enumerate((one, other)):
            txn.put(PACK_NAMES, name, number.to_bytes(4, "big"))
    seen = []
    for operation in (
        Damage([one, b"unknown".ljust(32)], []),
        Damage([one, other], []),
        Damage([other], [one, other]),
        Damage([], [b"unknown".ljust(32)]),
    ):
        assert replay(operation) == Outcome(None)
        with replay.environment.read() as txn:
            seen.append(damaged_packs(txn))
    assert seen == [{one: 0}, {one: 1, other: 1}, {}, {}]


def test_adopting_changes_nothing(replay: Replay) -> None:
    """It stands in the log for those who read it."""
    replay(push(1))
    before = replay.version(0), replay.artifact(), replay.aliases()
    assert replay(Adopt(7, bytes(32))) == Outcome(None)
    assert (replay.version(0), replay.artifact(), replay.aliases()) == before


def delete(*numbers: int, force: bool = False) -> Delete:
    return Delete("p", "n", list(numbers), force, False, "asked", "me")


def test_an_alias_is_removed_where_the_first_version_was_purged(replay: Replay) -> None:
    """What a removal did is told by the artifact, not by a version that may be gone for good."""
    replay(push(0))
    replay(push(1))
    with replay.environment.write() as txn:
        rows.drop_version(txn, ArtifactName("p", "n"), 0)
    removal = Alias("p", "n", None, ["gone"])
    assert replay(removal) == Outcome(None)
    with replay.environment.read() as txn:
        assert outcome_at(txn, removal, 2) == Outcome(None)


def test_a_deletion_hides(replay: Replay) -> None:
    """`latest` goes to the newest version that is left, the count with it, and the row says who, when and why."""
    replay(push(0))
    replay(push(1))
    assert replay(delete(1)) == Outcome(None)
    assert (replay.artifact().newest, replay.artifact().versions, replay.artifact().next_number) == (0, 1, 2)
    assert replay.aliases() == {"latest": 0}
    assert replay.version(1).deleted == rows.Deletion(2, 1002, bytes(16), "asked", "me", now=False)


def test_numbers_never_recur(replay: Replay) -> None:
    """After all versions are deleted the next push has the next number, even with content that was there before."""
    replay(push(0))
    replay(delete(0))
    assert (replay.artifact().newest, replay.artifact().versions, replay.aliases()) == (None, 0, {})
    assert replay(push(0)) == Outcome(1, created=True)
    assert replay.aliases() == {"latest": 1}


def test_a_push_is_held_against_the_newest_version_that_is_shown(replay: Replay) -> None:
    """Content equal to a deleted version's is new; equal to the one before it, it is not."""
    replay(push(0))
    replay(push(1))
    replay(delete(1))
    assert replay(push(0)) == Outcome(0, created=False)
    assert replay(push(1)) == Outcome(2, created=True)


def test_an_alias_holds_a_version(replay: Replay) -> None:
    """Nothing of the operation happens then, unless it is forced; and then the alias goes too."""
    replay(push(0, aliases=["prod"]))
    replay(push(1))
    assert replay(delete(0, 1)).skipped == "the alias 'prod' points at v0"
    assert replay.artifact().versions == 2
    assert replay(delete(0, 1, force=True)) == Outcome(None)
    assert replay.aliases() == {}


def test_undelete(replay: Replay) -> None:
    """The version is back and so is `latest`; its other aliases are not."""
    replay(push(0))
    replay(push(1, aliases=["prod"]))
    replay(delete(1, force=True))
    assert replay(Undelete("p", "n", [0, 1, 7])) == Outcome(None)
    assert (replay.version(1).deleted, replay.artifact().newest, replay.artifact().versions) == (None, 1, 2)
    assert replay.aliases() == {"latest": 1}


def test_nothing_to_delete_or_to_bring_back(replay: Replay) -> None:
    """What is so already, or is not there, is skipped by all alike."""
    replay(push(0))
    assert replay(Undelete("p", "n", [0])).skipped
    assert replay(delete(3)).skipped
    replay(delete(0))
    assert replay(delete(0)).skipped
    assert replay(Undelete("q", "n", [0])).skipped


def test_a_deleted_version_takes_no_names(replay: Replay) -> None:
    """Neither alias nor tag."""
    replay(push(0))
    replay(delete(0))
    assert replay(Alias("p", "n", 0, ["late"])).skipped
    assert replay(Tag("p", "n", 0, ["late"], [])).skipped


def test_outcomes_of_deletions_are_read_back(replay: Replay) -> None:
    """Whoever committed one learns what it did from the catalog, also when others have gone on meanwhile."""
    replay(push(0))
    replay(push(1, aliases=["prod"]))
    replay(delete(0))  # slot 2
    replay(delete(1))  # slot 3, skipped
    replay(push(2))
    with replay.environment.read() as txn:
        assert outcome_at(txn, delete(0), 2) == Outcome(None)
        assert outcome_at(txn, delete(1), 3).skipped == "the alias 'prod' points at v1"
        assert outcome_at(txn, Undelete("p", "n", [0]), 5).skipped
        assert outcome_at(txn, push(1), 1) == Outcome(1, created=True)
        assert outcome_at(txn, push(0), 0) == Outcome(0, created=True)
