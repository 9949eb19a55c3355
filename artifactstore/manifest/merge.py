"""Merging the parts of a distributed push into the one manifest that a push of all their files has.

Entries stream in path order from all parts at once, each checked against those of the others. Memory is bounded by a
few pages a part, and by what is kept of the names of open folders: a hash and a number each.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from heapq import merge
from typing import Final, NamedTuple

from artifactstore.errors import Damaged, PathCollision
from artifactstore.format.operations import Manifest
from artifactstore.format.page import Kind, path_order
from artifactstore.manifest.paths import OpenFolders, fold
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
    names = _Names(lambda part: _read(getter, part, parts[part]))
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


class _Names(OpenFolders[int]):
    """Keeps of each name which part spelled it; how, is read again when it is refused.

    Args:
        read: Reads a part from its beginning.
    """

    def __init__(self, read: Callable[[int], Iterable[PartEntry]]) -> None:
        super().__init__(_NAMES_MAX)
        self._read = read
        self._part = 0

    def enter_of(self, one: PartEntry) -> None:
        """Refuse an entry of a part whose name is too much like another."""
        self._part = one.part
        self.enter(one.entry.path)

    def kept(self, _: str) -> int:
        """The part: a million names may be kept, and one in a million is spelled out."""
        return self._part

    def refuse(self, folder: str, name: str, other: int) -> None:
        """Name both parts and paths."""
        raise _collision(other, folder + self._spelled(other, folder, name), self._part, folder + name)

    def _spelled(self, part: int, folder: str, name: str) -> str:
        """How a part spells a name of a folder; it is the first that folds to the same."""
        folded = fold(name)
        for one in self._read(part):
            if one.entry.path.startswith(folder):
                spelled = one.entry.path[len(folder) :].partition("/")[0]
                if fold(spelled) == folded:
                    return spelled
        return name


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
