"""What a format reads a file by: ranges of bytes, and a stream over them for libraries that want one."""

import io
import os
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from artifactstore.errors import InvalidContent

_STEP_BYTES: Final = 1 << 20


class Source(Protocol):
    """A file that is read by ranges.

    Attributes:
        name: What it is called, for messages.
        size: Its bytes.
    """

    name: str
    size: int

    def read_at(self, offset: int, length: int) -> bytes:
        """So many bytes from an offset; they are there."""
        ...


# Of bytes from an offset in a first file and from one in a second, of a length: where they may differ, as (offset from
# there, length), in order.
Apart = Callable[[int, int, int], Iterable[tuple[int, int]]]


def everything(before: int, after: int, length: int) -> Iterable[tuple[int, int]]:
    """All of it, where nothing is known."""
    del before, after
    return [(0, length)]


def stream_of(source: Source) -> io.BufferedReader:
    """A seekable stream over a source, which asks for a mebibyte at a time."""
    return io.BufferedReader(_Raw(source), _STEP_BYTES)


def invalid(source: Source, what: str) -> InvalidContent:
    """The error for a file that is not what its name says."""
    return InvalidContent(f"{source.name!r} can't be looked into: {what}", path=source.name)


class _Raw(io.RawIOBase):
    def __init__(self, source: Source) -> None:
        self._source = source
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        at = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._source.size}[whence] + offset
        if at < 0:
            raise ValueError(f"negative seek position {at}")
        self._at = at
        return at

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        length = max(min(len(view), self._source.size - self._at), 0)
        if length:
            view[:length] = self._source.read_at(self._at, length)
            self._at += length
        return length
