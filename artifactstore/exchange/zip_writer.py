"""Writing a zip archive whose bytes follow from what goes into it alone, without ever seeking.

Members are stored, not deflated: deflate's output differs between libraries and releases. A file up to
`WHOLE_BYTES_MAX` has its checksum in front; a longer one, which is not read twice, has it in a data descriptor behind
it. Zip64 where a size, an offset or a count needs it, and nowhere else.
"""

import stat
import struct
from collections.abc import Iterator
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Final, NamedTuple, cast
from zlib import crc32

from artifactstore.exchange.tar_writer import pieces

# What is held in memory for a checksum in front.
WHOLE_BYTES_MAX: Final = 1 << 20
_DIRECTORY_BYTES_MAX: Final = 4 << 20
_U16: Final = 0xFFFF
_U32: Final = 0xFFFFFFFF
_UTF_8: Final = 0x0800
_DESCRIPTOR: Final = 0x0008
# 1980-01-01 00:00, the first moment that the format can say.
_DOS_DATE: Final = 0x0021
_NEEDS: Final = 20
_NEEDS_64: Final = 45
_UNIX: Final = 3 << 8
_DOS_FOLDER: Final = 0x10
_LOCAL: Final = struct.Struct("<4s5H3I2H")
_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_END_64: Final = struct.Struct("<4sQ2H2I4Q")
_LOCATOR_64: Final = struct.Struct("<4sIQI")
_END: Final = struct.Struct("<4s4H2IH")


class _Member(NamedTuple):
    """A member as the directory has it."""

    name: bytes
    flags: int
    checksum: int
    size: int
    mode: int
    offset: int


class ZipWriter:
    """Writes members one after another.

    Args:
        out: Where it goes; never sought.
    """

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._written = 0
        self._count = 0
        # In memory while it is small: a million members have a directory of a hundred megabytes.
        self._directory = cast(
            "BinaryIO",
            SpooledTemporaryFile(max_size=_DIRECTORY_BYTES_MAX),  # noqa: SIM115 - `discard` closes it
        )

    def add_file(self, path: str, size: int, *, executable: bool, stream: BinaryIO) -> Iterator[int]:
        """Write a file of `size` bytes; yields the bytes of each piece as it is written."""
        mode = stat.S_IFREG | (0o755 if executable else 0o644)
        name = path.encode()
        if size <= WHOLE_BYTES_MAX:
            self._whole(name, b"".join(pieces(stream, size)), mode)
            yield size
            return
        offset, checksum = self._written, 0
        self._local(_Member(name, _UTF_8 | _DESCRIPTOR, 0, 0, mode, offset), large=size >= _U32)
        for piece in pieces(stream, size):
            checksum = crc32(piece, checksum)
            self._write(piece)
            yield len(piece)
        sizes = "<4sI2Q" if size >= _U32 else "<4s3I"
        self._write(struct.pack(sizes, b"PK\x07\x08", checksum, size, size))
        self._enter(_Member(name, _UTF_8 | _DESCRIPTOR, checksum, size, mode, offset))

    def add_symlink(self, path: str, target: str) -> None:
        """Write a symlink: its target is the member's content."""
        self._whole(path.encode(), target.encode(), stat.S_IFLNK | 0o777)

    def add_folder(self, path: str) -> None:
        """Write an empty folder."""
        self._whole(f"{path}/".encode(), b"", stat.S_IFDIR | 0o755)

    def close(self) -> None:
        """Write the directory and the end of the archive."""
        start, size = self._written, self._directory.tell()
        self._directory.seek(0)
        while piece := self._directory.read(WHOLE_BYTES_MAX):
            self._write(piece)
        count = self._count
        if count >= _U16 or start >= _U32 or size >= _U32:
            end = self._written
            self._write(
                _END_64.pack(
                    b"PK\x06\x06",
                    _END_64.size - 12,
                    _UNIX | _NEEDS_64,
                    _NEEDS_64,
                    0,
                    0,
                    count,
                    count,
                    size,
                    start,
                )
            )
            self._write(_LOCATOR_64.pack(b"PK\x06\x07", 0, end, 1))
        shown = min(count, _U16)
        self._write(_END.pack(b"PK\x05\x06", 0, 0, shown, shown, min(size, _U32), min(start, _U32), 0))

    def discard(self) -> None:
        """Give up what it holds, whether the archive is whole or not."""
        self._directory.close()

    def _whole(self, name: bytes, data: bytes, mode: int) -> None:
        member = _Member(name, _UTF_8, crc32(data), len(data), mode, self._written)
        self._local(member, large=False)
        self._write(data)
        self._enter(member)

    def _local(self, member: _Member, *, large: bool) -> None:
        """Write what stands before a member."""
        extra = struct.pack("<2H2Q", 1, 16, 0, 0) if large else b""
        sizes = (_U32, _U32) if large else (member.size, member.size)
        needs = _NEEDS_64 if large else _NEEDS
        self._write(
            _LOCAL.pack(
                b"PK\x03\x04",
                needs,
                member.flags,
                0,
                0,
                _DOS_DATE,
                member.checksum,
                *sizes,
                len(member.name),
                len(extra),
            )
        )
        self._write(member.name + extra)

    def _enter(self, member: _Member) -> None:
        """Keep what the directory says of a member."""
        large, far = member.size >= _U32, member.offset >= _U32
        values = [*((member.size, member.size) if large else ()), *((member.offset,) if far else ())]
        extra = struct.pack(f"<2H{len(values)}Q", 1, 8 * len(values), *values) if values else b""
        needs = _NEEDS_64 if values else _NEEDS
        attributes = member.mode << 16 | (_DOS_FOLDER if stat.S_ISDIR(member.mode) else 0)
        size = min(member.size, _U32)
        self._directory.write(
            _CENTRAL.pack(
                b"PK\x01\x02",
                _UNIX | needs,
                needs,
                member.flags,
                0,
                0,
                _DOS_DATE,
                member.checksum,
                size,
                size,
                len(member.name),
                len(extra),
                0,
                0,
                0,
                attributes,
                min(member.offset, _U32),
            )
        )
        self._directory.write(member.name + extra)
        self._count += 1

    def _write(self, data: bytes) -> None:
        self._out.write(data)
        self._written += len(data)
