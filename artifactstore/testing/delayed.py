"""A backend that answers late, as one at the other end of a continent does."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX, Backend, Buffer, ObjectInfo, outcome_of
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.clock import Clock
from artifactstore.errors import ArtifactStoreError

T = TypeVar("T")


class DelayedBackend(WrapperBackend):
    """Passes calls on and keeps each answer back for a while, errors included. Thread-safe.

    Requests that are made together wait together, as many at once as a backend on a network has under way.

    Args:
        inner: The backend that does the work.
        delay_s: How long each answer is kept back; not at all for 0.
        clock: Waits.
    """

    def __init__(self, inner: Backend, delay_s: float, clock: Clock) -> None:
        super().__init__(inner)
        self._delay_s = delay_s
        self._clock = clock
        self._pool = ThreadPoolExecutor(PARALLEL_REQUESTS_MAX, "artifactstore-delayed")

    @property
    def is_remote(self) -> bool:
        """Whether requests cross a network: it is as if they did."""
        return True

    def create(self, name: str, data: Buffer) -> None:
        """Make an object that must not exist yet."""
        self._late(lambda: self.inner.create(name, data))

    def put(self, name: str, data: Buffer) -> None:
        """Make or replace an object."""
        self._late(lambda: self.inner.put(name, data))

    def get(self, name: str, *, limit_bytes: int) -> bytes:
        """Return a whole object of at most `limit_bytes`."""
        return self._late(lambda: self.inner.get(name, limit_bytes=limit_bytes))

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from offset `start`."""
        return self._late(lambda: self.inner.get_range(name, start, length))

    def size(self, name: str) -> int:
        """Return an object's length in bytes."""
        return self._late(lambda: self.inner.size(name))

    def exists(self, name: str) -> bool:
        """Say whether there is an object of that name."""
        return self._late(lambda: self.inner.exists(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose name starts with `prefix`; the whole listing is one answer."""
        return self._late(lambda: iter(list(self.inner.list(prefix))))

    def delete(self, name: str) -> None:
        """Delete an object."""
        self._late(lambda: self.inner.delete(name))

    def together(self, calls: Sequence[Callable[[], T]]) -> Sequence[T | ArtifactStoreError]:
        """Make independent requests, 64 at once."""
        return list(self._pool.map(outcome_of, calls))

    def close(self) -> None:
        """Give back the threads, and close the inner backend."""
        self._pool.shutdown(wait=True)
        self.inner.close()

    def _late(self, call: Callable[[], T]) -> T:
        try:
            return call()
        finally:
            if self._delay_s:
                self._clock.sleep(self._delay_s)
