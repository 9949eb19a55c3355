"""What a push would read and a pull would write, for dry runs: nothing is read, fetched or written."""

import os
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from artifactstore.format.page import Kind
from artifactstore.index.environment import Environment
from artifactstore.index.statcache import StatCache
from artifactstore.manifest.read import StoredEntry
from artifactstore.progress import Progress
from artifactstore.transfer.pull import nothing_selected, selected
from artifactstore.transfer.scan import Found
from artifactstore.transfer.staging import refuse_occupied

_PATHS_MAX: Final = 20
_FILES_PER_TELLING: Final = 256


class ToPush(NamedTuple):
    """Counts of a push, and the first paths that it would read."""

    files: int
    logical_bytes: int
    files_unchanged: int
    files_to_read: int
    bytes_to_read: int
    paths: tuple[str, ...]


class ToPull(NamedTuple):
    """Counts of a pull."""

    files: int
    logical_bytes: int
    files_to_write: int
    bytes_to_fetch: int


def plan_push(found: Iterable[Found], environment: Environment, progress: Progress) -> ToPush:
    """Count what a push of these would read; `progress` is told the totals as they grow."""
    files = logical = unchanged = to_read = bytes_to_read = 0
    paths: list[str] = []
    for item in found:
        files += 1
        if files % _FILES_PER_TELLING == 0:
            progress.total(bytes_total=logical, files_total=files)
        if item.kind is not Kind.FILE or item.stat is None:
            continue
        logical += item.stat.st_size
        with environment.read() as txn:
            known = StatCache(txn).lookup(item.key, item.stat)
        if known is not None:
            unchanged += 1
            continue
        to_read += 1
        bytes_to_read += item.stat.st_size
        if len(paths) < _PATHS_MAX:
            paths.append(item.path)
    return ToPush(files, logical, unchanged, to_read, bytes_to_read, tuple(paths))


def plan_pull(
    found: Iterable[StoredEntry],
    destination: str,
    globs: Sequence[str],
    *,
    overwrite: bool,
    in_parts: bool = False,
) -> ToPull:
    """Count what a pull would write; a file of the right size counts as there, since nothing is read.

    Raises:
        DestinationExists: Something is there.
        NoSuchEntry: No path matches the globs.
    """
    destination = os.path.abspath(destination)
    occupied = refuse_occupied(destination, overwrite=overwrite or in_parts)
    files = logical = to_write = to_fetch = 0
    for entry in selected(found, globs):
        files += 1
        size = entry.size if entry.kind == Kind.FILE else 0
        logical += size
        if entry.kind == Kind.REFERENCE:
            continue
        path = os.path.join(destination, entry.path)
        if occupied and entry.kind == Kind.FILE and os.path.isfile(path) and os.path.getsize(path) == size:
            continue
        to_write += 1
        to_fetch += size
    if globs and not files and not in_parts:
        raise nothing_selected(globs)
    return ToPull(files, logical, to_write, to_fetch)
