"""One LMDB environment of this process, behind all that name its folder: opened, grown, left, ended."""

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import lmdb

from artifactstore.errors import BackendError, PermissionRefused, StorageFull
from artifactstore.index.folder import (
    allocate_lock_file,
    check_folder,
    guarded,
    make_folder,
    named_os_error,
    storage_full,
)
from artifactstore.index.header import IndexBroken

# Address space, not storage; smaller ones where a limit on address space refuses the first.
MAP_SIZES_BYTES: Final = (1 << 40, 1 << 36, 1 << 33, 1 << 31, 1 << 28)
# A process has 2^47 bytes of it: with a tebibyte each, the 194th index could not be opened, nor a thread be started.
# Those beyond these begin with the next smaller size, and grow.
LARGEST_MAX: Final = 16
READERS_MAX: Final = 1024
TABLES_MAX: Final = 64
DRAIN_WAIT_S: Final = 10.0
# An I/O error on a disk with less left than this is taken for a full one: LMDB calls a short write EIO.
FREE_BYTES_MIN: Final = 1 << 20

_BROKEN = (
    # LMDB finds a transaction invalid, other than after an error that ended it, only where a tree is damaged.
    lmdb.BadTxnError,
    lmdb.CorruptedError,
    lmdb.IncompatibleError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
)
# Release 3 of lmdb bundles two engines; the header check knows the file of the first.
_ENGINE: Final[dict[str, Any]] = {"lib_version": 0} if hasattr(lmdb.Environment, "lib_version") else {}


# Those of this process that have the largest map.
_largest: "set[MappedIndex]" = set()


class Owner(Protocol):
    """What a transaction is to the environment that it runs on."""

    def forsake(self) -> Callable[[], object]:
        """In a forked child: let go of the parent's transaction; return what tells whether it is held."""
        ...


class _Opening:
    """The owner of a transaction that opens tables."""

    def forsake(self) -> Callable[[], object]:
        """Held for good: the thread that runs it is not in the child."""
        return lambda: True


class MappedIndex:
    """What the `Environment`s of one folder share. Attributes are guarded by `lock` unless said otherwise.

    Attributes:
        path: The folder, resolved.
        tables: LMDB's handles by name; only ever added to while open.
        users: How many `Environment`s are open.
        detached: Whether the folder was destroyed or replaced since; never opened again then.
        live: Transactions that run or begin, with their thread.
        draining: Whether a fork waits for them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tables: dict[str, Any] = {}
        self.users = 0
        self.detached = False
        self.live: dict[Owner, int] = {}
        self.draining = False
        # Reentrant: the collector may close a forgotten scan, and end its transaction, at any allocation.
        self.lock = threading.RLock()
        self._idle = threading.Condition(self.lock)
        self._names: set[str] = set()
        self._lmdb: Any = None
        self._data = -1
        self._map_size = 0
        self._inherited: tuple[Any, list[Callable[[], object]]] | None = None

    def open(self, tables: Iterable[str]) -> None:
        """Open the folder, if it is not, and the tables that are not."""
        with self.lock:
            self._names.update(tables)
            if self._lmdb is None:
                self._open()
            if self._names.issubset(self.tables):
                return
        # Outside the lock, which a writer on another thread needs to end.
        opening = _Opening()
        txn = self.begin(opening, write=True, buffers=False)
        try:
            with self._named_errors():
                self._open_tables(txn)
        finally:
            self.ended(opening)

    def acquire(self) -> None:
        """One `Environment` more."""
        with self.lock:
            self.users += 1

    def begin(self, owner: Owner, *, write: bool, buffers: bool) -> Any:
        """Begin one of LMDB's transactions for `owner`, which says when it has `ended`."""
        me = threading.get_ident()
        with self.lock:
            while self.draining and me not in self.live.values():
                self._idle.wait()
            if self._lmdb is None:
                self._open()
            if write and self._map_size < MAP_SIZES_BYTES[0] and not self.live:
                self._grow()
            self.live[owner] = me
            if not write:
                return self._begin(owner, write=False, buffers=buffers)
        # Outside the lock: it may wait for a writer in another process.
        return self._begin(owner, write=True, buffers=buffers)

    def ended(self, owner: Owner) -> None:
        """The transaction of `owner` was committed or aborted, or never began."""
        with self.lock:
            self.live.pop(owner, None)
            self._idle.notify_all()
            if not self.users and not self.live:
                self._close()

    def release(self) -> None:
        """One `Environment` less; with the last one, and the last transaction, LMDB's is closed."""
        with self.lock:
            self.users -= 1
            if not self.users and not self.live:
                self._close()

    def is_replaced(self) -> bool:
        """Whether the folder no longer holds the file that is open."""
        with self.lock:
            if self._data < 0:
                return False
            try:
                return not os.path.samestat(os.fstat(self._data), (self.path / "data.mdb").stat())
            except OSError:
                return True

    def size_bytes(self) -> int:
        """The length of the data file."""
        with self.lock:
            if self._lmdb is None:
                self._open()
            return os.fstat(self._data).st_size

    def lengthen_file(self) -> None:
        """Extend the file to its last page where LMDB did not write it, so that a shorter one is a cut one.

        LMDB leaves out pages that a transaction took at the end and gave up again. Done while holding LMDB's
        own write lock, as a file that another process lengthens meanwhile would be cut.
        """
        if self._missing_bytes():
            with contextlib.suppress(lmdb.Error, OSError), self._lmdb.begin(write=True):
                missing = self._missing_bytes()
                if missing:
                    os.ftruncate(self._data, os.fstat(self._data).st_size + missing)

    def named(self, error: Exception) -> Exception:
        """The error of ours for one of LMDB's; itself where it is the caller's mistake."""
        facts = {"path": str(self.path), "reason": str(error)}
        code = getattr(error, "code", None)
        if isinstance(error, _BROKEN):
            return IndexBroken(self.path, str(error))
        if isinstance(error, lmdb.MapFullError):
            return StorageFull(
                f"the index in {self.path} has filled its address space",
                next_step="raise the limit on address space (`ulimit -v unlimited`)",
                **facts,
            )
        if isinstance(error, lmdb.DiskError) or code in {errno.ENOSPC, errno.EDQUOT} or self._is_full(error):
            return storage_full(self.path, str(error))
        if isinstance(error, lmdb.ReadonlyError) or code in {errno.EPERM, errno.EROFS}:
            return PermissionRefused(f"the index in {self.path} can't be written", **facts)
        if isinstance(error, (lmdb.BadValsizeError, lmdb.InvalidParameterError)):
            return error
        return BackendError(f"the index in {self.path}: {error}", **facts)

    def drain(self) -> None:
        """Before a fork, `lock` being held until after it: wait for transactions on other threads to end."""
        me = threading.get_ident()
        self.draining = True
        self._idle.wait_for(lambda: all(thread == me for thread in self.live.values()), DRAIN_WAIT_S)

    def resume(self) -> None:
        """After a fork, in the parent."""
        self.draining = False
        self._idle.notify_all()
        self.lock.release()

    def forsake(self) -> None:
        """After a fork, in the child: drop what is the parent's."""
        held = [owner.forsake() for owner in self.live]
        self.live = {}
        self.tables = {}
        self.draining = False
        self.lock = threading.RLock()
        self._idle = threading.Condition(self.lock)
        if self._lmdb is not None:
            os.close(self._data)
            self._inherited, self._lmdb, self._data = (self._lmdb, held), None, -1
            self._close_inherited()

    def _close_inherited(self) -> bool:
        """Close what the parent opened, unless a transaction is left here: closing would end it there."""
        if self._inherited is not None:
            environment, held = self._inherited
            if any(is_held() is not None for is_held in held):
                return False
            self._inherited = None
            environment.close()
            _largest.discard(self)
        return True

    def _open(self) -> None:
        if self.detached:
            raise IndexBroken(self.path, "it was destroyed")
        if not self._close_inherited():
            raise RuntimeError(f"this process was forked in the middle of a transaction on {self.path}")
        with self._named_errors():
            try:
                make_folder(self.path)
                with guarded(self.path):
                    check_folder(self.path)
                    allocate_lock_file(self.path / "lock.mdb")
                    self._open_lmdb()
                # When it was used last, for who makes room in the cache.
                with contextlib.suppress(OSError):
                    os.utime(self.path)
                self._lmdb.reader_check()
                self._open_tables(self._lmdb.begin(write=True))
            except BaseException:
                self._close()
                raise

    def _open_lmdb(self) -> None:
        crowded = len(_largest) >= LARGEST_MAX
        for size in (MAP_SIZES_BYTES[1:] if crowded else ()) or MAP_SIZES_BYTES:
            try:
                self._lmdb = lmdb.open(
                    str(self.path),
                    map_size=size,
                    metasync=False,
                    mode=0o700,
                    max_readers=READERS_MAX,
                    max_dbs=TABLES_MAX,
                    # A cached read transaction would pin the pages of a version nobody reads.
                    max_spare_txns=0,
                    **_ENGINE,
                )
            except lmdb.MemoryError:
                if size == MAP_SIZES_BYTES[-1]:
                    raise
            else:
                break
        self._map_size = self._lmdb.info()["map_size"]
        if self._map_size >= MAP_SIZES_BYTES[0]:
            _largest.add(self)
        self._data = os.open(self.path / "data.mdb", os.O_RDWR | os.O_CLOEXEC)

    def _open_tables(self, txn: Any) -> None:
        # A writing transaction although most exist: a reading one would take its handles with it. One that
        # makes nothing writes nothing.
        names = sorted(self._names.difference(self.tables))
        with txn:
            opened = {name: self._lmdb.open_db(name.encode(), txn=txn) for name in names}
        self.tables.update(opened)

    def _close(self) -> None:
        if self._lmdb is not None:
            self._lmdb.close()
            _largest.discard(self)
        if self._data >= 0:
            os.close(self._data)
        self._lmdb, self._data, self.tables = None, -1, {}

    def _begin(self, owner: Owner, *, write: bool, buffers: bool) -> Any:
        try:
            try:
                return self._lmdb.begin(write=write, buffers=buffers)
            except lmdb.MapResizedError:
                self._adopt_map()
            except lmdb.PanicError:
                self._reopen()
            return self._lmdb.begin(write=write, buffers=buffers)
        except BaseException as error:
            self.ended(owner)
            if isinstance(error, lmdb.Error):
                raise self.named(error) from error
            raise

    def _adopt_map(self) -> None:
        """Map as much as another process has; no other transaction of this one may run meanwhile."""
        with self.lock:
            self._await_others("has grown")
            self._set_map_size(0)

    def _reopen(self) -> None:
        """Open the file anew after a commit that could not be written: it is whole, but LMDB gives itself up."""
        with self.lock:
            self._await_others("could not be written")
            self._close()
            self._open()

    def _await_others(self, what: str) -> None:
        """Wait until the transaction that begins is the only one of this process."""
        if not self._idle.wait_for(lambda: len(self.live) == 1, DRAIN_WAIT_S):
            raise BackendError(f"the index in {self.path} {what} while it was in use", path=str(self.path))

    def _grow(self) -> None:
        """Double a map that is half full: only a process whose address space is limited has a small one."""
        with self._named_errors():
            used = self._used_bytes()
            if used > self._map_size // 2:
                with contextlib.suppress(lmdb.MemoryError):
                    self._set_map_size(self._map_size * 2)

    def _set_map_size(self, size: int) -> None:
        self._lmdb.set_mapsize(size)
        self._map_size = self._lmdb.info()["map_size"]

    def _used_bytes(self) -> int:
        used: int = (self._lmdb.info()["last_pgno"] + 1) * self._lmdb.stat()["psize"]
        return used

    def _missing_bytes(self) -> int:
        return max(0, self._used_bytes() - os.fstat(self._data).st_size)

    def _is_full(self, error: Exception) -> bool:
        if os.strerror(errno.EIO) not in str(error):
            return False
        try:
            found = os.statvfs(self.path)
        except OSError:
            return False
        return found.f_bavail * found.f_frsize < FREE_BYTES_MIN

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except lmdb.Error as error:
            raise self.named(error) from error
        except OSError as error:
            raise named_os_error(error, self.path) from error
