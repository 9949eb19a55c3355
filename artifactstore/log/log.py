"""Following the log and claiming slots in it.

Everything that changes a store is one record at one slot, created exclusively. Invariant 4: one winner per slot, and
an operation is applied at most once, ambiguous answers included. Invariant 7: roots chain; a shorter or forked log
is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Final, Protocol

from artifactstore import log
from artifactstore.backend.base import PARALLEL_REQUESTS_MAX, Backend
from artifactstore.backend.retrying import LOST_PATIENCE_S
from artifactstore.clock import Clock
from artifactstore.errors import (
    BackendError,
    ConnectionLost,
    Damaged,
    ObjectExists,
    RolledBack,
    StorageFull,
    StoreExists,
)
from artifactstore.forks import renewed_in_children
from artifactstore.format.record import Clear, slot_name
from artifactstore.index.tables import Position
from artifactstore.keyring.keyring import Keyring
from artifactstore.log.head import Glance, find_end, glance
from artifactstore.log.merkle import append, root_of
from artifactstore.log.records import Opened, examine, open_slot
from artifactstore.log.signers import Signers
from artifactstore.log.slots import Slots
from artifactstore.log.start import Start, read_start
from artifactstore.log.tail import Beside, Tail
from artifactstore.log.tiles import Tiles

_BATCH_RECORDS: Final = 256
# Records of 4 MiB hold 90,000 index rows at most: what one transaction dirties is anonymous memory.
_BATCH_BYTES: Final = 4 << 20
# To be so far behind is worth looking for a state ahead, which takes six round trips or so.
_JUMP_RECORDS_MIN: Final = 2048
# A backend that fails, but answers, is asked again for a moment; a lost connection is waited for as everywhere else.
_FAILING_PATIENCE_S: Final = 2.0
_SEND_PAUSE_S: Final = 0.1
_SEND_PAUSE_S_MAX: Final = 8.0
_SEND_TRIES_MAX: Final = 200


# How long a writer gives way to a sweep that said so, and for how many records its word counts.
_INTENT_PATIENCE_S: Final = 2.0
_INTENT_PAUSE_S: Final = 0.1
_INTENT_SLOTS: Final = 64


class GenerationPassed(Exception):
    """A sweep began a generation of which this client has no keys yet."""


class Applier(Protocol):
    """What the log is replayed into; applying is deterministic."""

    def position(self) -> Position:
        """How much of the log is applied."""
        ...

    def apply(self, records: Sequence[Opened]) -> None:
        """Apply neighbouring records; those before the position are passed over."""
        ...

    def load_state(self, named_in: Opened) -> None:
        """Start from the state that a record names, in place of all that was applied before it."""
        ...


class Log:
    """The log of one store, read and written by one unlocked client.

    Args:
        backend: Where the records lie.
        keyring: Opens the records of its generation.
        signers: Whose records count.
        clock: Waits between tries.
        begun: What was read of the log before it could be unlocked, by a client with an empty index.

    Thread-safe: it keeps nothing but that, which is used once, by the thread that starts.
    """

    def __init__(
        self, backend: Backend, keyring: Keyring, signers: Signers, clock: Clock, begun: Start | None = None
    ) -> None:
        self._backend = backend
        self._keyring = keyring
        self._clock = clock
        self._slots = Slots(backend)
        self._tiles = Tiles(backend, signers)
        self._begun = begun
        self.signers = signers
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        """In a child of a fork: what another thread of the parent held is free here."""
        self._starting = threading.Lock()

    def follow(
        self,
        applier: Applier,
        *,
        from_start: bool = False,
        beside: Beside | None = None,
    ) -> Position:
        """Apply every record that the applier has not seen; return its position at the head.

        Args:
            applier: Where records go.
            from_start: Where nothing is applied yet, begin with record 0 and not with the newest state.
            beside: Asked, when all that was read is applied, which other requests the next look may make in its round
                trip; once, or twice where the first look brings news.

        Raises:
            Damaged: A record is missing, or the roots don't chain.
            RolledBack: The log ends before the position.
            NewerStore: A record needs a newer release.
            GenerationPassed: A sweep was met; what lies before it is applied, unless a state has to be jumped to.
        """
        position = applier.position()
        start: Start | None = None
        if position.next_slot == 0 and not from_start:
            # One thread at a time: what the first learns of the keys while it starts would make the others' slots void.
            with self._starting:
                position = applier.position()
                if position.next_slot == 0:
                    start = self._start(applier)
                    position = applier.position()
        tail = self._tail(position, start, beside)
        may_jump = start is None and not from_start
        while batch := self._read_batch(position, tail):
            if may_jump and tail.farthest - position.next_slot >= _JUMP_RECORDS_MIN:
                may_jump = False
                start = self._jump(applier, position)
                if start is not None:
                    position = applier.position()
                    tail = self._tail(position, start)
                    continue
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
        waited = 0.0
        while True:
            position = self.follow(applier)
            if waited < _INTENT_PATIENCE_S and _gives_way(position):
                # Politeness, never safety: a sweep that lost three claims goes first.
                self._clock.sleep(_INTENT_PAUSE_S)
                waited += _INTENT_PAUSE_S
                continue
            data = make(position)
            slot = position.next_slot
            if self._create(slot, data):
                applier.apply([self._opened(data, slot, position.frontier, position.generation)])
                self._tiles.write_completed(slot)
                return slot

    def claim_sweep(self, slot: int, data: bytes) -> bool:
        """Write a sweep at a slot, if it is still the head; return whether these bytes lie there.

        It is not applied: whoever wrote it starts from its state, like everybody else.
        """
        won = self._create(slot, data)
        if won:
            self._tiles.write_completed(slot)
        return won

    def is_passed(self) -> bool:
        """Whether a sweep has begun a later generation than the one that this client has the keys of.

        What an earlier one named may be gone then: who misses something asks this before calling it damaged.
        """
        end = find_end(self._slots, glance(self._slots), self.signers)
        return end.clear is not None and end.clear.generation > self._keyring.generation

    def begin(self, applier: Applier, make: Callable[[Position], bytes]) -> int:
        """Write record 0, which makes the store; return 0.

        Raises:
            StoreExists: Another writer has just made one here.
        """
        data = make(applier.position())
        if not self._create(0, data):
            raise StoreExists("another writer has just made a store here", next_step="open it instead")
        applier.apply([self._opened(data, 0, [], 0)])
        return 0

    def read(self, slot: int) -> bytes | None:
        """The bytes at a slot, None when it is absent; longer than a record may be, they come back as void."""
        return self._slots.read(slot)

    def reread(self, start: int, stop: int) -> Iterator[Opened]:
        """Records that this client has verified and applied before, again."""
        for first in range(start, stop, PARALLEL_REQUESTS_MAX):
            slots = range(first, min(stop, first + PARALLEL_REQUESTS_MAX))
            for slot, data in zip(slots, self._slots.read_many(slots), strict=True):
                frame = None if data is None else examine(data, slot, self.signers)
                if data is not None and frame is not None:
                    yield self._reopened(data, frame.clear)

    def condemned_since(self, sweep_slot: int | None, since: int) -> set[str]:
        """Names of the objects that sweeps condemned from one slot on.

        Args:
            sweep_slot: Slot of the last sweep.
            since: The slot to begin with.
        """
        names: set[str] = set()
        at = sweep_slot
        while at is not None and at >= since:
            data = self.read(at)
            frame = None if data is None else examine(data, at, self.signers)
            if frame is None:
                raise Damaged(f"{slot_name(at)}, a sweep, is missing or void", object=slot_name(at))
            names.update(frame.clear.condemned)
            at = frame.clear.sweep_slot
        return names

    def _tail(self, position: Position, start: Start | None, beside: Beside | None = None) -> Tail:
        return Tail(self._slots, self._tiles, self.signers, self._clock, position, start, beside)

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
        frontier, generation, size = list(position.frontier), position.generation, 0
        # What a sweep in this very lot hands over is known to the records behind it.
        signers = Signers(self.signers.store_id, self.signers.certificate, self.signers.rejected)
        while len(batch) < _BATCH_RECORDS and size < _BATCH_BYTES:
            slot = position.next_slot + len(batch)
            if batch and tail.would_look(slot):
                break
            data = tail.at(slot)
            if data is None or tail.untrusted(slot):
                break
            opened = open_slot(data, slot, root_of(frontier), generation, self._keyring, signers)
            before = generation
            if opened.clear is not None:
                generation = opened.clear.generation
                signers.learn_from(opened.clear)
            if generation > self._keyring.generation:
                if batch:
                    break
                raise GenerationPassed
            if generation != before and opened.sealed is None:
                name = slot_name(slot)
                raise Damaged(f"{name}, which began a generation, does not open", object=name)
            frontier = append(frontier, slot, opened.leaf)
            size += len(data)
            batch.append(opened)
        return batch

    def _opened(self, data: bytes, slot: int, frontier: list[bytes], generation: int) -> Opened:
        return open_slot(data, slot, root_of(frontier), generation, self._keyring, self.signers)

    def _reopened(self, data: bytes, clear: Clear) -> Opened:
        """A record that was examined already, taken at its word about what lies before it."""
        return open_slot(data, clear.slot, clear.root, clear.signer, self._keyring, self.signers)

    def _start(self, applier: Applier) -> Start:
        """Jump to the newest state, if any record names one; return what was read of the log."""
        start, self._begun = self._begun, None
        if start is not None and start.last is not None and start.last.generation < self._keyring.generation:
            start = None  # a sweep has come between this look and the one that found the keys
        if start is None:
            seen = glance(self._slots)
            if seen.first is None:
                raise Damaged("log/0000000000000000 is missing", object=slot_name(0))
            end = find_end(self._slots, seen, self.signers)
            start = read_start(self._slots, self._tiles, end)
        if start.last is not None and start.last.generation > self._keyring.generation:
            raise GenerationPassed
        if start.named is not None:
            self._load(applier, self._naming(start.named, start), start.last)
        elif self._keyring.generation:
            # A sweep names a state, and so does whatever comes after it.
            self._disbelieve(start.last)
            raise Damaged("the log's last record names no state, and there were sweeps")
        return start

    def _jump(self, applier: Applier, position: Position) -> Start | None:
        """Jump to the newest state over many records that were not applied; return what was read of the log.

        Only where the log of the record that names it goes on from what this client has applied (invariant 7), in the
        same generation. None where that can't be told, or where there is nothing to be won: then the records are read
        one by one, and what is wrong with them shows.
        """
        seen = Glance(None, position.next_slot - 1, None)
        start = read_start(self._slots, self._tiles, find_end(self._slots, seen, self.signers))
        if start.named is None or start.named - position.next_slot < _JUMP_RECORDS_MIN:
            return None
        with suppress(Damaged):
            named_in = self._naming(start.named, start)
            clear = named_in.clear
            grown = log.consistency.grown_frontier(
                self._slots, self._tiles, position.frontier, position.next_slot, start.named
            )
            if (
                grown is not None
                and clear is not None
                and clear.root == root_of(grown)
                and clear.sweep_slot == position.sweep_slot
            ):
                applier.load_state(named_in)
                return start
        return None

    def _naming(self, slot: int, start: Start) -> Opened:
        """The record that names a state, opened.

        Its root is taken at its word: whoever applies records after the state holds it against theirs.
        """
        data = start.slots.get(slot)
        frame = None if data is None else examine(data, slot, self.signers)
        if data is None or frame is None:
            raise Damaged(
                f"{slot_name(slot)}, which names the store's state, is missing or void",
                object=slot_name(slot),
            )
        return self._reopened(data, frame.clear)

    def _load(self, applier: Applier, named_in: Opened, last: Clear | None) -> None:
        """Start from a state, and hold against it what was taken at its word to find it."""
        name = slot_name(named_in.slot)
        try:
            applier.load_state(named_in)
        except Damaged:
            self._disbelieve(last)
            raise
        # The last record may be a stranger's: it only said where to look, and following the log passes it over.
        if named_in.clear is None or not self.signers.accepts(named_in.clear):
            raise Damaged(f"{name} is not signed by the store's key", object=name)
        if self.signers.contradict_memory():
            raise RolledBack("the store was handed over to other keys than those that this client has seen")

    def _disbelieve(self, last: Clear | None) -> None:
        """Look elsewhere for what a record led to in vain; return where there is nowhere else to look.

        Raises:
            GenerationPassed: A sweep has come since, or the record may be a stranger's: what he wrote changes nothing
                (invariant 19), for without his word the search ends elsewhere.
        """
        if self.is_passed() or (
            last is not None and last.signer and self.signers.reject(last.certificate.public)
        ):
            raise GenerationPassed from None

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


def _gives_way(position: Position) -> bool:
    """Whether a sweep has lately said that it is about to be claimed."""
    intent = position.intent_slot
    return intent is not None and position.next_slot - intent <= _INTENT_SLOTS
