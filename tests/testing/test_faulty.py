"""The failing backend: it passes everything on, and does exactly what it was told."""

from collections.abc import Callable
from itertools import count

import pytest

from artifactstore.backend.base import Backend
from artifactstore.backend.memory import MemoryBackend
from artifactstore.errors import ConnectionLost, ObjectExists, StorageFull
from artifactstore.testing import FaultyBackend, Operation
from artifactstore.testing.conformance import BackendConformance

_numbers = count()

CALLS: tuple[Callable[[Backend], object], ...] = (
    lambda backend: backend.create("a", b"abc"),
    lambda backend: backend.put("b", b"defgh"),
    lambda backend: backend.get("a", limit_bytes=10),
    lambda backend: backend.get_range("b", 1, 2),
    lambda backend: backend.size("a"),
    lambda backend: backend.exists("a"),
    lambda backend: list(backend.list("")),
    lambda backend: backend.delete("b"),
)
METHODS = ("create", "put", "get", "get_range", "size", "exists", "list", "delete")


def make_memory() -> MemoryBackend:
    return MemoryBackend(f"faulty-{next(_numbers)}")


class TestFaultyConformance(BackendConformance):
    def make_backend(self) -> Backend:
        return FaultyBackend(make_memory())


def test_operations_are_noted_in_order() -> None:
    """Every call is one operation, with the method and the name or prefix."""
    backend = FaultyBackend(make_memory())
    for call in CALLS:
        call(backend)
    assert [operation.method for operation in backend.operations] == list(METHODS)
    assert backend.operations[0] == Operation("create", "a")
    assert backend.operations[6] == Operation("list", "")
    backend.reset()
    assert backend.operations == []


@pytest.mark.parametrize("at", range(len(CALLS)))
@pytest.mark.parametrize("forever", [False, True])
def test_the_chosen_operation_fails(at: int, forever: bool) -> None:
    """Operation `at` fails, and later ones too if told so; earlier ones never do."""
    inner = make_memory()
    inner.put("a", b"abc")
    inner.put("b", b"defgh")
    backend = FaultyBackend(inner)
    backend.fail(at=at, forever=forever, error=StorageFull)
    failed = {}
    for call in CALLS[1:] + CALLS[2:3]:
        index = len(backend.operations)
        try:
            call(backend)
        except StorageFull as error:
            failed[index] = error.message
    assert list(failed) == (list(range(at, len(CALLS))) if forever else [at])
    assert all(f"operation {index}," in message for index, message in failed.items())
    backend.heal()
    assert backend.exists("a")


def test_before_and_after_differ_in_the_effect() -> None:
    """A fault before leaves no trace; one after has happened, and only its answer is lost."""
    inner = make_memory()
    backend = FaultyBackend(inner)
    backend.fail(at=0, when="before")
    with pytest.raises(ConnectionLost):
        backend.create("a", b"data")
    assert not inner.exists("a")
    backend.fail(at=1, when="after")
    with pytest.raises(ConnectionLost):
        backend.create("a", b"data")
    assert inner.exists("a")
    backend.fail(at=2, when="after")
    with pytest.raises(ConnectionLost):
        backend.delete("a")
    assert not inner.exists("a")


def test_real_errors_come_through() -> None:
    """What the inner backend refuses is refused in its own words, fault or not."""
    backend = FaultyBackend(make_memory())
    backend.create("a", b"data")
    backend.fail(at=1, when="after")
    with pytest.raises(ObjectExists):
        backend.create("a", b"data")


def test_requests_made_together_are_operations_of_their_own() -> None:
    """A fault hits one request of a lot, and the others end as they would alone."""
    backend = FaultyBackend(make_memory())
    backend.put("a", b"abc")
    backend.fail(at=2)
    first, second, third = backend.get_many(["a", "a", "a"], limit_bytes=3)
    assert (first, third) == (b"abc", b"abc")
    assert isinstance(second, ConnectionLost)
    assert [operation.method for operation in backend.operations] == ["put", "get", "get", "get"]
