"""The sealed part of a record: round trip, bounds of every operation, and metadata that JSON can say."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.errors import Damaged
from artifactstore.format.coding import NAME_PATTERN, encode
from artifactstore.format.limits import METADATA_DEPTH_MAX
from artifactstore.format.operations import (
    Adopt,
    Alias,
    Begin,
    Damage,
    Describe,
    Ended,
    Manifest,
    Operation,
    Parameters,
    Part,
    PartDropped,
    Pending,
    PendingDone,
    Push,
    Rename,
    Sealed,
    Source,
    Tag,
    decode_sealed,
    encode_sealed,
    metadata_problem,
)
from artifactstore.format.run_operations import (
    FAILED,
    FINISHED,
    KILLED,
    RunDeleted,
    RunFinished,
    RunStarted,
    RunUpdated,
    Used,
)
from artifactstore.format.segment import ROW, encode_segment
from tests.format.damage import HOSTILE, damaged, refused_or_read

hashes = st.binary(min_size=32, max_size=32)
ids = st.binary(min_size=16, max_size=16)
names = st.from_regex(NAME_PATTERN, fullmatch=True)
aliases = st.sampled_from(["prod", "best", "v1x", "Latest"])
sizes = st.integers(0, 1 << 60)
numbers = st.integers(0, 10**9 - 1)
plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9)
)
values = st.recursive(
    plain,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
metadata = st.dictionaries(st.text(max_size=5), values, max_size=4)
texts = st.text(max_size=20)
commits = st.from_regex(r"[0-9a-f]{40}", fullmatch=True)
manifests = st.builds(Manifest, hashes, st.integers(0, 8), hashes, sizes, sizes, hashes)
operations = st.one_of(
    st.builds(
        Push, names, names, names, manifests, st.none() | st.text(max_size=20), st.none() | metadata,
        st.lists(aliases, max_size=2), st.lists(names, max_size=2), sizes, sizes, st.lists(hashes, max_size=2), hashes,
        st.none() | ids,
        st.none() | st.builds(Source, names, names, numbers),
    ),
    st.builds(
        Alias, names, names, st.none() | numbers, st.lists(aliases, max_size=2),
        st.none() | st.lists(numbers, max_size=1),
    ),
    st.builds(
        Describe, names, names, numbers, st.none() | st.text(max_size=20), metadata, st.lists(st.text(max_size=5)),
        st.booleans(),
    ),
    st.builds(Rename, names, st.none() | names, names, st.none() | names),
    st.builds(Tag, names, names, numbers, st.lists(names, max_size=2), st.lists(names, max_size=2)),
    st.builds(
        RunStarted, ids, names, texts, texts, texts, st.lists(names, max_size=2), metadata, st.none() | commits,
        st.none() | metadata, st.booleans(),
    ),
    st.builds(RunUpdated, ids, st.none() | texts, st.none() | st.lists(names, max_size=2), st.none() | metadata),
    st.builds(RunFinished, ids, st.sampled_from([FINISHED, FAILED, KILLED])),
    st.builds(RunDeleted, ids),
    st.builds(Used, ids, names, names, numbers, texts),
    st.builds(Pending, ids),
    st.builds(PendingDone, ids),
    st.builds(
        Begin, ids, names, names, names, st.integers(1, 1024), st.none() | st.text(max_size=20),
        st.none() | metadata, st.lists(aliases, max_size=2), st.lists(names, max_size=2),
    ),
    st.builds(Part, ids, st.integers(0, 1023), manifests, sizes, sizes, st.lists(hashes, max_size=2)),
    st.builds(PartDropped, ids, st.lists(st.integers(0, 1023), min_size=1, max_size=3)),
    st.builds(Ended, ids, st.booleans()),
    st.builds(Damage, st.lists(hashes, max_size=2), st.lists(hashes, max_size=2)),
    st.builds(Adopt, st.integers(1, 10**16 - 1), hashes),
)  # fmt: skip
SEGMENT = encode_segment([bytes(32)], [ROW.pack(bytes(16), 0, 0, 48, 100, 84, 0, 0, 84)])
sealed_parts = st.builds(
    Sealed,
    ids,
    st.lists(hashes, max_size=2),
    st.lists(st.just(SEGMENT), max_size=2),
    st.lists(operations, max_size=3),
    st.none() | st.builds(Parameters, *[st.integers(0, 2**32 - 1)] * 5),
    st.none() | st.lists(hashes, max_size=2),
)
PUSH = Push(
    "p",
    "n",
    "dataset",
    Manifest(bytes(32), 0, bytes(32), 0, 0, bytes(32)),
    None,
    None,
    [],
    [],
    0,
    0,
    [],
    bytes(32),
    None,
)
STARTED = RunStarted(bytes(16), "p", "", "", "", [], {}, None, None, beats=True)


def sealed(*done: Operation, **changes: object) -> Sealed:
    return msgspec.structs.replace(Sealed(bytes(16), [], [], list(done), None, None), **changes)


@given(sealed_parts)
def test_round_trip(part: Sealed) -> None:
    """What is encoded decodes to the same."""
    assert decode_sealed(encode_sealed(part), "here") == part


@given(sealed_parts, st.data())
def test_damage_is_refused_or_read(part: Sealed, drawn: st.DataObject) -> None:
    """A hostile member can put any bytes here; they decode, or are refused with an error of ours."""
    for bad in damaged(encode_sealed(part), drawn):
        refused_or_read(lambda data: decode_sealed(data, "here"), bad)


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_bytes(data: bytes) -> None:
    """Declared lengths, nesting and bad text are refused without taking memory for them."""
    assert refused_or_read(lambda raw: decode_sealed(raw, "here"), data) is None
    push = encode(["push", "p", "n", "t", [bytes(32), 0, bytes(32), 0, 0], None])
    whole = b"\x96\xc4\x10" + bytes(16) + b"\x90\x90\x91" + push + data
    assert refused_or_read(lambda raw: decode_sealed(raw, "here"), whole) is None


@pytest.mark.parametrize(
    "operation",
    [
        msgspec.structs.replace(PUSH, project="a\0b"),
        msgspec.structs.replace(PUSH, name=""),
        msgspec.structs.replace(PUSH, type="a b"),
        msgspec.structs.replace(PUSH, description="x" * 65537),
        msgspec.structs.replace(PUSH, aliases=["latest"]),
        msgspec.structs.replace(PUSH, aliases=["v1"]),
        msgspec.structs.replace(PUSH, tags=["/"]),
        msgspec.structs.replace(PUSH, new_bytes=-1),
        msgspec.structs.replace(PUSH, packs=[b""]),
        msgspec.structs.replace(PUSH, manifest=Manifest(bytes(31), 0, bytes(32), 0, 0, bytes(32))),
        msgspec.structs.replace(PUSH, manifest=Manifest(bytes(32), 9, bytes(32), 0, 0, bytes(32))),
        msgspec.structs.replace(PUSH, manifest=Manifest(bytes(32), 0, bytes(33), 0, 0, bytes(32))),
        msgspec.structs.replace(
            PUSH, manifest=Manifest(bytes(32), 0, bytes(32), (1 << 60) + 1, 0, bytes(32))
        ),
        msgspec.structs.replace(PUSH, metadata={"a": float("nan")}),
        Alias("p", "n", -1, ["a"]),
        Alias("p", "n", 10**9, ["a"]),
        Tag("p", "n", -1, [], []),
        Tag("p", "n", 0, ["a\n"], []),
        Pending(b""),
        Pending(bytes(600)),
        PendingDone(bytes(15)),
        Begin(bytes(15), "p", "n", "t", 1, None, None, [], []),
        Begin(bytes(16), "p", "n", "t", 0, None, None, [], []),
        Begin(bytes(16), "p", "n", "t", 1025, None, None, [], []),
        Begin(bytes(16), "p", "n", "t", 1, None, {"a": float("nan")}, [], []),
        Begin(bytes(16), "p", "n", "t", 1, None, None, ["latest"], []),
        Part(bytes(16), 1024, PUSH.manifest, 0, 0, []),
        Part(bytes(16), -1, PUSH.manifest, 0, 0, []),
        PartDropped(bytes(16), []),
        PartDropped(bytes(16), [1024]),
        Ended(bytes(17), committed=True),
        Damage([bytes(31)], []),
        Damage([], [bytes(33)]),
        Adopt(0, bytes(32)),
        Adopt(10**16, bytes(32)),
        Adopt(1, bytes(31)),
        msgspec.structs.replace(PUSH, run=bytes(15)),
        msgspec.structs.replace(STARTED, run=bytes(17)),
        msgspec.structs.replace(STARTED, name="x" * 257),
        msgspec.structs.replace(STARTED, tags=["a"] * 257),
        msgspec.structs.replace(STARTED, commit="main"),
        msgspec.structs.replace(STARTED, config={"a": float("inf")}),
        msgspec.structs.replace(STARTED, host={1: "text"}),
        RunUpdated(bytes(16), None, None, {"a": float("nan")}),
        RunFinished(bytes(16), "running"),  # type: ignore[arg-type]
        RunDeleted(bytes(15)),
        Used(bytes(16), "p", "n", -1, ""),
        Used(bytes(16), "p", "n", 0, "x" * 257),
    ],
)
def test_bounds_of_operations(operation: Operation) -> None:
    """An operation that a client index could choke on makes its record apply nothing."""
    assert decode_sealed(encode_sealed(sealed(PUSH)), "here") == sealed(PUSH)
    with pytest.raises(Damaged):
        decode_sealed(encode_sealed(sealed(operation)), "here")


@pytest.mark.parametrize(
    "changes",
    [
        {"member": bytes(15)},
        {"pack_keys": [bytes(31)]},
        {"rows": [b""]},
        {"rows": [SEGMENT[:-1]]},
        {"index_packs": [bytes(5)]},
        {"parameters": Parameters(-1, 0, 0, 0, 0)},
    ],
)
def test_bounds_of_the_sealed_part(changes: dict[str, object]) -> None:
    """Keys, ids and index rows have their exact shape before anything uses them."""
    with pytest.raises(Damaged):
        decode_sealed(encode_sealed(sealed(**changes)), "here")


def test_an_unknown_operation_is_refused() -> None:
    """A tag that no release of this format knows makes its record apply nothing."""
    data = encode([bytes(16), [], [], [["sweep", 1]], None, None])
    with pytest.raises(Damaged):
        decode_sealed(data, "here")


@given(metadata)
def test_metadata_that_json_can_say(given: dict[str, Any]) -> None:
    """Text, numbers, booleans, null, lists and objects have no problem, and come back as they were."""
    assert metadata_problem(given) == ""
    push = msgspec.structs.replace(PUSH, metadata=given)
    assert decode_sealed(encode_sealed(sealed(push)), "here").operations == [push]


def nested(depth: int) -> dict[str, Any]:
    value: Any = 1
    for _ in range(depth - 1):
        value = [value]
    return {"a": value}


@pytest.mark.parametrize(
    "value",
    [
        {"a": b"bytes"},
        {"a": {1: 2}},
        {"a": [2**64]},
        {"a": -(2**63) - 1},
        {"a": float("inf")},
        {"a": msgspec.msgpack.Ext(5, b"x")},
        nested(METADATA_DEPTH_MAX),
    ],
)
def test_metadata_that_json_cant_say(value: dict[str, Any]) -> None:
    """What could not be printed as JSON or written again has a problem with words to it."""
    assert metadata_problem(value)


def test_metadata_may_be_nested_to_the_bound() -> None:
    """One level less than too deep is fine."""
    assert metadata_problem(nested(METADATA_DEPTH_MAX - 1)) == ""
