"""What a draft holds before it is saved: additions and removals, by rules for paths that are named twice.

The rules, for paths within one draft and against the version that it starts from:

1. The same source at the same path twice is once. Another source of the same bytes is, too.
2. Another source of other bytes is refused, unless it is to overwrite.
3. What a draft adds takes the place of what its base has there; what it removes is not there, and may be added again.
4. An empty folder gives way to what is put below it, and is not put where something is.
5. A path may not be a file and a folder, nor differ from another by case or Unicode form only: `PathCollision`.

Adding a file looks at its stat alone; at the end the file must be what it was.
"""

import os
import stat as stat_bits
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from artifactstore.errors import NoSuchEntry, PathCollision, SourceChanged
from artifactstore.format.operations import Manifest
from artifactstore.format.page import Kind, path_order
from artifactstore.manifest.alike import Alike
from artifactstore.manifest.paths import fold
from artifactstore.manifest.read import StoredEntry
from artifactstore.manifest.splice import Changes, Pages, Spliced, Whole, spliced
from artifactstore.transfer.scan import Found, Given

_COMPARED_BYTES: Final = 1 << 20


class Additions:
    """What a draft adds, by path. Not thread-safe."""

    def __init__(self) -> None:
        self._found: dict[str, Found] = {}
        self._folded: dict[str, str] = {}
        # Folded folder to how it is spelled, and how many paths are below it.
        self._folders: dict[str, tuple[str, int]] = {}

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Found]:
        return iter(self._found.values())

    def get(self, path: str) -> Found | None:
        """What is added at a path."""
        return self._found.get(path)

    def put(self, found: Found, *, overwrite: bool = False) -> None:
        """Add something.

        Args:
            found: What.
            overwrite: Whether it takes the place of other bytes that were added there.

        Raises:
            PathCollision: Something else was added there, or in its way.
        """
        path = found.path
        folded = fold(path)
        other = self._folded.get(folded, path)
        if other != path:
            raise _collision(path, other)
        before = self._found.get(path)
        if before is not None and not overwrite and not _same(before, found):
            raise PathCollision(
                f"{path!r} was added already, from {before.source!r}, and {found.source!r} holds other bytes",
                next_step="pass overwrite=True (for a folder merge=True), or remove the path first",
                paths=[before.source, found.source],
            )
        if before is None and not self._make_way(found, folded):
            return
        self._found[path] = found
        self._folded[folded] = path

    def _make_way(self, found: Found, folded: str) -> bool:
        """Note a new path's folders; False when it is an empty folder with something in it."""
        path = found.path
        if folded in self._folders:
            if found.kind is Kind.FOLDER:
                return False
            raise _collision(path, self._folders[folded][0] + "/")
        for folder in _folders_of(path):
            key = fold(folder)
            spelled = self._folders.get(key, (folder, 0))[0]
            above = self._found.get(self._folded.get(key, ""))
            if spelled != folder or (above is not None and above.kind is not Kind.FOLDER):
                raise _collision(path, spelled if above is None else above.path)
            if above is not None:
                self._drop(above.path)
        for folder in _folders_of(path):
            key = fold(folder)
            self._folders[key] = (folder, self._folders.get(key, (folder, 0))[1] + 1)
        return True

    def remove(self, path: str) -> int:
        """Take back what was added at a path, or below it; return how much that was."""
        below = [path] if path in self._found else []
        if fold(path) in self._folders:
            below += [one for one in self._found if one.startswith(path + "/")]
        for one in below:
            self._drop(one)
        return len(below)

    def _drop(self, path: str) -> None:
        del self._found[path]
        del self._folded[fold(path)]
        for folder in _folders_of(path):
            key = fold(folder)
            spelled, count = self._folders[key]
            if count == 1:
                del self._folders[key]
            else:
                self._folders[key] = (spelled, count - 1)


def _folders_of(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _collision(one: str, other: str) -> PathCollision:
    return PathCollision(
        f"{one!r} can't be beside {other!r}: a file and a folder, or names that differ by case or Unicode form only",
        paths=[one, other],
    )


def _same(one: Found, other: Found) -> bool:
    """Whether two additions are of the same bytes, by their source or by looking."""
    if one.kind is not other.kind:
        return False
    if one.source == other.source and (one.given is None) == (other.given is None) and one.kind is Kind.FILE:
        return True
    if one.kind is Kind.FILE and one.stat is not None and other.stat is not None:
        return one.stat.st_size == other.stat.st_size and _same_bytes(one.source, other.source)
    known = [None if each.given is None else each.given.known for each in (one, other)]
    return one.target == other.target and known[0] == known[1] and one.kind is not Kind.FILE


def _same_bytes(one: str, other: str) -> bool:
    try:
        with open(one, "rb") as first, open(other, "rb") as second:
            while True:
                data = first.read(_COMPARED_BYTES)
                if data != second.read(_COMPARED_BYTES):
                    return False
                if not data:
                    return True
    except OSError:
        return False


def unchanged(found: Found) -> Found:
    """What was added, when its file is what it was then.

    Raises:
        SourceChanged: It is not.
    """
    if found.stat is None:
        return found
    try:
        now = os.lstat(found.source)
    except OSError:
        now = None
    then = found.stat
    if now is None or (now.st_size, now.st_mtime_ns, now.st_ino, stat_bits.S_IFMT(now.st_mode)) != (
        then.st_size,
        then.st_mtime_ns,
        then.st_ino,
        stat_bits.S_IFMT(then.st_mode),
    ):
        what = "is gone" if now is None else "changed"
        raise SourceChanged(
            f"{found.source!r}, which is to be {found.path!r}, {what} since it was added",
            next_step="add it again with overwrite=True, or leave it alone until the draft is saved",
            path=found.path,
            source=found.source,
        )
    return found._replace(pinned=found.kind is Kind.FILE)


class Content:
    """What a draft holds: the version that it starts from, if any, and what the draft makes of it. Used once.

    Args:
        pages: Reads the version's pages.
        manifest: Its root; None for none.
        additions: What the draft adds.
        removed: Paths and folders that it removes.
    """

    def __init__(
        self, pages: Pages, manifest: Manifest | None, additions: Iterable[Found], removed: Sequence[str]
    ) -> None:
        self._pages = pages
        self._manifest = manifest
        self._additions = sorted(additions, key=lambda found: path_order(found.path))
        self._removed = list(removed)
        self._changes: Changes[Found] = Changes([], removed)
        self._alike = None if manifest is None else Alike(pages, manifest, self._survives)
        # Folders on the way to additions: whether the base keeps anything in them.
        self._kept: dict[str, bool] = {"": True}

    def found(self) -> Iterator[Found]:
        """Everything that it holds, in path order: additions, entries that stay, and pages that stay whole.

        Raises:
            PathCollision: Something that is added can't be beside what the base keeps.
            Damaged: A page of the base can't be read.
        """
        if self._manifest is None:
            yield from self._additions
            return
        dropped = [found.path for found in self._additions if not self._fits(found)]
        passed = frozenset(dropped)
        added = [(found.path, found) for found in self._additions if found.path not in passed]
        changes = Changes(added, self._removed)
        for item in spliced(self._pages, self._manifest, changes):
            if isinstance(item, Whole):
                given = Given(pages=Spliced(self._pages, item))
                yield Found(item.identity[0], Kind.PAGE, "the version it starts from", None, given=given)
            elif isinstance(item, StoredEntry):
                yield kept_entry(item)
            else:
                yield item[1]

    def files(self) -> Iterator[Found]:
        """The same, entry by entry."""
        for found in self.found():
            if found.given is None or found.given.pages is None:
                yield found
            else:
                yield from map(kept_entry, found.given.pages.below())

    def counted(self) -> tuple[int, int]:
        """Bytes of the files that it holds, and how many entries; pages that stay whole are not read."""
        size = entries = 0
        for found in self.found():
            given = found.given
            pages = None if given is None else given.pages
            size += size_of(found) if pages is None else pages.size
            entries += 1 if pages is None else pages.entries
        return size, entries

    def at(self, path: str) -> Found | None:
        """What of the base is at a path, unless it is removed."""
        entry = self._at(path)
        return None if entry is None or not self._survives(entry) else kept_entry(entry)

    def holds(self, path: str) -> bool:
        """Whether something of the base is at a path or below it, and stays."""
        return self.at(path) is not None or self._any_below(path)

    def _at(self, path: str) -> StoredEntry | None:
        return None if self._manifest is None else self._pages.at(self._manifest, path)

    def _survives(self, entry: StoredEntry) -> bool:
        return not self._changes.removes(entry.path)

    def _fits(self, found: Found) -> bool:
        """Whether an addition is to be made; an empty folder with something in it is not."""
        parent = ""
        for folder in _folders_of(found.path):
            if not self._keeps(folder, parent, found.path):
                return True
            parent = folder
        path = found.path
        if self.at(path) is not None:
            return True
        if self._any_below(path):
            if found.kind is Kind.FOLDER:
                return False
            raise _collision(path, path + "/")
        self._refuse_alike(path)
        return True

    def _keeps(self, folder: str, parent: str, path: str) -> bool:
        known = self._kept.get(folder)
        if known is not None:
            return known
        found = self.at(folder)
        if found is not None:
            if found.kind is not Kind.FOLDER:
                raise _collision(path, folder)
            self._removed.append(folder)
            kept = False
        else:
            kept = self._kept[parent] and self._any_below(folder)
            if not kept:
                self._refuse_alike(folder)
        self._kept[folder] = kept
        return kept

    def _any_below(self, folder: str) -> bool:
        if self._manifest is None or self._changes.removes(folder):
            return False
        return any(map(self._survives, self._pages.below(self._manifest, folder + "/")))

    def _refuse_alike(self, path: str) -> None:
        other = None if self._alike is None else self._alike.beside(path)
        if other is not None:
            raise _collision(path, other)


def refuse_unknown(content: Content, path: str) -> None:
    """Refuse to remove what a version does not hold.

    Raises:
        NoSuchEntry: It holds nothing of that path, nor below it.
    """
    if not content.holds(path):
        raise NoSuchEntry(f"there is nothing at {path!r} to remove", path=path)


def size_of(found: Found) -> int:
    """Bytes of something that was added or that stays; 0 for a folder."""
    if found.given is not None and found.given.known is not None:
        return found.given.known[0][2]
    if found.kind is Kind.SYMLINK:
        return len(found.target.encode())
    return found.size_bytes or 0 if found.kind is Kind.FILE else 0


def kept_entry(entry: StoredEntry) -> Found:
    """An entry of another version, as a push takes it."""
    known = (entry.identity, entry.content)
    return Found(entry.path, Kind(entry.kind), "the version it starts from", None, given=Given(known=known))
