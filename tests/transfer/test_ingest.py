"""Reading files: whatever changes under the reader is found, and buffers neither lose nor repeat a byte."""

import io
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest
from blake3 import blake3

from artifactstore import Store
from artifactstore.clock import SystemClock
from artifactstore.errors import InvalidSource, PermissionRefused, SourceChanged
from artifactstore.executors import threads
from artifactstore.transfer import ingest, segments
from tests.stores import make_store, noise, settle, state_of, write_tree

pytestmark = pytest.mark.places("memory", "s3")

SMALL = 5000
LARGE = ingest.SMALL_BYTES_MAX + 5000


@pytest.fixture
def store(tmp_path: Path):
    with make_store(tmp_path) as made:
        yield made


def pread_that(monkeypatch: pytest.MonkeyPatch, path: Path, change, *, times: int = 1) -> None:
    """Change a file right after it was read for the first times: small ones are read with one pread."""
    left = [times]
    original = os.pread

    def reading(handle: int, size: int, offset: int) -> bytes:
        data = original(handle, size, offset)
        if left[0] and os.path.samestat(os.fstat(handle), path.stat()):
            left[0] -= 1
            change(path)
        return data

    monkeypatch.setattr(os, "pread", reading)


def rewritten(path: Path) -> None:
    path.write_bytes(noise(path.stat().st_size, 99))
    _tick(path)


def grown(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")
    _tick(path)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)
    _tick(path)


def _tick(path: Path) -> None:
    """A coarse clock may give two writes one time; a real writer a tick later would not have it so."""
    stat = path.stat()
    os.utime(path, ns=(stat.st_mtime_ns + 1, stat.st_mtime_ns + 1))


@pytest.mark.parametrize("change", [rewritten, grown, cut])
def test_a_small_file_that_keeps_changing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store, change
) -> None:
    """A file that changed during both reads is named, and the store is as it was."""
    folder = write_tree(tmp_path / "in", {"before": b"x", "file": noise(SMALL)})
    pread_that(monkeypatch, folder / "file", change, times=2)
    before = state_of(store)
    with pytest.raises(SourceChanged) as caught:
        store.push([folder], "p/n")
    assert caught.value.facts["path"] == str(folder / "file")
    assert state_of(store) == before
    assert store.projects() == []


@pytest.mark.parametrize("change", [rewritten, grown, cut])
def test_a_small_file_that_changed_once_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store, change
) -> None:
    """One change is nothing unusual: the second look is what is kept, all of it of one moment."""
    folder = write_tree(tmp_path / "in", {"file": noise(SMALL)})
    pread_that(monkeypatch, folder / "file", change)
    version = store.push([folder], "p/n")
    assert version.open("file").read() == (folder / "file").read_bytes()
    assert next(version.files()).digest == blake3((folder / "file").read_bytes()).hexdigest()


@pytest.mark.parametrize("change", [rewritten, grown, cut])
def test_a_large_file_that_changes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store, change
) -> None:
    """A change between two buffers of a large file is found at its end at the latest."""
    folder = write_tree(tmp_path / "in", {"file": noise(LARGE)})
    fill = segments._fill
    done = []

    def filling(*args):
        result = fill(*args)
        if not done:
            done.append(change(folder / "file"))
        return result

    monkeypatch.setattr(segments, "_fill", filling)
    with pytest.raises(SourceChanged) as caught:
        store.push([folder], "p/n")
    assert caught.value.facts["path"] == str(folder / "file")
    assert store.projects() == []


def test_a_file_that_grows_for_ever_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    """A log that is written faster than it is read doesn't keep a push busy for ever."""
    folder = write_tree(tmp_path / "in", {"file": noise(LARGE)})
    calls = []

    def endless(stream, view, at: int, found) -> tuple[int, bool]:
        calls.append(1)
        assert len(calls) < 50
        view[at:] = bytes(len(view) - at)
        return len(view), False

    monkeypatch.setattr(segments, "_fill", endless)
    with pytest.raises(SourceChanged):
        store.push([folder], "p/n")


@pytest.mark.parametrize("size", [SMALL, LARGE])
@pytest.mark.parametrize("becomes", ["nothing", "a symlink", "a folder", "a FIFO", "unreadable"])
def test_a_file_that_is_none_any_more_when_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store, becomes: str, size: int
) -> None:
    """Between finding and reading anything may happen; a FIFO must not block, a symlink not be followed."""
    folder = write_tree(tmp_path / "in", {"file": noise(size)})
    secret = write_tree(tmp_path, {"secret": noise(size)}) / "secret"
    original = os.open

    def opening(path, flags, *args, **options):
        if str(path) == str(folder / "file"):
            (folder / "file").unlink(missing_ok=True)
            if becomes == "a symlink":
                (folder / "file").symlink_to(secret)
            elif becomes == "a folder":
                (folder / "file").mkdir()
            elif becomes == "a FIFO":
                os.mkfifo(folder / "file")
            elif becomes == "unreadable":
                raise PermissionError(13, "Permission denied", str(path))
        return original(path, flags, *args, **options)

    monkeypatch.setattr(os, "open", opening)
    with pytest.raises((SourceChanged, InvalidSource, PermissionRefused)) as caught:
        store.push([folder], "p/n")
    assert caught.value.facts["path"] == str(folder / "file")
    assert store.projects() == []


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_an_unreadable_medium_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store, size: int
) -> None:
    """An input error of the disk is an error about the file, not a crash."""
    folder = write_tree(tmp_path / "in", {"file": noise(size)})

    def failing(*_: object) -> object:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", failing)

    class Failing(io.RawIOBase):
        def readinto(self, _: object) -> int:
            raise OSError(5, "Input/output error")

        def fileno(self) -> int:
            return handle

    handle = os.open(folder / "file", os.O_RDONLY)
    monkeypatch.setattr(ingest, "open_source", lambda _: Failing())
    try:
        with pytest.raises(InvalidSource, match="Input/output"):
            store.push([folder], "p/n")
    finally:
        os.close(handle)


@pytest.mark.parametrize(
    "size", [0, 1, 16 << 10, (16 << 10) + 1, 1 << 20, (1 << 20) + 1, (4 << 20) - 1, 4 << 20, 9_000_001]
)
def test_files_of_every_size_come_back(tmp_path: Path, store: Store, size: int) -> None:
    """Around each boundary between the ways of reading nothing is lost, and the digest is `b3sum`'s."""
    data = noise(size)
    folder = write_tree(tmp_path / "in", {"file": data})
    version = store.push([folder], "p/n")
    (entry,) = version.files()
    assert (entry.size_bytes, entry.digest) == (size, blake3(data).hexdigest())
    assert version.open("file").read() == data


class Dripping(io.RawIOBase):
    """A stream that gives little at a time, as pipes do."""

    def __init__(self, data: bytes, step: int) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        return self._data.readinto(memoryview(buffer)[: self._step])


class ReadOnly:
    """A stream that knows `read` alone."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._data.read(size)


@pytest.mark.parametrize("make", [io.BytesIO, lambda data: Dripping(data, 70_001), ReadOnly])
@pytest.mark.parametrize("size", [0, 3, 9_000_001])
def test_a_stream_is_a_file_without_a_name(tmp_path: Path, store: Store, size: int, make) -> None:
    """However a stream gives its bytes, they become the same version as a file with them."""
    data = noise(size)
    streamed = store.push([], "p/stream", streams={"sub/file": make(data)})
    filed = store.push([write_tree(tmp_path / "in", {"sub/file": data})], "p/file")
    assert streamed.digest == filed.digest
    assert streamed.open("sub/file").read() == data


def test_a_stream_that_breaks_makes_no_version(store: Store) -> None:
    """What was uploaded is no version."""

    class Breaking(Dripping):
        def readinto(self, buffer) -> int:
            count = super().readinto(buffer)
            if not count:
                raise OSError(32, "Broken pipe")
            return count

    with pytest.raises(InvalidSource, match="Broken pipe"):
        store.push([], "p/n", streams={"file": Breaking(noise(100_000), 4096)})
    assert store.projects() == []


def test_unchanged_files_are_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    """A second push of a settled tree stats and reads nothing."""
    folder = write_tree(tmp_path / "in", {"a": noise(SMALL), "b/c": noise(LARGE), "empty": b""})
    settle(folder)
    os.sync()
    monkeypatch.setattr("artifactstore.index.statcache._SETTLED_NS", -(10**18))
    first = store.push([folder], "p/n")
    opened = []
    original = os.open

    def opening(path, *args, **options):
        if str(path).startswith(str(folder)):
            opened.append(path)
        return original(path, *args, **options)

    monkeypatch.setattr(os, "open", opening)
    second = store.push([folder], "p/n")
    assert opened == []
    assert (second.push.files_read, second.push.bytes_read, second.push.created) == (0, 0, False)
    assert second.digest == first.digest
    third = store.push([folder], "p/elsewhere")
    assert (third.push.files_read, third.digest) == (0, first.digest)


@pytest.mark.parametrize("change", [rewritten, grown, cut])
def test_a_changed_file_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store, change
) -> None:
    """The stat cache takes nothing for unchanged that is not."""
    monkeypatch.setattr("artifactstore.index.statcache._SETTLED_NS", -(10**18))
    folder = write_tree(tmp_path / "in", {"file": noise(SMALL), "other": b"x"})
    store.push([folder], "p/n")
    change(folder / "file")
    version = store.push([folder], "p/n")
    assert version.push.files_read == 1
    assert version.open("file").read() == (folder / "file").read_bytes()


def test_a_fresh_file_is_not_remembered(tmp_path: Path, store: Store) -> None:
    """A file written within two seconds of the read may change without a trace: it is read again."""
    folder = write_tree(tmp_path / "in", {"file": noise(SMALL)})
    store.push([folder], "p/n")
    assert store.push([folder], "p/n").push.files_read == 1


def test_few_tasks_are_under_way_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    """Whatever the files are, no more segments and batches are in memory than the workers and two more."""
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 1 << 20)
    monkeypatch.setattr("artifactstore.transfer.push.BATCH_FILES", 2)
    counted = {"now": 0, "most": 0}
    lock, submit = threading.Lock(), ThreadPoolExecutor.submit

    def submitting(pool: ThreadPoolExecutor, task, *args) -> Future:
        future = submit(pool, task, *args)
        if task.__name__ in {"_put_batch", "_put_segment"}:
            with lock:
                counted["now"] += 1
                counted["most"] = max(counted["most"], counted["now"])
            future.add_done_callback(lambda _: ended())
        return future

    def ended() -> None:
        with lock:
            counted["now"] -= 1

    monkeypatch.setattr(ThreadPoolExecutor, "submit", submitting)
    write_tree(tmp_path / "tree", {f"{n:02}": noise(LARGE * (n % 3) + n, n) for n in range(40)})
    store._make_executors = lambda: threads(width=2)
    store.push([tmp_path / "tree"], "p/n")
    assert 2 < counted["most"] <= 4


@pytest.mark.parametrize("waiting", [0, 1])
def test_entries_keep_their_order_however_few_may_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store, waiting: int
) -> None:
    """What needs no reading stands behind a file that is still with the workers."""
    monkeypatch.setattr("artifactstore.transfer.push._WINDOW_MAX", waiting)
    tree = tmp_path / "tree"
    write_tree(tree, {f"{n:02}/file": noise(LARGE if n % 4 else SMALL, n) for n in range(12)})
    for n in range(12):
        (tree / f"{n:02}" / "link").symlink_to("file")
    version = store.push([tree], "p/n")
    assert [entry.path for entry in version.files()] == [
        f"{n:02}/{name}" for n in range(12) for name in ("file", "link")
    ]


def test_a_forked_child_is_refused_while_its_parents_workers_are_busy() -> None:
    """The tasks of its parent never end in it, so whoever waited there for one of them would wait for ever."""
    with threads(width=1) as executors, ExitStack() as stack:
        go_on = threading.Event()
        stack.callback(go_on.set)
        reader = ingest.Ingest(None, None, executors, SystemClock())
        reader._submit(go_on.wait)
        while reader._room.acquire(blocking=False):
            pass
        refused = threading.Event()

        def push_on() -> None:
            with pytest.raises(RuntimeError, match="forked"):
                reader._submit(go_on.wait)
            refused.set()

        child = os.fork()
        if not child:
            thread = threading.Thread(target=push_on, daemon=True)
            thread.start()
            thread.join(10)
            os._exit(0 if refused.is_set() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
