"""Which of the files that are gone from a version came back under another path: pairs of paths with one digest.

Where several files have the same bytes, the pairs follow folders that were renamed as a whole, then the ends of the
paths, then their order. The answer depends on the paths alone, and with both sides exchanged it is the same pairs.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from artifactstore.format.page import path_order

# Parts of a path that are compared from its end: `a/b/c` has three.
_PARTS_MAX: Final = 8
# Folders to which the files of one folder may have gone, that are looked at for files with equal bytes.
_FOLDERS_MAX: Final = 8

Rename = tuple[str, str]


def pair_renames(gone: Mapping[bytes, Sequence[str]], come: Mapping[bytes, Sequence[str]]) -> dict[str, str]:
    """Pair paths that are gone with paths that are new.

    Args:
        gone: By digest, paths that only the first version has.
        come: By digest, paths that only the second has.

    Returns:
        New path by old path.
    """
    pairs: list[Rename] = []
    several: list[tuple[list[str], list[str]]] = []
    for digest, old in gone.items():
        new = come.get(digest, ())
        if len(old) == len(new) == 1:
            pairs.append((old[0], new[0]))
        elif new:
            several.append((sorted(old, key=path_order), sorted(new, key=path_order)))
    folders = _folders(pairs)
    for old, new in several:
        pairs += _paired(old, new, folders)
    return dict(pairs)


def _folders(pairs: Iterable[Rename]) -> dict[str, dict[str, int]]:
    """Of each folder, those to which most of its files have gone for sure, and how many."""
    moved = Counter((_folder(old), _folder(new)) for old, new in pairs)
    ranked = sorted(moved.items(), key=lambda item: (-item[1], sorted(item[0])))
    leaving: dict[str, dict[str, int]] = {}
    arriving: Counter[str] = Counter()
    for (old, new), count in ranked:
        targets = leaving.setdefault(old, {})
        if len(targets) < _FOLDERS_MAX and arriving[new] < _FOLDERS_MAX:
            targets[new] = count
            arriving[new] += 1
    return leaving


def _paired(old: list[str], new: list[str], folders: Mapping[str, Mapping[str, int]]) -> list[Rename]:
    """Pair paths of files that all have the same bytes, as many as there are on both sides."""
    left, right = dict.fromkeys(old), dict.fromkeys(new)
    pairs: list[Rename] = []

    def take(found: Iterable[Rename]) -> None:
        for one, other in found:
            if one in left and other in right:
                del left[one], right[other]
                pairs.append((one, other))

    take(_along_folders(old, right, folders))
    for parts in range(_PARTS_MAX, 0, -1):
        if left and right:
            take(_alike(left, right, parts))
    take(zip(list(left), list(right), strict=False))
    return pairs


def _along_folders(
    old: Iterable[str], new: Mapping[str, None], folders: Mapping[str, Mapping[str, int]]
) -> list[Rename]:
    found: list[tuple[int, Rename]] = []
    for path in old:
        name = path.rpartition("/")[2]
        for folder, count in folders.get(_folder(path), {}).items():
            if folder + name in new:
                found.append((-count, (path, folder + name)))
    return [pair for _, pair in sorted(found, key=lambda item: (item[0], sorted(item[1])))]


def _alike(old: Iterable[str], new: Iterable[str], parts: int) -> list[Rename]:
    """Paths whose last parts are equal, in their order."""
    ends: dict[str, tuple[list[str], list[str]]] = {}
    for side, paths in enumerate((old, new)):
        for path in paths:
            end = path.split("/")[-parts:]
            if len(end) == parts:
                ends.setdefault("/".join(end), ([], []))[side].append(path)
    return [pair for one, other in ends.values() for pair in zip(one, other, strict=False)]


def _folder(path: str) -> str:
    """The folder of a path, with its slash; empty for the root."""
    return path[: path.rfind("/") + 1]


def moved_folder(old: str, new: str) -> Rename | None:
    """The folders that a renamed path differs in: what is left without its equal end, each with a slash.

    `a/x/f` and `b/x/f` give `a/` and `b/`; of paths with different names it was the file that was renamed.
    """
    before, after = old.split("/"), new.split("/")
    if before[-1] != after[-1]:
        return None
    end = 1
    while end < min(len(before), len(after)) and before[-end - 1] == after[-end - 1]:
        end += 1
    return "".join(f"{part}/" for part in before[:-end]), "".join(f"{part}/" for part in after[:-end])
