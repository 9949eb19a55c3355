"""Reading one file of a version: as a seekable stream, or as pieces of a range; only what is needed is fetched."""

import io
from collections.abc import Iterator
from typing import Final

from artifactstore.errors import HostileManifest
from artifactstore.format.pack import PackType
from artifactstore.manifest.read import Getter, Span, StoredEntry, spans
from artifactstore.seekable import SeekableReader

_BUFFER_BYTES: Final = 256 << 10
# One round trip for each; with what is cached it is what a reader holds.
STREAMED_TOGETHER_BYTES: Final = 512 << 10


class _StoredFile(SeekableReader):
    """The raw stream: each read opens the chunks that it overlaps. Not thread-safe."""

    def __init__(self, reader: Getter, entry: StoredEntry) -> None:
        super().__init__(entry.size)
        self._reader = reader
        self._entry = entry

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        stop = min(self._at + len(view), self._size)
        filled = 0
        for span in spans(self._reader, self._entry.content, self._at, stop):
            data = self._reader.read(PackType.DATA, span.cid)
            refuse_other_length(self._entry, span, data)
            part = memoryview(data)[max(0, self._at - span.start) : stop - span.start]
            view[filled : filled + len(part)] = part
            filled += len(part)
            self._at += len(part)
        return filled


def stream_entry(reader: Getter, entry: StoredEntry, start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes of a file from `start` up to `stop`, chunk by chunk; none is read before it is asked for.

    Chunks that follow each other are asked for together, up to 512 KiB, as long as the last one reaches.
    """
    lot: list[Span] = []
    lot_bytes = 0
    for span in spans(reader, entry.content, start, stop):
        lot.append(span)
        lot_bytes += span.length
        if lot_bytes >= STREAMED_TOGETHER_BYTES:
            yield from _pieces(reader, entry, lot, start, stop)
            lot, lot_bytes = [], 0
    yield from _pieces(reader, entry, lot, start, stop)


def _pieces(reader: Getter, entry: StoredEntry, lot: list[Span], start: int, stop: int) -> Iterator[bytes]:
    read = reader.read_many(PackType.DATA, [span.cid for span in lot]) if lot else []
    # Each is let go of before the next one is given.
    read.reverse()
    for span in lot:
        data = read.pop()
        refuse_other_length(entry, span, data)
        whole = start <= span.start and span.start + span.length <= stop
        yield data if whole else data[max(0, start - span.start) : stop - span.start]


def refuse_other_length(entry: StoredEntry, span: Span, data: bytes) -> None:
    """Refuse a chunk that is not as long as its list says.

    Raises:
        HostileManifest: It is not.
    """
    if len(data) != span.length:
        raise HostileManifest(
            f"{entry.path!r} declares {span.length} bytes for a chunk of {len(data)}", path=entry.path
        )


def open_entry(reader: Getter, entry: StoredEntry) -> io.BufferedReader:
    """Open a file of a version for reading."""
    return io.BufferedReader(_StoredFile(reader, entry), _BUFFER_BYTES)
