"""The changes between two versions: paths that are new, gone, changed or renamed, and how much of each is new.

The first walk counts them, finds out which were renamed and keeps them while they are few; of more, each further look
walks again. So memory is bounded (invariant 18), and whoever asks gets all of them.
"""

from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from itertools import islice
from typing import Final, NamedTuple

from artifactstore.format.page import EXECUTABLE, Kind
from artifactstore.manifest.diff import Pair
from artifactstore.manifest.overlap import Fresh, fresh_bytes
from artifactstore.manifest.read import Getter, StoredEntry
from artifactstore.manifest.renames import moved_folder, pair_renames

# Changes that are kept, and files on one side only among which renamed ones are looked for.
_KEPT_MAX: Final = 1 << 16
_CANDIDATES_MAX: Final = 1 << 18
# Changed files whose chunk lists are read together.
_TOGETHER: Final = 256
# Pairs of folders that are remembered while renamed files are counted.
_FOLDERS_MAX: Final = 4096

_NOTHING_NEW: Final = Fresh(0, exact=True)


class Status(Enum):
    """What happened to a path."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"
    RENAMED = "renamed"


class Changed(NamedTuple):
    """One change.

    Attributes:
        status: What happened.
        before: The entry in the first version; None where it is added.
        after: The entry in the second; None where it is removed.
        fresh: Bytes of a file that its earlier content doesn't have, by chunk.
    """

    status: Status
    before: StoredEntry | None
    after: StoredEntry | None
    fresh: Fresh


class Count(NamedTuple):
    """Some entries, and the bytes of those that are files."""

    entries: int = 0
    size: int = 0


class Totals(NamedTuple):
    """All changes, counted.

    Attributes:
        added: New paths.
        removed: Paths that are gone.
        changed: Paths that are something else; their bytes afterwards.
        renamed: Files under another path.
        changed_size_before: Bytes of the changed files before.
        fresh: Bytes that are new, in added and changed files.
    """

    added: Count
    removed: Count
    changed: Count
    renamed: Count
    changed_size_before: int
    fresh: Fresh


class Changes:
    """All changes between two versions; iterating gives them in path order, a renamed file where it is now.

    Args:
        pairs: Walks both, as often as it is called.
        measure: Says of changed files what is new, as `fresh_bytes`.

    Attributes:
        totals: What they come to.
        renames: New path by old path.
        all_renames: Whether all files on one side only were looked at for renames.
    """

    def __init__(
        self,
        pairs: Callable[[], Iterable[Pair]],
        measure: Callable[[list[Pair]], list[Fresh]],
    ) -> None:
        self._pairs = pairs
        self._measure = measure
        self._kept: list[tuple[Pair, Fresh]] | None = []
        candidates = _Candidates()
        counts = _Counts()
        for pair, fresh in self._measured():
            candidates.take(pair)
            counts.take(pair, fresh)
            if self._kept is not None:
                self._kept.append((pair, fresh))
                if len(self._kept) > _KEPT_MAX:
                    self._kept = None
        self.renames = pair_renames(candidates.gone, candidates.come)
        self.all_renames = candidates.complete
        self.totals = counts.totals(Count(len(self.renames), candidates.size_of(self.renames)))
        self._before = {new: old for old, new in self.renames.items()}
        self._executable = candidates.executable & self.renames.keys()

    def __iter__(self) -> Iterator[Changed]:
        for pair, fresh in self._measured() if self._kept is None else self._kept:
            before, after = pair
            if before is not None and after is not None:
                yield Changed(Status.CHANGED, before, after, fresh)
            elif after is None:
                assert before is not None
                if before.path not in self.renames:
                    yield Changed(Status.REMOVED, before, None, _NOTHING_NEW)
            elif after.path in self._before:
                yield Changed(Status.RENAMED, self._earlier(after), after, _NOTHING_NEW)
            else:
                yield Changed(Status.ADDED, None, after, fresh)

    def folders(self) -> dict[tuple[str, str], int]:
        """Pairs of folders of which several files went from one to the other, each with how many."""
        found: dict[tuple[str, str], int] = {}
        for pair in self.renames.items():
            moved = moved_folder(*pair)
            if moved is not None and (moved in found or len(found) < _FOLDERS_MAX):
                found[moved] = found.get(moved, 0) + 1
        return {pair: count for pair, count in found.items() if count > 1}

    def _earlier(self, after: StoredEntry) -> StoredEntry:
        path, kind, size, digest, _ = after.identity
        old = self._before[path]
        flags = EXECUTABLE if old in self._executable else 0
        return StoredEntry((old, kind, size, digest, flags), after.content)

    def _measured(self) -> Iterator[tuple[Pair, Fresh]]:
        pairs = iter(self._pairs())
        while part := list(islice(pairs, _TOGETHER)):
            changed = [pair for pair in part if _has_both(pair)]
            found = iter(self._measure(changed) if changed else ())
            for pair in part:
                yield pair, next(found) if _has_both(pair) else _whole(pair)


def measured_by(getter: Getter) -> Callable[[list[Pair]], list[Fresh]]:
    """What says of pairs of files what is new, reading chunk lists by `getter`."""

    def measure(pairs: list[Pair]) -> list[Fresh]:
        contents = [(pair.before.content, pair.after.content) for pair in pairs if pair.before and pair.after]
        return fresh_bytes(getter, contents)

    return measure


def _has_both(pair: Pair) -> bool:
    """Whether there are files on both sides, with other bytes."""
    before, after = pair
    if before is None or after is None or before.kind != Kind.FILE or after.kind != Kind.FILE:
        return False
    return before.digest != after.digest


def _whole(pair: Pair) -> Fresh:
    """All of a file is new, unless the same bytes were there, with other flags."""
    before, after = pair
    if before is not None and after is not None and before.digest == after.digest:
        return _NOTHING_NEW
    return Fresh(_size(after), exact=True)


def _size(entry: StoredEntry | None) -> int:
    return entry.size if entry is not None and entry.kind == Kind.FILE else 0


class _Candidates:
    """Files and references that are on one side only, and may be there under another path."""

    def __init__(self) -> None:
        self.gone: dict[bytes, list[str]] = {}
        self.come: dict[bytes, list[str]] = {}
        self.executable: set[str] = set()
        self.complete = True
        self._sizes: dict[str, int] = {}
        self._count = 0

    def take(self, pair: Pair) -> None:
        entry = pair.before or pair.after
        assert entry is not None
        # All empty files are alike, and none of them is another one renamed.
        has_bytes = entry.kind == Kind.FILE and entry.size
        if (pair.before and pair.after) or not (has_bytes or entry.kind == Kind.REFERENCE):
            return
        self._count += 1
        if self._count > _CANDIDATES_MAX:
            self.complete = False
            return
        side = self.come if pair.before is None else self.gone
        side.setdefault(entry.digest, []).append(entry.path)
        if pair.after is None:
            self._sizes[entry.path] = _size(entry)
            if entry.executable:
                self.executable.add(entry.path)

    def size_of(self, paths: Iterable[str]) -> int:
        """Bytes of some that are gone."""
        return sum(self._sizes[path] for path in paths)


class _Counts:
    """Pairs, counted as if none were renamed."""

    def __init__(self) -> None:
        self._counts = {status: Count() for status in Status}
        self._before = self._fresh = 0
        self._exact = True

    def take(self, pair: Pair, fresh: Fresh) -> None:
        if pair.before is None:
            self._add(Status.ADDED, _size(pair.after))
        elif pair.after is None:
            self._add(Status.REMOVED, _size(pair.before))
        else:
            self._add(Status.CHANGED, _size(pair.after))
            self._before += _size(pair.before)
        self._fresh += fresh.size
        self._exact &= fresh.exact

    def _add(self, status: Status, size: int) -> None:
        count = self._counts[status]
        self._counts[status] = Count(count.entries + 1, count.size + size)

    def totals(self, renamed: Count) -> Totals:
        added, removed = self._counts[Status.ADDED], self._counts[Status.REMOVED]
        return Totals(
            Count(added.entries - renamed.entries, added.size - renamed.size),
            Count(removed.entries - renamed.entries, removed.size - renamed.size),
            self._counts[Status.CHANGED],
            renamed,
            self._before,
            Fresh(self._fresh - renamed.size, self._exact),
        )
