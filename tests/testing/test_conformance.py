"""The conformance suite itself: it must fail backends that break the contract."""

from itertools import count

import pytest

from artifactstore.backend.base import Backend, Buffer
from artifactstore.backend.memory import MemoryBackend
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.testing.conformance import BackendConformance, race_create

_numbers = count()


class Overwriting(WrapperBackend):
    def create(self, name: str, data: Buffer) -> None:
        self.inner.put(name, data)


class Clamping(WrapperBackend):
    """Returns fewer bytes at the end of an object, as slices do."""

    def get_range(self, name: str, start: int, length: int) -> bytes:
        return self.inner.get(name, limit_bytes=1 << 30)[start : start + length]


class Forgetful(WrapperBackend):
    """Says that everything was deleted, and deletes nothing."""

    def delete(self, name: str) -> None:
        self.inner.exists(name)


class Suite(BackendConformance):
    """Not collected: its name doesn't start with Test."""

    def make_backend(self) -> Backend:
        return MemoryBackend(f"suite-{next(_numbers)}")


def test_a_race_without_exclusion_has_many_winners() -> None:
    """The race tells every winner, so a suite can count them."""
    backend = Overwriting(Suite().make_backend())
    assert race_create(backend, "a", [b"1", b"2", b"3"]) == [b"1", b"2", b"3"]
    assert race_create(backend.inner, "a", [b"1", b"2"]) == []


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Overwriting, "test_create_refuses_a_name_that_is_taken"),
        (Overwriting, "test_create_has_one_winner_of_twenty_threads"),
        (Clamping, "test_ranges_past_the_end_are_truncated"),
        (Forgetful, "test_delete_is_idempotent"),
    ],
)
def test_broken_backends_fail_the_suite(broken: type[WrapperBackend], test: str) -> None:
    """Each promise that a backend breaks has a test in the suite that says so."""
    suite = Suite()
    getattr(suite, test)(suite.make_backend())
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(suite, test)(broken(suite.make_backend()))
