"""The checker accepts what could have happened and refuses what could not, with the log and without."""

import itertools
from collections import Counter
from random import Random
from typing import NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.ids import LATEST
from artifactstore.testing.linearizability import (
    Action,
    Delete,
    Event,
    Found,
    Landed,
    Mark,
    Move,
    Push,
    Resolve,
    Result,
    State,
    Undecided,
    Undelete,
    Write,
    assert_follows_log,
    assert_linearizable,
    linearization,
    step,
)
from artifactstore.testing.model import ModelStore

ARTIFACT = "p/n"
SMALL = 5
SMALL_HISTORIES = 3000
SMALL_ACTIONS = (
    *(Push("a"), Push("b"), Push("b", ("x",)), Move(0, ("x",)), Resolve("x"), Resolve(LATEST)),
    *(Delete((0,)), Delete((0,), force=True), Undelete((0,))),
)

aliases = st.lists(st.sampled_from(["x", "y"]), max_size=2, unique=True).map(tuple)
labels = st.lists(st.sampled_from(["s", "t"]), max_size=2, unique=True).map(tuple)
numbers = st.lists(st.integers(0, 3), min_size=1, max_size=2, unique=True).map(tuple)
actions = st.one_of(
    st.builds(Push, st.sampled_from("abc"), aliases, labels),
    st.builds(Move, st.one_of(st.none(), st.integers(0, 3)), aliases),
    st.builds(Mark, st.integers(0, 3), labels, labels),
    st.builds(Delete, numbers, st.booleans()),
    st.builds(Undelete, numbers),
    st.builds(Resolve, st.sampled_from([LATEST, "x", "y", "v0", "v2"])),
)


class History(NamedTuple):
    """Operations that did happen in an order, and the log that they left."""

    events: list[Event]
    log: list[Write]


@st.composite
def histories(draw: st.DrawFn, *, most: int = 12, told: bool = False) -> History:
    """Operations at moments 0, 1, 2 …, told within spans around them; unless `told`, some have no end."""
    events, log, state = [], [], State()
    for moment, action in enumerate(draw(st.lists(actions, min_size=1, max_size=most))):
        after, result = step(state, action)
        begin_s = moment - draw(st.integers(0, 3))
        ends = st.integers(0, 3)
        end_s = draw(ends if told else st.one_of(st.none(), ends))
        writes = not isinstance(action, Resolve) and draw(st.booleans() if after == state else st.just(True))
        state = after
        if writes:
            log.append(Write(moment, ARTIFACT, action))
        if end_s is None:
            events.append(Event("c", ARTIFACT, action, begin_s, None))
        else:
            slot = moment if writes else None
            events.append(Event("c", ARTIFACT, action, begin_s, moment + end_s, result, slot))
    return History(draw(st.permutations(events)), log)


@given(histories())
def test_what_happened_is_accepted(history: History) -> None:
    """A history that did come about in an order is accepted, and so is the log it left."""
    assert_linearizable(history.events)
    assert_follows_log(history.events, history.log)
    found = linearization(history.events)
    assert found is not None
    state = State()
    for event in found:
        state, result = step(state, event.action)
        assert event.end_s is None or result == event.result


def orders(events: list[Event]) -> bool:
    """Whether some order explains a history, by trying all of them."""
    certain = [event for event in events if event.end_s is not None]
    unknown = [event for event in events if event.end_s is None]
    return any(
        explains(order)
        for count in range(len(unknown) + 1)
        for taken in itertools.combinations(unknown, count)
        for order in itertools.permutations([*certain, *taken])
    )


def explains(order: tuple[Event, ...]) -> bool:
    for earlier, later in itertools.combinations(order, 2):
        if later.end_s is not None and later.end_s < earlier.begin_s:
            return False
    state = State()
    for event in order:
        state, result = step(state, event.action)
        if event.end_s is not None and result != event.result:
            return False
    return True


def accepted(check: object, *arguments: object) -> bool:
    try:
        check(*arguments)  # type: ignore[operator]
    except AssertionError:
        return False
    return True


def altered(random: Random, *, unknown: bool) -> History:
    """A small history that did happen, after which times are shifted and results exchanged, or not."""
    state, events, log = State(), [], []
    for moment in range(random.randint(2, SMALL)):
        action = random.choice(SMALL_ACTIONS)
        after, result = step(state, action)
        writes = not isinstance(action, Resolve) and (after != state or random.random() < 0.5)
        state = after
        if writes:
            log.append(Write(moment, ARTIFACT, action))
        begin_s = moment - random.randint(0, 1)
        end_s = None if unknown and random.random() < 0.2 else moment + random.randint(0, 1)
        slot = moment if writes and end_s is not None else None
        events.append(Event("c", ARTIFACT, action, begin_s, end_s, result, slot))
    for _ in range(random.randint(0, 2)):
        one, other = random.randrange(len(events)), random.randrange(len(events))
        shift_s = random.randint(-3, 3)
        end_s = events[one].end_s
        events[one] = msgspec.structs.replace(
            events[one],
            begin_s=events[one].begin_s + shift_s,
            end_s=None if end_s is None else end_s + shift_s,
            result=events[random.choice([one, one, other])].result,
        )
    random.shuffle(events)
    return History(events, log)


def test_the_search_finds_an_order_exactly_when_there_is_one() -> None:
    """Trying all orders comes to the same answer, whatever it is."""
    random, verdicts = Random(1), Counter[bool]()
    for _ in range(SMALL_HISTORIES):
        history = altered(random, unknown=True)
        verdict = accepted(assert_linearizable, history.events)
        assert verdict == orders(history.events), history.events
        verdicts[verdict] += 1
    assert min(verdicts.values()) > SMALL_HISTORIES // 10


def test_the_logs_order_is_accepted_exactly_when_it_explains_the_history() -> None:
    """Trying all orders that keep the log's comes to the same answer, whatever it is."""
    random, verdicts = Random(2), Counter[bool]()
    for _ in range(SMALL_HISTORIES):
        history = altered(random, unknown=False)
        verdict = accepted(assert_follows_log, *history)
        assert verdict == any(follows(order) for order in itertools.permutations(history.events)), history
        verdicts[verdict] += 1
    assert min(verdicts.values()) > SMALL_HISTORIES // 10


def follows(order: tuple[Event, ...]) -> bool:
    """Whether an order explains a history in which slots are in order and what has none changes nothing."""
    state = State()
    for event in order:
        after, _ = step(state, event.action)
        if event.slot is None and after != state:
            return False
        state = after
    slots = [event.slot for event in order if event.slot is not None]
    return slots == sorted(slots) and explains(order)


def sequential(*told: tuple[Action, Result]) -> list[Event]:
    """Operations one after another, each with what it was told."""
    return [
        Event("c", ARTIFACT, action, moment, moment + 0.5, result)
        for moment, (action, result) in enumerate(told)
    ]


TWO = ((Push("a"), Landed(0, True)), (Push("b", ("x",)), Landed(1, True)))


@pytest.mark.parametrize(
    ("why", "told"),
    [
        ("a number given twice", (*TWO, (Push("c"), Landed(1, True)))),
        ("a number left out", (*TWO, (Push("c"), Landed(3, True)))),
        ("a version lost", (*TWO, (Push("a"), Landed(0, False)))),
        ("an update lost", (*TWO, (Move(0, ("x",)), True), (Resolve("x"), Found(1, "b")))),
        ("a stale read", (*TWO, (Resolve(LATEST), Found(0, "a")))),
        ("wrong content", (*TWO, (Resolve("v0"), Found(0, "b")))),
        ("a label lost", (*TWO, (Mark(0, ("t",)), True), (Resolve("v0"), Found(0, "a", ())))),
        ("a version not there", (*TWO, (Resolve("v1"), None))),
        ("equal content taken for new", (*TWO, (Push("b"), Landed(2, True)))),
        ("a deletion lost", (*TWO, (Delete((0,)), True), (Resolve("v0"), Found(0, "a")))),
        ("a return lost", (*TWO, (Delete((0,)), True), (Undelete((0,)), True), (Resolve("v0"), None))),
        (
            "an alias at what is deleted",
            (*TWO, (Delete((1,), force=True), True), (Resolve("x"), Found(1, "b"))),
        ),
        ("a held version deleted", (*TWO, (Delete((1,)), True))),
        ("latest at what is deleted", (*TWO, (Delete((1,), force=True), True), (Resolve(LATEST), None))),
        ("a number used again", (*TWO, (Delete((1,), force=True), True), (Push("c"), Landed(1, True)))),
    ],
)
def test_what_can_not_have_happened_is_refused(why: str, told: tuple[tuple[Action, Result], ...]) -> None:
    """Each kind of wrong result is refused by itself, by the search and against the log."""
    events = sequential(*told)
    assert not accepted(assert_linearizable, events), why
    writes = [not isinstance(event.action, Resolve) for event in events]
    placed = [
        msgspec.structs.replace(event, slot=slot if written else None)
        for slot, (event, written) in enumerate(zip(events, writes, strict=True))
    ]
    log = [Write(event.slot, ARTIFACT, event.action) for event in placed if event.slot is not None]
    assert not accepted(assert_follows_log, placed, log), why


@given(histories(told=True), st.data())
def test_a_wrong_ending_is_refused(history: History, data: st.DataObject) -> None:
    """Behind whatever history: a number given twice, an update that is lost, a read of what was before."""
    after_s = 1 + max(event.end_s or event.begin_s for event in history.events)
    # A late effect of an operation that was never told might explain anything; there is none here.
    events = history.events
    state = State()
    for write in history.log:
        state, _ = step(state, write.action)
    number = len(state.contents)
    ending: list[tuple[Action, Result]] = [
        (Push("new"), Landed(number, True)),
        (Push("newer", ("x",)), Landed(number + 1, True)),
    ]
    wrong: tuple[Action, Result] = data.draw(
        st.sampled_from(
            [
                (Push("newest"), Landed(number + 1, True)),
                (Resolve("x"), Found(number, "new", ())),
                (Resolve(LATEST), None),
            ]
        )
    )
    told = [
        Event("d", ARTIFACT, action, after_s + at, after_s + at + 0.5, result)
        for at, (action, result) in enumerate([*ending, wrong])
    ]
    assert accepted(assert_linearizable, [*events, *told[:-1]])
    assert not accepted(assert_linearizable, [*events, *told])


def test_the_log_is_held_against_the_history() -> None:
    """What nobody asked for, what was applied twice, what is another's, and an order against time are refused."""
    events = [
        Event("c", ARTIFACT, Push("a"), 0, 1, Landed(0, True), 4),
        Event("d", ARTIFACT, Push("b"), 2, None),
        Event("c", ARTIFACT, Push("c"), 3, 4, Landed(1, True), 7),
    ]
    first, second, third = (
        Write(slot, ARTIFACT, Push(content)) for slot, content in ((4, "a"), (6, "b"), (7, "c"))
    )
    assert accepted(assert_follows_log, events, [first, third])
    told = [*events[:2], msgspec.structs.replace(events[2], result=Landed(2, True))]
    assert accepted(assert_follows_log, told, [first, second, third])
    assert not accepted(assert_follows_log, events, [first, second, third])
    for log in (
        [first, third, Write(8, ARTIFACT, Push("c"))],
        [first, second._replace(slot=5), second, third],
        [first],
        [first, third._replace(action=Push("x"))],
        [first, third._replace(artifact="p/other")],
        [second._replace(slot=3), first, third],
        [first, first, third],
    ):
        assert not accepted(assert_follows_log, told, log), log
    unlogged = [*told, Event("c", ARTIFACT, Push("d"), 5, 6, Landed(3, True))]
    assert not accepted(assert_follows_log, unlogged, [first, second, third])
    foreseen = [*told, Event("c", ARTIFACT, Resolve("v2"), 1.5, 1.8, Found(2, "c"))]
    assert not accepted(assert_follows_log, foreseen, [first, second, third])


def test_artifacts_are_independent_and_the_log_is_not() -> None:
    """Each artifact has an order of its own; against the log there is one order of all."""
    events = [
        Event("c", "p/one", Push("a"), 0, 1, Landed(0, True), 2),
        Event("d", "p/two", Push("a"), 2, 3, Landed(0, True), 1),
    ]
    assert_linearizable(events)
    log = [Write(1, "p/two", Push("a")), Write(2, "p/one", Push("a"))]
    with pytest.raises(AssertionError, match="slot 2 was seen before"):
        assert_follows_log(events, log)


def test_a_search_is_bounded() -> None:
    """Twenty operations at once that no order explains: the search says that it gave up."""
    events = [Event(str(n), ARTIFACT, Push(str(n)), 0, 1, Landed(30, True)) for n in range(20)]
    events += [Event(str(n), ARTIFACT, Push(str(n)), 0, None) for n in range(20)]
    with pytest.raises(Undecided):
        assert_linearizable(events, steps_max=1000)


@given(st.lists(actions, max_size=15))
def test_the_model_is_the_stores(done: list[Action]) -> None:
    """Step by step the artifact is what the reference model of a whole store holds."""
    state, model = State(), ModelStore()
    for action in done:
        state, result = step(state, action)
        if isinstance(action, Push):
            assert isinstance(result, Landed)
            made = model.push(
                ARTIFACT, {"": action.content.encode()}, aliases=action.aliases, tags=action.tags
            )
            assert made == (result.number, result.created)
        elif result:
            to_model(model, action)
        if model.artifacts:
            held = model.artifacts[ARTIFACT]
            assert [one.contents[""].decode() for one in held.versions] == list(state.contents)
            assert [tuple(sorted(one.tags)) for one in held.versions] == list(state.tags)
            assert held.aliases == dict(state.aliases)
            assert held.shown() == [at for at in range(len(state.contents)) if state.shows(at)]
        else:
            assert state == State()


def to_model(model: ModelStore, action: Action) -> None:
    """Do what applies and is no push to the reference model."""
    match action:
        case Move(None, names):
            model.remove_aliases(ARTIFACT, set(names) & set(model.artifacts[ARTIFACT].aliases))
        case Move(int(number), names):
            model.add_aliases(ARTIFACT, number, names)
        case Mark(number, add, remove):
            model.add_tags(ARTIFACT, number, add)
            model.remove_tags(ARTIFACT, number, remove)
        case Delete(numbers):
            for number in set(numbers).intersection(model.artifacts[ARTIFACT].shown()):
                model.delete(ARTIFACT, number)
        case Undelete(numbers):
            for number in set(numbers).intersection(range(len(model.artifacts[ARTIFACT].versions))):
                model.undelete(ARTIFACT, number)
