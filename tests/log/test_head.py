"""Finding the end of a log: right for every length, and in few round trips."""

import pytest

from artifactstore.backend.memory import MemoryBackend
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.errors import ObjectMissing
from artifactstore.format.record import slot_name
from artifactstore.log import head
from artifactstore.log.head import find_end, glance
from artifactstore.log.signers import Signers
from artifactstore.log.slots import Slots
from artifactstore.testing import MeteredBackend
from tests.stores import make_store, memory_url, write_tree


class Filled(WrapperBackend):
    """A log of so many slots, each with the same bytes, none of which is stored."""

    def __init__(self, count: int) -> None:
        super().__init__(MemoryBackend(memory_url()))
        self.count = count

    def get(self, name: str, *, limit_bytes: int) -> bytes:
        if not self.exists(name):
            raise ObjectMissing(name)
        return b"garbage"[:limit_bytes]

    def exists(self, name: str) -> bool:
        return int(name.removeprefix("log/")) < self.count


@pytest.mark.parametrize(
    ("count", "rounds"),
    [
        *((count, 2) for count in (1, 2, 3, 31, 63, 64)),
        *((count, 3) for count in (65, 66, 128, 4095, 4096, 4097, 5000, 100_000, 32 * 4096)),
        *((count, 4) for count in (32 * 4096 + 1, 300_000, 600_000)),
        *((count, 5) for count in (700_000, 5_000_000, 40_000_000)),
        *((count, 7) for count in (10**9,)),
        (10**11, 12),
    ],
)
def test_the_head_is_found_in_few_round_trips(
    monkeypatch: pytest.MonkeyPatch, count: int, rounds: int
) -> None:
    """Slots are asked about and the last ones read in three round trips of at most 64, in a few more for long logs."""
    monkeypatch.setattr(head, "_VOID_RUN_MAX", 1)
    backend = MeteredBackend(Filled(count))
    slots = Slots(backend)
    assert find_end(slots, glance(slots), Signers(bytes(32))).head == count
    assert backend.round_trips <= rounds
    assert sum(backend.requests.values()) <= 64 * rounds


def test_an_empty_place_is_seen_at_a_glance() -> None:
    """Without record 0 there is nothing to search."""
    assert glance(Slots(Filled(0))).first is None


def test_the_last_valid_record_is_found_behind_void_slots(tmp_path) -> None:
    """What strangers put into the last slots is passed over, more of them than one round trip reads too."""
    write_tree(tmp_path / "in", {"a": b"one"})
    with make_store(tmp_path) as store:
        store.push([tmp_path / "in"], "p/n")
        backend = store._parts.backend
        for slot in range(2, 150):
            backend.create(slot_name(slot), b"garbage")
        slots = Slots(backend)
        end = find_end(slots, glance(slots), Signers(bytes.fromhex(store.id)))
        assert (end.head, end.slot) == (150, 1)
        assert end.clear is not None
        assert end.clear.slot == 1
