"""Tiles' names, and data tiles to bytes and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.format.limits import DATA_TILE_BYTES_MAX
from artifactstore.format.tile import data_tile_name, decode_data_tile, encode_data_tile, tile_name


@pytest.mark.parametrize(("level", "number", "name"), [(0, 0, "tree/0/0"), (2, 17, "tree/2/17")])
def test_tiles_have_plain_names(level: int, number: int, name: str) -> None:
    """A tile is found by its level and number alone."""
    assert tile_name(level, number) == name
    assert data_tile_name(number) == f"tree/data/{number}"


@given(st.lists(st.none() | st.binary(min_size=1, max_size=50), min_size=64, max_size=64))
def test_records_come_back(records: list[bytes | None]) -> None:
    """Each slot's record comes back, and a void one as nothing."""
    tile = encode_data_tile(records)
    assert tile is not None
    assert decode_data_tile(tile) == [data or b"" for data in records]


@given(st.binary(max_size=400))
def test_hostile_bytes(tile: bytes) -> None:
    """Whatever lies there is 64 records that fill it, or none."""
    records = decode_data_tile(tile)
    assert records == [] or (len(records) == 64 and 256 + sum(map(len, records)) == len(tile))


@pytest.mark.parametrize("changed", [-1, 1])
def test_a_tile_of_another_length_says_nothing(changed: int) -> None:
    """One byte less or more than the lengths say makes it malformed."""
    tile = encode_data_tile([b"record"] * 64)
    assert tile is not None
    assert decode_data_tile(tile[:changed] if changed < 0 else tile + b"x") == []


def test_a_tile_has_a_bound() -> None:
    """Records that are too long for a tile have none."""
    fits = [bytes(DATA_TILE_BYTES_MAX - 256), *[None] * 63]
    assert len(encode_data_tile(fits) or b"") == DATA_TILE_BYTES_MAX
    assert encode_data_tile([fits[0], b"x", *[None] * 62]) is None
