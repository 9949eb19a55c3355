"""Committing: the one way by which anything changes a store.

Packs are stored before the record that registers them is claimed (invariant 12), every record before the claimed
slot is read first, and the record is sealed anew for each slot tried. With the record that makes the tail outgrow
the last state a new state is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec

from artifactstore import catalog
from artifactstore.backend.base import Backend, answer_of
from artifactstore.catalog.outcome import Outcome
from artifactstore.catalog.replay import Catalog
from artifactstore.catalog.state import NewState, make_state, state_due
from artifactstore.clock import Clock, Randomness
from artifactstore.content.packs import index_packs, joined_rows
from artifactstore.format.commitment import committed_by
from artifactstore.format.limits import INLINE_INDEX_BYTES_MAX
from artifactstore.format.operations import Operation, Parameters, Sealed
from artifactstore.format.pack import PackType
from artifactstore.format.record import Certificate, Clear, Handover, RecordType, StateNamed, handover_message
from artifactstore.format.segment import ROW, Segment, split_rows
from artifactstore.index.environment import Environment, ReadTransaction
from artifactstore.index.tables import PackTable, Position
from artifactstore.keyring.keyring import Keyring
from artifactstore.log.log import Log
from artifactstore.log.merkle import root_of
from artifactstore.log.records import make_record
from artifactstore.pack.writer import FinishedPack

OPERATION_BYTES: Final = 16
_NS_PER_MS: Final = 1_000_000


class Committed(NamedTuple):
    """Where a commit landed, and what its operations did."""

    slot: int
    outcomes: list[Outcome]


class Committer:
    """Writes records for one member.

    Args:
        backend: Where index packs and states go.
        environment: The client index.
        packs: Its pack table.
        keyring: Seals and signs.
        log: Claims slots.
        catalog: Applies them.
        clock: Gives advisory times.
        randomness: Makes operation ids, salts and pack keys.

    Thread-safe: each commit claims a slot of its own.
    """

    def __init__(
        self,
        backend: Backend,
        environment: Environment,
        packs: PackTable,
        keyring: Keyring,
        log: Log,
        catalog: Catalog,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._backend = backend
        self._environment = environment
        self._packs = packs
        self._keyring = keyring
        self._log = log
        self._catalog = catalog
        self._clock = clock
        self._randomness = randomness

    def commit(
        self,
        operations: Sequence[Operation] | Callable[[], Sequence[Operation]],
        packs: Sequence[FinishedPack] = (),
        *,
        kind: RecordType = RecordType.COMMIT,
        parameters: Parameters | None = None,
        precondition: Callable[[ReadTransaction], None] | None = None,
        keys: Callable[[Position], list[bytes]] | None = None,
        state: NewState | None = None,
        erased: int | None = None,
    ) -> Committed:
        """Register packs and apply operations in one record.

        Args:
            operations: What to do, in order; or what says so, asked for each slot tried once the index has applied
                every record before it. What it raises ends the commit.
            packs: Packs that are stored already.
            kind: The record's type.
            parameters: The store's parameters, for record 0 only.
            precondition: Asked of the index once it has applied every record before the slot, for each slot tried;
                what it raises ends the commit.
            keys: Gives the names of the `keys/` objects that are current with the record, for each slot tried anew;
                they are stored when it returns. None keeps those of the record before.
            state: A state that the record is to name; when None, one is made if it is due.
            erased: Slot of the sweep whose condemned objects were all seen gone.
        """
        operation = self._randomness.token(OPERATION_BYTES)
        registered, inline, own = self._with_index(packs)
        if state is None and kind is not RecordType.CREATE:
            state = self._state_if_due()
        if state is not None:
            registered = [*registered, *state.indexes, *state.state]
            own |= {pack.added.name: None for pack in state.indexes if state.known}
        self._store(registered[len(packs) :])

        made: Sequence[Operation] = ()

        def make(position: Position) -> bytes:
            nonlocal made
            if precondition is not None:
                with self._environment.read() as txn:
                    precondition(txn)
            made = operations() if callable(operations) else operations
            named = (
                None
                if state is None
                else StateNamed(state.prefix, [pack.added.name for pack in state.state], [])
            )
            clear = self._clear(position, operation, kind, registered, named, keys, erased)
            clear = msgspec.structs.replace(clear, committed=committed_by(made))
            sealed = Sealed(
                member=self._keyring.slot_id,
                pack_keys=[pack.key for pack in registered],
                rows=inline,
                operations=list(made),
                parameters=parameters,
                index_packs=None if state is None else _current(state, position, registered),
            )
            return make_record(clear, sealed, self._keyring, self._randomness, self._keyring.signer())

        claim = self._log.begin if kind is RecordType.CREATE else self._log.claim
        with self._catalog.knowing(own):
            slot = claim(self._catalog, make)
        return Committed(slot, self._catalog.outcomes(slot, made))

    def sweep(
        self,
        state: catalog.swept.SweptState,
        packs: Sequence[FinishedPack],
        keyring: Keyring,
        keys: Sequence[bytes],
        condemned: Sequence[str],
        purged: Sequence[bytes],
    ) -> bool:
        """Claim the slot of a sweep, whose objects are all stored; return whether it was won.

        Args:
            state: The state after it, made for the slot that is claimed.
            packs: Packs of survivors that it registers.
            keyring: The keys of the generation that it begins.
            keys: Names of its `keys/` objects.
            condemned: Names of the objects that are given up.
            purged: Commitments of the versions that are purged.
        """
        position = self._catalog.position()
        if position.next_slot != state.prefix:
            return False
        registered = [*packs, *state.indexes, *state.state, *state.copy]
        operation = self._randomness.token(OPERATION_BYTES)
        named = StateNamed(
            state.prefix,
            [pack.added.name for pack in state.state],
            [pack.added.name for pack in state.copy],
        )
        public = keyring.signer().public_bytes
        generation, signer = keyring.generation, self._keyring.signer()
        message = handover_message(keyring.store_id, generation, state.prefix, public)
        clear = msgspec.structs.replace(
            self._clear(position, operation, RecordType.SWEEP, registered, named),
            generation=generation,
            condemned=list(condemned),
            purged=list(purged),
            keys=list(keys),
            handover=Handover(public, signer.sign(message)),
        )
        sealed = Sealed(
            member=keyring.slot_id,
            pack_keys=[pack.key for pack in registered],
            rows=[],
            operations=[],
            parameters=None,
            index_packs=state.index_packs,
        )
        data = make_record(clear, sealed, keyring, self._randomness, signer)
        return self._log.claim_sweep(state.prefix, data)

    def _with_index(
        self, packs: Sequence[FinishedPack]
    ) -> tuple[list[FinishedPack], list[bytes], dict[bytes, Segment | None]]:
        """(Packs to register, inline segments, rows of index packs): rows go into those when they are many."""
        names = [pack.added.name for pack in packs]
        rows = joined_rows(packs)
        if len(rows) * ROW.size + 64 * len(names) <= INLINE_INDEX_BYTES_MAX:
            return list(packs), [segment for _, segment in split_rows(names, rows)], {}
        first, *rest = index_packs(self._keyring, names, rows, self._randomness)
        own = {first.added.name: Segment(names, b"".join(rows)), **{pack.added.name: None for pack in rest}}
        return [*packs, first, *rest], [], own

    def _state_if_due(self) -> NewState | None:
        if not state_due(self._catalog.position()):
            return None
        return make_state(
            self._backend, self._environment, self._packs, self._keyring, self._log.reread, self._randomness
        )

    def _store(self, packs: Sequence[FinishedPack]) -> None:
        calls: list[Callable[[], None]] = []
        for pack in packs:
            assert pack.data is not None
            calls.append(partial(self._backend.put, pack.name, pack.data))
        for outcome in self._backend.together(calls):
            answer_of(outcome)

    def _clear(
        self,
        position: Position,
        operation: bytes,
        kind: RecordType,
        packs: Sequence[FinishedPack],
        state: StateNamed | None,
        keys: Callable[[Position], list[bytes]] | None = None,
        erased: int | None = None,
    ) -> Clear:
        keyring = self._keyring
        current = position.keys or [bytes.fromhex(keyring.keys_object.removeprefix("keys/"))]
        return Clear(
            store_id=keyring.store_id,
            slot=position.next_slot,
            root=root_of(position.frontier),
            operation=operation,
            type=kind,
            generation=keyring.generation,
            certificate=self._certificate(),
            packs=[pack.added for pack in packs],
            condemned=[],
            committed=[],
            purged=[],
            keys=current if keys is None else keys(position),
            state=state,
            state_slot=position.state_slot,
            sweep_slot=position.sweep_slot,
            time_ms=self._clock.now_ns() // _NS_PER_MS,
            features=[],
            handover=None,
            erased=erased,
        )

    def _certificate(self) -> Certificate:
        """Of the key that this client signs with; the store's first one is its own."""
        known = self._log.signers.certificate(self._keyring.generation)
        return known or Certificate(self._keyring.signer().public_bytes, 0, b"")


def _current(state: NewState, position: Position, registered: Sequence[FinishedPack]) -> list[bytes]:
    """All index packs that are current once the record is applied: the state's, and what came since its prefix."""
    known = set(state.index_packs)
    since = [name for name in position.index_packs if name not in known and name not in state.merged]
    own = [pack.added.name for pack in registered if pack.added.type == PackType.INDEX]
    return [*state.index_packs, *since, *(name for name in own if name not in known)]
