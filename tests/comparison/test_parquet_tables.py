"""Two Parquet files, written by pyarrow: schemas, rows, and in which columns values changed."""

import io
import sys

import pytest

from artifactstore.comparison import parquet_tables
from artifactstore.comparison.parquet_tables import compare_parquet
from artifactstore.comparison.results import ColumnChange
from artifactstore.errors import InvalidContent, MissingExtra
from tests.comparison.sources import Bytes


def test_without_pyarrow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is in the files."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtra) as caught:
        compare_parquet(Bytes(b""), Bytes(b""))
    assert "artifactstore[tables]" in caught.value.next_step


# The wheel of pyarrow is large: where it is not installed, only the above is tested.
pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")


def written(table, **options) -> Bytes:
    out = io.BytesIO()
    parquet.write_table(table, out, **options)
    return Bytes(out.getvalue())


def test_columns_and_rows() -> None:
    """Added, removed, renamed by its values, of another type, and changed in some rows, nulls and NaN told apart."""
    nan = float("nan")
    before = pa.table(
        {
            "id": [1, 2, 3], "old": ["x", "y", "z"], "gone": [1, 1, 1], "size": [1, 2, 3],
            "score": [1.0, nan, None], "kept": [[1], None, [2]], "tag": pa.array(["a", "b", "c"]).dictionary_encode(),
        }
    )  # fmt: skip
    after = pa.table(
        {
            "id": [1, 2, 3], "new": ["x", "y", "z"], "come": [True] * 3, "size": [1.0, 2.0, 3.0],
            "score": [1.0, nan, 2.0], "kept": [[1], None, [2]], "tag": pa.array(["a", "x", "c"]).dictionary_encode(),
        }
    )  # fmt: skip
    found = compare_parquet(written(before), written(after))
    assert (found.format, found.rows_before, found.rows_after, found.aligned) == ("parquet", 3, 3, True)
    assert found.columns == (
        ColumnChange("come", "added", type_after="bool"),
        ColumnChange("gone", "removed", type_before="int64"),
        ColumnChange("new", "renamed", "old", "string", "string", 0),
        ColumnChange("size", "typed", None, "int64", "double", None),
        ColumnChange("score", "changed", None, "double", "double", 1),
        ColumnChange("tag", "changed", None, *["dictionary<values=string, indices=int32, ordered=0>"] * 2, 1),
    )
    assert found.columns_equal == 2


def test_row_groups_need_not_be_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows are held against each other wherever groups end; a table that grew at its end is aligned."""
    monkeypatch.setattr(parquet_tables, "_ROWS_TOGETHER", 700)
    numbers = list(range(10_000))
    one = written(pa.table({"a": numbers, "b": numbers}), row_group_size=1000)
    changed = [number + (number % 100 == 0) for number in numbers]
    other = written(pa.table({"a": numbers, "b": changed}), row_group_size=3333)
    assert compare_parquet(one, other).columns == (ColumnChange("b", "changed", None, "int64", "int64", 100),)
    grown = written(pa.table({"a": [*numbers, 1], "b": [*numbers, 1]}))
    found = compare_parquet(one, grown)
    assert (found.rows_after, found.columns, found.aligned) == (10_001, (), True)
    moved = compare_parquet(one, written(pa.table({"a": [1, *numbers], "b": [1, *numbers]})))
    assert (moved.aligned, moved.columns[0].rows_changed) == (False, None)


def test_values_without_an_order_are_only_told_apart() -> None:
    """Of lists and structs no rows are counted."""
    one, other = (written(pa.table({"a": [[1], [value]]})) for value in (2, 3))
    (column,) = compare_parquet(one, other).columns
    assert (column.status, column.rows_changed) == ("changed", None)
    assert compare_parquet(one, one).columns == ()


def test_what_is_no_parquet_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Too short, without the mark, with a footer that is longer than the file, than the bound, or that is noise."""
    good = written(pa.table({"a": [1, 2]}))
    footer = int.from_bytes(good.data[-8:-4], "little")
    bad = [
        b"", b"PAR1", good.data[:-1], good.data[:-8] + (1 << 30).to_bytes(4, "little") + b"PAR1",
        good.data[: -8 - footer] + b"\xff" * footer + good.data[-8:],
    ]  # fmt: skip
    for data in bad:
        for pair in (good, Bytes(data)), (Bytes(data), good):
            with pytest.raises(InvalidContent):
                compare_parquet(*pair)
    hurt = bytearray(good.data)
    hurt[4:40] = bytes(36)
    with pytest.raises(InvalidContent):
        compare_parquet(good, Bytes(bytes(hurt)))
    monkeypatch.setattr(parquet_tables, "FOOTER_BYTES_MAX", 10)
    with pytest.raises(InvalidContent, match="longer than 10"):
        compare_parquet(good, good)
