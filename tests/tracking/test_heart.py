"""Hearts: they beat through failures, stop when told, and give up after a day asleep."""

import threading

from artifactstore.backend.memory import MemoryBackend
from artifactstore.catalog.signs import ASLEEP_MS
from artifactstore.errors import ConnectionLost
from artifactstore.format.alive import alive_name, encode_alive
from artifactstore.tracking.heart import Heart

RUN, STORE_ID = bytes(range(16)), bytes(32)


class Standing:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.ns = 10**18

    def now_ns(self) -> int:
        return self.ns

    def monotonic_s(self) -> float:
        return self.ns / 1e9

    def sleep(self, seconds: float) -> None:
        self.ns += int(seconds * 1e9)


class Failing(MemoryBackend):
    """Fails so many times."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures
        self.enough = threading.Event()

    def put(self, name: str, data: object) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionLost("gone")
        super().put(name, data)  # type: ignore[arg-type]
        self.enough.set()


def test_a_failure_is_not_the_end() -> None:
    """It goes on trying, and its object has the bytes of the format."""
    backend = Failing(3)
    heart = Heart(lambda: backend, STORE_ID, RUN, Standing(), every_s=0.005)
    heart.start()
    assert backend.enough.wait(30)
    heart.stop()
    heart.stop()
    assert backend.get(alive_name(RUN), limit_bytes=100) == encode_alive(STORE_ID)
    assert encode_alive(STORE_ID) == b"ASTB\0\1\1\0" + bytes(32)


def test_whoever_slept_for_a_day_gives_no_more_signs() -> None:
    """A sweep may be condemning the object that one more would bring back."""
    backend, clock = Failing(0), Standing()
    heart = Heart(lambda: backend, STORE_ID, RUN, clock)
    assert heart.beat()
    clock.sleep(ASLEEP_MS / 1000)
    assert heart.beat()
    backend.delete(alive_name(RUN))
    clock.sleep(ASLEEP_MS / 1000 + 1)
    assert not heart.beat()
    assert not backend.exists(alive_name(RUN))
