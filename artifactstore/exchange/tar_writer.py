"""Writing a tar archive whose bytes follow from what goes into it alone.

POSIX pax format, no compression. Times are those of `TIME_S`, owners are 0 without a name, modes say executable or not;
members come in the order in which they are added, and the archive is filled to records of 10,240 bytes.
"""

import tarfile
from collections.abc import Iterator
from typing import BinaryIO, Final

# 1980-01-01, the first day that a zip archive can say; tar programs warn of times around 1970.
TIME_S: Final = 315_532_800
PIECE_BYTES: Final = 1 << 20
_FILE_MODE: Final = 0o644
_EXECUTABLE_MODE: Final = 0o755
_LINK_MODE: Final = 0o777


class TarWriter:
    """Writes members one after another.

    Args:
        out: Where it goes; never sought.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._written = 0

    def add_file(self, path: str, size: int, *, executable: bool, stream: BinaryIO) -> Iterator[int]:
        """Write a file of `size` bytes; yields the bytes of each piece as it is written."""
        info = tarfile.TarInfo(path)
        info.mode = _EXECUTABLE_MODE if executable else _FILE_MODE
        info.size = size
        self._header(info)
        for piece in pieces(stream, size):
            self._write(piece)
            yield len(piece)
        self._write(bytes(-size % tarfile.BLOCKSIZE))

    def add_symlink(self, path: str, target: str) -> None:
        """Write a symlink."""
        info = tarfile.TarInfo(path)
        info.type, info.linkname, info.mode = tarfile.SYMTYPE, target, _LINK_MODE
        self._header(info)

    def add_folder(self, path: str) -> None:
        """Write an empty folder."""
        info = tarfile.TarInfo(path)
        info.type, info.mode = tarfile.DIRTYPE, _EXECUTABLE_MODE
        self._header(info)

    def close(self) -> None:
        """Write the end of the archive."""
        self._write(bytes(2 * tarfile.BLOCKSIZE))
        self._write(bytes(-self._written % tarfile.RECORDSIZE))

    def discard(self) -> None:
        """It holds nothing."""

    def _header(self, info: tarfile.TarInfo) -> None:
        info.mtime = TIME_S
        info.uid = info.gid = 0
        info.uname = info.gname = ""
        self._write(info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict"))

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._written += len(data)


def pieces(stream: BinaryIO, size: int) -> Iterator[bytes]:
    """Exactly `size` bytes of a stream, in pieces.

    Raises:
        EOFError: It has fewer.
    """
    while size > 0:
        piece = stream.read(min(size, PIECE_BYTES))
        if not piece:
            raise EOFError(f"a file ended {size} bytes early")
        size -= len(piece)
        yield piece
