"""Writing a destination: never through a symlink, never outside, whatever is there or is put there meanwhile."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artifactstore.errors import BackendError, DestinationExists, PermissionRefused, StorageFull
from artifactstore.transfer.target import Target, named
from tests.stores import write_tree


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A destination with a symlink in it that leads out."""
    return write_tree(
        tmp_path / "root", {"sub/file": b"old", "out": "../outside", "dangling": "../outside/new"}
    )


@pytest.fixture
def outside(tmp_path: Path, root: Path) -> Path:
    return write_tree(tmp_path / "outside", {"file": b"theirs"})


def test_files_are_written_with_their_folders(root: Path) -> None:
    """Folders are made as they are needed."""
    with Target(str(root)) as target:
        target.write_file("a/b/c", memoryview(b"data"), 0o755)
        handle = target.open_file("a/b/d", 0o644)
        os.pwrite(handle, b"tail", 4)
        os.close(handle)
        target.make_folder("a/empty")
        target.make_symlink("a/link", "b/c")
    assert (root / "a/link").read_bytes() == b"data"
    assert (root / "a/b/d").read_bytes() == b"\0\0\0\0tail"
    assert (root / "a/empty").is_dir()
    assert stat.S_IMODE((root / "a/b/c").stat().st_mode) & 0o100


@pytest.mark.parametrize("path", ["out/file", "out/new", "out/a/b"])
def test_a_symlinked_folder_is_never_entered(root: Path, outside: Path, path: str) -> None:
    """A symlink in the place of a folder ends every way of writing below it (invariant 17)."""
    with Target(str(root)) as target:
        for write in (
            lambda: target.write_file(path, memoryview(b"mine"), 0o644),
            lambda: target.open_file(path, 0o644),
            lambda: target.make_folder(path),
            lambda: target.make_symlink(path, "x"),
            lambda: target.remove(path),
        ):
            with pytest.raises(OSError, match=r"Not a directory|symbolic") as caught:
                write()
            assert isinstance(named(caught.value, path), DestinationExists)
        assert target.open_existing(path) is None
    assert [(path.name, path.read_bytes()) for path in outside.iterdir()] == [("file", b"theirs")]


def test_a_symlink_in_the_place_of_a_file_is_not_written_through(root: Path, outside: Path) -> None:
    """Neither an existing target nor one that would come to be is written."""
    with Target(str(root)) as target:
        for path in ("dangling", "out"):
            with pytest.raises(OSError, match="symbolic"):
                target.write_file(path, memoryview(b"mine"), 0o644)
            assert target.open_existing(path) is None
    assert not (outside / "new").exists()


def test_moving_replaces_a_symlink_and_not_what_it_points_at(
    root: Path, outside: Path, tmp_path: Path
) -> None:
    """A rename takes the place of the link itself."""
    (root / "link").symlink_to("../outside/file")
    write_tree(tmp_path / "staging", {"link": b"mine"})
    with Target(str(root)) as target, Target(str(tmp_path / "staging")) as staging:
        target.move_from(staging, "link")
    assert (root / "link").read_bytes() == b"mine"
    assert not (root / "link").is_symlink()
    assert (outside / "file").read_bytes() == b"theirs"


def test_a_folder_swapped_for_a_symlink_meanwhile_leads_nowhere(root: Path, outside: Path) -> None:
    """Descriptors stay on the folder they were opened on."""
    with Target(str(root)) as target:
        target.write_file("sub/one", memoryview(b"1"), 0o644)
        (root / "sub").rename(root / "moved")
        (root / "sub").symlink_to("../outside")
        target.write_file("sub/two", memoryview(b"2"), 0o644)
    assert (root / "moved/two").read_bytes() == b"2"
    assert not (outside / "two").exists()


def test_what_is_not_a_file_is_not_read(root: Path) -> None:
    """Asking what is there blocks on no FIFO and takes no folder for a file."""
    os.mkfifo(root / "fifo")
    with Target(str(root)) as target:
        handle = target.open_existing("fifo")
        if handle is not None:
            os.close(handle)
        assert target.open_existing("absent") is None
        assert target.open_existing("absent/below") is None


def test_an_own_folder_must_be_ones_own(root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A staging folder that somebody planted, by link or by ownership, is refused."""
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        Target(str(root / "out"), own=True)
    monkeypatch.setattr(os, "geteuid", lambda: outside.stat().st_uid + 1)
    with pytest.raises(DestinationExists, match="another user"):
        Target(str(root), own=True)


def test_thousands_of_folders_need_few_descriptors(root: Path) -> None:
    """Only the folders used last stay open."""
    with Target(str(root)) as target:
        for number in range(500):
            target.write_file(f"many/{number}/x", memoryview(b"x"), 0o644)
        assert len(target._folders) <= 65
    assert len(list((root / "many").iterdir())) == 500


def test_threads_share_a_target(root: Path) -> None:
    """Many workers write into many folders through few descriptors."""
    with Target(str(root)) as target, ThreadPoolExecutor(8) as pool:
        work = [
            pool.submit(target.write_file, f"d{number % 200}/e/{number}", memoryview(b"x"), 0o644)
            for number in range(2000)
        ]
        for one in work:
            one.result()
    assert len([path for path in root.rglob("*") if path.is_file() and path.name.isdigit()]) == 2000


def test_every_descriptor_is_closed(root: Path) -> None:
    """A pull leaves no folder open."""
    descriptors = Path("/proc/self/fd")
    if not descriptors.exists():
        pytest.skip("this system doesn't list descriptors")
    before = len(list(descriptors.iterdir()))
    with Target(str(root)) as target:
        for number in range(100):
            target.write_file(f"many/{number}/x", memoryview(b"x"), 0o644)
    assert len(list(descriptors.iterdir())) == before


@pytest.mark.parametrize(
    ("number", "error"),
    [
        ("ENOSPC", StorageFull),
        ("EDQUOT", StorageFull),
        ("EACCES", PermissionRefused),
        ("EPERM", PermissionRefused),
        ("EROFS", PermissionRefused),
        ("EEXIST", DestinationExists),
        ("EISDIR", DestinationExists),
        ("EIO", BackendError),
    ],
)
def test_errors_of_the_system_get_names(number: str, error: type[Exception]) -> None:
    """Each has its class, names the path and keeps what the system said."""
    import errno

    value = getattr(errno, number)
    made = named(OSError(value, os.strerror(value)), "/x/y")
    assert type(made) is error
    assert "/x/y" in str(made)
    assert made.facts["path"] == "/x/y"
