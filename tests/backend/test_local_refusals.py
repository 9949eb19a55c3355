"""What a disk and an operating system can refuse to the local folder: space, permission, the medium."""

import errno
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from artifactstore.backend import local
from artifactstore.backend.local import LocalBackend
from artifactstore.errors import BackendError, PermissionRefused, StorageFull

MIB = 1 << 20


@pytest.fixture
def backend(tmp_path: Path) -> LocalBackend:
    return LocalBackend(tmp_path)


def temporary_files(backend: LocalBackend) -> list[str]:
    folder = Path(backend.url, "tmp")
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# --- full disks ---


def failing(number: int) -> Callable[..., object]:
    def fail(*_: object, **__: object) -> object:
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("call", ["write", "fdatasync", "mkdir"])
@pytest.mark.parametrize("method", ["create", "put"])
def test_no_space_is_storage_full(
    monkeypatch: pytest.MonkeyPatch, backend: LocalBackend, number: int, call: str, method: str
) -> None:
    """A disk that fills at any step is `StorageFull`; no object and no temporary file stays."""
    if call == "fdatasync" and not hasattr(os, "fdatasync"):
        pytest.skip("this system has no fdatasync")
    monkeypatch.setattr(os, call, failing(number))
    with pytest.raises(StorageFull):
        getattr(backend, method)("packs/aa/x", b"data")
    monkeypatch.undo()
    assert list(backend.list("")) == []
    assert temporary_files(backend) == []
    backend.create("packs/aa/x", b"data")


@pytest.mark.parametrize("call", ["link", "replace"])
def test_no_space_for_a_name_is_storage_full(
    monkeypatch: pytest.MonkeyPatch, backend: LocalBackend, call: str
) -> None:
    """A folder that can't grow by one more name is `StorageFull` too."""
    monkeypatch.setattr(os, call, failing(errno.ENOSPC))
    with pytest.raises(StorageFull):
        (backend.create if call == "link" else backend.put)("packs/aa/x", b"data")
    assert list(backend.list("")) == []
    assert temporary_files(backend) == []


@pytest.mark.parametrize("method", ["create", "put"])
def test_a_failed_fsync_publishes_nothing(
    monkeypatch: pytest.MonkeyPatch, backend: LocalBackend, method: str
) -> None:
    """Bytes that could not be forced to the medium never get a name."""
    monkeypatch.setattr(local, "sync_file", failing(errno.EIO))
    with pytest.raises(BackendError, match="Input/output error"):
        getattr(backend, method)("a", b"data")
    assert list(backend.list("")) == []
    assert temporary_files(backend) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small file system takes root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_small_disk_fills_and_recovers(small_disk: Path) -> None:
    """On a disk of 1 MiB, too large an object is `StorageFull`, what was there stays, smaller ones fit."""
    backend = LocalBackend(small_disk)
    backend.create("log/0", b"record")
    for method in (backend.create, backend.put):
        with pytest.raises(StorageFull):
            method("packs/aa/x", bytes(2 * MIB))
    assert [info.name for info in backend.list("")] == ["log/0"]
    assert temporary_files(backend) == []
    backend.create("packs/aa/x", bytes(MIB // 2))
    with pytest.raises(StorageFull):
        backend.put("packs/aa/x", bytes(MIB))
    assert backend.get("packs/aa/x", limit_bytes=MIB) == bytes(MIB // 2)


# --- permissions ---


def _without_privileges(work: Callable[[], None]) -> None:
    """Run `work` in a child process that is not root; its failure is this one's."""
    child = os.fork()
    if not child:
        status = 1
        try:
            if os.getuid() == 0:
                os.setuid(65534)
            work()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_read_only_folder_is_read_and_not_written() -> None:
    """Without the right to write, reading works and every change is `PermissionRefused`."""
    with tempfile.TemporaryDirectory() as place:
        backend = LocalBackend(place)
        backend.create("packs/aa/x", b"data")
        folders = [Path(place), Path(place, "tmp"), Path(place, "packs"), Path(place, "packs/aa")]
        for folder in folders:
            folder.chmod(0o555)

        def work() -> None:
            reader = LocalBackend(place)
            assert reader.get("packs/aa/x", limit_bytes=10) == b"data"
            assert [info.name for info in reader.list("")] == ["packs/aa/x"]
            calls: tuple[Callable[[], object], ...] = (
                lambda: reader.create("packs/aa/y", b"data"),
                lambda: reader.put("packs/aa/x", b"data"),
                lambda: reader.delete("packs/aa/x"),
            )
            for call in calls:
                with pytest.raises(PermissionRefused) as caught:
                    call()
                assert caught.value.next_step

        try:
            _without_privileges(work)
        finally:
            for folder in folders:
                folder.chmod(0o755)
        assert backend.get("packs/aa/x", limit_bytes=10) == b"data"


def test_an_unreadable_object_is_refused() -> None:
    """An object or folder that may not be read is `PermissionRefused`, never missing."""
    with tempfile.TemporaryDirectory() as place:
        backend = LocalBackend(place)
        backend.create("packs/aa/x", b"data")
        Path(place).chmod(0o755)
        Path(place, "packs/aa/x").chmod(0)
        Path(place, "packs/aa").chmod(0o311)

        def work() -> None:
            calls: tuple[Callable[[], object], ...] = (
                lambda: backend.get("packs/aa/x", limit_bytes=10),
                lambda: backend.get_range("packs/aa/x", 0, 1),
                lambda: list(backend.list("packs/")),
            )
            for call in calls:
                with pytest.raises(PermissionRefused):
                    call()

        try:
            _without_privileges(work)
        finally:
            Path(place, "packs/aa").chmod(0o755)


# --- fsync of folders ---


def test_folders_that_cannot_be_synced_are_accepted(
    monkeypatch: pytest.MonkeyPatch, backend: LocalBackend
) -> None:
    """File systems without fsync of folders write names through; other failures of it count."""
    monkeypatch.setattr(os, "fsync", failing(errno.EINVAL))
    backend.create("a", b"data")
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(BackendError):
        backend.create("b", b"data")


@pytest.mark.parametrize(("refusal", "synced"), [(None, 0), (errno.ENOTSUP, 1), (errno.EIO, 0)])
def test_the_strongest_sync_is_used(
    monkeypatch: pytest.MonkeyPatch, backend: LocalBackend, refusal: int | None, synced: int
) -> None:
    """Where the system has a full sync it is used, and replaced by fsync only where the medium lacks it."""
    calls: list[int] = []
    monkeypatch.setattr(local, "_FULL_FSYNC", 51)
    monkeypatch.setattr(local.fcntl, "fcntl", failing(refusal) if refusal else lambda *_: 0)
    monkeypatch.setattr(os, "fsync", calls.append)
    with Path(backend.url, "file").open("wb") as file:
        if refusal == errno.EIO:
            with pytest.raises(OSError, match="Input/output"):
                local.sync_file(file.fileno())
        else:
            local.sync_file(file.fileno())
    assert len(calls) == synced
