"""How two CSV files differ: their columns, how many rows they have, and in which columns values changed.

Both are read once, side by side, a row at a time. The first row names the columns; the separator is the one of comma,
tab, semicolon and bar that the first line holds most often. What can't be a table, or has longer rows than it may, is
refused.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import zip_longest
from typing import Final

from blake3 import blake3

from artifactstore.comparison.columns import Columns, paired_columns
from artifactstore.comparison.results import TableDiff
from artifactstore.comparison.source import Source, invalid, stream_of

_SEPARATORS: Final = ",\t;|"
_ROW_CHARACTERS_MAX: Final = 4 << 20
_COLUMNS_MAX: Final = 16_384
_HASHED_TOGETHER: Final = 1024
_TYPES: Final = ("empty", "integer", "number", "text")


def compare_csv(before: Source, after: Source) -> TableDiff:
    """Compare two files.

    Raises:
        InvalidContent: One of them is no table.
    """
    one, other = _Table(before), _Table(after)
    common = [(one.names[name], at) for name, at in other.names.items() if name in one.names]
    changed = [0] * len(common)
    apart = (
        _Digests([at for name, at in one.names.items() if name not in other.names]),
        _Digests([at for name, at in other.names.items() if name not in one.names]),
    )
    for left, right in zip_longest(one.rows(), other.rows()):
        if left is None or right is None:
            continue
        if left != right or one.header != other.header:
            for number, (here, there) in enumerate(common):
                if _cell(left, here) != _cell(right, there):
                    changed[number] += 1
        apart[0].take(left)
        apart[1].take(right)
    types = (one.types(), other.types())
    digests = (
        {one.header[at]: digest for at, digest in apart[0].finish().items()},
        {other.header[at]: digest for at, digest in apart[1].finish().items()},
    )
    shared = min(one.count, other.count)
    renames = paired_columns(*digests) if shared else {}
    counts = {other.header[there]: changed[number] for number, (_, there) in enumerate(common)}
    columns = Columns(types[0], types[1], renames, counts, one.count == other.count)
    return columns.table("csv", one.count, other.count)


class _Table:
    """One file: its header, and its rows as they are read."""

    def __init__(self, source: Source) -> None:
        self._source = source
        stream = io.TextIOWrapper(
            stream_of(source), encoding="utf-8-sig", errors="surrogateescape", newline=""
        )
        self._lines = _Lines(source, stream)
        first = self._lines.first
        separator = max(_SEPARATORS, key=first.count)
        self._reader = csv.reader(self._lines, delimiter=separator)
        self.count = 0
        self.header = _unique(self._next() or [])
        if len(self.header) > _COLUMNS_MAX:
            raise invalid(source, f"it has more than {_COLUMNS_MAX} columns")
        self.names = {name: at for at, name in enumerate(self.header)}
        self._types = [0] * len(self.header)

    def rows(self) -> Iterator[list[str]]:
        """Its rows; blank lines are none."""
        while (row := self._next()) is not None:
            self.count += 1
            for at, text in enumerate(row[: len(self._types)]):
                if self._types[at] < len(_TYPES) - 1:
                    self._types[at] = max(self._types[at], _type_of(text))
            yield row

    def types(self) -> dict[str, str]:
        """What the values of each column look like, once all rows were read."""
        return {name: _TYPES[self._types[at]] for name, at in self.names.items()}

    def _next(self) -> list[str] | None:
        try:
            for row in self._reader:
                self._lines.characters = 0
                if row:
                    return row
        except csv.Error as error:
            raise invalid(self._source, f"line {self._reader.line_num}: {error}") from error
        return None


class _Lines:
    """Lines of a text, of which none, and no row of several, is longer than it may be."""

    def __init__(self, source: Source, stream: io.TextIOWrapper) -> None:
        self._source = source
        self._stream = stream
        self.characters = 0
        self.first = self._line()
        self._begun = False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._line() if self._begun else self.first
        self._begun = True
        if not line:
            raise StopIteration
        return line

    def _line(self) -> str:
        line = self._stream.readline(_ROW_CHARACTERS_MAX + 1)
        self.characters += len(line)
        if self.characters > _ROW_CHARACTERS_MAX:
            raise invalid(self._source, f"a row is longer than {_ROW_CHARACTERS_MAX} characters")
        return line


class _Digests:
    """Digests of some columns, to find those of equal values under another name."""

    def __init__(self, columns: Sequence[int]) -> None:
        self._columns = {at: blake3() for at in columns}
        self._rows: list[list[str]] = []

    def take(self, row: list[str]) -> None:
        """Take in the next row."""
        if self._columns:
            self._rows.append(row)
            if len(self._rows) >= _HASHED_TOGETHER:
                self._hash()

    def finish(self) -> dict[int, bytes]:
        """The digest of each column, by its place."""
        self._hash()
        return {at: hasher.digest() for at, hasher in self._columns.items()}

    def _hash(self) -> None:
        for at, hasher in self._columns.items():
            cells = [_cell(row, at) for row in self._rows]
            lengths = ",".join(str(len(cell)) for cell in cells)
            hasher.update(f"{lengths}\n{''.join(cells)}".encode(errors="surrogatepass"))
        self._rows = []


def _cell(row: Sequence[str], at: int) -> str:
    """A value; what a short row lacks is empty."""
    return row[at] if at < len(row) else ""


def _unique(names: Sequence[str]) -> list[str]:
    """Names of columns, the second of one name with its number behind it."""
    seen: Counter[str] = Counter()
    found: list[str] = []
    for name in names:
        seen[name] += 1
        found.append(name if seen[name] == 1 else f"{name} #{seen[name]}")
    return found


def _type_of(text: str) -> int:
    """The place in `_TYPES` of what a value looks like."""
    text = text.strip()
    if not text:
        return 0
    if "_" in text:
        # Python's numbers may hold it, nobody else's.
        return 3
    with suppress(ValueError):
        int(text)
        return 1
    with suppress(ValueError):
        float(text)
        return 2
    return 3
