"""Reading one file of a version as a seekable stream that fetches only the ranges it needs."""

import io
import os
from typing import Final

from artifactstore.errors import HostileManifest
from artifactstore.format.pack import PackType
from artifactstore.manifest.read import Getter, StoredEntry, spans

_BUFFER_BYTES: Final = 256 << 10


class _StoredFile(io.RawIOBase):
    """The raw stream: each read opens the chunks that it overlaps. Not thread-safe."""

    def __init__(self, reader: Getter, entry: StoredEntry) -> None:
        self._reader = reader
        self._entry = entry
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._entry.size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative seek position {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        stop = min(self._at + len(view), self._entry.size)
        filled = 0
        for span in spans(self._reader, self._entry.content, self._at, stop):
            data = self._reader.read(PackType.DATA, span.cid)
            if len(data) != span.length:
                raise HostileManifest(
                    f"{self._entry.path!r} declares {span.length} bytes for a chunk of {len(data)}",
                    path=self._entry.path,
                )
            part = memoryview(data)[max(0, self._at - span.start) : stop - span.start]
            view[filled : filled + len(part)] = part
            filled += len(part)
            self._at += len(part)
        return filled


def open_entry(reader: Getter, entry: StoredEntry) -> io.BufferedReader:
    """Open a file of a version for reading."""
    return io.BufferedReader(_StoredFile(reader, entry), _BUFFER_BYTES)
