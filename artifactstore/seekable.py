"""A seekable raw stream over something of known length: whoever reads by ranges says how, and no more."""

import io
import os


class SeekableReader(io.RawIOBase):
    """Keeps the place of a stream that is read by ranges; a subclass has `readinto`. Not thread-safe.

    Args:
        size: Its length in bytes.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The offset of the next byte."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to an offset, which may lie beyond the end.

        Raises:
            ValueError: It is negative.
        """
        at = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence] + offset
        if at < 0:
            raise ValueError(f"negative seek position {at}")
        self._at = at
        return at
