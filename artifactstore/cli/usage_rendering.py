"""What `du` and the part of `info` about garbage print: lines for people, documented shapes for programs."""

from collections.abc import Iterator, Sequence

from artifactstore.cli.rendering import count_text, fields, iso_time, size_text, table, time_text
from artifactstore.cli.shapes import Shape
from artifactstore.store import Garbage, UsageRow


def usage_lines(rows: Sequence[UsageRow]) -> Iterator[str]:
    """A table of what versions take."""
    return table(
        ("of", "versions", "files", "stored", "unique", "shared", "deleting frees"),
        [
            (
                row.name,
                f"{row.versions:,}",
                size_text(row.logical_bytes),
                size_text(row.stored_bytes),
                size_text(row.unique_bytes),
                size_text(row.shared_bytes),
                size_text(row.frees_bytes),
            )
            for row in rows
        ],
        right=(1, 2, 3, 4, 5, 6),
    )


def usage_shape(row: UsageRow) -> Shape:
    """What versions take."""
    return {
        "name": row.name,
        "versions": row.versions,
        "logical_bytes": row.logical_bytes,
        "stored_bytes": row.stored_bytes,
        "unique_bytes": row.unique_bytes,
        "shared_bytes": row.shared_bytes,
        "frees_bytes": row.frees_bytes,
    }


def garbage_lines(garbage: Garbage) -> Iterator[str]:
    """What garbage there is and what holds it."""
    deleted = ""
    if garbage.deleted_versions:
        until = "" if garbage.deleted_until_ns is None else f" until {time_text(garbage.deleted_until_ns)}"
        count = count_text(garbage.deleted_versions, "deleted version")
        deleted = f"{size_text(garbage.deleted_bytes)} in {count}, to be brought back{until}"
    pushes = f"{garbage.running_pushes:,} push{'' if garbage.running_pushes == 1 else 'es'}"
    running = f"{size_text(garbage.running_bytes)} of {pushes} not over yet"
    yield from fields(
        (
            ("garbage", garbage.refused or f"{size_text(garbage.freed_bytes)}, freed by `artifactstore gc`"),
            ("held back", deleted),
            ("in use", running if garbage.running_pushes else ""),
            (
                "left alone",
                f"{size_text(garbage.unworthy_bytes)} in packs that are not worth rewriting"
                if garbage.unworthy_bytes
                else "",
            ),
            (
                "not gone yet",
                f"{count_text(garbage.left_objects, 'object')}: `artifactstore gc --resume`"
                if garbage.left_objects
                else "",
            ),
        )
    )


def garbage_shape(garbage: Garbage) -> Shape:
    """What garbage there is and what holds it."""
    until = garbage.deleted_until_ns
    return {
        "freed_bytes": garbage.freed_bytes,
        "deleted_versions": garbage.deleted_versions,
        "deleted_bytes": garbage.deleted_bytes,
        "deleted_until": None if until is None else iso_time(until),
        "running_pushes": garbage.running_pushes,
        "running_bytes": garbage.running_bytes,
        "unworthy_bytes": garbage.unworthy_bytes,
        "left_objects": garbage.left_objects,
        "refused": garbage.refused,
    }
