"""Whether a history of operations, each with a begin and an end, could have come about one operation at a time.

An operation is held to take effect at one moment between its begin and its end; one whose outcome nobody knows (its
process was killed, its answer lost) at any moment after its begin, or never. A history is linearizable when some
order of such moments gives every operation the result it had, by the reference model below.

Two checks, which share that model: `assert_linearizable` knows the history alone and searches for an order, artifact
by artifact; `assert_follows_log` is given the store's log, whose slots are an order, and demands that this very one
agrees with time and results, of the whole store at once. Both raise `AssertionError`.
"""

import heapq
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

import msgspec

from artifactstore.ids import LATEST

SEARCH_STEPS_MAX: Final = 5_000_000


class Push(msgspec.Struct, frozen=True, tag="push"):
    """Make a version, or find that the newest one is equal.

    Attributes:
        content: Stands for what is pushed; equal exactly when it is equal.
        aliases: Aliases for the version.
        tags: Labels for it.
    """

    content: str
    aliases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


class Move(msgspec.Struct, frozen=True, tag="move"):
    """Point aliases at a version, or at none when `number` is None.

    Attributes:
        number: The version.
        aliases: All are moved, or none.
        expected: Where each must be before: a number, or nowhere when empty; None for wherever.
    """

    number: int | None
    aliases: tuple[str, ...]
    expected: tuple[int, ...] | None = None


class Mark(msgspec.Struct, frozen=True, tag="mark"):
    """Put labels on a version and take labels off it."""

    number: int
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


class Delete(msgspec.Struct, frozen=True, tag="delete"):
    """Hide versions; those that are hidden already are passed over.

    Attributes:
        numbers: The versions.
        force: Also what an alias other than `latest` points at, with the alias.
    """

    numbers: tuple[int, ...]
    force: bool = False


class Undelete(msgspec.Struct, frozen=True, tag="undelete"):
    """Show versions again, without the aliases that they had; those that are shown are passed over."""

    numbers: tuple[int, ...]


class Resolve(msgspec.Struct, frozen=True, tag="resolve"):
    """Ask which version an alias, or `vN`, names, and what it holds."""

    name: str


class Landed(msgspec.Struct, frozen=True, tag="landed"):
    """What a push is told: the version's number, and whether it made it."""

    number: int
    created: bool


class Found(msgspec.Struct, frozen=True, tag="found"):
    """What a resolution is told: the version's number, content and labels, sorted."""

    number: int
    content: str
    tags: tuple[str, ...] = ()


Action: TypeAlias = Push | Move | Mark | Delete | Undelete | Resolve
# Of a move, a mark, a deletion and its like: whether it applied. Of a resolution that names nothing: None.
Result: TypeAlias = Landed | Found | bool | None


class Event(msgspec.Struct, frozen=True):
    """One operation of a history.

    Attributes:
        client: Who did it.
        artifact: To what.
        action: What.
        begin_s: When it was asked for, by a clock that all clients share.
        end_s: When it had its result; None when it never had one.
        result: What it was told; means nothing without an end.
        slot: The slot of the record that holds it; None where it wrote none, or nobody knows.
    """

    client: str
    artifact: str
    action: Action
    begin_s: float
    end_s: float | None
    result: Result = None
    slot: int | None = None


class Write(NamedTuple):
    """One operation as the log holds it."""

    slot: int
    artifact: str
    action: Action


class Undecided(Exception):
    """The search took more steps than it was allowed."""


class State(NamedTuple):
    """One artifact: contents and labels of its versions by number, its aliases sorted by name, and what is hidden."""

    contents: tuple[str, ...] = ()
    tags: tuple[tuple[str, ...], ...] = ()
    aliases: tuple[tuple[str, int], ...] = ()
    hidden: tuple[int, ...] = ()

    def shows(self, number: int) -> bool:
        """Whether there is such a version, and it is not hidden."""
        return number < len(self.contents) and number not in self.hidden

    @property
    def newest(self) -> int | None:
        """The newest version that is not hidden."""
        return next((at for at in reversed(range(len(self.contents))) if at not in self.hidden), None)


def step(state: State, action: Action) -> tuple[State, Result]:
    """What an action makes of an artifact, and what it is told: the reference model."""
    match action:
        case Push():
            return _push(state, action)
        case Resolve(name=name):
            return state, _resolved(state, name)
        case _:
            after = _changed(state, action)
            return (state, False) if after is None else (after, True)


def _changed(state: State, action: Move | Mark | Delete | Undelete) -> State | None:
    """What an action makes of an artifact; None where it does not apply."""
    match action:
        case Move():
            return _moved(state, action)
        case Mark():
            return _marked(state, action)
        case Delete():
            return _deleted(state, action)
        case Undelete():
            return _undeleted(state, action)


def _push(state: State, push: Push) -> tuple[State, Result]:
    number = state.newest
    created = number is None or state.contents[number] != push.content
    if number is None or created:
        number = len(state.contents)
        state = state._replace(contents=(*state.contents, push.content), tags=(*state.tags, ()))
    state = state._replace(tags=_labelled(state, number, push.tags, ()))
    return state._replace(aliases=_pointed(state, (LATEST, *push.aliases), number)), Landed(number, created)


def _moved(state: State, move: Move) -> State | None:
    if not state.contents or (move.number is not None and not state.shows(move.number)):
        return None
    standing = dict(state.aliases)
    if move.expected is not None and any(
        standing.get(alias) != next(iter(move.expected), None) for alias in move.aliases
    ):
        return None
    return state._replace(aliases=_pointed(state, move.aliases, move.number))


def _marked(state: State, mark: Mark) -> State | None:
    if not state.shows(mark.number):
        return None
    return state._replace(tags=_labelled(state, mark.number, mark.add, mark.remove))


def _deleted(state: State, deletion: Delete) -> State | None:
    gone = {number for number in deletion.numbers if state.shows(number)}
    held = [alias for alias, number in state.aliases if number in gone and alias != LATEST]
    if not gone or (held and not deletion.force):
        return None
    return _hidden(state._replace(aliases=_pointed(state, held, None)), {*state.hidden, *gone})


def _undeleted(state: State, undeletion: Undelete) -> State | None:
    left = set(state.hidden).difference(undeletion.numbers)
    return None if len(left) == len(state.hidden) else _hidden(state, left)


def _hidden(state: State, numbers: Iterable[int]) -> State:
    """The state with these versions hidden and no others; `latest` is on the newest that is shown."""
    state = state._replace(hidden=tuple(sorted(numbers)))
    return state._replace(aliases=_pointed(state, (LATEST,), state.newest))


def _pointed(state: State, names: Sequence[str], number: int | None) -> tuple[tuple[str, int], ...]:
    aliases = dict(state.aliases)
    for name in names:
        if number is None:
            aliases.pop(name, None)
        else:
            aliases[name] = number
    return tuple(sorted(aliases.items()))


def _labelled(
    state: State, number: int, add: Iterable[str], remove: Iterable[str]
) -> tuple[tuple[str, ...], ...]:
    labels = tuple(sorted({*state.tags[number], *add}.difference(remove)))
    return (*state.tags[:number], labels, *state.tags[number + 1 :])


def _resolved(state: State, name: str) -> Found | None:
    number = int(name[1:]) if name[:1] == "v" and name[1:].isdecimal() else dict(state.aliases).get(name)
    if number is None or not state.shows(number):
        return None
    return Found(number, state.contents[number], state.tags[number])


# --- without the log: search ----------------------------------------------------------------------------------


def assert_linearizable(events: Iterable[Event], *, steps_max: int = SEARCH_STEPS_MAX) -> None:
    """Demand that each artifact's history has an order; artifacts are independent of each other.

    Args:
        events: The history, in any order.
        steps_max: Steps of the search, for each artifact.

    Raises:
        AssertionError: An artifact's has none.
        Undecided: The search was given up.
    """
    histories: defaultdict[str, list[Event]] = defaultdict(list)
    for event in events:
        histories[event.artifact].append(event)
    for artifact, history in sorted(histories.items()):
        found = linearization(history, steps_max=steps_max)
        assert found is not None, (
            f"no order of the {len(history)} operations on {artifact} explains their results"
        )


class _Moment:
    """A begin or an end in the list of those that no moment was chosen for yet."""

    __slots__ = ("bit", "end", "event", "following", "preceding")

    def __init__(self, event: Event, bit: int, end: "_Moment | None") -> None:
        self.event = event
        self.bit = bit
        # Of a begin: its end, if it has one. An end is told by `bit` 0.
        self.end = end
        self.preceding: _Moment | None = None
        self.following: _Moment | None = None

    def lift(self) -> None:
        """Take it out of the list."""
        assert self.preceding is not None
        self.preceding.following = self.following
        if self.following is not None:
            self.following.preceding = self.preceding

    def unlift(self) -> None:
        """Put it back where it was; lifts are undone in the reverse order."""
        assert self.preceding is not None
        self.preceding.following = self
        if self.following is not None:
            self.following.preceding = self


def linearization(events: Sequence[Event], *, steps_max: int = SEARCH_STEPS_MAX) -> list[Event] | None:
    """An order of one artifact's operations that explains every result, or None when there is none.

    The search is that of Wing and Gong with Lowe's memory of what was tried: a set of operations done and the state
    they led to is entered once. An operation of unknown outcome may be left out of the order.

    Raises:
        Undecided: It took more than `steps_max` steps.
    """
    head = _moments(events)
    missing = sum(1 for event in events if event.end_s is not None)
    tried: set[tuple[int, State]] = set()
    chosen: list[tuple[_Moment, State]] = []
    state, done = State(), 0
    at = head.following
    for _ in range(steps_max):
        if not missing:
            return [moment.event for moment, _ in chosen]
        if at is not None and at.bit:
            after, result = step(state, at.event.action)
            key = (done | at.bit, after)
            if (at.end is None or result == at.event.result) and key not in tried:
                tried.add(key)
                chosen.append((at, state))
                state, done = after, done | at.bit
                missing -= at.end is not None
                at.lift()
                if at.end is not None:
                    at.end.lift()
                at = head.following
            else:
                at = at.following
            continue
        # An operation ends here, or all do, before any moment was found for it: another choice must be made.
        if not chosen:
            return None
        at, state = chosen.pop()
        done &= ~at.bit
        missing += at.end is not None
        if at.end is not None:
            at.end.unlift()
        at.unlift()
        at = at.following
    raise Undecided(f"no order of {len(events)} operations was found in {steps_max} steps")


def _moments(events: Sequence[Event]) -> _Moment:
    """The list of begins and ends in order of time, behind a head that is neither."""
    ordered: list[tuple[float, int, int, _Moment]] = []
    for number, event in enumerate(events):
        end = None if event.end_s is None else _Moment(event, 0, None)
        # Where times are equal operations overlap: begins come first.
        ordered.append((event.begin_s, 0, number, _Moment(event, 1 << number, end)))
        if end is not None and event.end_s is not None:
            ordered.append((event.end_s, 1, number, end))
    ordered.sort(key=lambda item: item[:3])
    head = last = _Moment(Event("", "", Resolve(""), 0.0, None), 0, None)
    for *_, moment in ordered:
        moment.preceding, last.following = last, moment
        last = moment
    return head


# --- with the log: its slots are the order ------------------------------------------------------------------------


def assert_follows_log(events: Iterable[Event], log: Sequence[Write]) -> None:
    """Demand that the log's own order explains the history, and the history everything in the log.

    Every operation that says its slot is the one held there. What the log holds beyond them was asked for by an
    operation of unknown outcome, once each. No operation stands in the log before one that had ended when it began.
    Every result is what the log up to some slot makes of it, and never of an earlier slot than an operation had seen
    that had ended before.

    Args:
        events: The history, in any order.
        log: All operations in the log, in its order.
    """
    history = _matched(list(events), log)
    replay = _Replay(log)
    seen: list[tuple[float, int]] = []
    floor = -1
    for event in sorted(history, key=lambda event: event.begin_s):
        while seen and seen[0][0] < event.begin_s:
            floor = max(floor, heapq.heappop(seen)[1])
        if event.slot is None:
            slot = replay.first_explaining(event, floor)
            assert slot is not None, f"no slot from {floor} on explains {event}"
        else:
            slot = event.slot
            assert slot > floor, f"slot {floor} was seen before {event} began"
            told = replay.results[slot]
            assert event.end_s is None or event.result == told, f"the log tells {told} to {event}"
        if event.end_s is not None:
            heapq.heappush(seen, (event.end_s, slot))


def _matched(events: Sequence[Event], log: Sequence[Write]) -> list[Event]:
    """The history with a slot for each operation of unknown outcome that is in the log, and without the others."""
    left = {write.slot: write for write in log}
    assert len(left) == len(log), "a slot holds two operations"
    known = [event for event in events if event.slot is not None or event.end_s is not None]
    for event in known:
        if event.slot is not None:
            write = left.pop(event.slot, None)
            assert write is not None, f"slot {event.slot} is another's, or holds nothing: {event}"
            assert (write.artifact, write.action) == (event.artifact, event.action), f"{write} is not {event}"
    unknown = [event for event in events if event.slot is None and event.end_s is None]
    waiting: defaultdict[tuple[str, Action], list[Event]] = defaultdict(list)
    for event in sorted(unknown, key=lambda event: -event.begin_s):
        waiting[event.artifact, event.action].append(event)
    for slot, write in sorted(left.items()):
        asked = waiting[write.artifact, write.action]
        assert asked, f"nobody asked for {write}, or it was applied twice"
        # The one that was asked for first: if it can't be it, none can.
        known.append(msgspec.structs.replace(asked.pop(), slot=slot))
    return known


class _Replay:
    """The log applied from its beginning: what each write was told, and each artifact's states by slot."""

    def __init__(self, log: Sequence[Write]) -> None:
        self.results: dict[int, Result] = {}
        self._slots: defaultdict[str, list[int]] = defaultdict(lambda: [-1])
        self._states: defaultdict[str, list[State]] = defaultdict(lambda: [State()])
        for write in log:
            state, self.results[write.slot] = step(self._states[write.artifact][-1], write.action)
            self._slots[write.artifact].append(write.slot)
            self._states[write.artifact].append(state)

    def first_explaining(self, event: Event, floor: int) -> int | None:
        """The slot of the first state, from that at `floor` on, in which what writes nothing is told its result."""
        slots, states = self._slots[event.artifact], self._states[event.artifact]
        for number in range(bisect_right(slots, floor) - 1, len(slots)):
            after, result = step(states[number], event.action)
            if result == event.result and after == states[number]:
                return slots[number]
        return None
