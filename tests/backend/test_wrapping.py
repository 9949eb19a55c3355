"""The wrappers: passing on, and keeping to a rate on a clock that the test owns."""

import threading
from collections.abc import Iterator
from itertools import count

import pytest

from artifactstore.backend.base import Backend
from artifactstore.backend.memory import MemoryBackend
from artifactstore.backend.wrapping import ThrottledBackend, WrapperBackend
from artifactstore.clock import SystemClock
from artifactstore.errors import ConnectionLost
from artifactstore.testing.conformance import BackendConformance

_numbers = count()


class FakeClock:
    """Time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.time_s = 100.0

    def now_ns(self) -> int:
        return int(self.time_s * 1e9)

    def monotonic_s(self) -> float:
        return self.time_s

    def sleep(self, seconds: float) -> None:
        self.time_s += seconds


class TestWrapperConformance(BackendConformance):
    def make_backend(self) -> Backend:
        return WrapperBackend(MemoryBackend(f"wrapped-{next(_numbers)}"))


class TestThrottledConformance(BackendConformance):
    def make_backend(self) -> Backend:
        return ThrottledBackend(MemoryBackend(f"throttled-{next(_numbers)}"), 1e12, 1e12, SystemClock())


@pytest.fixture
def memory() -> Iterator[MemoryBackend]:
    backend = MemoryBackend("throttling")
    yield backend
    backend.clear()


def test_a_wrapper_passes_on_what_it_wraps(memory: MemoryBackend) -> None:
    """URL and doubt are those of the inner backend, and closing closes it."""

    class Doubted(MemoryBackend):
        closed = False

        @property
        def create_doubt(self) -> str:
            return "no reason"

        def close(self) -> None:
            self.closed = True

    inner = Doubted("doubted")
    wrapper = WrapperBackend(inner)
    assert (wrapper.url, wrapper.create_doubt) == ("memory://doubted", "no reason")
    wrapper.close()
    assert inner.closed


def test_uploads_keep_to_their_rate(memory: MemoryBackend) -> None:
    """Creates and puts take as long as their bytes do at the rate, one after the other."""
    clock = FakeClock()
    backend = ThrottledBackend(memory, 1000, None, clock)
    backend.create("a", bytes(500))
    assert clock.time_s == pytest.approx(100.5)
    backend.put("a", memoryview(bytes(2000)))
    assert clock.time_s == pytest.approx(102.5)
    assert backend.get("a", limit_bytes=2000) == bytes(2000)
    assert clock.time_s == pytest.approx(102.5)


def test_downloads_keep_to_their_rate(memory: MemoryBackend) -> None:
    """Gets and ranges are paid for by what they brought; what brings no bytes is free."""
    clock = FakeClock()
    backend = ThrottledBackend(memory, None, 100, clock)
    backend.create("a", bytes(50))
    backend.get("a", limit_bytes=1 << 20)
    assert clock.time_s == pytest.approx(100.5)
    backend.get_range("a", 10, 10)
    assert clock.time_s == pytest.approx(100.6)
    backend.get_range("a", 10, 0)
    backend.size("a")
    backend.exists("a")
    list(backend.list(""))
    backend.delete("a")
    assert clock.time_s == pytest.approx(100.6)


def test_idle_time_earns_no_burst(memory: MemoryBackend) -> None:
    """After a pause the rate holds from the first byte on."""
    clock = FakeClock()
    backend = ThrottledBackend(memory, 1000, None, clock)
    clock.sleep(3600)
    started_s = clock.time_s
    for turn in range(4):
        backend.put(f"a/{turn}", bytes(500))
    assert clock.time_s - started_s == pytest.approx(2)


def test_threads_share_one_rate(memory: MemoryBackend) -> None:
    """The limit is of the backend, not of each thread: the last of four waits for all."""
    clock = FakeClock()
    backend = ThrottledBackend(memory, 1000, None, clock)
    threads = [threading.Thread(target=backend.put, args=(f"a/{turn}", bytes(500))) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert clock.time_s >= 102


def test_closing_ends_a_wait(memory: MemoryBackend) -> None:
    """A transfer that waits for hours ends soon after the backend is closed."""

    class ClosingClock(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            backend.close()

    clock = ClosingClock()
    backend = ThrottledBackend(memory, 1, None, clock)
    with pytest.raises(ConnectionLost, match="closed"):
        backend.create("a", bytes(3600))
    assert clock.time_s < 101
    assert not memory.exists("a")


@pytest.mark.parametrize("rate", [0, -1])
def test_rates_are_positive(memory: MemoryBackend, rate: int) -> None:
    """A rate at which nothing would ever move is a mistake."""
    with pytest.raises(ValueError, match="positive"):
        ThrottledBackend(memory, rate, None, FakeClock())
