"""Whole packs of index segments and states: what goes in comes out, in order, verified."""

from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.clock import SystemRandomness
from artifactstore.content.packs import (
    fetch_whole,
    index_packs,
    joined_rows,
    merged_groups,
    merged_rows,
    pack_up,
    read_segments,
)
from artifactstore.errors import Damaged
from artifactstore.format.coding import encode
from artifactstore.format.pack import PackType
from artifactstore.format.segment import ROW, decode_segment, encode_segment
from artifactstore.pack.reader import PackRef
from tests.stores import make_store, noise

pytestmark = pytest.mark.places("memory", "s3")

PACKS = [bytes([number]) * 32 for number in range(3)]


@pytest.fixture
def store(tmp_path: Path):
    with make_store(tmp_path) as made:
        yield made


def stored(store: Store, kind: PackType, chunks: list[bytes]) -> list[PackRef]:
    refs = []
    for pack in pack_up(store._parts.keyring, kind, chunks, SystemRandomness()):
        assert pack.data is not None
        store._parts.backend.put(pack.name, pack.data)
        refs.append(PackRef(pack.added.name, kind, pack.added.size, pack.key))
    return refs


def rows_of(count: int, pack: int = 0) -> list[bytes]:
    return sorted(
        ROW.pack(noise(16, seed=number), pack, number, 48, 20, 4, 0, 0, 4) for number in range(count)
    )


def test_chunks_come_back_in_order(store: Store) -> None:
    """One blob a chunk, as many packs as they need."""
    chunks = [noise(1 << 20, seed) for seed in range(40)]
    refs = stored(store, PackType.STATE, chunks)
    assert len(refs) == 2
    keyring, backend = store._parts.keyring, store._parts.backend
    assert [chunk for _, found in fetch_whole(backend, keyring, refs) for chunk in found] == chunks


def test_nothing_is_no_pack(store: Store) -> None:
    """Without chunks there is no pack."""
    assert stored(store, PackType.STATE, []) == []


def test_the_wrong_type_is_damaged(store: Store) -> None:
    """A state can't be passed off as an index pack (invariant 15)."""
    (ref,) = stored(store, PackType.STATE, [b"x"])
    with pytest.raises(Damaged):
        list(fetch_whole(store._parts.backend, store._parts.keyring, [ref._replace(type=PackType.INDEX)]))


def test_rows_become_segments_with_a_fan_out(store: Store) -> None:
    """More rows than a segment holds become several, and all are found again."""
    keyring, backend = store._parts.keyring, store._parts.backend
    rows = rows_of(10_000, pack=1)
    (pack,) = index_packs(keyring, PACKS, rows, SystemRandomness())
    assert pack.data is not None
    backend.put(pack.name, pack.data)
    ref = PackRef(pack.added.name, PackType.INDEX, pack.added.size, pack.key)
    segments = list(read_segments(backend, keyring, [ref]))
    assert len(segments) == 3
    names, merged = merged_rows(segments)
    assert names == [PACKS[1]]
    assert merged == [row[:16] + bytes(4) + row[20:] for row in rows]


@pytest.mark.parametrize("fan_out", [[], [bytes(16)], [b"\xff" * 16, bytes(16)], [b"short"]])
def test_a_fan_out_that_does_not_fit_is_damaged(store: Store, fan_out: list[bytes]) -> None:
    """Whoever looks a prefix up by it must not be led past it."""
    segment = encode_segment(PACKS[:1], rows_of(5))
    (ref,) = stored(store, PackType.INDEX, [segment, encode(fan_out)])
    with pytest.raises(Damaged):
        list(read_segments(store._parts.backend, store._parts.keyring, [ref]))


def test_an_index_pack_without_chunks_is_damaged(store: Store) -> None:
    """A fan-out alone names segments that are not there."""
    (ref,) = stored(store, PackType.INDEX, [encode([bytes(16)])])
    with pytest.raises(Damaged):
        list(read_segments(store._parts.backend, store._parts.keyring, [ref]))


def test_merging_keeps_each_row_once() -> None:
    """Equal rows of several segments are one; packs are numbered anew."""
    one = decode_segment(encode_segment([PACKS[0]], rows_of(4)), "x")
    other = decode_segment(encode_segment([PACKS[1], PACKS[0]], rows_of(6, pack=1)), "x")
    names, rows = merged_rows([one, other])
    assert names == [PACKS[0], PACKS[1]]
    assert len(rows) == 6
    assert rows == sorted(rows)


def test_rows_of_several_packs_are_numbered_by_them(store: Store) -> None:
    """Joining sorts by cid and says for each row which pack it came from."""
    packs = [
        next(pack_up(store._parts.keyring, PackType.DATA, [noise(10, n)], SystemRandomness()))
        for n in range(3)
    ]
    rows = joined_rows(packs)
    assert rows == sorted(rows)
    assert sorted(int.from_bytes(row[16:20], "big") for row in rows) == [0, 1, 2]


def test_rows_of_packs_that_go_are_left_out_and_lists_end_where_they_are_full(store: Store) -> None:
    """Each row that stays comes once, sorted, under the name of its pack; nothing of the others."""
    first = decode_segment(encode_segment(PACKS[:1], rows_of(50)), "a")
    second = decode_segment(encode_segment([PACKS[1]], rows_of(50)[20:]), "b")
    third = decode_segment(encode_segment([PACKS[0], PACKS[2]], rows_of(60, pack=1)), "c")
    found = list(merged_groups([first, second, third, first], {PACKS[1]}, 100))
    assert [names for names, _ in found] == [[PACKS[0], PACKS[2]], [PACKS[0]]]
    assert [rows for _, rows in found] == [sorted([*rows_of(50), *rows_of(60, pack=1)]), rows_of(50)]
    assert merged_rows([first, first]) == ([PACKS[0]], rows_of(50))
    assert list(merged_groups([second], {PACKS[1]}, None)) == []
    assert list(merged_groups([second, first], {PACKS[1]}, None)) == [([PACKS[0]], rows_of(50))]
