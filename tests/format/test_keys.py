"""The `keys/` object: round trip, and any altered, cut, extended or oversized byte is an error of ours."""

import contextlib
import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.errors import ArtifactStoreError, Damaged, NewerStore
from artifactstore.format.keys import (
    KEYS_BYTES_MAX,
    KeysObject,
    SlotKey,
    SlotKind,
    decode_keys,
    encode_keys,
    keys_object_name,
    slot_id_of,
)

parameters = st.lists(st.integers(0, 2**63 - 1) | st.binary(max_size=32), max_size=4).map(tuple)


@st.composite
def slot_keys(draw: st.DrawFn) -> SlotKey:
    public = draw(st.binary(min_size=32, max_size=32))
    kind = draw(st.sampled_from(SlotKind))
    wraps = kind is SlotKind.PASSPHRASE
    return SlotKey(
        id=slot_id_of(public),
        kind=kind,
        public_key=public,
        parameters=draw(parameters) if wraps else (),
        wrapped_private=draw(st.binary(max_size=64)) if wraps else b"",
        read_only=draw(st.booleans()),
        sealed_secrets=draw(st.binary(min_size=1, max_size=200)),
    )


keys_objects = st.builds(
    KeysObject,
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**63 - 1),
    st.lists(slot_keys(), min_size=1, max_size=4, unique_by=lambda slot: slot.id).map(tuple),
)


def example(**changes: object) -> KeysObject:
    public = bytes(range(32))
    slot = SlotKey(slot_id_of(public), SlotKind.KEY_FILE, public, (), b"", False, b"sealed")
    return KeysObject(bytes(32), 0, (msgspec.structs.replace(slot, **changes),))


@given(keys_objects)
def test_round_trip(keys: KeysObject) -> None:
    """What is encoded decodes to the same, under the name that is the hash of its bytes."""
    data = encode_keys(keys)
    name = keys_object_name(data)
    assert name == "keys/" + hashlib.sha256(data).hexdigest()
    assert decode_keys(data, name) == keys


@given(keys_objects, st.data())
def test_any_change_is_damage(keys: KeysObject, drawn: st.DataObject) -> None:
    """Under its name no other bytes decode."""
    data = encode_keys(keys)
    at = drawn.draw(st.integers(0, len(data) - 1))
    flip = drawn.draw(st.integers(1, 255))
    altered = data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
    for bad in (altered, data[:at], data + b"\0"):
        with pytest.raises(Damaged):
            decode_keys(bad, keys_object_name(data))


@given(keys_objects, st.data())
def test_a_hostile_writer_gets_errors_of_ours(keys: KeysObject, drawn: st.DataObject) -> None:
    """Bytes that match their name but not the format decode or raise an error of ours, nothing else."""
    data = encode_keys(keys)
    at = drawn.draw(st.integers(0, len(data) - 1))
    noise = drawn.draw(st.binary(max_size=8))
    for bad in (data[:at] + noise + data[at + 1 :], data[:at], data[:8] + noise):
        with contextlib.suppress(ArtifactStoreError):
            decode_keys(bad, keys_object_name(bad))


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", Damaged),
        (b"ASTK", Damaged),
        (b"ASTX\0\1\1\0\x90", Damaged),
        (b"ASTK\0\2\1\0\x90", NewerStore),
        (b"ASTK\0\1\2\0\x90", NewerStore),
        (b"ASTK\0\0\1\0\x90", Damaged),
        (b"ASTK\0\1\1\1\x90", Damaged),
        (b"ASTK\0\1\1\0", Damaged),
        (b"ASTK\0\1\1\0\x93\xc4\x01x", Damaged),
        (b"ASTK\0\1\1\0\xdd\xff\xff\xff\xff", Damaged),
        (b"ASTK\0\1\1\0" + b"\x91" * 5000, Damaged),
        (bytes(KEYS_BYTES_MAX + 1), Damaged),
    ],
)
def test_headers_and_bounds(data: bytes, error: type[Exception]) -> None:
    """Each malformed object has its error: foreign, cut, newer, nested too deep, too long."""
    with pytest.raises(error):
        decode_keys(data, keys_object_name(data))


@pytest.mark.parametrize(
    "changes",
    [
        {"id": bytes(16)},
        {"id": bytes(15)},
        {"public_key": bytes(33)},
        {"parameters": (3,)},
        {"wrapped_private": b"x"},
        {"sealed_secrets": b""},
        {"sealed_secrets": bytes(513)},
        {"kind": SlotKind.PASSPHRASE, "parameters": tuple(range(17))},
        {"kind": SlotKind.PASSPHRASE, "wrapped_private": bytes(257)},
    ],
)
def test_what_no_reader_takes_is_not_written(changes: dict[str, object]) -> None:
    """Encoding reads back what it wrote and refuses what breaks a bound or contradicts itself."""
    with pytest.raises(ValueError):
        encode_keys(example(**changes))


def test_slots_are_bounded_and_distinct() -> None:
    """There is at least one slot key, none twice, and at most 1,024."""
    keys = example()
    for slots in ((), keys.slots * 2, keys.slots * 1025):
        with pytest.raises(ValueError):
            encode_keys(msgspec.structs.replace(keys, slots=slots))


def test_layout_is_what_the_specification_says() -> None:
    """The bytes of a small object, written out by hand."""
    public = bytes(range(32))
    expected = (
        b"ASTK\x00\x01\x01\x00"
         b"\x93\xc4\x20" + bytes(32) + b"\x00\x91\x97"
        + b"\xc4\x10" + hashlib.sha256(public).digest()[:16] + b"\x00\xc4\x20" + public
        + b"\x90\xc4\x00\xc2\xc4\x06sealed"
    )  # fmt: skip
    assert encode_keys(example()) == expected
