"""Which paths a version may hold: one rule for what is pushed and for what is pulled.

Relative POSIX paths in Unicode form NFC and UTF-8, without `..`, NUL, control characters, backslashes, drive letters or
names that Windows keeps for devices, so that every version can be pulled everywhere.
"""

import re
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Generic, TypeVar

from artifactstore.format.limits import PATH_BYTES_MAX

T = TypeVar("T")

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x80-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
# One look decides about nearly every path there is; the rest is explained part by part.
_PLAIN_PART = r"(?!\.{1,2}(?:/|$)|(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:[./]|$))[a-z0-9_.+@=-]{1,200}"
_PLAIN = re.compile(rf"{_PLAIN_PART}(?:/{_PLAIN_PART}){{0,18}}", re.IGNORECASE | re.ASCII)
_ALL_PLAIN = re.compile(rf"{_PLAIN_PART}(?:/{_PLAIN_PART})*", re.IGNORECASE | re.ASCII)
NAME_BYTES_MAX = 255


def path_problem(path: str) -> str:
    """Say why a version may not hold `path`; empty when it may."""
    if _PLAIN.fullmatch(path):
        return ""
    return _whole_problem(path) or next(filter(None, map(_part_problem, path.split("/"))), "")


def are_plain(names: Sequence[str]) -> bool:
    """Whether every version may hold each of these names, by one look at all of them; False may be wrong."""
    return not names or _ALL_PLAIN.fullmatch("/".join(names)) is not None


def _whole_problem(path: str) -> str:
    try:
        length = len(path.encode())
    except UnicodeEncodeError:
        return "it is not UTF-8"
    problems = (
        (not path, "it is empty"),
        (length > PATH_BYTES_MAX, f"it is longer than {PATH_BYTES_MAX} bytes"),
        (_CONTROL.search(path), "it holds a NUL or control character"),
        ("\\" in path, "it holds a backslash"),
        (_DRIVE.match(path), "it begins with a drive letter"),
        (unicodedata.normalize("NFC", path) != path, "it is not in Unicode form NFC"),
    )
    return next((words for found, words in problems if found), "")


def _part_problem(part: str) -> str:
    if part in {"", ".", ".."}:
        return "it is absolute or holds an empty part, '.' or '..'"
    if len(part.encode()) > NAME_BYTES_MAX:
        return f"a part of it is longer than {NAME_BYTES_MAX} bytes"
    if _RESERVED.fullmatch(part):
        return f"{part!r} is a name that Windows keeps for a device"
    return ""


def fold(path: str) -> str:
    """What two paths have in common when they differ by case or Unicode form only."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


class OpenFolders(ABC, Generic[T]):
    """The names in the folders on the way to where a walk is, so that two which differ by case or form only are met.

    A folder's paths are neighbours in the order of a walk, so no other folder has to be remembered.

    Args:
        names_max: So many names are remembered at once; beyond it what was seen is forgotten.
    """

    def __init__(self, names_max: int) -> None:
        # Each with what is kept of its names so far, by their hashes, folded.
        self._folders: list[tuple[str, dict[int, T]]] = [("", {})]
        self._remembered = 0
        self._names_max = names_max

    def enter(self, path: str) -> None:
        """Refuse a path whose name, or that of a folder on its way, is too much like another.

        Raises:
            ArtifactStoreError: It is; what `refuse` raises.
        """
        at = path.rfind("/") + 1
        above = path[:at]
        while not above.startswith(self._folders[-1][0]):
            self._remembered -= len(self._folders.pop()[1])
        while self._folders[-1][0] != above:
            folder = self._folders[-1][0]
            part = above[len(folder) :].partition("/")[0]
            self._remember(part)
            self._folders.append((f"{folder}{part}/", {}))
        self._remember(path[at:])

    @abstractmethod
    def kept(self, name: str) -> T:
        """What is kept of a name."""

    @abstractmethod
    def refuse(self, folder: str, name: str, other: T) -> None:
        """Raise, since a name in a folder (empty, or with a slash behind it) is too much like one seen before."""

    def _remember(self, name: str) -> None:
        folder, names = self._folders[-1]
        folded = hash(fold(name))
        if folded in names:
            self.refuse(folder, name, names[folded])
        if self._remembered >= self._names_max:
            for _, forgotten in self._folders:
                forgotten.clear()
            self._remembered = 0
        names[folded] = self.kept(name)
        self._remembered += 1
