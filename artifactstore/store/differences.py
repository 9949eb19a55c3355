"""What a comparison of two versions hands back: changes, totals, renamed folders, and what is said about them."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

import msgspec

from artifactstore.client.version import Entry, Version, entry_of
from artifactstore.comparison.results import FileDiff
from artifactstore.ids import LATEST
from artifactstore.manifest.changes import Changed, Changes
from artifactstore.manifest.renames import moved_folder
from artifactstore.notebook import bytes_text, listing

# Changes that a notebook shows.
_SHOWN_MAX: Final = 20


class Change(msgspec.Struct, frozen=True):
    """One path that is not the same in both.

    Attributes:
        status: `added`, `removed`, `changed` or `renamed`.
        before: What it was; None where it is added. Of a renamed file, it has the old path.
        after: What it is; None where it is removed.
        new_bytes: Bytes of the file whose chunks the file did not have before: all of an added one, none of a
            renamed one.
        estimated: Whether `new_bytes` is an estimate, as it is of files of terabytes.
    """

    status: str
    before: Entry | None
    after: Entry | None
    new_bytes: int
    estimated: bool = False

    @property
    def path(self) -> str:
        """Where it is, or was."""
        entry = self.after or self.before
        assert entry is not None
        return entry.path

    @property
    def folders(self) -> tuple[str, str] | None:
        """Of a file that kept its name, the folders that it went from and to, as `RenamedFolder` has them."""
        if self.status != "renamed" or self.before is None or self.after is None:
            return None
        return moved_folder(self.before.path, self.after.path)


class DiffTotals(msgspec.Struct, frozen=True):
    """Changes, counted; bytes are those of files.

    Attributes:
        added: New paths.
        removed: Paths that are gone.
        changed: Paths that are something else.
        renamed: Files that are under another path, with the same bytes.
        added_bytes: Bytes of the new ones.
        removed_bytes: Bytes of those that are gone.
        changed_bytes_before: Bytes of the changed ones, before.
        changed_bytes: The same, after.
        renamed_bytes: Bytes of the renamed ones.
        new_bytes: Bytes in added and changed files whose chunks were not in the file before.
        estimated: Whether `new_bytes` is an estimate.
    """

    added: int
    removed: int
    changed: int
    renamed: int
    added_bytes: int
    removed_bytes: int
    changed_bytes_before: int
    changed_bytes: int
    renamed_bytes: int
    new_bytes: int
    estimated: bool

    @property
    def changes(self) -> int:
        """All of them."""
        return self.added + self.removed + self.changed + self.renamed


class RenamedFolder(msgspec.Struct, frozen=True):
    """Several files that went from one folder to another, each under the same path below it.

    Attributes:
        before: The folder, with a slash at its end; empty for the root.
        after: The folder that they are in now.
        files: How many they are.
    """

    before: str
    after: str
    files: int


class FactChange(msgspec.Struct, frozen=True):
    """Something that is said about two versions and is not the same.

    Attributes:
        name: `type`, `description`, `tags`, `aliases` or `metadata`.
        key: Of metadata, the names that lead to the value; empty otherwise.
        status: `added`, `removed` or `changed`.
        before: What is said of the first; None where it is added.
        after: What is said of the second; None where it is removed.
    """

    name: str
    key: tuple[str, ...]
    status: str
    before: Any
    after: Any


class VersionDiff:
    """How a version, or a local folder, differs from a version.

    Iterating yields each `Change` in path order, a renamed file where it is now; it may be done any number of times.
    Of more than 65,536 changes not all are in memory: then each time pages are read anew, and the store must be open.

    Attributes:
        before: The first version.
        after: The second version; None when it is a local folder.
        name_before: What the first is called.
        name_after: What the second is called: a version, or the path of the folder.
        totals: All changes, counted.
        facts: What is said about the two versions and differs; of a folder nothing is said.
        renamed_folders: Folders from which several files went to another one, by their names.
        all_renames: Whether all files that are on one side only were looked at for renames; False when they are more
            than 262,144.
    """

    def __init__(
        self,
        before: Version,
        after: Version | None,
        name_after: str,
        changes: Changes,
        look: Callable[[Change], FileDiff | None],
    ) -> None:
        self._changes = changes
        self._look = look
        totals = changes.totals
        self.before = before
        self.after = after
        self.name_before = before.qualified_name
        self.name_after = name_after
        self.all_renames = changes.all_renames
        self.facts = () if after is None else tuple(_facts(before, after))
        self.renamed_folders = tuple(
            RenamedFolder(*pair, files) for pair, files in sorted(changes.folders().items())
        )
        self.totals = DiffTotals(
            added=totals.added.entries,
            removed=totals.removed.entries,
            changed=totals.changed.entries,
            renamed=totals.renamed.entries,
            added_bytes=totals.added.size,
            removed_bytes=totals.removed.size,
            changed_bytes_before=totals.changed_size_before,
            changed_bytes=totals.changed.size,
            renamed_bytes=totals.renamed.size,
            new_bytes=totals.fresh.size,
            estimated=not totals.fresh.exact,
        )

    @property
    def equal(self) -> bool:
        """Whether no path differs."""
        return not len(self)

    def __len__(self) -> int:
        return self.totals.changes

    def __iter__(self) -> Iterator[Change]:
        for changed in self._changes:
            yield _change(changed)

    def look_into(self, change: Change) -> FileDiff | None:
        """Say how a changed file differs inside, where it is a table or holds tensors.

        Files whose names end in `.csv` or `.tsv` (a `TableDiff`), `.parquet` (the same, needs the extra `tables`) and
        `.safetensors` (a `TensorsDiff`, which measures with the extra `tensors`) are read, side by side and in parts.

        Returns:
            What is inside that differs; None for other changes and other files.

        Raises:
            InvalidContent: One of both is not what its name says.
            MissingExtra: A library that it takes is not installed.
            SourceChanged: A local file is not what was compared any more.
            Damaged: A chunk can't be read.
        """
        before, after = change.before, change.after
        if change.status != "changed" or before is None or after is None:
            return None
        if before.kind != "file" or after.kind != "file" or before.digest == after.digest:
            return None
        return self._look(change)

    def _repr_html_(self) -> str:
        """What a notebook shows of it: the first changes, and how many there are."""
        rows = [
            (
                change.status,
                change.path
                if change.status != "renamed" or change.before is None
                else f"{change.before.path} → {change.path}",
                "" if change.before is None else bytes_text(change.before.size_bytes),
                "" if change.after is None else bytes_text(change.after.size_bytes),
                bytes_text(change.new_bytes),
            )
            for change in islice(self, _SHOWN_MAX)
        ]
        headings = ("", "path", "was", "is", "new")
        title = f"{self.name_before} → {self.name_after}"
        return listing(title, headings, rows, more=len(self) - len(rows))

    def __repr__(self) -> str:
        count = self.totals
        return (
            f"<VersionDiff {self.name_before} {self.name_after}: {count.added} added, {count.removed} removed,"
            f" {count.changed} changed, {count.renamed} renamed>"
        )


def _change(changed: Changed) -> Change:
    return Change(
        changed.status.value,
        None if changed.before is None else entry_of(changed.before),
        None if changed.after is None else entry_of(changed.after),
        changed.fresh.size,
        not changed.fresh.exact,
    )


def _facts(before: Version, after: Version) -> Iterator[FactChange]:
    for name in ("type", "description"):
        one, other = getattr(before, name), getattr(after, name)
        if one != other:
            yield _fact(name, (), one or None, other or None)
    for name in ("tags", "aliases"):
        one, other = set(getattr(before, name)) - {LATEST}, set(getattr(after, name)) - {LATEST}
        for label in sorted(one ^ other):
            yield _fact(name, (), label if label in one else None, label if label in other else None)
    yield from _metadata((), before.metadata, after.metadata)


def _fact(name: str, key: tuple[str, ...], before: Any, after: Any) -> FactChange:
    status = "added" if before is None else "removed" if after is None else "changed"
    return FactChange(name, key, status, before, after)


def _metadata(
    key: tuple[str, ...], before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[FactChange]:
    """What differs in two JSON objects; lists are compared as a whole, and `1` is not `1.0` or `true`."""
    for name in sorted({**before, **after}):
        below = (*key, name)
        if name not in after:
            yield FactChange("metadata", below, "removed", before[name], None)
        elif name not in before:
            yield FactChange("metadata", below, "added", None, after[name])
        elif isinstance(before[name], dict) and isinstance(after[name], dict):
            yield from _metadata(below, before[name], after[name])
        elif _text(before[name]) != _text(after[name]):
            yield FactChange("metadata", below, "changed", before[name], after[name])


def _text(value: object) -> bytes:
    return msgspec.json.encode(value, order="sorted")
