"""What bad input gets: an error of its own, with the facts and the next step, and a store that is as it was."""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.errors import (
    ArtifactStoreError,
    DestinationExists,
    ForeignContents,
    InvalidSource,
    KeyDamaged,
    KeyExposed,
    KeyMissing,
    NewerStore,
    NoSuchPath,
    NoSuchStore,
    PathCollision,
    PermissionRefused,
    SourceChanged,
    WrongKey,
)
from artifactstore.format.record import slot_name
from tests.scenarios.as_somebody import as_nobody, nobodys_folder
from tests.stores import make_store, noise, read_tree, reopened, state_of, write_tree

pytestmark = pytest.mark.places("folder", "s3")

OLD = {"kept": b"what was pushed before"}


@pytest.fixture
def store(tmp_path: Path):
    """A store with one version, which must survive everything."""
    with make_store(tmp_path) as made:
        made.push([write_tree(tmp_path / "old", OLD)], "p/old")
        yield made


def refused(
    store: Store, kind: type[ArtifactStoreError], call: Callable[[], object], *facts: str
) -> ArtifactStoreError:
    """The call is refused with an error of that class, which names the facts and what to do; nothing is changed."""
    before = state_of(store)
    with pytest.raises(kind) as caught:
        call()
    error = caught.value
    assert type(error) is kind
    assert error.kind != "error"
    assert error.next_step
    assert error.facts
    for fact in facts:
        assert fact in error.message
    assert state_of(store) == before
    assert store.check(read_data=True).ok
    assert [one.name for one in store.projects()] == ["p"]
    return error


# --- sources ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["absent", "absent/below", "old/kept/below"])
def test_no_such_path(tmp_path: Path, store: Store, name: str) -> None:
    """A path that isn't there."""
    refused(store, NoSuchPath, lambda: store.push([tmp_path / name], "p/n"), name)


@pytest.mark.places("folder")
def test_an_unreadable_file_and_folder() -> None:
    """A file, or folder, that this user may not read: refused and named, also for its reader's own push."""
    with nobodys_folder() as folder:

        def attempt() -> None:
            write_tree(folder / "in", {"good": b"x", "secret": b"s", "closed/x": b"x"})
            with make_store(folder, folder / "store") as store:
                store.push([write_tree(folder / "old", OLD)], "p/old")
                for name in ("secret", "closed"):
                    (folder / "in" / name).chmod(0)
                    refused(store, PermissionRefused, lambda: store.push([folder / "in"], "p/n"), name)
                    (folder / "in" / name).chmod(0o700)
                assert store.push([folder / "in"], "p/n").file_count == 3

        as_nobody(folder, attempt)


@pytest.mark.parametrize("what", ["FIFO", "socket", "device"])
def test_a_special_file(tmp_path: Path, store: Store, what: str) -> None:
    """A FIFO, a socket, a device."""
    folder = write_tree(tmp_path / "in", {"a": b"x"})
    os.chdir(folder)
    if what == "FIFO":
        os.mkfifo("special")
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("special")
    else:
        try:
            os.mknod("special", 0o020600, os.makedev(1, 5))
        except PermissionError:
            pytest.skip("this user can't make devices")
    refused(store, InvalidSource, lambda: store.push([folder], "p/n"), what, "special")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"a\x01b", "control"),
        (b"a\nb", "control"),
        (b"a\\b", "backslash"),
        (b"con", "device"),
        (b"x" * 255 + b"/" + b"y" * 255, ""),
    ],
)
def test_a_bad_name(tmp_path: Path, store: Store, name: bytes, words: str) -> None:
    """A name that is not UTF-8 or holds what some system can't; a long one is fine."""
    folder = write_tree(tmp_path / "in", {os.fsdecode(name): b"x"})
    if words:
        refused(store, InvalidSource, lambda: store.push([folder], "p/n"), words)
    else:
        assert store.push([folder], "p/n").file_count == 1


@pytest.mark.parametrize("path", ["../a", "a/../b", "/a", "a\0b", "a/"])
def test_a_bad_path_for_a_stream(store: Store, path: str) -> None:
    """Names that no file system gives, but --as can."""
    import io

    refused(store, InvalidSource, lambda: store.push([], "p/n", streams={path: io.BytesIO(b"x")}))


@pytest.mark.parametrize(("one", "other"), [("Read", "read"), ("é", "e\u0301"), ("ﬁ", "fi")])
def test_names_that_collide(tmp_path: Path, store: Store, one: str, other: str) -> None:
    """By case or Unicode form; both are named."""
    folder = write_tree(tmp_path / "in", {f"sub/{one}": b"1", f"sub/{other}": b"2"})
    refused(store, PathCollision, lambda: store.push([folder], "p/n"), f"sub/{one}", f"sub/{other}")


def test_a_file_that_a_thread_keeps_writing(tmp_path: Path, store: Store) -> None:
    """Either a version of one moment or `SourceChanged`; never a mixture."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "file").write_bytes(bytes(3 << 20))
    stop = threading.Event()

    def write() -> None:
        value = 0
        while not stop.is_set():
            value = (value + 1) % 256
            with (folder / "file").open("r+b") as file:
                for _ in range(12):
                    file.write(bytes([value]) * (256 << 10))

    writer = threading.Thread(target=write)
    writer.start()
    outcomes = set()
    try:
        for _ in range(200):
            if outcomes:
                break
            try:
                version = store.push([folder], "p/n")
            except SourceChanged as error:
                outcomes.add(("refused", error.facts["path"], bool(error.next_step)))
            else:
                assert len(version.open("file").read()) == 3 << 20
    finally:
        stop.set()
        writer.join()
    assert outcomes == {("refused", str(folder / "file"), True)}
    assert store.check(read_data=True).ok
    final = store.push([folder], "p/n")
    assert final.open("file").read() == (folder / "file").read_bytes()


def test_symlinks_that_loop_or_leave(tmp_path: Path, store: Store) -> None:
    """They are kept as symlinks, pushed without a look behind them and made last when pulled."""
    write_tree(tmp_path, {"outside/secret": b"not to be pushed"})
    tree = {
        "loop": "loop",
        "one": "other",
        "other": "one",
        "up": "../outside",
        "root": "/",
        "sub/self": ".",
        "sub/file": b"x",
    }
    version = store.push([write_tree(tmp_path / "in", tree)], "p/links")
    assert {entry.path for entry in version.files() if entry.kind == "symlink"} == set(tree) - {"sub/file"}
    store.pull("p/links", tmp_path / "out")
    assert read_tree(tmp_path / "out") == tree
    assert read_tree(tmp_path / "outside") == {"secret": b"not to be pushed"}
    store.pull("p/links", tmp_path / "out", overwrite=True)
    assert read_tree(tmp_path / "out") == tree


# --- destinations ---------------------------------------------------------------------------------------------


def test_a_destination_that_exists(tmp_path: Path, store: Store) -> None:
    """Nothing of it is touched."""
    write_tree(tmp_path / "out", {"mine": b"mine"})
    refused(store, DestinationExists, lambda: store.pull("p/old", tmp_path / "out"), "out")
    assert read_tree(tmp_path / "out") == {"mine": b"mine"}


@pytest.mark.parametrize("where", ["kept", "sub"])
def test_a_planted_symlink_in_an_overwritten_destination(tmp_path: Path, store: Store, where: str) -> None:
    """A link put in the way beforehand leads nowhere, as a file or as a folder."""
    store.push([write_tree(tmp_path / "new", {"kept": b"new", "sub/kept": b"new"})], "p/old")
    outside = write_tree(tmp_path / "outside", {"kept": b"theirs"})
    write_tree(tmp_path / "out", {where: str(outside / "kept" if where == "kept" else outside)})
    if where == "kept":
        store.pull("p/old", tmp_path / "out", overwrite=True)
        assert (tmp_path / "out/kept").read_bytes() == b"new"
    else:
        refused(store, DestinationExists, lambda: store.pull("p/old", tmp_path / "out", overwrite=True))
    assert read_tree(outside) == {"kept": b"theirs"}


@pytest.mark.places("folder")
def test_a_destination_that_can_not_be_written() -> None:
    """A folder of somebody else's."""
    with nobodys_folder() as folder:

        def attempt() -> None:
            with make_store(folder, folder / "store") as store:
                store.push([write_tree(folder / "old", OLD)], "p/old")
                (folder / "closed").mkdir(mode=0o500)
                refused(store, PermissionRefused, lambda: store.pull("p/old", folder / "closed/out"), "out")

        as_nobody(folder, attempt)


# --- stores and keys ---------------------------------------------------------------------------------------------


@pytest.mark.places("folder")
def test_a_store_that_can_not_be_written() -> None:
    """Reading goes on, writing is refused."""
    with nobodys_folder() as folder:

        def attempt() -> None:
            with make_store(folder, folder / "store") as store:
                store.push([write_tree(folder / "old", OLD)], "p/old")
                everything = [folder / "store", *(folder / "store").rglob("*")]
                for path in everything:
                    if path.is_dir():
                        path.chmod(0o500)
                new = write_tree(folder / "new", {"new": noise(100_000)})
                refused(store, PermissionRefused, lambda: store.push([new], "p/new"))
                refused(store, PermissionRefused, lambda: store.add_aliases("p/old", ["x"]))
                store.pull("p/old", folder / "out")
                assert read_tree(folder / "out") == OLD
                for path in everything:
                    if path.is_dir():
                        path.chmod(0o700)
                assert store.push([new], "p/new").number == 0

        as_nobody(folder, attempt)


def test_a_wrong_key(tmp_path: Path, store: Store) -> None:
    """Another user's key."""
    (tmp_path / "other").mkdir()
    make_store(tmp_path / "other").close()
    refused(
        store,
        WrongKey,
        lambda: Store.open(store.url, key_file=tmp_path / "other/key", cache_dir=tmp_path / "fresh"),
    )


def test_a_missing_key(tmp_path: Path, store: Store) -> None:
    """No key file where one should be."""
    (tmp_path / "key").rename(tmp_path / "moved")
    refused(store, KeyMissing, lambda: reopened(tmp_path, store), str(tmp_path / "key"))


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_key_that_others_can_read(tmp_path: Path, store: Store, mode: int) -> None:
    """Its group or anybody."""
    (tmp_path / "key").chmod(mode)
    error = refused(store, KeyExposed, lambda: reopened(tmp_path, store), str(tmp_path / "key"))
    assert "chmod 600" in error.next_step
    (tmp_path / "key").chmod(0o600)
    reopened(tmp_path, store).close()


@pytest.mark.parametrize("change", ["cut", "altered", "emptied", "foreign"])
def test_a_key_that_is_damaged(tmp_path: Path, store: Store, change: str) -> None:
    """Cut, altered, empty or something else: no store can be unlocked with it, and none is made with it."""
    path = tmp_path / "key"
    text = path.read_bytes()
    path.write_bytes(
        {
            "cut": text[: len(text) // 2],
            "altered": text.replace(text[-20:-10], b"AAAAAAAAAA"),
            "emptied": b"",
            "foreign": b"-----BEGIN OPENSSH PRIVATE KEY-----\n",
        }[change]
    )
    refused(store, KeyDamaged, lambda: reopened(tmp_path, store), str(path))
    with pytest.raises(KeyDamaged):
        make_store(tmp_path, tmp_path / "second")


def test_a_foreign_folder(tmp_path: Path, store: Store) -> None:
    """A place where other things lie is neither opened nor filled."""
    write_tree(tmp_path / "photos", {"holiday.jpg": b"x"})
    refused(store, NoSuchStore, lambda: reopened(tmp_path, tmp_path / "photos"), "photos")
    refused(store, ForeignContents, lambda: make_store(tmp_path, tmp_path / "photos"), "holiday.jpg")
    assert read_tree(tmp_path / "photos") == {"holiday.jpg": b"x"}


def test_a_newer_store(tmp_path: Path, store: Store) -> None:
    """A store of a format that comes later."""
    backend = store._parts.backend
    data = backend.get(slot_name(0), limit_bytes=1 << 20)
    backend.put(slot_name(0), data[:4] + b"\0\x09" + data[6:])
    with pytest.raises(NewerStore) as caught:
        reopened(tmp_path, store)
    assert caught.value.exit_code == 4
    assert "upgrade" in caught.value.next_step
    backend.put(slot_name(0), data)
    assert store.check(read_data=True).ok
