"""What a push of a local file would know it by: its digest and its chunks, without storing anything."""

import os
import stat as stat_bits
from collections import deque
from concurrent.futures import Future
from typing import Final, NamedTuple

from blake3 import blake3

from artifactstore.chunking import Chunker
from artifactstore.content.put import CidKeys
from artifactstore.crypto.hashing import keyed_blake3
from artifactstore.errors import InvalidSource, SourceChanged
from artifactstore.executors import Executors
from artifactstore.format.pack import PackType
from artifactstore.progress import Progress
from artifactstore.transfer.scan import unreadable
from artifactstore.transfer.segments import Segment, segments

# Some 16 GB of chunks of the `general` profile. Of larger files a part of them is kept, chosen by their cids.
CHUNKS_KEPT_MAX: Final = 1 << 18


class Fingerprint(NamedTuple):
    """A file as a store knows it.

    Attributes:
        digest: Plain BLAKE3 of its bytes.
        size: Its bytes.
        chunks: Its chunks by cid, each with the bytes of the file that it makes up.
        sampled: One of how many chunks `chunks` holds; 1 when it holds all.
    """

    digest: bytes
    size: int
    chunks: dict[bytes, int]
    sampled: int = 1


class ChunkSample:
    """The chunks of one file, a share of them when they are many: always the same for the same chunks."""

    def __init__(self) -> None:
        self.chunks: dict[bytes, int] = {}
        self.sampled = 1

    def add(self, cid: bytes, size: int) -> None:
        """Take in a chunk of the file."""
        if self._left_out(cid):
            return
        self.chunks[cid] = self.chunks.get(cid, 0) + size
        while len(self.chunks) > CHUNKS_KEPT_MAX:
            self.sampled *= 2
            self.chunks = {cid: size for cid, size in self.chunks.items() if not self._left_out(cid)}

    def _left_out(self, cid: bytes) -> bool:
        return self.sampled > 1 and int.from_bytes(cid[-8:], "big") % self.sampled != 0


def fingerprint(
    path: str, keys: CidKeys, chunker: Chunker, executors: Executors, progress: Progress
) -> Fingerprint:
    """Read a file and cut it as a push would.

    Args:
        path: The file; a symlink is followed.
        keys: Gives the cid keys.
        chunker: The store's chunker.
        executors: `cpu` names the chunks.
        progress: Told of the bytes that were read.

    Raises:
        NoSuchPath, PermissionRefused: It can't be read.
        InvalidSource: It is no file.
        SourceChanged: It changed while it was read.
    """
    handle = _open(path)
    before = os.fstat(handle)
    with os.fdopen(handle, "rb", buffering=0) as file:
        progress.start("read", bytes_total=before.st_size)
        key = keys.cid_key(PackType.DATA.name.lower())
        digest, sample, size = blake3(), ChunkSample(), 0
        spare: deque[bytearray] = deque()
        in_flight: deque[Future[list[tuple[bytes, int]]]] = deque()

        def settle(allowed: int) -> None:
            while len(in_flight) > allowed:
                for cid, length in in_flight.popleft().result():
                    sample.add(cid, length)

        for segment in segments(chunker, file, path, spare):
            in_flight.append(executors.cpu.submit(_name, segment, key, spare))
            digest.update(segment.fresh)
            size += len(segment.fresh)
            progress.advance(bytes=len(segment.fresh))
            if size > before.st_size:
                break  # whoever writes it may be faster than this reader
            settle(executors.width + 1)
        settle(0)
        after = os.fstat(handle)
    if size != before.st_size or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise SourceChanged(
            f"{path!r} changed while it was read", next_step="try again when nothing writes to it", path=path
        )
    return Fingerprint(digest.digest(), size, sample.chunks, sample.sampled)


def _open(path: str) -> int:
    """Open a file, and nothing that could keep a reader waiting."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise unreadable(path, error) from error
    if not stat_bits.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise InvalidSource(f"{path!r} is no file", next_step="name files, one by one", path=path)
    return handle


def _name(segment: Segment, key: bytes, spare: deque[bytearray]) -> list[tuple[bytes, int]]:
    named = [(keyed_blake3(key, segment.view[start:end]), end - start) for start, end in segment.cuts]
    spare.append(segment.buffer)
    return named
