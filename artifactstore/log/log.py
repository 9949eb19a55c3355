"""Following the log and claiming slots in it.

Everything that changes a store is one record at one slot, created exclusively. Invariant 4: one winner per slot, and
an operation is applied at most once, ambiguous answers included. Invariant 7: roots chain; a shorter or forked log
is refused.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, Protocol

from artifactstore.backend.base import Backend
from artifactstore.clock import Clock
from artifactstore.errors import (
    BackendError,
    Damaged,
    ObjectExists,
    ObjectMissing,
    ObjectTooLarge,
    RolledBack,
    StorageFull,
    StoreExists,
)
from artifactstore.format.limits import RECORD_BYTES_MAX
from artifactstore.format.record import Clear, slot_name
from artifactstore.index.tables import Position
from artifactstore.keyring.keyring import Keyring
from artifactstore.log.merkle import (
    TILE_WIDTH,
    append,
    leaf_of,
    root_of,
    subtree_root,
    tile_name,
    void_leaf,
)
from artifactstore.log.records import Opened, examine, open_slot

# Slots looked at beyond the lowest absent one: a hole means a record was taken away.
_BEYOND: Final = (1, 2, 4, 8, 16, 32, 64)
_HOLE_PATIENCE_S: Final = 30.0
_HOLE_PAUSE_S: Final = 1.0
_BATCH_RECORDS: Final = 256
# Records of 4 MiB hold 90,000 index rows at most: what one transaction dirties is anonymous memory.
_BATCH_BYTES: Final = 4 << 20
_SEND_TRIES: Final = 5
_SEND_PAUSE_S: Final = 0.2
_VOID_RUN_MAX: Final = 4096


class Applier(Protocol):
    """What the log is replayed into; applying is deterministic."""

    def position(self) -> Position:
        """How much of the log is applied."""
        ...

    def apply(self, records: Sequence[Opened]) -> None:
        """Apply neighbouring records; those before the position are passed over."""
        ...

    def load_state(self, named_in: Opened) -> None:
        """Start from the state that a record names, when nothing is applied yet."""
        ...


class Log:
    """The log of one store, read and written by one unlocked client.

    Args:
        backend: Where the records lie.
        keyring: Verifies, opens, seals and signs.
        clock: Waits between tries.

    Thread-safe: it keeps no state of its own.
    """

    def __init__(self, backend: Backend, keyring: Keyring, clock: Clock) -> None:
        self._backend = backend
        self._keyring = keyring
        self._clock = clock

    def follow(self, applier: Applier, known: Mapping[int, bytes] | None = None) -> Position:
        """Apply every record that the applier has not seen; return its position at the head.

        Args:
            applier: Where records go.
            known: Bytes of slots that this client has just written.

        Raises:
            Damaged: A record is missing, or the roots don't chain.
            RolledBack: The log ends before the position.
            NewerStore: A record needs a newer release.
        """
        position = applier.position()
        if position.next_slot == 0:
            self._start(applier)
            position = applier.position()
        else:
            self._refuse_other_past(position)
        while True:
            batch = self._read_batch(position, known or {})
            if not batch:
                return position
            applier.apply(batch)
            position = applier.position()

    def claim(self, applier: Applier, make: Callable[[Position], bytes]) -> int:
        """Write one record at the head and apply it; return its slot.

        Every record before the slot is read and applied first, and `make` is called anew for each slot tried.

        Args:
            applier: Where records go.
            make: Returns the record for the next slot of a position; raises when a precondition fails.
        """
        while True:
            position = self.follow(applier)
            data = make(position)
            slot = position.next_slot
            if self._create(slot, data):
                self.follow(applier, {slot: data})
                self._write_tiles(slot)
                return slot

    def begin(self, applier: Applier, make: Callable[[Position], bytes]) -> int:
        """Write record 0, which makes the store; return 0.

        Raises:
            StoreExists: Another writer has just made one here.
        """
        data = make(applier.position())
        if not self._create(0, data):
            raise StoreExists("another writer has just made a store here", next_step="open it instead")
        applier.apply(self._read_batch(applier.position(), {0: data}))
        return 0

    def read(self, slot: int) -> bytes | None:
        """The bytes at a slot, None when it is absent; longer than a record may be, they come back as void."""
        try:
            return self._backend.get(slot_name(slot), limit_bytes=RECORD_BYTES_MAX)
        except ObjectMissing:
            return None
        except ObjectTooLarge:
            return b""

    def reread(self, start: int, stop: int) -> Iterator[Opened]:
        """Records that this client has verified and applied before, again."""
        for slot in range(start, stop):
            data = self.read(slot)
            frame = None if data is None else examine(data, slot, self._keyring.store_id)
            if data is not None and frame is not None:
                yield open_slot(data, slot, frame.clear.root, self._keyring)

    def head(self) -> int:
        """The number of slots that are filled, found by galloping and bisection."""
        high = 1
        while self._backend.exists(slot_name(high)):
            high *= 2
        low = high // 2
        while high - low > 1:
            middle = (low + high) // 2
            if self._backend.exists(slot_name(middle)):
                low = middle
            else:
                high = middle
        return low + 1

    def _read_batch(self, position: Position, known: Mapping[int, bytes]) -> list[Opened]:
        batch: list[Opened] = []
        frontier, size = list(position.frontier), 0
        while len(batch) < _BATCH_RECORDS and size < _BATCH_BYTES:
            slot = position.next_slot + len(batch)
            data = known.get(slot) or self.read(slot)
            if data is None:
                self._refuse_hole(slot)
                break
            opened = open_slot(data, slot, root_of(frontier), self._keyring)
            frontier = append(frontier, slot, opened.leaf)
            size += len(data)
            batch.append(opened)
        return batch

    def _start(self, applier: Applier) -> None:
        """Jump to the newest state, if any record names one."""
        if self.read(0) is None:
            raise Damaged("log/0000000000000000 is missing", object=slot_name(0))
        slot = self._last_valid(self.head() - 1)
        if slot is None:
            return
        clear = slot[1]
        at = slot[0] if clear.state is not None else clear.state_slot
        if at is None:
            return
        data = self.read(at)
        frame = None if data is None else examine(data, at, self._keyring.store_id)
        if data is None or frame is None:
            raise Damaged(
                f"{slot_name(at)}, which names the store's state, is missing or void", object=slot_name(at)
            )
        applier.load_state(open_slot(data, at, frame.clear.root, self._keyring))

    def _last_valid(self, slot: int) -> tuple[int, Clear] | None:
        for at in range(slot, max(-1, slot - _VOID_RUN_MAX), -1):
            data = self.read(at)
            frame = None if data is None else examine(data, at, self._keyring.store_id)
            if frame is not None:
                return at, frame.clear
        return None

    def _refuse_other_past(self, position: Position) -> None:
        """Make sure that the last slot applied still lies there, as it was: else nothing may be built upon it."""
        slot = position.next_slot - 1
        name = slot_name(slot)
        data = self.read(slot)
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

    def _refuse_hole(self, slot: int) -> None:
        """Make sure that an absent slot is the head: nothing valid lies beyond it (invariant 7)."""
        waited = 0.0
        while any(self._valid(slot + beyond) for beyond in _BEYOND):
            if self._backend.exists(slot_name(slot)):
                return
            if waited >= _HOLE_PATIENCE_S:
                raise Damaged(
                    f"{slot_name(slot)} is missing, and records lie beyond it", object=slot_name(slot)
                )
            self._clock.sleep(_HOLE_PAUSE_S)
            waited += _HOLE_PAUSE_S

    def _valid(self, slot: int) -> bool:
        """Whether a slot holds a verified record; what a stranger puts there counts for nothing (invariant 19)."""
        if not self._backend.exists(slot_name(slot)):
            return False
        data = self.read(slot)
        return data is not None and examine(data, slot, self._keyring.store_id) is not None

    def _create(self, slot: int, data: bytes) -> bool:
        """Create a slot; True when these very bytes fill it, False when another's do.

        After a lost answer the same bytes are sent again: what fills the slot then tells who won (invariant 4).
        """
        for attempt in range(1, _SEND_TRIES + 1):
            try:
                self._backend.create(slot_name(slot), data)
            except ObjectExists:
                return self.read(slot) == data
            except StorageFull:
                raise
            except BackendError:
                if attempt == _SEND_TRIES:
                    raise
                self._clock.sleep(_SEND_PAUSE_S * attempt)
            else:
                return True
        return False

    def _write_tiles(self, slot: int) -> None:
        """Write the full tiles that this slot completes; they are derived, so a failure costs nothing but speed."""
        level, size = 0, slot + 1
        hashes: list[bytes] | None = None
        while size % TILE_WIDTH == 0:
            number = size // TILE_WIDTH - 1
            hashes = self._tile_hashes(level, number)
            if hashes is None:
                return
            try:
                self._backend.put(tile_name(level, number), b"".join(hashes))
            except BackendError:
                return
            size //= TILE_WIDTH
            level += 1

    def _tile_hashes(self, level: int, number: int) -> list[bytes] | None:
        first = number * TILE_WIDTH
        if level == 0:
            return [self._leaf(slot) for slot in range(first, first + TILE_WIDTH)]
        roots = []
        for child in range(first, first + TILE_WIDTH):
            try:
                tile = self._backend.get(tile_name(level - 1, child), limit_bytes=TILE_WIDTH * 32)
            except (ObjectMissing, ObjectTooLarge):
                return None
            roots.append(subtree_root([tile[at : at + 32] for at in range(0, len(tile), 32)]))
        return roots

    def _leaf(self, slot: int) -> bytes:
        data = self.read(slot)
        void = data is None or examine(data, slot, self._keyring.store_id) is None
        return void_leaf(slot) if void else leaf_of(data or b"")
