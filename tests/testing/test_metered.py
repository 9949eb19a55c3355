"""The counting backend: requests, bytes and rounds, the same for every medium."""

import threading
from itertools import count

import pytest

from artifactstore.backend.base import Backend, ByteRange
from artifactstore.backend.memory import MemoryBackend
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.errors import ArtifactStoreError, ConnectionLost, ObjectExists, ObjectMissing
from artifactstore.testing import Asked, FaultyBackend, MeteredBackend
from artifactstore.testing.conformance import BackendConformance

_numbers = count()


def make_memory() -> MemoryBackend:
    return MemoryBackend(f"metered-{next(_numbers)}")


class TestMeteredConformance(BackendConformance):
    def make_backend(self) -> Backend:
        return MeteredBackend(make_memory())


def test_requests_and_bytes_are_counted() -> None:
    """Each method's calls and bytes are counted, and those that failed moved none."""
    backend = MeteredBackend(make_memory())
    backend.create("a", b"abc")
    backend.put("b", b"defgh")
    backend.get("a", limit_bytes=10)
    backend.get_range("b", 1, 2)
    backend.size("a")
    backend.exists("a")
    list(backend.list(""))
    backend.delete("b")
    with pytest.raises(ObjectMissing):
        backend.get("nothing", limit_bytes=10)
    with pytest.raises(ObjectExists):
        backend.create("a", memoryview(b"abc"))
    once = ("create", "put", "get", "get_range", "size", "exists", "list", "delete")
    assert backend.requests == {**dict.fromkeys(once, 1), "get": 2, "create": 2}
    assert backend.transferred_bytes == {"create": 3, "put": 5, "get": 3, "get_range": 2}
    assert backend.round_trips == 10
    backend.reset()
    assert (backend.requests, backend.transferred_bytes) == ({}, {})
    assert (backend.asked, backend.round_trips) == ([], 0)


@pytest.mark.parametrize(("requests", "rounds"), [(0, 0), (1, 1), (64, 1), (65, 2), (200, 4)])
def test_sixty_four_requests_made_together_are_one_round(requests: int, rounds: int) -> None:
    """What is asked for together counts once for each 64."""
    backend = MeteredBackend(make_memory())
    assert backend.exist_many(["a"] * requests) == [False] * requests
    assert backend.round_trips == rounds
    assert backend.requests["exists"] == requests


def test_a_request_after_an_answer_is_a_round_later() -> None:
    """Rounds say what stood behind what, also for who looks at single requests."""
    backend = MeteredBackend(make_memory())
    backend.put("a", b"abc")
    backend.get_ranges([ByteRange("a", 0, 1), ByteRange("a", 1, 2)])
    backend.exists("a")
    assert [asked.round for asked in backend.asked] == [1, 2, 2, 3]
    assert backend.asked[1] == Asked(2, "get_range", "a")


def test_requests_that_overlap_are_one_round() -> None:
    """Two threads that wait for answers at the same time wait for one round trip."""
    both = threading.Barrier(2)

    class Meeting(WrapperBackend):
        def exists(self, name: str) -> bool:
            both.wait()
            return self.inner.exists(name)

    backend = MeteredBackend(Meeting(make_memory()))
    threads = [threading.Thread(target=backend.exists, args=("a",)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (backend.round_trips, backend.requests["exists"]) == (1, 2)


def test_a_retry_within_a_lot_is_one_round_more() -> None:
    """A call that asks twice makes its lot two rounds long, however many others ask once."""

    class Again(WrapperBackend):
        def exists(self, name: str) -> bool:
            try:
                return self.inner.exists(name)
            except ConnectionLost:
                return self.inner.exists(name)

    faulty = FaultyBackend(make_memory())
    faulty.fail(at=1)
    metered = MeteredBackend(faulty)
    assert Again(metered).exist_many(["a", "b", "c"]) == [False, False, False]
    assert [(asked.round, asked.name) for asked in metered.asked] == [
        (1, "a"),
        (1, "b"),
        (2, "b"),
        (1, "c"),
    ]
    assert metered.round_trips == 2


def test_errors_stay_with_their_request() -> None:
    """An error of one request is its answer, and no other's."""
    backend = MeteredBackend(make_memory())
    backend.put("a", b"abc")
    found, missing = backend.get_many(["a", "b"], limit_bytes=3)
    assert found == b"abc"
    assert isinstance(missing, ArtifactStoreError)
