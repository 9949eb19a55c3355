"""LMDB environments, one per folder and process, and the transactions on them.

An index is rebuildable, so durability is asked for and never relied on: whatever LMDB finds wrong is
`IndexBroken`, whereupon the caller destroys the folder and fills a new one.

- A folder is opened once in a process however many `Environment`s name it: LMDB forbids a second time.
- A child of a fork never touches what its parent opened. A fork waits for transactions on other threads to
  end; the child drops what it inherited and opens its own on first use.
- What would kill the process is ruled out first: a cut data file (`header`), and a lock file without blocks
  behind it (`folder`).
"""

import contextlib
import os
import threading
import weakref
from collections import deque
from collections.abc import Sequence
from pathlib import Path

from artifactstore.errors import StoreClosed
from artifactstore.index.folder import guarded, is_locked, named_os_error, remove
from artifactstore.index.header import IndexBroken
from artifactstore.index.mapped import MappedIndex
from artifactstore.index.transactions import ReadTransaction, WriteTransaction

__all__ = ["Environment", "IndexBroken", "ReadTransaction", "WriteTransaction", "destroy"]

_registry: dict[Path, MappedIndex] = {}
_registry_lock = threading.RLock()
_everything: weakref.WeakSet[MappedIndex] = weakref.WeakSet()
_draining: list[MappedIndex] = []
# Of environments that nobody has any more and nobody closed.
_forgotten: deque[MappedIndex] = deque()


class Environment:
    """An index folder that is open. Thread-safe; survives a fork on both sides; not to be pickled.

    Attributes:
        path: The folder.
    """

    __slots__ = ("__weakref__", "_shared", "path")

    def __init__(self, shared: MappedIndex) -> None:
        self._shared: MappedIndex | None = shared
        self.path = shared.path

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, tables: Sequence[str]) -> "Environment":
        """Open the index in a folder, made with mode 0700 where it is missing, with these tables in it.

        Raises:
            IndexBroken: What is there can't be used: destroy and rebuild it.
            StorageFull: No space is left to make it.
            PermissionRefused: The folder can't be written.
            BackendError: Anything else the operating system refuses.
        """
        _release_forgotten()
        folder = Path(os.path.realpath(path))
        shared = _acquire(folder)
        environment = cls(shared)
        try:
            shared.open(tables)
        except BaseException:
            environment.close()
            raise
        return environment

    def read(self, *, buffers: bool = False) -> ReadTransaction:
        """A transaction that reads, to be used in a `with` statement.

        Args:
            buffers: Give keys and values as memoryviews that are valid until the block ends, not as copies.
        """
        return ReadTransaction(self._opened(), buffers=buffers)

    def write(self) -> WriteTransaction:
        """A transaction that writes, to be used in a `with` statement; waits for the one before it."""
        return WriteTransaction(self._opened())

    @property
    def size_bytes(self) -> int:
        """The length of the data file."""
        return self._opened().size_bytes()

    def close(self) -> None:
        """Let go of the folder; what runs on it ends first. Idempotent."""
        shared, self._shared = self._shared, None
        if shared is not None:
            _release(shared)
        _release_forgotten()

    def __del__(self) -> None:
        # The collector may come at any moment, while locks are held: whoever opens or closes one next lets go of it.
        shared = getattr(self, "_shared", None)
        if shared is not None:
            _forgotten.append(shared)

    def __enter__(self) -> "Environment":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _opened(self) -> MappedIndex:
        if self._shared is None:
            raise StoreClosed("the store was closed", index=str(self.path))
        return self._shared


def destroy(path: str | os.PathLike[str]) -> None:
    """Delete the index in a folder, whatever is there. Who has it open keeps working on what was deleted.

    Raises:
        PermissionRefused, BackendError: The operating system refuses it.
    """
    folder = Path(os.path.realpath(path))
    with _registry_lock:
        _detach(folder)
    gone = folder.with_name(folder.name + ".gone")
    try:
        with guarded(folder):
            remove(gone)
            # By one rename: a data file without its lock file, or the reverse, must never be opened.
            with contextlib.suppress(FileNotFoundError):
                folder.rename(gone)
            remove(gone)
    except FileNotFoundError:
        return
    except OSError as error:
        raise named_os_error(error, folder) from error


def is_in_use(path: str | os.PathLike[str]) -> bool:
    """Whether this process or another has the index in a folder open."""
    folder = Path(os.path.realpath(path))
    try:
        with _registry_lock:
            if folder in _registry:
                # Not looked at: closing the lock file would give up the locks that LMDB holds on it.
                return True
            with guarded(folder):
                return is_locked(folder)
    except OSError as error:
        raise named_os_error(error, folder) from error


def destroy_unused(path: str | os.PathLike[str]) -> bool:
    """Delete the index in a folder unless somebody has it open; whether it is gone.

    Raises:
        PermissionRefused, BackendError: The operating system refuses it.
    """
    folder = Path(os.path.realpath(path))
    gone = folder.with_name(folder.name + ".gone")
    try:
        with _registry_lock, guarded(folder):
            # Whoever opens it takes the same guard first, so nobody comes between.
            if folder in _registry or is_locked(folder):
                return False
            remove(gone)
            with contextlib.suppress(FileNotFoundError):
                folder.rename(gone)
            remove(gone)
    except FileNotFoundError:
        return True
    except OSError as error:
        raise named_os_error(error, folder) from error
    return True


def _acquire(folder: Path) -> MappedIndex:
    with _registry_lock:
        shared = _registry.get(folder)
        if shared is not None and shared.is_replaced():
            _detach(folder)
            shared = None
        if shared is None:
            shared = _registry[folder] = MappedIndex(folder)
            _everything.add(shared)
        shared.acquire()
        return shared


def _release(shared: MappedIndex) -> None:
    with _registry_lock:
        shared.release()
        # One that a transaction still runs on stays known: LMDB would refuse to open its folder again.
        if not shared.users and not shared.live and not shared.detached:
            del _registry[shared.path]


def _release_forgotten() -> None:
    while _forgotten:
        with contextlib.suppress(IndexError):
            _release(_forgotten.popleft())


def _detach(folder: Path) -> None:
    shared = _registry.pop(folder, None)
    if shared is not None:
        shared.detached = True


def _before_fork() -> None:
    _registry_lock.acquire()
    for shared in list(_everything):
        shared.lock.acquire()
        _draining.append(shared)
        shared.drain()


def _after_fork_in_parent() -> None:
    while _draining:
        _draining.pop().resume()
    _registry_lock.release()


def _after_fork_in_child() -> None:
    global _registry_lock  # noqa: PLW0603 - the one that was inherited may have waiters that do not exist here
    while _draining:
        _draining.pop().forsake()
    _registry_lock = threading.RLock()


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child
)
