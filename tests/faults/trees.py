"""Folders of files that grow and change from a seed, and comparing them."""

import shutil
from pathlib import Path

from artifactstore.testing.simulation import SeededRandomness

LARGE_FILES = 10
LARGE_BYTES = 160 << 10
GROWING_BYTES = 2 << 20
SMALL_FILES = 12


class Tree:
    """A folder whose contents change by steps.

    Args:
        folder: Where it is made.
        seed: Decides every byte.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder = folder
        self._randomness = SeededRandomness(seed)
        folder.mkdir(parents=True)
        (folder / "growing").write_bytes(self._randomness.token(GROWING_BYTES))
        self._step = 0

    def change(self) -> None:
        """Replace most large files, add small ones, delete some, and make an odd entry."""
        for number in range(LARGE_FILES - 1):
            self._write(f"large-{number}", LARGE_BYTES + self._step)
        for number in range(SMALL_FILES):
            self._write(f"folder-{self._step % 3}/small-{number}", 20 + number * 97)
        # The last one only grows, so that versions share most of it.
        with (self.folder / "growing").open("ab") as file:
            file.write(self._randomness.token(LARGE_BYTES // 4))
        link = self.folder / "link"
        link.unlink(missing_ok=True)
        link.symlink_to(f"large-{self._step % LARGE_FILES}")
        shutil.rmtree(self.folder / f"folder-{(self._step + 1) % 3}", ignore_errors=True)
        self._step += 1

    def _write(self, name: str, size: int) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(self._randomness.token(size))


def contents(folder: Path) -> dict[str, bytes | str]:
    """The bytes of every file and the target of every symlink, by relative path."""
    found: dict[str, bytes | str] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_file():
            found[name] = path.read_bytes()
    return found
