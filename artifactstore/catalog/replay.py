"""The applier: replays records into the client index, in transactions that several processes may race for.

A record registers packs, adds the chunk locations that it holds, and applies its operations, all in one transaction
with the position it leads to: last state plus tail equals step by step. Applying asks nothing of the backend: the index
packs that a record registers are left unloaded (`index.partial`).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

import msgspec

from artifactstore.backend.base import Backend
from artifactstore.catalog.apply import apply_operation, outcome_at
from artifactstore.catalog.generation import note_condemned, note_erased, put_certificate
from artifactstore.catalog.outcome import Cause, Outcome
from artifactstore.catalog.state import load_state
from artifactstore.format.operations import Operation
from artifactstore.format.pack import PackType
from artifactstore.format.record import Clear, RecordType
from artifactstore.format.segment import Segment, decode_segment
from artifactstore.index.environment import Environment, WriteTransaction
from artifactstore.index.partial import set_unloaded, unloaded
from artifactstore.index.tables import (
    PackTable,
    Position,
    add_segment,
    read_position,
    write_position,
)
from artifactstore.keyring.keyring import Keyring
from artifactstore.log.merkle import append
from artifactstore.log.records import Opened
from artifactstore.log.signers import handed_over

_NOTICES_MAX: Final = 100


class Catalog:
    """Replays one store's log into one client index.

    Args:
        backend: Where states lie.
        environment: The client index.
        packs: Its pack table.
        keyring: Opens states; gives the store's id.
        notices: Sentences for the user; an operation that is skipped adds one.

    Thread-safe: each record is applied in one write transaction.
    """

    def __init__(
        self,
        backend: Backend,
        environment: Environment,
        packs: PackTable,
        keyring: Keyring,
        notices: list[str],
    ) -> None:
        self._backend = backend
        self._environment = environment
        self._packs = packs
        self._keyring = keyring
        self._notices = notices
        self._own: dict[bytes, Segment | None] = {}

    def position(self) -> Position:
        """How much of the log is applied."""
        with self._environment.read() as txn:
            return read_position(txn)

    def outcomes(self, slot: int, operations: Sequence[Operation]) -> list[Outcome]:
        """What the operations of the applied record at `slot` did, whichever process applied it."""
        with self._environment.read() as txn:
            return [outcome_at(txn, operation, slot) for operation in operations]

    @contextmanager
    def knowing(self, rows: Mapping[bytes, Segment | None]) -> Iterator[None]:
        """While a record of this client is claimed: what the index packs that it registers hold.

        Args:
            rows: By name of an index pack the rows to add when it is applied; None where the index has them already.
        """
        self._own |= rows
        try:
            yield
        finally:
            for name in rows:
                self._own.pop(name, None)

    def apply(self, records: Sequence[Opened]) -> None:
        """Apply neighbouring records; those before the position are passed over."""
        prepared = [(record, _inline_segments(record)) for record in records]
        with self._environment.write() as txn:
            position = read_position(txn)
            for record, segments in prepared:
                if record.slot == position.next_slot:
                    position = self._apply_one(txn, position, record, segments)
            write_position(txn, position)

    def load_state(self, named_in: Opened) -> None:
        """Start from the state that a record names, in place of all that was applied before it."""
        load_state(self._backend, self._environment, self._packs, self._keyring, named_in)

    def _apply_one(
        self, txn: WriteTransaction, position: Position, record: Opened, segments: list[Segment]
    ) -> Position:
        clear, sealed = record.clear, record.sealed
        numbers = position.packs
        if clear is not None:
            _note_generation(txn, clear)
        if clear is not None and sealed is not None:
            for added, key in zip(clear.packs, sealed.pack_keys, strict=True):
                number = self._packs.number_of(txn, added.name)
                if number is None:
                    number = numbers
                    self._packs.add(txn, number, added, record.slot, key)
                # One that is known already was written by a process that loaded a newer state, under the same number.
                numbers = max(numbers, number + 1)
            for segment in segments:
                add_segment(txn, self._packs, segment)
            self._note_index_packs(txn, [added.name for added in clear.packs if added.type == PackType.INDEX])
            if sealed.index_packs is not None:
                current = set(sealed.index_packs)
                set_unloaded(txn, [name for name in unloaded(txn) if name in current])
            cause = Cause(record.slot, clear.time_ms, sealed.member, self._keyring.name_key())
            for operation in sealed.operations:
                self._tell(record.slot, apply_operation(txn, operation, cause).skipped)
        return _after(position, record, numbers)

    def _tell(self, slot: int, skipped: str) -> None:
        if skipped and len(self._notices) < _NOTICES_MAX:
            self._notices.append(f"an operation of record {slot} was skipped: {skipped}")

    def _note_index_packs(self, txn: WriteTransaction, names: Sequence[bytes]) -> None:
        """Leave a record's index packs unloaded, but for those of which this very client has the rows."""
        rest = unloaded(txn)
        for name in names:
            if name not in self._own:
                rest.append(name)
            elif (rows := self._own[name]) is not None:
                add_segment(txn, self._packs, rows)
        if names:
            set_unloaded(txn, list(dict.fromkeys(rest)))


def _note_generation(txn: WriteTransaction, clear: Clear) -> None:
    """What a record says, in clear, of signing keys and of objects that were given up."""
    if clear.slot == 0:
        put_certificate(txn, 0, clear.certificate)
    if clear.handover is not None:
        put_certificate(txn, clear.generation, handed_over(clear))
        note_condemned(txn, clear.condemned, clear.slot)
    if clear.erased is not None:
        note_erased(txn, clear.erased)


def _inline_segments(record: Opened) -> list[Segment]:
    """The index rows that lie in the record itself."""
    rows = [] if record.sealed is None else record.sealed.rows
    return [decode_segment(data, f"record {record.slot}") for data in rows]


def _after(position: Position, record: Opened, packs: int) -> Position:
    """The position after one more slot."""
    clear = record.clear
    intent_slot = position.intent_slot
    if clear is not None and clear.type == RecordType.INTENT:
        intent_slot = record.slot
    elif clear is not None and clear.handover is not None:
        intent_slot = None
    names_state = clear is not None and clear.state is not None
    state_bytes, index_packs = position.state_bytes, position.index_packs
    made = 0
    if clear is not None and record.sealed is not None:
        names = [added.name for added in clear.packs if added.type == PackType.INDEX]
        made = len(names)
        index_packs = record.sealed.index_packs or index_packs + [
            name for name in names if name not in index_packs
        ]
    if clear is not None and clear.state is not None:
        named = set(clear.state.packs)
        state_bytes = sum(added.size for added in clear.packs if added.name in named)
    return msgspec.structs.replace(
        position,
        next_slot=record.slot + 1,
        frontier=append(position.frontier, record.slot, record.leaf),
        leaf=record.leaf,
        state_slot=record.slot if names_state else position.state_slot,
        state_prefix=clear.state.prefix
        if clear is not None and clear.state is not None
        else position.state_prefix,
        sweep_slot=record.slot if clear is not None and clear.handover is not None else position.sweep_slot,
        keys=position.keys if clear is None else clear.keys,
        generation=position.generation if clear is None else clear.generation,
        tail_bytes=0 if names_state else position.tail_bytes + record.size,
        tail_index_packs=0 if names_state else position.tail_index_packs + made,
        state_bytes=state_bytes,
        packs=packs,
        index_packs=index_packs,
        parameters=record.sealed.parameters if record.slot == 0 and record.sealed else position.parameters,
        intent_slot=intent_slot,
    )
