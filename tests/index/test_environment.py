"""Environments and transactions: rows, one writer, one opening per process, damage, full disks."""

import contextlib
import errno
import gc
import os
import shutil
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import lmdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.errors import BackendError, PermissionRefused, StorageFull, StoreClosed
from artifactstore.index import mapped
from artifactstore.index.environment import Environment, IndexBroken, destroy

TABLES = ("a", "b")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    with Environment.open(tmp_path / "index", tables=TABLES) as opened:
        yield opened


def rows(environment: Environment, table: str = "a") -> list[tuple[bytes, bytes]]:
    with environment.read() as txn:
        return list(txn.scan(table))


def write(environment: Environment, *keys: bytes, value: bytes = b"value") -> None:
    with environment.write() as txn:
        txn.put_many("a", ((key, value) for key in keys))


def put_and_raise(environment: Environment, error: Exception) -> None:
    with environment.write() as txn:
        txn.put("a", b"k", b"v")
        raise error


# --- rows -------------------------------------------------------------------------------------------


def test_put_get_delete(environment: Environment) -> None:
    """A row is there after it was put and gone after it was deleted; tables are apart."""
    with environment.write() as txn:
        txn.put("a", b"k", b"1")
        txn.putter("b")(b"k", b"2")
        assert txn.get("a", b"k") == b"1"
    with environment.read() as txn:
        assert [txn.get("a", b"k"), txn.get("b", b"k"), txn.get("b", b"j")] == [b"1", b"2", None]
        assert [txn.getter("a")(b"k"), txn.getter("a")(b"j")] == [b"1", None]
        assert [txn.count("a"), txn.count("b")] == [1, 1]
    with environment.write() as txn:
        assert [txn.delete("a", b"k"), txn.delete("a", b"k")] == [True, False]
    assert (rows(environment, "a"), rows(environment, "b")) == ([], [(b"k", b"2")])


def test_many(environment: Environment) -> None:
    """Rows are put, got and removed in bulk; later values replace earlier ones."""
    with environment.write() as txn:
        txn.put_many("a", ((b"%04d" % n, b"old") for n in range(1000)))
        txn.put_many("a", ((b"%04d" % n, b"new") for n in range(500)))
        assert txn.count("a") == 1000
        assert txn.delete_many("a", [b"0000", b"0001", b"none"]) == 2
    with environment.read() as txn:
        assert txn.get_many("a", [b"0000", b"0002", b"0700", b"x"]) == [(b"0002", b"new"), (b"0700", b"old")]
    with environment.write() as txn:
        txn.clear("a")
    assert rows(environment) == []


@given(st.sets(st.binary(min_size=1, max_size=3), max_size=40), st.binary(max_size=2), st.binary(max_size=3))
def test_scan_is_a_sorted_filter(
    tmp_path_factory: pytest.TempPathFactory, keys: set[bytes], prefix: bytes, start: bytes
) -> None:
    """A scan gives exactly the rows with the prefix from the start on, by key, in either direction."""
    path = tmp_path_factory.getbasetemp() / "scanned"
    with Environment.open(path, tables=TABLES) as environment:
        with environment.write() as txn:
            txn.clear("a")
            txn.put_many("a", ((key, key[::-1]) for key in sorted(keys)))
        expected = [(key, key[::-1]) for key in sorted(keys) if key.startswith(prefix) and key >= start]
        for buffers in (False, True):
            with environment.read(buffers=buffers) as txn:
                forward = [(bytes(key), bytes(value)) for key, value in txn.scan("a", prefix, start=start)]
                backward = [
                    (bytes(key), bytes(value))
                    for key, value in txn.scan("a", prefix, start=start, reverse=True)
                ]
            assert forward == expected
            assert backward == expected[::-1]


def test_scan_of_the_highest_keys(environment: Environment) -> None:
    """A prefix that nothing can follow is scanned from the end of the table."""
    write(environment, b"\xfe", b"\xff", b"\xff\xff", b"\xff\xff\xff")
    with environment.read() as txn:
        found = [key for key, _ in txn.scan("a", b"\xff\xff", reverse=True)]
    assert found == [b"\xff\xff\xff", b"\xff\xff"]


def test_buffers_are_views(environment: Environment) -> None:
    """On demand values come without a copy."""
    write(environment, b"k")
    with environment.read(buffers=True) as txn:
        found = txn.get("a", b"k")
        assert isinstance(found, memoryview)
        assert found == b"value"


# --- transactions --------------------------------------------------------------------------------------


def test_an_error_undoes_the_block(environment: Environment) -> None:
    """When the block raises nothing of it stays, and the next writer can write."""
    with pytest.raises(KeyError):
        put_and_raise(environment, KeyError())
    assert rows(environment) == []
    write(environment, b"k")
    assert len(rows(environment)) == 1


def test_a_reader_sees_one_moment(environment: Environment) -> None:
    """What is committed while a transaction reads is not seen by it."""
    with environment.read() as txn:
        write(environment, b"k")
        assert txn.get("a", b"k") is None
    assert len(rows(environment)) == 1


def test_outside_its_block_a_transaction_is_refused(environment: Environment) -> None:
    """Before and after its `with` block a transaction raises and touches nothing."""
    txn = environment.read()
    with pytest.raises(RuntimeError, match="within its"):
        txn.get("a", b"k")
    with txn:
        scan = txn.scan("a")
    with pytest.raises(RuntimeError, match="within its"):
        txn.get("a", b"k")
    with pytest.raises(RuntimeError, match="within its"):
        next(scan)


def test_writers_take_turns(environment: Environment) -> None:
    """Eight threads that count up one row lose no step, while others read."""
    write(environment, b"n", value=b"0")
    seen: list[int] = []

    def count_up(_: int) -> None:
        for _ in range(20):
            with environment.write() as txn:
                txn.put("a", b"n", b"%d" % (int(txn.get("a", b"n") or b"") + 1))
            with environment.read() as txn:
                seen.append(int(txn.get("a", b"n") or b""))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count_up, range(8)))
    assert rows(environment) == [(b"n", b"160")]
    assert max(seen) == 160


def test_a_second_writer_on_one_thread_is_refused(environment: Environment) -> None:
    """What would wait for itself forever raises."""
    with environment.write(), pytest.raises(BackendError, match="deadlock"), environment.write():
        pass
    write(environment, b"k")


def test_keys_out_of_bounds_are_the_callers_mistake(environment: Environment) -> None:
    """A key that LMDB can't hold is not called a broken index."""
    with pytest.raises(lmdb.BadValsizeError), environment.write() as txn:
        txn.put("a", b"k" * 512, b"v")
    assert rows(environment) == []


def test_a_forgotten_scan_does_not_block(environment: Environment) -> None:
    """A scan that was dropped in a cycle, with its transaction, is ended by the collector."""
    write(environment, b"1", b"2")

    def scan() -> Iterator[bytes]:
        with environment.read() as txn:
            for key, _ in txn.scan("a"):
                yield key

    class Holder:
        pass

    holder = Holder()
    holder.me, holder.scan = holder, scan()  # type: ignore[attr-defined]
    next(holder.scan)  # type: ignore[attr-defined]
    del holder
    gc.collect()
    write(environment, b"3")
    assert len(rows(environment)) == 3


# --- opening --------------------------------------------------------------------------------------------


def test_one_opening_per_process(tmp_path: Path) -> None:
    """Many environments of one folder, by whatever path, share LMDB's; the last one closes it."""
    (tmp_path / "link").symlink_to(tmp_path)
    first = Environment.open(tmp_path / "index", tables=["a"])
    second = Environment.open(tmp_path / "link" / "index", tables=["b"])
    write(first, b"k")
    assert second.path == first.path
    assert rows(second) == [(b"k", b"value")]
    first.close()
    first.close()
    with pytest.raises(StoreClosed):
        first.read()
    write(second, b"l")
    second.close()
    with lmdb.open(str(tmp_path / "index"), max_dbs=4) as raw:
        assert raw.stat()["entries"] == 2


def test_closing_waits_for_what_runs(tmp_path: Path) -> None:
    """A transaction outlives the closing of its environment, and the folder opens again."""
    environment = Environment.open(tmp_path / "index", tables=TABLES)
    write(environment, b"k")
    with environment.read() as txn:
        environment.close()
        with Environment.open(tmp_path / "index", tables=TABLES) as again:
            assert len(rows(again)) == 1
        assert txn.get("a", b"k") == b"value"
    with Environment.open(tmp_path / "index", tables=TABLES) as again:
        assert len(rows(again)) == 1


def test_folders_are_the_users_own(tmp_path: Path) -> None:
    """The folder and those above it are made 0700, files 0600; one that is open to others is closed."""
    path = tmp_path / "cache" / "index"
    Environment.open(path, tables=TABLES).close()
    assert [stat.S_IMODE(each.stat().st_mode) for each in (path.parent, path)] == [0o700, 0o700]
    assert {stat.S_IMODE(each.stat().st_mode) for each in path.iterdir()} == {0o600}
    path.chmod(0o755)
    Environment.open(path, tables=TABLES).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o700


def test_opening_raced_by_threads(tmp_path: Path) -> None:
    """Sixteen threads that open, write and close one folder at once all succeed."""

    def use(n: int) -> None:
        with Environment.open(tmp_path / "index", tables=TABLES) as environment:
            write(environment, b"%d" % n)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(use, range(16)))
    with Environment.open(tmp_path / "index", tables=TABLES) as environment:
        assert len(rows(environment)) == 16


def test_tables_are_added_beside_a_writer(tmp_path: Path) -> None:
    """Opening further tables waits for a writer on another thread, which can end meanwhile."""
    begun = threading.Event()

    def write_slowly(environment: Environment) -> None:
        with environment.write() as txn:
            begun.set()
            with environment.read():
                txn.put("a", b"k", b"v")

    with Environment.open(tmp_path / "index", tables=["a"]) as environment, ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write_slowly, environment)
        begun.wait(30)
        with Environment.open(tmp_path / "index", tables=["b", "c"]) as more:
            writing.result(30)
            with more.write() as txn:
                txn.put("c", b"k", b"v")
            assert (rows(more, "a"), rows(environment, "c")) == ([(b"k", b"v")], [(b"k", b"v")])


def test_size(environment: Environment) -> None:
    """The size is the data file's."""
    write(environment, *(b"%5d" % n for n in range(5000)))
    assert environment.size_bytes == (environment.path / "data.mdb").stat().st_size > 100_000


# --- damage ---------------------------------------------------------------------------------------------


def test_every_cut_is_broken_and_rebuilt(tmp_path: Path) -> None:
    """A data file cut anywhere is `IndexBroken`; destroyed, the folder takes a new index."""
    path = tmp_path / "index"
    with Environment.open(path, tables=TABLES) as environment:
        write(environment, *(b"%5d" % n for n in range(500)))
    good = (path / "data.mdb").read_bytes()
    for size in (1, 4096, len(good) // 2, len(good) - 4096):
        (path / "data.mdb").write_bytes(good[:size])
        with pytest.raises(IndexBroken):
            Environment.open(path, tables=TABLES)
    destroy(path)
    with Environment.open(path, tables=TABLES) as environment:
        assert rows(environment) == []


@pytest.mark.parametrize("pages", [5, 500])
def test_no_page_is_left_out_of_the_file(tmp_path: Path, pages: int) -> None:
    """A file is as long as its last page says even where LMDB wrote none, so that it is not taken for cut."""
    with Environment.open(tmp_path / "index", tables=TABLES) as environment:
        for _ in range(2):
            with environment.write() as txn:
                for n in range(pages):
                    txn.put("a", b"%5d" % n, b"v" * 3000)
                for n in range(pages):
                    txn.delete("a", b"%5d" % n)
        write(environment, b"k")
    with Environment.open(tmp_path / "index", tables=TABLES) as environment:
        assert len(rows(environment)) == 1


@pytest.mark.parametrize("garbage", [b"\0" * 8192, b"garbage" * 2000, b"x"])
@pytest.mark.parametrize("name", ["data.mdb", "lock.mdb"])
def test_garbage(tmp_path: Path, name: str, garbage: bytes) -> None:
    """A data file of garbage is broken; a lock file of garbage that nobody uses is made anew."""
    path = tmp_path / "index"
    with Environment.open(path, tables=TABLES) as environment:
        write(environment, b"k")
    (path / name).write_bytes(garbage)
    if name == "data.mdb":
        with pytest.raises(IndexBroken):
            Environment.open(path, tables=TABLES)
    else:
        with Environment.open(path, tables=TABLES) as environment:
            assert len(rows(environment)) == 1


def test_pages_of_garbage(tmp_path: Path) -> None:
    """Garbage in the middle of a sound file is an error of ours when it is met, and never ends the process.

    Run in another process, as one that LMDB would end must not end the tests.
    """
    path = tmp_path / "index"
    with Environment.open(path, tables=TABLES) as environment:
        write(environment, *(b"%6d" % n for n in range(3000)), value=b"v" * 40)
    code = (
        "import os, sys\n"
        "from artifactstore.index.environment import Environment, IndexBroken\n"
        "path, page = sys.argv[1], os.sysconf('SC_PAGE_SIZE')\n"
        "data = open(path + '/data.mdb', 'rb').read()\n"
        "for at in range(2 * page, len(data), page):\n"
        "    for noise in (bytes(page), b'\\xff' * page):\n"
        "        open(path + '/data.mdb', 'wb').write(data[:at] + noise + data[at + page:])\n"
        "        try:\n"
        "            with Environment.open(path, tables=['a', 'b']) as e, e.read() as txn:\n"
        "                for n in range(0, 3000, 7):\n"
        "                    txn.get('a', b'%6d' % n)\n"
        "        except IndexBroken:\n"
        "            pass\n"
        "print('survived')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], check=False, capture_output=True, text=True, env=_environ()
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "survived\n", "")


def _environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


def test_a_foreign_database(tmp_path: Path) -> None:
    """A database of another program that keeps something else under the name of a table is broken."""
    path = tmp_path / "index"
    with lmdb.open(str(path), max_dbs=4) as raw, raw.begin(write=True) as txn:
        txn.put(b"a", b"not a table")
    with pytest.raises(IndexBroken):
        Environment.open(path, tables=TABLES)


def test_something_else_in_its_place(tmp_path: Path) -> None:
    """A file where the folder should be, or the reverse, is broken and can be destroyed."""
    (tmp_path / "index").write_text("a file")
    with pytest.raises(IndexBroken):
        Environment.open(tmp_path / "index", tables=TABLES)
    destroy(tmp_path / "index")
    (tmp_path / "index" / "data.mdb").mkdir(parents=True)
    with pytest.raises(IndexBroken):
        Environment.open(tmp_path / "index", tables=TABLES)
    destroy(tmp_path / "index")
    Environment.open(tmp_path / "index", tables=TABLES).close()


def test_destroying(tmp_path: Path) -> None:
    """Who has a destroyed index open keeps reading it; who opens the folder afterwards gets an empty one."""
    path = tmp_path / "index"
    old = Environment.open(path, tables=TABLES)
    write(old, b"k")
    destroy(path)
    destroy(path)
    with Environment.open(path, tables=TABLES) as new:
        write(new, b"x", b"y")
        assert (len(rows(old)), len(rows(new))) == (1, 2)
        write(old, b"l")
        old.close()
        assert len(rows(new)) == 2
    assert sorted(each.name for each in tmp_path.iterdir()) == [".index.guard", "index"]


def test_destroying_what_never_was(tmp_path: Path) -> None:
    """Destroying nothing is fine, with or without a folder above it."""
    destroy(tmp_path / "index")
    destroy(tmp_path / "none" / "index")


def test_a_folder_replaced_by_another_process(tmp_path: Path) -> None:
    """Opening looks whether the folder still holds what is open, and opens what is there now."""
    path = tmp_path / "index"
    old = Environment.open(path, tables=TABLES)
    write(old, b"k")
    shutil.rmtree(path)
    with Environment.open(path, tables=TABLES) as new:
        assert (len(rows(old)), len(rows(new))) == (1, 0)
    old.close()


def test_leftovers_of_an_interrupted_destroy(tmp_path: Path) -> None:
    """A folder that a killed process was deleting is deleted by the next."""
    (tmp_path / "index.gone" / "deep").mkdir(parents=True)
    Environment.open(tmp_path / "index", tables=TABLES).close()
    destroy(tmp_path / "index")
    assert [each.name for each in tmp_path.iterdir()] == [".index.guard"]


# --- full disks, limits and refusals ----------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", str(folder)]
    if os.getuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


def test_no_space_to_write(small_disk: Path) -> None:
    """A transaction that does not fit is undone with `StorageFull`; small ones go on."""
    with Environment.open(small_disk / "index", tables=TABLES) as environment:
        write(environment, b"kept")
        with pytest.raises(StorageFull) as caught:
            write(environment, *(b"%6d" % n for n in range(3000)), value=b"v" * 1000)
        assert caught.value.facts["path"] == str(small_disk / "index")
        assert len(rows(environment)) == 1
        write(environment, b"kept too")
    with Environment.open(small_disk / "index", tables=TABLES) as environment:
        assert len(rows(environment)) == 2


def test_no_space_to_open(small_disk: Path) -> None:
    """On a full disk opening fails as such, for a new index and for one whose lock file is gone."""
    with Environment.open(small_disk / "index", tables=TABLES) as environment:
        write(environment, b"kept")
    (small_disk / "index" / "lock.mdb").unlink()
    fill(small_disk)
    for name in ("index", "new"):
        with pytest.raises(StorageFull):
            Environment.open(small_disk / name, tables=TABLES)
    (small_disk / "filler").unlink()
    with Environment.open(small_disk / "index", tables=TABLES) as environment:
        assert len(rows(environment)) == 1


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EROFS, PermissionRefused),
        (errno.EACCES, PermissionRefused),
        (errno.EIO, BackendError),
    ],
)
def test_refusals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception]
) -> None:
    """What the operating system refuses while the folder is prepared has its error; it can be repeated."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patched:
        patched.setattr(os, "posix_fallocate", refuse, raising=False)
        with pytest.raises(expected):
            Environment.open(tmp_path / "index", tables=TABLES)
    Environment.open(tmp_path / "index", tables=TABLES).close()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (lmdb.DiskError("x"), StorageFull),
        (lmdb.MapFullError("x"), StorageFull),
        (lmdb.CorruptedError("x"), IndexBroken),
        (lmdb.PageNotFoundError("x"), IndexBroken),
        (lmdb.PanicError("x"), IndexBroken),
        (lmdb.ReadonlyError("x"), PermissionRefused),
        (lmdb.ReadersFullError("x"), BackendError),
        (lmdb.Error("mdb_txn_commit: Input/output error"), BackendError),
    ],
)
def test_errors_of_lmdb(environment: Environment, error: Exception, expected: type[Exception]) -> None:
    """What LMDB raises in a block leaves it as an error of ours, with the path, and the block is undone."""
    with pytest.raises(expected) as caught:
        put_and_raise(environment, error)
    assert caught.value.__cause__ is error
    assert str(environment.path) in str(caught.value)
    assert rows(environment) == []


def test_little_address_space(tmp_path: Path) -> None:
    """Where address space is limited a smaller map is taken."""
    code = (
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        "from artifactstore.index.environment import Environment\n"
        "with Environment.open(sys.argv[1], tables=['a']) as environment:\n"
        "    with environment.write() as txn: txn.put('a', b'k', b'v')\n"
        "    with environment.read() as txn: print(txn.get('a', b'k'))\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "index")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=_environ())
    assert (done.stdout, done.stderr) == ("b'v'\n", "")


def test_a_small_map_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A map that is half full is doubled before the next writer; too large a transaction is refused."""
    monkeypatch.setattr(mapped, "MAP_SIZES_BYTES", (1 << 40, 1 << 20))
    real_open = lmdb.open

    def limited_open(*args: object, map_size: int, **kwargs: object) -> object:
        if map_size > 1 << 20:
            raise lmdb.MemoryError
        return real_open(*args, map_size=map_size, **kwargs)

    monkeypatch.setattr(mapped.lmdb, "open", limited_open)
    with Environment.open(tmp_path / "index", tables=TABLES) as environment:
        with pytest.raises(StorageFull, match="address space"):
            write(environment, *(b"%6d" % n for n in range(2000)), value=b"v" * 1000)
        assert rows(environment) == []
        for start in range(0, 5000, 200):
            write(environment, *(b"%6d" % n for n in range(start, start + 200)), value=b"v" * 1000)
        assert len(rows(environment)) == 5000


def test_another_process_grows_the_map(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that another process made larger than this one's map is mapped anew."""
    monkeypatch.setattr(mapped, "MAP_SIZES_BYTES", (1 << 20,))
    with Environment.open(tmp_path / "index", tables=TABLES) as environment:
        write(environment, b"first")
        code = (
            "import sys\n"
            "from artifactstore.index.environment import Environment\n"
            "with Environment.open(sys.argv[1], tables=['a']) as environment, environment.write() as txn:\n"
            "    txn.put_many('a', ((b'%6d' % n, b'v' * 1000) for n in range(3000)))\n"
        )
        subprocess.run([sys.executable, "-c", code, str(tmp_path / "index")], check=True, env=_environ())
        assert len(rows(environment)) == 3001
        write(environment, b"last")
        assert len(rows(environment)) == 3002


def test_a_reader_that_was_killed_pins_nothing(tmp_path: Path) -> None:
    """The place of a reader whose process died is cleared by the next that opens the index."""
    code = (
        "import os, sys\n"
        "from artifactstore.index.environment import Environment\n"
        "txn = Environment.open(sys.argv[1], tables=['a']).read()\n"
        "txn.__enter__()\n"
        "os._exit(9)\n"
    )
    with Environment.open(tmp_path / "index", tables=TABLES):
        command = [sys.executable, "-c", code, str(tmp_path / "index")]
        assert subprocess.run(command, check=False, env=_environ()).returncode == 9
    with Environment.open(tmp_path / "index", tables=TABLES) as environment:
        assert environment._opened()._lmdb.reader_check() == 0
