"""Exporting a version as a tar or zip archive, or as a folder: streamed, and the same bytes each time.

An archive's bytes follow from the version's files alone (and from what stands beside them, where that is asked for):
order is the manifest's, times and owners are fixed, nothing is compressed.
"""

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from io import BytesIO
from itertools import islice
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import BinaryIO, Final, Literal, Protocol, cast, get_args

import msgspec

from artifactstore.errors import DestinationExists, HostileManifest, PathCollision, UsageError
from artifactstore.exchange.sidecar import REFERENCES_PATH, SIDECAR_PATH, encode_references, encode_sidecar
from artifactstore.exchange.tar_writer import TarWriter
from artifactstore.exchange.zip_writer import ZipWriter
from artifactstore.format.page import Kind
from artifactstore.format.reference import Reference
from artifactstore.ids import parse_artifact_name
from artifactstore.manifest.read import Getter, StoredEntry, entries, find_entry
from artifactstore.progress import Progress
from artifactstore.store import Store, Version
from artifactstore.transfer.streams import ReadAhead
from artifactstore.transfer.target import named

ExportFormat = Literal["tar", "zip", "folder"]

# Files are announced so many ahead of the one that is written, so that their chunks can be fetched.
_ENTRIES_AHEAD: Final = 256


class ExportSummary(msgspec.Struct, frozen=True):
    """What an export wrote.

    Attributes:
        version: The version.
        format: `tar`, `zip` or `folder`.
        files: Entries that were written.
        references: References that were listed instead.
        logical_bytes: Bytes of their files.
        archive_bytes: Bytes of the archive; 0 for a folder.
        sha256: Of the archive, as hex; empty for a folder.
    """

    version: Version
    format: str
    files: int
    references: int
    logical_bytes: int
    archive_bytes: int
    sha256: str


class _Writer(Protocol):
    """What writes members."""

    def add_file(self, path: str, size: int, *, executable: bool, stream: BinaryIO) -> Iterator[int]: ...
    def add_symlink(self, path: str, target: str) -> None: ...
    def add_folder(self, path: str) -> None: ...
    def close(self) -> None: ...
    def discard(self) -> None: ...


def export_version(
    store: Store,
    ref: str,
    output: str | os.PathLike[str] | BinaryIO,
    *,
    format: ExportFormat = "tar",  # noqa: A002 - the word users know
    with_metadata: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExportSummary:
    """Write a version as an archive or a folder.

    Args:
        store: Where it is.
        ref: `project/name`, with `:vN`, `:alias` or `@digest`.
        output: A path, or a binary stream that is written from its start to its end and not closed.
        format: `tar`, `zip` or `folder`.
        with_metadata: Add `.artifactstore-version.json` with type, description, metadata, aliases and labels, which
            importing takes up again.
        overwrite: Replace what is at `output`. In a folder, files of other names stay.
        progress: Told what happens; the store's own when None.

    Raises:
        NoSuchVersion: The reference names none.
        DestinationExists: Something is at `output`.
        PathCollision: The version itself holds a file of the name of what is to be added.
        Damaged: A chunk can't be read back whole; no file is left at `output`.
        UsageError: There is no such format, or a stream is to become a folder.
    """
    if format not in get_args(ExportFormat):
        raise UsageError(f"there is no format {format!r}", next_step="choose tar, zip or folder")
    version = store.version(ref)
    watcher = progress or store.watcher
    if format == "folder":
        return _as_folder(store, version, output, watcher, with_metadata=with_metadata, overwrite=overwrite)
    if not isinstance(output, str | os.PathLike):
        return _archive(store, version, output, format, watcher, with_metadata=with_metadata)
    with _new_file(Path(output), overwrite=overwrite) as out:
        return _archive(store, version, out, format, watcher, with_metadata=with_metadata)


def _as_folder(
    store: Store,
    version: Version,
    output: str | os.PathLike[str] | BinaryIO,
    progress: Progress,
    *,
    with_metadata: bool,
    overwrite: bool,
) -> ExportSummary:
    if not isinstance(output, str | os.PathLike):
        raise UsageError("a folder can't go to a stream", next_step="choose tar or zip")
    getter = _getter(store, version)
    beside = _beside(getter, version, with_metadata=with_metadata)
    found = entries(getter, version.manifest)
    references = [(one.path, one.reference) for one in found if one.kind == Kind.REFERENCE]
    listed = _listed(getter, version, references)
    done = store.pull(
        version.qualified_name, output, overwrite=overwrite, references=False, progress=progress
    )
    if beside is not None:
        (Path(output) / SIDECAR_PATH).write_bytes(beside)
    if listed is not None:
        (Path(output) / REFERENCES_PATH).write_bytes(listed)
    files = version.file_count - len(references)
    return ExportSummary(version, "folder", files, len(references), done.logical_bytes, 0, "")


def _archive(
    store: Store,
    version: Version,
    out: BinaryIO,
    format_name: str,
    progress: Progress,
    *,
    with_metadata: bool,
) -> ExportSummary:
    getter = _getter(store, version)
    beside = _beside(getter, version, with_metadata=with_metadata)
    told = _Told(out)
    stream = cast("BinaryIO", told)
    writer: _Writer = TarWriter(stream) if format_name == "tar" else ZipWriter(stream)
    progress.start("export", bytes_total=version.size_bytes, files_total=version.file_count)
    files = size_bytes = 0
    references: list[tuple[str, Reference]] = []
    with _discarded(writer), store.make_executors() as executors:
        if beside is not None:
            _write(writer, SIDECAR_PATH, beside)
        for entry, opening in _announced(getter, version, ReadAhead(getter, executors.io)):
            if entry.kind == Kind.REFERENCE:
                references.append((entry.path, entry.reference))
                continue
            for size in _member(writer, entry, opening):
                progress.advance(bytes=size)
                size_bytes += size
            files += 1
            progress.advance(files=1)
        listed = _listed(getter, version, references)
        if listed is not None:
            _write(writer, REFERENCES_PATH, listed)
        writer.close()
    progress.finish()
    sha256_hex = told.digest.hexdigest()
    return ExportSummary(version, format_name, files, len(references), size_bytes, told.size, sha256_hex)


def _write(writer: _Writer, path: str, data: bytes) -> None:
    deque(writer.add_file(path, len(data), executable=False, stream=BytesIO(data)), 0)


@contextmanager
def _discarded(writer: _Writer) -> Iterator[None]:
    """Let go of what a writer holds, however it ends."""
    try:
        yield
    finally:
        writer.discard()


def _announced(
    getter: Getter, version: Version, ahead: ReadAhead
) -> Iterator[tuple[StoredEntry, Callable[[], BinaryIO] | None]]:
    """The entries, each with what opens its bytes, announced some ahead of the one that is read."""
    found = (
        (entry, ahead.expect(entry) if entry.kind == Kind.FILE else None)
        for entry in entries(getter, version.manifest)
    )
    while batch := list(islice(found, _ENTRIES_AHEAD)):
        yield from batch


def _member(writer: _Writer, entry: StoredEntry, opening: Callable[[], BinaryIO] | None) -> Iterator[int]:
    """Write one entry; yields the bytes of each piece of a file."""
    if opening is not None:
        with opening() as content:
            yield from writer.add_file(entry.path, entry.size, executable=entry.executable, stream=content)
    elif entry.kind == Kind.SYMLINK:
        writer.add_symlink(entry.path, entry.content.target)
    elif entry.kind == Kind.FOLDER:
        writer.add_folder(entry.path)
    else:
        raise HostileManifest(f"{entry.path!r} is of a kind that can't be exported", path=entry.path)


def _beside(getter: Getter, version: Version, *, with_metadata: bool) -> bytes | None:
    """What goes beside the files; None for nothing.

    Raises:
        PathCollision: The version holds a file of that name.
    """
    if not with_metadata:
        return None
    _refuse_entry(getter, version, SIDECAR_PATH, "export it without metadata")
    return encode_sidecar(version)


def _listed(getter: Getter, version: Version, references: Sequence[tuple[str, Reference]]) -> bytes | None:
    """The list of a version's references; None where it has none.

    Raises:
        PathCollision: The version holds a file of that name.
    """
    if not references:
        return None
    _refuse_entry(getter, version, REFERENCES_PATH, "rename that file, and push it anew")
    return encode_references(references)


def _refuse_entry(getter: Getter, version: Version, path: str, next_step: str) -> None:
    if find_entry(getter, version.manifest, path) is not None:
        raise PathCollision(
            f"{version.qualified_name} itself holds {path!r}", next_step=next_step, paths=[path]
        )


def _getter(store: Store, version: Version) -> Getter:
    return store.getter_of(parse_artifact_name(version.artifact), version.number)


@contextmanager
def _new_file(path: Path, *, overwrite: bool) -> Iterator[BinaryIO]:
    """A file that takes its name when it is whole.

    Raises:
        DestinationExists: There is one, and it is not to be replaced.
    """
    if path.is_dir() or (not overwrite and os.path.lexists(path)):
        raise DestinationExists(f"{str(path)!r} is there already", path=str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                yield cast("BinaryIO", file)
                file.flush()
                mask = os.umask(0o077)
                os.umask(mask)
                os.fchmod(file.fileno(), 0o666 & ~mask)
                Path(file.name).replace(path)
            except BaseException:
                with suppress(FileNotFoundError):
                    Path(file.name).unlink()
                raise
    except OSError as error:
        raise named(error, str(path)) from error


class _Told:
    """Counts and hashes what is written on."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self.size = 0
        self.digest = sha256()

    def write(self, data: bytes) -> int:
        """Write all of it."""
        self._out.write(data)
        self.digest.update(data)
        self.size += len(data)
        return len(data)
