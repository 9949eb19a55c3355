"""Sizes, times, tables and JSON look as people read them, and nothing commands a terminal."""

import io
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.cli.rendering import (
    count_text,
    duration_text,
    fields,
    iso_time,
    json_text,
    printable,
    rate_text,
    ratio_text,
    share_text,
    short_digest,
    size_text,
    table,
    time_text,
    write_json_listing,
)

MOMENT_NS = 1_767_621_802_123_456_789


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"), (999, "999 B"), (1000, "1.00 kB"), (1234, "1.23 kB"), (12_340, "12.3 kB"),
        (123_400, "123 kB"), (999_499, "999 kB"),
        (999_500, "1.00 MB"), (9_994_999, "9.99 MB"), (9_995_000, "10.0 MB"),
        (5_000_000_000, "5.00 GB"), (10**15, "1.00 PB"), (10**22, "10000 EB"),
    ],
)  # fmt: skip
def test_sizes(size: int, text: str) -> None:
    """Three significant digits, and the next unit where they would round to a thousand."""
    assert size_text(size) == text


@given(st.integers(0, 10**20))
def test_sizes_are_near_the_truth(size: int) -> None:
    """What is printed is within half a percent of the size."""
    number, unit = size_text(size).split()
    factor = 1000 ** ["B", "kB", "MB", "GB", "TB", "PB", "EB"].index(unit)
    assert float(number) * factor == pytest.approx(size, rel=0.0051)


def test_rates_counts_and_ratios() -> None:
    """The small words around numbers."""
    assert rate_text(210e6) == "210 MB/s"
    assert count_text(1, "file") == "1 file"
    assert count_text(1204, "file") == "1,204 files"
    assert ratio_text(2.306) == "2.31x"
    assert short_digest("0123456789abcdef") == "0123456789ab"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.04 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (12.4, "12 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    """Tenths for what is short, minutes and hours for what is long."""
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [(0, 0, "0%"), (0, 5, "0%"), (1, 1000, "<1%"), (34, 100, "34%"), (999, 1000, ">99%"), (5, 5, "100%")],
)
def test_shares(part: int, whole: int, text: str) -> None:
    """A share that is not nothing or everything never looks like it."""
    assert share_text(part, whole) == text


def test_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Local time for people, UTC with microseconds for programs."""
    monkeypatch.setenv("TZ", "UTC-02")
    time.tzset()
    try:
        assert time_text(MOMENT_NS) == "2026-01-05 16:03:22"
    finally:
        monkeypatch.undo()
        time.tzset()
    assert iso_time(MOMENT_NS) == "2026-01-05T14:03:22.123456Z"
    assert iso_time(0) == "1970-01-01T00:00:00.000000Z"


@given(st.integers(-(1 << 63), (1 << 64) - 1))
def test_any_advisory_time_can_be_shown(time_ns: int) -> None:
    """A record's time is whatever its writer wrote; no number breaks a listing."""
    assert time_text(time_ns)
    assert iso_time(time_ns) is None or str(iso_time(time_ns)).endswith("Z")


def test_a_time_of_no_calendar() -> None:
    """Beyond the years that a calendar has, the number is shown."""
    assert time_text(1 << 70) == f"{1 << 70} ns"
    assert iso_time(1 << 70) is None


def test_printable_takes_commands_away() -> None:
    """Escape sequences, newlines and marks of direction are spelled out; letters of any script stay."""
    assert printable("a\x1b[2Jb\nc\x9b\u202ed\u2066") == r"a\x1b[2Jb\x0ac\x9b\u202ed\u2066"
    assert printable("naïve 日本 \U0001f600") == "naïve 日本 \U0001f600"


@given(st.text())
def test_printable_text_is_one_harmless_line(text: str) -> None:
    """Nothing below a blank is left."""
    shown = printable(text)
    assert [letter for letter in shown if ord(letter) < 0x20 or 0x7F <= ord(letter) < 0xA0] == []


def test_tables_align() -> None:
    """Columns are as wide as their widest cell, numbers flush right, and no line ends in blanks."""
    lines = list(table(("name", "size", "x"), [("a", "1 B", ""), ("longer", "100 B", "y\n")], right=(1,)))
    assert lines == ["name     size  x", "a         1 B", r"longer  100 B  y\x0a"]


def test_an_empty_table_is_its_header() -> None:
    """Nothing to list is still a list."""
    assert list(table(("name",), [])) == ["name"]


def test_fields_leave_out_what_is_empty() -> None:
    """Names are padded, empty values are not shown."""
    assert list(fields((("a", "1"), ("none", ""), ("long", "2")))) == ["a     1", "long  2"]
    assert list(fields(())) == []


@given(st.lists(st.dictionaries(st.text(), st.integers() | st.text())), st.dictionaries(st.text(), st.text()))
def test_listings_are_json(items: list[object], head: dict[str, str]) -> None:
    """A listing written item by item is the document that it would be at once."""
    out = io.StringIO()
    write_json_listing(out, head, "items", iter(items))
    assert json.loads(out.getvalue()) == head | {"items": items}
    assert json.loads(json_text(head)) == head
