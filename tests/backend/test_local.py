"""The local folder: conformance, durability, races of processes, and what a disk can refuse."""

import errno
import fcntl
import mmap
import multiprocessing
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from types import NoneType

import pytest

from artifactstore.backend import local
from artifactstore.backend.base import Backend
from artifactstore.backend.local import LEFTOVER_AGE_NS, LocalBackend, make_folders
from artifactstore.errors import (
    ArtifactStoreError,
    BackendError,
    ConnectionLost,
    ObjectExists,
    ObjectMissing,
    TruncatedRead,
    UntrustedBackend,
)
from artifactstore.testing.conformance import LIMIT_BYTES, BackendConformance

PROCESSES = 8
PROCESS_KEYS = 50
MIB = 1 << 20


class TestLocalConformance(BackendConformance):
    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path: Path) -> None:
        self.folder = tmp_path

    def make_backend(self) -> Backend:
        return LocalBackend(self.folder)

    def make_other(self, backend: Backend) -> Backend:
        return LocalBackend(self.folder)


@pytest.fixture
def backend(tmp_path: Path) -> LocalBackend:
    return LocalBackend(tmp_path)


def temporary_files(backend: LocalBackend) -> list[str]:
    folder = Path(backend.url, "tmp")
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# --- many processes ---


def _race(folder: str, start: object, report: object, process: int) -> None:
    backend = LocalBackend(folder)
    start.wait()
    won = []
    for key in range(PROCESS_KEYS):
        try:
            backend.create(f"log/{key:016}", b"%d" % process * 1000)
        except ObjectExists:
            continue
        won.append(key)
    report.put((process, won))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_create_has_one_winner_of_eight_processes(tmp_path: Path, method: str) -> None:
    """Of eight processes that create the same fifty names at once, one wins each, and its bytes stay."""
    context = multiprocessing.get_context(method)
    start, report = context.Barrier(PROCESSES), context.SimpleQueue()
    racers = [
        context.Process(target=_race, args=(str(tmp_path), start, report, number))
        for number in range(PROCESSES)
    ]
    for racer in racers:
        racer.start()
    results = [report.get() for _ in racers]
    for racer in racers:
        racer.join()
        assert racer.exitcode == 0
    winners = {key: process for process, won in results for key in won}
    assert sorted(key for _, won in results for key in won) == list(range(PROCESS_KEYS))
    backend = LocalBackend(tmp_path)
    for key, process in winners.items():
        assert backend.get(f"log/{key:016}", limit_bytes=LIMIT_BYTES) == b"%d" % process * 1000
    assert temporary_files(backend) == []


# --- durability ---


class Journal:
    """Notes the system calls that durability depends on, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.calls: list[str] = []
        self._root = root
        for name in ("mkdir", "link", "replace", "unlink", "fsync", "fdatasync", "write"):
            monkeypatch.setattr(os, name, self._noting(name, getattr(os, name)))

    def _noting(self, name: str, real: Callable[..., object]) -> Callable[..., object]:
        def noted(*args: object) -> object:
            result = real(*args)
            self.calls.append(f"{name} {self._words(args[-1] if name in {'link', 'replace'} else args[0])}")
            return result

        return noted

    def _words(self, target: object) -> str:
        path = Path(f"/proc/self/fd/{target}").readlink() if isinstance(target, int) else Path(str(target))
        relative = path.relative_to(self._root)
        return "tmp/*" if relative.parent.name == "tmp" else str(relative)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads the paths of descriptors from /proc")
def test_bytes_and_names_are_forced_to_the_disk_in_order(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backend: LocalBackend
) -> None:
    """Data is synced before it has a name, and every new name before the call returns; no more than that."""
    journal = Journal(monkeypatch, tmp_path)
    backend.create("packs/aa/x", b"data")
    assert journal.calls == [
        *("mkdir tmp", "write tmp/*", "fdatasync tmp/*", "mkdir packs", "mkdir packs/aa"),
        *("link packs/aa/x", "fsync packs/aa", "fsync packs", "fsync .", "unlink tmp/*"),
    ]
    journal.calls.clear()
    backend.create("packs/aa/y", b"data")
    assert journal.calls == [
        *("write tmp/*", "fdatasync tmp/*", "link packs/aa/y", "fsync packs/aa", "unlink tmp/*")
    ]
    journal.calls.clear()
    backend.put("packs/aa/y", b"data")
    assert journal.calls == ["write tmp/*", "fdatasync tmp/*", "replace packs/aa/y", "fsync packs/aa"]
    journal.calls.clear()
    backend.delete("packs/aa/y")
    assert journal.calls == ["unlink packs/aa/y", "fsync packs/aa"]


def test_a_record_of_a_killed_writer_is_durable_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backend: LocalBackend
) -> None:
    """It was linked and its folder not synced: whoever reads it syncs, and nobody syncs for any other."""

    def killed(path: str) -> None:
        raise KeyboardInterrupt(path)

    with monkeypatch.context() as patch:
        patch.setattr(local, "sync_folder", killed)
        with pytest.raises(KeyboardInterrupt):
            backend.create("log/1", b"record")
    synced: list[str] = []
    monkeypatch.setattr(local, "sync_folder", lambda path: synced.append(path.removeprefix(backend.url)))
    other = LocalBackend(tmp_path)
    with pytest.raises(ObjectExists):
        other.create("log/1", b"record")
    assert other.get("log/1", limit_bytes=10) == b"record"
    assert synced == ["/log", "/"]
    other.create("log/2", b"another")
    synced.clear()
    assert other.get("log/2", limit_bytes=10) == b"another"
    assert synced == []


def test_a_folder_made_by_another_process_is_synced_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, backend: LocalBackend
) -> None:
    """A folder that another process has just made may not be durable yet: its parents are synced here too."""
    (tmp_path / "packs" / "aa").mkdir(parents=True)
    synced: list[str] = []
    real = local.sync_folder
    monkeypatch.setattr(
        local, "sync_folder", lambda path: (synced.append(path.removeprefix(backend.url)), real(path))
    )
    backend.create("packs/aa/x", b"data")
    backend.create("packs/aa/y", b"data")
    assert synced == ["/packs/aa", "/packs", "/", "/packs/aa"]


def test_a_pack_is_written_without_a_copy(monkeypatch: pytest.MonkeyPatch, backend: LocalBackend) -> None:
    """Whole blocks and the rest after them are read by the system from the very buffer that the caller gave."""
    data = memoryview(mmap.mmap(-1, 9 * MIB))[: 8 * MIB + 777]
    data[-9:] = b"the tail."
    written: list[object] = []
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, view: (written.append(view.obj), real(file, view))[1])
    backend.create("packs/aa/x", data)
    assert written
    assert {id(kept) for kept in written} == {id(data.obj)}
    assert backend.get("packs/aa/x", limit_bytes=16 * MIB) == bytes(data)


@pytest.mark.parametrize("refused", ["flag", "write", "short"])
def test_a_file_system_without_direct_writes_gets_ordinary_ones(
    monkeypatch: pytest.MonkeyPatch, backend: LocalBackend, refused: str
) -> None:
    """Where O_DIRECT is refused, at once or at the write, or stops within a block, the bytes are all the same."""
    data = bytes(range(256)) * (5 * MIB // 256) + b"tail"
    real_fcntl, real_write = fcntl.fcntl, os.write

    def no_flag(file: int, command: int, flags: int = 0) -> int:
        if refused == "flag" and command == fcntl.F_SETFL and flags & os.O_DIRECT:
            raise OSError(errno.EINVAL, "refused")
        # The flag itself is left out, so that an unaligned short write can be tried on any file system.
        return real_fcntl(file, command, flags & ~os.O_DIRECT if command == fcntl.F_SETFL else flags)

    calls: list[int] = []

    def write(file: int, view: memoryview) -> int:
        calls.append(len(view))
        if refused == "write" and len(calls) == 1:
            raise OSError(errno.EINVAL, "unaligned")
        return real_write(file, view[: 1 * MIB + 100] if refused == "short" else view)

    monkeypatch.setattr(fcntl, "fcntl", no_flag)
    monkeypatch.setattr(os, "write", write)
    backend.put("packs/aa/x", data)
    assert backend.get("packs/aa/x", limit_bytes=16 * MIB) == data


def test_short_writes_are_continued(monkeypatch: pytest.MonkeyPatch, backend: LocalBackend) -> None:
    """Where the system takes only part of the bytes at once, the rest follows."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda file, view: real(file, view[:3]))
    backend.create("a", b"0123456789")
    assert backend.get("a", limit_bytes=10) == b"0123456789"


def test_short_reads_are_continued(monkeypatch: pytest.MonkeyPatch, backend: LocalBackend) -> None:
    """Where the system gives only part of a range at once, the rest is fetched."""
    backend.create("a", b"0123456789")
    real = os.pread
    monkeypatch.setattr(os, "pread", lambda file, length, start: real(file, min(length, 3), start))
    assert backend.get("a", limit_bytes=10) == b"0123456789"
    assert backend.get_range("a", 2, 7) == b"2345678"
    with pytest.raises(TruncatedRead) as caught:
        backend.get_range("a", 5, 10)
    assert (caught.value.facts["expected"], caught.value.facts["found"]) == (10, 5)


def test_an_object_cut_while_it_is_read_is_truncated(
    monkeypatch: pytest.MonkeyPatch, backend: LocalBackend
) -> None:
    """An object that shrinks between its size and its bytes is reported, not returned short."""
    backend.create("a", b"0123456789")
    real = os.fstat

    def cut(file: int) -> os.stat_result:
        facts = real(file)
        os.truncate(Path(backend.url, "a"), 4)
        return facts

    monkeypatch.setattr(os, "fstat", cut)
    with pytest.raises(TruncatedRead):
        backend.get("a", limit_bytes=10)


# --- links ---


def test_a_repeated_link_that_meets_itself_has_won(
    monkeypatch: pytest.MonkeyPatch, backend: LocalBackend
) -> None:
    """A network file system may make the link, lose the answer, ask again and say "exists": that is a win."""
    real = os.link

    def lost_answer(source: str, target: str) -> None:
        real(source, target)
        raise FileExistsError(errno.EEXIST, "exists", target)

    monkeypatch.setattr(os, "link", lost_answer)
    backend.create("a", b"mine")
    assert backend.get("a", limit_bytes=10) == b"mine"
    monkeypatch.undo()
    with pytest.raises(ObjectExists):
        backend.create("a", b"other")


def test_a_lost_race_is_an_object_that_exists(monkeypatch: pytest.MonkeyPatch, backend: LocalBackend) -> None:
    """A name that is taken between the first look and the link is refused by the link."""
    backend.create("a", b"theirs")
    monkeypatch.setattr(os.path, "lexists", lambda _: False)
    with pytest.raises(ObjectExists):
        backend.create("a", b"mine")
    assert backend.get("a", limit_bytes=10) == b"theirs"
    assert temporary_files(backend) == []


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOTSUP])
def test_a_file_system_without_links_is_not_trusted(
    monkeypatch: pytest.MonkeyPatch, backend: LocalBackend, number: int
) -> None:
    """Without hard links nothing makes create exclusive, and the error says so."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(UntrustedBackend, match="hard links"):
        backend.create("a", b"data")
    assert list(backend.list("")) == []
    assert temporary_files(backend) == []


# --- other things in the folder ---


def test_a_folder_that_is_gone_is_not_made_again(tmp_path: Path) -> None:
    """A store on a disk that is not mounted any more is `ConnectionLost`, and its folder isn't made anew."""
    folder = tmp_path / "gone"
    backend = LocalBackend(folder)
    for method in (backend.create, backend.put):
        with pytest.raises(ConnectionLost, match="gone"):
            method("log/0", b"data")
    assert not folder.exists()
    assert not backend.exists("log/0")


def test_names_that_collide_with_objects_are_failures(backend: LocalBackend) -> None:
    """An object under another object, or in a folder's place, is an error of ours and changes nothing."""
    backend.create("a", b"data")
    backend.create("b/c", b"data")
    calls: tuple[Callable[[], object], ...] = (
        lambda: backend.create("a/b", b"x"),
        lambda: backend.put("a/b", b"x"),
        lambda: backend.create("b", b"x"),
        lambda: backend.put("b", b"x"),
    )
    for call in calls:
        with pytest.raises(ArtifactStoreError) as caught:
            call()
        assert not isinstance(caught.value, ObjectMissing)
    for name in ("a/b", "b"):
        backend.delete(name)
        assert not backend.exists(name)
    assert [info.name for info in backend.list("")] == ["a", "b/c"]
    assert temporary_files(backend) == []


def test_a_fifo_in_an_objects_place_blocks_nobody(backend: LocalBackend) -> None:
    """A FIFO, socket or device is no object: reading it fails at once instead of waiting for a writer."""
    os.mkfifo(Path(backend.url, "pipe"))
    with pytest.raises(ObjectMissing):
        backend.get("pipe", limit_bytes=10)
    with pytest.raises(ObjectMissing):
        backend.size("pipe")
    with pytest.raises(BackendError):
        backend.get_range("pipe", 0, 1)


def test_foreign_files_are_listed(tmp_path: Path, backend: LocalBackend) -> None:
    """Files that others put there show in listings, so that a foreign folder isn't taken for empty."""
    (tmp_path / "My Photos").mkdir()
    (tmp_path / "My Photos" / "1.jpg").write_bytes(b"jpg")
    (tmp_path / ".hidden").write_bytes(b"")
    (tmp_path / "broken").symlink_to("nowhere")
    assert [info.name for info in backend.list("")] == [".hidden", "My Photos/1.jpg"]


def test_prefixes_stay_inside(backend: LocalBackend) -> None:
    """A prefix that climbs out of the folder is refused."""
    for prefix in ("../", "a/../../", "/etc/"):
        with pytest.raises(ValueError, match="prefix"):
            backend.list(prefix)


def test_listing_survives_what_vanishes(monkeypatch: pytest.MonkeyPatch, backend: LocalBackend) -> None:
    """An object deleted between its name and its size is left out of the listing."""
    for name in ("a", "b", "c"):
        backend.create(name, b"")
    infos = backend.list("")
    assert next(infos).name == "a"
    backend.delete("b")
    assert [info.name for info in infos] == ["c"]


def test_leftovers_of_the_dead_go_after_a_day(tmp_path: Path, backend: LocalBackend) -> None:
    """The first write deletes unfinished files older than a day, and only these."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    (folder / "old").write_bytes(b"left")
    (folder / "new").write_bytes(b"living")
    (folder / "kept").mkdir()
    before_ns = (folder / "new").stat().st_mtime_ns - LEFTOVER_AGE_NS - 10**9
    os.utime(folder / "old", ns=(before_ns, before_ns))
    assert [info.name for info in backend.list("")] == []
    assert (folder / "old").exists()
    backend.create("a", b"data")
    assert temporary_files(backend) == ["kept", "new"]


def test_objects_are_made_with_the_users_mask(backend: LocalBackend) -> None:
    """Who may read objects is what the umask says, as for any file."""
    before = os.umask(0o027)
    try:
        backend.create("a", b"data")
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path(backend.url, "a").stat().st_mode) == 0o640


def test_make_folders_makes_all_and_syncs_each(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each new folder is made durable in its parent; so is the last that exists, whose maker may have been killed."""
    synced: list[str] = []
    monkeypatch.setattr(local, "sync_folder", synced.append)
    make_folders(tmp_path / "a" / "b")
    assert synced == [str(tmp_path.parent), str(tmp_path), str(tmp_path / "a")]
    synced.clear()
    make_folders(tmp_path / "a" / "b")
    assert synced == [str(tmp_path / "a")]


def test_one_backend_serves_a_child_after_fork(backend: LocalBackend) -> None:
    """A backend made before a fork works in the child, also while the parent's threads use it."""
    stop = threading.Event()

    def write() -> None:
        turn = 0
        while not stop.is_set():
            backend.put("parent", b"%d" % turn)
            turn += 1

    writer = threading.Thread(target=write)
    writer.start()
    try:
        _without_root_change(lambda: backend.create("child", b"data"))
    finally:
        stop.set()
        writer.join()
    assert backend.get("child", limit_bytes=10) == b"data"


def _without_root_change(work: Callable[[], None]) -> None:
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_what_is_erased_together_forces_each_folder_once(
    monkeypatch: pytest.MonkeyPatch, backend: LocalBackend
) -> None:
    """A folder's fsync comes after all of its names are gone; one that fails is the error of each of them."""
    names = ["packs/aa/1", "packs/aa/2", "packs/bb/1", "packs/bb/2"]
    for name in names:
        backend.put(name, b"x")
    synced: list[tuple[str, list[str]]] = []

    def sync(path: str) -> None:
        synced.append((path.removeprefix(backend.url), [info.name for info in backend.list("packs/aa")]))
        if path.endswith("bb"):
            raise OSError(errno.EIO, "lost")

    monkeypatch.setattr(local, "sync_folder", sync)
    outcomes = backend.erase_many([*names, "packs/cc/none"])
    assert [(path.rpartition("/")[2], left) for path, left in synced] == [("aa", []), ("bb", [])]
    assert [type(outcome) for outcome in outcomes] == [
        NoneType,
        NoneType,
        BackendError,
        BackendError,
        NoneType,
    ]
