"""Pull: version → entries → locations → coalesced ranges → verified chunks → files.

Everything is written into a staging folder beside the destination and moved into place at the end, so that the
destination is never half a version. A pull that was cut finds its staging folder again and keeps the chunks in it
that still hash to what the manifest names: resumed by content, never by trust.
"""

import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from io import FileIO
from typing import Final, NamedTuple

from blake3 import blake3

from artifactstore.content.get import ChunkReader, Wanted
from artifactstore.errors import HostileManifest, NoSuchEntry
from artifactstore.executors import Executors
from artifactstore.format.operations import Manifest
from artifactstore.format.pack import PackType
from artifactstore.format.page import Kind
from artifactstore.manifest.read import Span, StoredEntry, entries, spans
from artifactstore.pack.ranges import Range, coalesce
from artifactstore.progress import Progress
from artifactstore.transfer.ignore import parse_patterns
from artifactstore.transfer.staging import made, move_into, publish, refuse_occupied, staging_of
from artifactstore.transfer.target import Target, named, write_at

_WINDOW_CHUNKS: Final = 8192
_COMPARE_BYTES: Final = 1 << 20


class Pulled(NamedTuple):
    """What a pull did.

    Attributes:
        files: Entries of the version that were selected.
        logical_bytes: Bytes of their files.
        files_written: Entries that were written.
        bytes_written: Bytes of files that were fetched and written.
        bytes_kept: Bytes that were there already, verified by their hash.
    """

    files: int
    logical_bytes: int
    files_written: int
    bytes_written: int
    bytes_kept: int


class PullParts(NamedTuple):
    """What a pull runs through."""

    reader: ChunkReader
    executors: Executors
    progress: Progress


class _Place(NamedTuple):
    """Where a chunk goes: which file, at which offset; and the file's digest when the chunk is the whole file."""

    path: str
    offset: int
    mode: int
    digest: bytes | None


def selected(found: Iterable[StoredEntry], globs: Sequence[str]) -> Iterator[StoredEntry]:
    """The entries that one of the globs names, in the language that pushes exclude in; all without globs.

    `*.csv` names such files at any depth, `images/` all below that folder, `/a.txt` one at the root.

    Raises:
        UsageError: A glob is not of that language.
    """
    if not globs:
        yield from found
        return
    wanted = parse_patterns(globs, "--path")
    for entry in found:
        if wanted.match_file(entry.path):
            yield entry


def pull(
    parts: PullParts, manifest: Manifest, destination: str, globs: Sequence[str], *, overwrite: bool
) -> Pulled:
    """Write a version's files into `destination`.

    Args:
        parts: What it runs through.
        manifest: The version.
        destination: A folder that does not exist, or is empty, unless `overwrite`.
        globs: Which paths; all when empty.
        overwrite: Whether files that are there may be replaced. Files of other names stay.

    Raises:
        DestinationExists: Something is there.
        NoSuchEntry: No path matches the globs.
        Damaged: A chunk can't be read back whole.
        HostileManifest: The manifest names paths that no honest push makes.
        StorageFull: No space is left; what was fetched stays in the staging folder for the next try.
    """
    destination = os.path.abspath(destination)
    staging = staging_of(destination, manifest, globs)
    occupied = refuse_occupied(destination, overwrite=overwrite, staging=staging)
    try:
        os.makedirs(os.path.dirname(destination), exist_ok=True)
        resuming = not made(staging)
        with Target(staging, own=True) as target:
            existing = Target(destination) if occupied else None
            try:
                done = _Puller(parts, target, existing, resuming=resuming).run(manifest, globs)
                if existing is not None:
                    move_into(existing, target, done.moved)
            finally:
                if existing is not None:
                    existing.close()
        if occupied:
            shutil.rmtree(staging)
        else:
            publish(staging, destination)
    except OSError as error:
        raise named(error, error.filename or destination) from error
    except (HostileManifest, NoSuchEntry):
        # There is nothing to take up.
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return done.pulled


def nothing_selected(globs: Sequence[str]) -> NoSuchEntry:
    """The error for globs that name nothing: an empty folder would look like a success."""
    return NoSuchEntry(f"no path of the version matches {', '.join(map(repr, globs))}", globs=list(globs))


class _Done(NamedTuple):
    pulled: Pulled
    moved: list[tuple[str, bool]]


class _Puller:
    """One pull into one staging folder."""

    def __init__(self, parts: PullParts, target: Target, existing: Target | None, *, resuming: bool) -> None:
        self._parts = parts
        self._target = target
        self._existing = existing
        self._resuming = resuming
        self._places: dict[bytes, list[_Place]] = {}
        self._planned = 0
        self._sizes: dict[bytes, int] = {}
        self._futures: deque[Future[int]] = deque()
        self._links: list[tuple[str, str]] = []
        self._moved: list[tuple[str, bool]] = []
        self._files = self._logical = self._written_files = self._written = self._kept = 0
        umask = os.umask(0o077)
        os.umask(umask)
        self._plain_mode, self._executable_mode = 0o666 & ~umask, 0o777 & ~umask

    def run(self, manifest: Manifest, globs: Sequence[str]) -> _Done:
        """Write everything into the staging folder."""
        try:
            return self._run(manifest, globs)
        except BaseException:
            # No worker may outlive the descriptors it writes through: their numbers are soon somebody else's.
            for future in self._futures:
                future.cancel()
            wait(self._futures)
            raise

    def _run(self, manifest: Manifest, globs: Sequence[str]) -> _Done:
        progress = self._parts.progress
        whole = (manifest.size, manifest.entries) if not globs else (None, None)
        progress.start("pull", bytes_total=whole[0], files_total=whole[1])
        for entry in selected(entries(self._parts.reader, manifest), globs):
            self._files += 1
            self._logical += entry.size if entry.kind == Kind.FILE else 0
            self._plan(entry)
            if self._planned >= _WINDOW_CHUNKS:
                self._fetch_window()
        if globs and not self._files:
            raise nothing_selected(globs)
        self._fetch_window()
        self._settle(0)
        # Symlinks last: until then nothing in the folder leads anywhere.
        for path, target in self._links:
            self._target.make_symlink(path, target)
        progress.finish()
        pulled = Pulled(self._files, self._logical, self._written_files, self._written, self._kept)
        return _Done(pulled, self._moved)

    def _plan(self, entry: StoredEntry) -> None:
        """Decide what of one entry has to be written."""
        if self._existing is not None and entry.kind == Kind.FILE and self._is_there(entry):
            self._kept += entry.size
            self._parts.progress.advance(bytes=entry.size, files=1)
            return
        if self._existing is not None:
            self._moved.append((entry.path, entry.kind == Kind.FOLDER))
        self._written_files += 1
        if entry.kind == Kind.SYMLINK:
            self._links.append((entry.path, entry.content.target))
        elif entry.kind == Kind.FOLDER:
            self._target.make_folder(entry.path)
        elif entry.kind == Kind.FILE:
            self._plan_file(entry)
            return
        else:
            raise HostileManifest(f"{entry.path!r} is of a kind that can't be pulled", path=entry.path)
        self._parts.progress.advance(files=1)

    def _plan_file(self, entry: StoredEntry) -> None:
        mode = self._executable_mode if entry.executable else self._plain_mode
        kept = self._kept_chunks(entry, mode) if self._resuming else None
        if not entry.size:
            self._target.write_file(entry.path, memoryview(b""), mode)
            self._parts.progress.advance(files=1)
            return
        digest = entry.digest if entry.content.depth == 0 and len(entry.content.sizes) == 1 else None
        for span in spans(self._parts.reader, entry.content):
            if kept is not None and kept(span):
                self._kept += span.length
                self._parts.progress.advance(bytes=span.length)
                continue
            self._places.setdefault(span.cid, []).append(_Place(entry.path, span.start, mode, digest))
            self._planned += 1
            if self._sizes.setdefault(span.cid, span.length) != span.length:
                raise HostileManifest(
                    f"{entry.path!r} declares another size for a chunk than other files do", path=entry.path
                )
            if self._planned >= _WINDOW_CHUNKS and digest is None:
                self._fetch_window()
        self._parts.progress.advance(files=1)

    def _is_there(self, entry: StoredEntry) -> bool:
        """Whether the destination holds this very file already, by size, executable bit and digest."""
        assert self._existing is not None
        handle = self._existing.open_existing(entry.path)
        if handle is None:
            return False
        with FileIO(handle, "rb") as file:
            stat = os.fstat(handle)
            if stat.st_size != entry.size or bool(stat.st_mode & 0o100) != entry.executable:
                return False
            digest = blake3_of(file)
        return digest == entry.digest

    def _kept_chunks(self, entry: StoredEntry, mode: int) -> "Callable[[Span], bool] | None":
        """A test for chunks that a cut pull left whole in the staging folder, by hash."""
        handle = self._target.open_existing(entry.path)
        if handle is None:
            return None
        size = os.fstat(handle).st_size
        os.close(handle)
        if size > entry.size:
            self._target.remove(entry.path)
            return None
        self._target.set_mode(entry.path, mode)
        reader, path = self._parts.reader, entry.path

        def kept(span: Span) -> bool:
            if span.start + span.length > size:
                return False
            open_handle = self._target.open_existing(path)
            if open_handle is None:
                return False
            try:
                data = os.pread(open_handle, span.length, span.start)
            finally:
                os.close(open_handle)
            return reader.matches(PackType.DATA, span.cid, data)

        return kept

    def _fetch_window(self) -> None:
        """Fetch the chunks planned so far, pack by pack, in ranges; workers open and write them."""
        places, self._places, self._planned = self._places, {}, 0
        sizes, self._sizes = self._sizes, {}
        cids = list(places)
        by_pack: dict[int, list[Wanted]] = {}
        for cid, location in zip(cids, self._parts.reader.locate(cids), strict=True):
            if location.span != sizes[cid]:
                raise HostileManifest(
                    f"{places[cid][0].path!r} declares {sizes[cid]} bytes for a chunk of {location.span}",
                    path=places[cid][0].path,
                )
            by_pack.setdefault(location.pack, []).append(Wanted(cid, location))
        for pack, wanted in by_pack.items():
            wanted.sort(key=_by_place)
            at = 0
            for span in coalesce((one.location.offset, one.location.length) for one in wanted):
                end = at
                while end < len(wanted) and wanted[end].location.offset < span.start + span.length:
                    end += 1
                self._submit(pack, span, wanted[at:end], places)
                at = end

    def _submit(
        self, pack: int, span: Range, wanted: Sequence[Wanted], places: dict[bytes, list[_Place]]
    ) -> None:
        self._futures.append(self._parts.executors.cpu.submit(self._fetch, pack, span, wanted, places))
        self._settle(self._parts.executors.width + 2)

    def _settle(self, allowed: int) -> None:
        while len(self._futures) > allowed:
            written = self._futures.popleft().result()
            self._written += written
            self._parts.progress.advance(bytes=written)

    def _fetch(
        self, pack: int, span: Range, wanted: Sequence[Wanted], places: dict[bytes, list[_Place]]
    ) -> int:
        with _FileWriter(self._target) as writer:

            def sink(cid: bytes, data: memoryview) -> None:
                for place in places[cid]:
                    writer.write(place, data)

            self._parts.reader.read_range(PackType.DATA, pack, span, wanted, sink)
            return writer.written


class _FileWriter:
    """Writes chunks to their places, keeping the file of the last one open."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._path = ""
        self._handle = -1
        self.written = 0

    def __enter__(self) -> "_FileWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def write(self, place: _Place, data: memoryview) -> None:
        self.written += len(data)
        if place.digest is not None:
            if blake3(data).digest() != place.digest:
                raise HostileManifest(
                    f"the manifest states another digest for {place.path!r}", path=place.path
                )
            self._target.write_file(place.path, data, place.mode)
            return
        if place.path != self._path:
            self._close()
            self._handle = self._target.open_file(place.path, place.mode)
            self._path = place.path
        write_at(self._handle, data, place.offset)

    def _close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
        self._handle, self._path = -1, ""


def _by_place(wanted: Wanted) -> tuple[int, int]:
    return wanted.location.offset, wanted.location.start


def blake3_of(file: FileIO) -> bytes:
    """The BLAKE3 digest of an open file's remaining bytes, in bounded memory."""
    hasher = blake3()
    buffer = memoryview(bytearray(_COMPARE_BYTES))
    while count := file.readinto(buffer):
        hasher.update(buffer[:count])
    return hasher.digest()
