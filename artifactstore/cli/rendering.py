"""How things look on standard output: sizes, times, tables and JSON.

Sizes are decimal (1 kB = 1,000 bytes), as disks and networks are sold, with three significant digits. Text
that came out of a store is passed through `printable`, so that it can't command a terminal.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TextIO

_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")
_SHORT_DIGEST = 12
# C0 and C1 controls: a newline or an escape sequence in a name must not reach the terminal.
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
# Marks that turn or hide the text after them: a name could pretend to be another.
_BIDI = {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F)}
_UNPRINTABLE = {**_CONTROLS, **_BIDI}


def size_text(size_bytes: float) -> str:
    """`1.23 MB`."""
    if size_bytes < 1000:  # noqa: PLR2004 - the unit's own step
        return f"{int(size_bytes)} B"
    value = float(size_bytes)
    for unit in _UNITS:
        value /= 1000
        if value < 999.5 or unit == _UNITS[-1]:  # noqa: PLR2004 - above it, three digits round to 1000
            break
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0  # noqa: PLR2004 - three significant digits
    return f"{value:.{digits}f} {unit}"


def rate_text(bytes_per_s: float) -> str:
    """`210 MB/s`."""
    return f"{size_text(bytes_per_s)}/s"


def count_text(count: int, noun: str) -> str:
    """`1 file`, `1,204 files`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def duration_text(seconds: float) -> str:
    """`0.04 s`, `4.2 s`, `12 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 9.95:  # noqa: PLR2004 - below it tenths matter, and below a second hundredths
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004 - seconds in a minute
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:  # noqa: PLR2004 - minutes in an hour
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min"


def share_text(part: int, whole: int) -> str:
    """`34%`; what is not nothing and not everything never looks like it."""
    if whole <= 0 or part <= 0:
        return "0%"
    percent = 100 * part / whole
    if percent < 1:
        return "<1%"
    return ">99%" if 99 < percent < 100 else f"{percent:.0f}%"  # noqa: PLR2004 - percent


def ratio_text(ratio: float) -> str:
    """`2.31x`."""
    return f"{ratio:.2f}x"


def time_text(time_ns: int) -> str:
    """Local time, to the second; an advisory time out of range is shown as its number."""
    moment = _moment(time_ns)
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S") if moment else f"{time_ns} ns"


def iso_time(time_ns: int) -> str | None:
    """ISO 8601 in UTC with microseconds, for JSON; None where the number is no time of any calendar."""
    moment = _moment(time_ns)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if moment else None


def _moment(time_ns: int) -> datetime | None:
    seconds, rest = divmod(time_ns, 1_000_000_000)
    try:
        return datetime.fromtimestamp(seconds, tz=UTC).replace(microsecond=rest // 1000)
    except (ValueError, OverflowError, OSError):
        return None


def short_digest(digest: str) -> str:
    """The first digits of a digest: enough for a reference."""
    return digest[:_SHORT_DIGEST]


def printable(text: str) -> str:
    """`text` without what would command a terminal."""
    return text.translate(_UNPRINTABLE)


def table(
    header: Sequence[str], rows: Iterable[Sequence[str]], *, right: Iterable[int] = ()
) -> Iterator[str]:
    """Lines of a table as wide as its cells; the columns numbered in `right` are set flush right."""
    cells = [tuple(printable(cell) for cell in row) for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    flush_right = frozenset(right)
    for row in cells:
        yield "  ".join(
            cell.rjust(width) if column in flush_right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()


def fields(pairs: Iterable[tuple[str, str]]) -> Iterator[str]:
    """Lines of `name  value`, values aligned; empty values are left out."""
    kept = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in kept), default=0)
    for name, value in kept:
        yield f"{name.ljust(width)}  {printable(value)}"


def json_text(document: object) -> str:
    """One JSON document, indented."""
    return json.dumps(document, indent=2, default=str)


def json_line(document: object) -> str:
    """One JSON document in a line of its own."""
    return json.dumps(document, default=str) + "\n"


def write_json_listing(out: TextIO, head: Mapping[str, object], name: str, items: Iterable[object]) -> None:
    """Write `{**head, name: [items]}` with one item on a line, holding no more than one in memory."""
    opening = json.dumps(head, default=str)[:-1]
    out.write(f"{opening}{', ' if head else ''}{json.dumps(name)}: [")
    separator = "\n"
    for item in items:
        out.write(f"{separator}{json.dumps(item, default=str)}")
        separator = ",\n"
    out.write("\n]}\n" if separator == ",\n" else "]}\n")
