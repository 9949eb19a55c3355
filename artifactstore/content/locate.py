"""Finding chunks: in the client index, and while that is not complete in footers and index packs on the backend.

A client with an empty index starts from a state without its index packs (`index.partial`). What such an index does not
know is looked up in three steps, each only for what the one before left open: the footers of the packs that the
version names, which is advisory; the fan-outs of the unloaded index packs; the segments that may hold the chunk. What
is found that way is kept. Dedup takes an unknown chunk for a new one, so `complete` loads all the rest before it.

No lock is held while the backend is asked: threads and processes that look for the same chunk do it twice, and write
the same rows.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Final, NamedTuple

from artifactstore.backend.base import Backend, ByteRange
from artifactstore.content.packs import (
    FETCHED_BYTES_MAX,
    INDEXED_TYPES,
    chunks_of,
    footer_rows,
    lots,
    ref_of,
    segments_of,
)
from artifactstore.content.put import CidKeys
from artifactstore.errors import ArtifactStoreError, Damaged
from artifactstore.format.limits import CID_PREFIX_BYTES, PACK_BYTES_MAX
from artifactstore.format.pack import Blob, PackedChunk, PackType
from artifactstore.format.segment import Location, Segment, decode_fan_out, decode_segment
from artifactstore.index.environment import Environment, ReadTransaction
from artifactstore.index.partial import (
    SegmentPlace,
    footer_read,
    loaded,
    note_footer,
    segment_places,
    unloaded,
)
from artifactstore.index.tables import PackTable, StoredPack, add_locations, add_segment, locations
from artifactstore.pack.ranges import coalesce
from artifactstore.pack.reader import PackRef, arrived, open_tail, open_whole, tail_range

# Of footers, fan-outs and segments that are asked for together.
_ASKED_BYTES_MAX: Final = 16 << 20
# An index pack this small is fetched whole: one segment costs no less.
_WHOLE_BYTES_MAX: Final = 256 << 10
# A fan-out of so many bytes a segment lies before the footer.
_FAN_OUT_BYTES: Final = 64
_FAN_OUT_BYTES_PER_SEGMENT: Final = 20
# Of 4,096 rows each: what one transaction dirties is anonymous memory.
_SEGMENTS_PER_TRANSACTION: Final = 12
# In the first look, packs of pages and lists leave room for index packs.
_PAGE_PACKS_AT_FIRST: Final = 24
# So few chunks are searched for at once: somebody waits for the first of them, and to look at more packs that a version
# names would be one more round trip.
_FEW: Final = 8


class _Lookup(NamedTuple):
    """A segment of an index pack that is to be fetched."""

    pack: PackRef
    number: int
    place: SegmentPlace


class Ends(NamedTuple):
    """Ends of packs that are asked for together, and the names of packs that are likely too and did not fit."""

    packs: list[StoredPack]
    later: tuple[bytes, ...]

    def ranges(self) -> list[ByteRange]:
        """Where they lie."""
        return [_end_of(pack) for pack in self.packs]

    def cut(self, count: int) -> "Ends":
        """Only the first so many of them."""
        left = (pack.added.name for pack in self.packs[count:] if pack.added.type != PackType.INDEX)
        return Ends(self.packs[:count], (*left, *self.later))


class Locator:
    """Finds chunks of one store.

    Args:
        backend: Where packs lie.
        environment: The client index.
        packs: Its pack table.
        keys: Gives store id and cid keys.
        notices: Sentences for the user; an index pack that can't be read adds one.

    Thread-safe.
    """

    def __init__(
        self,
        backend: Backend,
        environment: Environment,
        packs: PackTable,
        keys: CidKeys,
        notices: list[str],
    ) -> None:
        self._backend = backend
        self._environment = environment
        self._packs = packs
        self._keys = keys
        self._notices = notices
        self._expected: tuple[bytes, ...] = ()

    def locations(self, cids: Sequence[bytes]) -> list[list[Location]]:
        """The known locations of each chunk; one without any is in no live pack."""
        with self._environment.read() as txn:
            found = [locations(txn, cid) for cid in cids]
            lacking = {cid for cid, known in zip(cids, found, strict=True) if not known}
            if not lacking or not unloaded(txn):
                return found
        self._look_up(list(lacking))
        with self._environment.read() as txn:
            return [known or locations(txn, cid) for cid, known in zip(cids, found, strict=True)]

    def further_locations(self, cid: bytes) -> list[Location]:
        """All locations of a chunk, when none of those known at first can be read."""
        self._search([cid])
        with self._environment.read() as txn:
            return locations(txn, cid)

    def knows(self, cid: bytes) -> bool:
        """Whether nothing on the backend would say more of a chunk than the index does."""
        with self._environment.read() as txn:
            return bool(locations(txn, cid)) or not unloaded(txn)

    def expect(self, names: Sequence[bytes]) -> None:
        """Read the footers of packs where chunks are likely to be found that the index does not know.

        One round trip, in which the index packs' own footers are read too; what does not fit into it is read when
        chunks are missed.

        Args:
            names: Packs, the likeliest first; such as are not registered are passed over.
        """
        ends = self.ends_of(names)
        self.keep_ends(ends, self._backend.get_ranges(ends.ranges()))

    def ends_of(self, names: Sequence[bytes]) -> Ends:
        """What `expect` asks for, for who asks in its place and hands the answers to `keep_ends`."""
        with self._environment.read() as txn:
            expected = [pack for pack in self._stored(txn, names) if pack.added.type != PackType.INDEX]
            rest = unloaded(txn)
            # One that no record registers shows where it is needed.
            index_packs = [pack for pack in self._stored(txn, rest) if not footer_read(txn, pack.added.name)]
        # Without pages and lists nothing else is asked for.
        expected.sort(key=lambda pack: pack.added.type == PackType.DATA)
        pages = sum(pack.added.type != PackType.DATA for pack in expected[:_PAGE_PACKS_AT_FIRST])
        small = len(index_packs) == len(rest) and all(
            pack.added.size <= _WHOLE_BYTES_MAX for pack in index_packs
        )
        # Index packs that come whole leave nothing for the other footers to say.
        first = _lot([*expected[:pages], *index_packs, *(() if small else expected[pages:])])
        asked = {pack.added.name for pack in first}
        return Ends(first, tuple(pack.added.name for pack in expected if pack.added.name not in asked))

    def keep_ends(self, ends: Ends, answers: Sequence[bytes | ArtifactStoreError]) -> None:
        """Keep what the ends of packs say, where they came."""
        self._keep_answers(ends.packs, answers)
        self._expected = ends.later

    def keep_footer(self, pack: StoredPack, chunks: Sequence[PackedChunk]) -> None:
        """Keep where a pack's chunks lie, as its footer says."""
        with self._environment.write() as txn:
            if unloaded(txn):
                add_locations(txn, b"".join(footer_rows(chunks)), [pack.number])
                note_footer(txn, pack.added.name)

    def complete(self) -> None:
        """Load every row that is not in the index yet.

        A load that is cut goes on after the last index pack that was loaded whole. In place of an index pack that can't
        be read, the footers of all packs are: they give the same.

        Raises:
            Damaged: The index names an index pack that no record registered.
        """
        while True:
            with self._environment.read() as txn:
                rest = self._index_packs(txn)
            if not rest:
                return
            for lot in lots(rest, lambda pack: pack.added.size, FETCHED_BYTES_MAX):
                self._load_whole(lot)

    # --- the steps ------------------------------------------------------------------------------------------

    def _look_up(self, cids: list[bytes]) -> None:
        while len(cids) > _FEW and self._expected:
            with self._environment.read() as txn:
                expected = self._stored(txn, self._expected)
            lot = _lot(expected)
            self._expected = tuple(pack.added.name for pack in expected[len(lot) :])
            self._read_ends(lot)
            with self._environment.read() as txn:
                cids = [cid for cid in cids if not locations(txn, cid)]
        if cids:
            self._search(cids)

    def _search(self, cids: Sequence[bytes]) -> None:
        """Load the segments of unloaded index packs that may hold these chunks."""
        with self._environment.read() as txn:
            unread = [pack for pack in self._index_packs(txn) if not footer_read(txn, pack.added.name)]
        whole = True
        for lot in lots(unread, _end_bytes, _ASKED_BYTES_MAX):
            whole = self._read_ends(lot) and whole
        wanted = self._segments_for(sorted(cid[:CID_PREFIX_BYTES] for cid in cids))
        for lookups in lots(wanted, lambda lookup: lookup.place.length, _ASKED_BYTES_MAX):
            whole = self._load_segments(lookups) and whole
        if not whole:
            with self._environment.read() as txn:
                found = all(locations(txn, cid) for cid in cids)
            if not found:
                self.complete()

    def _index_packs(self, txn: ReadTransaction) -> list[StoredPack]:
        names = unloaded(txn)
        found = self._stored(txn, names)
        if len(found) < len(names):
            lost = min(set(names) - {pack.added.name for pack in found}).hex()
            raise Damaged(
                f"index pack {lost} is not registered", next_step="artifactstore index rebuild", object=lost
            )
        return found

    def _stored(self, txn: ReadTransaction, names: Iterable[bytes]) -> list[StoredPack]:
        numbers = [self._packs.number_of(txn, name) for name in dict.fromkeys(names)]
        found = [self._packs.get(txn, number) for number in numbers if number is not None]
        return [pack for pack in found if pack is not None and not self._is_read(txn, pack)]

    @staticmethod
    def _is_read(txn: ReadTransaction, pack: StoredPack) -> bool:
        return pack.added.type != PackType.INDEX and footer_read(txn, pack.added.name)

    def _read_ends(self, packs: Sequence[StoredPack]) -> bool:
        """Read the footers of packs together and keep what they say; return whether all index packs could be read."""
        return self._keep_answers(packs, self._backend.get_ranges([_end_of(pack) for pack in packs]))

    def _keep_answers(
        self, packs: Sequence[StoredPack], answers: Sequence[bytes | ArtifactStoreError]
    ) -> bool:
        whole = True
        for pack, answer in zip(packs, answers, strict=True):
            ref = ref_of(pack)
            try:
                if ref.type != PackType.INDEX:
                    _, chunks = open_tail(answer, self._keys.store_id, ref)
                    self.keep_footer(pack, chunks)
                elif ref.size <= _WHOLE_BYTES_MAX:
                    self._load(ref, answer)
                else:
                    tail, chunks = open_tail(answer, self._keys.store_id, ref)
                    self._keep_fan_out(ref, tail, chunks)
            except Damaged:
                # What a version names is a hint only.
                whole = whole and ref.type != PackType.INDEX
        return whole

    def _keep_fan_out(self, pack: PackRef, tail: memoryview, chunks: Sequence[PackedChunk]) -> None:
        *segments, last = chunks
        fan_out = b"".join(chunks_of(tail, pack.size - len(tail), [last], self._keys, pack))
        firsts = decode_fan_out(fan_out, pack.name)
        if len(firsts) != len(segments):
            raise Damaged(f"{pack.name}: the fan-out does not fit the segments", object=pack.name)
        places = [
            SegmentPlace(first, chunk.cid, chunk.ordinal, *chunk.blob, chunk.start, chunk.length)
            for first, chunk in zip(firsts, segments, strict=True)
        ]
        with self._environment.write() as txn:
            if pack.sha256 in unloaded(txn):
                note_footer(txn, pack.sha256, places)

    def _segments_for(self, prefixes: Sequence[bytes]) -> list[_Lookup]:
        """The segments, not loaded yet, that may hold chunks of these sorted prefixes."""
        wanted: list[_Lookup] = []
        with self._environment.read() as txn:
            for pack in self._stored(txn, unloaded(txn)):
                places = segment_places(txn, pack.added.name)
                firsts = [place.first for place in places]
                # A run of equal prefixes may begin in the segment before the one that it heads.
                numbers = {
                    number
                    for prefix in prefixes
                    for number in range(max(0, bisect_left(firsts, prefix) - 1), bisect_right(firsts, prefix))
                }
                ref = ref_of(pack)
                wanted += [
                    _Lookup(ref, number, places[number])
                    for number in sorted(numbers)
                    if not places[number].loaded
                ]
        return wanted

    def _load_segments(self, lookups: Sequence[_Lookup]) -> bool:
        """Fetch segments together and add their rows; return whether all could be read."""
        requests = list(_requests(lookups))
        whole = True
        answers = self._backend.get_ranges([request for request, _ in requests])
        for (request, held), answer in zip(requests, answers, strict=True):
            pack = held[0].pack
            try:
                segments = self._segments_in(request, held, arrived(answer, pack))
            except Damaged:
                whole = False
                continue
            self._keep_segments(pack, [lookup.number for lookup in held], segments)
        return whole

    def _segments_in(self, request: ByteRange, held: Sequence[_Lookup], data: memoryview) -> list[Segment]:
        pack = held[0].pack
        chunks = chunks_of(data, request.start, map(_chunk_of, held), self._keys, pack)
        segments = [decode_segment(chunk, pack.name) for chunk in chunks]
        firsts = [segment.rows[:CID_PREFIX_BYTES] for segment in segments]
        if firsts != [lookup.place.first for lookup in held]:
            raise Damaged(f"{pack.name}: the fan-out does not fit the segments", object=pack.name)
        return segments

    def _keep_segments(self, pack: PackRef, numbers: Sequence[int], segments: Sequence[Segment]) -> None:
        for start in range(0, len(segments), _SEGMENTS_PER_TRANSACTION):
            kept = set(numbers[start : start + _SEGMENTS_PER_TRANSACTION])
            with self._environment.write() as txn:
                for segment in segments[start : start + _SEGMENTS_PER_TRANSACTION]:
                    add_segment(txn, self._packs, segment)
                places = segment_places(txn, pack.sha256)
                note = [
                    place._replace(loaded=True) if number in kept else place
                    for number, place in enumerate(places)
                ]
                if all(place.loaded for place in note):
                    loaded(txn, pack.sha256)
                else:
                    note_footer(txn, pack.sha256, note)

    def _load_whole(self, packs: Sequence[StoredPack]) -> None:
        """Load whole index packs, and what can't be read of them from the footers of all packs."""
        names = [ref_of(pack).name for pack in packs]
        answers = list(self._backend.get_many(names, limit_bytes=PACK_BYTES_MAX))
        for pack, answer in zip(packs, answers, strict=True):
            ref = ref_of(pack)
            try:
                self._load(ref, answer)
            except Damaged as error:
                self._notices.append(f"{error.message}; the footers of the packs give the same")
                self._read_all_footers()
                with self._environment.write() as txn:
                    loaded(txn, ref.sha256)

    def _load(self, pack: PackRef, fetched: bytes | ArtifactStoreError) -> None:
        """Add all rows of an index pack, in small transactions, and note that in the last one."""
        data, chunks = open_whole(fetched, self._keys.store_id, pack)
        segments = segments_of(chunks_of(data, 0, chunks, self._keys, pack), pack.name)
        while batch := list(islice(segments, _SEGMENTS_PER_TRANSACTION)):
            with self._environment.write() as txn:
                for segment in batch:
                    add_segment(txn, self._packs, segment)
        with self._environment.write() as txn:
            loaded(txn, pack.sha256)

    def _read_all_footers(self) -> None:
        """Read every footer that was not read yet; of a pack that has lost its own there is nothing to be had."""
        with self._environment.read() as txn:
            unread = [
                pack
                for pack in self._packs.all(txn)
                if pack.added.type in INDEXED_TYPES and not footer_read(txn, pack.added.name)
            ]
        for lot in lots(unread, _end_bytes, _ASKED_BYTES_MAX):
            self._read_ends(lot)


def _end_of(stored: StoredPack) -> ByteRange:
    """The range that holds a pack's footer, and of an index pack its fan-out, or all of a small one."""
    pack, count = ref_of(stored), stored.added.count
    if pack.type != PackType.INDEX:
        return tail_range(pack, count)
    if pack.size <= _WHOLE_BYTES_MAX:
        return ByteRange(pack.name, 0, pack.size)
    return tail_range(pack, count, _FAN_OUT_BYTES + _FAN_OUT_BYTES_PER_SEGMENT * count)


def _end_bytes(stored: StoredPack) -> int:
    return _end_of(stored).length


def _lot(packs: Sequence[StoredPack]) -> list[StoredPack]:
    """As many packs, from the first on, as are asked for in one round trip."""
    return next(lots(packs, _end_bytes, _ASKED_BYTES_MAX), [])


def _requests(lookups: Sequence[_Lookup]) -> Iterator[tuple[ByteRange, list[_Lookup]]]:
    """Ranges that hold the segments, neighbours in one, each with the segments in it."""
    for pack, group in groupby(lookups, lambda lookup: lookup.pack):
        rest = list(group)
        for span in coalesce((lookup.place.offset, lookup.place.length) for lookup in rest):
            held = [lookup for lookup in rest if 0 <= lookup.place.offset - span.start < span.length]
            yield ByteRange(pack.name, span.start, span.length), held


def _chunk_of(lookup: _Lookup) -> PackedChunk:
    place = lookup.place
    blob = Blob(place.offset, place.length, place.raw_length, place.codec)
    return PackedChunk(place.cid, place.ordinal, blob, place.start, place.span)
