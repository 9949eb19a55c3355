"""MessagePack to structs: foreign exceptions never come out, and bounds are checked while decoding."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.errors import Damaged
from artifactstore.format.coding import (
    AliasName,
    Bytes16,
    Bytes32,
    Name,
    Number,
    Slot,
    TimeMs,
    decoder_of,
    encode,
)
from tests.format.damage import HOSTILE, refused_or_read


class Everything(msgspec.Struct, array_like=True, frozen=True):
    name: Name
    alias: AliasName
    short: Bytes16
    long: Bytes32
    number: Number
    slot: Slot
    time_ms: TimeMs


decode = decoder_of(Everything, "an example")
GOOD = Everything("tables", "prod", bytes(16), bytes(32), 3, 9, 1)


def test_round_trip() -> None:
    """What is encoded decodes to the same."""
    assert decode(encode(GOOD), "here") == GOOD


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "a" * 129),
        ("name", "-a"),
        ("name", "a/b"),
        ("name", "a\0b"),
        ("name", "a\n"),
        ("name", "\u00e9"),
        ("alias", "latest"),
        ("alias", "v3"),
        ("alias", "V30"),
        ("short", bytes(15)),
        ("short", bytes(17)),
        ("long", bytes(31)),
        ("long", bytes(33)),
        ("number", -1),
        ("number", 10**9),
        ("slot", -1),
        ("slot", 10**16),
        ("time_ms", -1),
        ("time_ms", 253_402_300_800_000),
        ("time_ms", True),
        ("time_ms", 1.0),
    ],
)
def test_bounds(field: str, value: object) -> None:
    """A value out of bounds is damage, and the error names the object."""
    data = encode(msgspec.structs.replace(GOOD, **{field: value}))
    with pytest.raises(Damaged, match="here") as caught:
        decode(data, "here")
    assert caught.value.facts["object"] == "here"


@pytest.mark.parametrize("alias", ["latest2", "v", "v3a", "vv3", "Latest", "production-2026.01"])
def test_aliases_that_are_fine(alias: str) -> None:
    """Only what is taken for a number, and `latest` itself, can't be an alias."""
    assert decode(encode(msgspec.structs.replace(GOOD, alias=alias)), "here").alias == alias


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_bytes(data: bytes) -> None:
    """Declared lengths, nesting and bad text are refused without taking memory for them."""
    assert refused_or_read(lambda raw: decode(raw, "here"), data) is None


@given(st.binary(max_size=80))
def test_any_bytes(data: bytes) -> None:
    """Whatever comes is decoded or refused with an error of ours."""
    refused_or_read(lambda raw: decode(raw, "here"), data)
