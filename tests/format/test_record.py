"""Records: round trip, and bytes that are no record are void, never another exception."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.errors import Damaged
from artifactstore.format.limits import RECORD_BYTES_MAX, SLOT_MAX, TIME_MS_MAX
from artifactstore.format.record import (
    HEADER,
    SIGNATURE_BYTES,
    Certificate,
    Clear,
    Handover,
    PackAdded,
    RecordType,
    StateNamed,
    decode_frame,
    encode_associated,
    slot_name,
)
from tests.format.damage import HOSTILE, damaged, refused_or_read

hashes = st.binary(min_size=32, max_size=32)
packs = st.builds(
    PackAdded, hashes, st.integers(0, 255), st.integers(92, 64 << 20), st.integers(1, 1 << 20), hashes
)


@st.composite
def clears(draw: st.DrawFn) -> Clear:
    slot = draw(st.integers(0, SLOT_MAX) | st.integers(0, 3))
    before = st.none() | st.integers(0, slot - 1) if slot else st.none()
    kind = RecordType.CREATE if slot == 0 else draw(st.integers(1, 255))
    some = st.lists(hashes, min_size=1, max_size=2)
    named = st.builds(StateNamed, st.integers(0, slot), some, st.lists(hashes, max_size=2))
    is_sweep = kind == RecordType.SWEEP
    return Clear(
        store_id=draw(hashes),
        slot=slot,
        root=draw(hashes),
        operation=draw(st.binary(min_size=16, max_size=16)),
        type=kind,
        generation=draw(st.integers(int(is_sweep), 2**63 - 1)),
        certificate=Certificate(
            draw(hashes), draw(st.integers(0, SLOT_MAX)), draw(st.sampled_from([b"", bytes(64)]))
        ),
        packs=draw(st.lists(packs, max_size=3)),
        condemned=draw(st.lists(st.text(max_size=9), max_size=2)),
        committed=draw(st.lists(st.binary(max_size=9), max_size=2)),
        purged=[],
        keys=draw(st.lists(hashes, min_size=1, max_size=3)),
        state=draw(named if is_sweep else st.none() | named),
        state_slot=draw(before),
        sweep_slot=draw(before),
        time_ms=draw(st.integers(0, TIME_MS_MAX)),
        features=draw(st.lists(st.text(max_size=9), max_size=2)),
        handover=Handover(draw(hashes), bytes(64)) if is_sweep else None,
        erased=draw(st.integers(0, slot - 1)) if kind == RecordType.ERASED else None,
    )


HANDOVER = Handover(bytes(32), bytes(64))


def framed(clear: Clear, sealed: bytes = b"sealed", signature: bytes = bytes(SIGNATURE_BYTES)) -> bytes:
    return encode_associated(clear, len(sealed)) + sealed + signature


def example(**changes: object) -> Clear:
    clear = Clear(
        bytes(32), 5, bytes(32), bytes(16), 1, 0, Certificate(bytes(32), 0, b""), [], [], [], [], [bytes(32)],
        None, 3, None, 0, [], None, None,
    )  # fmt: skip
    return msgspec.structs.replace(clear, **changes)


@given(clears(), st.binary(max_size=40), st.binary(min_size=64, max_size=64))
def test_round_trip(clear: Clear, sealed: bytes, signature: bytes) -> None:
    """A record comes apart into what it was made of, and the parts are the bytes as they came."""
    data = framed(clear, sealed, signature)
    frame = decode_frame(data, "here")
    assert frame.clear == clear
    assert (frame.sealed, frame.signature) == (sealed, signature)
    assert frame.associated + frame.sealed + frame.signature == data
    assert frame.signed == data[:-64]


@given(clears(), st.data())
def test_damage_is_refused_or_read(clear: Clear, drawn: st.DataObject) -> None:
    """Before the signature is looked at, damaged bytes are no record or another one, and nothing else happens."""
    for bad in damaged(framed(clear), drawn):
        refused_or_read(lambda data: decode_frame(data, "here"), bad)


@given(clears(), st.data())
def test_cut_and_extended_records_are_refused(clear: Clear, drawn: st.DataObject) -> None:
    """The header's lengths account for every byte."""
    data = framed(clear)
    cut = drawn.draw(st.integers(0, len(data) - 1))
    more = drawn.draw(st.binary(min_size=1, max_size=9))
    for bad in (data[:cut], data + more, more + data):
        with pytest.raises(Damaged):
            decode_frame(bad, "here")


@pytest.mark.parametrize("clear", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_clear_parts(clear: bytes) -> None:
    """A clear part that declares too much is refused without taking memory for it."""
    data = HEADER.pack(b"ASTR", 1, 1, 0, len(clear), 0) + clear + bytes(64)
    assert refused_or_read(lambda raw: decode_frame(raw, "here"), data) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        bytes(79),
        HEADER.pack(b"ASTX", 1, 1, 0, 0, 0) + bytes(64),
        HEADER.pack(b"ASTR", 2, 1, 0, 0, 0) + bytes(64),
        HEADER.pack(b"ASTR", 1, 2, 0, 0, 0) + bytes(64),
        HEADER.pack(b"ASTR", 1, 1, 1, 0, 0) + bytes(64),
        HEADER.pack(b"ASTR", 1, 1, 0, 2**32 - 1, 2**32 - 1) + bytes(64),
        bytes(RECORD_BYTES_MAX + 1),
    ],
    ids=["empty", "short", "magic", "version", "suite", "reserved", "lengths", "long"],
)
def test_what_is_no_record(data: bytes) -> None:
    """Each way of not being a record of this format and suite."""
    with pytest.raises(Damaged):
        decode_frame(data, "here")


@pytest.mark.parametrize(
    "changes",
    [
        {"store_id": bytes(31)},
        {"root": b""},
        {"operation": bytes(17)},
        {"slot": SLOT_MAX + 1},
        {"slot": -1},
        {"type": 256},
        {"type": RecordType.CREATE},
        {"slot": 0, "state_slot": None},
        {"state_slot": 5},
        {"sweep_slot": 6},
        {"type": RecordType.SWEEP},
        {"type": RecordType.SWEEP, "handover": HANDOVER, "generation": 1},
        {"type": RecordType.SWEEP, "handover": HANDOVER, "state": StateNamed(5, [bytes(32)], [])},
        {"handover": HANDOVER},
        {"type": RecordType.ERASED},
        {"type": RecordType.ERASED, "erased": 5},
        {"erased": 3},
        {"state_slot": -1},
        {"state": StateNamed(6, [bytes(32)], [])},
        {"state": StateNamed(5, [], [])},
        {"state": StateNamed(5, [bytes(31)], [])},
        {"keys": []},
        {"keys": [bytes(32)] * 65},
        {"keys": [b""]},
        {"time_ms": TIME_MS_MAX + 1},
        {"certificate": Certificate(bytes(31), 0, b"")},
        {"certificate": Certificate(bytes(32), 0, bytes(65))},
        {"packs": [PackAdded(bytes(31), 1, 100, 1, bytes(32))]},
        {"packs": [PackAdded(bytes(32), 1, 91, 1, bytes(32))]},
        {"packs": [PackAdded(bytes(32), 1, (64 << 20) + 1, 1, bytes(32))]},
        {"packs": [PackAdded(bytes(32), 1, 100, 0, bytes(32))]},
        {"packs": [PackAdded(bytes(32), 1, 100, (1 << 20) + 1, bytes(32))]},
    ],
)
def test_bounds_of_the_clear_part(changes: dict[str, object]) -> None:
    """Values that no writer makes are refused here, so that nothing above has to think of them."""
    assert decode_frame(framed(example()), "here").clear == example()
    with pytest.raises(Damaged):
        decode_frame(framed(example(**changes)), "here")


def test_fields_of_later_releases_are_skipped() -> None:
    """A release may append a field; what it means it says with a feature flag, if old readers must know it."""
    body = msgspec.msgpack.encode([*msgspec.msgpack.decode(msgspec.msgpack.encode(example())), "new"])
    data = HEADER.pack(b"ASTR", 1, 1, 0, len(body), 0) + body + bytes(64)
    assert decode_frame(data, "here").clear == example()


def test_slot_names_sort_like_slots() -> None:
    """16 digits hold every slot."""
    assert slot_name(12) == "log/0000000000000012"
    assert len(slot_name(SLOT_MAX)) == len(slot_name(0))
