"""Reading many files of a version one after another: each is a stream, and chunks are fetched windows ahead of it.

Made for those who hand on whole versions: copying to another store, exporting. At most four windows are in memory.
"""

import io
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from typing import BinaryIO, Final, cast

from artifactstore.errors import HostileManifest
from artifactstore.format.pack import PackType
from artifactstore.manifest.read import Getter, Span, StoredEntry, spans

_WINDOW_BYTES: Final = 8 << 20
_WINDOW_CHUNKS_MAX: Final = 512
_WINDOWS_AHEAD_MAX: Final = 3


class ReadAhead:
    """Opens files in the order in which it was told of them. Used by one thread.

    Args:
        getter: Reads chunks, verified.
        io: Fetches windows.
    """

    def __init__(self, getter: Getter, io: Executor) -> None:
        self._getter = getter
        self._io = io
        self._told: deque[StoredEntry] = deque()
        self._spans: Iterator[Span] = iter(())
        self._windows: deque[tuple[list[Span], Future[list[bytes]]]] = deque()
        self._here: deque[bytes] = deque()

    def expect(self, entry: StoredEntry) -> Callable[[], BinaryIO]:
        """Announce a file; return what opens it. Files are opened and read to their ends in this order."""
        self._told.append(entry)
        return lambda: cast("BinaryIO", _Stream(self, entry.size))

    def chunks(self, size: int) -> Iterator[bytes]:
        """The chunks of the next file, of so many bytes."""
        while size > 0:
            chunk = self._next()
            size -= len(chunk)
            yield chunk

    def _next(self) -> bytes:
        while not self._here:
            self._fill()
            if not self._windows:
                raise HostileManifest("a file has fewer bytes than its entry says")
            wanted, future = self._windows.popleft()
            for span, chunk in zip(wanted, future.result(), strict=True):
                if len(chunk) != span.length:
                    raise HostileManifest(
                        f"an entry declares {span.length} bytes for a chunk of {len(chunk)}"
                    )
                self._here.append(chunk)
            self._fill()
        return self._here.popleft()

    def _fill(self) -> None:
        """Ask for windows until enough are under way or nothing is announced."""
        while len(self._windows) < _WINDOWS_AHEAD_MAX:
            window: list[Span] = []
            size = 0
            while size < _WINDOW_BYTES and len(window) < _WINDOW_CHUNKS_MAX:
                span = self._next_span()
                if span is None:
                    break
                window.append(span)
                size += span.length
            if not window:
                return
            cids = [span.cid for span in window]
            self._windows.append((window, self._io.submit(self._getter.read_many, PackType.DATA, cids)))

    def _next_span(self) -> Span | None:
        while True:
            span = next(self._spans, None)
            if span is not None or not self._told:
                return span
            self._spans = spans(self._getter, self._told.popleft().content)


class _Stream(io.RawIOBase):
    """One file, read once from its beginning."""

    def __init__(self, ahead: ReadAhead, size: int) -> None:
        self._chunks = ahead.chunks(size)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        filled = 0
        while filled < len(view):
            if not self._rest:
                self._rest = memoryview(next(self._chunks, b""))
                if not self._rest:
                    break
            count = min(len(self._rest), len(view) - filled)
            view[filled : filled + count] = self._rest[:count]
            self._rest = self._rest[count:]
            filled += count
        return filled
