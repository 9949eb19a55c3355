"""The folder that a pull writes: directory descriptors all the way down, and never through a symlink.

Invariant 17: a pull never writes outside its target. Every folder is opened relative to the one above it with
O_NOFOLLOW, so that neither the manifest's own symlinks nor ones planted meanwhile lead anywhere.
"""

import contextlib
import errno
import fcntl
import os
import stat as stat_bits
import threading
from collections import OrderedDict
from types import TracebackType
from typing import Final

from artifactstore.errors import (
    ArtifactStoreError,
    BackendError,
    DestinationExists,
    PermissionRefused,
    StorageFull,
)

_FOLDER_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_FOLDERS_OPEN_MAX: Final = 64


class Target:
    """A folder to write into.

    Args:
        root: The folder; it exists.
        own: Whether it must be this user's, no symlink and in nobody else's use: its name can be guessed, so it may be
            planted, and two pulls into one folder would truncate each other's files.

    Thread-safe.
    """

    def __init__(self, root: str, *, own: bool = False) -> None:
        self.root = root
        self._root = os.open(root, _FOLDER_FLAGS if own else _FOLDER_FLAGS & ~os.O_NOFOLLOW)
        if own:
            self._refuse_others()
        self._lock = threading.Lock()
        self._folders: OrderedDict[str, int] = OrderedDict()
        self._users: dict[int, int] = {}

    def _refuse_others(self) -> None:
        problem = ""
        if os.fstat(self._root).st_uid != os.geteuid():
            problem = "belongs to another user"
        elif not self._locked():
            problem = "is being written by another pull"
        if problem:
            os.close(self._root)
            raise DestinationExists(
                f"{self.root!r} {problem}",
                next_step="wait for it, or choose another destination",
                path=self.root,
            )

    def _locked(self) -> bool:
        """Take the folder for this pull alone; False when another has it, or has just published it."""
        try:
            fcntl.flock(self._root, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError:
            # A file system that locks no folders leaves that to its user.
            return True
        try:
            return os.path.samestat(os.fstat(self._root), os.lstat(self.root))
        except FileNotFoundError:
            return False

    def __enter__(self) -> "Target":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every descriptor."""
        with self._lock:
            for handle in self._folders.values():
                os.close(handle)
            self._folders.clear()
            # A child that was forked meanwhile shares the lock and would keep it.
            with contextlib.suppress(OSError):
                fcntl.flock(self._root, fcntl.LOCK_UN)
            os.close(self._root)

    def write_file(self, path: str, data: memoryview, mode: int) -> None:
        """Write a whole small file."""
        with self._parent(path) as (folder, name):
            handle = os.open(name, _FILE_FLAGS | os.O_TRUNC, mode, dir_fd=folder)
            try:
                _write_all(handle, data)
            finally:
                os.close(handle)

    def open_file(self, path: str, mode: int) -> int:
        """Open a file for writing at offsets; the caller closes it."""
        with self._parent(path) as (folder, name):
            return os.open(name, _FILE_FLAGS, mode, dir_fd=folder)

    def open_existing(self, path: str) -> int | None:
        """Open a file that may be there for reading; None when there is none, or something else."""
        try:
            with self._parent(path, make=False) as (folder, name):
                return os.open(name, _READ_FLAGS, dir_fd=folder)
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EACCES}:
                return None
            raise

    def stands(self, path: str, link: str | None) -> bool:
        """Whether something is there that is not a symlink to `link`."""
        try:
            with self._parent(path, make=False) as (folder, name):
                mode = os.lstat(name, dir_fd=folder).st_mode
                return not (stat_bits.S_ISLNK(mode) and os.readlink(name, dir_fd=folder) == link)
        except FileNotFoundError:
            return False

    def remove(self, path: str) -> None:
        """Remove a file or symlink that stands where another will be."""
        with self._parent(path) as (folder, name):
            os.unlink(name, dir_fd=folder)

    def remove_anything(self, path: str) -> None:
        """Remove a file, a symlink or an empty folder, if something is there."""
        with contextlib.suppress(FileNotFoundError), self._parent(path, make=False) as (folder, name):
            try:
                os.unlink(name, dir_fd=folder)
            except (IsADirectoryError, PermissionError):  # Linux says the one of a folder, macOS the other
                os.rmdir(name, dir_fd=folder)

    def remove_folder(self, path: str) -> bool:
        """Remove a folder if it is empty; whether it is gone."""
        with self._lock:
            kept = self._folders.pop(path, None)
            if kept is not None:
                os.close(kept)
        try:
            with self._parent(path, make=False) as (folder, name):
                os.rmdir(name, dir_fd=folder)
        except FileNotFoundError:
            return True
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}:
                return False
            raise
        return True

    def make_folder(self, path: str) -> None:
        """Make a folder, and those above it."""
        with self._parent(path + "/x"):
            pass

    def make_symlink(self, path: str, target: str) -> None:
        """Make a symlink, in place of one that is there."""
        with self._parent(path) as (folder, name):
            try:
                os.symlink(target, name, dir_fd=folder)
            except FileExistsError:
                os.unlink(name, dir_fd=folder)
                os.symlink(target, name, dir_fd=folder)

    def set_mode(self, path: str, mode: int) -> None:
        """Set a file's mode, when it was there before with another."""
        with self._parent(path) as (folder, name):
            os.chmod(name, mode, dir_fd=folder)

    def move_from(self, staging: "Target", path: str) -> None:
        """Move a file or symlink here from another target on the same file system."""
        with staging._parent(path) as (source, name), self._parent(path) as (folder, _):  # noqa: SLF001
            os.rename(name, name, src_dir_fd=source, dst_dir_fd=folder)

    def _parent(self, path: str, *, make: bool = True) -> "_Borrowed":
        prefix, _, name = path.rpartition("/")
        return _Borrowed(self, prefix, name, make=make)

    def borrow(self, prefix: str, *, make: bool) -> int:
        """A descriptor of the folder at `prefix`, to be given back with `give_back`."""
        with self._lock:
            handle = self._open_folder(prefix, make=make)
            self._users[handle] = self._users.get(handle, 0) + 1
            return handle

    def give_back(self, handle: int) -> None:
        """End one use of a descriptor; the least recently used ones are closed when there are many."""
        with self._lock:
            self._users[handle] -= 1
            if not self._users[handle]:
                del self._users[handle]
            if len(self._folders) > _FOLDERS_OPEN_MAX:
                for prefix, idle in list(self._folders.items())[: len(self._folders) - _FOLDERS_OPEN_MAX]:
                    if idle not in self._users:
                        os.close(idle)
                        del self._folders[prefix]

    def _open_folder(self, prefix: str, *, make: bool) -> int:
        if not prefix:
            return self._root
        found = self._folders.get(prefix)
        if found is not None:
            self._folders.move_to_end(prefix)
            return found
        above, _, name = prefix.rpartition("/")
        parent = self._open_folder(above, make=make)
        try:
            handle = os.open(name, _FOLDER_FLAGS, dir_fd=parent)
        except FileNotFoundError:
            if not make:
                raise
            # Another process may fill the same folder.
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o777, dir_fd=parent)
            handle = os.open(name, _FOLDER_FLAGS, dir_fd=parent)
        self._folders[prefix] = handle
        return handle


class _Borrowed:
    """A parent folder's descriptor for the length of a `with` block."""

    __slots__ = ("_handle", "_make", "_name", "_prefix", "_target")

    def __init__(self, target: Target, prefix: str, name: str, *, make: bool) -> None:
        self._target = target
        self._prefix = prefix
        self._name = name
        self._make = make
        self._handle = -1

    def __enter__(self) -> tuple[int, str]:
        self._handle = self._target.borrow(self._prefix, make=self._make)
        return self._handle, self._name

    def __exit__(self, *_: object) -> None:
        self._target.give_back(self._handle)


def write_at(handle: int, data: memoryview, offset: int) -> None:
    """Write all of `data` at `offset`."""
    while len(data):
        written = os.pwrite(handle, data, offset)
        data = data[written:]
        offset += written


def _write_all(handle: int, data: memoryview) -> None:
    while len(data):
        data = data[os.write(handle, data) :]


def named(error: OSError, path: str) -> ArtifactStoreError:
    """Put an error of the operating system about the destination into this project's words."""
    said = error.strerror or str(error)
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFull(f"no space left to write {path!r}", path=path)
    if isinstance(error, PermissionError) or error.errno == errno.EROFS:
        return PermissionRefused(
            f"{path!r} can't be written: {said}",
            next_step="choose a destination that you may write to",
            path=path,
        )
    if error.errno in {errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOTEMPTY}:
        return DestinationExists(
            f"{path!r} can't be written: something of another kind is there ({said})",
            next_step="move it away, or choose another destination",
            path=path,
        )
    return BackendError(f"{path!r} can't be written: {said}", path=path)
