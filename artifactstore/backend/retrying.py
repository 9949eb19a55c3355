"""A backend that is asked again after what passes by itself: throttling and lost connections.

Invariants:

1. A request ends in bounded time: patience is counted from when the backend began to fail, over all requests and
   threads together, so that callers who try again themselves don't multiply it.
2. `create` is sent once, unless the backend answered that it did not take it. After a lost answer only what fills the
   name tells who won, and that the log asks, in one place (`log.log`): sent again from here, an object would be
   refused for the sake of its own bytes, or the bytes of somebody who wrote the same taken for one's own.
3. Everything else may be repeated: the same bytes under the same name, the same question, the same deletion.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias, TypeVar

from artifactstore.backend.base import Backend, Buffer, ObjectInfo
from artifactstore.backend.wrapping import WrapperBackend, sleep_unless
from artifactstore.clock import Clock, Randomness
from artifactstore.errors import ArtifactStoreError, ConnectionLost, Throttled
from artifactstore.forks import renewed_in_children

T = TypeVar("T")
_Passing: TypeAlias = tuple[type[Throttled | ConnectionLost], ...]

# Storms of a minute are ridden out, with room for the longest pause.
THROTTLED_PATIENCE_S: Final = 120.0
LOST_PATIENCE_S: Final = 60.0
# A server that never answered is a wrong endpoint more often than an outage.
FIRST_PATIENCE_S: Final = 10.0
_PAUSE_S: Final = 0.1
_PAUSE_S_MAX: Final = 8.0
_TRIES_MAX: Final = 200
# A failure that long after the one before it begins another outage.
_QUIET_S: Final = 30.0


class RetryingBackend(WrapperBackend):
    """Repeats requests, with pauses that grow and differ, until they pass or patience ends.

    Args:
        inner: The backend that does the work.
        clock: Measures and waits.
        randomness: Spreads the pauses, so that clients that were refused together don't come back together.
    """

    def __init__(self, inner: Backend, clock: Clock, randomness: Randomness) -> None:
        super().__init__(inner)
        self._clock = clock
        self._randomness = randomness
        self._closed = threading.Event()
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        """In a child of a fork: begin with full patience."""
        self._lock = threading.Lock()
        self._answered = False
        self._failing_since_s: float | None = None
        self._failed_last_s = 0.0

    def create(self, name: str, data: Buffer) -> None:
        """Make an object that must not exist yet; only throttling is waited out."""
        self._repeat(lambda: self.inner.create(name, data), (Throttled,))

    def put(self, name: str, data: Buffer) -> None:
        """Make or replace an object."""
        self._repeat(lambda: self.inner.put(name, data))

    def get(self, name: str, *, limit_bytes: int) -> bytes:
        """Return a whole object of at most `limit_bytes`."""
        return self._repeat(lambda: self.inner.get(name, limit_bytes=limit_bytes))

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from offset `start`."""
        return self._repeat(lambda: self.inner.get_range(name, start, length))

    def size(self, name: str) -> int:
        """Return an object's length in bytes."""
        return self._repeat(lambda: self.inner.size(name))

    def exists(self, name: str) -> bool:
        """Say whether there is an object of that name."""
        return self._repeat(lambda: self.inner.exists(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose name starts with `prefix`, sorted by name."""
        return self._repeat(lambda: self.inner.list(prefix))

    def delete(self, name: str) -> None:
        """Delete an object."""
        self._repeat(lambda: self.inner.delete(name))

    def erase(self, name: str) -> None:
        """Delete an object in every form that the backend keeps of it."""
        self._repeat(lambda: self.inner.erase(name))

    def traces(self, name: str) -> bool:
        """Say whether anything is left of an object, in any form that the backend keeps."""
        return self._repeat(lambda: self.inner.traces(name))

    def close(self) -> None:
        """End every pause with the error that it was for, and close the inner backend."""
        self._closed.set()
        self.inner.close()

    def _repeat(self, call: Callable[[], T], passing: _Passing = (Throttled, ConnectionLost)) -> T:
        """Call until it passes, another error comes, or patience ends; the error then says how often and how long."""
        started_s = self._clock.monotonic_s()
        for tries in range(1, _TRIES_MAX + 1):
            try:
                found = call()
            except passing as error:
                left_s = self._patience_left_s(error, started_s)
                pause_s = self._pause_s(tries)
                if pause_s >= left_s or self._closed.is_set() or tries == _TRIES_MAX:
                    raise self._given_up(error, tries, started_s) from error
                sleep_unless(self._closed, pause_s, self._clock)
            except ArtifactStoreError as error:
                if not isinstance(error, ConnectionLost):
                    self._passed()
                raise
            else:
                self._passed()
                return found
        raise AssertionError("the last try returns or raises")

    def _passed(self) -> None:
        """The backend answered: what failed before is over."""
        with self._lock:
            self._answered, self._failing_since_s = True, None

    def _patience_left_s(self, error: Throttled | ConnectionLost, started_s: float) -> float:
        """How long may still be waited, by this request and by the backend's outage as a whole."""
        now_s = self._clock.monotonic_s()
        with self._lock:
            if self._failing_since_s is None or now_s - self._failed_last_s > _QUIET_S:
                self._failing_since_s = now_s
            self._failed_last_s = now_s
            self._answered = self._answered or isinstance(error, Throttled)
            if isinstance(error, Throttled):
                patience_s = THROTTLED_PATIENCE_S
            else:
                patience_s = LOST_PATIENCE_S if self._answered else FIRST_PATIENCE_S
            return patience_s - (now_s - min(started_s, self._failing_since_s))

    def _pause_s(self, tries: int) -> float:
        """Between half and all of a time that doubles."""
        share = int.from_bytes(self._randomness.token(4), "big") / (1 << 32)
        return float(min(_PAUSE_S_MAX, _PAUSE_S * 2 ** min(tries - 1, 16)) * (0.5 + share / 2))

    def _given_up(
        self, error: Throttled | ConnectionLost, tries: int, started_s: float
    ) -> Throttled | ConnectionLost:
        if tries == 1:
            return error
        waited_s = round(self._clock.monotonic_s() - started_s, 1)
        message = f"{error.message} (tried {tries} times in {waited_s} s)"
        facts = {**error.facts, "tries": tries, "waited_s": waited_s}
        return type(error)(message, next_step=error.next_step, **facts)
