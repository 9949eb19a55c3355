"""Times to live and retention policies: kept with the artifact, planned, applied as of the record's slot."""

from pathlib import Path

import pytest

from artifactstore import RetentionPolicy, Store
from artifactstore.errors import InvalidName, NoSuchArtifact, NoSuchVersion, PreconditionFailed, UsageError
from tests.stores import FakeClock, make_store, reopened, state_of, write_tree

pytestmark = pytest.mark.places("memory", "folder", "s3")

DAY_S = 86_400
NS = 10**9


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def store(tmp_path: Path, clock: FakeClock):
    """Five versions of `p/n`, a day apart, and one of `q/m`."""
    with make_store(tmp_path, clock=clock) as store:
        for number in range(5):
            store.push([write_tree(tmp_path / f"n{number}", {"file": b"%d" % number})], "p/n")
            clock.time_ns += DAY_S * NS
        store.push([tmp_path / "n0"], "q/m")
        yield store


def numbers(store: Store, artifact: str = "p/n") -> list[int]:
    return [version.number for version in store.versions(artifact)]


def test_a_time_to_live_counts_from_the_making(tmp_path: Path, store: Store, clock: FakeClock) -> None:
    """It is shown, kept in the log, changed and taken away; only applying retention deletes."""
    version = store.set_ttl("p/n:v4", 3 * DAY_S)
    assert version.expires_ns == version.created_ns + 3 * DAY_S * NS
    with reopened(tmp_path, store, cache="another") as other:
        assert other.version("p/n:v4").expires_ns == version.expires_ns
    assert store.plan_retention().deletes == ()
    clock.time_ns += 3 * DAY_S * NS
    assert store.version("p/n").number == 4
    (planned,) = store.plan_retention().artifacts
    assert (planned.artifact, [one.name for one in planned.deletes]) == ("p/n", ["v4"])
    assert store.set_ttl("p/n:v4", None).expires_ns is None
    assert store.plan_retention().deletes == ()
    store.set_ttl("p/n:v4", 0)
    assert [one.name for one in store.apply_retention(store.plan_retention(["p/n"]))] == ["v4"]
    assert numbers(store) == [0, 1, 2, 3]
    assert store.undelete(["p/n:v4"])[0].number == 4


def test_a_policy_is_kept_and_applied(tmp_path: Path, store: Store) -> None:
    """Everybody sees it; the plan says which rule keeps what; the others are deleted, with a reason."""
    policy = RetentionPolicy(last=1, tags=("paper",), min_age_s=2 * DAY_S + 1)
    store.add_tags("p/n:v0", ["paper"])
    store.add_aliases("p/n:v1", ["prod"])
    store.set_retention("p/n", policy)
    with reopened(tmp_path, store, cache="another", clock=store._clock) as other:
        assert other.retention("p/n") == policy
        plan = other.plan_retention(["p/*"])
    (planned,) = plan.artifacts
    assert [(one.version.name, one.kept_by) for one in planned.versions] == [
        ("v4", ("last", "age")),
        ("v3", ("age",)),
        ("v2", ()),
        ("v1", ("alias prod",)),
        ("v0", ("tag paper",)),
    ]
    assert plan.emptied == ()
    assert [one.name for one in store.apply_retention(plan)] == ["v2"]
    assert numbers(store) == [0, 1, 3, 4]
    assert store.apply_retention(store.plan_retention()) == []
    store.set_retention("p/n", None)
    assert store.retention("p/n") is None


def test_a_sweep_keeps_what_was_set(tmp_path: Path, store: Store, clock: FakeClock) -> None:
    """Policies and expiries are in the state that everybody starts from after it."""
    policy = RetentionPolicy(last=3, tags=("paper",))
    store.set_retention("p/n", policy)
    expires_ns = store.set_ttl("p/n:v4", DAY_S).expires_ns
    store.delete(["p/n:v0"], now=True)
    store.gc(trust_clock=True)
    with reopened(tmp_path, store, cache="another", clock=clock) as other:
        assert (other.retention("p/n"), other.version("p/n:v4").expires_ns) == (policy, expires_ns)


def test_what_would_empty_an_artifact_is_refused(store: Store, clock: FakeClock) -> None:
    """Unless it is said that everything may go."""
    store.set_retention("p/n", RetentionPolicy(min_age_s=1))
    plan = store.plan_retention()
    assert (plan.emptied, len(plan.deletes)) == (("p/n",), 5)
    with pytest.raises(PreconditionFailed, match="no version of p/n would be left"):
        store.apply_retention(plan)
    assert len(numbers(store)) == 5
    assert len(store.apply_retention(plan, everything=True)) == 5


def test_what_was_named_meanwhile_stays(tmp_path: Path, store: Store) -> None:
    """The plan is made again as of the slot, and nothing goes that was not shown."""
    store.set_retention("p/n", RetentionPolicy(last=3))
    plan = store.plan_retention()
    assert [one.name for one in plan.deletes] == ["v1", "v0"]
    with reopened(tmp_path, store, cache="another") as other:
        other.add_aliases("p/n:v1", ["prod"])
        other.push([write_tree(tmp_path / "late", {"file": b"late"})], "p/n")
    assert [one.name for one in store.apply_retention(plan)] == ["v0"]
    assert numbers(store) == [1, 2, 3, 4, 5]
    before = state_of(store)
    assert store.apply_retention(plan) == []
    assert state_of(store) == before


def test_aliases_keep_nothing_where_the_policy_says_so(store: Store) -> None:
    """They go with the version."""
    store.add_aliases("p/n:v0", ["prod"])
    store.set_retention("p/n", RetentionPolicy(last=1, aliased=False))
    assert len(store.apply_retention(store.plan_retention())) == 4
    with pytest.raises(NoSuchVersion):
        store.version("p/n:prod")


@pytest.mark.parametrize(
    ("policy", "error"),
    [
        (RetentionPolicy(), UsageError),
        (RetentionPolicy(aliased=False), UsageError),
        (RetentionPolicy(last=-1), UsageError),
        (RetentionPolicy(last=1 << 40), UsageError),
        (RetentionPolicy(min_age_s=1 << 60), UsageError),
        (RetentionPolicy(tags=("no/label",)), InvalidName),
    ],
)
def test_policies_that_are_none(store: Store, policy: RetentionPolicy, error: type[Exception]) -> None:
    """Without a rule, out of range, with a label that no version can have."""
    with pytest.raises(error):
        store.set_retention("p/n", policy)
    assert store.retention("p/n") is None


def test_what_is_not_there(store: Store) -> None:
    """Each has an error of its own, and nothing is recorded."""
    before = state_of(store)
    for act in (
        lambda: store.set_retention("p/x", RetentionPolicy(last=1)),
        lambda: store.retention("p/x"),
        lambda: store.plan_retention(["p/x"]),
    ):
        with pytest.raises(NoSuchArtifact):
            act()
    with pytest.raises(NoSuchVersion):
        store.set_ttl("p/n:v9", 5)
    for seconds in (-1, 1 << 50):
        with pytest.raises(UsageError):
            store.set_ttl("p/n:v0", seconds)
    assert state_of(store) == before


def test_a_successor_is_as_old_as_what_it_stands_for(tmp_path: Path, store: Store) -> None:
    """A takedown changes neither its age nor its expiry."""
    store.push([write_tree(tmp_path / "more", {"file": b"more", "bad": b"bad"})], "p/n")
    store.set_ttl("p/n:v5", 40 * DAY_S)
    old = store.version("p/n:v5")
    store.takedown([tmp_path / "more" / "bad"], rewrite=True)
    new = store.version("p/n")
    assert (new.created_ns, new.expires_ns) == (old.created_ns, old.expires_ns)


def test_the_log_tells(store: Store) -> None:
    """What was set, and why versions were deleted."""
    store.set_ttl("p/n:v0", 0)
    store.set_retention("p/n", RetentionPolicy(last=2))
    store.apply_retention(store.plan_retention())
    words = [operation for entry in store.log(limit=3) for operation in entry.operations]
    assert words[0] == "delete p/n v1 v2"
    assert words[1] == "delete p/n v0"
    assert words[2] == "retention p/n"
    assert words[3].startswith("expire p/n:v0 2023-")
