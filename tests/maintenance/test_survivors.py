"""Survivors: what is needed of a condemned pack is in new ones, and a pack with something unreadable stays."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from artifactstore import Store
from artifactstore.content.packs import ref_of
from artifactstore.deletion.collecting import GcSummary
from artifactstore.format.pack import Blob, PackType
from artifactstore.pack.names import pack_name
from artifactstore.pack.reader import read_contents
from tests.stores import make_store, noise, read_tree, reopened, write_tree

WORDS = b"".join(b"%d bottles of beer, " % number for number in range(20_000))
KEPT = {"kept": noise(600_000, 1), "kept.txt": WORDS, "small/1": noise(3000, 2), "small/3": noise(3000, 4)}
GONE = {"gone": noise(400_000, 5), "small/0": noise(3000, 6), "small/2": noise(3000, 7)}


class Lies(NamedTuple):
    """A blob: the pack that it lies in, and the cids in it."""

    pack: str
    blob: Blob
    cids: tuple[bytes, ...]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store whose first version is deleted, in the same packs as what the second one still needs."""
    with make_store(tmp_path, compression_level=1) as made:
        made.push([write_tree(tmp_path / "v0", {**KEPT, **GONE})], "p/n")
        made.push([write_tree(tmp_path / "v1", dict(KEPT))], "p/n")
        made.delete(["p/n:v0"], now=True)
        yield made


def blobs(store: Store) -> list[Lies]:
    """Every blob of file data that the index knows."""
    parts = store.parts
    found: dict[tuple[str, Blob], list[bytes]] = {}
    with parts.environment.read() as txn:
        packs = [pack for pack in parts.packs.all(txn) if pack.added.type == PackType.DATA]
    for pack in packs:
        for chunk in read_contents(parts.backend, parts.keyring.store_id, ref_of(pack)):
            found.setdefault((pack_name(pack.added.name), chunk.blob), []).append(chunk.cid)
    return [Lies(name, blob, tuple(cids)) for (name, blob), cids in found.items()]


def needed(store: Store) -> set[bytes]:
    """First 16 bytes of the cids of all chunks that a plan wants kept."""
    return store.plan_gc().mark.live


def restores(store: Store, folder: Path) -> bool:
    out = folder / f"out-{len(list(folder.glob('out-*')))}"
    store.pull("p/n:v1", out)
    return read_tree(out) == KEPT


def swept(store: Store) -> GcSummary:
    return store.gc(trust_clock=True)


def flip(store: Store, name: str, at: int) -> None:
    backend = store.parts.backend
    data = bytearray(backend.get(name, limit_bytes=1 << 30))
    data[at] ^= 1
    backend.put(name, bytes(data))


def test_whole_blobs_go_over_as_they_are_and_others_without_garbage(tmp_path: Path, store: Store) -> None:
    """The one who sweeps would compress far better: only what lay beside garbage is compressed anew."""
    before, live = blobs(store), needed(store)
    whole = [lies for lies in before if all(cid[:16] in live for cid in lies.cids)]
    mixed = [lies for lies in before if lies not in whole and any(cid[:16] in live for cid in lies.cids)]
    large = {(lies.cids, lies.blob[1:]) for lies in whole if lies.blob.raw_length >= 64 << 10}
    assert large
    assert mixed
    with reopened(tmp_path, store, cache="other", compression_level=19) as other:
        assert swept(other).kept_packs == 0
        after = blobs(other)
        assert not {lies.pack for lies in before} & {lies.pack for lies in after}
        assert large <= {(lies.cids, lies.blob[1:]) for lies in after}
        assert sorted(cid for lies in after for cid in lies.cids) == sorted(
            cid for lies in before for cid in lies.cids if cid[:16] in live
        )
        assert other.check(read_data=True).ok
        assert restores(other, tmp_path)


@pytest.mark.parametrize("is_whole", [True, False], ids=["a whole blob", "a blob with garbage in it"])
def test_a_pack_with_a_survivor_that_does_not_open_stays(
    tmp_path: Path, store: Store, is_whole: bool
) -> None:
    """What can be read goes over; the pack stays as it is, and pushing the content again heals."""
    live = needed(store)
    lies = next(
        lies
        for lies in blobs(store)
        if any(cid[:16] in live for cid in lies.cids)
        and all(cid[:16] in live for cid in lies.cids) == is_whole
    )
    flip(store, lies.pack, lies.blob.offset)
    assert swept(store).kept_packs == 1
    assert store.parts.backend.exists(lies.pack)
    after = [one for one in blobs(store) if one.pack != lies.pack]
    held = {cid[:16] for one in after for cid in one.cids}
    kept = {cid[:16] for one in blobs(store) for cid in one.cids} & live
    assert kept - held == {cid[:16] for cid in lies.cids} & live


def test_a_pack_that_has_lost_its_footer_is_gone_through(tmp_path: Path, store: Store) -> None:
    """The index says where its chunks lie, which are verified one by one; nothing is lost and nothing stays."""
    (name,) = {lies.pack for lies in blobs(store)}
    flip(store, name, store.parts.backend.size(name) - 1)
    assert swept(store).kept_packs == 0
    assert not store.parts.backend.exists(name)
    assert restores(store, tmp_path)
    assert store.check(read_data=True).ok


def test_of_a_pack_that_is_gone_nothing_is_said_to_be_copied(tmp_path: Path, store: Store) -> None:
    """It stays registered: its loss is for a check to tell and for a repair to record."""
    (name,) = {lies.pack for lies in blobs(store)}
    data = store.parts.backend.get(name, limit_bytes=1 << 30)
    store.parts.backend.delete(name)
    assert swept(store).kept_packs == 1
    assert not store.check().ok
    store.parts.backend.put(name, data)
    assert restores(store, tmp_path)
