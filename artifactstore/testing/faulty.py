"""A backend for tests that fails at a chosen operation."""

import threading
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple, TypeAlias, TypeVar

from artifactstore.backend.base import Backend, Buffer, ObjectInfo
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.errors import ArtifactStoreError, ConnectionLost

T = TypeVar("T")
When: TypeAlias = Literal["before", "after"]


class Operation(NamedTuple):
    """One call of a backend: the method's name, and the object's name or the prefix."""

    method: str
    name: str


class _Fault(NamedTuple):
    at: int
    when: When
    forever: bool
    error: type[ArtifactStoreError]


class FaultyBackend(WrapperBackend):
    """Passes calls on, notes them, and fails where it was told to.

    Args:
        inner: The backend that does the work.

    Attributes:
        operations: What was asked so far, in order, failed ones included.
    """

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.operations: list[Operation] = []
        self._fault: _Fault | None = None
        self._lock = threading.Lock()

    def fail(
        self,
        *,
        at: int,
        when: When = "before",
        forever: bool = False,
        error: type[ArtifactStoreError] = ConnectionLost,
    ) -> None:
        """Fail operation `at`, counted from 0 in `operations`; this replaces an earlier fault.

        Args:
            at: Which operation fails.
            when: Before it takes effect, or after: the answer is lost.
            forever: Fail every later operation too.
            error: The class of what is raised.
        """
        self._fault = _Fault(at, when, forever, error)

    def heal(self) -> None:
        """Fail no more."""
        self._fault = None

    def reset(self) -> None:
        """Fail no more, and count from 0 again."""
        self._fault = None
        self.operations = []

    def create(self, name: str, data: Buffer) -> None:
        """Make an object that must not exist yet."""
        self._run("create", name, lambda: self.inner.create(name, data))

    def put(self, name: str, data: Buffer) -> None:
        """Make or replace an object."""
        self._run("put", name, lambda: self.inner.put(name, data))

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
        return self._run("exists", name, lambda: self.inner.exists(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose name starts with `prefix`; one operation, at the call."""
        return self._run("list", prefix, lambda: iter(tuple(self.inner.list(prefix))))

    def delete(self, name: str) -> None:
        """Delete an object."""
        self._run("delete", name, lambda: self.inner.delete(name))

    def erase(self, name: str) -> None:
        """Delete an object in every form."""
        self._run("erase", name, lambda: self.inner.erase(name))

    def traces(self, name: str) -> bool:
        """Say whether anything is left of an object."""
        return self._run("traces", name, lambda: self.inner.traces(name))

    def _run(self, method: str, name: str, call: Callable[[], T]) -> T:
        with self._lock:
            index = len(self.operations)
            self.operations.append(Operation(method, name))
            fault = self._fault
        if fault is None or index < fault.at or (index > fault.at and not fault.forever):
            return call()
        if fault.when == "after":
            call()
        raise fault.error(f"injected {fault.when} operation {index}, {method} {name}", object=name)
