"""The entries that a push would make of local files, without storing anything: what a folder is compared by.

Files that the stat cache knows are not read. Others are read as a push reads them, and remembered, so that they are not
read again.
"""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import Final, NamedTuple

from artifactstore.chunking import Chunker
from artifactstore.clock import Clock
from artifactstore.content.put import Chunk, CidKeys
from artifactstore.crypto.hashing import Buffer, keyed_blake3
from artifactstore.executors import Executors
from artifactstore.format.pack import PackType
from artifactstore.format.page import Kind
from artifactstore.index.environment import Environment
from artifactstore.index.statcache import StatCache, remember
from artifactstore.manifest.read import Getter, StoredEntry
from artifactstore.progress import Progress
from artifactstore.transfer.ingest import (
    BATCH_BYTES,
    SMALL_BYTES_MAX,
    Ingest,
    LargeRead,
    Read,
    changed,
    known_entry,
    open_source,
)
from artifactstore.transfer.scan import Found, without_reading

# Files that are looked up, and read, together.
_TOGETHER: Final = 512
# Of chunk lists of local files: those of some 100 GB of them.
_LISTS_BYTES_MAX: Final = 64 << 20


class LocalLists:
    """Names the chunks of local files, keeps their chunk lists for a while, and reads lists of the store otherwise.

    Args:
        keys: Gives the cid keys.
        getter: Reads what is in the store.

    Thread-safe.
    """

    def __init__(self, keys: CidKeys, getter: Getter) -> None:
        self._keys = {kind: keys.cid_key(kind.name.lower()) for kind in PackType}
        self._getter = getter
        self._lock = threading.Lock()
        self._lists: OrderedDict[bytes, bytes] = OrderedDict()
        self._bytes = 0

    def cid_key(self, kind: PackType) -> bytes:
        """The key under which chunks of a type are named."""
        return self._keys[kind]

    def cid_of(self, kind: PackType, data: Buffer) -> bytes:
        """The name of a chunk."""
        return keyed_blake3(self._keys[kind], data)

    def put_one(self, kind: PackType, data: bytes) -> bytes:
        """Keep one list and return its cid."""
        cid = self.cid_of(kind, data)
        with self._lock:
            if cid not in self._lists:
                self._lists[cid] = data
                self._bytes += len(data)
            while self._bytes > _LISTS_BYTES_MAX:
                self._bytes -= len(self._lists.popitem(last=False)[1])
        return cid

    def put(self, kind: PackType, chunks: Sequence[Chunk]) -> int:
        """Let chunks of files go."""
        del kind, chunks
        return 0

    def read(self, kind: PackType, cid: bytes) -> bytes:
        """The bytes of one list."""
        return self.read_many(kind, [cid])[0]

    def read_many(self, kind: PackType, cids: Sequence[bytes]) -> list[bytes]:
        """The bytes of a few lists, of the store or not.

        Raises:
            Damaged: The store has none of one of them, and this object never had.
        """
        with self._lock:
            found = {cid: self._lists[cid] for cid in cids if cid in self._lists}
        stored = [cid for cid in cids if cid not in found]
        if stored:
            found.update(zip(stored, self._getter.read_many(kind, stored), strict=True))
        return [found[cid] for cid in cids]


class LocalBytes:
    """A local file that is read by ranges, and only while it is as long as it was.

    Attributes:
        name: Where it lies.
        size: Its bytes.
    """

    def __init__(self, path: str, size: int) -> None:
        self.name = path
        self.size = size
        self._found = Found(path, Kind.FILE, path, None)

    def read_at(self, offset: int, length: int) -> bytes:
        """So many bytes from an offset.

        Raises:
            SourceChanged: It is another file by now, or a shorter one.
            PermissionRefused: It can't be read.
        """
        with open_source(self._found) as file:
            data = os.pread(file.fileno(), length, offset)
        if len(data) != length:
            raise changed(self._found)
        return data


class LocalParts(NamedTuple):
    """What reading local files runs through."""

    lists: LocalLists
    environment: Environment
    chunker: Chunker
    executors: Executors
    clock: Clock
    progress: Progress


def local_entries(parts: LocalParts, found: Iterable[Found]) -> Iterator[StoredEntry]:
    """Yield the entries of what was found, in its order.

    Raises:
        NoSuchPath, PermissionRefused: A file can't be read.
        SourceChanged: A file changed while it was read.
    """
    ingest = Ingest(parts.lists, parts.chunker, parts.executors, parts.clock)
    rest = iter(found)
    while group := list(islice(rest, _TOGETHER)):
        reads = _known(parts, group)
        unread = [item for item in group if item.path not in reads]
        for read in _read(parts, ingest, unread):
            reads[read.identity[0]] = read
        remember(parts.environment, [read.stat_row for read in reads.values() if read.stat_row])
        for item in group:
            yield StoredEntry(*reads[item.path][:2])


def _known(parts: LocalParts, group: Sequence[Found]) -> dict[str, Read]:
    """The entries of what needs no reading, by path."""
    reads: dict[str, Read] = {}
    with parts.environment.read() as txn:
        lookup = StatCache(txn).lookup
        for item in group:
            unread = without_reading(item)
            if unread is not None:
                reads[item.path] = Read(*unread, None, 0)
            elif item.stat is not None:
                known = lookup(item.key, item.stat, stored=False)
                if known is not None:
                    reads[item.path] = known_entry(item, item.stat, known)
    _tell(parts.progress, reads.values())
    return reads


def _read(parts: LocalParts, ingest: Ingest, unread: Sequence[Found]) -> Iterator[Read]:
    """Read files: small ones in batches, while the chunks of those before them are named."""
    under_way: list[LargeRead | Future[list[Read]]] = []
    batch: list[Found] = []
    batch_bytes = 0
    for item in unread:
        size = SMALL_BYTES_MAX + 1 if item.stat is None else item.stat.st_size
        if size > SMALL_BYTES_MAX:
            under_way.append(ingest.read_large(item, _nothing, parts.progress))
            continue
        batch.append(item)
        batch_bytes += size
        if batch_bytes >= BATCH_BYTES:
            under_way.append(ingest.submit_batch(batch))
            batch, batch_bytes = [], 0
    if batch:
        under_way.append(ingest.submit_batch(batch))
    for done in under_way:
        reads = done.result()
        if not isinstance(done, LargeRead):
            _tell(parts.progress, reads)
        yield from reads


def _tell(progress: Progress, reads: Iterable[Read]) -> None:
    sizes = [read.identity[2] for read in reads]
    progress.advance(bytes=sum(sizes), files=len(sizes))


def _nothing() -> None:
    """There is no work that must not wait for the end of a large file."""
