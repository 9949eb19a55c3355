"""Finding chunks without a whole index: footers that a version names, then index packs, and all of it before a push."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.catalog import state as state_module
from artifactstore.clock import SystemRandomness
from artifactstore.content import locate
from artifactstore.content.packs import pack_up
from artifactstore.errors import ConnectionLost, Damaged
from artifactstore.format.coding import encode
from artifactstore.format.pack import PackType
from artifactstore.format.segment import split_rows
from artifactstore.index.partial import unloaded
from artifactstore.index.tables import CHUNKS, FOOTERS, locations
from artifactstore.pack.names import pack_name
from artifactstore.testing import FaultyBackend, MeteredBackend
from tests.stores import RudeWriter, make_store, noise, read_tree, reopened, write_tree

pytestmark = pytest.mark.places("memory", "s3")

PUSHES = 12
FILES = 30


@pytest.fixture(autouse=True, params=["whole index packs", "segments"])
def small_parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every push makes an index pack of several segments, and states come often."""
    monkeypatch.setattr("artifactstore.catalog.commit.INLINE_INDEX_BYTES_MAX", 100)
    monkeypatch.setattr("artifactstore.format.segment.SEGMENT_ROWS_MAX", 8)
    monkeypatch.setattr(state_module, "_TAIL_BYTES_MIN", 3000)
    if request.param == "segments":
        monkeypatch.setattr(locate, "_WHOLE_BYTES_MAX", 0)


@pytest.fixture
def store(tmp_path: Path):
    """A store of several artifacts; `p/all` holds what the others brought and next to nothing of its own."""
    with make_store(tmp_path) as made:
        for number in range(PUSHES):
            tree = {f"{number}/{name}": noise(300, number * FILES + name) for name in range(FILES)}
            made.push([write_tree(tmp_path / "in", tree) / str(number)], f"p/n{number % 3}")
        made.push([tmp_path / "in"], "p/all")
        yield made


@pytest.fixture
def newcomer(tmp_path: Path, store: Store):
    """A client that has followed the log and looked nothing up."""
    with reopened(tmp_path, store, cache="fresh") as other:
        other.refresh()
        yield other


def rows_in(store: Store) -> int:
    with store._parts.environment.read() as txn:
        return txn.count(CHUNKS)


def rest_of(store: Store) -> list[bytes]:
    with store._parts.environment.read() as txn:
        return unloaded(txn)


def metered(store: Store) -> MeteredBackend:
    """Put a meter under everything that looks chunks up and reads them."""
    parts = store._parts
    meter = MeteredBackend(parts.backend)
    parts.locator._backend = parts.reader._backend = meter
    return meter


def refs_of(store: Store, kind: PackType) -> dict[str, bytes]:
    """Object name to pack name of all packs of a type."""
    with store._parts.environment.read() as txn:
        return {
            pack_name(pack.added.name): pack.added.name
            for pack in store._parts.packs.all(txn)
            if pack.added.type == kind
        }


def test_a_newcomer_loads_no_index_pack(store: Store, newcomer: Store) -> None:
    """Following the log asks for the state and the tail; the catalog is all there."""
    assert rest_of(newcomer)
    assert rest_of(store) == []
    assert rows_in(newcomer) < rows_in(store) / 10
    assert len(newcomer.versions("p/n1")) == len(store.versions("p/n1"))


def test_a_version_is_found_in_the_footers_of_its_packs(
    tmp_path: Path, store: Store, newcomer: Store
) -> None:
    """One look at the packs that it names, and what they hold is known; the second pull looks up nothing."""
    meter = metered(newcomer)
    newcomer.pull("p/n2:v1", tmp_path / "out")
    store.pull("p/n2:v1", tmp_path / "same")
    assert read_tree(tmp_path / "out") == read_tree(tmp_path / "same")
    segments_read = [
        asked for asked in meter.asked if asked.name in refs_of(store, PackType.INDEX) and asked.round > 1
    ]
    assert segments_read == []
    meter.reset()
    newcomer.pull("p/n2:v1", tmp_path / "again")
    assert {asked.name for asked in meter.asked} <= {
        *refs_of(store, PackType.DATA),
        *refs_of(store, PackType.PAGE),
    }
    with newcomer._parts.environment.read() as txn:
        assert txn.count(FOOTERS) or not unloaded(txn)


def test_what_no_named_pack_holds_is_found_in_index_packs(
    tmp_path: Path, store: Store, newcomer: Store
) -> None:
    """Chunks that came with other artifacts are looked up by fan-out and segment, and kept."""
    newcomer.pull("p/all", tmp_path / "out")
    assert read_tree(tmp_path / "out") == read_tree(tmp_path / "in")
    assert newcomer.check(read_data=True).ok


def test_single_files_are_found_too(tmp_path: Path, newcomer: Store) -> None:
    """Listing and opening look up no more than they read."""
    version = newcomer.version("p/all")
    assert len(list(version.files())) == PUSHES * FILES
    with version.open("7/4") as file:
        assert file.read() == noise(300, 7 * FILES + 4)


def test_hints_are_only_hints(tmp_path: Path, store: Store, newcomer: Store) -> None:
    """Packs that a version names wrongly, that are gone or altered change nothing as long as an index pack tells."""
    names = list(refs_of(store, PackType.DATA))
    broken = store._parts.backend.get(names[0], limit_bytes=1 << 20)
    store._parts.backend.put(names[0], broken[:-1] + b"!")
    newcomer._parts.locator.expect([*refs_of(store, PackType.DATA).values(), b"unknown".ljust(32)])
    newcomer.pull("p/all", tmp_path / "out")
    assert read_tree(tmp_path / "out") == read_tree(tmp_path / "in")


def test_a_push_knows_everything_that_is_stored(tmp_path: Path, store: Store, newcomer: Store) -> None:
    """Dedup takes what the index does not know for new, so the rest is loaded before it."""
    pushed = newcomer.push([tmp_path / "in"], "p/other")
    assert pushed.push is not None
    assert pushed.push.new_bytes == 0
    assert rest_of(newcomer) == []
    assert rows_in(newcomer) == rows_in(store)
    with newcomer._parts.environment.read() as txn:
        assert txn.count(FOOTERS) == 0


def test_its_own_index_packs_are_not_read_back(tmp_path: Path, store: Store) -> None:
    """A client that pushes stays complete by what it knows itself."""
    meter = metered(store)
    for number in range(5):
        tree = {f"new{number}/{name}": noise(200, 10_000 + number * 50 + name) for name in range(20)}
        store.push([write_tree(tmp_path / "more", tree)], "p/more")
        assert rest_of(store) == []
    assert not [asked for asked in meter.asked if asked.method.startswith("get")]


def test_a_load_that_was_cut_goes_on(store: Store, newcomer: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Index packs that are loaded whole are not fetched again; none counts as loaded before it is."""
    monkeypatch.setattr("artifactstore.content.packs.FETCHED_BYTES_MAX", 1)
    locator = newcomer._parts.locator
    faulty = FaultyBackend(newcomer._parts.backend)
    locator._backend = faulty
    before = rest_of(newcomer)
    assert len(before) > 2
    faulty.fail(at=2, error=ConnectionLost)
    with pytest.raises(ConnectionLost):
        locator.complete()
    assert rest_of(newcomer) == before[2:]
    faulty.reset()
    locator.complete()
    assert [operation.name for operation in faulty.operations] == [pack_name(name) for name in before[2:]]
    assert rows_in(newcomer) == rows_in(store)


def test_an_index_pack_that_was_merged_away_is_not_asked(
    tmp_path: Path, store: Store, newcomer: Store
) -> None:
    """A record names the index packs that are current; what it leaves out may be gone from the backend."""
    before = rest_of(newcomer)
    for number in range(40):
        store.push([write_tree(tmp_path / "more", {f"{number}": noise(300, 99_000 + number)})], "p/more")
    current = store._parts.catalog.position().index_packs
    gone = set(before) - set(current)
    assert gone
    for name in gone:
        store._parts.backend.delete(pack_name(name))
    newcomer.pull("p/all", tmp_path / "out")
    assert set(rest_of(newcomer)) <= set(current)
    assert read_tree(tmp_path / "out") == read_tree(tmp_path / "in")
    newcomer.push([tmp_path / "more"], "p/more")
    assert rows_in(newcomer) == rows_in(store)


def test_another_location_is_looked_for_where_one_is_damaged(store: Store, newcomer: Store) -> None:
    """Not all locations of a chunk are known at first: before it is given up, the index packs are asked."""
    writer = RudeWriter(store)
    data = noise(300, 5)
    cid = writer.writer.cid_of(PackType.DATA, data)
    with store._parts.environment.read() as txn:
        (first,) = locations(txn, cid)
        old = store._parts.packs.get(txn, first.pack)
        assert old is not None
    (again,) = pack_up(store._parts.keyring, PackType.DATA, [data, b"x"], SystemRandomness())
    assert again.data is not None
    store._parts.backend.put(again.name, again.data)
    store._parts.committer.commit([], [again])
    newcomer.refresh()
    newcomer._parts.locator.expect([old.added.name])
    store._parts.backend.delete(pack_name(old.added.name))
    assert newcomer._parts.reader.read(PackType.DATA, cid) == data
    assert newcomer._parts.reader.read_many(PackType.DATA, [cid]) == [data]


@pytest.mark.parametrize("how", ["missing", "altered"])
def test_footers_stand_in_for_an_index_pack_that_cannot_be_read(
    tmp_path: Path, store: Store, newcomer: Store, how: str
) -> None:
    """They give the same, at the price of a look into each pack; a word says so."""
    names = {pack_name(name) for name in rest_of(newcomer)}
    for name in names:
        data = store._parts.backend.get(name, limit_bytes=1 << 20)
        if how == "missing":
            store._parts.backend.delete(name)
        else:
            middle = len(data) // 2
            store._parts.backend.put(name, data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])
    newcomer.pull("p/n0:v0", tmp_path / "out")
    newcomer.pull("p/all", tmp_path / "all")
    assert read_tree(tmp_path / "all") == read_tree(tmp_path / "in")
    newcomer._parts.locator.complete()
    assert rows_in(newcomer) == rows_in(store)
    assert names <= {word.rstrip(";") for notice in newcomer.notices for word in notice.split()}


@pytest.mark.parametrize(
    "change",
    [
        lambda firsts: firsts[:-1],
        lambda firsts: [bytes(16), *firsts[1:]],
        lambda firsts: [],
    ],
)
def test_a_fan_out_that_lies_hides_nothing(
    store: Store, newcomer: Store, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    """Somebody with the key may seal any fan-out; nobody is led past a chunk by it."""
    parts = store._parts
    with parts.environment.read() as txn:
        rows = sorted(key + bytes(4) + value[4:29] for key, value in txn.scan(CHUNKS))[:20]
        first = next(parts.packs.all(txn))
    segments = split_rows([first.added.name], rows)
    chunks = [data for _, data in segments] + [encode(change([prefix for prefix, _ in segments]))]
    (pack,) = pack_up(parts.keyring, PackType.INDEX, chunks, SystemRandomness())
    assert pack.data is not None
    parts.backend.put(pack.name, pack.data)
    parts.committer.commit([], [pack])
    newcomer.refresh()
    cids = [row[:16] + bytes(16) for row in rows]
    assert all(newcomer._parts.locator.locations([b"\xff" * 32, *cids])[1:])
    assert newcomer._parts.locator.locations([b"\xff" * 32]) == [[]]
    assert pack.name in " ".join(newcomer.notices)


def test_an_index_pack_that_nothing_registers_is_damage(newcomer: Store) -> None:
    """An index that names one is not an honest one."""
    from artifactstore.index.partial import set_unloaded

    with newcomer._parts.environment.write() as txn:
        set_unloaded(txn, [*unloaded(txn), b"?" * 32])
    for ask in (newcomer._parts.locator.complete, lambda: newcomer._parts.locator.locations([bytes(32)])):
        with pytest.raises(Damaged, match="not registered"):
            ask()


def test_an_unknown_chunk_has_no_location(newcomer: Store) -> None:
    """What no index pack holds is nowhere; the segments that could have held it are loaded."""
    assert newcomer._parts.locator.locations([bytes(32), b"\xff" * 32]) == [[], []]
    assert rows_in(newcomer) > 0


def test_threads_may_look_up_the_same_at_once(tmp_path: Path, newcomer: Store) -> None:
    """Nobody waits for another's look-up, and all find the same."""
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            newcomer.pull("p/all", tmp_path / f"out{number}")
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert all(read_tree(tmp_path / f"out{number}") == read_tree(tmp_path / "in") for number in range(4))


def test_two_locators_share_one_index(tmp_path: Path, store: Store, newcomer: Store) -> None:
    """Processes on one index: each writes what it found, and what one has loaded the other does not need."""
    with reopened(tmp_path, store, cache="fresh") as other:
        other.refresh()
        newcomer._parts.locator.complete()
        meter = metered(other)
        other._parts.locator.complete()
        assert meter.asked == []
        assert other.push([tmp_path / "in"], "p/z").push.new_bytes == 0  # type: ignore[union-attr]
