"""Pushing: what is stored once, what a change costs, and what an interrupted push leaves for the next one."""

import copy
import shutil
import threading
from pathlib import Path

import pytest
from blake3 import blake3

from artifactstore import Store
from artifactstore.backend.base import Backend, Buffer
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.clock import SystemClock
from artifactstore.errors import ConnectionLost
from artifactstore.format.record import slot_name
from artifactstore.log.log import Log
from artifactstore.testing import FaultyBackend
from artifactstore.transfer import push as push_module
from tests.stores import make_store, noise, read_tree, reopened, write_tree

pytestmark = pytest.mark.places("memory", "s3")

MIB = 1 << 20
HUGE_BYTES = 2048 * MIB


@pytest.fixture
def store(tmp_path: Path):
    with make_store(tmp_path) as made:
        yield made


@pytest.fixture
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs and pending records of a size that a test can fill."""
    monkeypatch.setattr("artifactstore.content.put.PACK_BYTES_TARGET", MIB)
    monkeypatch.setattr(push_module, "PENDING_BYTES", 2 * MIB)


def data_bytes(store: Store) -> int:
    return sum(info.size_bytes for info in store._parts.backend.list("packs/"))


def test_content_is_stored_once_across_files_artifacts_and_projects(tmp_path: Path, store: Store) -> None:
    """The same bytes under another name, in another artifact or project cost pages and nothing else."""
    data = noise(2 * MIB)
    write_tree(tmp_path / "one", {"a": data, "copy": data})
    first = store.push([tmp_path / "one"], "p/n")
    assert first.push.new_bytes == len(data)
    write_tree(tmp_path / "two", {"x/y": data})
    assert store.push([tmp_path / "two"], "p/other").push.new_bytes == 0
    assert store.push([tmp_path / "two"], "q/n").push.new_bytes == 0
    assert data_bytes(store) < len(data) + 100_000


def test_content_is_stored_once_across_clients(tmp_path: Path, store: Store) -> None:
    """Another client, which has seen nothing of it, stores nothing again."""
    data = noise(2 * MIB)
    store.push([write_tree(tmp_path / "one", {"a": data})], "p/n")
    with reopened(tmp_path, store, cache="elsewhere") as other:
        version = other.push([write_tree(tmp_path / "two", {"b": data})], "p/m")
    assert (version.push.new_bytes, version.push.bytes_read) == (0, len(data))


def test_a_changed_byte_in_a_big_file_stores_a_few_chunks(tmp_path: Path, store: Store) -> None:
    """In 64 MiB one byte costs some hundred KiB at most, wherever it is, inserted or replaced."""
    data = noise(64 * MIB)
    path = write_tree(tmp_path / "in", {"big": data}) / "big"
    store.push([tmp_path / "in"], "p/n")
    middle = len(data) // 2 + 12345
    for edited in (
        data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
        data[:middle] + b"!" + data[middle:],
        data[:middle] + data[middle + 1 :],
        b"!" + data,
    ):
        path.write_bytes(edited)
        version = store.push([tmp_path / "in"], "p/n")
        assert 0 < version.push.new_bytes <= 3 * 256 * 1024
        assert version.push.stored_bytes < MIB
    with store.version("p/n").open("big") as file:
        assert file.read() == b"!" + data


@pytest.mark.deep
def test_a_changed_byte_in_a_huge_file(tmp_path: Path) -> None:
    """In a file of 2 GB one byte costs what it costs in a small one, and both versions come back as they were."""
    source = tmp_path / "in" / "huge"
    source.parent.mkdir()
    whole = blake3()
    with source.open("wb") as file:
        for seed in range(HUGE_BYTES // (16 * MIB)):
            part = noise(16 * MIB, seed)
            file.write(part)
            whole.update(part)
    with make_store(tmp_path, tmp_path / "store") as store:
        first = store.push([source.parent], "p/n")
        with source.open("r+b") as file:
            at = file.seek(HUGE_BYTES // 3)
            byte = file.read(1)
            file.seek(at)
            file.write(bytes([byte[0] ^ 1]))
        changed = store.push([source.parent], "p/n")
        assert (first.push.new_bytes, changed.number) == (HUGE_BYTES, 1)
        assert 0 < changed.push.new_bytes < MIB
        assert 0 < changed.push.stored_bytes < MIB
        assert first.digest != changed.digest
        for version, digest in (("p/n:v1", digest_of(source)), ("p/n:v0", whole.digest())):
            store.pull(version, tmp_path / "out")
            assert digest_of(tmp_path / "out" / "huge") == digest
            shutil.rmtree(tmp_path / "out")
    shutil.rmtree(tmp_path / "store")
    source.unlink()


def digest_of(path: Path) -> bytes:
    """Of a file that is not to be in memory whole."""
    return blake3().update_mmap(path).digest()


def test_an_equal_push_makes_no_version(tmp_path: Path, store: Store) -> None:
    """Pushing the same again says so and writes no record."""
    folder = write_tree(tmp_path / "in", {"a": b"x"})
    first = store.push([folder], "p/n")
    records = store.info().records
    again = store.push([folder], "p/n")
    assert (first.push.created, again.push.created, again.number) == (True, False, 0)
    assert store.info().records == records


def test_an_equal_push_applies_what_stands_outside_the_digest(tmp_path: Path, store: Store) -> None:
    """Aliases, tags, description and metadata of an equal push are an edit of the version."""
    folder = write_tree(tmp_path / "in", {"a": b"x"})
    store.push([folder], "p/n", tags=["one"], description="old", metadata={"a": 1})
    version = store.push([folder], "p/n", aliases=["prod"], tags=["two"], metadata={"b": 2})
    assert (version.number, version.push.created) == (0, False)
    assert (version.tags, version.description, version.metadata) == (("one", "two"), "old", {"b": 2})
    assert "prod" in version.aliases


def test_content_that_comes_back_is_a_new_version(tmp_path: Path, store: Store) -> None:
    """Equality is with the newest version alone; a revert is a change."""
    for content in (b"one", b"two", b"one"):
        version = store.push([write_tree(tmp_path / "in", {"a": content})], "p/n")
    assert (version.number, version.push.new_bytes) == (2, 0)
    assert store.version("p/n:v0").digest == version.digest


def test_an_empty_folder_is_a_version(tmp_path: Path, store: Store) -> None:
    """Nothing at all can be pushed and pulled."""
    (tmp_path / "in").mkdir()
    version = store.push([tmp_path / "in"], "p/n")
    assert (version.file_count, version.size_bytes) == (0, 0)
    store.pull("p/n", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {}


@pytest.mark.usefixtures("small_packs")
def test_a_long_push_registers_its_packs_on_the_way(tmp_path: Path, store: Store) -> None:
    """Pending records name packs that are uploaded; the commit ends them."""
    write_tree(tmp_path / "in", {f"{number:02}": noise(MIB + 10_000, number) for number in range(12)})
    store.push([tmp_path / "in"], "p/n")
    kinds = [entry.kind for entry in store.log()]
    assert kinds.count("pending") >= 3
    assert kinds[0] == "commit"
    with store._parts.environment.read() as txn:
        assert list(txn.scan("pending")) == []
    assert store.check(read_data=True).ok


class SlowToRegister(WrapperBackend):
    """The record of slot 2 is not created before three packs more were stored."""

    def __init__(self, inner: Backend) -> None:
        super().__init__(inner)
        self.waited = False
        self._begun = threading.Event()
        self._more = threading.Semaphore(0)

    def create(self, name: str, data: Buffer) -> None:
        if name == slot_name(2) and not self._begun.is_set():
            self._begun.set()
            self.waited = all(self._more.acquire(timeout=60) for _ in range(3))
        self.inner.create(name, data)

    def put(self, name: str, data: Buffer) -> None:
        self.inner.put(name, data)
        if self._begun.is_set():
            self._more.release()


@pytest.mark.usefixtures("small_packs")
def test_a_push_goes_on_while_its_packs_are_registered(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the record of a pending push takes, packs are stored meanwhile, up to the next that is due."""
    monkeypatch.setattr(push_module, "PENDING_BYTES", 16 * MIB)
    folder = write_tree(
        tmp_path / "in", {f"{number:02}": noise(MIB + 10_000, number) for number in range(24)}
    )
    store.push([write_tree(tmp_path / "first", {"a": b"x"})], "q/first")
    parts = store._parts
    slow = SlowToRegister(parts.backend)
    log = Log(slow, parts.keyring, parts.log.signers, SystemClock())
    committer = copy.copy(parts.committer)
    committer._log = log
    store._parts = parts._replace(backend=slow, log=log, committer=committer)
    store.push([folder], "p/n")
    assert slow.waited
    assert "pending" in [entry.kind for entry in store.log()]
    assert store.check(read_data=True).ok


@pytest.mark.usefixtures("small_packs")
@pytest.mark.parametrize("other_client", [False, True])
def test_an_interrupted_push_is_not_uploaded_twice(tmp_path: Path, store: Store, other_client: bool) -> None:
    """What pending records name is found by dedup, by this client and by others."""
    tree = {f"{number:02}": noise(MIB + 10_000, number) for number in range(12)}
    folder = write_tree(tmp_path / "in", tree)
    store.push([write_tree(tmp_path / "first", {"a": b"x"})], "q/first")
    parts = store._parts
    faulty = FaultyBackend(parts.backend)
    store._parts = parts._replace(backend=faulty)
    faulty.fail(at=9, forever=True, error=ConnectionLost)
    with pytest.raises(ConnectionLost):
        store.push([folder], "p/n")
    store._parts = parts
    assert "pending" in [entry.kind for entry in store.log()]
    assert [project.name for project in store.projects()] == ["q"]
    assert store.check(read_data=True).ok
    with reopened(tmp_path, store, cache="other" if other_client else "cache") as again:
        version = again.push([folder], "p/n")
        assert version.push.new_bytes <= 7 * MIB
        again.pull("p/n", tmp_path / "out")
        assert read_tree(tmp_path / "out") == tree
        assert again.check(read_data=True).ok


def test_the_index_of_a_large_push_goes_into_packs(tmp_path: Path, store: Store) -> None:
    """More rows than a record may hold inline become an index pack, and every client finds them."""
    tree = {f"{number // 100}/{number}": noise(20, number) for number in range(2500)}
    store.push([write_tree(tmp_path / "in", tree)], "p/n")
    assert any(pack.added.type == 4 for pack in _packs(store))
    with reopened(tmp_path, store, cache="fresh") as other:
        other.pull("p/n", tmp_path / "out")
    assert read_tree(tmp_path / "out") == tree


def _packs(store: Store):
    with store._parts.environment.read() as txn:
        return list(store._parts.packs.all(txn))


def test_progress_adds_up(tmp_path: Path) -> None:
    """Bytes and files told to the progress are those of the version, however they were found."""

    class Counting:
        def __init__(self) -> None:
            self.bytes = self.files = self.new = 0

        def start(self, *_: object, **__: object) -> None: ...
        def total(self, *_: object, **__: object) -> None: ...
        def notice(self, text: str) -> None: ...
        def finish(self) -> None: ...
        def advance(self, *, bytes: int = 0, files: int = 0, new_bytes: int = 0) -> None:  # noqa: A002
            self.bytes += bytes
            self.files += files
            self.new += new_bytes

    write_tree(tmp_path / "in", {"a": b"xyz", "b": noise(3 * MIB), "c": b"", "link": "a", "e": None})
    with make_store(tmp_path) as store:
        watch = Counting()
        version = store.push([tmp_path / "in"], "p/n", progress=watch)
        assert watch.files == version.file_count == 5
        assert watch.new == version.push.new_bytes == 3 * MIB + 3
        watch = Counting()
        done = store.pull("p/n", tmp_path / "out", progress=watch)
        assert (watch.files, watch.bytes) == (5, done.logical_bytes)
