"""The memory backend: conformance, sharing by name, forks."""

import os
from itertools import count

import pytest

from artifactstore.backend import memory
from artifactstore.backend.base import Backend
from artifactstore.backend.memory import MemoryBackend
from artifactstore.errors import ObjectExists
from artifactstore.testing.conformance import BackendConformance

_numbers = count()


class TestMemoryConformance(BackendConformance):
    def make_backend(self) -> Backend:
        return MemoryBackend(f"conformance-{next(_numbers)}")

    def make_other(self, backend: Backend) -> Backend:
        return MemoryBackend(backend.url.removeprefix("memory://"))


class FrozenClock:
    def now_ns(self) -> int:
        return 1234567

    def monotonic_s(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError


def test_backends_of_one_name_share_their_objects() -> None:
    """Two backends of one name are one place; another name is another."""
    one, same, other = MemoryBackend("shared"), MemoryBackend("shared"), MemoryBackend("elsewhere")
    one.create("a", b"data")
    with pytest.raises(ObjectExists):
        same.create("a", b"data")
    assert not other.exists("a")
    same.clear()
    assert not one.exists("a")


def test_objects_are_dated_by_the_clock_passed_in() -> None:
    """A simulation owns the times of objects too."""
    backend = MemoryBackend("dated", clock=FrozenClock())
    backend.put("a", b"data")
    assert [info.modified_ns for info in backend.list("")] == [1234567]


def test_a_child_forked_while_the_lock_was_held_is_not_stuck() -> None:
    """A lock held by another thread at the moment of a fork is made new in the child."""
    backend = MemoryBackend("forked")
    backend.create("a", b"data")
    with memory._folders["forked"].lock:
        child = os.fork()
        if not child:
            status = 1
            try:
                backend.create("b", b"data")
                status = 0 if backend.get("a", limit_bytes=4) == b"data" else 1
            finally:
                os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert not backend.exists("b")
