"""Reading a tar archive as the entries of a version: streamed once from its start, bounded, never unpacked to disk.

What a version can't hold (a device, a path that leads out), what is cut and what was altered is refused: before the
last byte is read nothing is committed.
"""

import io
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import BinaryIO, Final, Self, cast

from artifactstore.errors import InvalidSource
from artifactstore.exchange.incoming import Budget, broken, checked_path, listed_references
from artifactstore.exchange.sidecar import (
    REFERENCES_PATH,
    SIDECAR_BYTES_MAX,
    SIDECAR_PATH,
    Sidecar,
    decode_sidecar,
)
from artifactstore.exchange.source_streams import BROKEN_ERRORS, SourceStream
from artifactstore.format.page import Kind
from artifactstore.transfer.ingest import SMALL_BYTES_MAX
from artifactstore.transfer.scan import Found, Given

_MAGIC_BYTES: Final = 6
_BUFFER_BYTES: Final = 1 << 20
_LINK_BYTES_MAX: Final = 4096


class _Member(tarfile.TarInfo):
    """A member, read strictly: what is no header ends an archive for tarfile, and is an error here."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":  # two empty blocks: the end
                raise
            raise tarfile.ReadError(
                f"there is no member's header at byte {archive.offset}: {error}"
            ) from error


class TarSource:
    """One tar archive, plain or compressed with gzip, bzip2, xz or zstd.

    Args:
        stream: Read once, from its start; closed by `close`.
        where: What it is, for messages.
        budget: Bounds it.
        prefix: Only what lies below is taken, without it; empty for all.
        at_end: Called when all was read, before anything is committed.
    """

    def __init__(
        self,
        stream: BinaryIO,
        where: str,
        budget: Budget,
        *,
        prefix: str = "",
        at_end: Callable[[], None] | None = None,
    ) -> None:
        self._where = where
        self._budget = budget
        self._prefix = prefix.strip("/")
        self._at_end = at_end
        self._raw = SourceStream(stream, where)
        self._plain = SourceStream(
            _decompressed(self._raw), where, watch=lambda _: budget.inflate(self._raw.size, self._plain.size)
        )
        self._archive: tarfile.TarFile | None = None
        self._first: tarfile.TarInfo | None = None
        self._put_back: tuple[tarfile.TarInfo, bytes] | None = None

    def begin(self, *, sidecar: bool = True) -> Sidecar | None:
        """Read the first member's header; when the member is a sidecar, what it says, and it is no entry then.

        Args:
            sidecar: Whether it may be one.

        Raises:
            BrokenSource: It is no tar archive.
        """
        try:
            self._archive = tarfile.open(  # noqa: SIM115 - `close` does
                fileobj=self._plain,
                mode="r|",
                bufsize=_BUFFER_BYTES,
                tarinfo=_Member,
                encoding="utf-8",
                errors="surrogateescape",
            )
        except BROKEN_ERRORS as error:
            raise broken(self._where, error) from error
        self._first = self._next()
        first = self._first
        if first is None or not sidecar or first.name != SIDECAR_PATH or not first.isreg():
            return None
        if first.size > SIDECAR_BYTES_MAX:
            return None
        data = self._opened(first).read()
        said = decode_sidecar(data)
        self._first = self._next() if said is not None else None
        if said is None:
            self._put_back = (first, data)
        return said

    def entries(self) -> Iterator[Found]:
        """The members as entries, in any order; each must be read before the next is asked for."""
        if self._put_back is not None:
            info, data = self._put_back
            yield self._file(info, checked_path(info.name, self._where), data)
            self._first = self._next()
        member = self._first
        while member is not None:
            path = self._path(member.name)
            if path and not (member.isdir() and self._prefix == member.name.strip("/")):
                references = self._references(member, path)
                if references is None:
                    yield self._entry(member, path)
                else:
                    yield from references
            member = self._next()
        # A checksum may stand behind the end of the archive.
        while self._plain.read(_BUFFER_BYTES):
            pass
        if self._at_end is not None:
            self._at_end()

    def close(self) -> None:
        """Close the archive and the stream."""
        if self._archive is not None:
            self._archive.close()
        self._plain.close()
        self._raw.close()

    def _next(self) -> tarfile.TarInfo | None:
        archive = self._archive
        assert archive is not None
        # It would keep every member that it has met.
        archive.members = []  # type: ignore[attr-defined]
        try:
            return archive.next()
        except BROKEN_ERRORS as error:
            raise broken(self._where, error) from error

    def _path(self, name: str) -> str:
        """Where a member goes in the version; empty for what is not taken."""
        name = name.rstrip("/")
        if not name or name == ".":
            return ""
        if not self._prefix:
            return checked_path(name, self._where)
        path = checked_path(name.lstrip("/"), self._where)
        if path.startswith(self._prefix + "/"):
            return path[len(self._prefix) + 1 :]
        # The one file that was asked for keeps its name; folders on the way to it are nothing.
        return path.rpartition("/")[2] if path == self._prefix else ""

    def _references(self, member: tarfile.TarInfo, path: str) -> list[Found] | None:
        """The references that a member lists; None for any other member."""
        if path != REFERENCES_PATH or not member.isreg() or member.size > SIDECAR_BYTES_MAX:
            return None
        data = self._opened(member).read()
        found = listed_references(data, self._where)
        return [self._file(member, path, data)] if found is None else found

    def _entry(self, member: tarfile.TarInfo, path: str) -> Found:
        if member.isreg():
            return self._file(member, path, None)
        where = self._said(path)
        if member.isdir():
            return Found(path, Kind.FOLDER, where, None, given=Given())
        if member.issym():
            return Found(path, Kind.SYMLINK, where, None, target=self._target(member), given=Given())
        if member.islnk():
            return Found(
                path,
                Kind.FILE,
                where,
                None,
                given=Given(same_as=self._path(member.linkname) or member.linkname),
            )
        raise InvalidSource(f"{where} can't be kept: it is a device or a FIFO", path=path)

    def _file(self, member: tarfile.TarInfo, path: str, data: bytes | None) -> Found:
        self._budget.take(member.size)
        executable = bool(member.mode & 0o100)
        if data is not None or member.size <= SMALL_BYTES_MAX:
            data = self._opened(member).read() if data is None else data
            given = Given(len(data), executable, lambda: io.BytesIO(data))
            if len(data) != member.size:
                raise broken(self._where, f"it ends within {path!r}")
        else:
            given = Given(member.size, executable, lambda: self._opened(member), at_once=True)
        return Found(path, Kind.FILE, self._said(path), None, given=given)

    def _opened(self, member: tarfile.TarInfo) -> BinaryIO:
        archive = self._archive
        assert archive is not None
        stream = archive.extractfile(member)
        assert stream is not None, "a file has bytes"
        return cast("BinaryIO", SourceStream(cast("BinaryIO", stream), self._where))

    def _target(self, member: tarfile.TarInfo) -> str:
        try:
            length = len(member.linkname.encode())
        except UnicodeEncodeError as error:
            raise InvalidSource(f"the target of {member.name!r} is not UTF-8", path=member.name) from error
        if not 0 < length <= _LINK_BYTES_MAX:
            raise InvalidSource(f"the target of {member.name!r} has {length} bytes", path=member.name)
        return member.linkname

    def _said(self, path: str) -> str:
        return f"{path!r} in {self._where}"


def _decompressed(raw: SourceStream) -> BinaryIO:
    """The archive itself, whatever it is compressed with."""
    stream = io.BufferedReader(raw, _BUFFER_BYTES)
    magic = stream.peek(_MAGIC_BYTES)[:_MAGIC_BYTES]
    if magic.startswith(b"\x1f\x8b"):
        from gzip import GzipFile  # noqa: PLC0415

        return cast("BinaryIO", GzipFile(fileobj=stream, mode="rb"))
    if magic.startswith(b"BZh"):
        from bz2 import BZ2File  # noqa: PLC0415

        return cast("BinaryIO", BZ2File(stream))
    if magic.startswith(b"\xfd7zXZ"):
        from lzma import LZMAFile  # noqa: PLC0415

        return cast("BinaryIO", LZMAFile(stream))
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        return _zstd(stream)
    return cast("BinaryIO", stream)


def _zstd(stream: BinaryIO) -> BinaryIO:
    from zstandard import ZstdDecompressor, ZstdError  # noqa: PLC0415

    inner = ZstdDecompressor(max_window_size=1 << 27).stream_reader(stream, read_across_frames=True)

    class Reader(io.RawIOBase):
        """Its errors are those of a broken archive."""

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            try:
                return inner.read(size)
            except ZstdError as error:
                raise EOFError(str(error)) from error

    return cast("BinaryIO", Reader())


def tar_of(
    opening: Callable[[], BinaryIO], where: str, size_max: int | None
) -> tuple[Sidecar | None, Callable[[], Iterator[Found]]]:
    """A tar archive that can be opened again: its sidecar, and what reads its entries each time it is called."""
    with closing(TarSource(opening(), where, Budget(where, size_max))) as source:
        said = source.begin()

    def entries() -> Iterator[Found]:
        with closing(TarSource(opening(), where, Budget(where, size_max))) as again:
            again.begin()
            yield from again.entries()

    return said, entries
