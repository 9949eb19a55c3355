"""Bytes that one side gives and the other takes, with a bound between them: what a stream of unknown length comes by.

The giver waits while the bound is reached, on a thread or on an event loop; the taker waits for bytes, as long as it
has patience. Whoever gives up says so, and the other side raises it instead of waiting for ever.
"""

import io
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, Final

from artifactstore.errors import SourceStalled

# Between a source and its reader; a reader takes segments of 4 MiB, and cuts them while the next bytes come.
PIPE_BYTES: Final = 1 << 20


class Pipe(io.RawIOBase):
    """A readable stream that another thread or task fills. One giver and one taker; thread-safe between them.

    Args:
        what: What comes through it, for messages.
        bound_bytes: Bytes that may wait in it; a larger piece goes in alone.
        patience_s: How long the taker waits for bytes; for ever when None.
    """

    def __init__(self, what: str, *, bound_bytes: int = PIPE_BYTES, patience_s: float | None = None) -> None:
        super().__init__()
        self._what = what
        self._bound_bytes = bound_bytes
        self._patience_s = patience_s
        self._changed = threading.Condition()
        self._pieces: deque[memoryview] = deque()
        self._waiting_bytes = 0
        self._ended = False
        self._failure: BaseException | None = None
        self._drained = False
        self._on_taken: Callable[[], None] | None = None

    def give(self, data: bytes | bytearray | memoryview) -> None:
        """Put bytes in; wait while there is no room.

        Raises:
            BaseException: What the taker failed with.
        """
        with self._changed:
            self._changed.wait_for(self._has_room)
            self._put(data)

    async def give_soon(self, data: bytes | bytearray | memoryview) -> None:
        """The same on an event loop, which goes on meanwhile."""
        await self._soon(self._has_room, lambda: self._put(data))

    def end(self) -> None:
        """Say that all bytes are in, and wait until they are taken.

        Raises:
            BaseException: What the taker failed with.
        """
        with self._changed:
            self._end()
            self._changed.wait_for(self._is_over)
            self._refuse_failed()

    async def end_soon(self) -> None:
        """The same on an event loop."""
        with self._changed:
            self._end()
        await self._soon(self._is_over, self._refuse_failed)

    def fail(self, failure: BaseException) -> None:
        """Give up, on either side: the other one raises `failure`, and what waits is dropped."""
        with self._changed:
            if self._failure is None:
                self._failure = failure
            self._pieces.clear()
            self._waiting_bytes = 0
            self._told()

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill a buffer as far as bytes are there; wait for some while none are; 0 at the end.

        Raises:
            SourceStalled: None came for longer than this reader's patience.
            BaseException: What the giver failed with.
        """
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        with self._changed:
            if not self._changed.wait_for(self._has_news, self._patience_s):
                raise SourceStalled(
                    f"{self._what} gave nothing for {self._patience_s:g} s", patience_s=self._patience_s
                )
            self._refuse_failed()
            filled = 0
            while self._pieces and filled < len(view):
                piece = self._pieces.popleft()
                part = piece[: len(view) - filled]
                view[filled : filled + len(part)] = part
                filled += len(part)
                if len(part) < len(piece):
                    self._pieces.appendleft(piece[len(part) :])
            self._waiting_bytes -= filled
            self._drained = not filled and len(view) > 0
            self._told()
            return filled

    def _has_room(self) -> bool:
        return self._failure is not None or self._waiting_bytes < self._bound_bytes

    def _is_over(self) -> bool:
        return self._failure is not None or self._drained

    def _has_news(self) -> bool:
        return bool(self._pieces) or self._ended or self._failure is not None

    async def _soon(self, ready: Callable[[], bool], act: Callable[[], None]) -> None:
        """Do something as soon as it can be done; the taker says when that may be."""
        import asyncio

        loop = asyncio.get_running_loop()
        while True:
            with self._changed:
                if ready():
                    act()
                    return
                told = loop.create_future()
                self._on_taken = partial(_tell, loop, told)
            await told

    def _end(self) -> None:
        self._ended = True
        self._changed.notify_all()

    def _refuse_failed(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _put(self, data: bytes | bytearray | memoryview) -> None:
        self._refuse_failed()
        # A giver may use its buffer again.
        view = memoryview(data if isinstance(data, bytes) else bytes(data))
        if view:
            self._pieces.append(view)
            self._waiting_bytes += len(view)
            self._changed.notify_all()

    def _told(self) -> None:
        self._changed.notify_all()
        tell, self._on_taken = self._on_taken, None
        if tell is not None:
            tell()


class IteratedStream(io.RawIOBase):
    """A readable stream over an iterable of bytes; it asks for a piece when the one before is used up."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        super().__init__()
        self._pieces: Iterator[bytes] = iter(pieces)
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill a buffer from the next piece; 0 at the end."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        count = min(len(view), len(self._left))
        view[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


def _tell(loop: Any, told: Any) -> None:
    """Settle a future of an event loop, from any thread."""

    def settle() -> None:
        if not told.done():
            told.set_result(None)

    # The loop may be closed by then.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(settle)
