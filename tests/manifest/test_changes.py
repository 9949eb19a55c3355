"""Changes as pairs of entries come to them: what is counted, renamed and new, also of entries without bytes here."""

import tracemalloc
from collections.abc import Iterator

import pytest

from artifactstore.format.page import EMPTY, EXECUTABLE, Content, Kind
from artifactstore.manifest import changes
from artifactstore.manifest.changes import Changes, Count, Status
from artifactstore.manifest.diff import Pair
from artifactstore.manifest.overlap import Fresh
from artifactstore.manifest.read import StoredEntry


def entry(path: str, digest: int, size: int = 10, kind: Kind = Kind.FILE, flags: int = 0) -> StoredEntry:
    content = Content(0, bytes(32), [size]) if kind is Kind.FILE and size else EMPTY
    return StoredEntry((path, int(kind), size, bytes([digest]) * 32, flags), content)


def changes_of(*pairs: Pair) -> Changes:
    return Changes(lambda: pairs, lambda files: [Fresh(1, exact=True)] * len(files))


def test_a_reference_is_renamed_like_a_file() -> None:
    """Its bytes are not in the store and count nowhere; a file with the same digest would be another thing."""
    moved = changes_of(
        Pair(entry("a", 1, kind=Kind.REFERENCE), None), Pair(None, entry("b", 1, kind=Kind.REFERENCE))
    )
    assert [(one.status, one.before and one.before.path) for one in moved] == [(Status.RENAMED, "a")]
    assert moved.totals.renamed == Count(1, 0)
    assert moved.totals.added == moved.totals.removed == Count(0, 0)
    assert moved.totals.fresh == Fresh(0, exact=True)


def test_what_has_no_bytes_is_not_renamed() -> None:
    """Empty files, folders and symlinks are alike too easily."""
    for kind, size in ((Kind.FILE, 0), (Kind.FOLDER, 0), (Kind.SYMLINK, 4)):
        found = changes_of(Pair(entry("a", 1, size, kind), None), Pair(None, entry("b", 1, size, kind)))
        assert [one.status for one in found] == [Status.REMOVED, Status.ADDED]
        assert found.totals.fresh.size == 0


def test_a_renamed_file_keeps_what_else_it_was() -> None:
    """The executable bit may have changed on the way."""
    (found,) = changes_of(Pair(entry("a", 1, flags=EXECUTABLE), None), Pair(None, entry("b", 1)))
    assert found.before is not None
    assert (found.status, found.before.executable, found.after and found.after.executable) == (
        Status.RENAMED, True, False,
    )  # fmt: skip


def test_bytes_that_came_from_elsewhere_are_all_new() -> None:
    """A file in place of a symlink is new as a whole, one of a file in part, one with other flags not at all."""
    found = changes_of(
        Pair(entry("a", 1, 4, Kind.SYMLINK), entry("a", 2)),
        Pair(entry("b", 1), entry("b", 2, 20)),
        Pair(entry("c", 1), entry("c", 1, flags=EXECUTABLE)),
        Pair(entry("d", 1), entry("d", 2, 4, Kind.SYMLINK)),
    )
    assert [one.fresh.size for one in found] == [10, 1, 0, 0]
    totals = found.totals
    assert (totals.changed, totals.changed_size_before, totals.fresh.size) == (Count(4, 40), 30, 11)


def test_memory_does_not_follow_the_number_of_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of more changes than are kept, as many again take no more; all are counted, and iterated over."""
    monkeypatch.setattr(changes, "_KEPT_MAX", 1000)
    monkeypatch.setattr(changes, "_CANDIDATES_MAX", 4000)

    def pairs(count: int) -> Iterator[Pair]:
        for number in range(count):
            found = StoredEntry((f"old/{number}", int(Kind.FILE), 1, b"%032d" % number, 0), EMPTY)
            yield Pair(found, None) if number % 2 else Pair(None, found)

    peaks = []
    for count in (8_000, 40_000):
        tracemalloc.start()
        try:
            found = Changes(lambda count=count: pairs(count), lambda _: [])  # type: ignore[misc]
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        assert (found.totals.added.entries, found.totals.removed.entries) == (count // 2, count // 2)
        assert not found.all_renames
        assert sum(1 for _ in found) == count
    assert peaks[1] < peaks[0] * 1.1
