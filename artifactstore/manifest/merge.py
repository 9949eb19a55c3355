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
from artifactstore.manifest.paths import fold
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
            names.enter(last)
            yield last
        last = one
    if last is not None:
        names.enter(last)
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


class _Names:
    """The names in the folders that are open, so that two which differ by case or form only are met."""

    def __init__(self) -> None:
        # Each folder with the hashes of its names, folded, and the part that each came from.
        self._folders: list[tuple[str, dict[int, tuple[int, str]]]] = [("", {})]
        self._remembered = 0

    def enter(self, one: PartEntry) -> None:
        """Refuse an entry whose name, or that of a folder on its way, is too much like another."""
        path = one.entry.path
        at = path.rfind("/") + 1
        above = path[:at]
        while not above.startswith(self._folders[-1][0]):
            self._remembered -= len(self._folders.pop()[1])
        while self._folders[-1][0] != above:
            folder = self._folders[-1][0]
            part = above[len(folder) :].partition("/")[0]
            self._remember(one.part, part)
            self._folders.append((f"{folder}{part}/", {}))
        self._remember(one.part, path[at:])

    def _remember(self, part: int, name: str) -> None:
        folder, names = self._folders[-1]
        folded = hash(fold(name))
        if folded in names:
            other, spelled = names[folded]
            raise _collision(other, folder + spelled, part, folder + name)
        if self._remembered >= _NAMES_MAX:
            for _, forgotten in self._folders:
                forgotten.clear()
            self._remembered = 0
        names[folded] = part, name
        self._remembered += 1


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
