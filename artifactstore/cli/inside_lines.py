"""The lines in which people read what is inside a changed file: columns of a table, tensors."""

from collections.abc import Iterator, Sequence

import click

from artifactstore.cli.rendering import count_text, printable, size_text
from artifactstore.store import ColumnChange, TableDiff, Tensor, TensorChange, TensorsDiff

_COLOURS = {"added": "green", "removed": "red", "changed": "yellow", "typed": "yellow", "renamed": "cyan"}
_STATUS_WIDTH = 7
_SHOWN = 20


def status_text(status: str, *, coloured: bool) -> str:
    """The word for what happened, as wide as the longest, in its colour on a terminal."""
    text = f"{status:<{_STATUS_WIDTH}}"
    return click.style(text, fg=_COLOURS[status]) if coloured else text


def inside_lines(
    inside: TableDiff | TensorsDiff | str | None, *, coloured: bool, each: bool
) -> Iterator[str]:
    """What is inside a file that differs, or why that can't be said; of much the first, unless `each` is asked for."""
    if inside is None:
        return
    if isinstance(inside, str):
        yield printable(inside)
        return
    head, found = _table(inside) if isinstance(inside, TableDiff) else _tensors(inside)
    yield head
    shown = found if each else found[:_SHOWN]
    for status, text in shown:
        yield f"{status_text(status, coloured=coloured)}  {printable(text)}"
    if len(found) > len(shown):
        yield f"and {len(found) - len(shown):,} more; -v shows all"
    if isinstance(inside, TensorsDiff) and inside.unmeasured:
        yield inside.unmeasured


def _table(table: TableDiff) -> tuple[str, Sequence[tuple[str, str]]]:
    before, after = table.rows_before, table.rows_after
    rows = f"{before:,} rows" if before == after else f"{before:,} -> {after:,} rows"
    aligned = "" if table.aligned else ", which don't lie side by side"
    head = f"{table.format}: {rows}{aligned}; {count_text(table.columns_equal, 'column')} the same"
    return head, [(column.status, _column(column)) for column in table.columns]


def _column(column: ColumnChange) -> str:
    rows = (
        "" if column.rows_changed is None else f", {count_text(column.rows_changed, 'row')} of another value"
    )
    if column.status == "renamed":
        return f"{column.name} (was {column.name_before})"
    if column.status == "typed":
        return f"{column.name}: {column.type_before} -> {column.type_after}{rows}"
    return f"{column.name}: {column.type_after or column.type_before}{rows}"


def _tensors(tensors: TensorsDiff) -> tuple[str, Sequence[tuple[str, str]]]:
    head = f"{tensors.format}: {count_text(tensors.equal, 'tensor')} the same"
    found = [
        ("added" if one is None else "removed" if other is None else "changed", f"{key} of its metadata")
        for key, one, other in tensors.metadata
    ]
    found += [("added", _tensor(one)) for one in tensors.added]
    found += [("removed", _tensor(one)) for one in tensors.removed]
    found += [("changed", _change(one)) for one in tensors.changed]
    return head, found


def _tensor(tensor: Tensor) -> str:
    return f"{tensor.name}: {_kind(tensor)}, {size_text(tensor.size_bytes)}"


def _change(change: TensorChange) -> str:
    before, after = change.before, change.after
    if _kind(before) != _kind(after):
        return f"{change.name}: {_kind(before)} -> {_kind(after)}"
    if change.max_abs is None or change.relative_l2 is None:
        return f"{change.name}: {_kind(after)}, other bytes"
    left_out = (
        f", {count_text(change.not_finite, 'element')} not finite left out" if change.not_finite else ""
    )
    return (
        f"{change.name}: {_kind(after)}, max abs {change.max_abs:.3g},"
        f" relative L2 {change.relative_l2:.3g}{left_out}"
    )


def _kind(tensor: Tensor) -> str:
    return f"{tensor.dtype}[{','.join(map(str, tensor.shape))}]"
