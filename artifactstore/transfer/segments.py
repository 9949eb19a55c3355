"""Cutting a stream into segments of whole chunks, with memory that is used again."""

from collections import deque
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from artifactstore.chunking import Chunker, Profile, profile_of
from artifactstore.chunking.chunker import MAGIC_BYTES
from artifactstore.transfer.scan import unreadable

SEGMENT_BYTES: Final = 4 << 20


class Segment(NamedTuple):
    """A buffer with whole chunks in it.

    Attributes:
        buffer: The memory, given back when the segment is done.
        fresh: Bytes that no segment before it held.
        view: All of it.
        cuts: (start, end) of each chunk.
    """

    buffer: bytearray
    fresh: memoryview
    view: memoryview
    cuts: list[tuple[int, int]]


def segments(chunker: Chunker, stream: BinaryIO, source: str, spare: deque[bytearray]) -> Iterator[Segment]:
    """Yield buffers of whole chunks; what the last cut left over begins the next buffer.

    Args:
        chunker: Cuts.
        stream: Read to its end.
        source: What it is, for messages.
        spare: Buffers to use again; whoever is done with a segment puts its buffer there.
    """
    carried = b""
    profile: Profile | None = None
    last = False
    while not last:
        buffer = spare.popleft() if spare else bytearray(SEGMENT_BYTES)
        view = memoryview(buffer)
        view[: len(carried)] = carried
        filled, last = _fill(stream, view, len(carried), source)
        if profile is None:
            profile = profile_of(bytes(view[: min(filled, MAGIC_BYTES)]))
        cuts = chunker.cut(view[:filled], profile, last=last)
        end = cuts[-1][1] if cuts else 0
        fresh = view[len(carried) : filled]
        carried = bytes(view[end:filled])
        yield Segment(buffer, fresh, view, cuts)


def _fill(stream: BinaryIO, view: memoryview, at: int, source: str) -> tuple[int, bool]:
    """Read until the buffer is full or the stream ends; return (filled, whether it ended)."""
    readinto = getattr(stream, "readinto", None)
    while at < len(view):
        try:
            if readinto is not None:
                count = readinto(view[at:])
            else:
                data = stream.read(len(view) - at)
                count = len(data)
                view[at : at + count] = data
        except OSError as error:
            raise unreadable(source, error) from error
        if not count:
            return at, True
        at += count
    return at, False
