"""No space, on a disk that is full and by injection: for push, pull, index and key file; and read-only disks."""

import errno
import os
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.errors import PermissionRefused, StorageFull
from artifactstore.index.environment import Environment
from artifactstore.keyring import keyfile
from tests.scenarios.as_somebody import SmallDisk, small_disk
from tests.stores import make_store, noise, read_tree, reopened, state_of, write_tree

OLD = {"kept": b"what was pushed before"}
NEW = {f"{number}": noise(300_000, number) for number in range(8)}


@pytest.fixture
def disk(tmp_path: Path):
    with small_disk(tmp_path / "disk") as made:
        yield made


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "old", OLD)


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "new", NEW)


def no_space(*_: object, **__: object) -> int:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def said(error: StorageFull) -> None:
    """It says what to do and exits as a full disk does."""
    assert "free some space" in error.next_step
    assert error.exit_code == 7


# --- a store's disk -----------------------------------------------------------------------------------------


def test_a_push_to_a_full_disk(tmp_path: Path, disk: SmallDisk, old: Path, new: Path) -> None:
    """The store is as it was, can still be read, and takes the push when there is space."""
    with make_store(tmp_path, disk.path / "store") as store:
        store.push([old], "p/old")
        before = state_of(store)
        with pytest.raises(StorageFull) as caught:
            store.push([new], "p/new")
        said(caught.value)
        assert state_of(store) == before
        assert list((disk.path / "store").rglob("tmp/*")) == []
        assert store.check(read_data=True).ok
        store.pull("p/old", tmp_path / "out")
        disk.remount("size=16m")
        assert store.push([new], "p/new").number == 0
        store.pull("p/new", tmp_path / "out2")
        assert read_tree(tmp_path / "out2") == NEW
        assert store.check(read_data=True).ok


def test_a_record_without_space(tmp_path: Path, disk: SmallDisk, old: Path) -> None:
    """Not even an alias fits: nothing is half written."""
    with make_store(tmp_path, disk.path / "store") as store:
        store.push([old], "p/old")
        before = state_of(store)
        ballast = disk.fill(left=0)
        with pytest.raises(StorageFull):
            store.add_aliases("p/old", ["x"])
        assert state_of(store) == before
        ballast.unlink()
        assert store.add_aliases("p/old", ["x"]).aliases == ("latest", "x")


def test_a_store_is_not_made_on_a_full_disk(tmp_path: Path, disk: SmallDisk, old: Path) -> None:
    """What is left of the attempt is in nobody's way."""
    ballast = disk.fill(left=0)
    with pytest.raises(StorageFull):
        make_store(tmp_path, disk.path / "store")
    ballast.unlink()
    with make_store(tmp_path, disk.path / "store") as store:
        store.push([old], "p/old")
        assert store.check(read_data=True).ok


def test_a_read_only_disk(tmp_path: Path, disk: SmallDisk, old: Path) -> None:
    """A store that can't be written is read as ever, and says why it takes nothing."""
    with make_store(tmp_path, disk.path / "store") as store:
        store.push([old], "p/old")
        disk.remount("ro")
        before = state_of(store)
        for write in (
            lambda: store.push([write_tree(tmp_path / "in", {"a": b"x"})], "p/n"),
            lambda: store.add_tags("p/old", ["x"]),
        ):
            with pytest.raises(PermissionRefused) as caught:
                write()
            assert caught.value.exit_code == 5
        store.pull("p/old", tmp_path / "out")
        assert read_tree(tmp_path / "out") == OLD
        assert store.check(read_data=True).ok
        assert state_of(store) == before
    with reopened(tmp_path, disk.path / "store", cache="fresh") as again:
        assert again.version("p/old").number == 0
        with pytest.raises(PermissionRefused):
            again.push([old], "p/other")
        disk.remount("rw")
        assert again.push([old], "p/other").number == 0


# --- a destination's disk -----------------------------------------------------------------------------------


@pytest.mark.parametrize("into_the_mount", [False, True])
def test_a_pull_to_a_full_disk(tmp_path: Path, disk: SmallDisk, new: Path, into_the_mount: bool) -> None:
    """Nothing appears at the destination, and with more space the pull goes on where it stood."""
    destination = disk.path if into_the_mount else disk.path / "out"
    with make_store(tmp_path) as store:
        store.push([new], "p/new")
        with pytest.raises(StorageFull) as caught:
            store.pull("p/new", destination)
        said(caught.value)
        assert [path for path in disk.path.iterdir() if not path.name.endswith(".partial")] == []
        disk.remount("size=16m")
        done = store.pull("p/new", destination)
        assert read_tree(destination) == NEW
        assert done.bytes_kept > 0
        assert done.bytes_kept + done.bytes_written == done.logical_bytes


@pytest.mark.parametrize("call", ["pwrite", "write", "mkdir"])
def test_a_pull_that_is_refused_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """By injection, at each call that takes space."""
    tree = {"small": b"x", "large": noise(2 << 20), "sub/deep": b"y"}
    with make_store(tmp_path) as store:
        store.push([write_tree(tmp_path / "in", tree)], "p/n")
        monkeypatch.setattr(os, call, no_space)
        with pytest.raises(StorageFull) as caught:
            store.pull("p/n", tmp_path / "out")
        said(caught.value)
        monkeypatch.undo()
        assert not (tmp_path / "out").exists()
        store.pull("p/n", tmp_path / "out")
        assert read_tree(tmp_path / "out") == tree


# --- the index's disk ------------------------------------------------------------------------------------------


def test_an_index_on_a_full_disk(tmp_path: Path, disk: SmallDisk, old: Path) -> None:
    """Nothing is known wrongly afterwards: with space, everything goes on."""
    with Store.create(tmp_path / "store", key_file=tmp_path / "key", cache_dir=disk.path / "cache") as store:
        store.push([old], "p/old")
        many = write_tree(tmp_path / "many", {f"{n // 100}/{n}": noise(10, n) for n in range(3000)})
        ballast = disk.fill(left=8192)
        with pytest.raises(StorageFull):
            store.push([many], "p/many")
        ballast.unlink()
        disk.remount("size=64m")
        version = store.push([many], "p/many")
        assert version.file_count == 3000
        store.pull("p/many", tmp_path / "out")
        assert read_tree(tmp_path / "out") == read_tree(many)
        assert store.check(read_data=True).ok


def test_no_index_can_be_made_on_a_full_disk(tmp_path: Path, disk: SmallDisk, old: Path) -> None:
    """Opening says so; the store has nothing to do with it."""
    with make_store(tmp_path, tmp_path / "store") as store:
        store.push([old], "p/old")
    ballast = disk.fill(left=0)
    with pytest.raises(StorageFull):
        reopened(tmp_path, tmp_path / "store", cache="disk/cache").projects()
    ballast.unlink()
    with reopened(tmp_path, tmp_path / "store", cache="disk/cache") as store:
        assert store.version("p/old").number == 0


@pytest.mark.parametrize("at", [0, 1, 2])
def test_an_index_that_is_refused_space(
    tmp_path: Path, old: Path, new: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """By injection, at each of a push's transactions: what is acknowledged stays, and repeating is safe."""
    with make_store(tmp_path) as store:
        store.push([old], "p/old")
        original, left = Environment.write, [at]

        def writing(self: Environment):
            if not left[0]:
                raise StorageFull("no space left for the index", path=str(self.path))
            left[0] -= 1
            return original(self)

        monkeypatch.setattr(Environment, "write", writing)
        try:
            store.push([new], "p/new")
        except StorageFull as error:
            said(error)
        monkeypatch.undo()
        assert store.push([new], "p/new").number == 0
        assert len(store.versions("p/new")) == 1
        assert store.check(read_data=True).ok


# --- the key file's disk ------------------------------------------------------------------------------------------


def test_a_key_file_on_a_full_disk(tmp_path: Path, disk: SmallDisk) -> None:
    """Neither half a key nor a store that nobody could open."""
    ballast = disk.fill(left=0)
    with pytest.raises(StorageFull):
        Store.create(tmp_path / "store", key_file=disk.path / "config/key", cache_dir=tmp_path / "cache")
    assert [path.name for path in disk.path.rglob("*") if path.is_file()] == ["ballast"]
    assert not (tmp_path / "store" / "log").exists()
    ballast.unlink()
    with Store.create(tmp_path / "store", key_file=disk.path / "config/key", cache_dir=tmp_path / "cache"):
        assert (disk.path / "config/key").stat().st_mode & 0o777 == 0o600


def test_a_key_file_that_is_refused_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By injection."""
    monkeypatch.setattr(keyfile.os, "write", no_space)
    with pytest.raises(StorageFull) as caught:
        make_store(tmp_path, tmp_path / "store")
    said(caught.value)
    monkeypatch.undo()
    assert not (tmp_path / "key").exists()
    make_store(tmp_path, tmp_path / "store").close()
