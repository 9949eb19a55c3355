"""How the cache directory looks on standard output: lines for people, shapes for `--json`."""

from collections.abc import Iterator

from artifactstore.cli.rendering import (
    count_text,
    iso_time,
    printable,
    short_digest,
    size_text,
    table,
    time_text,
)
from artifactstore.store import CacheCleaning, CachedIndex, CacheInfo

Shape = dict[str, object]


def index_shape(index: CachedIndex) -> Shape:
    """One index."""
    return {
        "path": str(index.path),
        "store": index.store_id,
        "generation": index.generation,
        "size_bytes": index.size_bytes,
        "used": iso_time(index.used_ns),
        "in_use": index.in_use,
    }


def info_shape(info: CacheInfo) -> Shape:
    """The cache directory."""
    return {
        "path": str(info.path),
        "index_bytes": info.index_bytes,
        "other_bytes": info.other_bytes,
        "indexes": [index_shape(each) for each in info.indexes],
    }


def info_lines(info: CacheInfo, *, full_ids: bool) -> Iterator[str]:
    """The cache directory, least recently used first."""
    yield (
        f"{printable(str(info.path))}: {count_text(len(info.indexes), 'index').replace('indexs', 'indexes')} of"
        f" {size_text(info.index_bytes)}, {size_text(info.other_bytes)} of other things"
    )
    if info.indexes:
        yield from table(
            ("store", "generation", "size", "last used", ""),
            (
                (
                    each.store_id if full_ids else short_digest(each.store_id),
                    str(each.generation),
                    size_text(each.size_bytes),
                    time_text(each.used_ns),
                    "in use" if each.in_use else "",
                )
                for each in info.indexes
            ),
            right=(1, 2),
        )


def cleaning_shape(done: CacheCleaning) -> Shape:
    """What went and what stayed."""
    return {
        "path": str(done.path),
        "removed": [index_shape(each) for each in done.removed],
        "kept": [index_shape(each) for each in done.kept],
        "freed_bytes": sum(each.size_bytes for each in done.removed),
    }


def cleaning_lines(done: CacheCleaning, *, dry_run: bool) -> Iterator[str]:
    """What went and what stayed."""
    freed = size_text(sum(each.size_bytes for each in done.removed))
    for each in done.removed:
        yield f"{'would remove' if dry_run else 'removed'} {short_digest(each.store_id)} ({size_text(each.size_bytes)})"
    in_use = sum(each.in_use for each in done.kept)
    yield (
        f"{freed} {'would be' if dry_run else 'are'} free again; {len(done.kept):,} kept"
        + (f", {in_use:,} of them in use" if in_use else "")
    )
