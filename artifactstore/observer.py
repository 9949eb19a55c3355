"""What a server may watch: operations and requests with their bytes and durations, told to an `Observer` and logged.

Nothing that is told or logged names anything of a user's: a store is known by its id, an operation by the name of its
method, an error by its kind. The logger is `artifactstore`.
"""

import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, NamedTuple, Protocol

from artifactstore.errors import ArtifactStoreError
from artifactstore.forks import renewed_in_children

LOGGER: Final = logging.getLogger("artifactstore")
_ID_DIGITS_SHOWN: Final = 12


class OperationDone(NamedTuple):
    """An operation that ended.

    Attributes:
        store: The store's id, as hex.
        operation: The method's name: `push`, `pull`, `stream`, `gc` …
        seconds: How long it took.
        error: None when it returned, the `kind` of the error that it raised, or the name of an exception's class.
    """

    store: str
    operation: str
    seconds: float
    error: str | None


class RequestDone(NamedTuple):
    """A request to the backend that ended; one that is repeated after a failure counts each time.

    Attributes:
        method: `create`, `put`, `get`, `get_range`, `size`, `exists`, `list`, `delete`, `erase` or `traces`.
        seconds: How long it took.
        sent_bytes: Bytes of the object that was written.
        received_bytes: Bytes that were read.
        error: As in `OperationDone`; an object that is looked for and not there is an `object-missing`.
    """

    method: str
    seconds: float
    sent_bytes: int
    received_bytes: int
    error: str | None


class Observer(Protocol):
    """Whoever is told what stores do: from any thread, so that methods must be quick; what one raises is logged."""

    def operation_started(self, store: str, operation: str) -> None:
        """An operation begins; `store` is the store's id as hex, `operation` the method's name."""
        ...

    def operation_done(self, done: OperationDone) -> None:
        """An operation returned or raised; each that started is told once."""
        ...

    def request_done(self, done: RequestDone) -> None:
        """A request to a backend returned or raised."""
        ...


class Counters:
    """An `Observer` that counts, over all stores that are given it. Thread-safe; a child of a fork counts from 0.

    Attributes:
        running: Operations under way, by name.
    """

    def __init__(self) -> None:
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        """Count from 0."""
        self._lock = threading.Lock()
        self.running: Counter[str] = Counter()
        self._counts: Counter[str] = Counter()
        self._seconds: dict[str, float] = {}

    def operation_started(self, store: str, operation: str) -> None:  # noqa: ARG002 - all stores are counted together
        """Count one more under way."""
        with self._lock:
            self.running[operation] += 1

    def operation_done(self, done: OperationDone) -> None:
        """Count one that ended."""
        with self._lock:
            self.running[done.operation] -= 1
            self._count(f"operations.{done.operation}", done.seconds, done.error)

    def request_done(self, done: RequestDone) -> None:
        """Count a request and its bytes."""
        with self._lock:
            self._count(f"requests.{done.method}", done.seconds, done.error)
            self._counts["sent_bytes"] += done.sent_bytes
            self._counts["received_bytes"] += done.received_bytes

    def snapshot(self) -> dict[str, float]:
        """All numbers so far, by names of dotted parts.

        `operations.push`, `requests.get_range` and the like count what ended, with `.seconds` behind it how long that
        took together, with `.errors.KIND` what of it failed; `running.push` is under way now; `sent_bytes` and
        `received_bytes` are those of all requests.
        """
        with self._lock:
            counts = {name: float(count) for name, count in self._counts.items()}
            seconds = {f"{name}.seconds": spent for name, spent in self._seconds.items()}
            running = {f"running.{name}": float(count) for name, count in self.running.items()}
        return dict(sorted({**counts, **seconds, **running}.items()))

    def _count(self, name: str, seconds: float, error: str | None) -> None:
        self._counts[name] += 1
        self._seconds[name] = self._seconds.get(name, 0.0) + seconds
        if error is not None:
            self._counts[f"{name}.errors.{error}"] += 1


class Watch:
    """Tells an observer and the log, and never lets what an observer raises reach an operation.

    Args:
        observer: Who is told; nobody when None.
        now_s: Seconds of a clock that only goes forward.
    """

    def __init__(self, observer: Observer | None, now_s: Callable[[], float]) -> None:
        self._observer = observer
        self._now_s = now_s

    @property
    def sees_requests(self) -> bool:
        """Whether anybody is told of requests."""
        return self._observer is not None

    def now_s(self) -> float:
        """Seconds, from some moment on."""
        return self._now_s()

    @contextmanager
    def operation(self, store: str, operation: str) -> Iterator[None]:
        """Tell that an operation begins and ends, for a `with` block."""
        started_s = self._now_s()
        if self._observer is not None:
            self._tell(self._observer.operation_started, store, operation)
        error: str | None = None
        try:
            yield
        except BaseException as raised:
            error = kind_of(raised)
            raise
        finally:
            seconds = self._now_s() - started_s
            if self._observer is not None:
                self._tell(self._observer.operation_done, OperationDone(store, operation, seconds, error))
            how = "done" if error is None else f"failed: {error}"
            LOGGER.info("store %s: %s %s, %.3f s", store[:_ID_DIGITS_SHOWN], operation, how, seconds)

    def request(self, done: RequestDone) -> None:
        """Tell of a request that ended."""
        if self._observer is not None:
            self._tell(self._observer.request_done, done)

    def _tell(self, method: Callable[..., None], *args: Any) -> None:
        try:
            method(*args)
        except Exception as error:  # noqa: BLE001 - whatever a user's observer raises, the operation goes on
            LOGGER.warning("the observer's %s raised %s", method.__name__, type(error).__name__)


def kind_of(error: BaseException) -> str:
    """What an error is called where nothing of a user's may stand."""
    return error.kind if isinstance(error, ArtifactStoreError) else type(error).__name__
