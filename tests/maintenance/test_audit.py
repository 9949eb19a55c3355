"""An audit without a key finds what is wrong with log and packs, says nothing of what is not, and writes nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from artifactstore import AuditReport, Store, audit
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.clock import SystemClock
from artifactstore.errors import InvalidEvidence, NoSuchStore, PermissionRefused, RolledBack
from artifactstore.format.record import slot_name
from artifactstore.maintenance import audit_packs
from artifactstore.maintenance.audit import Auditor
from artifactstore.progress import Quiet
from tests.stores import make_store, noise, state_of, write_tree

pytestmark = pytest.mark.places("memory", "s3")


@pytest.fixture
def store(tmp_path: Path):
    with make_store(tmp_path) as made:
        for number in range(3):
            write_tree(tmp_path / "in", {f"f{number}": noise(300_000, number), "t": b"text" * (number + 1)})
            made.push([tmp_path / "in"], "p/n")
        yield made


def audited(store: Store, **options: Any) -> AuditReport:
    """As somebody without a key or a memory sees it."""
    folder = store._access.cache_dir.parent / "stranger"
    return audit(store._access.url, cache_dir=folder, **options)


def packs(store: Store) -> list[str]:
    return [info.name for info in store._parts.backend.list("packs/")]


def objects(report: AuditReport) -> set[str]:
    return {problem.object for problem in report.problems}


def alter(store: Store, name: str, change: Callable[[bytes], bytes]) -> None:
    backend = store._parts.backend
    backend.put(name, change(backend.get(name, limit_bytes=1 << 30)))


@pytest.mark.parametrize("read_data", [False, True])
def test_a_whole_store_has_no_problems(store: Store, read_data: bool) -> None:
    """Everything is looked at without a key, and nothing is written."""
    before = state_of(store)
    report = audited(store, read_data=read_data)
    assert (report.problems, report.ok) == ((), True)
    backend = store._parts.backend
    sizes = sum(info.size_bytes for info in backend.list("packs/"))
    assert (report.records, report.packs, report.pack_bytes) == (4, len(packs(store)), sizes)
    assert report.bytes_read == (sizes if read_data else 0)
    assert report.store_id == store.id
    assert report.chunks > 3
    assert report.unnamed is not None
    assert (report.unnamed.names.total, report.unerased.names.total, report.condemned) == (0, 0, 0)
    assert state_of(store) == before


def test_a_key_is_neither_needed_nor_made(store: Store, tmp_path: Path, home: Path) -> None:
    """An auditor has none, and gets none."""
    (tmp_path / "key").unlink()
    assert audited(store).ok
    assert not (home / ".config").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:-20] + bytes([data[-20] ^ 1]) + data[-19:],
    ],
    ids=["cut", "longer", "another trailer"],
)
def test_a_pack_that_is_not_what_its_record_promised(store: Store, change: Callable[[bytes], bytes]) -> None:
    """Size and trailer are in the record; both are held against it, for every pack."""
    for name in packs(store):
        whole = store._parts.backend.get(name, limit_bytes=1 << 30)
        alter(store, name, change)
        report = audited(store)
        assert objects(report) == {name}
        store._parts.backend.put(name, whole)
    assert audited(store).ok


def test_a_missing_pack(store: Store) -> None:
    """Each is told by its name, with what it is to the store."""
    for name in packs(store):
        whole = store._parts.backend.get(name, limit_bytes=1 << 30)
        store._parts.backend.delete(name)
        (problem,) = audited(store).problems
        assert (problem.object, problem.kind) == (name, "damaged")
        assert "missing" in problem.message
        store._parts.backend.put(name, whole)


def test_a_flipped_bit_shows_where_data_is_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Name and size and trailer are as they were; the bytes do not hash to the name. Pieces are put together again."""
    monkeypatch.setattr(audit_packs, "_PIECE_BYTES", 1000)
    name = max(packs(store), key=store._parts.backend.size)
    alter(store, name, lambda data: data[:100] + bytes([data[100] ^ 1]) + data[101:])
    assert audited(store).ok
    report = audited(store, read_data=True)
    assert objects(report) == {name}


@pytest.mark.parametrize("slot", [1, 2])
def test_an_altered_record_breaks_the_chain(store: Store, slot: int) -> None:
    """The next record was signed over what was there."""
    alter(store, slot_name(slot), lambda data: data[:-1] + bytes([data[-1] ^ 1]))
    (problem,) = audited(store).problems
    assert (problem.kind, problem.object, problem.part) == ("damaged", slot_name(slot + 1), "log")
    assert f"altered was most likely {slot_name(slot)}" in problem.message


def test_a_missing_record_is_told(store: Store) -> None:
    """One is absent and others lie beyond it."""
    store._parts.backend.delete(slot_name(2))
    report = Auditor(store._parts.backend, bytes.fromhex(store.id), _Patient(), Quiet()).run()
    assert objects(report) == {slot_name(2)}


class _Patient(SystemClock):
    def sleep(self, seconds: float) -> None:
        """A record that shows late does not show here."""


def test_altered_keys_are_told(store: Store) -> None:
    """They are named by their hash."""
    (name,) = [info.name for info in store._parts.backend.list("keys/")]
    alter(store, name, lambda data: data[:-1] + b"\0")
    (problem,) = audited(store).problems
    assert (problem.object, problem.part) == (name, "keys")


def test_what_a_stranger_put_there_is_told_and_no_damage(store: Store) -> None:
    """It changes nothing (invariant 19)."""
    names = {"packs/00/" + "00" * 32, "packs/zz", "keys/nobody", "packs/ff/" + "0f" * 32}
    for name in names:
        store._parts.backend.put(name, b"mine")
    report = audited(store)
    assert report.ok
    assert report.unnamed is not None
    assert (set(report.unnamed.names.shown), report.unnamed.size_bytes) == (names, 16)


def test_an_older_copy_is_shown_as_rollback(store: Store, tmp_path: Path) -> None:
    """By what this client saw the last time, or by a checkpoint that was kept elsewhere."""
    backend = store._parts.backend
    note = store.checkpoint()
    newest = backend.get(slot_name(3), limit_bytes=1 << 20)
    assert audited(store, checkpoint=note).ok
    backend.delete(slot_name(3))
    assert [problem.kind for problem in audited(store).problems] == ["rolled-back"]
    assert [problem.kind for problem in audited(store, checkpoint=note).problems] == ["rolled-back"] * 2
    stranger = audit(store._access.url, cache_dir=tmp_path / "newcomer")
    assert stranger.ok  # who has no memory and no checkpoint sees nothing
    report = audit(store._access.url, cache_dir=tmp_path / "another newcomer", checkpoint=note)
    assert "an older copy" in report.problems[0].message
    backend.create(slot_name(3), newest)
    assert audited(store).ok


def test_a_forked_log_is_shown(store: Store, tmp_path: Path) -> None:
    """Another record of a member lies where one was seen."""
    note = store.checkpoint()
    backend = store._parts.backend
    backend.delete(slot_name(3))
    with Store.open(store._access.url, key_file=tmp_path / "key", cache_dir=tmp_path / "twin") as twin:
        twin.add_tags("p/n", ["other"])
    (problem,) = audited(store, checkpoint=note).problems
    assert problem.kind == "rolled-back"
    assert "forked" in problem.message


def test_a_checkpoint_of_another_store_is_refused(store: Store, tmp_path: Path) -> None:
    """So is what is none."""
    with make_store(tmp_path / "other") as other:
        note = other.checkpoint()
    with pytest.raises(InvalidEvidence, match="another store"):
        audited(store, checkpoint=note)
    with pytest.raises(InvalidEvidence):
        audited(store, checkpoint="nonsense")


def test_another_store_in_its_place_is_refused(store: Store) -> None:
    """Pinned by the first audit, or named."""
    assert audited(store, store_id=store.id).ok
    with pytest.raises(RolledBack):
        audited(store, store_id="00" * 32)
    with pytest.raises(NoSuchStore):
        audit("memory://nothing-there", cache_dir=store._access.cache_dir)


class _Unlisted(WrapperBackend):
    """A bucket whose reader may not list it."""

    def list(self, prefix: str) -> Any:
        raise PermissionRefused("listing is forbidden")


def test_a_bucket_that_may_not_be_listed(store: Store) -> None:
    """Sizes are asked for one by one; what should not be there is not seen."""
    backend = _Unlisted(store._parts.backend)
    gone = packs(store)[0]
    run = lambda: Auditor(backend, bytes.fromhex(store.id), SystemClock(), Quiet()).run()  # noqa: E731
    report = run()
    assert (report.ok, report.unnamed) == (True, None)
    backend.delete(gone)
    assert objects(run()) == {gone}


class _Meanwhile(WrapperBackend):
    """Somebody else sweeps between two requests of an audit: before the first that lists, or reads from a pack."""

    def __init__(self, inner: Any, at: str, act: Callable[[], object]) -> None:
        super().__init__(inner)
        self._at: str | None = at
        self._act = act

    def _reached(self, what: str) -> None:
        if self._at == what:
            self._at = None
            self._act()

    def list(self, prefix: str) -> Any:
        self._reached("list")
        return super().list(prefix)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        self._reached("pack")
        return super().get_range(name, start, length)

    def traces(self, name: str) -> bool:
        self._reached("traces")
        return super().traces(name)


@pytest.mark.parametrize("at", ["list", "pack", "traces"])
def test_a_sweep_beside_an_audit_is_no_finding(store: Store, at: str) -> None:
    """Packs that are condemned while it looks for them may be gone, at whatever moment."""
    store.delete(["p/n:v0"], now=True, force=True)
    store.gc()

    def sweep() -> None:
        store.delete(["p/n:v1"], now=True, force=True)
        assert store.gc().erased > 0

    backend = _Meanwhile(store._parts.backend, at, sweep)
    report = Auditor(backend, bytes.fromhex(store.id), SystemClock(), Quiet()).run()
    assert backend._at is None
    assert (report.problems, report.unerased.names.total) == ((), 0)
    assert report.condemned > 0
    assert audited(store).generation == 2


def test_a_pack_that_is_missing_and_not_condemned_is_found_beside_a_sweep(store: Store) -> None:
    """The second look excuses what was condemned, and nothing else."""
    gone = packs(store)[0]
    store._parts.backend.delete(gone)
    backend = _Meanwhile(store._parts.backend, "list", lambda: store.add_tags("p/n:v2", ["x"]))
    report = Auditor(backend, bytes.fromhex(store.id), SystemClock(), Quiet()).run()
    assert objects(report) == {gone}


def test_how_many_requests_an_audit_takes(store: Store) -> None:
    """One for each record and each pack, one listing, and a few around the head: nothing grows with the data."""
    counting = _Counting(store._parts.backend)
    report = Auditor(counting, bytes.fromhex(store.id), SystemClock(), Quiet()).run()
    assert counting.gets_of("packs/") == report.packs
    assert counting.lists == 2
    assert counting.gets_of("log/") <= report.records + 2 * 57


class _Counting(WrapperBackend):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.names: list[str] = []
        self.lists = 0

    def gets_of(self, prefix: str) -> int:
        return sum(name.startswith(prefix) for name in self.names)

    def get(self, name: str, *, limit_bytes: int) -> bytes:
        self.names.append(name)
        return super().get(name, limit_bytes=limit_bytes)

    def get_range(self, name: str, start: int, length: int) -> bytes:
        self.names.append(name)
        return super().get_range(name, start, length)

    def size(self, name: str) -> int:
        self.names.append(name)
        return super().size(name)

    def list(self, prefix: str) -> Any:
        self.lists += 1
        return super().list(prefix)
