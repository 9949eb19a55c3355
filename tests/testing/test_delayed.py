"""A backend that answers late is late for every answer, and for those asked for together once."""

import threading
from collections.abc import Callable

import pytest

from artifactstore.backend.memory import MemoryBackend
from artifactstore.errors import ArtifactStoreError, ObjectExists, ObjectMissing
from artifactstore.testing import DelayedBackend
from tests.stores import FakeClock, memory_url

DELAY_S = 0.05


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def backend(clock: FakeClock):
    made = DelayedBackend(MemoryBackend(memory_url()), DELAY_S, clock)
    made.put("packs/a", b"content")
    clock.waited_s = 0.0
    yield made
    made.close()


CALLS: dict[str, Callable[[DelayedBackend], object]] = {
    "create": lambda backend: backend.create("log/1", b"x"),
    "put": lambda backend: backend.put("packs/b", b"x"),
    "get": lambda backend: backend.get("packs/a", limit_bytes=100),
    "get_range": lambda backend: backend.get_range("packs/a", 1, 2),
    "size": lambda backend: backend.size("packs/a"),
    "exists": lambda backend: backend.exists("packs/none"),
    "list": lambda backend: backend.list("packs/"),
    "delete": lambda backend: backend.delete("packs/a"),
}


@pytest.mark.parametrize("method", CALLS)
def test_every_answer_is_late(backend: DelayedBackend, clock: FakeClock, method: str) -> None:
    """By the delay, no more and no less."""
    CALLS[method](backend)
    assert clock.waited_s == DELAY_S


def test_errors_are_late_too(backend: DelayedBackend, clock: FakeClock) -> None:
    """And are what they were."""
    with pytest.raises(ObjectMissing):
        backend.get("packs/none", limit_bytes=100)
    with pytest.raises(ObjectExists):
        backend.create("packs/a", b"x")
    assert clock.waited_s == 2 * DELAY_S


def test_answers_are_those_of_the_backend_below(backend: DelayedBackend) -> None:
    """In the order in which they were asked for, errors in their places."""
    found = backend.get_many(["packs/a", "packs/none", "packs/a"], limit_bytes=100)
    assert [found[0], found[2]] == [b"content"] * 2
    assert isinstance(found[1], ArtifactStoreError)
    assert [info.name for info in backend.list("packs/")] == ["packs/a"]
    assert backend.is_remote


def test_what_is_asked_for_together_waits_together() -> None:
    """Sixty-four requests are all under way before the first is answered."""
    barrier = threading.Barrier(64)
    waiting: list[int] = []
    most: list[int] = []

    class Meeting(FakeClock):
        def sleep(self, seconds: float) -> None:
            waiting.append(1)
            barrier.wait(timeout=60)
            most.append(len(waiting))

    backend = DelayedBackend(MemoryBackend(memory_url()), DELAY_S, Meeting())
    assert backend.exist_many([f"packs/{number}" for number in range(64)]) == [False] * 64
    assert most == [64] * 64
    backend.close()
