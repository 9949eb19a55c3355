"""States: head and rows come back, and a row that an index could choke on is refused."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.errors import Damaged
from artifactstore.format.operations import Parameters
from artifactstore.format.record import PackAdded
from artifactstore.format.state import (
    ALIASES,
    ARTIFACTS,
    PACKS,
    PENDING,
    VERSIONS,
    StateHead,
    StatePack,
    StateRows,
    decode_head,
    decode_rows,
    encode_state,
)
from tests.format.damage import HOSTILE, damaged, refused_or_read

PARAMETERS = Parameters(65536, 262144, 1, 32 << 20, 256 << 10)
HEAD = StateHead(bytes(32), 5, [bytes(32)] * 2, 0, [bytes(32)], None, [], [], 3, PARAMETERS)
PACK = StatePack(0, PackAdded(bytes(32), 1, 100, 1, bytes(32)), 1, bytes(32))
EIGHT = bytes(8)
hashes = st.binary(min_size=32, max_size=32)


@st.composite
def heads(draw: st.DrawFn) -> StateHead:
    prefix = draw(st.integers(0, 10**16 - 1))
    return StateHead(
        store_id=draw(hashes),
        prefix=prefix,
        frontier=[draw(hashes) for _ in range(prefix.bit_count())],
        generation=draw(st.integers(0, 2**63 - 1)),
        keys=draw(st.lists(hashes, min_size=1, max_size=2)),
        sweep_slot=draw(st.none() | st.integers(0, 10**16 - 1)),
        features=draw(st.lists(st.text(max_size=5), max_size=2)),
        index_packs=draw(st.lists(hashes, max_size=2)),
        packs=draw(st.integers(0, 2**32 - 1)),
        parameters=PARAMETERS,
    )


number = st.binary(min_size=8, max_size=8)
rows = st.one_of(
    st.builds(StateRows, st.just(ARTIFACTS), st.lists(st.tuples(st.just(b"p\0n"), st.binary())), st.just([])),
    st.builds(
        StateRows,
        st.just(VERSIONS),
        st.lists(st.tuples(number.map(lambda at: b"p\0n\0" + at), st.binary())),
        st.just([]),
    ),
    st.builds(StateRows, st.just(ALIASES), st.lists(st.tuples(st.just(b"p\0n\0prod"), number)), st.just([])),
    st.builds(StateRows, st.just(PACKS), st.just([]), st.lists(st.just(PACK), max_size=3)),
)


@given(heads())
def test_head_round_trip(head: StateHead) -> None:
    """A head comes back."""
    assert decode_head(encode_state(head), "here") == head


@given(rows)
def test_rows_round_trip(part: StateRows) -> None:
    """Rows come back, whatever the table."""
    assert decode_rows(encode_state(part), "here") == part


@given(heads(), rows, st.data())
def test_damage_is_refused_or_read(head: StateHead, part: StateRows, drawn: st.DataObject) -> None:
    """A hostile member can put any bytes here; they decode, or are refused with an error of ours."""
    for bad in damaged(encode_state(head), drawn):
        refused_or_read(lambda data: decode_head(data, "here"), bad)
    for bad in damaged(encode_state(part), drawn):
        refused_or_read(lambda data: decode_rows(data, "here"), bad)


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_bytes(data: bytes) -> None:
    """Declared lengths, nesting and bad text are refused without taking memory for them."""
    assert refused_or_read(lambda raw: decode_head(raw, "here"), data) is None
    assert refused_or_read(lambda raw: decode_rows(raw, "here"), data) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"store_id": b""},
        {"prefix": 6, "frontier": [bytes(32)]},
        {"frontier": []},
        {"frontier": [bytes(32), bytes(31)]},
        {"keys": []},
        {"index_packs": [b"x"]},
        {"packs": -1},
        {"sweep_slot": -1},
    ],
)
def test_bounds_of_the_head(changes: dict[str, object]) -> None:
    """A frontier has one hash for each set bit of the prefix; without that, appending would fail later."""
    assert decode_head(encode_state(HEAD), "here") == HEAD
    with pytest.raises(Damaged):
        decode_head(encode_state(msgspec.structs.replace(HEAD, **changes)), "here")


@pytest.mark.parametrize(
    "part",
    [
        StateRows(ARTIFACTS, [(b"", b"x")], []),
        StateRows(ARTIFACTS, [(b"p", b"x")], []),
        StateRows(ARTIFACTS, [(b"p\0n\0", b"x")], []),
        StateRows(ARTIFACTS, [(b"p\0\xff", b"x")], []),
        StateRows(ARTIFACTS, [(b"p\0" + b"n" * 129, b"x")], []),
        StateRows(VERSIONS, [(b"p\0n\0" + bytes(7), b"x")], []),
        StateRows(VERSIONS, [(b"p\0n" + bytes(8), b"x")], []),
        StateRows(ALIASES, [(b"p\0n\0a", bytes(7))], []),
        StateRows(ALIASES, [(b"p\0n\0", EIGHT)], []),
        StateRows(PENDING, [(bytes(15), EIGHT)], []),
        StateRows(PENDING, [(bytes(16), b"")], []),
        StateRows("unknown", [(bytes(512), b"")], []),
        StateRows(ARTIFACTS, [], [PACK]),
        StateRows(PACKS, [(b"p\0n", b"x")], []),
        StateRows(PACKS, [], [msgspec.structs.replace(PACK, number=-1)]),
        StateRows(PACKS, [], [msgspec.structs.replace(PACK, number=2**32)]),
        StateRows(PACKS, [], [msgspec.structs.replace(PACK, key=bytes(31))]),
    ],
)
def test_bounds_of_rows(part: StateRows) -> None:
    """Keys are those of their table, so that an index takes them and can be searched."""
    with pytest.raises(Damaged):
        decode_rows(encode_state(part), "here")


def test_tables_of_later_releases_pass() -> None:
    """A release may add a table; one that old readers must know raises a feature flag."""
    part = StateRows("receipts", [(b"key", b"value")], [])
    assert decode_rows(encode_state(part), "here") == part
