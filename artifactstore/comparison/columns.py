"""Columns of two tables side by side: what is new, gone, renamed, of another type, or of other values."""

from collections.abc import Mapping
from typing import NamedTuple

from artifactstore.comparison.results import ColumnChange, TableDiff


class Columns(NamedTuple):
    """What is known of the columns of two tables.

    Attributes:
        before: Type of each column of the first, in its order.
        after: Type of each column of the second.
        renames: Name after by name before, of columns with equal values.
        changed: Of columns that both have, rows in which they differ; None where values can't be compared.
        as_many: Whether both tables have as many rows.
    """

    before: Mapping[str, str]
    after: Mapping[str, str]
    renames: Mapping[str, str]
    changed: Mapping[str, int | None]
    as_many: bool

    def table(self, format_name: str, rows_before: int, rows_after: int) -> TableDiff:
        """How the tables differ."""
        aligned = self.as_many or not any(self.changed.values())
        changes = [
            ColumnChange(name, "added", type_after=kind)
            for name, kind in self.after.items()
            if name not in self.before and name not in self.renames.values()
        ]
        changes += [
            ColumnChange(name, "removed", type_before=kind)
            for name, kind in self.before.items()
            if name not in self.after and name not in self.renames
        ]
        changes += [
            ColumnChange(new, "renamed", old, self.before[old], self.after[new], 0)
            for old, new in self.renames.items()
        ]
        equal = 0
        for name, kind in self.after.items():
            if name not in self.before:
                continue
            rows = self.changed[name]
            if self.before[name] != kind:
                status = "typed"
            elif rows != 0:
                status = "changed"
            else:
                equal += 1
                continue
            changes.append(
                ColumnChange(name, status, None, self.before[name], kind, rows if aligned else None)
            )
        return TableDiff(format_name, rows_before, rows_after, tuple(changes), equal, aligned)


def paired_columns(before: Mapping[str, object], after: Mapping[str, object]) -> dict[str, str]:
    """Columns that are gone and columns that are new with the same values, each once, in their order.

    Args:
        before: Of each that is gone, what stands for its values.
        after: Of each that is new, likewise.
    """
    waiting: dict[object, list[str]] = {}
    for name, values in after.items():
        waiting.setdefault(values, []).append(name)
    return {name: waiting[values].pop(0) for name, values in before.items() if waiting.get(values)}
