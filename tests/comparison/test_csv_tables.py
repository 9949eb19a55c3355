"""Two CSV files: columns, rows, and in which columns values changed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.comparison import csv_tables
from artifactstore.comparison.csv_tables import compare_csv
from artifactstore.comparison.results import ColumnChange, TableDiff
from artifactstore.errors import InvalidContent
from tests.comparison.sources import Bytes


def compared(before: str | bytes, after: str | bytes) -> TableDiff:
    return compare_csv(
        *(Bytes(text if isinstance(text, bytes) else text.encode()) for text in (before, after))
    )


def test_columns_and_rows() -> None:
    """Added, removed, renamed by its values, of another type, and changed in some rows; in any order."""
    before = "id,name,size,old,gone,kept\n1,a,1,x,1,k\n2,b,2,y,1,k\n3,c,3,z,1,k\n"
    after = "id,size,name,new,come,kept\n1,1.5,a,x,9,k\n2,2,B,y,9,k\n3,3,c,z,9,k\n"
    assert compared(before, after) == TableDiff(
        "csv", 3, 3,
        (
            ColumnChange("come", "added", type_after="integer"),
            ColumnChange("gone", "removed", type_before="integer"),
            ColumnChange("new", "renamed", "old", "text", "text", 0),
            ColumnChange("size", "typed", None, "integer", "number", 1),
            ColumnChange("name", "changed", None, "text", "text", 1),
        ),
        2, aligned=True,
    )  # fmt: skip


def test_rows_at_the_end_leave_the_others_beside_each_other() -> None:
    """A table that grew has equal columns; one with a row before the others can't be held against it row by row."""
    grown = compared("a,b\n1,2\n3,4\n", "a,b\n1,2\n3,4\n5,6\n")
    assert (grown.rows_before, grown.rows_after, grown.columns, grown.columns_equal) == (2, 3, (), 2)
    assert grown.aligned
    moved = compared("a,b\n1,2\n3,2\n", "a,b\n0,2\n1,2\n3,2\n")
    assert not moved.aligned
    assert moved.columns == (ColumnChange("a", "changed", None, "integer", "integer", None),)


@pytest.mark.parametrize("separator", ["\t", ";", "|", ","])
def test_separators(separator: str) -> None:
    """The one that the header has most often."""
    found = compared("a,b,c\n1,2,3\n".replace(",", separator), "a,b,c\n1,2,4\n".replace(",", separator))
    assert [column.name for column in found.columns] == ["c"]


def test_what_tables_really_look_like() -> None:
    """Quoted separators and line ends, a byte order mark, blank lines, short and long rows, CRLF, names twice."""
    before = 'a,b,a\r\n"x, y","line 1\nline 2",1\r\n\r\nshort\r\n'
    after = '\ufeffa,b,a\n"x, y","line 1\nline 3",1\nshort,,,,extra\n'
    found = compared(before, after)
    assert (found.rows_before, found.rows_after, found.columns_equal) == (2, 2, 2)
    assert found.columns == (ColumnChange("b", "changed", None, "text", "text", 1),)
    assert compared(b"a,b\n\xff,1\n", b"a,b\n\xfe,1\n").columns[0].rows_changed == 1
    assert compared("a\n1_0\n", "a\n10\n").columns[0].type_before == "text"


def test_empty_files_have_no_columns() -> None:
    """And files with a header only no rows, so that nothing says which column was renamed."""
    assert compared("", "") == TableDiff("csv", 0, 0, (), 0, aligned=True)
    assert [column.status for column in compared("a\n", "b\n").columns] == ["added", "removed"]
    assert compared("", "a,b\n1,2\n").columns[0] == ColumnChange("a", "added", type_after="integer")


def test_what_is_longer_than_a_row_may_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line without an end, a row of many lines, too many columns, a field beyond bounds."""
    monkeypatch.setattr(csv_tables, "_ROW_CHARACTERS_MAX", 1000)
    monkeypatch.setattr(csv_tables, "_COLUMNS_MAX", 400)
    good = "a,b\n1,2\n"
    for bad, why in (
        ("x" * 2000, "a row is longer"),
        ("a,b\n" + "1" * 1001 + "\n", "a row is longer"),
        ('a,b\n"1' + '\n","1' * 500, "a row is longer"),
        ("," * 400 + "\n", "columns"),
    ):
        with pytest.raises(InvalidContent, match=why):
            compared(good, bad)
        with pytest.raises(InvalidContent, match=why):
            compared(bad, good)
    assert compared(good, "a,b\n" + "1,2\n" * 1000).rows_after == 1000
    monkeypatch.undo()
    with pytest.raises(InvalidContent, match="line 2"):
        compared(good, "a,b\n" + "x" * 200_000 + ",2\n")


def test_a_long_table_is_read_in_parts() -> None:
    """And each once."""
    text = b"a,b\n" + b"".join(b"%d,%d\n" % (row, row * 2) for row in range(300_000))
    sources = Bytes(text), Bytes(text.replace(b"\n299999,", b"\n999999,"))
    found = compare_csv(*sources)
    assert found.columns == (ColumnChange("a", "changed", None, "integer", "integer", 1),)
    assert max(source.largest for source in sources) <= 1 << 20
    assert [source.read for source in sources] == [source.size for source in sources]


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_any_bytes_are_a_table_or_refused(before: bytes, after: bytes) -> None:
    """Nothing but our own error comes out, and the same from both sides."""
    try:
        found = compared(before, after)
    except InvalidContent:
        return
    other = compared(after, before)
    assert (other.rows_before, other.rows_after) == (found.rows_after, found.rows_before)
    assert other.columns_equal == found.columns_equal
