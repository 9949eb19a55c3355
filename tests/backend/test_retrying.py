"""Requests are repeated while that may help, for a bounded time, and a create never where it may have been taken."""

from collections.abc import Callable, Iterator
from itertools import count

import pytest

from artifactstore.backend.base import Backend, Buffer
from artifactstore.backend.memory import MemoryBackend
from artifactstore.backend.retrying import (
    FIRST_PATIENCE_S,
    LOST_PATIENCE_S,
    THROTTLED_PATIENCE_S,
    RetryingBackend,
)
from artifactstore.clock import SystemClock, SystemRandomness
from artifactstore.errors import (
    ArtifactStoreError,
    ConnectionLost,
    ObjectExists,
    ObjectMissing,
    PermissionRefused,
    StorageFull,
    Throttled,
)
from artifactstore.testing.conformance import BackendConformance
from artifactstore.testing.faulty import FaultyBackend
from artifactstore.testing.simulation import SeededRandomness
from tests.stores import FakeClock

_numbers = count()


class TestRetryingConformance(BackendConformance):
    def make_backend(self) -> Backend:
        inner = MemoryBackend(f"retrying-{next(_numbers)}")
        return RetryingBackend(inner, SystemClock(), SystemRandomness())


class Calls:
    """One backend under test: faults below, a clock that only waiting moves."""

    def __init__(self) -> None:
        self.memory = MemoryBackend(f"retried-{next(_numbers)}")
        self.faulty = FaultyBackend(self.memory)
        self.clock = FakeClock()
        self.backend = RetryingBackend(self.faulty, self.clock, SeededRandomness())

    def answered_once(self) -> None:
        """The server was reached before."""
        self.backend.put("before", b"data")
        self.faulty.reset()


@pytest.fixture
def calls() -> Iterator[Calls]:
    made = Calls()
    made.answered_once()
    yield made
    made.memory.clear()


METHODS: tuple[Callable[[Backend], object], ...] = (
    lambda backend: backend.put("a", b"data"),
    lambda backend: backend.get("before", limit_bytes=10),
    lambda backend: backend.get_range("before", 0, 2),
    lambda backend: backend.size("before"),
    lambda backend: backend.exists("before"),
    lambda backend: list(backend.list("")),
    lambda backend: backend.delete("before"),
    lambda backend: backend.get_many(["before"], limit_bytes=10),
)


@pytest.mark.parametrize("error", [Throttled, ConnectionLost])
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("method", METHODS)
def test_what_may_be_repeated_is(calls: Calls, method: Callable[[Backend], object], when, error) -> None:
    """Whether the request or its answer was lost, the second try gives what the first would have."""
    expected = method(calls.memory) if method is not METHODS[6] else None
    calls.faulty.fail(at=0, when=when, error=error)
    assert method(calls.backend) == expected
    assert len(calls.faulty.operations) == 2
    assert 0 < calls.clock.waited_s <= 0.1


@pytest.mark.parametrize("error", [PermissionRefused, StorageFull, ObjectMissing])
@pytest.mark.parametrize("method", METHODS[:7])
def test_what_does_not_pass_is_not_repeated(
    calls: Calls, method: Callable[[Backend], object], error: type[ArtifactStoreError]
) -> None:
    """Refused, full and missing stay so."""
    calls.faulty.fail(at=0, error=error)
    with pytest.raises(error):
        method(calls.backend)
    assert len(calls.faulty.operations) == 1
    assert calls.clock.waited_s == 0


# --- create ---


def test_a_lost_answer_to_a_create_is_left_to_who_can_tell(calls: Calls) -> None:
    """It was taken or not: neither a success nor a refusal is made of it, and nothing is sent again."""
    calls.faulty.fail(at=0, when="after")
    with pytest.raises(ConnectionLost):
        calls.backend.create("a", b"mine")
    assert [operation.method for operation in calls.faulty.operations] == ["create"]
    assert calls.memory.get("a", limit_bytes=4) == b"mine"


def test_a_throttled_create_is_sent_again(calls: Calls) -> None:
    """The server said that it did not take it."""
    calls.faulty.fail(at=0, error=Throttled)
    calls.backend.create("a", b"mine")
    assert calls.memory.get("a", limit_bytes=4) == b"mine"


def test_a_throttled_create_that_was_taken_meets_its_own_bytes(calls: Calls) -> None:
    """A server that lies about that gives ObjectExists, which never is a success: the log reads the bytes."""
    calls.faulty.fail(at=0, when="after", error=Throttled)
    with pytest.raises(ObjectExists):
        calls.backend.create("a", b"mine")


# --- patience ---


class Storm(MemoryBackend):
    """Fails until the clock has moved on."""

    def __init__(self, clock: FakeClock, until_s: float, error: type[ArtifactStoreError]) -> None:
        super().__init__(f"storm-{next(_numbers)}")
        self.clock, self.until_s, self.error, self.asked = clock, until_s, error, 0

    def put(self, name: str, data: Buffer) -> None:
        self.asked += 1
        if self.clock.waited_s < self.until_s:
            raise self.error("a storm", url=self.url)
        super().put(name, data)


@pytest.mark.parametrize(("error", "length_s"), [(Throttled, 60.0), (ConnectionLost, 40.0)])
def test_storms_are_ridden_out(error: type[ArtifactStoreError], length_s: float) -> None:
    """A minute of 503 or SlowDown, and an outage of 40 s, cost time and nothing else, and few requests."""
    clock = FakeClock()
    storm = Storm(clock, length_s, error)
    backend = RetryingBackend(storm, clock, SeededRandomness())
    backend.exists("answered")
    backend.put("a", b"data")
    assert storm.get("a", limit_bytes=4) == b"data"
    assert storm.asked <= 30


@pytest.mark.parametrize(
    ("error", "answered", "patience_s"),
    [
        (Throttled, True, THROTTLED_PATIENCE_S),
        (Throttled, False, THROTTLED_PATIENCE_S),
        (ConnectionLost, True, LOST_PATIENCE_S),
        (ConnectionLost, False, FIRST_PATIENCE_S),
    ],
)
def test_patience_ends(error: type[ArtifactStoreError], answered: bool, patience_s: float) -> None:
    """For good, the error comes in bounded time, names the place, and says how long it was tried."""
    clock = FakeClock()
    storm = Storm(clock, float("inf"), error)
    backend = RetryingBackend(storm, clock, SeededRandomness())
    if answered:
        backend.exists("answered")
    with pytest.raises(error) as caught:
        backend.put("a", b"data")
    assert patience_s / 2 < clock.waited_s <= patience_s
    assert caught.value.facts["url"] == storm.url
    assert caught.value.facts["tries"] == storm.asked
    assert "tried" in caught.value.message


def test_callers_who_try_again_do_not_multiply_patience() -> None:
    """The outage was waited for once; who asks in the middle of it gets one try."""
    clock = FakeClock()
    storm = Storm(clock, float("inf"), ConnectionLost)
    backend = RetryingBackend(storm, clock, SeededRandomness())
    backend.exists("answered")
    for _ in range(5):
        with pytest.raises(ConnectionLost):
            backend.put("a", b"data")
    assert clock.waited_s <= LOST_PATIENCE_S
    clock.sleep(1000)
    with pytest.raises(ConnectionLost):
        backend.put("a", b"data")
    assert clock.waited_s > 1000 + LOST_PATIENCE_S / 2, "another outage is waited for anew"


def test_an_object_that_never_comes_ends_beside_others_that_do() -> None:
    """Successes of other requests don't make one request endless."""
    clock = FakeClock()
    storm = Storm(clock, float("inf"), ConnectionLost)
    backend = RetryingBackend(storm, clock, SeededRandomness())
    pause = clock.sleep

    def sleep(seconds: float) -> None:
        pause(seconds)
        backend.exists("another")

    clock.sleep = sleep  # type: ignore[method-assign]
    backend.exists("answered")
    with pytest.raises(ConnectionLost):
        backend.put("a", b"data")
    assert clock.waited_s <= LOST_PATIENCE_S


def test_pauses_differ(calls: Calls) -> None:
    """Clients that were refused together don't come back together."""
    pauses = set()
    for seed in range(20):
        clock = FakeClock()
        storm = Storm(clock, 1.0, Throttled)
        RetryingBackend(storm, clock, SeededRandomness(seed)).put("a", b"")
        pauses.add(clock.waited_s)
    assert len(pauses) == 20


def test_closing_ends_the_waiting(calls: Calls) -> None:
    """Who closes a backend is not held up by requests that wait."""
    calls.faulty.fail(at=0, forever=True)
    calls.backend.close()
    with pytest.raises(ConnectionLost):
        calls.backend.put("a", b"data")
    assert len(calls.faulty.operations) == 1
