"""Key files: made whole or not at all, never overwritten, and no altered byte is taken for a key."""

import contextlib
import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.clock import SystemClock, SystemRandomness
from artifactstore.crypto.hpke import public_of
from artifactstore.errors import (
    BackendError,
    DestinationExists,
    KeyDamaged,
    KeyExposed,
    KeyMissing,
    PermissionRefused,
    StorageFull,
)
from artifactstore.keyring import keyfile
from artifactstore.keyring.keyfile import (
    KeyPair,
    backup_key_file,
    create_key_file,
    load_key_file,
    load_or_create_key_file,
    restore_key_file,
)

RANDOM = SystemRandomness()


class FixedClock:
    def now_ns(self) -> int:
        return 1_769_860_800_000_000_000

    def monotonic_s(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None:
        raise AssertionError


class FixedRandomness:
    def token(self, size: int) -> bytes:
        return bytes(range(size))


def make(path: Path) -> KeyPair:
    return create_key_file(path, randomness=RANDOM, clock=FixedClock())


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_created_key_loads(tmp_path: Path) -> None:
    """A key that was made is the key that is read; the file is 0600, new folders 0700, nothing else stays."""
    path = tmp_path / "config" / "artifactstore" / "key"
    pair = make(path)
    assert load_key_file(path) == pair
    assert pair.public == public_of(pair.private)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert names_in(path.parent) == ["key"]


def test_text_is_as_documented(tmp_path: Path) -> None:
    """The file is the documented text, for a fixed key and time."""
    create_key_file(tmp_path / "key", randomness=FixedRandomness(), clock=FixedClock())
    assert (tmp_path / "key").read_text() == (
        "artifactstore key file, version 1. Keep it secret, and keep a copy of it elsewhere.\n"
        "created: 2026-01-31T12:00:00Z\n"
        "key: AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
        "checksum: 0c0d587ca0017ae9364fd7edf2911b05\n"
    )


def test_mode_does_not_follow_the_umask(tmp_path: Path) -> None:
    """With a umask of 0 the file and its folder are still for the owner alone."""
    before = os.umask(0)
    try:
        make(tmp_path / "new" / "key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new" / "key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700


def test_never_overwrites(tmp_path: Path) -> None:
    """Making a key where there is something is refused and leaves it as it is."""
    (tmp_path / "key").write_text("precious")
    with pytest.raises(DestinationExists):
        make(tmp_path / "key")
    assert (tmp_path / "key").read_text() == "precious"
    assert names_in(tmp_path) == ["key"]


def test_first_use_raced_by_threads_gives_one_key(tmp_path: Path) -> None:
    """Of 16 that make the key at once, one makes it and all have the same."""

    def first_use(_: int) -> tuple[KeyPair, bool]:
        return load_or_create_key_file(tmp_path / "key", randomness=RANDOM, clock=FixedClock())

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(first_use, range(16)))
    assert len({pair for pair, _ in results}) == 1
    assert [made for _, made in results].count(True) == 1
    assert load_or_create_key_file(tmp_path / "key", randomness=RANDOM, clock=FixedClock())[1] is False


@pytest.mark.parametrize("missing", ["key", "no/such/folder/key"])
def test_missing(tmp_path: Path, missing: str) -> None:
    """No file, or no folder, is a missing key, which names the path."""
    with pytest.raises(KeyMissing) as caught:
        load_key_file(tmp_path / missing)
    assert caught.value.facts == {"path": str(tmp_path / missing)}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666, 0o601])
def test_exposed(tmp_path: Path, mode: int) -> None:
    """A key that group or others have any access to is refused, saying how it is and should be."""
    make(tmp_path / "key")
    (tmp_path / "key").chmod(mode)
    with pytest.raises(KeyExposed) as caught:
        load_key_file(tmp_path / "key")
    assert (caught.value.facts["expected"], caught.value.facts["found"]) == ("0600", f"{mode:04o}")


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "key"
    make(path)
    return path.read_bytes()


@given(st.data())
def test_any_change_is_found(
    good: bytes, tmp_path_factory: pytest.TempPathFactory, drawn: st.DataObject
) -> None:
    """An altered, cut or extended key file is damaged, never another key and never another exception."""
    at = drawn.draw(st.integers(0, len(good) - 1))
    flip = drawn.draw(st.integers(1, 255))
    altered = good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :]
    path = tmp_path_factory.getbasetemp() / "altered"
    for bad in (altered, good[:at], good + drawn.draw(st.binary(min_size=1, max_size=9000))):
        path.touch(0o600)
        path.write_bytes(bad)
        path.chmod(0o600)
        with pytest.raises(KeyDamaged):
            load_key_file(path)


def test_not_a_file(tmp_path: Path) -> None:
    """A folder or a FIFO in place of the key is said to be damaged, at once."""
    (tmp_path / "folder").mkdir(mode=0o700)
    os.mkfifo(tmp_path / "fifo", 0o600)
    for name in ("folder", "fifo"):
        with pytest.raises(KeyDamaged):
            load_key_file(tmp_path / name)


def test_backup_and_restore(tmp_path: Path) -> None:
    """A backup restores to the same key, twice over, also where the backup's medium knows no owners."""
    pair = make(tmp_path / "key")
    backup = tmp_path / "stick" / "key.backup"
    assert backup_key_file(tmp_path / "key", backup, randomness=RANDOM) == pair
    assert backup_key_file(tmp_path / "key", backup, randomness=RANDOM) == pair
    (tmp_path / "key").unlink()
    backup.chmod(0o755)
    for _ in range(2):
        assert restore_key_file(backup, tmp_path / "key", randomness=RANDOM) == pair
    assert load_key_file(tmp_path / "key") == pair


def test_restore_keeps_a_different_key(tmp_path: Path) -> None:
    """Restoring, or backing up, over a different key is refused and changes nothing."""
    make(tmp_path / "key")
    make(tmp_path / "other")
    found = (tmp_path / "key").read_bytes()
    with pytest.raises(DestinationExists):
        restore_key_file(tmp_path / "other", tmp_path / "key", randomness=RANDOM)
    with pytest.raises(DestinationExists):
        backup_key_file(tmp_path / "other", tmp_path / "key", randomness=RANDOM)
    assert (tmp_path / "key").read_bytes() == found


def test_restore_sets_a_damaged_key_aside(tmp_path: Path) -> None:
    """A damaged key is replaced by the backup and kept beside it, however often that happens."""
    pair = make(tmp_path / "backup")
    for text in ("first", "second"):
        (tmp_path / "key").unlink(missing_ok=True)
        (tmp_path / "key").write_text(text)
        assert restore_key_file(tmp_path / "backup", tmp_path / "key", randomness=RANDOM) == pair
    assert names_in(tmp_path) == ["backup", "key", "key.damaged", "key.damaged1"]
    assert (tmp_path / "key.damaged1").read_text() == "second"


def test_restore_needs_a_sound_backup(tmp_path: Path) -> None:
    """A missing or damaged backup is said to be so, and a damaged key stays where it is."""
    (tmp_path / "key").write_text("damaged")
    (tmp_path / "backup").write_text("damaged too")
    with pytest.raises(KeyMissing):
        restore_key_file(tmp_path / "none", tmp_path / "key", randomness=RANDOM)
    with pytest.raises(KeyDamaged):
        restore_key_file(tmp_path / "backup", tmp_path / "key", randomness=RANDOM)
    assert names_in(tmp_path) == ["backup", "key"]


def test_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a file system without hard links the file is written in place, still never over another."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    pair = make(tmp_path / "key")
    assert load_key_file(tmp_path / "key") == pair
    with pytest.raises(DestinationExists):
        make(tmp_path / "key")
    assert names_in(tmp_path) == ["key"]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (errno.ENOSPC, StorageFull),
        (errno.EDQUOT, StorageFull),
        (errno.EROFS, PermissionRefused),
        (errno.EACCES, PermissionRefused),
        (errno.EIO, BackendError),
    ],
)
@pytest.mark.parametrize("call", ["open", "write", "fsync", "link"])
def test_refusals_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, expected: type[Exception]
) -> None:
    """Whatever the operating system refuses has its error, and no half-written file stays."""

    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(keyfile.os, call, refuse)
    with pytest.raises(expected) as caught:
        make(tmp_path / "key")
    monkeypatch.undo()
    assert caught.value.facts["path"] == str(tmp_path / "key")
    assert names_in(tmp_path) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 1 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "none", str(folder)]
    if os.getuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("only root can mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder: Path) -> None:
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(4096))


def test_no_space(small_disk: Path) -> None:
    """On a full disk making, backing up and restoring a key fail as such; nothing is left but what was."""
    make(small_disk / "key")
    fill(small_disk)
    with pytest.raises(StorageFull):
        make(small_disk / "second")
    with pytest.raises(StorageFull):
        backup_key_file(small_disk / "key", small_disk / "backup", randomness=RANDOM)
    with pytest.raises(StorageFull):
        restore_key_file(small_disk / "key", small_disk / "restored", randomness=RANDOM)
    assert names_in(small_disk) == ["filler", "key"]
    load_key_file(small_disk / "key")


def test_private_key_is_not_shown(tmp_path: Path) -> None:
    """The representation of a pair names the slot and hides the key."""
    pair = make(tmp_path / "key")
    assert repr(pair) == f"KeyPair(slot_id={pair.slot_id.hex()})"


def test_folders_that_were_there_are_made_durable_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever made them may have been killed before their names were: a key that is acknowledged would go with them."""
    synced: list[Path] = []
    monkeypatch.setattr(keyfile, "_sync_folder", synced.append)
    (tmp_path / "config" / "artifactstore").mkdir(parents=True)
    path = tmp_path / "config" / "artifactstore" / "key"
    create_key_file(path, randomness=SystemRandomness(), clock=SystemClock())
    assert {path.parent, path.parent.parent, tmp_path} <= set(synced)
