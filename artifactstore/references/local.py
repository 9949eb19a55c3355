"""Files of this machine, and of whatever is mounted here, as references: `file:///path`."""

import os
import stat as stat_bits
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote

from artifactstore.errors import InvalidSource, NoSuchPath, PermissionRefused, ReferenceGone
from artifactstore.format.reference import Reference
from artifactstore.references.checked import CheckedStream, checksum_of, other_bytes

_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


class LocalFiles:
    """References to files, known again by size and BLAKE3."""

    def look(self, url: str, *, checksum: bool) -> Reference:
        """What a reference to a file says of it."""
        if not checksum:
            return Reference(url)
        with self._opened(url, NoSuchPath) as file:
            size, found = checksum_of(file)
        return Reference(url, size, found)

    def expand(self, url: str, *, checksum: bool) -> Iterator[tuple[str, Reference]] | None:
        """The files in a folder, by their paths in it, sorted; None when it is none."""
        folder = _path_of(url)
        if not folder.is_dir():
            return None
        start = url.rstrip("/")
        return ((name, self.look(f"{start}/{quote(name)}", checksum=checksum)) for name in _names_in(folder))

    def open(self, reference: Reference) -> BinaryIO:
        """Its bytes, which are checked as they are read."""
        file = self._opened(reference.url, ReferenceGone)
        size = os.fstat(file.fileno()).st_size
        if reference.checksum and size != reference.size_bytes:
            file.close()
            raise other_bytes(reference, f"{size} bytes instead of {reference.size_bytes}")
        return CheckedStream(file, reference)  # type: ignore[return-value]

    def verify(self, reference: Reference) -> None:
        """Read it all, and hold it against what the reference says."""
        with self.open(reference) as stream:
            while stream.read(1 << 20):
                pass

    def _opened(self, url: str, gone: type[NoSuchPath | ReferenceGone]) -> BinaryIO:
        path = _path_of(url)
        try:
            handle = os.open(path, _FLAGS)
        except (FileNotFoundError, NotADirectoryError) as error:
            raise gone(f"there is no file {path}", url=url) from error
        except PermissionError as error:
            raise PermissionRefused(f"{path} can't be read: permission denied", url=url) from error
        except OSError as error:
            raise InvalidSource(f"{path} can't be read: {error.strerror}", url=url) from error
        if not stat_bits.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise InvalidSource(
                f"{path} is no file", next_step="refer to a file, or to a folder of files", url=url
            )
        return os.fdopen(handle, "rb", buffering=0)


def _path_of(url: str) -> Path:
    path = unquote(url.removeprefix("file://"))
    if "\0" in path:
        raise InvalidSource(f"{url} names no file", url=url)
    return Path(path)


def _names_in(folder: Path) -> Iterator[str]:
    """Paths of the files below a folder; symlinks to files count, those to folders are left out."""
    for place, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(place, name)
            if path.is_file():
                yield path.relative_to(folder).as_posix()
