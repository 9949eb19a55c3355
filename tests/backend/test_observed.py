"""An observed backend keeps the contract, and tells of each request once: what it was, its bytes, how it ended."""

import pytest

from artifactstore.backend.base import ByteRange
from artifactstore.backend.memory import MemoryBackend
from artifactstore.backend.observed import ObservedBackend
from artifactstore.errors import ObjectMissing
from artifactstore.observer import RequestDone, Watch
from tests.stores import FakeClock, memory_url


class Seen:
    def __init__(self) -> None:
        self.requests: list[RequestDone] = []

    def operation_started(self, store: str, operation: str) -> None:
        raise AssertionError

    operation_done = operation_started  # type: ignore[assignment]

    def request_done(self, done: RequestDone) -> None:
        self.requests.append(done)


def observed(seen: Seen) -> ObservedBackend:
    return ObservedBackend(MemoryBackend(memory_url()), Watch(seen, FakeClock().monotonic_s))


def test_each_request_is_told_with_its_bytes() -> None:
    """Those that are made together one by one, failed ones with their kind and no bytes."""
    seen = Seen()
    backend = observed(seen)
    backend.create("a", b"12345")
    backend.put("b", bytearray(7))
    assert backend.get("a", limit_bytes=10) == b"12345"
    assert list(backend.get_ranges([ByteRange("a", 1, 2), ByteRange("b", 0, 3)])) == [b"23", bytes(3)]
    with pytest.raises(ObjectMissing):
        backend.get("c", limit_bytes=10)
    assert (backend.size("a"), backend.exists("a"), len(list(backend.list("")))) == (5, True, 2)
    assert not backend.traces("c")
    backend.erase("a")
    backend.delete("b")
    assert [(done.method, done.sent_bytes, done.received_bytes, done.error) for done in seen.requests] == [
        ("create", 5, 0, None),
        ("put", 7, 0, None),
        ("get", 0, 5, None),
        ("get_range", 0, 2, None),
        ("get_range", 0, 3, None),
        ("get", 0, 0, "object-missing"),
        ("size", 0, 0, None),
        ("exists", 0, 0, None),
        ("list", 0, 0, None),
        ("traces", 0, 0, None),
        ("erase", 0, 0, None),
        ("delete", 0, 0, None),
    ]
