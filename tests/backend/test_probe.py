"""The probe: honest backends pass and are left clean, each kind of liar is refused."""

from collections import Counter
from collections.abc import Iterator
from itertools import count

import pytest

from artifactstore import executors
from artifactstore.backend.base import Backend, Buffer
from artifactstore.backend.local import LocalBackend
from artifactstore.backend.memory import MemoryBackend
from artifactstore.backend.probe import PROBE_PREFIX, probe
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.clock import SystemRandomness
from artifactstore.errors import (
    ConnectionLost,
    ObjectExists,
    PermissionRefused,
    StorageFull,
    UntrustedBackend,
)
from artifactstore.executors import Executors
from artifactstore.testing.faulty import FaultyBackend

_numbers = count()


@pytest.fixture(params=["threads", "inline"])
def pools(request: pytest.FixtureRequest) -> Iterator[Executors]:
    if request.param == "inline":
        yield executors.inline()
        return
    with executors.threads(width=1, io_width=8) as made:
        yield made


@pytest.fixture
def memory() -> MemoryBackend:
    return MemoryBackend(f"probe-{next(_numbers)}")


class Overwriting(WrapperBackend):
    """A server that ignores the condition: every create succeeds."""

    def create(self, name: str, data: Buffer) -> None:
        self.inner.put(name, data)


class RefusingTooLate(WrapperBackend):
    """A server that refuses, but has overwritten the object already."""

    def create(self, name: str, data: Buffer) -> None:
        taken = self.inner.exists(name)
        self.inner.put(name, data)
        if taken:
            raise ObjectExists("taken")


class LosingAnswers(WrapperBackend):
    """A library that sends again after a lost answer, and meets its own bytes."""

    def create(self, name: str, data: Buffer) -> None:
        self.inner.create(name, data)
        raise ObjectExists("taken, by this very call")


class CheckingFirst(WrapperBackend):
    """A library that looks and then writes; the gap is held open until several are in it."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.seen: dict[str, int] = {}

    def create(self, name: str, data: Buffer) -> None:
        racers = self.seen[name] = self.seen.get(name, 0) + 1
        if racers > 1 and len(self.seen) == 1:
            raise ObjectExists("taken")
        self.inner.put(name, data)


class Disconnecting(WrapperBackend):
    """A network that loses the answer to every create of a name but the third."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.asked: Counter[str] = Counter()

    def create(self, name: str, data: Buffer) -> None:
        self.asked[name] += 1
        try:
            self.inner.create(name, data)
        finally:
            if self.asked[name] % 3:
                raise ConnectionLost("the answer was lost")


def test_lost_answers_are_no_lies(memory: MemoryBackend, pools: Executors) -> None:
    """Where nobody is told who won, what is kept tells; an honest backend passes behind a bad network."""
    probe(Disconnecting(memory), SystemRandomness(), pools)
    assert list(memory.list("")) == []


@pytest.mark.parametrize("kind", ["memory", "local"])
def test_honest_backends_pass_and_are_left_clean(
    kind: str, memory: MemoryBackend, tmp_path: object, pools: Executors
) -> None:
    """What keeps the promise passes, and no object of the probe stays."""
    backend = memory if kind == "memory" else LocalBackend(str(tmp_path))
    probe(backend, SystemRandomness(), pools)
    assert list(backend.list("")) == []


@pytest.mark.parametrize("liar", [Overwriting, RefusingTooLate, CheckingFirst])
def test_liars_are_refused(liar: type[WrapperBackend], memory: MemoryBackend, pools: Executors) -> None:
    """A backend with two winners, or a loser that changes the object, is refused with the reason."""
    with pytest.raises(UntrustedBackend) as caught:
        probe(liar(memory), SystemRandomness(), pools)
    assert caught.value.facts["reason"]
    assert "single_writer" in caught.value.next_step
    assert list(memory.list("")) == []


def test_a_known_doubt_is_enough(memory: MemoryBackend, pools: Executors) -> None:
    """A backend that says itself that it can't is refused before anything is written."""

    class Doubted(WrapperBackend):
        @property
        def create_doubt(self) -> str:
            return "it looks before it writes"

    counting = FaultyBackend(memory)
    with pytest.raises(UntrustedBackend, match="it looks before it writes"):
        probe(Doubted(counting), SystemRandomness(), pools)
    assert counting.operations == []


def test_lost_answers_are_not_lies(memory: MemoryBackend, pools: Executors) -> None:
    """A create that is refused because of its own first attempt is no second winner."""
    probe(LosingAnswers(memory), SystemRandomness(), pools)
    assert list(memory.list("")) == []


def test_a_name_that_was_taken_before_is_an_error(memory: MemoryBackend, pools: Executors) -> None:
    """Where the first create of a fresh random name meets other bytes, the refusal is passed on."""

    class Constant:
        def __init__(self) -> None:
            self.calls = 0

        def token(self, size: int) -> bytes:
            self.calls += 1
            return bytes([self.calls]) * size

    memory.put(PROBE_PREFIX + "01" * 16, b"other")
    with pytest.raises(ObjectExists):
        probe(memory, Constant(), pools)


@pytest.mark.parametrize("at", range(12))
def test_other_failures_are_passed_on(at: int, memory: MemoryBackend, pools: Executors) -> None:
    """A probe that could not be carried out says why, and never that the backend is bad or good."""
    faulty = FaultyBackend(memory)
    faulty.fail(at=at, error=StorageFull)
    with pytest.raises(StorageFull):
        probe(faulty, SystemRandomness(), pools)
    assert list(memory.list("")) == []


def test_a_dead_network_is_no_verdict(memory: MemoryBackend, pools: Executors) -> None:
    """Where no answer comes at all, that is what is said."""
    faulty = FaultyBackend(memory)
    faulty.fail(at=0, forever=True)
    with pytest.raises(ConnectionLost):
        probe(faulty, SystemRandomness(), pools)


def test_objects_that_may_not_be_deleted_stay(memory: MemoryBackend, pools: Executors) -> None:
    """A bucket that may be written to but not deleted from is good enough."""

    class Keeping(WrapperBackend):
        def delete(self, name: str) -> None:
            raise PermissionRefused("never")

    probe(Keeping(memory), SystemRandomness(), pools)
    names = [info.name for info in memory.list("")]
    assert names
    assert all(name.startswith(PROBE_PREFIX) for name in names)
