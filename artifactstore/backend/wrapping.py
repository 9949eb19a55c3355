"""Backends around a backend: one that only passes on, and one that keeps to a rate.

Every concern that is not storage (limits, metering, faults) is a wrapper of the one interface.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from artifactstore.backend.base import Backend, Buffer, ObjectInfo
from artifactstore.clock import Clock
from artifactstore.errors import ArtifactStoreError, ConnectionLost
from artifactstore.forks import renewed_in_children

T = TypeVar("T")
# A wait is cut into such pieces, so that closing the backend ends it soon.
_WAIT_S = 0.25


class WrapperBackend(Backend):
    """Passes every call on to another backend; subclasses override what they are about.

    Args:
        inner: The backend that does the work.
    """

    def __init__(self, inner: Backend) -> None:
        self.inner = inner
        self.url = inner.url

    @property
    def create_doubt(self) -> str:
        """What the inner backend says."""
        return self.inner.create_doubt

    @property
    def is_remote(self) -> bool:
        """Whether the inner backend is."""
        return self.inner.is_remote

    def create(self, name: str, data: Buffer) -> None:
        """Make an object that must not exist yet."""
        self.inner.create(name, data)

    def put(self, name: str, data: Buffer) -> None:
        """Make or replace an object."""
        self.inner.put(name, data)

    def get(self, name: str, *, limit_bytes: int) -> bytes:
        """Return a whole object of at most `limit_bytes`."""
        return self.inner.get(name, limit_bytes=limit_bytes)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from offset `start`."""
        return self.inner.get_range(name, start, length)

    def size(self, name: str) -> int:
        """Return an object's length in bytes."""
        return self.inner.size(name)

    def exists(self, name: str) -> bool:
        """Say whether there is an object of that name."""
        return self.inner.exists(name)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose name starts with `prefix`, sorted by name."""
        return self.inner.list(prefix)

    def delete(self, name: str) -> None:
        """Delete an object."""
        self.inner.delete(name)

    def erase(self, name: str) -> None:
        """Delete an object in every form that the backend keeps of it."""
        self.inner.erase(name)

    def traces(self, name: str) -> bool:
        """Say whether anything is left of an object, in any form that the backend keeps."""
        return self.inner.traces(name)

    def together(self, calls: Sequence[Callable[[], T]]) -> Sequence[T | ArtifactStoreError]:
        """Make independent requests the way the inner backend does; each call asks this wrapper."""
        return self.inner.together(calls)

    def close(self) -> None:
        """Close the inner backend."""
        self.inner.close()


def sleep_unless(closed: threading.Event, seconds: float, clock: Clock) -> None:
    """Wait for `seconds`, or until `closed` is set."""
    until_s = clock.monotonic_s() + seconds
    while (left_s := until_s - clock.monotonic_s()) > 0 and not closed.is_set():
        clock.sleep(min(left_s, _WAIT_S))


class _Rate:
    """Spreads bytes over time: each taker waits until all that was taken before it is paid for.

    There is no saved-up burst: an idle minute earns nothing, so a rate is never exceeded over any span that
    is longer than one object takes.
    """

    def __init__(self, bytes_per_s: float | None, clock: Clock, closed: threading.Event, url: str) -> None:
        if bytes_per_s is not None and bytes_per_s <= 0:
            raise ValueError(f"a rate must be positive, not {bytes_per_s}")
        self._bytes_per_s = bytes_per_s
        self._clock = clock
        self._closed = closed
        self._url = url
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        """In a child of a fork: begin with nothing spent."""
        self._lock = threading.Lock()
        self._paid_until_s = float("-inf")

    def take(self, size_bytes: int) -> None:
        """Return when `size_bytes` more would have passed at this rate.

        Raises:
            ConnectionLost: The backend was closed meanwhile.
        """
        if self._bytes_per_s is None or not size_bytes:
            return
        with self._lock:
            start_s = max(self._clock.monotonic_s(), self._paid_until_s)
            until_s = self._paid_until_s = start_s + size_bytes / self._bytes_per_s
        sleep_unless(self._closed, until_s - self._clock.monotonic_s(), self._clock)
        if self._closed.is_set() and self._clock.monotonic_s() < until_s:
            raise ConnectionLost(f"{self._url} was closed while a limited transfer waited", url=self._url)


class ThrottledBackend(WrapperBackend):
    """Keeps uploads and downloads to a rate, over all threads together.

    The inner backend takes and gives objects whole, so each comes at once and the time it should have taken
    is waited out: before an upload, and after a download.

    Args:
        inner: The backend that does the work.
        upload_bytes_per_s: The most `create` and `put` send; no limit when None.
        download_bytes_per_s: The most `get` and `get_range` fetch; no limit when None.
        clock: Measures and waits.
    """

    def __init__(
        self,
        inner: Backend,
        upload_bytes_per_s: float | None,
        download_bytes_per_s: float | None,
        clock: Clock,
    ) -> None:
        super().__init__(inner)
        self._closed = threading.Event()
        self._upload = _Rate(upload_bytes_per_s, clock, self._closed, inner.url)
        self._download = _Rate(download_bytes_per_s, clock, self._closed, inner.url)

    def create(self, name: str, data: Buffer) -> None:
        """Wait, then make the object."""
        self._upload.take(memoryview(data).nbytes)
        self.inner.create(name, data)

    def put(self, name: str, data: Buffer) -> None:
        """Wait, then make or replace the object."""
        self._upload.take(memoryview(data).nbytes)
        self.inner.put(name, data)

    def get(self, name: str, *, limit_bytes: int) -> bytes:
        """Fetch the object, then wait."""
        data = self.inner.get(name, limit_bytes=limit_bytes)
        self._download.take(len(data))
        return data

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Fetch the range, then wait."""
        data = self.inner.get_range(name, start, length)
        self._download.take(len(data))
        return data

    def close(self) -> None:
        """End every wait with `ConnectionLost`, and close the inner backend."""
        self._closed.set()
        self.inner.close()
