"""Check finds what is wrong and names it: packs, records, keys, manifests, the log's length; and says nothing else."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.backend.base import Backend
from artifactstore.errors import ArtifactStoreError, Damaged, RolledBack
from artifactstore.executors import inline
from artifactstore.format.limits import RECORD_BYTES_MAX
from artifactstore.format.pack import PackedChunk
from artifactstore.format.page import Content, Kind
from artifactstore.format.record import slot_name
from artifactstore.index.tables import CHUNKS
from artifactstore.maintenance import pack_check
from artifactstore.maintenance.findings import CheckReport
from artifactstore.pack.reader import PackRef
from tests.stores import RudeWriter, make_store, noise, reopened, state_of, write_tree

pytestmark = pytest.mark.places("memory", "s3")


@pytest.fixture
def store(tmp_path: Path):
    with make_store(tmp_path) as made:
        for number in range(4):
            write_tree(
                tmp_path / "in", {f"f{number}": noise(300_000, number), f"t{number}": b"text" * number}
            )
            made.push([tmp_path / "in"], "p/n")
        yield made


def packs(store: Store) -> list[str]:
    return [info.name for info in store._parts.backend.list("packs/")]


def get(store: Store, name: str) -> bytes:
    return store._parts.backend.get(name, limit_bytes=1 << 30)


def objects(report: CheckReport) -> set[str]:
    return {problem.object for problem in report.problems}


@pytest.mark.parametrize("read_data", [False, True])
def test_a_whole_store_has_no_problems(store: Store, read_data: bool) -> None:
    """Everything is looked at, nothing is reported, and nothing is written."""
    before = state_of(store)
    report = store.check(read_data=read_data)
    assert (report.problems, report.ok) == ((), True)
    assert (report.records, report.packs, report.versions) == (5, len(packs(store)), 4)
    sizes = sum(len(get(store, name)) for name in packs(store))
    assert report.bytes_read == (sizes if read_data else 0)
    assert state_of(store) == before


def test_a_sample_reads_a_part(store: Store) -> None:
    """A percentage of the packs is read, by chance; 0 of them is none."""
    assert store.check(read_data=True, sample_percent=0).bytes_read == 0
    sizes = {store.check(read_data=True, sample_percent=50).bytes_read for _ in range(12)}
    assert len(sizes) > 1


# --- packs -----------------------------------------------------------------------------------------------------


def cut_short(data: bytes) -> bytes:
    return data[:-1]


def cut_to_nothing(_: bytes) -> bytes:
    return b""


def altered_end(data: bytes) -> bytes:
    return data[:-20] + bytes([data[-20] ^ 1]) + data[-19:]


def continued(data: bytes) -> bytes:
    return data + data[-1:]


@pytest.mark.parametrize("change", [cut_short, cut_to_nothing, altered_end, continued])
@pytest.mark.parametrize("read_data", [False, True])
def test_every_pack_that_was_changed_is_named(
    store: Store, change: Callable[[bytes], bytes], read_data: bool
) -> None:
    """Cuts and alterations of what stands at the end show without reading the data."""
    for name in packs(store):
        good = get(store, name)
        store._parts.backend.put(name, change(good))
        assert name in objects(_fresh(store).check(read_data=read_data))
        store._parts.backend.put(name, good)
    assert store.check(read_data=True).ok


def _fresh(store: Store) -> Store:
    """Forget opened blobs, which a check must not take for what lies on the backend."""
    reader = store._parts.reader
    reader._blobs.clear()
    reader._blob_bytes = 0
    return store


@pytest.mark.parametrize("at", [0, 3, 40, 48, 100, -200])
def test_a_single_altered_bit_is_found_by_reading(store: Store, at: int) -> None:
    """Header, blobs and footer: `check --read-data` reads them all."""
    for name in packs(store):
        good = get(store, name)
        place = at % len(good)
        store._parts.backend.put(name, good[:place] + bytes([good[place] ^ 8]) + good[place + 1 :])
        assert name in objects(_fresh(store).check(read_data=True))
        store._parts.backend.put(name, good)


def test_swapped_packs_are_found(store: Store) -> None:
    """Two packs in each other's place are both named."""
    one, other = packs(store)[:2]
    first, second = get(store, one), get(store, other)
    store._parts.backend.put(one, second)
    store._parts.backend.put(other, first)
    for read_data in False, True:
        assert {one, other} <= objects(_fresh(store).check(read_data=read_data))


@pytest.mark.parametrize("read_data", [False, True])
def test_a_missing_pack_is_found(store: Store, read_data: bool) -> None:
    """One that is gone is named, and so are the versions that need its pages."""
    for name in packs(store):
        good = get(store, name)
        store._parts.backend.delete(name)
        report = _fresh(store).check(read_data=read_data)
        assert name in objects(report)
        assert {problem.kind for problem in report.problems} == {"damaged"}
        store._parts.backend.put(name, good)


def test_a_pack_of_another_store_is_found(tmp_path: Path, store: Store) -> None:
    """Even one that its own store would find whole."""
    with make_store(tmp_path) as other:
        other.push([tmp_path / "in"], "p/n")
        foreign = get(other, packs(other)[0])
    name = packs(store)[0]
    store._parts.backend.put(name, foreign)
    assert name in objects(store.check())


def test_what_is_damaged_can_be_pushed_again(tmp_path: Path, store: Store) -> None:
    """A report names objects and versions, not a dead end: other versions are still whole."""
    name = max(packs(store), key=lambda one: len(get(store, one)))
    store._parts.backend.delete(name)
    report = _fresh(store).check(read_data=True)
    assert not report.ok
    assert report.packs == len(packs(store)) + 1


# --- records and keys ------------------------------------------------------------------------------------------


def record(store: Store, slot: int) -> bytes:
    return store._parts.backend.get(slot_name(slot), limit_bytes=RECORD_BYTES_MAX)


def altered(store: Store, slot: int) -> bytes:
    data = record(store, slot)
    return data[:90] + bytes([data[90] ^ 1]) + data[91:]


@pytest.mark.parametrize("slot", [0, 1, 2, 3])
def test_an_altered_record_is_found(store: Store, slot: int) -> None:
    """The record after it was signed over another one."""
    store._parts.backend.put(slot_name(slot), altered(store, slot))
    report = store.check()
    assert objects(report) == {slot_name(slot + 1)}


def test_the_last_record_altered_is_refused_before_anything_else(store: Store) -> None:
    """A client that applied it knows its leaf; nothing is built upon another one."""
    store._parts.backend.put(slot_name(4), altered(store, 4))
    for operation in (store.check, store.projects, lambda: store.add_tags("p/n", ["a"])):
        with pytest.raises(RolledBack, match="log/0000000000000004"):
            operation()


@pytest.mark.parametrize("slot", [1, 2, 3])
def test_a_record_from_elsewhere_is_found(tmp_path: Path, store: Store, slot: int) -> None:
    """A record of another store, or another slot's, in the place of one."""
    with make_store(tmp_path) as other:
        other.push([tmp_path / "in"], "p/n")
        foreign = record(other, 1)
    for data in (foreign, record(store, slot + 1), record(store, slot - 1)):
        good = record(store, slot)
        store._parts.backend.put(slot_name(slot), data)
        assert objects(store.check()) == {slot_name(slot + 1)}
        store._parts.backend.put(slot_name(slot), good)
    assert store.check().ok


@pytest.mark.parametrize("slot", [0, 1, 3])
def test_a_missing_record_is_found(store: Store, slot: int) -> None:
    """A hole in the log is named."""
    store._parts.backend.delete(slot_name(slot))
    report = store.check()
    assert objects(report) == {slot_name(slot)}
    assert "missing" in report.problems[0].message


def test_a_shortened_log_is_refused_before_anything_else(store: Store) -> None:
    """A log without the last record that this client knows is no log to check."""
    store._parts.backend.delete(slot_name(4))
    with pytest.raises(RolledBack):
        store.check()


@pytest.mark.parametrize("how", ["missing", "altered", "too large"])
def test_a_keys_object_that_is_not_whole_is_found(store: Store, how: str) -> None:
    """Without it nobody can unlock the store again; this client still can, and says so."""
    name = store._parts.keyring.keys_object
    good = get(store, name)
    if how == "missing":
        store._parts.backend.delete(name)
    else:
        store._parts.backend.put(name, good[:-1] + b"!" if how == "altered" else bytes(2 << 20))
    assert objects(store.check()) == {name}


def test_a_missing_keys_object_stops_a_newcomer(tmp_path: Path, store: Store) -> None:
    """Opening says what is missing."""
    store._parts.backend.delete(store._parts.keyring.keys_object)
    with pytest.raises(Damaged, match="keys/"):
        reopened(tmp_path, store, cache="fresh")


# --- index and manifests ------------------------------------------------------------------------------------------


def test_an_index_that_lost_a_chunk_is_found(store: Store) -> None:
    """The footer knows better than the index, and the next step is to rebuild it."""
    with store._parts.environment.write() as txn:
        key = next(iter(bytes(key) for key, _ in txn.scan(CHUNKS)))
        txn.delete(CHUNKS, key)
    assert any(
        "index" in problem.message or "location" in problem.message for problem in store.check().problems
    )
    store.rebuild_index()
    assert store.check(read_data=True).ok


def hostile(store: Store, what: str) -> None:
    rude = RudeWriter(store)
    cid = rude.put(b"0123456789")
    size = 1 << 20 if what == "size" else 10
    path = "../x" if what == "path" else "a"
    content = Content(0, bytes(32) if what == "chunk" else cid, [size])
    rude.push("p/rude", [((path, int(Kind.FILE), size, bytes(32), 0), content)])


@pytest.mark.parametrize("what", ["path", "size", "chunk"])
def test_a_version_that_no_honest_writer_made_is_found(store: Store, what: str) -> None:
    """Check walks manifests as a pull would, and reports the version instead of stopping."""
    hostile(store, what)
    report = store.check()
    assert objects(report) == {"p/rude:v0"}
    assert report.versions == 5


def test_every_problem_is_reported_at_once(store: Store) -> None:
    """A check doesn't stop at the first thing it finds."""
    one, *_ = packs(store)
    store._parts.backend.delete(one)
    store._parts.backend.delete(store._parts.keyring.keys_object)
    store._parts.backend.put(slot_name(2), altered(store, 2))
    hostile_names = {one, store._parts.keyring.keys_object, slot_name(3)}
    assert hostile_names <= objects(store.check())


def test_a_lost_connection_is_an_error_and_no_finding(store: Store) -> None:
    """What could not be looked at is not called damaged."""
    from artifactstore.errors import ConnectionLost
    from artifactstore.testing import FaultyBackend

    parts = store._parts
    backend = FaultyBackend(parts.backend)
    backend.fail(at=1, forever=True, error=ConnectionLost)
    store._parts = parts._replace(backend=backend)
    try:
        kinds = {problem.kind for problem in store.check().problems}
    except ArtifactStoreError as error:
        kinds = {error.kind}
    assert kinds == {"connection-lost"}


# --- reading that is cut ------------------------------------------------------------------------------------------


class Metered:
    """Counts the packs that are read whole, and may cut a check after some of them."""

    def __init__(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: list[str] = []
        self.cut_after = 1 << 30
        real = pack_check.read_whole

        def counted(backend: Backend, store_id: bytes, pack: PackRef) -> tuple[memoryview, list[PackedChunk]]:
            if len(self.read) >= self.cut_after:
                raise KeyboardInterrupt
            self.read.append(pack.name)
            return real(backend, store_id, pack)

        monkeypatch.setattr(pack_check, "read_whole", counted)
        store._make_executors = lambda: contextlib.nullcontext(inline())  # so that it is cut at one place

    def reads(self, act: Callable[[], CheckReport]) -> tuple[list[str], CheckReport | None]:
        self.read = []
        try:
            return self.read, act()
        except KeyboardInterrupt:
            return self.read, None


@pytest.fixture
def metered(store: Store, monkeypatch: pytest.MonkeyPatch) -> Metered:
    return Metered(store, monkeypatch)


def test_a_check_that_was_cut_goes_on_where_it_stood(store: Store, metered: Metered) -> None:
    """What was read and found whole is not read again; the next run after a whole one reads all."""
    metered.cut_after = 3
    first, cut = metered.reads(lambda: store.check(read_data=True))
    assert (len(first), cut) == (3, None)
    metered.cut_after = 1 << 30
    rest, report = metered.reads(lambda: store.check(read_data=True))
    assert sorted(first + rest) == packs(store)
    assert report is not None
    assert (report.ok, report.packs_read_before) == (True, 3)
    again, report = metered.reads(lambda: store.check(read_data=True))
    assert sorted(again) == packs(store)
    assert report is not None
    assert report.packs_read_before == 0


def test_a_check_may_be_started_over(store: Store, metered: Metered) -> None:
    """`restart` reads all of them, and so does another percentage."""
    for changes in ({"restart": True}, {"sample_percent": 99.9999}):
        metered.cut_after = 3
        metered.reads(lambda: store.check(read_data=True, restart=True))
        metered.cut_after = 1 << 30
        read, _ = metered.reads(lambda changes=changes: store.check(read_data=True, **changes))
        assert sorted(read) == packs(store)


def test_a_sample_that_was_cut_reads_the_rest_of_the_same_sample(store: Store, metered: Metered) -> None:
    """The second part asks for the packs that the first would have read."""
    metered.cut_after = 1
    first, _ = metered.reads(lambda: store.check(read_data=True, sample_percent=60))
    metered.cut_after = 1 << 30
    rest, report = metered.reads(lambda: store.check(read_data=True, sample_percent=60))
    assert report is not None
    assert report.packs_read_before == len(first)
    assert not set(first) & set(rest)
    assert len(first) + len(rest) <= len(packs(store))


def test_what_is_broken_is_read_again(store: Store, metered: Metered) -> None:
    """A pack that was found broken before the cut is found broken by the second part too."""
    for name in packs(store)[:2]:
        store._parts.backend.put(name, get(store, name)[:-1] + b"!")
    metered.cut_after = 4
    metered.reads(lambda: store.check(read_data=True))
    metered.cut_after = 1 << 30
    _, report = metered.reads(lambda: store.check(read_data=True))
    assert report is not None
    assert set(packs(store)[:2]) <= objects(report)
