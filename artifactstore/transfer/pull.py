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
from stat import S_ISREG
from typing import Final, NamedTuple, TypeAlias

from blake3 import blake3

from artifactstore.content.get import ChunkReader, Wanted, plan_ranges
from artifactstore.errors import ArtifactStoreError, DestinationExists, HostileManifest, NoSuchEntry
from artifactstore.executors import Executors
from artifactstore.format.operations import Manifest
from artifactstore.format.pack import PackType
from artifactstore.format.page import Kind
from artifactstore.manifest.divide import Division, entries_of
from artifactstore.manifest.read import Span, StoredEntry, read_lists_ahead, spans
from artifactstore.pack.ranges import Range
from artifactstore.progress import Progress
from artifactstore.transfer.ignore import parse_patterns
from artifactstore.transfer.referenced import Fetching, ReferencePuller, is_as_referenced
from artifactstore.transfer.staging import made, move_into, publish, refuse_occupied, staging_of
from artifactstore.transfer.target import Target, named, write_at

# Chunks that are located together. The first windows are small: a client without an index looks each of them up, and
# nothing can be fetched before.
_WINDOW_CHUNKS_FIRST: Final = 1
_WINDOW_GROWTH: Final = 16
_WINDOW_CHUNKS_MAX: Final = 8192
# Entries that are looked through ahead for files with chunk lists, such files, and lists of theirs: the reader's cache
# holds them all.
_ENTRIES_AHEAD_FIRST: Final = 32
_ENTRIES_AHEAD_MAX: Final = 1024
_LARGE_AHEAD_MAX: Final = 16
_LISTS_AHEAD_MAX: Final = 64
# Ranges that are fetched together by one thread for the backend, and bytes of ranges that are on their way or here and
# not opened: eight threads have a lot each under way, so that answers may take their time.
_LOT_RANGES_MAX: Final = 16
_LOT_BYTES_MAX: Final = 8 << 20
_FETCHED_BYTES_MAX: Final = 64 << 20
_WITH_BYTES: Final = frozenset({Kind.FILE, Kind.REFERENCE})
_COMPARE_BYTES: Final = 1 << 20


class Pulled(NamedTuple):
    """What a pull did.

    Attributes:
        files: Entries of the version that were selected.
        logical_bytes: Bytes of their files.
        files_written: Entries that were written.
        bytes_written: Bytes of files that were fetched and written.
        bytes_kept: Bytes that were there already, verified by their hash.
        references_left: References that were selected and left out.
    """

    files: int
    logical_bytes: int
    files_written: int
    bytes_written: int
    bytes_kept: int
    references_left: int


class PullParts(NamedTuple):
    """What a pull runs through."""

    reader: ChunkReader
    executors: Executors
    progress: Progress
    references: Fetching = Fetching()


class _Place(NamedTuple):
    """Where a chunk goes: which file, at which offset; and the file's digest when the chunk is the whole file."""

    path: str
    offset: int
    mode: int
    digest: bytes | None


class _Part(NamedTuple):
    """One range of a pack, the chunks in it, and where the chunks of its window go."""

    pack: int
    span: Range
    wanted: list[Wanted]
    places: dict[bytes, list[_Place]]


# The bytes that opening a part writes, and the bytes that were fetched for it.
_Opening: TypeAlias = tuple[Future[int], int]


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
    parts: PullParts,
    manifest: Manifest,
    destination: str,
    globs: Sequence[str],
    *,
    overwrite: bool,
    division: Division | None = None,
) -> Pulled:
    """Write a version's files into `destination`.

    Args:
        parts: What it runs through.
        manifest: The version.
        destination: A folder that does not exist, or is empty, unless `overwrite`.
        globs: Which paths; all when empty.
        overwrite: Whether files that are there may be replaced. Files of other names stay.
        division: Which part of the version, when several pulls fill the destination; it may hold files of other parts.

    Raises:
        DestinationExists: Something is there; of a part: another file than the part's at one of its paths.
        NoSuchEntry: No path matches the globs.
        Damaged: A chunk can't be read back whole.
        HostileManifest: The manifest names paths that no honest push makes.
        StorageFull: No space is left; what was fetched stays in the staging folder for the next try.
    """
    destination = os.path.abspath(destination)
    try:
        # Whichever part comes first makes the destination.
        os.makedirs(destination if division else os.path.dirname(destination), exist_ok=True)
    except OSError as error:
        raise named(error, error.filename or destination) from error
    # A pull without references, or with those that are there, must not publish what another has fetched.
    label = parts.references.label + ("" if division is None else f"-{division.part}of{division.parts}")
    staging = staging_of(destination, manifest, globs, label)
    occupied = refuse_occupied(destination, overwrite=overwrite or division is not None, staging=staging)
    try:
        resuming = not made(staging)
        with Target(staging, own=True) as target:
            existing = Target(destination) if occupied else None
            try:
                puller = _Puller(
                    parts, target, existing, resuming=resuming, adding=division is not None and not overwrite
                )
                done = puller.run(manifest, globs, division)
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
    """One pull into one staging folder; with `adding`, what stands at the destination is not replaced."""

    def __init__(
        self,
        parts: PullParts,
        target: Target,
        existing: Target | None,
        *,
        resuming: bool,
        adding: bool,
    ) -> None:
        self._parts = parts
        self._target = target
        self._existing = existing
        self._resuming = resuming
        self._adding = adding
        self._places: dict[bytes, list[_Place]] = {}
        self._planned = 0
        self._sizes: dict[bytes, int] = {}
        self._window = _WINDOW_CHUNKS_FIRST
        self._lot: list[_Part] = []
        self._lot_bytes = 0
        self._lots: deque[Future[list[_Opening]]] = deque()
        self._opening: deque[_Opening] = deque()
        self._fetched_bytes = 0
        self._links: list[tuple[str, str]] = []
        self._moved: list[tuple[str, bool]] = []
        self._files = self._logical = self._written_files = self._written = self._kept = 0
        self._references = ReferencePuller(parts.references, target, parts.executors, parts.progress)
        umask = os.umask(0o077)
        os.umask(umask)
        self._plain_mode, self._executable_mode = 0o666 & ~umask, 0o777 & ~umask

    def run(self, manifest: Manifest, globs: Sequence[str], division: Division | None) -> _Done:
        """Write everything into the staging folder."""
        try:
            return self._run(manifest, globs, division)
        except BaseException:
            # No worker may outlive the descriptors it writes through: their numbers are soon somebody else's.
            self._abandon()
            raise

    def _abandon(self) -> None:
        """Fetch no more, and write what has arrived, for the next try to find."""
        for lot in self._lots:
            lot.cancel()
        wait(self._lots)
        done = [lot.result() for lot in self._lots if not lot.cancelled() and lot.exception() is None]
        wait([task for tasks in [self._opening, *done] for task, _ in tasks])
        self._references.abandon()

    def _run(self, manifest: Manifest, globs: Sequence[str], division: Division | None) -> _Done:
        progress = self._parts.progress
        whole = (manifest.size, manifest.entries) if not globs and division is None else (None, None)
        progress.start("pull", bytes_total=whole[0], files_total=whole[1])
        found = entries_of(self._parts.reader, manifest, division)
        for entry in self._listed(selected(found, globs)):
            self._files += 1
            self._logical += entry.size if entry.kind == Kind.FILE else 0
            self._plan(entry)
            if self._planned >= self._window:
                self._fetch_window()
        if globs and not self._files and division is None:
            raise nothing_selected(globs)
        self._fetch_window()
        self._settle(0)
        self._references.finish()
        # Symlinks last: until then nothing in the folder leads anywhere.
        for path, target in self._links:
            self._target.make_symlink(path, target)
        progress.finish()
        references = self._references
        pulled = Pulled(
            self._files,
            self._logical,
            self._written_files + references.written_files,
            self._written + references.written,
            self._kept,
            references.left,
        )
        return _Done(pulled, [one for one in self._moved if one[0] not in references.missing])

    def _listed(self, found: Iterable[StoredEntry]) -> Iterator[StoredEntry]:
        """The entries, with the chunk lists of many files read ahead together; the reader keeps what it opened."""
        if self._existing is not None:
            yield from found
            return
        batch: list[StoredEntry] = []
        large = 0
        # The first page of a manifest holds that many entries at least, or it is the last.
        entries_max = _ENTRIES_AHEAD_FIRST
        for entry in found:
            batch.append(entry)
            large += entry.content.depth > 0
            if large >= _LARGE_AHEAD_MAX or len(batch) >= entries_max:
                read_lists_ahead(self._parts.reader, (each.content for each in batch), _LISTS_AHEAD_MAX)
                yield from batch
                batch, large = [], 0
                entries_max = _ENTRIES_AHEAD_MAX
        read_lists_ahead(self._parts.reader, (each.content for each in batch), _LISTS_AHEAD_MAX)
        yield from batch

    def _plan(self, entry: StoredEntry) -> None:
        """Decide what of one entry has to be written."""
        if self._existing is not None and entry.kind in _WITH_BYTES and self._is_there(entry):
            self._kept += entry.size
            self._parts.progress.advance(bytes=entry.size, files=1)
            return
        if entry.kind == Kind.REFERENCE and self._parts.references.opener is None:
            self._references.leave(entry)
            return
        if self._existing is not None:
            if self._adding and entry.kind != Kind.FOLDER:
                self._refuse_other(self._existing, entry)
            self._moved.append((entry.path, entry.kind == Kind.FOLDER))
        if entry.kind == Kind.REFERENCE:
            self._logical += entry.size
            self._references.fetch(entry, self._plain_mode)
            return
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

    def _refuse_other(self, existing: Target, entry: StoredEntry) -> None:
        if existing.stands(entry.path, entry.content.target or None):
            raise DestinationExists(
                f"{entry.path!r} is at the destination already, and is not what the version has there",
                next_step="move it away, or pass --overwrite",
                path=entry.path,
            )

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
            if self._planned >= self._window and digest is None:
                self._fetch_window()
        self._parts.progress.advance(files=1)

    def _is_there(self, entry: StoredEntry) -> bool:
        """Whether the destination holds this very file already, by size, executable bit and digest."""
        assert self._existing is not None
        handle = self._existing.open_existing(entry.path)
        if handle is None:
            return False
        stat = os.fstat(handle)
        if not S_ISREG(stat.st_mode):
            os.close(handle)
            return False
        with FileIO(handle, "rb") as file:
            if entry.kind == Kind.REFERENCE:
                return is_as_referenced(file, entry)
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
        self._window = min(self._window * _WINDOW_GROWTH, _WINDOW_CHUNKS_MAX)
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
            for span, held in plan_ranges(wanted):
                self._add_to_lot(_Part(pack, span, held, places))
        self._submit_lot()

    def _add_to_lot(self, part: _Part) -> None:
        if self._lot_bytes + part.span.length > _LOT_BYTES_MAX or len(self._lot) == _LOT_RANGES_MAX:
            self._submit_lot()
        self._lot.append(part)
        self._lot_bytes += part.span.length

    def _submit_lot(self) -> None:
        """Have the lot fetched and opened, as soon as there is memory for it."""
        if not self._lot:
            return
        lot, size = self._lot, self._lot_bytes
        self._lot, self._lot_bytes = [], 0
        self._settle(_FETCHED_BYTES_MAX - size)
        self._lots.append(self._parts.executors.io.submit(self._fetch, lot))
        self._fetched_bytes += size

    def _fetch(self, lot: list[_Part]) -> list[_Opening]:
        fetched = self._parts.reader.fetch([(part.pack, part.span) for part in lot])
        submit = self._parts.executors.cpu.submit
        return [
            (submit(self._open, part, data), part.span.length)
            for part, data in zip(lot, fetched, strict=True)
        ]

    def _settle(self, allowed_bytes: int) -> None:
        """Wait until at most so many bytes are fetched and not opened; count what is done by now."""
        while self._lots or self._opening:
            if not self._opening:
                if self._fetched_bytes <= allowed_bytes and not self._lots[0].done():
                    return
                self._opening += self._lots.popleft().result()
                continue
            task, size = self._opening[0]
            if self._fetched_bytes <= allowed_bytes and not task.done():
                return
            written = task.result()
            self._opening.popleft()
            self._fetched_bytes -= size
            self._written += written
            self._parts.progress.advance(bytes=written)

    def _open(self, part: _Part, fetched: bytes | ArtifactStoreError) -> int:
        with _FileWriter(self._target) as writer:

            def sink(cid: bytes, chunk: memoryview) -> None:
                for place in part.places[cid]:
                    writer.write(place, chunk)

            self._parts.reader.open_range(PackType.DATA, part.pack, part.span, fetched, part.wanted, sink)
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


def blake3_of(file: FileIO) -> bytes:
    """The BLAKE3 digest of an open file's remaining bytes, in bounded memory."""
    hasher = blake3()
    buffer = memoryview(bytearray(_COMPARE_BYTES))
    while count := file.readinto(buffer):
        hasher.update(buffer[:count])
    return hasher.digest()
