"""A folder as a backend: temporary file, fsync, link into place, fsync of the folder.

Invariants:

1. Bytes are on the disk before they have a name, and the name is before `create` and `put` return. A record whose
   writer was killed in between is not relied on: its temporary name is still there, and who reads it syncs first.
2. `os.link` refuses an existing name atomically, so `create` has one winner among all processes.
3. Unfinished files lie in `tmp/` alone, which no listing shows; those of dead processes go after a day.
"""

import contextlib
import errno
import fcntl
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from artifactstore.backend.base import (
    TEMPORARY_FOLDER,
    Backend,
    Buffer,
    ObjectInfo,
    byte_view,
    check_object_name,
    check_range,
    from_os_error,
    object_exists,
    object_missing,
    object_too_large,
    outcome_of,
    truncated_read,
)
from artifactstore.clock import Randomness, SystemRandomness
from artifactstore.errors import (
    ArtifactStoreError,
    BackendError,
    ConnectionLost,
    ObjectMissing,
    UntrustedBackend,
)
from artifactstore.forks import renewed_in_children

# macOS's fsync leaves the data in the drive's cache; this command is what reaches the medium there.
_FULL_FSYNC: int | None = getattr(fcntl, "F_FULLFSYNC", None)
# A writer that holds a pack for a day is dead.
LEFTOVER_AGE_NS = 24 * 3600 * 10**9
# Never blocks on a FIFO that someone put in an object's place; regular files don't know the flag.
_READ_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
_WRITE_BYTES = 1 << 20
# Packs go past the page cache: they are written once, rarely read soon, and would push out the data that is being
# worked on. Through the cache 32 MiB packs took 2.4 ms of CPU a MB, past it 0.02 (ext4, Linux 6.18, a virtual disk).
_DIRECT_BYTES_MIN = 4 << 20
_DIRECT = getattr(os, "O_DIRECT", 0)
_BLOCK_BYTES = 4096
_WRITE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_FOLDER_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_DIRECTORY
# What file systems without hard links answer to link(2).
_NO_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class LocalBackend(Backend):
    """Objects as files below one folder, which must exist.

    Args:
        folder: The folder of the store.
        randomness: Names the temporary files.
    """

    def __init__(self, folder: str | os.PathLike[str], *, randomness: Randomness | None = None) -> None:
        self.url = os.path.abspath(folder)  # noqa: PTH100 - resolve() would follow symlinks
        self._root = self.url.rstrip("/") + "/"
        self._temporary = self._root + TEMPORARY_FOLDER
        self._randomness = randomness or SystemRandomness()
        # Folders whose own entry in their parent this process has fsynced: one fsync each, not one per put.
        self._durable_folders: set[str] = {""}
        self._tidied = False
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        """In a child of a fork: make the lock anew."""
        self._tidy_lock = threading.Lock()

    def create(self, name: str, data: Buffer) -> None:
        """Make an object that must not exist yet, all or nothing, durable on return."""
        path = self._path(name)
        # Saves a loser from writing its bytes; `link` decides.
        if os.path.lexists(path):
            raise object_exists(self.url, name)
        try:
            temporary, file = self._write(data)
            try:
                self._link(temporary, file, name)
            except BaseException:
                os.unlink(temporary)  # noqa: PTH108 - no Path per put
                raise
            finally:
                os.close(file)
            self._sync_folders(name)
            # Last, so that a second name tells readers that the first one may not be durable; one that stays harms
            # nobody, and goes after a day.
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108 - no Path per put
        except OSError as error:
            raise self._write_error(error, name) from error

    def put(self, name: str, data: Buffer) -> None:
        """Make or replace an object atomically, durable on return."""
        path = self._path(name)
        try:
            temporary, file = self._write(data)
            os.close(file)
            try:
                self._make_parents(name)
                os.replace(temporary, path)  # noqa: PTH105 - no Path per put
            except OSError:
                os.unlink(temporary)  # noqa: PTH108
                raise
            self._sync_folders(name)
        except OSError as error:
            raise self._write_error(error, name) from error

    def get(self, name: str, *, limit_bytes: int) -> bytes:
        """Return a whole object of at most `limit_bytes`."""
        try:
            file = os.open(self._path(name), _READ_FLAGS)
            try:
                facts = os.fstat(file)
                if not stat.S_ISREG(facts.st_mode):
                    raise object_missing(self.url, name)
                if facts.st_size > limit_bytes:
                    raise object_too_large(self.url, name, limit_bytes)
                if facts.st_nlink > 1:
                    self._settle(name)
                return self._read(file, name, 0, facts.st_size)
            finally:
                os.close(file)
        except OSError as error:
            raise from_os_error(error, self.url, name) from error

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from offset `start`."""
        check_range(start, length)
        try:
            file = os.open(self._path(name), _READ_FLAGS)
            try:
                return self._read(file, name, start, length)
            finally:
                os.close(file)
        except OSError as error:
            raise from_os_error(error, self.url, name) from error

    def size(self, name: str) -> int:
        """Return an object's length in bytes."""
        try:
            facts = os.stat(self._path(name))  # noqa: PTH116 - no Path per object
        except OSError as error:
            raise from_os_error(error, self.url, name) from error
        if not stat.S_ISREG(facts.st_mode):
            raise object_missing(self.url, name)
        return facts.st_size

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose name starts with `prefix`, sorted by name, one folder held at a time."""
        folder = prefix.rpartition("/")[0]
        if ".." in folder.split("/") or folder.startswith("/"):
            raise ValueError(f"not a prefix of object names: {prefix!r}")
        return self._walk(f"{folder}/" if folder else "", prefix)

    def delete(self, name: str) -> None:
        """Delete an object, durably; one that does not exist is deleted already."""
        if self._unlink(name):
            self._sync_folder_of(name)

    def erase_many(self, names: Sequence[str]) -> Sequence[ArtifactStoreError | None]:
        """Delete objects, durably on return: a folder is fsynced once, and not once for each object in it."""
        deleted = [outcome_of(partial(self._unlink, name)) for name in names]
        folders = {
            name.rpartition("/")[0]: name for name, gone in zip(names, deleted, strict=True) if gone is True
        }
        synced = {folder: outcome_of(partial(self._sync_folder_of, name)) for folder, name in folders.items()}
        return [
            gone if isinstance(gone, ArtifactStoreError) else synced.get(name.rpartition("/")[0])
            for name, gone in zip(names, deleted, strict=True)
        ]

    def _unlink(self, name: str) -> bool:
        """Whether there was such an object, which is gone now."""
        try:
            os.unlink(self._path(name))  # noqa: PTH108 - no Path per object
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            # A folder of that name is no object.
            return False
        except OSError as error:
            raise from_os_error(error, self.url, name) from error
        return True

    def _sync_folder_of(self, name: str) -> None:
        try:
            sync_folder(os.path.dirname(self._path(name)))  # noqa: PTH120 - no Path per object
        except FileNotFoundError:
            return
        except OSError as error:
            raise from_os_error(error, self.url, name) from error

    def _path(self, name: str) -> str:
        return self._root + check_object_name(name)

    def _write(self, data: Buffer) -> tuple[str, int]:
        """Write and fsync a new temporary file; return its path and its open descriptor."""
        temporary, file = self._open_temporary()
        try:
            view = byte_view(data)
            if len(view) >= _DIRECT_BYTES_MIN:
                view = view[_write_past_cache(file, view) :]
            # Straight from the caller's buffer, without the GIL.
            while view:
                view = view[os.write(file, view[:_WRITE_BYTES]) :]
            sync_file(file)
        except BaseException:
            os.close(file)
            os.unlink(temporary)  # noqa: PTH108
            raise
        return temporary, file

    def _open_temporary(self) -> tuple[str, int]:
        temporary = f"{self._temporary}/{self._randomness.token(16).hex()}"
        try:
            file = os.open(temporary, _WRITE_FLAGS, 0o666)
        except FileNotFoundError:
            _make_folder(self._temporary)
            file = os.open(temporary, _WRITE_FLAGS, 0o666)
        if not self._tidied:
            # By the file's own time, since a network file system's clock is not this machine's.
            self._tidy(os.fstat(file).st_mtime_ns)
        return temporary, file

    def _tidy(self, now_ns: int) -> None:
        """Delete what dead processes left, once per backend; a failure here is nobody's loss."""
        with self._tidy_lock:
            if self._tidied:
                return
            self._tidied = True
        try:
            with os.scandir(self._temporary) as entries:
                for entry in entries:
                    facts = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(facts.st_mode) and now_ns - facts.st_mtime_ns > LEFTOVER_AGE_NS:
                        os.unlink(entry.path)  # noqa: PTH108
        except OSError:
            return

    def _link(self, temporary: str, file: int, name: str) -> None:
        """Give the temporary file its name, if that is free."""
        self._make_parents(name)
        try:
            os.link(temporary, self._root + name)
        except FileExistsError:
            # A network file system that lost its first answer asks again and finds our own link.
            if os.fstat(file).st_nlink > 1:
                return
            raise
        except OSError as error:
            if error.errno in _NO_LINKS and os.access(os.path.dirname(self._root + name), os.W_OK):  # noqa: PTH120
                raise UntrustedBackend(
                    f"the file system of {self.url} has no hard links, so create can't be exclusive",
                    next_step="put the store on a file system with hard links",
                    url=self.url,
                ) from error
            raise

    def _make_parents(self, name: str) -> None:
        """Make the folders above an object, but never the store's own: it may just not be mounted."""
        folder = name.rpartition("/")[0]
        if folder in self._durable_folders or os.path.isdir(self._root + folder):  # noqa: PTH112
            return
        for parent in _chain(folder):
            _make_folder(self._root + parent)

    def _sync_folders(self, name: str) -> None:
        """Make an object's name durable, and once per process those of the folders above it.

        The folder itself comes first: its commit carries the new folders above it along on journalling file
        systems, and the fsyncs of these have nothing left to do.
        """
        folder = name.rpartition("/")[0]
        sync_folder(self._root + folder)
        if folder not in self._durable_folders:
            chain = _chain(folder)
            for parent in reversed(chain):
                if parent not in self._durable_folders:
                    sync_folder(self._root + parent.rpartition("/")[0])
            self._durable_folders.update(chain)

    def _settle(self, name: str) -> None:
        """Make a name durable that its writer may not have: what a reader builds on it must not outlive it."""
        # Who may not even read the folder builds nothing.
        with contextlib.suppress(PermissionError):
            self._sync_folders(name)

    def _read(self, file: int, name: str, start: int, length: int) -> bytes:
        data = os.pread(file, length, start)
        if len(data) == length:
            return data
        # Linux gives at most 2 GiB at once, and network file systems less.
        parts = [data]
        found = len(data)
        while data and found < length:
            data = os.pread(file, length - found, start + found)
            parts.append(data)
            found += len(data)
        if found != length:
            raise truncated_read(self.url, name, expected=length, found=found)
        return b"".join(parts)

    def _walk(self, folder: str, prefix: str) -> Iterator[ObjectInfo]:
        try:
            with os.scandir(self._root + folder) as scanned:
                entries = list(scanned)
        except (FileNotFoundError, NotADirectoryError):
            return
        except OSError as error:
            raise from_os_error(error, self.url, folder) from error
        # A folder sorts as `name/`, which gives the order of the whole names.
        named = sorted((entry.name + "/" * entry.is_dir(), entry) for entry in entries)
        for last, entry in named:
            name = folder + last
            if last.endswith("/"):
                if name != f"{TEMPORARY_FOLDER}/" and (name.startswith(prefix) or prefix.startswith(name)):
                    yield from self._walk(name, prefix)
            elif name.startswith(prefix):
                try:
                    facts = entry.stat()
                except FileNotFoundError:
                    continue
                yield ObjectInfo(name, facts.st_size, facts.st_mtime_ns)

    def _write_error(self, error: OSError, name: str) -> ArtifactStoreError:
        """As `from_os_error`, but a write that finds no file misses a folder, never the object."""
        translated = from_os_error(error, self.url, name)
        if not isinstance(translated, ObjectMissing):
            return translated
        if not os.path.isdir(self._root):  # noqa: PTH112 - no Path per put
            return ConnectionLost(
                f"the folder {self.url} is gone",
                next_step="check that its disk is mounted",
                object=name,
                url=self.url,
            )
        return BackendError(f"{name} can't be written to {self.url}: {error}", object=name, url=self.url)


def make_folders(path: Path, *, mode: int = 0o777) -> None:
    """Make a folder and its parents, durably; one that exists is left as it is.

    Who made the deepest of them may have been killed before it was durable, so that one is synced too.

    Args:
        path: The folder.
        mode: Of those that are made, before the umask.

    Raises:
        OSError: What the operating system said.
    """
    missing = []
    while not path.exists():
        missing.append(path)
        path = path.parent
    # Not every folder on the way may be read, and those that may not are not ours.
    with contextlib.suppress(PermissionError):
        sync_folder(str(path.parent))
    for folder in reversed(missing):
        _make_folder(str(folder), mode)
        sync_folder(str(folder.parent))


def sync_file(file: int) -> None:
    """Force a file's bytes to the medium.

    Raises:
        OSError: What the operating system said; the bytes must be taken for lost.
    """
    if _FULL_FSYNC is None:
        os.fdatasync(file)
        return
    try:
        fcntl.fcntl(file, _FULL_FSYNC)
    except OSError as error:
        if error.errno not in {errno.ENOTSUP, errno.EINVAL}:
            raise
        os.fsync(file)


def sync_folder(path: str) -> None:
    """Force a folder's names to the medium, where its file system can.

    Raises:
        OSError: What the operating system said; names made or removed since must be taken for undone.
    """
    folder = os.open(path, _FOLDER_FLAGS)
    try:
        os.fsync(folder)
    except OSError as error:
        # Some network file systems have no fsync of folders: their server writes names through.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(folder)


def _make_folder(path: str, mode: int = 0o777) -> None:
    try:
        os.mkdir(path, mode)  # noqa: PTH102 - no Path per put
    except FileExistsError:
        return


def _chain(folder: str) -> list[str]:
    """`a/b/c` as `a`, `a/b`, `a/b/c`; nothing for the root."""
    parts = folder.split("/") if folder else []
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


def _write_past_cache(file: int, view: memoryview) -> int:
    """Write the whole blocks of `view` with O_DIRECT, where the file system and the buffer's place allow it.

    Returns:
        How many bytes were written; what is left goes through the page cache.
    """
    if not _DIRECT:
        return 0
    flags = fcntl.fcntl(file, fcntl.F_GETFL)
    try:
        fcntl.fcntl(file, fcntl.F_SETFL, flags | _DIRECT)
    except OSError:
        return 0
    written, whole = 0, len(view) - len(view) % _BLOCK_BYTES
    try:
        while written < whole:
            written += os.write(file, view[written:whole])
            # A write that stopped short may stand in the middle of a block.
            written -= written % _BLOCK_BYTES
            os.lseek(file, written, os.SEEK_SET)
    except OSError as error:
        # An unaligned buffer, or a file system that takes the flag and not the write.
        if error.errno != errno.EINVAL:
            raise
        os.lseek(file, written, os.SEEK_SET)
    finally:
        fcntl.fcntl(file, fcntl.F_SETFL, flags)
    return written
