"""Walking a log from slot 0 as anybody can: without keys, without an index, and trusting nothing but the store's id.

Every record is read from its own slot, never from a tile; its signature is verified and the root that it signs for is
held against the slots before it (invariant 7).
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from artifactstore.backend.base import Backend
from artifactstore.clock import Clock
from artifactstore.errors import Damaged
from artifactstore.format.limits import RECORD_BYTES_MAX
from artifactstore.format.record import Clear, slot_name
from artifactstore.index.tables import START
from artifactstore.log.merkle import append, leaf_of, root_of, void_leaf
from artifactstore.log.records import examine
from artifactstore.log.signers import Signers
from artifactstore.log.slots import Slots
from artifactstore.log.tail import Tail
from artifactstore.log.tiles import Tiles

_VOID_SHOWN_MAX: Final = 3
_FORGET_EVERY: Final = 64


class Walked(NamedTuple):
    """One slot, verified.

    Attributes:
        slot: Its number.
        clear: The clear part; None when the slot is void.
        leaf: Its leaf in the Merkle tree.
        record: The whole record; None when the slot is void.
    """

    slot: int
    clear: Clear | None
    leaf: bytes
    record: bytes | None


class Walk:
    """One walk over a log, which may be gone on with later. Used by one thread.

    Args:
        backend: Where the log lies.
        store_id: Whose records count.
        clock: Waits for a record that shows late.

    Attributes:
        slots: How many slots were walked.
        root: Merkle root over them.
    """

    def __init__(self, backend: Backend, store_id: bytes, clock: Clock) -> None:
        self._slots = Slots(backend)
        self._signers = Signers(store_id)
        self._tiles = Tiles(backend, self._signers)
        self._clock = clock
        self._position = START
        self._void: list[int] = []

    @property
    def slots(self) -> int:
        """How many slots were walked."""
        return self._position.next_slot

    @property
    def root(self) -> bytes:
        """Merkle root over them."""
        return root_of(self._position.frontier)

    def records(self) -> Iterator[Walked]:
        """The slots that were not walked yet, up to the head.

        Raises:
            Damaged: A record is missing, or was signed over others than lie before it.
            RolledBack: The last slot that was walked is gone, or another.
            NewerStore: A record needs a newer release.
        """
        tail = Tail(self._slots, self._tiles, self._signers, self._clock, self._position)
        tail.distrust()
        while (data := tail.at(self.slots)) is not None:
            yield self._verified(self.slots, data)
            if self.slots % _FORGET_EVERY == 0:
                tail.forget(self.slots)

    def _verified(self, slot: int, data: bytes) -> Walked:
        frame = None if len(data) > RECORD_BYTES_MAX else examine(data, slot, self._signers)
        if frame is not None and frame.clear.signer < self._position.generation:
            frame = None  # a key that was handed on signs nothing any more (invariant 6)
        if frame is None:
            self._void = [*self._void, slot][-_VOID_SHOWN_MAX:]
        elif frame.clear.root != self.root:
            # One that was altered looks void.
            void = ", ".join(map(slot_name, self._void))
            raise Damaged(
                f"{slot_name(slot)} was signed over other records than those that lie before it"
                f"{f'; altered was most likely {void}' if void else ''}",
                object=slot_name(slot),
                expected=frame.clear.root.hex(),
                found=self.root.hex(),
            )
        elif frame.clear.signer != self._position.generation:
            frame = None
        else:
            self._signers.learn_from(frame.clear)
        leaf = void_leaf(slot) if frame is None else leaf_of(data)
        frontier = append(self._position.frontier, slot, leaf)
        self._position = msgspec.structs.replace(
            self._position,
            next_slot=slot + 1,
            frontier=frontier,
            leaf=leaf,
            generation=self._position.generation if frame is None else frame.clear.generation,
        )
        return Walked(slot, None, leaf, None) if frame is None else Walked(slot, frame.clear, leaf, data)
