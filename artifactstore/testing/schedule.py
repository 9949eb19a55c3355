"""Schedules: what several clients do to one store, who goes when, and what goes wrong; all of it made from a seed.

A schedule is data and says everything that chance decides, so that it can be played again, told as a story, and made
smaller by leaving out steps, faults and turns one by one.
"""

import hashlib
from collections.abc import Sequence
from enum import Enum
from typing import Final, TypeVar

import msgspec

T = TypeVar("T")

ARTIFACTS: Final = ("plaintext/one", "plaintext/two")
ALIASES: Final = ("stable", "newest")
CLIENTS_MAX: Final = 4
_STEPS_MAX: Final = 4
_FAULTS_MAX: Final = 7
_NUMBERS: Final = 4
# Turns are made for so many operations; a schedule that goes on for longer changes hands only where somebody ends.
_OPERATIONS: Final = 900
_HOUR_S: Final = 3600


class Act(Enum):
    """What a client can do in one step."""

    PUSH = "push"
    SHARE = "distributed push"
    PULL = "pull"
    DELETE = "delete"
    UNDELETE = "undelete"
    ALIAS = "alias"
    REOPEN = "reopen"
    GC = "gc"
    RESUME = "gc --resume"
    WAIT = "wait"
    FORGE = "forge"
    ROTATE = "key rotate"
    JOIN = "key add"
    LEAVE = "key remove"
    TAKEDOWN = "takedown"
    ALLOW = "takedown --allow"
    EXPIRE = "ttl 0"
    APPLY = "retention apply"
    CHECK = "check --read-data"


# Acts that make a version of a tree.
PUSHES: Final = frozenset({Act.PUSH, Act.SHARE})


class Step(msgspec.Struct, frozen=True):
    """One thing that a client does.

    Attributes:
        act: What.
        artifact: To which artifact.
        what: A tree to push, in parts or not, a file to take down, or which version: `v0`, `*` or an alias.
        alias: An alias to put on the version; empty for none.
        force: Delete although an alias points there; of a reopening client, whether its index is lost; of a
            collecting one, whether everything that nobody needs is old enough; of one that takes a file down, whether
            versions with other files get successors.
        now: Delete without a grace period.
    """

    act: Act
    artifact: str = ""
    what: str = ""
    alias: str = ""
    force: bool = False
    now: bool = False

    def __str__(self) -> str:
        subject = f"{self.what} to {self.artifact}" if self.act in PUSHES else f"{self.artifact}:{self.what}"
        words = [self.act.value, subject if self.artifact else self.what]
        words += [f"as {self.alias}"] * bool(self.alias)
        words += [_FORCED.get(self.act, "by force")] * self.force + ["at once"] * self.now
        return " ".join(word for word in words if word)


_FORCED: Final = {
    Act.REOPEN: "without its index",
    Act.GC: "whatever the age",
    Act.TAKEDOWN: "with successors",
}


class Fate(Enum):
    """What goes wrong at an operation on the backend."""

    LOST_BEFORE = "is lost on its way"
    LOST_AFTER = "is done, and the answer is lost"
    LATE = "fails, and arrives an hour late"
    DIES_BEFORE = "is never sent: its client dies"
    DIES_AFTER = "is done, and its client dies"
    DIES_LATE = "is under way when its client dies, and arrives an hour late"
    REFUSED = "is refused for want of permission"
    FULL = "fails for want of space"
    JUMP = "finds its client's clock elsewhere"
    FORGOTTEN = "is forgotten by a backend that says it was done"


# What each kind of operation can meet with, repeated as often as it is likelier.
_FATES: Final = {
    "create": [
        *(Fate.LOST_AFTER, Fate.LOST_AFTER, Fate.LATE, Fate.LATE, Fate.LOST_BEFORE),
        *(Fate.DIES_BEFORE, Fate.DIES_AFTER, Fate.DIES_LATE, Fate.JUMP, Fate.REFUSED),
    ],
    "put": [
        *(Fate.LOST_BEFORE, Fate.LOST_AFTER, Fate.LATE, Fate.LATE),
        *(Fate.DIES_BEFORE, Fate.DIES_AFTER, Fate.DIES_LATE, Fate.FULL),
    ],
    "keys": [
        *(Fate.LOST_BEFORE, Fate.LOST_AFTER, Fate.LATE, Fate.FORGOTTEN, Fate.FORGOTTEN),
        *(Fate.DIES_BEFORE, Fate.DIES_AFTER, Fate.DIES_LATE, Fate.FULL),
    ],
    "delete": [
        *(Fate.LOST_BEFORE, Fate.LOST_AFTER, Fate.LATE, Fate.REFUSED),
        *(Fate.DIES_BEFORE, Fate.DIES_AFTER, Fate.DIES_LATE),
    ],
    "read": [Fate.LOST_BEFORE, Fate.LOST_BEFORE, Fate.DIES_BEFORE, Fate.JUMP],
    "list": [Fate.LOST_BEFORE, Fate.DIES_BEFORE],
}
_KINDS: Final = (*["create"] * 6, *["put"] * 4, *["read"] * 2)
_KINDS_OF_SWEEPS: Final = (*_KINDS, *["delete"] * 4, *["keys"] * 4, "list")
# How many operations of a kind a client makes, about, so that most faults hit something.
_REACH: Final = {"create": 4, "put": 6, "keys": 3, "delete": 8, "read": 40, "list": 4}
# Hours, a day, more than any grace period, and back again.
_JUMPS_S: Final = (_HOUR_S, 24 * _HOUR_S, 9 * 24 * _HOUR_S, -2 * _HOUR_S)


class Fault(msgspec.Struct, frozen=True):
    """What goes wrong, and when.

    Attributes:
        client: At which client.
        kind: At which kind of operation.
        at: At the how-many-th of that kind, from 0.
        fate: What happens.
        count: To how many of that kind, one after the other.
        delay: After how many operations of anybody what is late arrives.
        jump_s: How far the client's clock jumps.
        forget: Whether a client that dies loses its index.
    """

    client: int
    kind: str
    at: int
    fate: Fate
    count: int = 1
    delay: int = 0
    jump_s: int = 0
    forget: bool = False


class Turn(msgspec.Struct, frozen=True):
    """From which operation on another client goes on."""

    at: int
    client: int


class Schedule(msgspec.Struct, frozen=True):
    """Everything that happens, by choice.

    Attributes:
        seed: Of everybody's randomness.
        scripts: What each client does, step by step.
        faults: What goes wrong.
        turns: Who goes when, by rising operation.
        newcomers: Clients that begin without an index.
        sharing: Whether the last client works on the first one's index, as another process of the same user does.
        patient: Whether requests are repeated, as on a network.
    """

    seed: int
    scripts: tuple[tuple[Step, ...], ...]
    faults: tuple[Fault, ...] = ()
    turns: tuple[Turn, ...] = ()
    newcomers: frozenset[int] = frozenset()
    sharing: bool = False
    patient: bool = False


class Dice:
    """Choices that follow from a seed."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._count = 0
        self._bytes = b""

    def below(self, stop: int) -> int:
        """A number from 0 to one less than `stop`."""
        if not self._bytes:
            self._bytes = hashlib.shake_256(b"dice %d %d" % (self._seed, self._count)).digest(4096)
            self._count += 1
        drawn, self._bytes = self._bytes[:4], self._bytes[4:]
        return int.from_bytes(drawn, "big") % stop

    def one_of(self, choices: Sequence[T]) -> T:
        """One of several."""
        return choices[self.below(len(choices))]

    def hits(self, percent: int) -> bool:
        """True in so many of a hundred cases."""
        return self.below(100) < percent


def make_schedule(
    seed: int, trees: Sequence[str], files: Sequence[str] = (), mixes: Sequence[Sequence[Act]] | None = None
) -> Schedule:
    """The schedule of a seed.

    Args:
        seed: The seed.
        trees: Names of the trees that may be pushed.
        files: Names of the files that may be taken down.
        mixes: What clients do, one mix for each schedule; `MIXES` when None.
    """
    dice = Dice(seed)
    clients = 2 + dice.below(CLIENTS_MAX - 1)
    # A run in which all do the same to one artifact meets in other places than one of everything.
    artifacts = ARTIFACTS if dice.hits(60) else ARTIFACTS[:1]
    pushed = trees if dice.hits(70) else [dice.one_of(trees), dice.one_of(trees)]
    acts = dice.one_of(mixes or MIXES)
    if files and dice.hits(70):
        files = [dice.one_of(files), dice.one_of(files)]
    scripts = tuple(
        tuple(
            _step(dice, dice.one_of(acts), artifacts, pushed, files)
            for _ in range(1 + dice.below(_STEPS_MAX))
        )
        for _ in range(clients)
    )
    return Schedule(
        seed,
        scripts,
        faults=tuple(
            _fault(dice, clients, _KINDS_OF_SWEEPS if Act.GC in acts else _KINDS)
            for _ in range(dice.below(_FAULTS_MAX + 1))
        ),
        turns=_turns(dice, clients),
        newcomers=frozenset(client for client in range(clients) if dice.hits(25)),
        sharing=dice.hits(15),
        patient=dice.hits(30),
    )


MIXES: Final = (
    [Act.PUSH],
    [Act.PUSH, Act.PUSH, Act.PULL],
    [Act.PUSH, Act.DELETE, Act.UNDELETE, Act.PULL],
    [Act.PUSH, Act.PUSH, Act.PULL, Act.DELETE, Act.UNDELETE, Act.ALIAS, Act.REOPEN],
    [Act.PUSH, Act.GC],
    [Act.PUSH, Act.PUSH, Act.PULL, Act.DELETE, Act.DELETE, Act.GC],
    [Act.PUSH, Act.PUSH, Act.PULL, Act.DELETE, Act.DELETE, Act.UNDELETE, Act.GC, Act.GC],
    [Act.GC, Act.DELETE, Act.PULL, Act.RESUME],
    [Act.GC, Act.GC, Act.PUSH, Act.DELETE, Act.FORGE, Act.FORGE],
    [
        *(Act.PUSH, Act.PULL, Act.DELETE, Act.UNDELETE, Act.ALIAS),
        *(Act.REOPEN, Act.GC, Act.RESUME, Act.WAIT, Act.ROTATE),
    ],
)


# What takes content away by what it is, versions by their age, and members, beside all else.
MORE_MIXES: Final = (
    [Act.PUSH, Act.PUSH, Act.TAKEDOWN],
    [Act.PUSH, Act.PUSH, Act.TAKEDOWN, Act.GC, Act.UNDELETE],
    [Act.PUSH, Act.PUSH, Act.TAKEDOWN, Act.TAKEDOWN, Act.ALLOW, Act.GC, Act.PULL, Act.DELETE, Act.UNDELETE],
    [Act.PUSH, Act.EXPIRE, Act.EXPIRE, Act.APPLY, Act.APPLY, Act.WAIT, Act.GC, Act.UNDELETE, Act.ALIAS],
    [
        *(Act.PUSH, Act.PULL, Act.DELETE, Act.UNDELETE, Act.ALIAS, Act.CHECK, Act.CHECK),
        *(Act.TAKEDOWN, Act.ALLOW, Act.EXPIRE, Act.APPLY, Act.WAIT),
        *(Act.REOPEN, Act.GC, Act.GC, Act.RESUME, Act.ROTATE, Act.JOIN, Act.LEAVE),
    ],
    [Act.PUSH, Act.DELETE, Act.PULL, Act.GC, Act.ROTATE, Act.JOIN, Act.JOIN, Act.LEAVE, Act.LEAVE],
)


# Pushes in parts, whose finished parts nothing but their own records keeps from the sweeps of others.
SHARED_MIXES: Final = (
    [Act.SHARE, Act.GC],
    [Act.SHARE, Act.SHARE, Act.GC, Act.GC, Act.PUSH, Act.DELETE],
    [Act.SHARE, Act.SHARE, Act.PUSH, Act.PULL, Act.DELETE, Act.GC, Act.ROTATE, Act.REOPEN, Act.WAIT],
    [Act.SHARE, Act.SHARE, Act.TAKEDOWN, Act.ALLOW, Act.GC, Act.PULL, Act.CHECK],
)


def _step(dice: Dice, act: Act, artifacts: Sequence[str], trees: Sequence[str], files: Sequence[str]) -> Step:
    artifact = dice.one_of(artifacts)
    match act:
        case Act.PUSH | Act.SHARE:
            return Step(act, artifact, dice.one_of(trees), dice.one_of([*ALIASES, "", "", ""]))
        case Act.ALIAS | Act.EXPIRE:
            number = f"v{dice.below(_NUMBERS)}"
            return Step(act, artifact, number, dice.one_of(ALIASES) if act is Act.ALIAS else "")
        case Act.PULL:
            return Step(
                act, artifact, dice.one_of(["latest", "latest", *ALIASES, f"v{dice.below(_NUMBERS)}"])
            )
        case Act.DELETE | Act.UNDELETE:
            what = "*" if dice.hits(15) else f"v{dice.below(_NUMBERS)}"
            deletes = act is Act.DELETE
            return Step(act, artifact, what, force=deletes and dice.hits(70), now=deletes and dice.hits(70))
        case Act.TAKEDOWN | Act.ALLOW:
            return Step(act, what=dice.one_of(files), force=act is Act.TAKEDOWN and dice.hits(50))
        case _:
            return Step(act, force=act in {Act.REOPEN, Act.GC} and dice.hits(50))


def _fault(dice: Dice, clients: int, kinds: Sequence[str]) -> Fault:
    kind = dice.one_of(kinds)
    fate = dice.one_of(_FATES[kind])
    return Fault(
        client=dice.below(clients),
        kind=kind,
        at=dice.below(_REACH[kind]),
        fate=fate,
        count=1 if dice.hits(70) else 2 + dice.below(6),
        delay=dice.one_of([1, 5, 20, 60, 200, 2 * _OPERATIONS]),
        jump_s=dice.one_of(_JUMPS_S) if fate is Fate.JUMP else 0,
        forget=dice.hits(50),
    )


def _turns(dice: Dice, clients: int) -> tuple[Turn, ...]:
    """From a change at almost every operation to one in a hundred: each finds what the others don't."""
    stretch = dice.one_of([2, 6, 20, 60, 120])
    turns, at = [], 0
    while at < _OPERATIONS:
        turns.append(Turn(at, dice.below(clients)))
        at += 1 + dice.below(2 * stretch)
    return tuple(turns)
