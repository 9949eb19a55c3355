"""Putting chunks: once each, neighbours together, from many threads."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.clock import SystemRandomness
from artifactstore.content.put import Chunk, ChunkWriter
from artifactstore.errors import StorageFull
from artifactstore.executors import inline, threads
from artifactstore.format.operations import Damage
from artifactstore.format.pack import PackType
from artifactstore.pack.reader import PackRef, read_contents
from artifactstore.testing import FaultyBackend
from tests.stores import make_store, noise

pytestmark = pytest.mark.places("memory", "s3")


@pytest.fixture
def store(tmp_path: Path):
    with make_store(tmp_path) as made:
        yield made


def writer_of(store: Store, executors=None, backend=None) -> ChunkWriter:
    parts = store._parts
    return ChunkWriter(
        backend or parts.backend,
        parts.environment,
        parts.keyring,
        executors or inline(),
        SystemRandomness(),
        level=1,
    )


def chunks_of(writer: ChunkWriter, *data: bytes) -> list[Chunk]:
    return [Chunk(writer.cid_of(PackType.DATA, one), one) for one in data]


def test_new_neighbours_share_a_blob(store: Store) -> None:
    """Small chunks are compressed together, up to 256 KiB raw."""
    writer = writer_of(store)
    data = [b"%03d" % number * 10_000 for number in range(20)]
    assert writer.put(PackType.DATA, chunks_of(writer, *data)) == 600_000
    (pack,) = writer.drain()
    ref = PackRef(pack.added.name, PackType.DATA, pack.added.size, pack.key)
    found = read_contents(store._parts.backend, store._parts.keyring.store_id, ref)
    blobs = {chunk.ordinal: chunk.blob.raw_length for chunk in found}
    assert list(blobs.values()) == [240_000, 240_000, 120_000]


def test_a_chunk_is_put_once(store: Store) -> None:
    """Within one call, across calls and across types: a type has cids of its own."""
    writer = writer_of(store)
    one = chunks_of(writer, b"same")
    assert writer.put(PackType.DATA, one * 3) == 4
    assert writer.put(PackType.DATA, one) == 0
    assert writer.put_one(PackType.PAGE, b"same") != one[0].cid
    assert sorted(pack.added.type for pack in writer.drain()) == [PackType.DATA, PackType.PAGE]
    assert writer.stored.raw_bytes == 4


def test_nothing_new_is_no_pack(store: Store) -> None:
    """A writer that was given nothing new stores nothing."""
    assert writer_of(store).drain() == []


def test_cids_are_the_stores_own(tmp_path: Path, store: Store) -> None:
    """Two stores name the same bytes differently, so that nobody can look for known content."""
    with make_store(tmp_path) as other:
        one, two = writer_of(store), writer_of(other)
        assert one.cid_of(PackType.DATA, b"x") != two.cid_of(PackType.DATA, b"x")


def test_claims_end_when_packs_are_registered(store: Store) -> None:
    """Memory of what was put is given back once the index knows it."""
    writer = writer_of(store)
    writer.put(PackType.DATA, chunks_of(writer, *(noise(100, seed) for seed in range(50))))
    assert len(writer._claimed) == 50
    writer.registered(writer.drain())
    assert writer._claimed == set()


def test_threads_put_the_same_chunks_once(store: Store) -> None:
    """Eight threads with one file's chunks store them once."""
    with threads(width=8) as executors, ThreadPoolExecutor(8) as pool:
        writer = writer_of(store, executors)
        chunks = chunks_of(writer, *(noise(5000, seed) for seed in range(100)))
        new = list(pool.map(lambda _: writer.put(PackType.DATA, chunks), range(8)))
        packs = writer.drain()
    assert sum(new) == 500_000
    assert sum(pack.added.count for pack in packs) == 100


def test_an_upload_that_fails_fails_the_push(store: Store) -> None:
    """The error of a worker comes out of `drain`, and no pack counts as stored."""
    backend = FaultyBackend(store._parts.backend)
    backend.fail(at=0, forever=True, error=StorageFull)
    writer = writer_of(store, backend=backend)
    writer.put(PackType.DATA, chunks_of(writer, b"data"))
    with pytest.raises(StorageFull):
        writer.drain()
    assert list(store._parts.backend.list("packs/")) == []


def test_finished_packs_keep_no_bytes(store: Store) -> None:
    """What is stored is let go of: a push holds a few packs in memory, not all."""
    writer = writer_of(store)
    writer.put(PackType.DATA, chunks_of(writer, b"data"))
    assert [pack.data for pack in writer.drain()] == [None]


def test_what_lies_in_a_damaged_pack_is_put_again(store: Store) -> None:
    """It is known again once it lies in a whole pack too, or the pack is found whole."""
    committer = store._parts.committer
    writer = writer_of(store)
    chunks = chunks_of(writer, noise(70_000, 1), noise(70_000, 2))
    writer.put(PackType.DATA, chunks[:1])
    (first,) = writer.drain()
    committer.commit([], [first])
    assert writer_of(store).put(PackType.DATA, chunks) == 70_000
    committer.commit([Damage([first.added.name], [])])
    again = writer_of(store)
    assert again.put(PackType.DATA, chunks) == 140_000
    committer.commit([], again.drain())
    assert writer_of(store).put(PackType.DATA, chunks) == 0
    committer.commit([Damage([], [first.added.name])])
    assert writer_of(store).put(PackType.DATA, chunks) == 0
