"""Index segments and the fan-out: round trip, and no row that points outside a pack gets through."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.errors import Damaged
from artifactstore.format.coding import encode
from artifactstore.format.limits import SEGMENT_ROWS_MAX
from artifactstore.format.segment import (
    ROW,
    ROW_TAIL,
    Location,
    decode_fan_out,
    decode_segment,
    encode_fan_out,
    encode_segment,
    split_rows,
)
from tests.format.damage import HOSTILE, damaged, refused_or_read

names = st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=3, unique=True)
GOOD = Location(pack=0, ordinal=3, offset=48, length=116, raw_length=200, codec=1, start=50, span=150)


@st.composite
def rows_for(draw: st.DrawFn, packs: int) -> list[bytes]:
    found = []
    for prefix in draw(st.lists(st.binary(min_size=16, max_size=16), min_size=1, max_size=6)):
        raw_length = draw(st.integers(1, 4 << 20))
        start = draw(st.integers(0, raw_length - 1))
        offset, length = draw(st.integers(48, 60 << 20)), draw(st.integers(16, 4 << 20))
        span = draw(st.integers(1, raw_length - start))
        pack, ordinal = draw(st.integers(0, packs - 1)), draw(st.integers(0, 2**20 - 1))
        found.append(ROW.pack(prefix, pack, ordinal, offset, length, raw_length, 1, start, span))
    return sorted(found)


segments = names.flatmap(lambda packs: st.tuples(st.just(packs), rows_for(len(packs))))


@given(segments)
def test_round_trip(made: tuple[list[bytes], list[bytes]]) -> None:
    """Packs and rows come back."""
    packs, rows = made
    segment = decode_segment(encode_segment(packs, rows), "here")
    assert (segment.packs, segment.rows) == (packs, b"".join(rows))


@given(segments, st.data())
def test_damage_is_refused_or_read(made: tuple[list[bytes], list[bytes]], drawn: st.DataObject) -> None:
    """Damaged bytes are refused, or are rows that keep every bound."""
    for bad in damaged(encode_segment(*made), drawn):
        refused_or_read(lambda data: decode_segment(data, "here"), bad)
        refused_or_read(lambda data: decode_fan_out(data, "here"), bad)


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_bytes(data: bytes) -> None:
    """Declared lengths, nesting and bad text are refused without taking memory for them."""
    assert refused_or_read(lambda raw: decode_segment(raw, "here"), data) is None
    if data != b"\x90":
        assert refused_or_read(lambda raw: decode_fan_out(raw, "here"), data) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"pack": 1},
        {"ordinal": 1 << 20},
        {"offset": 47},
        {"length": 15},
        {"offset": (64 << 20) - 115},
        {"length": 0xFFFF_FFFF},
        {"raw_length": (4 << 20) + 1},
        {"span": 0},
        {"span": 151},
        {"start": 201, "span": 1},
    ],
)
def test_bounds_of_a_row(changes: dict[str, int]) -> None:
    """A location outside its pack or its blob is refused before anything is read from there."""
    decode_segment(encode_segment([bytes(32)], [ROW.pack(bytes(16), *GOOD)]), "here")
    row = ROW.pack(bytes(16), *GOOD._replace(**changes))
    with pytest.raises(Damaged):
        decode_segment(encode_segment([bytes(32)], [row]), "here")


def test_shape_of_a_segment() -> None:
    """At least one row, at most 4,096, whole ones, in order, with packs of 32 bytes."""
    row = ROW.pack(bytes(16), *GOOD)
    later = ROW.pack(b"\1" * 16, *GOOD)
    for packs, rows in (
        ([bytes(32)], []),
        ([bytes(32)], [row[:-1]]),
        ([bytes(32)], [later, row]),
        ([bytes(31)], [row]),
        ([bytes(32)], [row] * (SEGMENT_ROWS_MAX + 1)),
    ):
        with pytest.raises(Damaged):
            decode_segment(encode_segment(packs, rows), "here")
    assert (
        len(decode_segment(encode_segment([bytes(32)], [row] * SEGMENT_ROWS_MAX), "here").rows) == 45 * 4096
    )


def test_rows_are_split_into_segments_with_their_own_packs() -> None:
    """Each segment names only the packs that its rows point into, in a numbering of its own."""
    packs = [bytes([number]) * 32 for number in range(3)]
    rows = [
        ROW.pack(struct.pack(">16x") if at == 0 else at.to_bytes(16, "big"), *GOOD._replace(pack=at // 3000))
        for at in range(9000)
    ]
    split = split_rows(packs, rows)
    assert [first for first, _ in split] == [rows[at][:16] for at in (0, 4096, 8192)]
    decoded = [decode_segment(data, "here") for _, data in split]
    assert [segment.packs for segment in decoded] == [packs[:2], packs[1:], packs[2:]]
    back = [
        (segment.rows[at : at + 16], segment.packs[int.from_bytes(segment.rows[at + 16 : at + 20], "big")])
        for segment in decoded
        for at in range(0, len(segment.rows), ROW.size)
    ]
    assert back == [(row[:16], packs[at // 3000]) for at, row in enumerate(rows)]


def test_the_tail_of_a_row_is_its_location() -> None:
    """The client index keeps the 29 bytes after the cid's first 16."""
    assert ROW.size == 16 + ROW_TAIL.size == 45
    assert Location(*ROW_TAIL.unpack(ROW.pack(bytes(16), *GOOD)[16:])) == GOOD


@given(st.lists(st.binary(min_size=16, max_size=16), max_size=5).map(sorted))
def test_fan_out_round_trip(prefixes: list[bytes]) -> None:
    """First prefixes come back in order."""
    assert decode_fan_out(encode_fan_out(prefixes), "here") == prefixes


@pytest.mark.parametrize("prefixes", [[bytes(15)], [b"\1" * 16, bytes(16)], [3], "text"])
def test_fan_out_bounds(prefixes: object) -> None:
    """Prefixes of another length, or out of order, are refused."""
    with pytest.raises(Damaged):
        decode_fan_out(encode(prefixes), "here")


def test_rows_that_nobody_takes_are_not_looked_at() -> None:
    """Those of a segment all of whose packs are left out, and of no other."""
    packs = [bytes(32), bytes([1]) * 32]
    bad = encode_segment(packs, [ROW.pack(bytes(16), *GOOD[:-1], 0)])
    assert decode_segment(bad, "here", set(packs)).packs == packs
    for without in (), set(packs[:1]):
        with pytest.raises(Damaged):
            decode_segment(bad, "here", without)
