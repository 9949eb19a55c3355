"""A local folder beside a manifest: walked in the manifest's order, and compared without reading what is unchanged.

The stat cache answers for a file that has not changed since it was read; a file that was read and found equal is
remembered there with the chunks that the manifest names, so that neither the next look nor a push reads it.
"""

import os
import stat as stat_bits
from collections.abc import Iterator
from heapq import merge
from io import FileIO
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

from artifactstore.checkout.referenced import referenced_key, told_by_bytes
from artifactstore.clock import Clock
from artifactstore.format.page import Kind, path_order
from artifactstore.ids import normalized
from artifactstore.index.environment import Environment
from artifactstore.index.statcache import StatCache, file_key, folder_key, remember, stat_row
from artifactstore.manifest.read import StoredEntry
from artifactstore.progress import Progress
from artifactstore.transfer.ingest import executable_flag
from artifactstore.transfer.pull import blake3_of
from artifactstore.transfer.referenced import is_as_referenced
from artifactstore.transfer.scan import unreadable

_ROWS_MAX: Final = 10_000


class Local(NamedTuple):
    """Something in a folder.

    Attributes:
        path: Where, as a version would say it.
        kind: File, symlink or empty folder; None for anything else.
        source: Its path on this machine.
        stat: Of a file.
        key: What the stat cache knows it by.
    """

    path: str
    kind: Kind | None
    source: str
    stat: os.stat_result | None = None
    key: bytes = b""


def walk(root: str) -> Iterator[Local]:
    """Yield everything in a folder in the order of a manifest, leaving nothing out and following no symlink.

    Raises:
        PermissionRefused: A folder can't be listed.
    """
    stack = [_Listing("", iter(_listed(root)), folder_key(root))]
    while stack:
        prefix, listing, key = stack[-1]
        entry = next(listing, None)
        if entry is None:
            stack.pop()
            continue
        path = prefix + normalized(entry.name)
        if not entry.is_dir(follow_symlinks=False):
            yield _local(path, entry, key)
            continue
        below = _listed(entry.path)
        if below:
            stack.append(_Listing(path + "/", iter(below), folder_key(entry.path)))
        else:
            yield Local(path, Kind.FOLDER, entry.path)


class _Listing(NamedTuple):
    prefix: str
    entries: "Iterator[os.DirEntry[str]]"
    key: bytes


class Side(NamedTuple):
    """One path, and what the wanted version, the one before and the folder hold there."""

    path: str
    wanted: StoredEntry | None
    before: StoredEntry | None
    local: Local | None


def side_by_side(
    wanted: Iterator[StoredEntry], before: Iterator[StoredEntry], local: Iterator[Local]
) -> Iterator[Side]:
    """Walk three things at once, path by path."""
    merged = merge(_placed(wanted, 0), _placed(before, 1), _placed(local, 2), key=itemgetter(0, 1))
    for _, items in groupby(merged, key=itemgetter(0)):
        found: list[StoredEntry | Local | None] = [None, None, None]
        path = ""
        for _, place, each in items:
            found[place] = each
            path = each.path
        first, second, third = found
        assert not isinstance(first, Local)
        assert not isinstance(second, Local)
        assert not isinstance(third, StoredEntry)
        yield Side(path, first, second, third)


def _placed(
    stream: Iterator[StoredEntry] | Iterator[Local], place: int
) -> Iterator[tuple[str, int, StoredEntry | Local]]:
    for each in stream:
        yield path_order(each.path), place, each


class Comparer:
    """Says whether something in a folder is what a version names.

    Args:
        environment: Holds the stat cache.
        clock: Says when a file was read.
        progress: Told of the bytes that had to be read.
    """

    def __init__(self, environment: Environment, clock: Clock, progress: Progress) -> None:
        self._environment = environment
        self._clock = clock
        self._progress = progress
        self._rows: list[tuple[bytes, bytes]] = []
        self._digests: tuple[str, bytes | None, int] = ("", None, 0)
        self.files_read = 0
        self.bytes_read = 0

    def same(self, entry: StoredEntry, local: Local) -> bool:
        """Whether `local` is what the entry says, by kind, size, executable bit, target and digest.

        Of a reference, whether it is a file of the bytes that the reference names.
        """
        if entry.kind == Kind.REFERENCE:
            return local.stat is not None and self._same_referenced(entry, local, local.stat)
        if local.kind != entry.kind:
            return False
        if entry.kind == Kind.FOLDER:
            return True
        if entry.kind == Kind.SYMLINK:
            return _target(local.source) == entry.content.target
        assert local.stat is not None
        if local.stat.st_size != entry.size or bool(executable_flag(local.stat)) != entry.executable:
            return False
        return self._same_bytes(entry, local, local.stat)

    def close(self) -> None:
        """Write what was learned to the stat cache."""
        rows, self._rows = self._rows, []
        remember(self._environment, rows)

    def _same_bytes(self, entry: StoredEntry, local: Local, stat: os.stat_result) -> bool:
        with self._environment.read() as txn:
            known = StatCache(txn).digest(local.key, stat)
        if known is not None:
            return known == entry.digest
        digest, read_ns = self._digest(local.source)
        if digest != entry.digest:
            return False
        content = entry.content
        row = stat_row(stat, read_ns, digest, content.depth, content.cids, content.sizes, content.chunks)
        self._note(local.key, row)
        return True

    def _same_referenced(self, entry: StoredEntry, local: Local, stat: os.stat_result) -> bool:
        key = referenced_key(local.key)
        with self._environment.read() as txn:
            if StatCache(txn).digest(key, stat) == entry.digest:
                return True
        if not told_by_bytes(entry) or stat.st_size != entry.size:
            return False
        read_ns = self._clock.now_ns()
        file = _opened(local.source)
        if file is None:
            return False
        with file:
            same = is_as_referenced(file, entry)
        self._count(stat.st_size)
        if same:
            self._note(key, stat_row(stat, read_ns, entry.digest, 0, b"", []))
        return same

    def _note(self, key: bytes, row: bytes | None) -> None:
        """Keep what was learned of a file, unless it may yet change unseen, until there is enough to be written."""
        if row is not None:
            self._rows.append((key, row))
            if len(self._rows) >= _ROWS_MAX:
                self.close()

    def _count(self, size: int) -> None:
        self.files_read += 1
        self.bytes_read += size
        self._progress.advance(bytes=size, files=1)

    def _digest(self, source: str) -> tuple[bytes | None, int]:
        """The digest of a file, read once for all entries that it is held against; None when it went meanwhile."""
        if self._digests[0] == source:
            return self._digests[1:]
        read_ns = self._clock.now_ns()
        file = _opened(source)
        if file is None:
            return None, read_ns
        with file:
            digest = blake3_of(file)
            self._count(file.tell())
        self._digests = (source, digest, read_ns)
        return digest, read_ns


def _opened(source: str) -> FileIO | None:
    """A file, opened; None when it went meanwhile."""
    try:
        handle = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(source, error) from error
    return FileIO(handle, "rb")


def is_folder(path: str) -> bool:
    """Whether a folder lies there, and no symlink to one."""
    try:
        return stat_bits.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False


def _listed(folder: str) -> list["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as listing:
            return sorted(listing, key=lambda entry: normalized(entry.name))
    except OSError as error:
        raise unreadable(folder, error) from error


def _local(path: str, entry: "os.DirEntry[str]", key: bytes) -> Local:
    try:
        stat = entry.stat(follow_symlinks=False)
    except OSError as error:
        raise unreadable(entry.path, error) from error
    if stat_bits.S_ISREG(stat.st_mode):
        return Local(path, Kind.FILE, entry.path, stat, file_key(key, entry.name))
    return Local(path, Kind.SYMLINK if stat_bits.S_ISLNK(stat.st_mode) else None, entry.path)


def _target(source: str) -> str | None:
    try:
        return os.readlink(source)
    except OSError:
        return None
