"""A backend that counts what is asked of it: requests, bytes, and how many round trips stand one behind the other.

Round trips are counted by what waited for what, not by a clock, so that memory, a folder and a server give the same
number. A request's round is one more than the highest round of those that had ended when it began. Requests made
together begin together, in lots of 64: each lot is one round, and a request that one of them makes when its own
first has ended (a retry) is one more. So requests that overlap count once, by their longest chain.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX, Backend, Buffer, ObjectInfo
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.errors import ArtifactStoreError

T = TypeVar("T")


class Asked(NamedTuple):
    """One request: its round, counted from 1, the method's name, and the object's name or the prefix."""

    round: int
    method: str
    name: str


class _Lot(threading.local):
    """The round that the running call of a lot has reached; None outside of lots."""

    reached: int | None = None


class MeteredBackend(WrapperBackend):
    """Passes calls on and counts them. Thread-safe.

    Args:
        inner: The backend that does the work.

    Attributes:
        asked: Every request in the order they began, failed ones included.
        requests: Calls by method, failed ones included.
        transferred_bytes: Bytes sent or fetched by method, of calls that succeeded.
        round_trips: The highest round so far.
    """

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.asked: list[Asked] = []
        self.requests: Counter[str] = Counter()
        self.transferred_bytes: Counter[str] = Counter()
        self.round_trips = 0
        self._lock = threading.Lock()
        self._lot = _Lot()

    def reset(self) -> None:
        """Count from 0 again; no request may be under way."""
        with self._lock:
            self.asked.clear()
            self.requests.clear()
            self.transferred_bytes.clear()
            self.round_trips = 0

    def create(self, name: str, data: Buffer) -> None:
        """Make an object that must not exist yet."""
        self._count("create", name, lambda: self.inner.create(name, data))
        self._moved("create", memoryview(data).nbytes)

    def put(self, name: str, data: Buffer) -> None:
        """Make or replace an object."""
        self._count("put", name, lambda: self.inner.put(name, data))
        self._moved("put", memoryview(data).nbytes)

    def get(self, name: str, *, limit_bytes: int) -> bytes:
        """Return a whole object of at most `limit_bytes`."""
        data = self._count("get", name, lambda: self.inner.get(name, limit_bytes=limit_bytes))
        self._moved("get", len(data))
        return data

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from offset `start`."""
        data = self._count("get_range", name, lambda: self.inner.get_range(name, start, length))
        self._moved("get_range", len(data))
        return data

    def size(self, name: str) -> int:
        """Return an object's length in bytes."""
        return self._count("size", name, lambda: self.inner.size(name))

    def exists(self, name: str) -> bool:
        """Say whether there is an object of that name."""
        return self._count("exists", name, lambda: self.inner.exists(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose name starts with `prefix`; one request, at the call."""
        return self._count("list", prefix, lambda: self.inner.list(prefix))

    def delete(self, name: str) -> None:
        """Delete an object."""
        self._count("delete", name, lambda: self.inner.delete(name))

    def together(self, calls: Sequence[Callable[[], T]]) -> Sequence[T | ArtifactStoreError]:
        """Make independent requests the way the inner backend does; 64 of them are one round."""
        outcomes: list[T | ArtifactStoreError] = []
        for start in range(0, len(calls), PARALLEL_REQUESTS_MAX):
            with self._lock:
                begun = self.round_trips
            lot = [
                partial(self._in_lot, begun, call) for call in calls[start : start + PARALLEL_REQUESTS_MAX]
            ]
            outcomes += self.inner.together(lot)
        return outcomes

    def _in_lot(self, begun: int, call: Callable[[], T]) -> T:
        self._lot.reached = begun
        try:
            return call()
        finally:
            self._lot.reached = None

    def _count(self, method: str, name: str, call: Callable[[], T]) -> T:
        with self._lock:
            in_lot = self._lot.reached
            this = (self.round_trips if in_lot is None else in_lot) + 1
            self.asked.append(Asked(this, method, name))
            self.requests[method] += 1
        try:
            return call()
        finally:
            with self._lock:
                self.round_trips = max(self.round_trips, this)
                if in_lot is not None:
                    self._lot.reached = this

    def _moved(self, method: str, size_bytes: int) -> None:
        with self._lock:
            self.transferred_bytes[method] += size_bytes
