"""A local folder beside a saved artifact: whether it holds what the artifact does, and making it hold nothing else."""

import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import Final

from artifactstore.client.version import Version
from artifactstore.errors import ContentsDiffer
from artifactstore.format.page import Kind
from artifactstore.manifest.read import StoredEntry
from artifactstore.transfer.pull import blake3_of
from artifactstore.transfer.referenced import is_as_referenced

_TOLD_MAX: Final = 20
_EXECUTABLE: Final = 0o100


def refuse_different(version: Version, folder: Path) -> None:
    """Refuse a folder that does not hold what a version does, and nothing else.

    A reference may be missing; a file at its path must be of its size, and of its bytes where its checksum tells.

    Raises:
        ContentsDiffer: It holds other files, lacks some, or some are different; the first are named.
    """
    problems: list[str] = []
    kept: set[str] = set()
    for entry in version.stored():
        kept.add(entry.path)
        problem = _difference(folder / entry.path, entry)
        if problem:
            problems.append(f"{entry.path}: {problem}")
    problems += [f"{path}: not in the version" for path in _others(folder, kept)]
    if problems:
        raise ContentsDiffer(
            f"{folder} is not {version.qualified_name}: {problems[0]}"
            + (f", and {len(problems) - 1} more" if problems[1:] else ""),
            path=str(folder),
            version=version.qualified_name,
            problems=problems[:_TOLD_MAX],
        )


def _difference(path: Path, entry: StoredEntry) -> str:
    """What is wrong with what lies at an entry's path; empty for nothing."""
    if entry.kind == Kind.SYMLINK:
        same = path.is_symlink() and str(path.readlink()) == entry.content.target
        return "" if same else "not that link"
    if entry.kind == Kind.FOLDER:
        return "" if path.is_dir() and not path.is_symlink() else "not a folder"
    if path.is_symlink() or not path.is_file():
        may_be_missing = entry.kind == Kind.REFERENCE and not os.path.lexists(path)
        return "" if may_be_missing else "missing"
    with FileIO(path, "rb") as file:
        return _other_bytes(file, entry)


def _other_bytes(file: FileIO, entry: StoredEntry) -> str:
    stat = os.fstat(file.fileno())
    if entry.kind == Kind.REFERENCE:
        checksum = entry.reference.checksum
        hashed = checksum.partition(":")[0] in {"blake3", "md5"}
        same = is_as_referenced(file, entry) if hashed else stat.st_size == entry.size or not checksum
        return "" if same else "not the bytes that are referred to"
    if stat.st_size != entry.size or blake3_of(file) != entry.digest:
        return "other bytes"
    return "" if bool(stat.st_mode & _EXECUTABLE) == entry.executable else "another executable bit"


def remove_others(folder: Path, kept: set[str]) -> None:
    """Delete what is in a folder and not among some paths, and folders that are empty then."""
    for other in list(_others(folder, kept)):
        (folder / other).unlink()
    for place, folders, _ in os.walk(folder, topdown=False):
        for path in (Path(place, one) for one in folders):
            empty = not path.is_symlink() and not any(path.iterdir())
            if empty and path.relative_to(folder).as_posix() not in kept:
                path.rmdir()


def _others(folder: Path, kept: set[str]) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        links = [one for one in folders if Path(place, one).is_symlink()]
        for one in sorted([*files, *links]):
            path = Path(place, one).relative_to(folder).as_posix()
            if path not in kept:
                yield path
