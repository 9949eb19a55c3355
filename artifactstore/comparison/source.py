"""What a format reads a file by: ranges of bytes, and a stream over them for libraries that want one."""

import io
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from artifactstore.errors import InvalidContent
from artifactstore.seekable import SeekableReader

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


class _Raw(SeekableReader):
    def __init__(self, source: Source) -> None:
        super().__init__(source.size)
        self._source = source

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        length = max(min(len(view), self._size - self._at), 0)
        if length:
            view[:length] = self._source.read_at(self._at, length)
            self._at += length
        return length
