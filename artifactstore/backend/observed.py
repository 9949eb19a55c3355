"""A backend around a backend that tells of each request: what it was, how long it took, how many bytes went by."""

from collections.abc import Callable, Iterator
from typing import TypeVar

from artifactstore.backend.base import Backend, Buffer, ObjectInfo
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.observer import RequestDone, Watch, kind_of

T = TypeVar("T")


class ObservedBackend(WrapperBackend):
    """Tells a watch of every request, failed ones included; names of objects are not told.

    Args:
        inner: The backend that does the work.
        watch: Who is told.
    """

    def __init__(self, inner: Backend, watch: Watch) -> None:
        super().__init__(inner)
        self._watch = watch

    def create(self, name: str, data: Buffer) -> None:
        """Make an object that must not exist yet."""
        self._told("create", lambda: self.inner.create(name, data), sent_bytes=memoryview(data).nbytes)

    def put(self, name: str, data: Buffer) -> None:
        """Make or replace an object."""
        self._told("put", lambda: self.inner.put(name, data), sent_bytes=memoryview(data).nbytes)

    def get(self, name: str, *, limit_bytes: int) -> bytes:
        """Return a whole object of at most `limit_bytes`."""
        return self._told("get", lambda: self.inner.get(name, limit_bytes=limit_bytes))

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from offset `start`."""
        return self._told("get_range", lambda: self.inner.get_range(name, start, length))

    def size(self, name: str) -> int:
        """Return an object's length in bytes."""
        return self._told("size", lambda: self.inner.size(name))

    def exists(self, name: str) -> bool:
        """Say whether there is an object of that name."""
        return self._told("exists", lambda: self.inner.exists(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose name starts with `prefix`; told of once, at the call."""
        return self._told("list", lambda: self.inner.list(prefix))

    def delete(self, name: str) -> None:
        """Delete an object."""
        self._told("delete", lambda: self.inner.delete(name))

    def erase(self, name: str) -> None:
        """Delete an object in every form that the backend keeps of it."""
        self._told("erase", lambda: self.inner.erase(name))

    def traces(self, name: str) -> bool:
        """Say whether anything is left of an object, in any form that the backend keeps."""
        return self._told("traces", lambda: self.inner.traces(name))

    def _told(self, method: str, call: Callable[[], T], *, sent_bytes: int = 0) -> T:
        watch = self._watch
        started_s = watch.now_s()
        error: str | None = None
        received_bytes = 0
        try:
            found = call()
            received_bytes = len(found) if isinstance(found, bytes) else 0
        except BaseException as raised:
            error = kind_of(raised)
            raise
        finally:
            sent = sent_bytes if error is None else 0
            watch.request(RequestDone(method, watch.now_s() - started_s, sent, received_bytes, error))
        return found
