"""Reading files into chunks: small ones in batches, large ones segment by segment.

The calling thread reads, cuts and digests; workers compress and seal. Every read, open and close of a small file
gives the interpreter's lock up, and with two workers reading, the hand-overs cost more than they overlapped: 2.9 s
for 50,000 files, against 2.1 s when one thread reads. Everything in flight is bounded, and results are asked for in
the order of the files.
"""

import errno
import os
import stat as stat_bits
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from threading import Semaphore
from typing import BinaryIO, Final, NamedTuple, ParamSpec, Protocol, TypeVar

from blake3 import blake3

from artifactstore.chunking import Chunker, profile_of
from artifactstore.chunking.chunker import GENERAL, MAGIC_BYTES
from artifactstore.clock import Clock
from artifactstore.content.put import Chunk
from artifactstore.crypto.hashing import Buffer
from artifactstore.errors import HostileManifest, SourceChanged
from artifactstore.executors import Executors
from artifactstore.format.pack import PackType
from artifactstore.format.page import EMPTY, EXECUTABLE, Content, Identity, Kind
from artifactstore.index.statcache import Known, stat_row
from artifactstore.manifest.build import ListBuilder
from artifactstore.progress import Progress
from artifactstore.transfer.scan import Found, unreadable
from artifactstore.transfer.segments import Segment, segments

P = ParamSpec("P")
T = TypeVar("T")

# A file up to this size is read whole, and compressed with its neighbours.
SMALL_BYTES_MAX: Final = 1 << 20
# Each hand-over to a worker costs the reader its turn at the interpreter: 50,000 files took 1.8 s in batches of 128 and
# 2 MiB, 1.7 s in these.
BATCH_BYTES: Final = 8 << 20
BATCH_FILES: Final = 1024
# Tasks that wait for a worker while each has one.
_WAITING_MAX: Final = 2

_OPEN_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_EXECUTABLE_BITS: Final = 0o100


class Taker(Protocol):
    """What chunks of files go to; `put` may be called from several threads."""

    def cid_key(self, kind: PackType) -> bytes:
        """The key under which chunks of a type are named."""
        ...

    def cid_of(self, kind: PackType, data: Buffer) -> bytes:
        """The name of a chunk."""
        ...

    def put_one(self, kind: PackType, data: bytes) -> bytes:
        """Take one chunk and return its cid."""
        ...

    def put(self, kind: PackType, chunks: Sequence[Chunk]) -> int:
        """Take neighbouring chunks; return the raw bytes that were new."""
        ...


class Read(NamedTuple):
    """One entry, ready for the manifest.

    Attributes:
        identity: What the digest stands over.
        content: Where its bytes lie.
        stat_row: Its row for the stat cache, as (key, row); None when there is none to write.
        new_bytes: Raw bytes that were new to the store.
    """

    identity: Identity
    content: Content
    stat_row: tuple[bytes, bytes] | None
    new_bytes: int


class Ingest:
    """Turns found files into entries.

    Args:
        writer: Takes the chunks.
        chunker: Cuts the files.
        executors: `cpu` runs the workers.
        clock: Says when a read began.

    Not thread-safe; its workers share only the writer.
    """

    def __init__(self, writer: Taker, chunker: Chunker, executors: Executors, clock: Clock) -> None:
        self._writer = writer
        self._chunker = chunker
        self._executors = executors
        self._clock = clock
        self._spare: deque[bytearray] = deque()
        # One more is under way while its submission waits.
        self._room = Semaphore(executors.width + _WAITING_MAX - 1)

    def submit_batch(self, batch: Sequence[Found]) -> "Future[list[Read]]":
        """Read small files, and have a worker put their chunks; the entries come back in order."""
        reads, chunks = self._read_batch(batch)
        return self._submit(self._put_batch, reads, chunks)

    def read_large(self, found: Found, between: Callable[[], None], progress: Progress) -> "LargeRead":
        """Read one large file or stream; its last segments may still be with the workers on return.

        Args:
            found: The file.
            between: Called between segments, for work that must not wait for the end of a large file.
            progress: Told of each segment that is put.

        Raises:
            SourceChanged: The file changed while it was read.
        """
        read_ns = self._clock.now_ns()
        if found.stream is not None:
            read = LargeRead(found, None, read_ns, ListBuilder(self._writer), progress)
            return self._read_stream(read, found.stream, between)
        if found.given is not None:
            read = LargeRead(found, None, read_ns, ListBuilder(self._writer), progress)
            with open_given(found) as stream:
                self._read_stream(read, stream, between)
            refuse_other_bytes(found, read.size, read.digest.digest())
            return read
        with open_source(found) as file:
            before = os.fstat(file.fileno())
            if found.pinned and found.stat is not None:
                refuse_changed(found, found.stat, before)
            read = LargeRead(found, before, read_ns, ListBuilder(self._writer), progress)
            self._read_stream(read, file, between)
            refuse_changed(found, before, os.fstat(file.fileno()))
        return read

    def _submit(self, task: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Hand a task to the workers and wait until few enough are under way: they hold most of a push's memory."""
        # First submitted: in a forked child that is refused, and nothing would ever make room there.
        future = self._executors.cpu.submit(task, *args, **kwargs)
        future.add_done_callback(lambda _: self._room.release())
        self._room.acquire()
        return future

    def _put_batch(self, reads: list[Read], chunks: list[Chunk]) -> list[Read]:
        reads[0] = reads[0]._replace(new_bytes=self._writer.put(PackType.DATA, chunks))
        return reads

    def _read_batch(self, batch: Sequence[Found]) -> tuple[list[Read], list[Chunk]]:
        # Written flat: at tens of thousands of small files a second every call counts.
        chunks: list[Chunk] = []
        reads: list[Read] = []
        key, now_ns = self._writer.cid_key(PackType.DATA), self._clock.now_ns
        for found in batch:
            read_ns = now_ns()
            given = found.given
            data, stat = read_whole(found) if given is None else (read_given(found), None)
            size = len(data)
            if not size:
                cids, sizes = b"", []
            elif size <= GENERAL.minimum:
                # Both profiles keep so short a file whole, so its kind need not be looked at.
                cids, sizes = blake3(data, key=key).digest(), [size]
                chunks.append(Chunk(cids, data))
            else:
                fresh = self._cut_whole(data)
                chunks += fresh
                cids, sizes = b"".join(chunk.cid for chunk in fresh), [len(chunk.data) for chunk in fresh]
            digest = blake3(data).digest()
            if given is not None:
                refuse_other_bytes(found, size, digest)
            row = None if stat is None else stat_row(stat, read_ns, digest, 0, cids, sizes)
            reads.append(
                Read(
                    (found.path, Kind.FILE, size, digest, flags_of(found, stat)),
                    Content(0, cids, sizes) if size else EMPTY,
                    None if row is None else (found.key, row),
                    0,
                )
            )
        return reads, chunks

    def _cut_whole(self, data: bytes) -> list[Chunk]:
        view = memoryview(data)
        parts = [
            view[start:end]
            for start, end in self._chunker.cut(data, profile_of(data[:MAGIC_BYTES]), last=True)
        ]
        return [Chunk(self._writer.cid_of(PackType.DATA, part), part) for part in parts]

    def _read_stream(self, read: "LargeRead", stream: BinaryIO, between: Callable[[], None]) -> "LargeRead":
        found, stat = read.found, read.stat
        for segment in segments(self._chunker, stream, found.source, self._spare):
            read.digest.update(segment.fresh)
            read.size += len(segment.fresh)
            if stat is not None and read.size > stat.st_size:
                # Whoever writes it may be faster than this reader.
                raise changed(found)
            read.in_flight.append(self._submit(self._put_segment, segment))
            read.take_in()
            between()
        if stat is not None and read.size != stat.st_size:
            raise changed(found)
        return read

    def _put_segment(self, segment: Segment) -> tuple[list[tuple[bytes, int]], int]:
        chunks = []
        for start, end in segment.cuts:
            part = segment.view[start:end]
            chunks.append(Chunk(self._writer.cid_of(PackType.DATA, part), part))
        new = self._writer.put(PackType.DATA, chunks)
        references = [(chunk.cid, len(chunk.data)) for chunk in chunks]
        self._spare.append(segment.buffer)
        return references, new


class LargeRead:
    """A large file that was read, some of whose segments may still be with the workers. Used by one thread.

    Attributes:
        found: The file.
        stat: Its stat before it was read; None for a stream.
        digest: Over what was read so far.
        size: Its bytes.
        in_flight: Segments with the workers, in order: references to their chunks, and raw bytes that were new.
    """

    def __init__(
        self,
        found: Found,
        stat: os.stat_result | None,
        read_ns: int,
        builder: ListBuilder,
        progress: Progress,
    ) -> None:
        self.found = found
        self.stat = stat
        self._read_ns = read_ns
        self._builder = builder
        self._progress = progress
        self._new_bytes = 0
        self.digest = blake3()
        self.size = 0
        self.in_flight: deque[Future[tuple[list[tuple[bytes, int]], int]]] = deque()

    def take_in(self) -> None:
        """Take in the segments that are finished by now, in order."""
        while self.in_flight and self.in_flight[0].done():
            self._take_first()

    def _take_first(self) -> None:
        references, new = self.in_flight.popleft().result()
        self._builder.extend(references)
        self._new_bytes += new
        self._progress.advance(bytes=sum(length for _, length in references), new_bytes=new)

    def done(self) -> bool:
        """Whether `result` returns at once."""
        return all(future.done() for future in self.in_flight)

    def result(self) -> list[Read]:
        """Its entry, once all segments are in."""
        while self.in_flight:
            self._take_first()
        content, stat, digest = self._builder.finish(), self.stat, self.digest.digest()
        row = None
        if stat is not None:
            row = stat_row(
                stat, self._read_ns, digest, content.depth, content.cids, content.sizes, content.chunks
            )
        identity: Identity = (self.found.path, Kind.FILE, self.size, digest, flags_of(self.found, stat))
        return [Read(identity, content, None if row is None else (self.found.key, row), self._new_bytes)]


def read_whole(found: Found) -> tuple[bytes, os.stat_result]:
    """Read a small file and the stat that its bytes belong to.

    Raises:
        SourceChanged: It changed while it was read, twice in a row.
    """
    known = found.stat
    try:
        handle = os.open(found.source, _OPEN_FLAGS)
    except OSError as error:
        raise _open_failed(found, error) from error
    try:
        for _ in range(1 if found.pinned else 2):
            size = SMALL_BYTES_MAX if known is None else known.st_size
            data = os.pread(handle, size + 1, 0)
            stat = os.fstat(handle)
            if known is not None and _same(known, stat) and len(data) == stat.st_size:
                return data, stat
            known = stat
    except OSError as error:
        raise unreadable(found.source, error) from error
    finally:
        os.close(handle)
    raise changed(found)


def open_given(found: Found) -> BinaryIO:
    """Open an entry that a program gives."""
    assert found.given is not None
    assert found.given.open is not None, "a file that a program gives has bytes"
    return found.given.open()


def read_given(found: Found) -> bytes:
    """Read a small entry that a program gives, and a byte more where there is one."""
    assert found.given is not None
    room = (SMALL_BYTES_MAX if found.given.size is None else found.given.size) + 1
    data = b""
    with open_given(found) as stream:
        while len(data) < room:
            part = stream.read(room - len(data))
            if not part:
                break
            data = part if not data else data + part
    return data


def refuse_other_bytes(found: Found, size: int, digest: bytes) -> None:
    """Raise when a program's entry does not hold what was said of it.

    Raises:
        SourceChanged: It has another size.
        HostileManifest: It has another digest.
    """
    given = found.given
    assert given is not None
    if given.size is not None and size != given.size:
        words = "more" if size > given.size else "only " + str(size)
        raise SourceChanged(f"{found.source} was to have {given.size} bytes and has {words}", path=found.path)
    if given.digest is not None and digest != given.digest:
        raise HostileManifest(f"{found.source} does not hold what its digest names", path=found.path)


def open_source(found: Found) -> BinaryIO:
    """Open a large file, unbuffered and never through a symlink."""
    try:
        handle = os.open(found.source, _OPEN_FLAGS)
    except OSError as error:
        raise _open_failed(found, error) from error
    if not stat_bits.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise changed(found)
    return os.fdopen(handle, "rb", buffering=0)


def refuse_changed(found: Found, before: os.stat_result, after: os.stat_result) -> None:
    """Raise when a file changed while it was read.

    Raises:
        SourceChanged: Size, mtime or inode differ.
    """
    if not _same(before, after):
        raise changed(found)


def executable_flag(stat: os.stat_result) -> int:
    """The flags of a file's entry."""
    return EXECUTABLE if stat.st_mode & _EXECUTABLE_BITS else 0


def flags_of(found: Found, stat: os.stat_result | None) -> int:
    """The flags of a file's entry, wherever it comes from."""
    if stat is not None:
        return executable_flag(stat)
    return EXECUTABLE if found.given is not None and found.given.executable else 0


def known_entry(found: Found, stat: os.stat_result, known: Known) -> Read:
    """The entry of a file that has not changed since it was read."""
    identity = (found.path, int(Kind.FILE), stat.st_size, known.digest, executable_flag(stat))
    return Read(identity, Content(known.depth, known.cids, known.sizes, chunks=known.chunks), None, 0)


def changed(found: Found) -> SourceChanged:
    """The error for a file that changed under the reader."""
    return SourceChanged(f"{found.source!r} changed while it was read", path=found.source)


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (
        one.st_size == other.st_size and one.st_mtime_ns == other.st_mtime_ns and one.st_ino == other.st_ino
    )


def _open_failed(found: Found, error: OSError) -> Exception:
    # What was a file when it was found and is none now has changed, whatever the system calls it.
    return (
        changed(found)
        if isinstance(error, FileNotFoundError) or error.errno == errno.ELOOP
        else unreadable(found.source, error)
    )
