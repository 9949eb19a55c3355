"""How two Parquet files differ: their schemas, how many rows they have, and in which columns values changed.

It needs pyarrow, the extra `tables`. Schema and number of rows stand in the file's footer; values are read side by
side, some thousand rows at a time.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from artifactstore.comparison.columns import Columns
from artifactstore.comparison.results import TableDiff
from artifactstore.comparison.source import Source, invalid, stream_of
from artifactstore.errors import InvalidContent, MissingExtra

FOOTER_BYTES_MAX: Final = 64 << 20
_MAGIC: Final = b"PAR1"
_TAIL_BYTES: Final = 8
_ROWS_TOGETHER: Final = 16_384
_BUFFER_BYTES: Final = 1 << 20
# Pairs of a column that is gone and one that is new, of one type, whose values are compared.
_PAIRS_MAX: Final = 256


def compare_parquet(before: Source, after: Source) -> TableDiff:
    """Compare two files.

    Raises:
        InvalidContent: One of them is no Parquet file, or can't be read.
        MissingExtra: pyarrow is not installed.
    """
    arrow = _arrow()
    one, other = _opened(arrow, before), _opened(arrow, after)
    try:
        return _compared(arrow, one, other)
    except (arrow.ArrowException, OSError, ValueError, NotImplementedError) as error:
        if isinstance(error, InvalidContent):
            raise
        raise invalid(
            after, f"its values can't be compared with those of {before.name!r}: {error}"
        ) from error


def _compared(arrow: Any, one: Any, other: Any) -> TableDiff:
    types = [_types(file) for file in (one, other)]
    common = [name for name in types[1] if types[0].get(name) == types[1][name]]
    pairs = [
        (gone, come)
        for gone, kind in types[0].items()
        for come, other_kind in types[1].items()
        if gone not in types[1] and come not in types[0] and kind == other_kind
    ][:_PAIRS_MAX]
    changed: dict[str, int | None] = {name: None for name in types[1] if name in types[0]}
    changed.update(dict.fromkeys(common, 0))
    wanted = ([*common, *{gone for gone, _ in pairs}], [*common, *{come for _, come in pairs}])
    rows = [file.metadata.num_rows for file in (one, other)]
    if wanted[0] and min(rows):
        for left, right in _side_by_side(arrow, one, other, wanted):
            for name in common:
                known = changed[name]
                if known is not None:
                    found = _rows_apart(arrow, left.column(name), right.column(name))
                    changed[name] = None if found is None else known + found
            pairs = [pair for pair in pairs if left.column(pair[0]).equals(right.column(pair[1]))]
    renames: dict[str, str] = {}
    for gone, come in pairs if min(rows) else ():
        if gone not in renames and come not in renames.values():
            renames[gone] = come
    return Columns(types[0], types[1], renames, changed, rows[0] == rows[1]).table("parquet", *rows)


def _side_by_side(
    arrow: Any, one: Any, other: Any, wanted: tuple[Sequence[str], Sequence[str]]
) -> Iterator[tuple[Any, Any]]:
    """As many rows of both files at a time, as long as both have some."""
    files = (one, other)
    batches = [
        file.iter_batches(batch_size=_ROWS_TOGETHER, columns=list(columns), use_threads=False)
        for file, columns in zip(files, wanted, strict=True)
    ]
    held: list[Any] = [None, None]
    while True:
        for side in range(2):
            while held[side] is None or not held[side].num_rows:
                batch = next(batches[side], None)
                if batch is None:
                    return
                held[side] = arrow.Table.from_batches([batch])
        count = min(table.num_rows for table in held)
        yield held[0].slice(0, count), held[1].slice(0, count)
        held = [table.slice(count) for table in held]


def _rows_apart(arrow: Any, left: Any, right: Any) -> int | None:
    """Rows in which two columns differ; None where values of their type have no order."""
    from pyarrow import compute

    if left.equals(right):
        return 0
    kind = left.type
    if arrow.types.is_dictionary(kind):
        left, right = left.cast(kind.value_type), right.cast(kind.value_type)
    try:
        apart = compute.not_equal(left, right)
    except arrow.ArrowNotImplementedError:
        return None
    if arrow.types.is_floating(kind):
        both = compute.and_(compute.is_nan(left), compute.is_nan(right))
        apart = compute.and_not(apart, both)
    # Where a value is missing nothing is said of it: it differs where the other one is there.
    missing = compute.xor(compute.is_null(left), compute.is_null(right))
    found = compute.or_(compute.fill_null(apart, fill_value=False), missing)
    total: int = compute.sum(found).as_py() or 0
    return total


def _types(file: Any) -> dict[str, str]:
    """Type of each column, by name; the second of one name is left out."""
    found: dict[str, str] = {}
    for field in file.schema_arrow:
        found.setdefault(field.name, str(field.type) + ("" if field.nullable else " not null"))
    return found


def _opened(arrow: Any, source: Source) -> Any:
    """Open a file whose footer is not longer than it may be."""
    from pyarrow import parquet

    tail = source.read_at(source.size - _TAIL_BYTES, _TAIL_BYTES) if source.size >= 2 * _TAIL_BYTES else b""
    length = int.from_bytes(tail[:4], "little")
    if tail[4:] != _MAGIC or length > source.size - _TAIL_BYTES:
        raise invalid(source, "it is no Parquet file")
    if length > FOOTER_BYTES_MAX:
        raise invalid(source, f"its footer of {length} bytes is longer than {FOOTER_BYTES_MAX}")
    try:
        return parquet.ParquetFile(
            stream_of(source),
            buffer_size=_BUFFER_BYTES,
            pre_buffer=False,
            thrift_string_size_limit=FOOTER_BYTES_MAX,
            thrift_container_size_limit=FOOTER_BYTES_MAX,
        )
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise invalid(source, f"it is no Parquet file: {error}") from error


def _arrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError as error:
        raise MissingExtra(
            "comparing Parquet files needs pyarrow",
            next_step="pip install 'artifactstore[tables]'",
            extra="tables",
        ) from error
    return pa
