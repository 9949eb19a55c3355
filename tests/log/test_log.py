"""Following the log: what is void, what is damage, what was taken away, and who wins a slot."""

import msgspec
import pytest

from artifactstore import Store
from artifactstore.backend.base import Backend
from artifactstore.clock import SystemRandomness
from artifactstore.errors import (
    BackendError,
    ConnectionLost,
    Damaged,
    NewerStore,
    ObjectExists,
    PermissionRefused,
    RolledBack,
    StorageFull,
)
from artifactstore.format.limits import RECORD_BYTES_MAX
from artifactstore.format.operations import Sealed
from artifactstore.format.record import Clear, decode_frame, slot_name
from artifactstore.log.merkle import leaf_of, root_of, void_leaf
from artifactstore.log.records import make_record
from artifactstore.testing import FaultyBackend
from tests.stores import FakeClock, make_store, reopened, write_tree

pytestmark = pytest.mark.places("memory", "s3")


@pytest.fixture
def store(tmp_path):
    """A store of four records: create, two versions, an alias."""
    write_tree(tmp_path / "in", {"a": b"one"})
    with make_store(tmp_path) as made:
        made.push([tmp_path / "in"], "p/n")
        write_tree(tmp_path / "in", {"b": b"two"})
        made.push([tmp_path / "in"], "p/n")
        made.add_aliases("p/n:v0", ["first"])
        yield made


def backend_of(store: Store) -> Backend:
    return store._parts.backend


def slots(store: Store) -> int:
    return len(list(backend_of(store).list("log/")))


def record(store: Store, slot: int) -> bytes:
    return backend_of(store).get(slot_name(slot), limit_bytes=RECORD_BYTES_MAX)


def flipped(data: bytes, at: int = 100) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def fresh(tmp_path, store: Store, **options: object) -> Store:
    """A client without memory."""
    return reopened(tmp_path, store, cache="fresh", **options)


def forged(store: Store, **changes: object) -> bytes:
    """A record for the next slot, signed with the store's own key, with a clear part of our choosing."""
    parts = store._parts
    position = parts.log.follow(parts.catalog)
    clear: Clear = decode_frame(record(store, 0), "x").clear
    clear = msgspec.structs.replace(
        clear,
        **{
            "slot": position.next_slot,
            "root": root_of(position.frontier),
            "type": 1,
            "keys": position.keys,
            **changes,
        },
    )
    sealed = Sealed(parts.keyring.slot_id, [], [], [], None, None)
    return _unread_back(clear, sealed, store)


def _unread_back(clear: Clear, sealed: Sealed, store: Store) -> bytes:
    """`make_record` reads back what it makes, which would refuse what is forged here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("artifactstore.log.records._reads_back", lambda *_: True)
        keyring = store._parts.keyring
        return make_record(clear, sealed, keyring, SystemRandomness(), keyring.signer())


# --- what lies in a slot ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "planted", [b"", b"garbage", b"ASTR" + bytes(200), bytes(RECORD_BYTES_MAX + 1)], ids=len
)
def test_a_strangers_object_at_the_head_is_void(tmp_path, store: Store, planted: bytes) -> None:
    """What a stranger puts into the next slot changes nothing; the log goes on behind it (invariant 19)."""
    at = slots(store)
    backend_of(store).create(slot_name(at), planted)
    store.add_aliases("p/n:v1", ["second"])
    assert [entry.kind for entry in store.log(limit=2)] == ["commit", "void"]
    with fresh(tmp_path, store) as other:
        assert other.version("p/n:second").number == 1
        assert other.check(read_data=True).ok
    position = store._parts.catalog.position()
    assert position.next_slot == at + 2


def test_a_strangers_object_far_beyond_the_head_is_no_hole(tmp_path, store: Store) -> None:
    """Garbage beyond the head neither stalls readers nor makes them cry damage."""
    clock = FakeClock()
    backend_of(store).create(slot_name(slots(store) + 3), b"garbage")
    with fresh(tmp_path, store, clock=clock) as other:
        assert other.version("p/n:first").number == 0
    assert clock.waited_s == 0


def test_a_record_of_another_store_is_void(tmp_path, store: Store) -> None:
    """A valid record of a store with the very same member is none here."""
    with make_store(tmp_path) as other:
        other.push([tmp_path / "in"], "p/n")
        foreign = record(other, 1)
    backend_of(store).create(slot_name(slots(store)), foreign)
    assert next(store.log()).kind == "void"


def test_a_record_at_another_slot_is_void(store: Store) -> None:
    """A record that is copied to a later slot is not applied a second time (invariant 4)."""
    backend_of(store).create(slot_name(slots(store)), record(store, 3))
    assert next(store.log()).kind == "void"


def test_a_void_leaf_stands_for_whatever_lies_there(store: Store) -> None:
    """The root after a void slot doesn't depend on the stranger's bytes, which may change at any time."""
    at = slots(store)
    backend_of(store).create(slot_name(at), b"garbage")
    store.refresh()
    frontier = store._parts.catalog.position().frontier
    backend_of(store).put(slot_name(at), b"other garbage")
    store.add_aliases("p/n:v1", ["second"])
    assert frontier[-1] == void_leaf(at)
    assert store.check().ok


@pytest.mark.parametrize("slot", [1, 2])
def test_an_altered_record_is_damaged_at_the_next_one(tmp_path, store: Store, slot: int) -> None:
    """Whoever reads the record after an altered one finds that its root doesn't match (invariant 7)."""
    backend_of(store).put(slot_name(slot), flipped(record(store, slot)))
    with fresh(tmp_path, store) as other, pytest.raises(Damaged) as caught:
        other.projects()
    assert caught.value.facts["object"] == slot_name(slot + 1)


def test_nothing_is_claimed_behind_an_altered_record(tmp_path, store: Store) -> None:
    """A writer that finds damage writes nothing."""
    backend_of(store).put(slot_name(1), flipped(record(store, 1)))
    before = slots(store)
    with fresh(tmp_path, store) as other, pytest.raises(Damaged):
        other.push([tmp_path / "in"], "p/other")
    assert slots(store) == before


def test_swapped_records_are_damaged(tmp_path, store: Store) -> None:
    """Two records in each other's place are void both, and the next one says so."""
    one, two = record(store, 1), record(store, 2)
    backend_of(store).put(slot_name(1), two)
    backend_of(store).put(slot_name(2), one)
    with fresh(tmp_path, store) as other, pytest.raises(Damaged):
        other.projects()


def test_a_fork_is_seen_by_who_knows_the_other_branch(tmp_path, store: Store) -> None:
    """An altered last record looks void to a newcomer, but what the newcomer writes is refused by who saw it."""
    last = slots(store) - 1
    original = record(store, last)
    backend_of(store).put(slot_name(last), flipped(original))
    with fresh(tmp_path, store) as other:
        other.add_aliases("p/n:v1", ["forked"])
    with pytest.raises(Damaged):
        store.projects()
    assert leaf_of(original) != void_leaf(last)


# --- what is missing --------------------------------------------------------------------------------------


def test_a_hole_is_damage_after_patience(tmp_path, store: Store) -> None:
    """An absent slot below a valid record is read again for 30 seconds, and then called damage."""
    clock = FakeClock()
    backend_of(store).delete(slot_name(2))
    with fresh(tmp_path, store, clock=clock) as other, pytest.raises(Damaged, match="missing"):
        other.projects()
    assert 30 <= clock.waited_s < 40


def test_a_hole_that_fills_is_no_damage(tmp_path, store: Store) -> None:
    """A backend that shows a record late costs a wait only."""
    late = record(store, 2)
    backend_of(store).delete(slot_name(2))

    class Late(FakeClock):
        def sleep(self, seconds: float) -> None:
            super().sleep(seconds)
            if self.waited_s == 3:
                backend_of(store).create(slot_name(2), late)

    with fresh(tmp_path, store, clock=Late()) as other:
        assert other.version("p/n").number == 1


def test_a_missing_first_record_is_damage(tmp_path, store: Store) -> None:
    """Records without record 0 are no store that one could make anew, but a damaged one."""
    backend_of(store).delete(slot_name(0))
    with pytest.raises(Damaged, match="0000000000000000 is missing"):
        fresh(tmp_path, store)
    report = store.check()
    assert [problem.object for problem in report.problems] == [slot_name(0)]


@pytest.mark.parametrize("gone", [1, 2])
def test_a_shortened_log_is_refused(store: Store, gone: int) -> None:
    """A log that ends before what this client has applied was rolled back."""
    for slot in range(slots(store) - gone, slots(store)):
        backend_of(store).delete(slot_name(slot))
    with pytest.raises(RolledBack) as caught:
        store.projects()
    assert caught.value.exit_code == 6


def test_a_shortened_log_is_refused_after_reopening(tmp_path, store: Store) -> None:
    """The memory is in the index, so a new process has it too."""
    backend_of(store).delete(slot_name(slots(store) - 1))
    with reopened(tmp_path, store) as again, pytest.raises(RolledBack):
        again.push([tmp_path / "in"], "p/other")


# --- newer releases ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{"type": 99}, {"features": ["tensor-codecs"]}])
def test_a_verified_record_of_an_unknown_kind_stops_the_reader(store: Store, changes: dict) -> None:
    """What a newer release wrote is neither skipped nor guessed at."""
    backend_of(store).create(slot_name(slots(store)), forged(store, **changes))
    with pytest.raises(NewerStore, match=r"newer release|tensor-codecs"):
        store.projects()


def test_an_unverified_record_of_an_unknown_kind_is_void(store: Store) -> None:
    """Without the store's signature nobody can stop readers that way."""
    backend_of(store).create(slot_name(slots(store)), flipped(forged(store, type=99), -1 + 300))
    assert store.version("p/n").number == 1


@pytest.mark.parametrize("changes", [{"generation": 1}, {"slot": 99}, {"store_id": bytes(32)}])
def test_a_record_that_contradicts_its_place_is_void(store: Store, changes: dict) -> None:
    """Generation, slot and store in the clear part must be those of the place."""
    backend_of(store).create(slot_name(slots(store)), forged(store, **changes))
    assert next(store.log()).kind == "void"


def test_a_record_whose_sealed_part_does_not_open_applies_nothing(tmp_path, store: Store) -> None:
    """It is valid, so the log goes on with its leaf, and nobody applies it."""
    from artifactstore.crypto.suite import SALT_SIZE_BYTES, TAG_SIZE_BYTES
    from artifactstore.format.record import SIGNING_CONTEXT, encode_associated

    at = slots(store)
    clear = decode_frame(forged(store), "x").clear
    sealed = bytes(SALT_SIZE_BYTES + 10 + TAG_SIZE_BYTES)
    signed = encode_associated(clear, len(sealed)) + sealed
    key = store._parts.keyring.signing_key
    assert key is not None
    backend_of(store).create(slot_name(at), signed + key.sign(SIGNING_CONTEXT + signed))
    store.add_aliases("p/n:v1", ["second"])
    with fresh(tmp_path, store) as other:
        assert other.version("p/n:second").number == 1
    assert store._parts.catalog.position().next_slot == at + 2


# --- claiming --------------------------------------------------------------------------------------------


def faulty(store: Store) -> FaultyBackend:
    """Put a faulty backend under an open store's log."""
    backend = FaultyBackend(backend_of(store))
    store._parts.log._backend = backend
    store._parts.log._clock = FakeClock()
    return backend


def creates(backend: FaultyBackend) -> list[str]:
    return [operation.name for operation in backend.operations if operation.method == "create"]


def operations_before_create(store: Store) -> int:
    """How many calls an alias makes before it creates its record."""
    backend = faulty(store)
    store.add_aliases("p/n:v0", ["probe"])
    at = next(i for i, operation in enumerate(backend.operations) if operation.method == "create")
    store._parts.log._backend = backend.inner
    return at


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_lost_answer_is_asked_again_with_the_same_bytes(store: Store, when: str) -> None:
    """Whether the create took effect or not, the operation is applied exactly once (invariant 4)."""
    at = operations_before_create(store)
    before = slots(store)
    backend = faulty(store)
    backend.fail(at=at, when=when, error=ConnectionLost)
    store.add_aliases("p/n:v1", ["second"])
    assert len(set(creates(backend))) == 1
    assert slots(store) == before + 1
    assert store.version("p/n:second").number == 1


def test_a_slot_that_was_lost_is_left_to_its_winner(tmp_path, store: Store) -> None:
    """Who loses a slot reads the winner's record and takes the next one."""
    with fresh(tmp_path, store) as other:
        other.refresh()
        log, done = store._parts.log, []
        original = log._create

        def raced(slot: int, data: bytes) -> bool:
            if not done:
                done.append(other.add_aliases("p/n:v1", ["winner"]))
            return original(slot, data)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(log, "_create", raced)
            store.add_aliases("p/n:v1", ["loser"])
        assert other.version("p/n:loser").aliases == ("latest", "loser", "winner")
        assert [entry.operations for entry in other.log(limit=2)] == [
            ("alias p/n:v1 loser",),
            ("alias p/n:v1 winner",),
        ]


class Returning(FakeClock):
    """The backend is back once it was waited for so long."""

    def __init__(self, backend: FaultyBackend, after_s: float) -> None:
        super().__init__()
        self._backend = backend
        self._after_s = after_s

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.waited_s >= self._after_s:
            self._backend.heal()


def test_a_connection_that_is_cut_for_most_of_a_minute_is_waited_for(store: Store) -> None:
    """A record is worth as much patience as anything else, and still applied exactly once."""
    at = operations_before_create(store)
    before = slots(store)
    backend = faulty(store)
    store._parts.log._clock = Returning(backend, after_s=50)
    backend.fail(at=at, forever=True, error=ConnectionLost)
    store.add_aliases("p/n:v1", ["second"])
    assert len(creates(backend)) > 5
    assert len(set(creates(backend))) == 1
    assert slots(store) == before + 1
    assert store.version("p/n:second").number == 1


@pytest.mark.parametrize(("error", "least_s", "most_s"), [(ConnectionLost, 45, 60), (BackendError, 1, 2)])
def test_a_backend_that_stays_away_ends_with_its_error(
    store: Store, error: type[BackendError], least_s: float, most_s: float
) -> None:
    """After a bounded time the error is raised, and nothing was changed."""
    at = operations_before_create(store)
    before = slots(store)
    backend = faulty(store)
    clock = store._parts.log._clock
    backend.fail(at=at, forever=True, error=error)
    with pytest.raises(error):
        store.add_aliases("p/n:v1", ["second"])
    assert least_s <= clock.waited_s <= most_s
    assert slots(store) == before


def test_a_full_backend_is_not_asked_again(store: Store) -> None:
    """`StorageFull` is final: waiting makes no space."""
    at = operations_before_create(store)
    backend = faulty(store)
    backend.fail(at=at, error=StorageFull)
    with pytest.raises(StorageFull):
        store.add_aliases("p/n:v1", ["second"])
    assert len(creates(backend)) == 1


def test_an_exclusive_create_never_overwrites(store: Store) -> None:
    """The slot of a record is taken for ever."""
    with pytest.raises(ObjectExists):
        backend_of(store).create(slot_name(1), b"mine")


def test_a_reader_without_the_signing_key_is_refused(store: Store) -> None:
    """A member who may only read gets a word about it, and nothing is written."""
    store._parts.keyring.signing_key = None
    before = slots(store)
    with pytest.raises(PermissionRefused, match="not write"):
        store.add_aliases("p/n:v1", ["second"])
    assert slots(store) == before
