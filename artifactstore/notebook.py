"""Small tables in HTML for notebooks: whatever is shown is escaped and bounded, and nothing is loaded from anywhere."""

from collections.abc import Iterable, Sequence
from typing import Final

_TEXT_MAX: Final = 300
_UNITS: Final = ("kB", "MB", "GB", "TB", "PB")
_STEP: Final = 1000
_TABLE: Final = '<table style="text-align:left">'
_CELL: Final = '<td style="text-align:left">'


def facts(title: str, rows: Iterable[tuple[str, object]]) -> str:
    """A title, and a table of names and what they are; rows without anything are left out."""
    body = "".join(
        f'<tr><th style="text-align:left">{_shown(name)}</th>{_CELL}{_shown(value)}</td></tr>'
        for name, value in rows
        if value not in {None, ""}
    )
    return f"<div><b>{_shown(title)}</b>{_TABLE}{body}</table></div>"


def listing(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]], *, more: int = 0) -> str:
    """A title, and a table with headings.

    Args:
        title: Above it.
        headings: Of the columns.
        rows: What is in it.
        more: How many rows were left out, which is then said.
    """
    head = "".join(f'<th style="text-align:left">{_shown(one)}</th>' for one in headings)
    body = "".join("<tr>" + "".join(f"{_CELL}{_shown(one)}</td>" for one in row) + "</tr>" for row in rows)
    rest = f'<tr><td colspan="{len(headings)}">and {more:,} more</td></tr>' if more else ""
    return f"<div><b>{_shown(title)}</b>{_TABLE}<tr>{head}</tr>{body}{rest}</table></div>"


def bytes_text(size_bytes: float) -> str:
    """`1.2 MB`."""
    if size_bytes < _STEP:
        return f"{int(size_bytes)} B"
    for unit in _UNITS:
        size_bytes /= _STEP
        if size_bytes < _STEP or unit == _UNITS[-1]:
            break
    return f"{size_bytes:.1f} {unit}"


def _shown(value: object) -> str:
    text = str(value)
    if len(text) > _TEXT_MAX:
        text = text[: _TEXT_MAX - 1] + "…"
    from html import escape  # noqa: PLC0415 - outside of notebooks nobody needs it

    return escape("".join(one if one.isprintable() else " " for one in text))
