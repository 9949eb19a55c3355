"""Getting chunks: which pack, where in it, opened and verified.

Every chunk's cid is recomputed before its bytes are handed out: never wrong bytes. A location that turns out damaged
is passed over for the next one; only when none is left is the chunk `Damaged`.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from artifactstore.backend.base import Backend
from artifactstore.content.put import CidKeys
from artifactstore.crypto.hashing import keyed_blake3
from artifactstore.errors import Damaged, ObjectMissing, TruncatedRead
from artifactstore.forks import renewed_in_children
from artifactstore.format.limits import BLOB_RAW_BYTES_MAX, TAG_BYTES
from artifactstore.format.pack import PackType
from artifactstore.format.segment import Location
from artifactstore.index.environment import Environment
from artifactstore.index.tables import PackTable, locations
from artifactstore.pack.ranges import Range
from artifactstore.pack.reader import BlobOpener, PackRef

_BLOB_CACHE_BYTES: Final = 16 << 20
_OPENERS_MAX: Final = 256
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

    Thread-safe.
    """

    def __init__(self, backend: Backend, environment: Environment, packs: PackTable, keys: CidKeys) -> None:
        self._backend = backend
        self._environment = environment
        self._packs = packs
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
        with self._environment.read() as txn:
            for cid in cids:
                known = locations(txn, cid)
                if not known:
                    raise _lost(cid)
                found.append(known[0])
        return found

    def read(self, kind: PackType, cid: bytes) -> bytes:
        """The bytes of one chunk, from any location that is whole.

        Raises:
            Damaged: No location gives it.
        """
        with self._environment.read() as txn:
            known = locations(txn, cid)
        failure: Damaged | None = None
        for location in known:
            try:
                return self._read_at(kind, cid, location)
            except Damaged as error:
                failure = error
        raise failure or _lost(cid)

    def matches(self, kind: PackType, cid: bytes, data: bytes) -> bool:
        """Whether these bytes are the chunk of that cid."""
        return keyed_blake3(self._cid_keys[kind], data) == cid

    def read_range(
        self,
        kind: PackType,
        pack: int,
        span: Range,
        wanted: Sequence[Wanted],
        sink: Callable[[bytes, memoryview], None],
    ) -> None:
        """Fetch one range of a pack and give each wanted chunk in it to `sink`, verified.

        Args:
            kind: Type of the chunks.
            pack: The pack's number.
            span: The range, from `coalesce`.
            wanted: Chunks in it, sorted by location.
            sink: Called with (cid, bytes); the bytes are valid during the call only.
        """
        ref, opener = self._opener(pack)
        _refuse_longer(ref, span.length)
        try:
            data = memoryview(self._backend.get_range(ref.name, span.start, span.length))
        except (ObjectMissing, TruncatedRead):
            self._one_by_one(kind, wanted, sink)
            return
        ordinal, raw = -1, memoryview(b"")
        key = self._cid_keys[kind]
        for cid, at in wanted:
            try:
                if at.ordinal != ordinal:
                    start = at.offset - span.start
                    sealed = data[start : start + at.length]
                    raw = memoryview(opener.open(sealed, at.ordinal, at.codec, at.raw_length))
                    ordinal = at.ordinal
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
            self._remember(at, raw)
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

    def _remember(self, at: Location, raw: bytes) -> None:
        with self._lock:
            if (at.pack, at.ordinal) not in self._blobs:
                self._blobs[at.pack, at.ordinal] = raw
                self._blob_bytes += len(raw)
            while self._blob_bytes > _BLOB_CACHE_BYTES:
                _, dropped = self._blobs.popitem(last=False)
                self._blob_bytes -= len(dropped)


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
