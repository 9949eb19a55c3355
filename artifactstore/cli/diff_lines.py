"""The lines in which people read how versions differ."""

from collections.abc import Callable, Iterator

from artifactstore.cli.diff_shapes import folder_counts
from artifactstore.cli.inside_lines import inside_lines, status_text
from artifactstore.cli.rendering import count_text, json_line, printable, size_text, table
from artifactstore.store import Change, Entry, FactChange, TableDiff, TensorsDiff, VersionDiff

_STATUSES = ("added", "removed", "changed", "renamed")
_STATUS_WIDTH = 7
_SIZE_WIDTH = 8
_FOLDERS_SHOWN = 50
_INDENT = " " * (_STATUS_WIDTH + _SIZE_WIDTH + 4)


def head_lines(diff: VersionDiff, *, coloured: bool) -> Iterator[str]:
    """What is compared, and what is said of the two and differs."""
    yield f"{printable(diff.name_before)} -> {printable(diff.name_after)}"
    for fact in diff.facts:
        yield f"{status_text(fact.status, coloured=coloured)}  {_fact_text(fact)}"


def change_lines(
    diff: VersionDiff,
    *,
    coloured: bool,
    each: bool,
    look: Callable[[Change], TableDiff | TensorsDiff | str | None] | None = None,
) -> Iterator[str]:
    """A line for each change; a folder that was renamed is one, unless `each` file is asked for.

    Args:
        diff: What to tell.
        coloured: Whether the first word has a colour.
        each: Whether to name each renamed file.
        look: Says what is inside a changed file, or why that can't be said; None to look into none.
    """
    folders = {} if each else {(one.before, one.after): one.files for one in diff.renamed_folders}
    told: set[tuple[str, str]] = set()
    for change in diff:
        status = status_text(change.status, coloured=coloured)
        pair = change.folders
        if pair is None or pair not in folders or _mode(change):
            yield f"{status}  {_change_text(change)}"
            inside = None if look is None else look(change)
            yield from (f"{_INDENT}{line}" for line in inside_lines(inside, coloured=coloured, each=each))
        elif pair not in told:
            told.add(pair)
            before, after = (printable(name or "./") for name in pair)
            yield f"{status}  {'':{_SIZE_WIDTH}}  {before} -> {after} ({count_text(folders[pair], 'file')})"


def stat_lines(diff: VersionDiff) -> Iterator[str]:
    """Changes, counted by the first folder of their paths."""
    counts = folder_counts(diff)
    if not counts:
        return
    yield from table(
        ("folder", "added", "removed", "changed", "renamed", "new"),
        [
            (
                name or ".",
                *(f"{each.counts[status]:,}" if each.counts[status] else "" for status in _STATUSES),
                size_text(each.new_bytes),
            )
            for name, each in list(counts.items())[:_FOLDERS_SHOWN]
        ],
        right=range(1, 6),
    )
    if len(counts) > _FOLDERS_SHOWN:
        yield f"and {len(counts) - _FOLDERS_SHOWN:,} more folders"


def total_lines(diff: VersionDiff) -> Iterator[str]:
    """All changes in one line."""
    totals = diff.totals
    if diff.equal:
        yield "no path differs"
        return
    parts = (
        (totals.added, f"added ({size_text(totals.added_bytes)})"),
        (totals.removed, f"removed ({size_text(totals.removed_bytes)})"),
        (
            totals.changed,
            f"changed ({size_text(totals.changed_bytes)}, was {size_text(totals.changed_bytes_before)})",
        ),
        (totals.renamed, f"renamed ({size_text(totals.renamed_bytes)})"),
    )
    about = "about " if totals.estimated else ""
    said = ", ".join(f"{count:,} {words}" for count, words in parts if count)
    yield f"{said}; {about}{size_text(totals.new_bytes)} new"


def _change_text(change: Change) -> str:
    entry = change.after or change.before
    assert entry is not None
    name = printable(entry.path) + _mark(entry)
    notes = list(_notes(change))
    return f"{size_text(entry.size_bytes):>{_SIZE_WIDTH}}  {name}" + (
        f" ({', '.join(notes)})" if notes else ""
    )


def _notes(change: Change) -> Iterator[str]:
    before, after = change.before, change.after
    if before is None or after is None:
        return
    if change.status == "renamed":
        yield f"was {printable(before.path)}"
    elif before.kind != after.kind:
        yield f"was a {before.kind}"
    elif (pointed := _points_to(before)) and before.digest != after.digest:
        yield f"was -> {printable(pointed)}"
    elif before.digest != after.digest:
        if before.size_bytes != after.size_bytes:
            yield f"was {size_text(before.size_bytes)}"
        yield f"{'about ' if change.estimated else ''}{size_text(change.new_bytes)} new"
    if mode := _mode(change):
        yield mode


def _mode(change: Change) -> str:
    before, after = change.before, change.after
    if before is None or after is None or before.executable == after.executable:
        return ""
    return "now executable" if after.executable else "no longer executable"


def _points_to(entry: Entry) -> str:
    """Of a symlink its target, of a reference where its bytes lie."""
    return entry.target or ("" if entry.reference is None else entry.reference.url)


def _mark(entry: Entry) -> str:
    if pointed := _points_to(entry):
        return f" -> {printable(pointed)}"
    return "/" if entry.kind == "folder" else ""


def _fact_text(fact: FactChange) -> str:
    name = " ".join((fact.name, ".".join(fact.key))).strip()
    values = [_value(value) for value in (fact.before, fact.after)]
    said = {"added": values[1], "removed": values[0]}.get(fact.status, " -> ".join(values))
    return printable(f"{name}: {said}")


def _value(value: object) -> str:
    return value if isinstance(value, str) and value else json_line(value).rstrip()
