"""The cache directory as a whole: which indexes of stores lie in it, and making room there."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from artifactstore.config import load_settings
from artifactstore.index.environment import destroy_unused, is_in_use
from artifactstore.index.places import index_folder, refuse_shared

_INDEX: Final = re.compile(r"([0-9a-f]{64})(?:-([0-9]{1,9}))?")


class CachedIndex(msgspec.Struct, frozen=True):
    """The index of one store, of one generation of its keys.

    Attributes:
        path: Its folder.
        store_id: The store's id, as hex.
        generation: The generation; those before the store's current one are left over.
        size_bytes: Bytes of its files.
        used_ns: When a process opened it last, by this machine's clock, in nanoseconds since the Unix epoch.
        in_use: Whether a process has it open.
    """

    path: Path
    store_id: str
    generation: int
    size_bytes: int
    used_ns: int
    in_use: bool


class CacheInfo(msgspec.Struct, frozen=True):
    """What lies in the cache directory.

    Attributes:
        path: The cache directory.
        indexes: The indexes, least recently used first.
        other_bytes: Bytes of what else this client remembers there: copies of `keys/` objects, which store it saw
            at which URL, what it made folders last. It is small, and stays.
    """

    path: Path
    indexes: tuple[CachedIndex, ...]
    other_bytes: int

    @property
    def index_bytes(self) -> int:
        """Bytes of all indexes."""
        return sum(each.size_bytes for each in self.indexes)


class CacheCleaning(msgspec.Struct, frozen=True):
    """What cleaning the cache removed, or would remove.

    Attributes:
        path: The cache directory.
        removed: The indexes that went.
        kept: Those that stayed.
    """

    path: Path
    removed: tuple[CachedIndex, ...]
    kept: tuple[CachedIndex, ...]


def cache_info(cache_dir: Path | None = None) -> CacheInfo:
    """Say what lies in a cache directory.

    Args:
        cache_dir: The user's own when None.

    Raises:
        CacheShared: Others can change it.
    """
    cache = load_settings().cache_dir if cache_dir is None else cache_dir
    refuse_shared(cache)
    folder = index_folder(cache, bytes(32)).path.parent
    indexes = sorted(_indexes(folder), key=lambda each: (each.used_ns, str(each.path)))
    in_indexes = _bytes_below(folder) if folder.is_relative_to(os.path.realpath(cache)) else 0
    return CacheInfo(cache, tuple(indexes), _bytes_below(cache) - in_indexes)


def clean_cache(cache_dir: Path | None = None, *, max_bytes: int = 0, dry_run: bool = False) -> CacheCleaning:
    """Remove the indexes that were not used for the longest time, until the others fit; none that is in use.

    The next command on such a store makes its index anew.

    Args:
        cache_dir: The user's own when None.
        max_bytes: What the indexes that stay may take together.
        dry_run: Remove nothing, and say what would go.

    Raises:
        CacheShared: Others can change the directory.
        PermissionRefused, BackendError: The operating system refuses it.
    """
    info = cache_info(cache_dir)
    left = info.index_bytes
    removed: list[CachedIndex] = []
    kept: list[CachedIndex] = []
    for each in info.indexes:
        goes = left > max_bytes and not each.in_use and (dry_run or destroy_unused(each.path))
        if goes:
            left -= each.size_bytes
        (removed if goes else kept).append(each)
    return CacheCleaning(info.path, tuple(removed), tuple(kept))


def _indexes(folder: Path) -> Iterator[CachedIndex]:
    try:
        names = [each.name for each in folder.iterdir()]
    except OSError:
        return
    for name in names:
        found = _INDEX.fullmatch(name)
        path = folder / name
        if found is None or path.is_symlink():
            continue
        try:
            used_ns = path.stat().st_mtime_ns
        except OSError:  # it has just gone
            continue
        size = _bytes_below(path)
        yield CachedIndex(path, found[1], int(found[2] or 0), size, used_ns, is_in_use(path))


def _bytes_below(folder: Path) -> int:
    """Bytes of the files below a folder; what goes meanwhile counts as none."""
    total = 0
    for above, _, files in os.walk(folder, onerror=None):
        for name in files:
            try:
                total += os.lstat(os.path.join(above, name)).st_size  # noqa: PTH118 - as os.walk gives them
            except OSError:
                continue
    return total
