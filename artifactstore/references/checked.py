"""Bytes of a source, held against what a reference says of them while they are read."""

import io
from collections.abc import Callable
from hashlib import md5
from typing import Any, BinaryIO, Final

from blake3 import blake3

from artifactstore.errors import ReferenceChanged
from artifactstore.format.reference import Reference

BLAKE3: Final = "blake3"
MD5: Final = "md5"
ETAG: Final = "etag"
_BUFFER_BYTES: Final = 1 << 20


def checksum_of(stream: BinaryIO) -> tuple[int, str]:
    """Size and BLAKE3 checksum of what is left of a stream."""
    hasher, size = blake3(), 0
    while data := stream.read(_BUFFER_BYTES):
        hasher.update(data)
        size += len(data)
    return size, f"{BLAKE3}:{hasher.hexdigest()}"


def hasher_of(reference: Reference) -> Any | None:
    """What makes the hash that a reference's checksum is, where it is one of the bytes."""
    algorithm = reference.checksum.partition(":")[0]
    if algorithm == BLAKE3:
        return blake3()
    return md5(usedforsecurity=False) if algorithm == MD5 else None


class CheckedStream(io.RawIOBase):
    """A stream that ends well only when its bytes were as many, and hash to the same, as a reference says.

    What an `etag` stands for only the server knows: whoever opened the stream has compared it, and `at_end` may again.

    Args:
        raw: The bytes; closed with the stream.
        reference: What they are to be.
        at_end: Called when all were read.
    """

    def __init__(self, raw: BinaryIO, reference: Reference, at_end: Callable[[], None] | None = None) -> None:
        self._raw = raw
        self._reference = reference
        self._hasher = hasher_of(reference)
        self._size = 0
        self._at_end = at_end
        self._ended = False

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes; what is seen by then not to be right is refused.

        Raises:
            ReferenceChanged: There are more or fewer bytes than there were, or others.
        """
        view = memoryview(buffer).cast("B")
        data = self._raw.read(len(view))
        count = len(data)
        view[:count] = data
        self._size += count
        said = self._reference
        if said.checksum and self._size > said.size_bytes:
            raise other_bytes(said, f"more than {said.size_bytes} bytes")
        if self._hasher is not None:
            self._hasher.update(data)
        if not count and len(view) and not self._ended:
            self._end()
        return count

    def _end(self) -> None:
        self._ended = True
        said = self._reference
        if not said.checksum:
            return
        if self._size != said.size_bytes:
            raise other_bytes(said, f"{self._size} bytes instead of {said.size_bytes}")
        if self._hasher is not None and self._hasher.hexdigest() != said.checksum.partition(":")[2]:
            raise other_bytes(said, "bytes with another checksum")
        if self._at_end is not None:
            self._at_end()

    def close(self) -> None:
        """Close the source too."""
        if not self.closed:
            self._raw.close()
        super().close()


def other_bytes(reference: Reference, found: str) -> ReferenceChanged:
    """The error for a source that is not what a reference says."""
    return ReferenceChanged(
        f"{reference.url} holds {found}", url=reference.url, expected=reference.checksum, found=found
    )
