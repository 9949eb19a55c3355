"""Looking for names that differ from a new one by case or Unicode form only, without reading a folder that is large.

A name of ASCII is looked for letter by letter among the spellings that are there at all: for most names that is no more
than the pages on the way to it. For other names, and when many of one folder are looked for, its names are read once.
"""

from collections.abc import Callable, Iterator
from typing import Final

from artifactstore.format.operations import Manifest
from artifactstore.manifest.paths import fold
from artifactstore.manifest.read import StoredEntry
from artifactstore.manifest.splice import Pages

# What folds to letters of ASCII without being their capitals; a test goes through all of Unicode.
_MORE_SPELLINGS: Final = {
    "s": ("\u017f",),
    "ss": ("\u00df", "\u1e9e"),
    "ff": ("\ufb00",),
    "fi": ("\ufb01",),
    "fl": ("\ufb02",),
    "ffi": ("\ufb03",),
    "ffl": ("\ufb04",),
    "st": ("\ufb05", "\ufb06"),
}
_SEARCHES_MAX: Final = 64


class Alike:
    """Names of one version that fold to the same as others. Not thread-safe.

    Args:
        pages: Reads the version's pages.
        manifest: The version.
        counts: Which of its entries count.
    """

    def __init__(self, pages: Pages, manifest: Manifest, counts: Callable[[StoredEntry], bool]) -> None:
        self._pages = pages
        self._manifest = manifest
        self._counts = counts
        self._searches: dict[str, int] = {}
        self._names: dict[str, dict[str, str]] = {}

    def beside(self, path: str) -> str | None:
        """A path in the same folder with a name that folds alike, but for this very one; None when there is none."""
        at = path.rfind("/") + 1
        folder, name = path[:at], path[at:]
        searches = self._searches[folder] = self._searches.get(folder, 0) + 1
        if not name.isascii() or searches > _SEARCHES_MAX:
            if folder not in self._names:
                self._names[folder] = {fold(one): one for one in self._all_names(folder)}
            other = self._names[folder].get(fold(name), name)
            return None if other == name else folder + other
        found = (one for one in self._spelled(folder, name.lower()) if one != name)
        return next((folder + one for one in found if self._is_there(folder + one)), None)

    def _spelled(self, start: str, rest: str) -> Iterator[str]:
        """Spellings of a folded name that begin names which are there, as far as they have been spelled."""
        stack = [("", rest)]
        while stack:
            done, left = stack.pop()
            if not left:
                yield done
                continue
            for size in (1, 2, 3):
                if size > len(left):
                    break
                folded = left[:size]
                spellings = (
                    *_MORE_SPELLINGS.get(folded, ()),
                    *({folded, folded.upper()} if size == 1 else ()),
                )
                stack += [(done + one, left[size:]) for one in spellings if self._begins(start + done + one)]

    def _begins(self, start: str) -> bool:
        return next(self._pages.below(self._manifest, start), None) is not None

    def _is_there(self, path: str) -> bool:
        entry = self._pages.at(self._manifest, path)
        if entry is not None and self._counts(entry):
            return True
        return any(map(self._counts, self._pages.below(self._manifest, path + "/")))

    def _all_names(self, folder: str) -> Iterator[str]:
        last = ""
        for entry in self._pages.below(self._manifest, folder):
            name = entry.path[len(folder) :].partition("/")[0]
            if name != last and self._counts(entry):
                last = name
                yield name
