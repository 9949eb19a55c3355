"""The folder of an index and the files in it, up to the point where LMDB maps them."""

import errno
import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from artifactstore.errors import ArtifactStoreError, BackendError, PermissionRefused, StorageFull
from artifactstore.index.header import IndexBroken, check_data_file

# More than LMDB needs for 1,024 readers (65,664 bytes): it takes a longer file as room for more of them.
LOCK_FILE_BYTES: Final = 17 * 4096
# Another process lengthens its file right after a commit, so one seen short is looked at again.
CHECKS: Final = 4
CHECK_WAIT_S: Final = 0.05
_ANOTHER_CACHE: Final = (
    "take the folder back (chown), or choose another for all indexes with ARTIFACTSTORE_CACHE_DIR"
)


def make_folder(folder: Path) -> None:
    """Make `folder` and what is missing above it for this user alone."""
    missing = []
    above = folder
    while not above.exists():
        missing.append(above)
        above = above.parent
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)


def check_folder(folder: Path) -> None:
    """Return if what is in `folder`, perhaps nothing, may be given to LMDB.

    Raises:
        IndexBroken: It may not.
    """
    for attempt in range(CHECKS):
        try:
            check_data_file(folder)
        except IndexBroken:
            if attempt == CHECKS - 1:
                raise
            time.sleep(CHECK_WAIT_S)
        else:
            return


def allocate_lock_file(path: Path) -> None:
    """Give the lock file blocks before LMDB maps it; one that is long enough is left as it is.

    LMDB makes it sparse and writes to its mapping at once, which on a full disk kills the process
    with SIGBUS.
    """
    if not hasattr(os, "posix_fallocate"):
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, LOCK_FILE_BYTES)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EOPNOTSUPP}:
            raise
    finally:
        os.close(descriptor)


@contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """One of all processes at a time opens or destroys `folder`."""
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(folder.with_name(f".{folder.name}.guard"), flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # Said outright: closing alone would leave it locked if a forked child has a copy.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def is_locked(folder: Path) -> bool:
    """Whether another process has the index open: LMDB holds a lock on the first byte of its lock file then.

    This process must not have it open.
    """
    try:
        descriptor = os.open(folder / "lock.mdb", os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1)
    except (BlockingIOError, PermissionError):
        return True
    finally:
        os.close(descriptor)
    return False


def remove(path: Path) -> None:
    """Delete a file or a whole folder; nothing there is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def storage_full(path: Path, reason: str) -> StorageFull:
    """The error for a disk that has no space for the index."""
    return StorageFull(
        f"no space is left for the index in {path}",
        next_step="free some space there, or choose another folder with ARTIFACTSTORE_CACHE_DIR",
        path=str(path),
        reason=reason,
    )


def named_os_error(error: OSError, path: Path) -> ArtifactStoreError | IndexBroken:
    """The error of ours for one of the operating system's."""
    facts = {"path": str(path), "reason": error.strerror}
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return storage_full(path, str(error.strerror))
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return PermissionRefused(
            f"the index in {path} can't be written: {error.strerror}", next_step=_ANOTHER_CACHE, **facts
        )
    if error.errno in {errno.ENOTDIR, errno.EEXIST, errno.ELOOP}:
        return IndexBroken(path, f"something else is there: {error.strerror}")
    return BackendError(f"the index in {path}: {error.strerror}", **facts)
