"""Streams that tell at their end whether they were what they had to be, in this project's words."""

import io
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Final, Protocol, cast

from artifactstore.errors import ArtifactStoreError
from artifactstore.exchange.incoming import broken
from artifactstore.transfer.scan import unreadable

BROKEN_ERRORS: Final = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
)


class Hasher(Protocol):
    """What hashlib makes."""

    def update(self, data: bytes, /) -> None:
        """Hash more."""
        ...

    def hexdigest(self) -> str:
        """The digest of all so far."""
        ...


class SourceStream(io.RawIOBase):
    """Reads another stream to its end; what is wrong with it is `BrokenSource`.

    Args:
        inner: The stream; closed with this one.
        where: What it is, for messages.
        at_end: Called once when it has ended; raises what is to be raised.
        watch: Told of all bytes that come.
    """

    def __init__(
        self,
        inner: BinaryIO,
        where: str,
        at_end: Callable[[], None] | None = None,
        watch: Callable[[bytes], None] | None = None,
    ) -> None:
        self._inner = inner
        self._where = where
        self._at_end = at_end
        self._watch = watch
        self.size = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read, and at the end hold what was read against what it had to be."""
        view = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        data = self._next(len(view))
        view[: len(data)] = data
        self.size += len(data)
        if self._watch is not None and data:
            self._watch(data)
        if not data and len(view) and self._at_end is not None:
            at_end, self._at_end = self._at_end, None
            at_end()
        return len(data)

    def _next(self, size: int) -> bytes:
        try:
            return self._inner.read(size)
        except ArtifactStoreError:
            raise
        except BROKEN_ERRORS as error:
            raise broken(self._where, error) from error
        except OSError as error:
            # What decompressors find is an OSError without a number.
            raise (
                broken(self._where, error) if error.errno is None else unreadable(self._where, error)
            ) from error

    def close(self) -> None:
        """Close both."""
        if not self.closed:
            self._inner.close()
        super().close()


class Lent:
    """A stream of somebody else's, which stays open when its reader closes it."""

    def __init__(self, stream: BinaryIO) -> None:
        self.read = stream.read

    def close(self) -> None:
        """Leave it open."""


def hashed_file(
    path: Path, where: str, digest: str, hashers: Sequence[Hasher], start: bytes = b""
) -> BinaryIO:
    """Open a file whose bytes must hash to a digest, by one of the hashers.

    Args:
        path: The file.
        where: What it is, for messages.
        digest: As hex.
        hashers: One of them is to give it; none where nothing says what the bytes must be.
        start: Hashed before the file's own bytes.

    Raises:
        BrokenSource: The file can't be opened.
    """
    for hasher in hashers:
        hasher.update(start)

    def watch(data: bytes) -> None:
        for hasher in hashers:
            hasher.update(data)

    def at_end() -> None:
        if hashers and all(hasher.hexdigest() != digest for hasher in hashers):
            raise broken(where, f"its bytes do not hash to {digest}", path=str(path))

    try:
        inner = path.open("rb")
    except OSError as error:
        raise broken(where, f"{str(path)!r} can't be opened: {error.strerror}", path=str(path)) from error
    return cast("BinaryIO", SourceStream(inner, where, at_end, watch))
