"""Reading a zip archive as the entries of a version: bounded, each checksum held against its bytes."""

import io
import stat
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

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

_LINK_BYTES_MAX: Final = 4096
_ENCRYPTED: Final = 0x1


def zip_of(
    opening: Callable[[], BinaryIO], where: str, size_max: int | None
) -> tuple[Sidecar | None, Callable[[], Iterator[Found]]]:
    """A zip archive: its sidecar, and what reads its entries each time it is called.

    Args:
        opening: Opens it, seekable.
        where: What it is, for messages.
        size_max: Bytes that all files together may have.

    Raises:
        BrokenSource: It is no zip archive, or its directory is cut.
        SourceTooLarge: Its members overlap, or it unpacks to more than it may.
    """
    with opening() as stream, _opened(stream, where) as archive:
        said = _sidecar(archive, where)

    def entries() -> Iterator[Found]:
        with opening() as stream, _opened(stream, where) as archive:
            budget = Budget(where, size_max)
            for member in _members(archive, where):
                if said is not None and member.filename == SIDECAR_PATH:
                    continue
                budget.take(member.file_size)
                budget.inflate(member.compress_size, member.file_size)
                references = _references(archive, member, where)
                if references is not None:
                    yield from references
                    continue
                yield _entry(archive, member, where)

    return said, entries


def file_opener(path: Path, where: str) -> Callable[[], BinaryIO]:
    """What opens a local file, each time."""

    def opening() -> BinaryIO:
        try:
            return path.open("rb")
        except OSError as error:
            raise broken(where, f"it can't be opened: {error.strerror}") from error

    return opening


def _opened(stream: BinaryIO, where: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(stream)
    except (*BROKEN_ERRORS, OSError, ValueError) as error:
        raise broken(where, error) from error


def _members(archive: zipfile.ZipFile, where: str) -> list[zipfile.ZipInfo]:
    """Its members in the order in which they lie, which is how they are best read.

    Raises:
        BrokenSource: They overlap, as in archives that are made to unpack to more than anybody has room for.
    """
    members = sorted(archive.infolist(), key=lambda one: one.header_offset)
    end = 0
    for member in members:
        if member.header_offset < end:
            raise broken(where, f"{member.filename!r} overlaps the member before it")
        end = member.header_offset + member.compress_size
    return members


def _sidecar(archive: zipfile.ZipFile, where: str) -> Sidecar | None:
    try:
        member = archive.getinfo(SIDECAR_PATH)
    except KeyError:
        return None
    if member.file_size > SIDECAR_BYTES_MAX:
        return None
    with _reader(archive, member, where) as stream:
        return decode_sidecar(stream.read())


def _references(archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str) -> list[Found] | None:
    """The references that a member lists; None for any other member."""
    if member.filename != REFERENCES_PATH or member.file_size > SIDECAR_BYTES_MAX:
        return None
    with _reader(archive, member, where) as stream:
        return listed_references(stream.read(), where)


def _entry(archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str) -> Found:
    path = checked_path(member.filename.rstrip("/"), where)
    said = f"{path!r} in {where}"
    mode = member.external_attr >> 16 if member.create_system == 3 else 0  # noqa: PLR2004 - Unix
    if member.flag_bits & _ENCRYPTED:
        raise InvalidSource(f"{said} is encrypted", next_step="unpack it, and push the folder", path=path)
    if member.is_dir():
        return Found(path, Kind.FOLDER, said, None, given=Given())
    if stat.S_ISLNK(mode):
        return Found(path, Kind.SYMLINK, said, None, target=_target(archive, member, where), given=Given())
    if stat.S_IFMT(mode) not in {0, stat.S_IFREG}:
        raise InvalidSource(f"{said} can't be kept: it is a device or a FIFO", path=path)
    return Found(
        path, Kind.FILE, said, None, given=_given(archive, member, where, executable=bool(mode & 0o100))
    )


def _given(archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str, *, executable: bool) -> Given:
    """A file: read now where it is small, since those are gathered; else before the next one is asked for."""
    size = member.file_size
    if size > SMALL_BYTES_MAX:
        return Given(size, executable, lambda: _reader(archive, member, where), at_once=True)
    with _reader(archive, member, where) as stream:
        data = stream.read()
    return Given(size, executable, lambda: io.BytesIO(data))


def _target(archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str) -> str:
    if not 0 < member.file_size <= _LINK_BYTES_MAX:
        raise InvalidSource(f"the target of {member.filename!r} has {member.file_size} bytes")
    with _reader(archive, member, where) as stream:
        raw = stream.read()
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise InvalidSource(f"the target of {member.filename!r} is not UTF-8") from error


def _reader(archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str) -> BinaryIO:
    try:
        inner = archive.open(member)
    except (*BROKEN_ERRORS, OSError, RuntimeError) as error:
        raise broken(where, error) from error
    return cast("BinaryIO", io.BufferedReader(SourceStream(cast("BinaryIO", inner), where)))
