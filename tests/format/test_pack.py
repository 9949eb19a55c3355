"""Packs: header, footer and trailer come back, and none of them can declare what is not there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.errors import Damaged, NewerStore
from artifactstore.format.coding import encode
from artifactstore.format.limits import BLOB_RAW_BYTES_MAX, PACK_CHUNKS_MAX
from artifactstore.format.pack import (
    END,
    FOOTER_ORDINAL,
    HEADER,
    PackType,
    blob_aad,
    check_header,
    decode_footer,
    decode_trailer,
    encode_footer,
    encode_header,
    encode_trailer,
    trailer_length,
)
from tests.format.damage import HOSTILE, damaged, refused_or_read

STORE = bytes(range(32))
cids = st.binary(min_size=32, max_size=32)
spans = st.lists(st.integers(1, 1000), min_size=1, max_size=4)
blobs = st.lists(st.tuples(st.integers(16, 5000), st.integers(0, 255), spans), min_size=1, max_size=4)

Blobs = list[tuple[int, int, list[int]]]


def footer_of(made: Blobs, names: list[bytes]) -> tuple[bytes, int]:
    """(footer, bytes before it)."""
    table = [(length, sum(parts), codec, len(parts)) for length, codec, parts in made]
    lengths = [part for _, _, parts in made for part in parts]
    return encode_footer(table, b"".join(names), lengths), HEADER.size + sum(length for length, _, _ in made)


def names_for(made: Blobs, drawn: st.DataObject) -> list[bytes]:
    count = sum(len(parts) for _, _, parts in made)
    return drawn.draw(st.lists(cids, min_size=count, max_size=count))


@given(blobs, st.data())
def test_footer_round_trip(made: Blobs, drawn: st.DataObject) -> None:
    """Every chunk comes back with its cid, its blob's place and its span."""
    names = names_for(made, drawn)
    data, size = footer_of(made, names)
    chunks = [chunk for blob in decode_footer(data, size, "here") for chunk in blob.chunks()]
    assert [chunk.cid for chunk in chunks] == names
    offset = HEADER.size
    expected = []
    for ordinal, (length, codec, parts) in enumerate(made):
        for at, part in enumerate(parts):
            expected.append((ordinal, offset, length, sum(parts), codec, sum(parts[:at]), part))
        offset += length
    assert [(one.ordinal, *one.blob, one.start, one.length) for one in chunks] == expected


@given(blobs, st.data())
def test_damage_to_a_footer_is_refused_or_read(made: Blobs, drawn: st.DataObject) -> None:
    """A footer is sealed; should its writer be hostile, it is refused or accounts for every byte."""
    data, size = footer_of(made, names_for(made, drawn))
    for bad in damaged(data, drawn):
        found = refused_or_read(lambda raw: decode_footer(raw, size, "here"), bad)
        assert found is None or isinstance(found, list)


@pytest.mark.parametrize("data", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_bytes(data: bytes) -> None:
    """Declared lengths, nesting and bad text are refused without taking memory for them."""
    assert refused_or_read(lambda raw: decode_footer(raw, 100, "here"), data) is None
    assert refused_or_read(lambda raw: decode_trailer(raw, "here"), data) is None
    assert refused_or_read(lambda raw: trailer_length(raw, "here"), data) is None


@pytest.mark.parametrize(
    "footer",
    [
        [[[100, 10, 0, 1]], bytes(31), [10]],
        [[[100, 10, 0, 1]], bytes(64), [10]],
        [[[100, 10, 0, 0]], bytes(32), [10]],
        [[[100, 10, 0, 2]], bytes(32), [10]],
        [[[100, 10, 0, -1]], bytes(32), [10]],
        [[[100, 10, 0, 2**62]], bytes(32), [10]],
        [[[100, 11, 0, 1]], bytes(32), [10]],
        [[[100, 0, 0, 1]], bytes(32), [0]],
        [[[100, 10, 0, 2]], bytes(64), [11, -1]],
        [[[100, 10, 256, 1]], bytes(32), [10]],
        [[[100, 10, -1, 1]], bytes(32), [10]],
        [[[15, 10, 0, 1]], bytes(32), [10]],
        [[[99, 10, 0, 1]], bytes(32), [10]],
        [[[101, 10, 0, 1]], bytes(32), [10]],
        [[[100, BLOB_RAW_BYTES_MAX + 1, 0, 1]], bytes(32), [BLOB_RAW_BYTES_MAX + 1]],
        [[[100, 10, 0, 1]], bytes(64), [10, 10]],
        [[], b"", []],
        [[[100, 10, 0, 1]], bytes(32), [10], "more"],
    ],
)
def test_footers_that_contradict_themselves(footer: object) -> None:
    """Lengths, counts and the pack's own size must agree to the byte."""
    good = encode([[[100, 10, 0, 1]], bytes(32), [10]])
    assert len(decode_footer(good, 148, "here")) == 1
    with pytest.raises(Damaged):
        decode_footer(encode(footer), 148, "here")


@given(st.lists(cids, max_size=6), st.integers(16, 2**20))
def test_trailer_round_trip(names: list[bytes], footer_length: int) -> None:
    """Prefixes come back sorted, with the footer's length; the last 12 bytes tell how long it all is."""
    data = encode_trailer(b"".join(names), footer_length)
    assert trailer_length(data[-END.size :], "here") == (len(data), footer_length)
    trailer = decode_trailer(data, "here")
    assert trailer.prefixes == sorted(name[:16] for name in names)
    assert trailer.footer_length == footer_length


@given(st.lists(cids, max_size=6), st.data())
def test_damage_to_a_trailer_is_refused_or_read(names: list[bytes], drawn: st.DataObject) -> None:
    """Damaged bytes are no trailer, or another one, which then disagrees with the sealed footer."""
    for bad in damaged(encode_trailer(b"".join(names), 100), drawn):
        refused_or_read(lambda data: decode_trailer(data, "here"), bad)


@pytest.mark.parametrize(
    "end",
    [
        b"PTSA",
        END.pack(0, 100, b"PTSX"),
        END.pack(0, 15, b"PTSA"),
        END.pack(PACK_CHUNKS_MAX + 1, 100, b"PTSA"),
        END.pack(0, 0xFFFF_FFFF, b"PTSA"),
        END.pack(PACK_CHUNKS_MAX, 64 << 20, b"PTSA"),
    ],
)
def test_ends_that_declare_too_much(end: bytes) -> None:
    """Nothing is fetched for a length that no pack has."""
    with pytest.raises(Damaged):
        trailer_length(end, "here")


def test_a_trailer_out_of_order_is_refused() -> None:
    """Prefixes are sorted, so that they can be searched."""
    data = b"\1" * 16 + bytes(16) + END.pack(2, 100, b"PTSA")
    with pytest.raises(Damaged):
        decode_trailer(data, "here")


@pytest.mark.parametrize("kind", PackType)
def test_headers(kind: PackType) -> None:
    """A header is of one store and type."""
    header = encode_header(STORE, kind)
    check_header(header, STORE, kind, "here")
    other = PackType.DATA if kind is not PackType.DATA else PackType.PAGE
    for store, expected in ((bytes(32), kind), (STORE, other)):
        with pytest.raises(Damaged):
            check_header(header, store, expected, "here")


@given(st.data())
def test_damaged_headers_are_refused(drawn: st.DataObject) -> None:
    """No other 48 bytes pass, and a later version or suite is said to be one."""
    header = encode_header(STORE, PackType.DATA)
    at, flip = drawn.draw(st.integers(0, 47)), drawn.draw(st.integers(1, 255))
    altered = header[:at] + bytes([header[at] ^ flip]) + header[at + 1 :]
    for bad in (altered, header[:at]):
        with pytest.raises((Damaged, NewerStore)):
            check_header(bad, STORE, PackType.DATA, "here")


def test_every_part_of_the_associated_data_counts() -> None:
    """Store, type, ordinal, codec and raw length each make another seal (invariant 15)."""
    made = {
        blob_aad(store, kind, ordinal, codec, raw)
        for store in (STORE, bytes(32))
        for kind in (PackType.DATA, PackType.STATE)
        for ordinal in (0, FOOTER_ORDINAL)
        for codec in (0, 1)
        for raw in (1, 2)
    }
    assert len(made) == 32
