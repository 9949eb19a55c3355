"""What a retention policy keeps: each rule by its definition, and properties that hold for all of them together."""

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.catalog.retention import EXPIRED, UNKEPT, Candidate, Verdict, plan_retention
from artifactstore.format.operations import Retention

DAY_MS = 86_400_000
START_MS = 1_700_000_000_000
NOTHING = Retention(0, 0, 0, 0, False, [], 0)

tags = st.lists(st.sampled_from(["paper", "bad"]), max_size=2, unique=True)
policies = st.builds(
    Retention,
    st.integers(0, 4),
    st.integers(0, 4),
    st.integers(0, 3),
    st.integers(0, 3),
    st.booleans(),
    tags,
    st.integers(0, 40 * DAY_MS),
)
rows = st.tuples(
    st.integers(-5, 100),
    st.one_of(st.none(), st.integers(0, 120)),
    st.lists(st.sampled_from(["prod", "old"]), max_size=1),
    tags,
)
histories = st.lists(rows, max_size=25).map(
    lambda found: [
        Candidate(
            number,
            number,
            START_MS + days * DAY_MS // 2,
            None if expires is None else START_MS + expires * DAY_MS // 2,
            tuple(aliases),
            tuple(labels),
        )
        for number, (days, expires, aliases, labels) in enumerate(found)
    ]
)
nows = st.integers(0, 120).map(lambda days: START_MS + days * DAY_MS // 2)


def kept(verdicts: list[Verdict]) -> set[int]:
    return {one.candidate.number for one in verdicts if not one.deleted_for}


def dates(*days: float) -> list[Candidate]:
    """Versions made so many days after a Monday."""
    monday = datetime(2026, 1, 5, 12, tzinfo=UTC)
    made = [monday + timedelta(days=each) for each in days]
    return [
        Candidate(number, number, int(each.timestamp() * 1000), None, (), ())
        for number, each in enumerate(made)
    ]


def kept_of(versions: list[Candidate], **rules: object) -> set[int]:
    policy = msgspec.structs.replace(NOTHING, **rules)
    return kept(plan_retention(policy, versions, versions[-1].created_ms))


def test_the_newest() -> None:
    """So many of them, by place."""
    versions = dates(0, 1, 2, 3)
    assert kept_of(versions, last=2) == {2, 3}
    assert kept_of(versions, last=9) == {0, 1, 2, 3}
    assert kept_of([versions[0], versions[1]._replace(number=7, place=0), *versions[2:]], last=2) == {2, 3}


def test_the_newest_of_each_day_week_and_month() -> None:
    """Days, ISO weeks and months that have none do not count."""
    versions = dates(0, 0.1, 1, 1.2, 5, 7, 14.1, 14.2, 40, 41)
    assert kept_of(versions, daily=3) == {7, 8, 9}
    assert kept_of(versions, daily=99) == {1, 3, 4, 5, 7, 8, 9}
    assert kept_of(versions, weekly=3) == {5, 7, 9}
    assert kept_of(versions, monthly=2) == {7, 9}


def test_labels_aliases_and_age() -> None:
    """Any of the labels, any alias but `latest`, anything younger."""
    versions = dates(0, 1, 2)
    marked = [
        versions[0]._replace(tags=("paper",)),
        versions[1]._replace(aliases=("prod",)),
        versions[2],
    ]
    assert kept_of(marked, tags=["paper", "draft"]) == {0}
    assert kept_of(marked, aliased=True) == {1}
    assert kept_of(marked, age_ms=DAY_MS + 1) == {1, 2}
    assert kept_of(marked) == set()


def test_what_has_expired_goes_unless_an_alias_keeps_it() -> None:
    """With a policy that keeps it, and without one; a policy may say that no alias keeps anything."""
    first, second, third = dates(0, 1, 2)
    now_ms = third.created_ms
    versions = [
        first._replace(expires_ms=now_ms),
        second._replace(expires_ms=now_ms, aliases=("prod",)),
        third,
    ]
    assert kept(plan_retention(None, versions, now_ms)) == {1, 2}
    assert kept(plan_retention(None, versions, now_ms - 1)) == {0, 1, 2}
    everything = msgspec.structs.replace(NOTHING, last=9, aliased=True)
    verdicts = plan_retention(everything, versions, now_ms)
    assert [one.deleted_for for one in verdicts] == ["", "", EXPIRED]
    assert kept(plan_retention(msgspec.structs.replace(everything, aliased=False), versions, now_ms)) == {2}


@given(histories, st.one_of(st.none(), policies), nows, st.randoms(use_true_random=False))
def test_every_version_gets_one_verdict(history, policy, now_ms, random) -> None:
    """Newest first, whatever the order they are given in; kept by a rule, or deleted for a reason, never both."""
    verdicts = plan_retention(policy, history, now_ms)
    assert [one.candidate for one in verdicts] == history[::-1]
    assert all(bool(one.kept_by) != bool(one.deleted_for) for one in verdicts)
    assert {one.deleted_for for one in verdicts} <= {"", EXPIRED, UNKEPT}
    shuffled = list(history)
    random.shuffle(shuffled)
    assert plan_retention(policy, shuffled, now_ms) == verdicts


@given(histories, policies, nows)
def test_applied_twice_it_deletes_nothing_more(history, policy, now_ms) -> None:
    """What is left is what the policy keeps."""
    left = kept(plan_retention(policy, history, now_ms))
    again = plan_retention(policy, [one for one in history if one.number in left], now_ms)
    assert kept(again) == left


@given(histories, policies, nows, policies)
def test_a_wider_policy_keeps_no_less(history, policy, now_ms, more) -> None:
    """Each rule only adds to what is kept, so that rules never work against each other."""
    wider = Retention(
        policy.last + more.last,
        policy.daily + more.daily,
        policy.weekly + more.weekly,
        policy.monthly + more.monthly,
        policy.aliased or more.aliased,
        sorted({*policy.tags, *more.tags}),
        policy.age_ms + more.age_ms,
    )
    assert kept(plan_retention(policy, history, now_ms)) <= kept(plan_retention(wider, history, now_ms))


@given(histories, policies, nows)
def test_each_rule_by_its_definition(history, policy, now_ms) -> None:
    """Counted out by hand: what is kept is exactly what one of the rules names, and no expired one without an alias."""

    def newest_of(period, count: int) -> set[int]:
        latest: dict[object, int] = {}
        for one in history:
            latest[period(datetime.fromtimestamp(one.created_ms / 1000, tz=UTC))] = one.number
        return set(sorted(latest.values())[-count:]) if count else set()

    expected = {one.number for one in history[len(history) - policy.last :]} if policy.last else set()
    expected |= newest_of(lambda at: at.date(), policy.daily)
    expected |= newest_of(lambda at: at.isocalendar()[:2], policy.weekly)
    expected |= newest_of(lambda at: (at.year, at.month), policy.monthly)
    expected |= {one.number for one in history if set(one.tags) & set(policy.tags)}
    expected |= {one.number for one in history if now_ms - one.created_ms < policy.age_ms}
    expected -= {one.number for one in history if one.expires_ms is not None and one.expires_ms <= now_ms}
    expected |= {one.number for one in history if one.aliases and policy.aliased}
    if policy.last > len(history):
        expected |= {one.number for one in history if one.expires_ms is None or one.expires_ms > now_ms}
    assert kept(plan_retention(policy, history, now_ms)) == expected


@given(histories, nows)
def test_without_a_policy_only_what_expired_goes(history, now_ms) -> None:
    """And of that nothing with an alias."""
    gone = {one.number for one in history} - kept(plan_retention(None, history, now_ms))
    assert gone == {
        one.number
        for one in history
        if one.expires_ms is not None and one.expires_ms <= now_ms and not one.aliases
    }
