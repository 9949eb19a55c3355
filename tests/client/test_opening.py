"""Creating and opening: what is already there, whose it is, which release made it, and the client's index."""

import os
import pickle
import shutil
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.backend.opening import open_backend
from artifactstore.errors import (
    Damaged,
    ForeignContents,
    KeyMissing,
    NewerStore,
    NoSuchStore,
    RolledBack,
    StoreExists,
    UntrustedBackend,
    UsageError,
    WrongKey,
)
from artifactstore.format.record import slot_name
from artifactstore.index.environment import Environment
from artifactstore.index.tables import LAYOUT, META, TABLES, Facts, write_facts
from tests.stores import all_objects, make_store, objects_of, read_tree, reopened, state_of, write_tree

pytestmark = pytest.mark.places("folder", "s3")


@pytest.fixture
def place(tmp_path: Path) -> str:
    """The URL of a store with one version."""
    write_tree(tmp_path / "in", {"a": b"data"})
    with make_store(tmp_path) as store:
        store.push([tmp_path / "in"], "p/n")
    return store.url


def copied(place: str) -> dict[str, bytes]:
    """Every object of a store."""
    return all_objects(open_backend(place))


def pulled(tmp_path: Path, store: Store) -> dict:
    shutil.rmtree(tmp_path / "out", ignore_errors=True)
    store.pull("p/n", tmp_path / "out")
    return read_tree(tmp_path / "out")


def index_of(store: Store) -> Path:
    return store._parts.environment.path


# --- what lies at the URL -----------------------------------------------------------------------------------


def test_a_second_store_is_not_made(tmp_path: Path, place: str) -> None:
    """A store is never replaced by a new one."""
    before = copied(place)
    with pytest.raises(StoreExists):
        make_store(tmp_path, place)
    assert copied(place) == before


@pytest.mark.places("folder")
@pytest.mark.parametrize("content", [{"notes.txt": b"mine"}, {"sub/a": b"mine"}, {"packs/ab/x": b""}])
def test_a_place_that_holds_other_things_is_refused(tmp_path: Path, content: dict) -> None:
    """Nothing is mixed into somebody's folder, and what is there is named."""
    write_tree(tmp_path / "store", content)
    with pytest.raises(ForeignContents) as caught:
        make_store(tmp_path, tmp_path / "store")
    assert next(iter(content)) in str(caught.value)
    assert read_tree(tmp_path / "store") == content
    assert not (tmp_path / "key").exists()


@pytest.mark.places("folder")
def test_a_place_that_is_a_file_is_refused(tmp_path: Path) -> None:
    """A store is a folder."""
    (tmp_path / "store").write_bytes(b"mine")
    with pytest.raises(ForeignContents):
        make_store(tmp_path, tmp_path / "store")


@pytest.mark.places("folder")
@pytest.mark.parametrize("content", [None, {}, {"notes.txt": b"mine"}])
def test_a_place_without_a_store_is_said(tmp_path: Path, place: str, content: dict | None) -> None:
    """Opening makes nothing."""
    if content is not None:
        write_tree(tmp_path / "other", content)
    with pytest.raises(NoSuchStore) as caught:
        reopened(tmp_path, tmp_path / "other")
    assert caught.value.exit_code == 3
    assert (tmp_path / "other").exists() == (content is not None)


def test_an_init_that_was_cut_can_be_repeated(tmp_path: Path, place: str) -> None:
    """Keys without a record are nobody's: a store can be made beside them."""
    backend = open_backend(place)
    for name in copied(place):
        if not name.startswith("keys/"):
            backend.delete(name)
    with make_store(tmp_path, place) as store:
        store.push([tmp_path / "in"], "p/n")
        assert pulled(tmp_path, store) == {"a": b"data"}


def test_another_store_in_the_place_of_ours_is_refused(tmp_path: Path, place: str) -> None:
    """A client remembers which store it saw at a URL; the key alone doesn't make it the same."""
    backend = open_backend(place)
    with make_store(tmp_path) as other:
        other_id = other.id
        second = objects_of(other)
    for name in copied(place):
        backend.delete(name)
    for name, data in second.items():
        backend.put(name, data)
    with pytest.raises(RolledBack, match="another store") as caught:
        reopened(tmp_path, place)
    assert caught.value.facts["found"] == other_id
    with reopened(tmp_path, place, store_id=other_id) as store:
        assert store.projects() == []
    with reopened(tmp_path, place) as store:
        assert store.id == other_id


def test_a_wanted_id_is_enforced(tmp_path: Path, place: str) -> None:
    """`store_id` is for who knows the store and has no memory of it."""
    with reopened(tmp_path, place) as store:
        right = store.id
    with pytest.raises(RolledBack):
        reopened(tmp_path, place, cache="fresh", store_id="00" * 32)
    with reopened(tmp_path, place, cache="fresh", store_id=right) as store:
        assert store.id == right


# --- record 0 ---------------------------------------------------------------------------------------------------


def test_a_store_of_a_newer_format_is_refused(tmp_path: Path, place: str) -> None:
    """The version stands in the first bytes, so that no release takes a newer store for a broken one."""
    data = copied(place)[slot_name(0)]
    open_backend(place).put(slot_name(0), data[:4] + b"\0\x02" + data[6:])
    with pytest.raises(NewerStore, match="format 2") as caught:
        reopened(tmp_path, place)
    assert "upgrade" in caught.value.next_step


@pytest.mark.parametrize("at", [0, 20, 100, -1])
def test_an_altered_first_record_is_damage(tmp_path: Path, place: str, at: int) -> None:
    """Record 0 signs itself; a store id can't be had for another key's record."""
    data = bytearray(copied(place)[slot_name(0)])
    data[at] ^= 1
    open_backend(place).put(slot_name(0), bytes(data))
    with pytest.raises((Damaged, RolledBack)):
        reopened(tmp_path, place)


@pytest.mark.parametrize("data", [b"", b"x" * 1000, bytes(17 << 20)], ids=["empty", "garbage", "too large"])
def test_a_first_record_that_is_none_is_damage(tmp_path: Path, place: str, data: bytes) -> None:
    """Whatever lies there, it is our error, and the length is looked at first."""
    open_backend(place).put(slot_name(0), data)
    with pytest.raises(Damaged):
        reopened(tmp_path, place, cache="fresh")


# --- keys ---------------------------------------------------------------------------------------------------------


def test_a_missing_key_is_said(tmp_path: Path, place: str) -> None:
    """Opening makes no key: a new one would open nothing."""
    (tmp_path / "key").unlink()
    with pytest.raises(KeyMissing) as caught:
        reopened(tmp_path, place)
    assert "restore" in caught.value.next_step
    assert not (tmp_path / "key").exists()


def test_a_wrong_key_is_said(tmp_path: Path, place: str) -> None:
    """Another store's key opens no slot of this one."""
    (tmp_path / "other").mkdir()
    make_store(tmp_path / "other").close()
    with pytest.raises(WrongKey) as caught:
        Store.open(place, key_file=tmp_path / "other/key", cache_dir=tmp_path / "cache")
    assert caught.value.exit_code == 5
    assert place in caught.value.message
    assert str(tmp_path / "other/key") in caught.value.message


@pytest.mark.places("folder")
def test_relative_places_are_held_on_to(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is opened again, in another process or after a fork, is where it was, whatever folder that is."""
    monkeypatch.chdir(tmp_path)
    with Store.open(os.path.relpath(place), key_file=Path("key"), cache_dir=Path("cache")) as store:
        packed = pickle.dumps(store)
        assert store.key_file == tmp_path / "key"
    monkeypatch.chdir("/")
    with pickle.loads(packed) as again:
        assert again.url == place
        assert again.index_info().path.is_relative_to(tmp_path / "cache")


def test_an_existing_key_serves_several_stores(tmp_path: Path, place: str) -> None:
    """One key file per user; it is never replaced."""
    before = (tmp_path / "key").read_bytes()
    make_store(tmp_path).close()
    assert (tmp_path / "key").read_bytes() == before


# --- the probe ------------------------------------------------------------------------------------------------------


@pytest.mark.places("memory")
def test_a_backend_that_overwrites_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store on it could lose data; who is the only writer may vouch for that."""
    from artifactstore.backend.memory import MemoryBackend

    monkeypatch.setattr(MemoryBackend, "create", lambda self, name, data: self.put(name, data))
    write_tree(tmp_path / "in", {"a": b"x"})
    with pytest.raises(UntrustedBackend):
        make_store(tmp_path).push([tmp_path / "in"], "p/n")
    with make_store(tmp_path, single_writer=True) as store:
        assert store.push([tmp_path / "in"], "p/n").number == 0


# --- the client index ------------------------------------------------------------------------------------------------


def test_a_deleted_index_is_made_again_with_a_word(tmp_path: Path, place: str) -> None:
    """All of it comes back from the log."""
    with reopened(tmp_path, place) as store:
        path = index_of(store)
    shutil.rmtree(path)
    with reopened(tmp_path, place) as store:
        assert pulled(tmp_path, store) == {"a": b"data"}
        assert any(str(path) in notice for notice in store.notices)
    with reopened(tmp_path, place) as store:
        assert store.notices == []


@pytest.mark.parametrize("kept", [0, 1, 100, 4096, 8192, 12288, -4096])
def test_a_cut_index_is_made_again_with_a_word(tmp_path: Path, place: str, kept: int) -> None:
    """However much is left of it, it neither kills the process nor gives wrong data."""
    with reopened(tmp_path, place) as store:
        path = index_of(store) / "data.mdb"
    data = path.read_bytes()
    path.write_bytes(data[:kept])
    with reopened(tmp_path, place) as store:
        assert pulled(tmp_path, store) == {"a": b"data"}
        assert len(store.notices) == 1
        assert store.check(read_data=True).ok


@pytest.mark.parametrize("data", [b"garbage" * 10_000, bytes(100_000)])
def test_an_index_of_garbage_is_made_again(tmp_path: Path, place: str, data: bytes) -> None:
    """A file that is no index is not taken for one."""
    with reopened(tmp_path, place) as store:
        path = index_of(store) / "data.mdb"
    path.write_bytes(data)
    with reopened(tmp_path, place) as store:
        assert pulled(tmp_path, store) == {"a": b"data"}
        assert any("built anew" in notice for notice in store.notices)


def test_an_index_of_another_store_is_made_again(tmp_path: Path, place: str) -> None:
    """A copied cache tells nothing about this store."""
    with reopened(tmp_path, place) as store:
        mine = index_of(store)
    write_tree(tmp_path / "in", {"secret": b"theirs"})
    with make_store(tmp_path) as other:
        other.push([tmp_path / "in"], "p/n")
        theirs = index_of(other)
    shutil.rmtree(mine)
    shutil.copytree(theirs, mine)
    with reopened(tmp_path, place) as store:
        assert any("another store" in notice for notice in store.notices)
        assert pulled(tmp_path, store) == {"a": b"data"}


@pytest.mark.parametrize("what", ["layout", "facts", "position"])
def test_an_index_that_can_not_be_understood_is_made_again(tmp_path: Path, place: str, what: str) -> None:
    """One of another release, or with rows that don't parse, is not guessed at."""
    with reopened(tmp_path, place) as store:
        path, store_id = index_of(store), bytes.fromhex(store.id)
    with Environment.open(path, tables=TABLES) as environment, environment.write() as txn:
        if what == "layout":
            write_facts(txn, Facts(LAYOUT + 1, store_id, bytes(32)))
        else:
            txn.put(META, what.encode(), b"\xc1garbage")
    with reopened(tmp_path, place) as store:
        assert len(store.notices) == 1
        assert pulled(tmp_path, store) == {"a": b"data"}


def test_an_index_rolled_back_is_caught_up(tmp_path: Path, place: str) -> None:
    """An old copy of the index, from a backup, knows less and not wrongly."""
    with reopened(tmp_path, place) as store:
        path = index_of(store)
    shutil.copytree(path, tmp_path / "old")
    write_tree(tmp_path / "in", {"b": b"more"})
    with reopened(tmp_path, place) as store:
        store.push([tmp_path / "in"], "p/n")
    shutil.rmtree(path)
    (tmp_path / "old").rename(path)
    with reopened(tmp_path, place) as store:
        assert pulled(tmp_path, store) == {"a": b"data", "b": b"more"}
        assert store.check(read_data=True).ok


def test_opening_changes_nothing_on_the_backend(tmp_path: Path, place: str) -> None:
    """Reading needs no right to write."""
    before = copied(place)
    with reopened(tmp_path, place, cache="fresh") as store:
        assert pulled(tmp_path, store) == {"a": b"data"}
        assert state_of(store)
    assert copied(place) == before


@pytest.mark.parametrize("named", ["12", "zz" * 32, "ab" * 33])
def test_an_id_that_is_none_is_a_slip_of_the_pen(tmp_path: Path, named: str) -> None:
    """It is said before anything is asked of keys, and not taken for another store."""
    with make_store(tmp_path) as store, pytest.raises(UsageError, match="64 hex digits") as caught:
        reopened(tmp_path, store, store_id=named)
    assert caught.value.facts == {"store_id": named}


def test_an_id_that_was_asked_for_is_named(tmp_path: Path) -> None:
    """Upper case will do, and another one is told with both."""
    with make_store(tmp_path) as store:
        reopened(tmp_path, store, store_id=store.id.upper()).close()
        with pytest.raises(RolledBack, match="than was asked for") as caught:
            reopened(tmp_path, store, store_id="ab" * 32)
    assert caught.value.facts == {"expected": "ab" * 32, "found": store.id}
