"""The census: one look at the index says what each pack holds of what is needed, and a sweep may go on from it."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.format.segment import ROW_TAIL
from artifactstore.index.tables import CHUNKS, packs_of
from artifactstore.maintenance.census import Census, take_census
from tests.stores import make_store, noise, write_tree


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store whose first version is deleted; what the second one needs lies in the same packs."""
    kept = {f"kept/{number}": noise(3000, number) for number in range(40)}
    with make_store(tmp_path) as made:
        made.push([write_tree(tmp_path / "v0", {**kept, "gone": noise(9000, 99)})], "p/n")
        made.push([write_tree(tmp_path / "v1", kept)], "p/n")
        made.delete(["p/n:v0"], now=True)
        yield made


def lie_twice(store: Store, prefixes: set[bytes]) -> int:
    """Say in the index that chunks lie in a further pack, as a record that was applied meanwhile would."""
    other = 1_000_000
    with store.parts.environment.write() as txn:
        rows = txn.get_many(CHUNKS, sorted(prefixes))
        further = [
            (bytes(prefix), bytes(value) + other.to_bytes(4, "big") + value[4 : ROW_TAIL.size])
            for prefix, value in rows
        ]
        txn.put_many(CHUNKS, further)
    return other


def test_it_counts_what_the_index_says(store: Store) -> None:
    """Bytes and chunks by pack are those of a slow count; a chunk in two packs is alone in none."""
    mark = store.plan_gc().mark
    live = mark.live
    twice = set(sorted(live)[:5])
    other = lie_twice(store, twice)
    gone = {prefix for prefix, _ in rows_of(store)} - live
    dead = dict.fromkeys(sorted(gone)[:1], 0)
    every: defaultdict[int, float] = defaultdict(float)
    needed: defaultdict[int, float] = defaultdict(float)
    alone: defaultdict[int, int] = defaultdict(int)
    for prefix, value in rows_of(store):
        for pack, _, _, length, raw_length, _, _, span in ROW_TAIL.iter_unpack(value):
            every[pack] += length * span / raw_length
            needed[pack] += length * span / raw_length * (prefix in live)
        if prefix in live - twice:
            alone[packs_of(value)[0]] += 1
    with store.parts.environment.read() as txn:
        held, census = take_census(txn, live, dead, 7)
    assert held.every == pytest.approx(every)
    assert held.live == pytest.approx({pack: size for pack, size in needed.items() if size})
    assert [list(units) for units in held.dead.values()] == [[0]]
    assert (census.prefix, census.alone, set(census.several or [])) == (7, alone, twice)
    assert gone
    assert census.idle == {
        pack for prefix, value in rows_of(store) if prefix in gone for pack in packs_of(value)
    }
    assert other not in census.alone


def rows_of(store: Store) -> list[tuple[bytes, bytes]]:
    with store.parts.environment.read() as txn:
        return [(bytes(prefix), bytes(value)) for prefix, value in txn.scan(CHUNKS)]


def test_a_pack_goes_though_its_chunks_lie_elsewhere_too_by_now(store: Store) -> None:
    """What another process applies between plan and sweep makes no pack stay: nothing is missed in it."""
    prepared = store.plan_gc()
    assert prepared.mark.census is not None
    assert prepared.mark.census.alone
    lie_twice(store, prepared.mark.live)
    assert store.gc(prepared, trust_clock=True).kept_packs == 0


def test_something_unneeded_may_stay_in_packs_that_are_new_or_do_not_go(store: Store) -> None:
    """Only where every pack that holds garbage goes, and none has come since, need nobody look for it."""
    with store.parts.environment.read() as txn:
        listed = list(store.parts.packs.listed(txn))
    numbers = frozenset(pack.number for pack in listed)
    last = max(pack.slot for pack in listed)
    seen = Census(last + 1, {}, [], numbers)
    assert seen.is_clear(iter(listed), numbers)
    assert not seen.is_clear(iter(listed), numbers - {max(numbers)})
    assert seen._replace(idle=frozenset()).is_clear(iter(listed), frozenset())
    assert not seen._replace(prefix=last, idle=frozenset()).is_clear(iter(listed), frozenset())
