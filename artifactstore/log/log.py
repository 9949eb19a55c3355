"""Following the log and claiming slots in it.

Everything that changes a store is one record at one slot, created exclusively. Invariant 4: one winner per slot, and
an operation is applied at most once, ambiguous answers included. Invariant 7: roots chain; a shorter or forked log
is refused.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX, Backend
from artifactstore.backend.retrying import LOST_PATIENCE_S
from artifactstore.clock import Clock
from artifactstore.errors import (
    BackendError,
    ConnectionLost,
    Damaged,
    ObjectExists,
    StorageFull,
    StoreExists,
)
from artifactstore.format.record import slot_name
from artifactstore.index.tables import Position
from artifactstore.keyring.keyring import Keyring
from artifactstore.log.head import find_end, glance
from artifactstore.log.merkle import EMPTY_ROOT, append, root_of
from artifactstore.log.records import Opened, examine, open_slot
from artifactstore.log.slots import Slots
from artifactstore.log.start import Start, read_start
from artifactstore.log.tail import Tail
from artifactstore.log.tiles import Tiles

_BATCH_RECORDS: Final = 256
# Records of 4 MiB hold 90,000 index rows at most: what one transaction dirties is anonymous memory.
_BATCH_BYTES: Final = 4 << 20
# A backend that fails, but answers, is asked again for a moment; a lost connection is waited for as everywhere else.
_FAILING_PATIENCE_S: Final = 2.0
_SEND_PAUSE_S: Final = 0.1
_SEND_PAUSE_S_MAX: Final = 8.0
_SEND_TRIES_MAX: Final = 200


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
        begun: What was read of the log before it could be unlocked, by a client with an empty index.

    Thread-safe: it keeps nothing but that, which is used once.
    """

    def __init__(self, backend: Backend, keyring: Keyring, clock: Clock, begun: Start | None = None) -> None:
        self._backend = backend
        self._keyring = keyring
        self._clock = clock
        self._slots = Slots(backend)
        self._tiles = Tiles(backend, keyring.store_id)
        self._begun = begun

    def follow(self, applier: Applier, *, from_start: bool = False) -> Position:
        """Apply every record that the applier has not seen; return its position at the head.

        Args:
            applier: Where records go.
            from_start: Where nothing is applied yet, begin with record 0 and not with the newest state.

        Raises:
            Damaged: A record is missing, or the roots don't chain.
            RolledBack: The log ends before the position.
            NewerStore: A record needs a newer release.
        """
        position = applier.position()
        start: Start | None = None
        if position.next_slot == 0 and not from_start:
            start = self._start(applier)
            position = applier.position()
        tail = Tail(self._slots, self._tiles, self._keyring.store_id, self._clock, position, start)
        while batch := self._read_batch(position, tail):
            applier.apply(batch)
            position = applier.position()
            tail.forget(position.next_slot)
        return position

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
                applier.apply([open_slot(data, slot, root_of(position.frontier), self._keyring)])
                self._tiles.write_completed(slot)
                return slot

    def begin(self, applier: Applier, make: Callable[[Position], bytes]) -> int:
        """Write record 0, which makes the store; return 0.

        Raises:
            StoreExists: Another writer has just made one here.
        """
        data = make(applier.position())
        if not self._create(0, data):
            raise StoreExists("another writer has just made a store here", next_step="open it instead")
        applier.apply([open_slot(data, 0, EMPTY_ROOT, self._keyring)])
        return 0

    def read(self, slot: int) -> bytes | None:
        """The bytes at a slot, None when it is absent; longer than a record may be, they come back as void."""
        return self._slots.read(slot)

    def reread(self, start: int, stop: int) -> Iterator[Opened]:
        """Records that this client has verified and applied before, again."""
        for first in range(start, stop, PARALLEL_REQUESTS_MAX):
            slots = range(first, min(stop, first + PARALLEL_REQUESTS_MAX))
            for slot, data in zip(slots, self._slots.read_many(slots), strict=True):
                frame = None if data is None else examine(data, slot, self._keyring.store_id)
                if data is not None and frame is not None:
                    yield open_slot(data, slot, frame.clear.root, self._keyring)

    def _read_batch(self, position: Position, tail: Tail) -> list[Opened]:
        """The next slots, verified; none at the head."""
        while True:
            try:
                tail.vouch(position.frontier, position.next_slot)
                return self._verified(position, tail)
            except Damaged:
                # A tile may be wrong where the records are right.
                if not tail.distrust():
                    raise

    def _verified(self, position: Position, tail: Tail) -> list[Opened]:
        batch: list[Opened] = []
        frontier, size = list(position.frontier), 0
        while len(batch) < _BATCH_RECORDS and size < _BATCH_BYTES:
            slot = position.next_slot + len(batch)
            data = tail.at(slot)
            if data is None or tail.untrusted(slot):
                break
            opened = open_slot(data, slot, root_of(frontier), self._keyring)
            frontier = append(frontier, slot, opened.leaf)
            size += len(data)
            batch.append(opened)
        return batch

    def _start(self, applier: Applier) -> Start:
        """Jump to the newest state, if any record names one; return what was read of the log."""
        start, self._begun = self._begun, None
        if start is None:
            seen = glance(self._slots)
            if seen.first is None:
                raise Damaged("log/0000000000000000 is missing", object=slot_name(0))
            end = find_end(self._slots, seen, self._keyring.store_id)
            start = read_start(self._slots, self._tiles, end)
        at = start.named
        if at is None:
            return start
        data = start.slots.get(at)
        frame = None if data is None else examine(data, at, self._keyring.store_id)
        if data is None or frame is None:
            raise Damaged(
                f"{slot_name(at)}, which names the store's state, is missing or void", object=slot_name(at)
            )
        applier.load_state(open_slot(data, at, frame.clear.root, self._keyring))
        return start

    def _create(self, slot: int, data: bytes) -> bool:
        """Create a slot; True when these very bytes fill it, False when another's do.

        After a lost answer the same bytes are sent again: what fills the slot then tells who won (invariant 4).
        """
        began_s, pause_s = self._clock.monotonic_s(), _SEND_PAUSE_S
        for tries in range(1, _SEND_TRIES_MAX + 1):
            try:
                self._backend.create(slot_name(slot), data)
            except ObjectExists:
                return self.read(slot) == data
            except StorageFull:
                raise
            except BackendError as error:
                patience_s = LOST_PATIENCE_S if isinstance(error, ConnectionLost) else _FAILING_PATIENCE_S
                left_s = began_s + patience_s - self._clock.monotonic_s()
                if pause_s >= left_s or tries == _SEND_TRIES_MAX:
                    raise
                self._clock.sleep(pause_s)
                pause_s = min(2 * pause_s, _SEND_PAUSE_S_MAX)
            else:
                return True
        raise AssertionError("the last try returns or raises")

    def write_tile(self, name: str) -> None:
        """Write a tile anew from the records, or from the tiles below it."""
        self._tiles.write(name)
