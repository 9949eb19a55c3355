"""The slots from a position on, fetched ahead of being verified and applied.

A client that is up to date learns so in one round trip: the last slot that it has applied, the next one, and a few
beyond it are asked about together. One that is behind reads 57 records a round trip, and one that is far behind takes
4,096 slots from data tiles in two. What tiles say counts only once a valid record that was read from its own slot signs
for it: who takes bytes from here asks for that with `vouch`.
"""

from collections.abc import Callable, Sequence
from itertools import count, islice
from typing import Final, TypeAlias

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX
from artifactstore.clock import Clock
from artifactstore.errors import Damaged, RolledBack
from artifactstore.format.record import slot_name
from artifactstore.format.tile import DATA_TILE_WIDTH
from artifactstore.index.tables import Position
from artifactstore.log.merkle import append, leaf_of, root_of, void_leaf
from artifactstore.log.records import examine
from artifactstore.log.signers import Signers
from artifactstore.log.slots import Slots
from artifactstore.log.start import Start
from artifactstore.log.tiles import Tiles

Beside: TypeAlias = Callable[[], Sequence[Callable[[], object]]]

# Slots looked at beyond those that are read: a hole means a record was taken away.
_BEYOND: Final = (1, 2, 4, 8, 16, 32, 64)
_READ_MAX: Final = 57
# The first look that brings news is followed by another one; who is further behind has other things to wait for.
_ASKS_MAX: Final = 2
_TILES_MAX: Final = 64
# Slots of which tiles speak and no record signs: that many void ones in a row are nobody's log.
_UNVOUCHED_MAX: Final = 3 * _TILES_MAX * DATA_TILE_WIDTH
_HOLE_PATIENCE_S: Final = 30.0
_HOLE_PAUSE_S: Final = 1.0


class Tail:
    """The bytes of a log's slots from one on. Used by one thread.

    Attributes:
        farthest: The highest slot that was seen filled.

    Args:
        slots: The log's slots.
        tiles: Its tiles.
        signers: Whose records count.
        clock: Waits for a record that shows late.
        position: What is applied; the last slot of it must lie there as it did.
        start: What was read of the log already, where the position is that of a state or the start.
        beside: Asked at the first looks for other requests, of which they make as many as a round trip has room for.
    """

    def __init__(
        self,
        slots: Slots,
        tiles: Tiles,
        signers: Signers,
        clock: Clock,
        position: Position,
        start: Start | None = None,
        beside: Beside | None = None,
    ) -> None:
        self._beside = beside
        self._asks = 0 if beside is None else _ASKS_MAX
        self._slots = slots
        self._tiles = tiles
        self._signers = signers
        self._clock = clock
        self.farthest = position.next_slot - 1
        self._head: int | None = None
        # The first slot that the last look found absent, and those filled beyond it.
        self._gap: tuple[int, list[int]] | None = None
        # How many slots the next look reads, whether the log goes on far beyond them, and from which tile on tiles may
        # be asked for: none once one was wrong.
        self._far = False
        self._next_tile: int | None = 0
        if start is None:
            self._remembered = position if position.next_slot else None
            self._bytes: dict[int, bytes] = {}
            self._from_tiles: set[int] = set()
            self._reads = 1
        else:
            # The next record's root tells whether what lies before a state is what it was.
            self._remembered = None
            self._bytes = start.tiles | start.slots
            self._from_tiles = start.tiles.keys() - start.slots.keys()
            missing = sum(slot not in self._bytes for slot in range(position.next_slot, start.head))
            self._reads = min(missing + 1, PARALLEL_REQUESTS_MAX - 1)

    def at(self, slot: int) -> bytes | None:
        """The bytes of a slot, void ones as they lie there; None when it is the head.

        Raises:
            Damaged: It is absent, stays so, and valid records lie beyond it.
            RolledBack: The last slot applied is gone, or another.
        """
        while slot != self._head:
            if slot in self._bytes:
                return self._bytes[slot]
            if self._gap is not None and self._gap[0] == slot:
                if not self._fills(*self._gap):
                    self._head = slot
                self._gap = None
            elif not (self._far and self._fetch_tiles(slot)):
                self._look(slot)
        return None

    def would_look(self, slot: int) -> bool:
        """Whether the bytes of a slot come with a look that has other requests beside it."""
        return self._asks > 0 and slot not in self._bytes

    def vouch(self, frontier: Sequence[bytes], slot: int) -> None:
        """Hold what tiles say from a slot on against the next valid record that was read from its own slot.

        Its root is over their leaves, so it says whether every byte of them is right; where it says no, or there is
        none such, what tiles say is forgotten.

        Args:
            frontier: That of the slots before.
            slot: The next slot.
        """
        at, grown = slot, list(frontier)
        while slot in self._from_tiles:
            data = self.at(at) if at - slot < _UNVOUCHED_MAX else None
            frame = None
            if data is None:
                self.distrust()
                return
            if at in self._from_tiles:
                leaf = leaf_of(data) if data else void_leaf(at)
            else:
                frame = examine(data, at, self._signers)
                leaf = void_leaf(at)
            if frame is None:
                grown = append(grown, at, leaf)
                at += 1
            elif frame.clear.root == root_of(grown):
                self._from_tiles.difference_update(range(slot, at))
            else:
                self.distrust()

    def untrusted(self, slot: int) -> bool:
        """Whether a slot's bytes are a tile's word that nothing vouches for yet."""
        return slot in self._from_tiles

    def _settle(self, slots: Sequence[int]) -> None:
        """Read slots themselves, instead of what tiles say of them."""
        for slot, data in zip(slots, self._slots.read_many(slots), strict=True):
            self._from_tiles.discard(slot)
            self._bytes.pop(slot, None)
            if data is not None:
                self._bytes[slot] = data

    def distrust(self) -> bool:
        """Take no more tiles, and forget what they said; return whether they said anything."""
        for slot in self._from_tiles:
            self._bytes.pop(slot, None)
        said = bool(self._from_tiles)
        self._from_tiles.clear()
        self._next_tile = None
        return said

    def forget(self, before: int) -> None:
        """Free the bytes of slots that were applied."""
        for slot in [slot for slot in self._bytes if slot < before]:
            del self._bytes[slot]
            self._from_tiles.discard(slot)

    def _look(self, slot: int) -> None:
        """Read slots from one on, as many as are likely to be there, and see what lies beyond them."""
        known = [] if self._remembered is None else [self._remembered.next_slot - 1]
        wanted = list(islice((at for at in count(slot) if at not in self._bytes), self._reads))
        room = PARALLEL_REQUESTS_MAX - len(known) - len(wanted)
        asked = [wanted[-1] + distance for distance in _BEYOND[:room]]
        beside: Sequence[Callable[[], object]] = ()
        if self._beside is not None and self._asks:
            self._asks -= 1
            beside = self._beside()
        answers, there = self._slots.look(known + wanted, asked, beside[: room - len(asked)])
        if self._remembered is not None:
            self._refuse_other_past(self._remembered, answers.pop(0))
            self._remembered = None
        filled = [at for at, found in zip(asked, there, strict=True) if found]
        for at, data in zip(wanted, answers, strict=True):
            if data is not None:
                self._bytes[at] = data
                self._from_tiles.discard(at)
        # A log that goes on for twice what was seen is read in lots twice as large.
        self.farthest = max(self.farthest, *wanted[:1], *filled)
        ahead = filled[-1] - wanted[-1] if filled else 0
        self._reads = min(_READ_MAX, max(1, 2 * ahead))
        self._far = ahead >= DATA_TILE_WIDTH
        absent = next((at for at, data in zip(wanted, answers, strict=True) if data is None), None)
        if absent is not None:
            read = [at for at, data in zip(wanted, answers, strict=True) if at > absent and data is not None]
            self._gap = absent, read + filled

    def _fetch_tiles(self, slot: int) -> bool:
        """Take slots from data tiles, as far as there are any; return whether this one was among them."""
        first = slot // DATA_TILE_WIDTH
        if self._next_tile is None or first < self._next_tile:
            return False
        numbers = range(first, first + _TILES_MAX)
        self._next_tile = numbers.stop
        found = self._tiles.read_many_data(numbers)
        for number, records in zip(numbers, found, strict=True):
            for at, data in enumerate(records, number * DATA_TILE_WIDTH):
                if at >= slot and at not in self._bytes:
                    self._bytes[at] = data
                    self._from_tiles.add(at)
        if found[-1]:
            self.farthest = numbers.stop * DATA_TILE_WIDTH - 1
        else:
            # The log ends before the last of them.
            self._next_tile = None
        # The last record of them, as it lies in its slot, signs for what the tiles say of those before it.
        ends = [at for at in self._from_tiles if (at + 1) % DATA_TILE_WIDTH == 0]
        self._settle([max(ends)] if ends else [])
        return slot in self._bytes

    def _refuse_other_past(self, position: Position, data: bytes | None) -> None:
        """Make sure that the last slot applied still lies there, as it was: else nothing may be built upon it."""
        slot = position.next_slot - 1
        name = slot_name(slot)
        if data is None:
            raise RolledBack(
                f"{name} is gone, which this client has applied: the log was shortened", object=name
            )
        # Of a void slot the bytes don't count; after a state the next record's root tells.
        if position.leaf not in {b"", void_leaf(slot), leaf_of(data)}:
            raise RolledBack(
                f"{name} is not the record that this client has applied: it was altered, or the log was set back",
                object=name,
            )

    def _fills(self, slot: int, beyond: Sequence[int]) -> bool:
        """Whether an absent slot is one that shows late; else it is the head: nothing valid lies beyond it.

        Raises:
            Damaged: It stays absent, and a valid record lies beyond it (invariant 7).
        """
        waited = 0.0
        suspicious = None
        while beyond:
            data = self._slots.read(slot)
            if data is not None:
                self._bytes[slot] = data
                return True
            if suspicious is None:
                suspicious = any(self._valid(at) for at in beyond)
            if not suspicious:
                break
            if waited >= _HOLE_PATIENCE_S:
                raise Damaged(
                    f"{slot_name(slot)} is missing, and records lie beyond it", object=slot_name(slot)
                )
            self._clock.sleep(_HOLE_PAUSE_S)
            waited += _HOLE_PAUSE_S
        return False

    def _valid(self, slot: int) -> bool:
        """Whether a slot holds a verified record; what a stranger puts there counts for nothing (invariant 19)."""
        data = self._bytes.get(slot) or self._slots.read(slot)
        return data is not None and examine(data, slot, self._signers) is not None
