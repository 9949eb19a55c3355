"""Getting chunks: which pack, where in it, opened and verified.

Every chunk's cid is recomputed before its bytes are handed out: never wrong bytes. A location that turns out damaged
is passed over for the next one; only when none is left is the chunk `Damaged`.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from artifactstore.backend.base import Backend, ByteRange, answer_of
from artifactstore.content.locate import Locator
from artifactstore.content.put import CidKeys
from artifactstore.crypto.hashing import keyed_blake3
from artifactstore.errors import ArtifactStoreError, Damaged, ObjectMissing, TruncatedRead
from artifactstore.forks import renewed_in_children
from artifactstore.format.limits import BLOB_RAW_BYTES_MAX, TAG_BYTES
from artifactstore.format.pack import PackedChunk, PackType
from artifactstore.format.segment import Location
from artifactstore.index.environment import Environment
from artifactstore.index.tables import PackTable, StoredPack
from artifactstore.pack.ranges import Range, coalesce
from artifactstore.pack.reader import BlobOpener, PackRef, open_whole

# Of opened blobs, unless somebody who has many stores open says less.
CACHE_BYTES: Final = 16 << 20
_OPENERS_MAX: Final = 256
# Of packs of pages and lists that are fetched whole, because somebody is about to need most of what is in them.
_WHOLE_BYTES_MAX: Final = 6 << 20
_WHOLE_PACKS_MAX: Final = 16
# Sealing adds a tag and compression never more than it saves: an index row that says more is not an honest one.
_SEALED_BYTES_MAX: Final = BLOB_RAW_BYTES_MAX + TAG_BYTES


class Wanted(NamedTuple):
    """A chunk and where it is to be read from."""

    cid: bytes
    location: Location


class ChunkReader:
    """Reads chunks of one store.

    Args:
        backend: Where packs lie.
        environment: The client index.
        packs: Packs by number, with their keys.
        keys: Gives store id and cid keys.
        locator: Finds chunks.
        cache_bytes: How much of what was opened is kept.

    Thread-safe.
    """

    def __init__(
        self,
        backend: Backend,
        environment: Environment,
        packs: PackTable,
        keys: CidKeys,
        locator: Locator,
        *,
        cache_bytes: int = CACHE_BYTES,
    ) -> None:
        self._backend = backend
        self._environment = environment
        self._locator = locator
        self._packs = packs
        self._cache_bytes = cache_bytes
        self._store_id = keys.store_id
        self._cid_keys = {kind: keys.cid_key(kind.name.lower()) for kind in PackType}
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        """In a child of a fork: begin with empty caches."""
        self._lock = threading.Lock()
        self._openers: OrderedDict[int, tuple[PackRef, BlobOpener]] = OrderedDict()
        self._blobs: OrderedDict[tuple[int, int], bytes] = OrderedDict()
        self._blob_bytes = 0

    def locate(self, cids: Sequence[bytes]) -> list[Location]:
        """The first location of each chunk.

        Raises:
            Damaged: The index knows none for one of them.
        """
        found: list[Location] = []
        for cid, known in zip(cids, self._locator.locations(cids), strict=True):
            if not known:
                raise _lost(cid)
            found.append(known[0])
        return found

    def read(self, kind: PackType, cid: bytes) -> bytes:
        """The bytes of one chunk, from any location that is whole.

        Raises:
            Damaged: No location gives it.
        """
        known = self._locator.locations([cid])[0]
        failure: Damaged | None = None
        for look_further in (True, False):
            for location in known:
                try:
                    return self._read_at(kind, cid, location)
                except Damaged as error:
                    failure = error
            if failure is not None and look_further:
                known = [at for at in self._locator.further_locations(cid) if at not in known]
        raise failure or _lost(cid)

    def read_many(self, kind: PackType, cids: Sequence[bytes]) -> list[bytes]:
        """The bytes of a few chunks, asked for together; they are in memory at once.

        Raises:
            Damaged: No location gives one of them.
        """
        found: dict[bytes, bytes] = {}
        wanted: dict[int, list[Wanted]] = {}
        for cid, at in zip(cids, self.locate(cids), strict=True):
            if self._cached(at) is not None:
                found[cid] = self.read(kind, cid)
            else:
                wanted.setdefault(at.pack, []).append(Wanted(cid, at))
        planned = [(pack, *each) for pack, group in wanted.items() for each in plan_ranges(group)]
        answers = self.fetch([(pack, span) for pack, span, _ in planned])

        def sink(cid: bytes, chunk: memoryview) -> None:
            found[cid] = bytes(chunk)

        for (pack, span, held), data in zip(planned, answers, strict=True):
            self.open_range(kind, pack, span, data, held, sink, keep=True)
        return [found[cid] for cid in cids]

    def small_packs(self, names: Sequence[bytes]) -> list[StoredPack]:
        """Those of these packs that hold pages and lists, are small enough to be fetched whole, and are not cached."""
        with self._environment.read() as txn:
            # A version names those of pages and lists first.
            numbers = [self._packs.number_of(txn, name) for name in names[:_OPENERS_MAX]]
            stored = [self._packs.get(txn, number) for number in numbers if number is not None]
        found: list[StoredPack] = []
        room = _WHOLE_BYTES_MAX
        for pack in stored:
            if pack is None or pack.added.type not in {PackType.PAGE, PackType.LIST}:
                continue
            with self._lock:
                cached = (pack.number, 0) in self._blobs
            if not cached and pack.added.size <= room and len(found) < _WHOLE_PACKS_MAX:
                found.append(pack)
                room -= pack.added.size
        return found

    def keep_whole(self, pack: StoredPack, fetched: bytes | ArtifactStoreError) -> list[PackedChunk]:
        """Keep every blob of a pack that was fetched whole, and return the pack's chunks.

        Raises:
            Damaged: The pack is missing, cut or altered.
        """
        ref, opener = self._opener(pack.number)
        data, chunks = open_whole(fetched, self._store_id, ref)
        blobs = {chunk.ordinal: chunk.blob for chunk in chunks}
        for ordinal, (offset, length, raw_length, codec) in blobs.items():
            raw = opener.open(data[offset : offset + length], ordinal, codec, raw_length)
            self._remember((pack.number, ordinal), raw)
        return chunks

    def matches(self, kind: PackType, cid: bytes, data: bytes) -> bool:
        """Whether these bytes are the chunk of that cid."""
        return keyed_blake3(self._cid_keys[kind], data) == cid

    def fetch(self, ranges: Sequence[tuple[int, Range]]) -> Sequence[bytes | ArtifactStoreError]:
        """Fetch ranges of packs together; in place of one that did not come stands the error.

        Args:
            ranges: (Number of the pack, range of it).
        """
        asked = []
        for pack, span in ranges:
            ref, _ = self._opener(pack)
            _refuse_longer(ref, span.length)
            asked.append(ByteRange(ref.name, span.start, span.length))
        return self._backend.get_ranges(asked)

    def open_range(
        self,
        kind: PackType,
        pack: int,
        span: Range,
        fetched: bytes | ArtifactStoreError,
        wanted: Sequence[Wanted],
        sink: Callable[[bytes, memoryview], None],
        *,
        keep: bool = False,
    ) -> None:
        """Give each wanted chunk in a range to `sink`, verified.

        Args:
            kind: Type of the chunks.
            pack: The pack's number.
            span: The range.
            fetched: What came of it; where the pack is gone or cut, each chunk is read from wherever else it lies.
            wanted: Chunks in it, sorted by location.
            sink: Called with (cid, bytes); the bytes are valid during the call only.
            keep: Whether the opened blobs go into the cache, for chunks that are read in small parts.
        """
        if isinstance(fetched, ObjectMissing | TruncatedRead):
            self._one_by_one(kind, wanted, sink)
            return
        ref, opener = self._opener(pack)
        data = memoryview(answer_of(fetched))
        ordinal, raw = -1, memoryview(b"")
        key = self._cid_keys[kind]
        for cid, at in wanted:
            try:
                if at.ordinal != ordinal:
                    start = at.offset - span.start
                    sealed = data[start : start + at.length]
                    blob = opener.open(sealed, at.ordinal, at.codec, at.raw_length)
                    raw, ordinal = memoryview(blob), at.ordinal
                    if keep:
                        self._remember((at.pack, at.ordinal), blob)
                chunk = raw[at.start : at.start + at.span]
                if keyed_blake3(key, chunk) != cid:
                    raise _wrong(ref, at)
            except Damaged:
                ordinal = -1
                self._one_by_one(kind, [Wanted(cid, at)], sink)
                continue
            sink(cid, chunk)

    def _one_by_one(
        self, kind: PackType, wanted: Sequence[Wanted], sink: Callable[[bytes, memoryview], None]
    ) -> None:
        """The slow path: a pack is damaged or gone, and another location may still be whole."""
        for cid, _ in wanted:
            sink(cid, memoryview(self.read(kind, cid)))

    def _read_at(self, kind: PackType, cid: bytes, at: Location) -> bytes:
        ref, opener = self._opener(at.pack)
        raw = self._cached(at)
        if raw is None:
            _refuse_longer(ref, at.length)
            try:
                sealed = self._backend.get_range(ref.name, at.offset, at.length)
            except (ObjectMissing, TruncatedRead) as error:
                raise Damaged(f"{ref.name} is missing or was cut short", object=ref.name) from error
            raw = opener.open(sealed, at.ordinal, at.codec, at.raw_length)
            self._remember((at.pack, at.ordinal), raw)
        chunk = raw[at.start : at.start + at.span]
        if keyed_blake3(self._cid_keys[kind], chunk) != cid:
            raise _wrong(ref, at)
        return chunk

    def _opener(self, number: int) -> tuple[PackRef, BlobOpener]:
        with self._lock:
            found = self._openers.get(number)
            if found is not None:
                return found
        with self._environment.read() as txn:
            stored = self._packs.get(txn, number)
        if stored is None:
            raise Damaged(
                f"the index names pack {number}, which it does not know",
                next_step="artifactstore index rebuild",
            )
        ref = PackRef(stored.added.name, PackType(stored.added.type), stored.added.size, stored.key)
        made = ref, BlobOpener(self._store_id, ref)
        with self._lock:
            self._openers[number] = made
            while len(self._openers) > _OPENERS_MAX:
                self._openers.popitem(last=False)
        return made

    def _cached(self, at: Location) -> bytes | None:
        with self._lock:
            raw = self._blobs.get((at.pack, at.ordinal))
            if raw is not None:
                self._blobs.move_to_end((at.pack, at.ordinal))
            return raw

    def _remember(self, blob: tuple[int, int], raw: bytes) -> None:
        with self._lock:
            if blob not in self._blobs:
                self._blobs[blob] = raw
                self._blob_bytes += len(raw)
            while self._blob_bytes > self._cache_bytes:
                _, dropped = self._blobs.popitem(last=False)
                self._blob_bytes -= len(dropped)


def plan_ranges(wanted: list[Wanted]) -> Iterator[tuple[Range, list[Wanted]]]:
    """Ranges of one pack that hold the wanted chunks, neighbours in one, each with its chunks by location."""
    wanted.sort(key=_by_place)
    at = 0
    for span in coalesce((one.location.offset, one.location.length) for one in wanted):
        end = at
        while end < len(wanted) and wanted[end].location.offset < span.start + span.length:
            end += 1
        yield span, wanted[at:end]
        at = end


def _by_place(wanted: Wanted) -> tuple[int, int]:
    return wanted.location.offset, wanted.location.start


def _lost(cid: bytes) -> Damaged:
    return Damaged(
        f"chunk {cid.hex()[:16]}… has no location left",
        next_step="run `artifactstore index rebuild`, then `artifactstore check`",
        chunk=cid.hex(),
    )


def _refuse_longer(ref: PackRef, length: int) -> None:
    """Refuse to fetch more at once than the longest blob, before memory is given to it."""
    if length > _SEALED_BYTES_MAX:
        raise Damaged(f"{ref.name}: the index names a blob of {length} bytes", object=ref.name)


def _wrong(ref: PackRef, at: Location) -> Damaged:
    return Damaged(
        f"{ref.name}: a chunk in blob {at.ordinal} is not the one its cid names",
        object=ref.name,
        blob=at.ordinal,
    )
