"""Getting chunks: never wrong bytes, from any location that is whole."""

from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.content.get import ChunkReader, Wanted
from artifactstore.errors import Damaged
from artifactstore.format.operations import Damage
from artifactstore.format.pack import PackType
from artifactstore.format.segment import ROW_TAIL, Location
from artifactstore.index.tables import CHUNKS, locations
from artifactstore.pack.ranges import Range
from artifactstore.testing import MeteredBackend
from tests.stores import RudeWriter, make_store, noise, write_tree

pytestmark = pytest.mark.places("memory", "s3")

DATA = [noise(3000, seed) for seed in range(10)]


@pytest.fixture
def store(tmp_path: Path):
    with make_store(tmp_path) as made:
        made.push([write_tree(tmp_path / "in", {f"{n}": data for n, data in enumerate(DATA)})], "p/n")
        yield made


@pytest.fixture
def cids(store: Store) -> list[bytes]:
    writer = RudeWriter(store).writer
    return [writer.cid_of(PackType.DATA, data) for data in DATA]


def reader_of(store: Store, backend=None, **bounds: int) -> ChunkReader:
    parts = store._parts
    return ChunkReader(
        backend or parts.backend, parts.environment, parts.packs, parts.keyring, parts.locator, **bounds
    )


def read_range(reader: ChunkReader, pack: int, span: Range, wanted: list[Wanted], sink) -> None:
    """Fetch a range and open it, as a pull does."""
    [data] = reader.fetch([(pack, span)])
    reader.open_range(PackType.DATA, pack, span, data, wanted, sink)


def rewrite(store: Store, cid: bytes, *found: Location) -> None:
    """Put other locations into the index."""
    with store._parts.environment.write() as txn:
        txn.put(CHUNKS, cid[:16], b"".join(ROW_TAIL.pack(*location) for location in found))


def where(store: Store, cid: bytes) -> Location:
    with store._parts.environment.read() as txn:
        return locations(txn, cid)[0]


def test_every_chunk_is_read_by_its_cid(store: Store, cids: list[bytes]) -> None:
    """A cid gives its bytes."""
    reader = reader_of(store)
    assert [reader.read(PackType.DATA, cid) for cid in cids] == DATA
    assert all(reader.matches(PackType.DATA, cid, data) for cid, data in zip(cids, DATA, strict=True))
    assert not reader.matches(PackType.PAGE, cids[0], DATA[0])


def test_neighbours_are_fetched_once(store: Store, cids: list[bytes]) -> None:
    """Chunks of one blob cost one request; the opened blob is kept."""
    metered = MeteredBackend(store._parts.backend)
    reader = reader_of(store, metered)
    for cid in cids:
        reader.read(PackType.DATA, cid)
    assert metered.requests["get_range"] == 1


def test_the_cache_of_blobs_is_bounded(store: Store, cids: list[bytes]) -> None:
    """What is read once doesn't stay for ever."""
    reader = reader_of(store, cache_bytes=10)
    assert reader.read(PackType.DATA, cids[0]) == DATA[0]
    assert len(reader._blobs) == 0
    assert reader._blob_bytes == 0


def test_an_unknown_chunk_is_damage(store: Store) -> None:
    """A manifest that names what no pack holds can't be served."""
    for ask in (
        lambda: reader_of(store).read(PackType.DATA, bytes(32)),
        lambda: reader_of(store).locate([bytes(32)]),
    ):
        with pytest.raises(Damaged, match="no location left"):
            ask()


@pytest.mark.parametrize(
    "change",
    [
        {"start": 1},
        {"span": 2999},
        {"offset": 49},
        {"length": 100},
        {"ordinal": 1},
        {"codec": 1},
        {"raw_length": 4096},
        {"pack": 77},
        {"length": 0xFFFF_FFFF},
        {"raw_length": 0xFFFF_FFFF},
        {"span": 0xFFFF_FFFF},
        {"offset": 0xFFFF_FFF0},
    ],
)
def test_an_index_that_lies_gives_no_wrong_bytes(store: Store, cids: list[bytes], change: dict) -> None:
    """Whatever a row says, what comes out is the chunk or `Damaged`, and never much memory (invariant 18)."""
    lie = where(store, cids[3])._replace(**change)
    rewrite(store, cids[3], lie)
    with pytest.raises(Damaged):
        reader_of(store).read(PackType.DATA, cids[3])
    got: list[bytes] = []
    span = Range(lie.offset, lie.length, ((lie.offset, lie.length),))
    with pytest.raises(Damaged):
        read_range(
            reader_of(store), lie.pack, span, [Wanted(cids[3], lie)], lambda _, data: got.append(bytes(data))
        )
    assert got == []


def test_another_location_is_taken_when_one_is_damaged(store: Store, cids: list[bytes]) -> None:
    """All known locations of a chunk are tried, in order, before it is given up."""
    good = where(store, cids[3])
    rewrite(store, cids[3], good._replace(start=good.start + 1), good._replace(pack=99), good)
    reader = reader_of(store)
    assert reader.read(PackType.DATA, cids[3]) == DATA[3]
    got = {}
    span = Range(good.offset, good.length, ((good.offset, good.length),))
    wanted = [Wanted(cid, where(store, cid)) for cid in cids]
    read_range(reader, good.pack, span, wanted, lambda cid, data: got.__setitem__(cid, bytes(data)))
    assert got == dict(zip(cids, DATA, strict=True))


def test_a_missing_pack_is_named(store: Store, cids: list[bytes]) -> None:
    """The error says which object is gone."""
    for info in list(store._parts.backend.list("packs/")):
        store._parts.backend.delete(info.name)
    with pytest.raises(Damaged, match="missing") as caught:
        reader_of(store).read(PackType.DATA, cids[0])
    assert str(caught.value.facts["object"]).startswith("packs/")


def test_a_damaged_pack_is_asked_last(store: Store, cids: list[bytes]) -> None:
    """A pack that a record calls damaged is read where nothing else holds the chunk."""
    backend = store._parts.backend
    (first,) = [info.name for info in backend.list("packs/") if info.size_bytes > 20_000]
    store._parts.committer.commit([Damage([bytes.fromhex(first.rpartition("/")[2])], [])])
    assert reader_of(store).read(PackType.DATA, cids[0]) == DATA[0]
    writer = RudeWriter(store).writer
    assert writer.put_one(PackType.DATA, DATA[0]) == cids[0]
    store._parts.committer.commit([], writer.drain())
    (at,) = reader_of(store).locate(cids[:1])
    metered = MeteredBackend(backend)
    assert reader_of(store, metered).read(PackType.DATA, cids[0]) == DATA[0]
    with store._parts.environment.read() as txn:
        assert [one.pack == at.pack for one in locations(txn, cids[0])] == [True, False]
        found = store._parts.packs.get(txn, at.pack)
    assert found is not None
    assert found.added.name.hex() not in first
