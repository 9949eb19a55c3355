"""A backend on which one seed decides, at every operation, who goes on, who fails and who dies.

Clients run on threads, of which one at a time holds the baton; it changes hands only at operations on the backend,
where a client waits and where it ends. So one schedule gives one trace of operations.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple, Protocol, TypeVar, cast

from artifactstore.backend.base import Backend, Buffer, ObjectInfo, outcome_of
from artifactstore.backend.probe import PROBE_PREFIX
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.errors import (
    ArtifactStoreError,
    ConnectionLost,
    PermissionRefused,
    StorageFull,
)
from artifactstore.testing.schedule import Dice, Fate, Fault, Schedule

T = TypeVar("T")

_KINDS: Final = {"create": "create", "put": "put", "delete": "delete", "erase": "delete", "list": "list"}
_DEATHS: Final = frozenset({Fate.DIES_BEFORE, Fate.DIES_AFTER, Fate.DIES_LATE})
# Far beyond what any schedule needs: who reaches it runs in circles.
_OPERATIONS_MAX: Final = 20_000
_PATIENCE_S: Final = 60.0
_START_NS: Final = 4_102_444_800_000_000_000
_STEP_NS: Final = 1_000_000
_NS_PER_S: Final = 1_000_000_000
_HOUR_NS: Final = 3600 * _NS_PER_S


class Died(BaseException):
    """The client's process ended here: nothing of it may catch this and go on."""

    def __init__(self, *, forget: bool = False) -> None:
        super().__init__("the client died")
        self.forget = forget


class Broken(AssertionError):
    """An invariant does not hold."""


class Author(NamedTuple):
    """Who asked for something: a client, and in which of its steps."""

    client: int
    step: int


class Event(NamedTuple):
    """One operation on the backend.

    Attributes:
        number: Which one, over all clients.
        author: Whose.
        method: The backend's method.
        name: The object's name, or the prefix.
        said: `ok`, or the kind of the error.
        fate: What went wrong; None when nothing did.
        late: Whether this is the arrival of one that was late.
    """

    number: int
    author: Author
    method: str
    name: str
    said: str
    fate: Fate | None = None
    late: bool = False


class Watcher(Protocol):
    """Sees each change of the objects as it happens, and may object to it."""

    def created(self, author: Author, name: str, data: bytes) -> None:
        """An object was made that did not exist."""
        ...

    def stored(self, name: str, data: bytes) -> None:
        """An object was made or replaced."""
        ...

    def deleting(self, name: str) -> None:
        """An object is about to be deleted."""
        ...

    def seen_absent(self, author: Author, name: str) -> None:
        """A client was told that there is no such object."""
        ...


class _Late(NamedTuple):
    due: int
    author: Author
    method: str
    name: str
    act: Callable[[], object]


class Scheduler:
    """Passes the baton as a schedule says, keeps time, and notes every operation.

    Args:
        schedule: What is to happen.
        watcher: Sees every change.

    Attributes:
        events: What happened so far.
        now_ns: The backend's time.
        hit: Faults that have hit something.
        used: Turns that have moved the baton.
        broken: What an invariant or a client's end said; None as long as all is well.
    """

    def __init__(self, schedule: Schedule, watcher: Watcher) -> None:
        self.schedule = schedule
        self.watcher = watcher
        self.events: list[Event] = []
        self.now_ns = _START_NS
        self.hit: dict[Fault, None] = {}
        self.used: set[int] = set()
        self.broken: BaseException | None = None
        self.steps = [0] * len(schedule.scripts)
        self._counts: Counter[tuple[int, str]] = Counter()
        self._turn = 0
        self._late: list[_Late] = []
        self._alive: list[int] = []
        self._gates = [threading.Lock() for _ in schedule.scripts]
        self._ended = threading.Lock()

    def run(self, bodies: Sequence[Callable[[], None]]) -> None:
        """Run the clients to their ends, each on a thread of its own."""
        self._alive = list(range(len(bodies)))
        for gate in (*self._gates, self._ended):
            gate.acquire()
        for client, body in enumerate(bodies):
            threading.Thread(target=self._live, args=(client, body), daemon=True).start()
        self._gates[self._next(0)].release()
        if not self._ended.acquire(timeout=_PATIENCE_S):
            raise Broken("clients wait for each other: one holds what another one needs while it waits")

    def author(self, client: int) -> Author:
        """Who a client is now."""
        return Author(client, self.steps[client])

    def arrive(self, client: int, method: str, name: str) -> Fault | None:
        """Let others go first, if it is their turn; return what goes wrong with this client's operation."""
        self._hand(client, self._next(client))
        if self.broken is not None or len(self.events) > _OPERATIONS_MAX:
            self.broken = self.broken or Broken("the clients go on for ever")
            raise Died
        try:
            self.land(len(self.events))
        except Broken as error:
            self.broken = error
            raise Died from error
        kind = "keys" if (method, name[:5]) == ("put", "keys/") else _KINDS.get(method, "read")
        count = self._counts[client, kind]
        self._counts[client, kind] += 1
        for fault in self.schedule.faults:
            if (
                fault.client == client
                and fault.kind == kind
                and fault.at <= count < fault.at + (1 if fault.fate in _DEATHS else fault.count)
            ):
                self.hit[fault] = None
                return fault
        return None

    def wait(self, client: int, seconds: float) -> None:
        """Let time pass, and somebody else go on."""
        self.now_ns += int(seconds * _NS_PER_S)
        self._hand(client, self._after(client))

    def postpone(self, delay: int, author: Author, method: str, name: str, act: Callable[[], object]) -> None:
        """Let something happen after so many operations more."""
        self._late.append(_Late(len(self.events) + delay, author, method, name, act))

    def pass_time(self, seconds: int) -> None:
        """Let time pass for everybody."""
        self.now_ns += seconds * _NS_PER_S

    def land(self, number: int | None = None) -> None:
        """Let arrive what is due by an operation; all that is under way without one."""
        due = [late for late in self._late if number is None or late.due <= number]
        self._late = [late for late in self._late if late not in due]
        for late in due:
            self.now_ns += _HOUR_NS
            outcome = outcome_of(late.act)
            self.note(late.author, late.method, late.name, outcome, late=True)

    def note(
        self,
        author: Author,
        method: str,
        name: str,
        outcome: object,
        fate: Fate | None = None,
        *,
        late: bool = False,
    ) -> None:
        """Note one operation."""
        said = outcome.kind if isinstance(outcome, ArtifactStoreError) else "ok"
        self.events.append(Event(len(self.events), author, method, name, said, fate, late))

    def _live(self, client: int, body: Callable[[], None]) -> None:
        self._gates[client].acquire()
        try:
            body()
        except BaseException as error:  # noqa: BLE001 - whatever ends a client unasked is what is looked for
            self.broken = self.broken or error
        self._alive.remove(client)
        if self._alive:
            self._gates[self._next(self._after(client))].release()
        else:
            self._ended.release()

    def _next(self, default: int) -> int:
        """Who goes on: whom the latest turn that is due names, if he is there."""
        turns = self.schedule.turns
        while self._turn < len(turns) and turns[self._turn].at <= len(self.events):
            wanted = turns[self._turn].client
            if wanted in self._alive and wanted != default:
                self.used.add(self._turn)
                default = wanted
            self._turn += 1
        return default

    def _after(self, client: int) -> int:
        """The next client in the round that is there."""
        return min(self._alive, key=lambda other: ((other - client - 1) % len(self._gates), other))

    def _hand(self, client: int, to: int) -> None:
        if to != client:
            self._gates[to].release()
            self._gates[client].acquire()


class SimulatedClock:
    """One client's clock: the backend's time, off by as much as it has jumped."""

    def __init__(self, scheduler: Scheduler, client: int) -> None:
        self._scheduler = scheduler
        self._client = client
        self._jumped_ns = 0

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""
        self._scheduler.now_ns += _STEP_NS
        return self._scheduler.now_ns + self._jumped_ns

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start; a jump of the wall clock is none of this one."""
        self._scheduler.now_ns += _STEP_NS
        return self._scheduler.now_ns / _NS_PER_S

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self._scheduler.wait(self._client, seconds)

    @property
    def has_jumped(self) -> bool:
        """Whether the wall clock is not the backend's any more."""
        return self._jumped_ns != 0

    def jump(self, seconds: int) -> None:
        """Set the wall clock."""
        self._jumped_ns += seconds * _NS_PER_S


class SimulatedBackend(WrapperBackend):
    """One client's way to the objects, for one life of it.

    Args:
        inner: The objects.
        scheduler: Decides.
        client: Whose way it is.
        clock: The client's clock.
    """

    def __init__(self, inner: Backend, scheduler: Scheduler, client: int, clock: SimulatedClock) -> None:
        super().__init__(inner)
        self._scheduler = scheduler
        self._client = client
        self._clock = clock
        self._dead = False

    @property
    def is_remote(self) -> bool:
        """Whether requests are repeated, as on a network."""
        return self._scheduler.schedule.patient

    def create(self, name: str, data: Buffer) -> None:
        """Make an object that must not exist yet."""
        kept, author = bytes(data), self._author()

        def act() -> None:
            self.inner.create(name, kept)
            self._scheduler.watcher.created(author, name, kept)

        self._run("create", name, act)

    def put(self, name: str, data: Buffer) -> None:
        """Make or replace an object."""
        kept = bytes(data)

        def act() -> None:
            self.inner.put(name, kept)
            self._scheduler.watcher.stored(name, kept)

        self._run("put", name, act)

    def get(self, name: str, *, limit_bytes: int) -> bytes:
        """Return a whole object of at most `limit_bytes`."""
        return self._run("get", name, lambda: self.inner.get(name, limit_bytes=limit_bytes))

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from offset `start`."""
        return self._run("get_range", name, lambda: self.inner.get_range(name, start, length))

    def size(self, name: str) -> int:
        """Return an object's length in bytes."""
        return self._run("size", name, lambda: self.inner.size(name))

    def exists(self, name: str) -> bool:
        """Say whether there is an object of that name."""
        return self._looked("exists", name, lambda: self.inner.exists(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose name starts with `prefix`; one operation, at the call."""
        return iter(self._run("list", prefix, lambda: tuple(self.inner.list(prefix))))

    def delete(self, name: str) -> None:
        """Delete an object."""
        self._run("delete", name, lambda: self._delete(name, self.inner.delete))

    def erase(self, name: str) -> None:
        """Delete an object in every form."""
        self._run("erase", name, lambda: self._delete(name, self.inner.erase))

    def traces(self, name: str) -> bool:
        """Say whether anything is left of an object."""
        return self._looked("traces", name, lambda: self.inner.traces(name))

    def together(self, calls: Sequence[Callable[[], T]]) -> Sequence[T | ArtifactStoreError]:
        """Make independent requests, in any order."""
        order = list(range(len(calls)))
        dice = Dice(self._scheduler.schedule.seed ^ len(self._scheduler.events))
        answers: dict[int, T | ArtifactStoreError] = {}
        while order:
            at = order.pop(dice.below(len(order)))
            answers[at] = outcome_of(calls[at])
        return [answers[at] for at in range(len(calls))]

    def close(self) -> None:
        """The objects are everybody's."""

    def _delete(self, name: str, act: Callable[[str], None]) -> None:
        self._scheduler.watcher.deleting(name)
        act(name)

    def _looked(self, method: str, name: str, act: Callable[[], bool]) -> bool:
        found = self._run(method, name, act)
        if not found:
            self._scheduler.watcher.seen_absent(self._author(), name)
        return found

    def _author(self) -> Author:
        return self._scheduler.author(self._client)

    def _run(self, method: str, name: str, act: Callable[[], T]) -> T:
        if self._dead:
            raise Died
        if name.startswith(PROBE_PREFIX):
            # The same for every client and long; what it tests is tested elsewhere.
            return act()
        scheduler, author = self._scheduler, self._author()
        try:
            fault = scheduler.arrive(self._client, method, name)
        except Died:
            self._dead = True
            raise
        if fault is None:
            return self._pass(author, method, name, act, None)
        return self._fail(author, method, name, act, fault)

    def _fail(self, author: Author, method: str, name: str, act: Callable[[], T], fault: Fault) -> T:
        scheduler, fate = self._scheduler, fault.fate
        self._dead = fate in _DEATHS
        if fate is Fate.JUMP:
            self._clock.jump(fault.jump_s)
            return self._pass(author, method, name, act, fate)
        if fate is Fate.FORGOTTEN:
            # Only ever of what returns nothing.
            return self._pass(author, method, name, cast("Callable[[], T]", _nothing), fate)
        if fate in {Fate.LOST_AFTER, Fate.DIES_AFTER}:
            outcome_of(lambda: self._pass(author, method, name, act, fate))
        else:
            scheduler.note(author, method, name, None, fate)
        if fate in {Fate.LATE, Fate.DIES_LATE}:
            scheduler.postpone(fault.delay, author, method, name, act)
        if self._dead:
            raise Died(forget=fault.forget)
        errors = {Fate.REFUSED: PermissionRefused, Fate.FULL: StorageFull}
        raise errors.get(fate, ConnectionLost)(f"{method} {name} {fate.value}", object=name)

    def _pass(self, author: Author, method: str, name: str, act: Callable[[], T], fate: Fate | None) -> T:
        scheduler = self._scheduler
        try:
            found = act()
        except Broken as error:
            scheduler.note(author, method, name, None, fate)
            scheduler.broken = scheduler.broken or error
            self._dead = True
            raise Died from error
        except ArtifactStoreError as error:
            scheduler.note(author, method, name, error, fate)
            raise
        scheduler.note(author, method, name, None, fate)
        return found


def _nothing() -> None:
    """What a backend does that forgets what it was given."""
