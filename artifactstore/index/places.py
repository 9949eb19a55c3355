"""Where a client's index lies: in the cache directory, or in temporary space where that is on a network.

LMDB maps its file and locks in shared memory, which a network file system does not carry between machines.
"""

import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from artifactstore.errors import CacheShared

MOUNT_TABLE: Final = Path("/proc/self/mountinfo")
# Mount points, not files, bound this: a table longer than that is not read further.
MOUNTS_MAX: Final = 100_000

NETWORK_TYPES: Final = frozenset(
    {
        "9p",
        "acfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "glusterfs",
        "gpfs",
        "lustre",
        "fakeowner",
        "grpcfuse",
        "ncpfs",
        "nfs",
        "nfs4",
        "orangefs",
        "panfs",
        "pvfs2",
        "smb2",
        "smb3",
        "smbfs",
        "vboxsf",
        "virtiofs",
        "vmhgfs",
        "wekafs",
    }
)
# These file systems in user space keep their files on this machine.
LOCAL_FUSE_TYPES: Final = frozenset(
    {"fuse.bindfs", "fuse.ext2", "fuse.ext4", "fuse.lxcfs", "fuse.mergerfs", "fuse.ntfs-3g", "fuse.overlayfs"}
)
_ESCAPE = re.compile(r"\\([0-7]{3})")


class IndexFolder(NamedTuple):
    """Where an index lies.

    Attributes:
        path: The folder; it need not exist.
        notice: What to tell the user when it is not in the cache directory, else None.
    """

    path: Path
    notice: str | None


def index_folder(
    cache_dir: str | os.PathLike[str],
    store_id: bytes,
    generation: int = 0,
    *,
    mount_table: Path = MOUNT_TABLE,
    temporary: Iterable[Path] | None = None,
) -> IndexFolder:
    """Choose the folder of a store's index.

    Args:
        cache_dir: The user's cache directory; it need not exist.
        store_id: The store; stores never share an index.
        generation: The store's generation; what the secrets of one sealed does not open with those of the next.
        mount_table: The kernel's table of mounts; where there is none every folder counts as local.
        temporary: Folders for temporary files, best first; those of this machine by default.
    """
    cache = Path(os.path.realpath(cache_dir))
    mounts = list(_read_mounts(mount_table))
    name = f"{store_id.hex()}-{generation}" if generation else store_id.hex()
    wanted = cache / "index" / name
    kind = _type_of(cache, mounts)
    if not is_network_type(kind):
        return IndexFolder(wanted, None)
    for folder in temporary if temporary is not None else _temporary_folders():
        resolved = Path(os.path.realpath(folder))
        if resolved.is_dir() and not is_network_type(_type_of(resolved, mounts)):
            path = _own_folder(resolved) / "index" / name
            return IndexFolder(path, f"the cache directory {cache} is on {kind}; the index is kept in {path}")
    return IndexFolder(
        wanted,
        f"the cache directory {cache} is on {kind} and there is no local space: use it from one machine only",
    )


def has_index(folder: Path) -> bool:
    """Whether an index of the store lies there, of whichever generation; the folder is that of the first."""
    return folder.exists() or any(folder.parent.glob(f"{folder.name}-*"))


def all_folders(folder: Path) -> list[Path]:
    """Every index of the store of whose indexes one lies in a folder."""
    store = folder.name.partition("-")[0]
    return [other for other in folder.parent.glob(f"{store}*") if other.name.partition("-")[0] == store]


def earlier_folders(folder: Path) -> list[Path]:
    """Indexes of the same store and earlier generations beside one, the latest last."""
    store, _, generation = folder.name.partition("-")
    found: list[tuple[int, Path]] = []
    for other in folder.parent.glob(f"{store}*"):
        name, dash, number = other.name.partition("-")
        if name == store and (number.isdecimal() if dash else True):
            at = int(number or 0)
            if at < int(generation or 0):
                found.append((at, other))
    return [path for _, path in sorted(found)]


def refuse_shared(cache_dir: str | os.PathLike[str]) -> None:
    """Refuse a cache directory that others can change: who replaces an index there decides what a client believes.

    Raises:
        CacheShared: It belongs to another user, or its group or everybody may write to it.
    """
    try:
        found = Path(cache_dir).stat()
    except OSError:
        return
    owner, mode = found.st_uid, stat.S_IMODE(found.st_mode)
    if owner != os.geteuid():
        problem = f"belongs to another user (uid {owner})"
    elif mode & 0o022:
        problem = f"may be written to by others (mode {mode:04o})"
    else:
        return
    raise CacheShared(
        f"the cache directory {cache_dir} {problem}", path=str(cache_dir), uid=owner, mode=f"{mode:04o}"
    )


def is_network_type(kind: str | None) -> bool:
    """Whether a file system of this type keeps its files on another machine, or may do so."""
    if kind is None:
        return False
    return kind in NETWORK_TYPES or (kind.startswith("fuse.") and kind not in LOCAL_FUSE_TYPES)


def _temporary_folders() -> Iterator[Path]:
    yield Path(tempfile.gettempdir())
    yield Path("/var/tmp")  # noqa: S108 - what is made there is checked to be the user's own
    yield Path("/dev/shm")  # noqa: S108 - likewise


def _own_folder(parent: Path) -> Path:
    """A folder in `parent` that only this user can have made; a new one where its usual name is taken."""
    usual = parent / f"artifactstore-{os.getuid()}"
    try:
        usual.mkdir(mode=0o700)
    except FileExistsError:
        found = usual.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
            return Path(tempfile.mkdtemp(prefix=f"{usual.name}-", dir=parent))
    return usual


class _Mount(NamedTuple):
    point: str
    kind: str


def _read_mounts(table: Path) -> Iterator[_Mount]:
    """The mounts in a table as proc(5) describes it; lines of another form are passed over."""
    try:
        text = os.fsdecode(table.read_bytes())
    except OSError:
        return
    for line in text.split("\n")[:MOUNTS_MAX]:
        head, dash, tail = line.partition(" - ")
        fields = head.split(" ")
        if dash and len(fields) > 4 and tail:  # noqa: PLR2004 - the fifth field is the mount point
            yield _Mount(_ESCAPE.sub(lambda found: chr(int(found[1], 8)), fields[4]), tail.split(" ")[0])


def _type_of(path: Path, mounts: Iterable[_Mount]) -> str | None:
    """The type of the file system that `path` is on, or will be."""
    best: _Mount | None = None
    for mount in mounts:
        point = mount.point.rstrip("/")
        # Of two mounts at one point the later hides the earlier.
        covers = str(path) == point or str(path).startswith(point + "/")
        if covers and (best is None or len(point) >= len(best.point.rstrip("/"))):
            best = mount
    return None if best is None else best.kind
