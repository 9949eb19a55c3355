"""Running a piece of a test as a user to whom permissions apply, and on file systems that are small."""

import os
import shutil
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_NOBODY = 65534


@contextmanager
def nobodys_folder() -> Iterator[Path]:
    """A folder that `as_nobody` may write, below folders that everybody may enter."""
    folder = Path(tempfile.mkdtemp(prefix="artifactstore-test-"))
    try:
        if os.geteuid() == 0:
            os.chown(folder, _NOBODY, _NOBODY)
        yield folder
    finally:
        for path in folder.rglob("*"):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
        shutil.rmtree(folder)


def as_nobody(folder: Path, work: Callable[[], None]) -> None:
    """Run `work` in a child without root's rights, at home in `folder`; what it raises fails the test."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        said = b""
        try:
            os.close(reading)
            os.chdir(folder)
            os.environ.update(dict.fromkeys(("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"), str(folder)))
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(_NOBODY)
                os.setuid(_NOBODY)
            work()
        except BaseException:  # noqa: BLE001 - all of it is told to the parent
            said = traceback.format_exc().encode()
        finally:
            with os.fdopen(writing, "wb") as pipe:
                pipe.write(said)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    if said:
        pytest.fail(said.decode())


class SmallDisk:
    """A tmpfs of 1 MiB, which can be made larger, or be closed for writing."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def remount(self, options: str) -> None:
        """Change its options."""
        subprocess.run(["mount", "-o", f"remount,{options}", self.path], check=True)

    def fill(self, *, left: int) -> Path:
        """Leave so many bytes free; return the file that takes the rest."""
        ballast = self.path / "ballast"
        stat = os.statvfs(self.path)
        ballast.write_bytes(bytes(max(0, stat.f_bavail * stat.f_frsize - left)))
        return ballast


@contextmanager
def small_disk(path: Path) -> Iterator[SmallDisk]:
    """Mount a tmpfs of 1 MiB at `path`; skips where that is not permitted."""
    path.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount here")
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("mounting is not permitted here")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "-l", path], check=True)
