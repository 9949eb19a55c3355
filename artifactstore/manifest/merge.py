"""Merging the parts of a distributed push into the one manifest that a push of all their files has.

Entries stream in path order from all parts at once, each checked against those of the others. Memory is bounded by a
few pages a part.
"""

from collections.abc import Iterator, Mapping
from heapq import merge
from typing import Final, NamedTuple

from artifactstore.errors import Damaged, PathCollision
from artifactstore.format.operations import Manifest
from artifactstore.format.page import Kind, path_order
from artifactstore.manifest.paths import OpenFolders
from artifactstore.manifest.read import Getter, StoredEntry, entries

# Names of open folders that are remembered at once; beyond it collisions by case are found by each pull.
_NAMES_MAX: Final = 1 << 20


class PartEntry(NamedTuple):
    """An entry of one part.

    Attributes:
        part: The part's number.
        entry: The entry.
    """

    part: int
    entry: StoredEntry


def merged(getter: Getter, parts: Mapping[int, Manifest]) -> Iterator[PartEntry]:
    """Yield the entries of all parts in path order, as one push of all their files would find them.

    A folder that is empty in one part and not in another is no entry, and one that is empty in several is one entry.

    Args:
        getter: Reads pages.
        parts: The parts by number.

    Raises:
        PathCollision: Two parts hold one path, or paths that differ by case or Unicode form only.
        PartDamaged: A page can't be read.
    """
    streams = [_read(getter, part, manifest) for part, manifest in sorted(parts.items())]
    names = _Names()
    last: PartEntry | None = None
    for one in merge(*streams, key=_order):
        if last is not None and not _gives_way(last, one):
            names.enter_of(last)
            yield last
        last = one
    if last is not None:
        names.enter_of(last)
        yield last


class PartDamaged(Exception):
    """A part can't be read whole.

    Attributes:
        part: Its number.
        error: What is damaged.
    """

    def __init__(self, part: int, error: Damaged) -> None:
        super().__init__(part, error)
        self.part = part
        self.error = error


def _read(getter: Getter, part: int, manifest: Manifest) -> Iterator[PartEntry]:
    try:
        for entry in entries(getter, manifest):
            yield PartEntry(part, entry)
    except Damaged as error:
        raise PartDamaged(part, error) from error


def _order(one: PartEntry) -> str:
    return path_order(one.entry.path)


def _gives_way(last: PartEntry, following: PartEntry) -> bool:
    """Whether an empty folder is none, for the entry that follows it.

    Raises:
        PathCollision: Only one of them can be there.
    """
    path, next_path = last.entry.path, following.entry.path
    is_folder = last.entry.kind == Kind.FOLDER
    if path == next_path:
        if is_folder and following.entry.kind == Kind.FOLDER:
            return True
        raise _collision(last.part, path, following.part, path)
    if not next_path.startswith(path + "/"):
        return False
    if not is_folder:
        raise _collision(last.part, path, following.part, next_path)
    return True


class _Names(OpenFolders[tuple[int, str]]):
    """Keeps of each name how it was spelled, and by which part."""

    def __init__(self) -> None:
        super().__init__(_NAMES_MAX)
        self._part = 0

    def enter_of(self, one: PartEntry) -> None:
        """Refuse an entry of a part whose name is too much like another."""
        self._part = one.part
        self.enter(one.entry.path)

    def kept(self, name: str) -> tuple[int, str]:
        """The part and the name."""
        return self._part, name

    def refuse(self, folder: str, name: str, other: tuple[int, str]) -> None:
        """Name both parts and paths."""
        part, spelled = other
        raise _collision(part, folder + spelled, self._part, folder + name)


def _collision(part: int, path: str, other: int, other_path: str) -> PathCollision:
    if path == other_path:
        what = f"parts {part} and {other} both hold {path!r}"
    else:
        what = f"part {part} holds {path!r} and part {other} {other_path!r}, which can't be in one version"
    return PathCollision(
        what,
        next_step=f"push part {other} again without it, then commit again",
        parts=[part, other],
        paths=[path, other_path],
    )
