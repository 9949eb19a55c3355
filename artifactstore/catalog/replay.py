"""The applier: replays records into the client index, in transactions that several processes may race for.

A record registers packs, adds their chunk locations, and applies its operations, all in one transaction with the
position it leads to: last state plus tail equals step by step.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

import msgspec

from artifactstore.backend.base import Backend
from artifactstore.catalog.apply import apply_operation, outcome_at
from artifactstore.catalog.outcome import Cause, Outcome
from artifactstore.catalog.state import load_state
from artifactstore.content.packs import INDEXED_TYPES, footer_segments, read_segments
from artifactstore.errors import Damaged
from artifactstore.format.operations import Operation, Sealed
from artifactstore.format.pack import PackType
from artifactstore.format.record import Clear
from artifactstore.format.segment import Segment, decode_segment
from artifactstore.index.environment import Environment, WriteTransaction
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
from artifactstore.pack.reader import PackRef

_NOTICES_MAX: Final = 100


class Catalog:
    """Replays one store's log into one client index.

    Args:
        backend: Where index packs and states lie.
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

    def position(self) -> Position:
        """How much of the log is applied."""
        with self._environment.read() as txn:
            return read_position(txn)

    def outcomes(self, slot: int, operations: Sequence[Operation]) -> list[Outcome]:
        """What the operations of the applied record at `slot` did, whichever process applied it."""
        with self._environment.read() as txn:
            return [outcome_at(txn, operation, slot) for operation in operations]

    def apply(self, records: Sequence[Opened]) -> None:
        """Apply neighbouring records; those before the position are passed over."""
        prepared = [(record, self._segments(record)) for record in records]
        with self._environment.write() as txn:
            position = read_position(txn)
            for record, segments in prepared:
                if record.slot == position.next_slot:
                    position = self._apply_one(txn, position, record, segments)
            write_position(txn, position)

    def load_state(self, named_in: Opened) -> None:
        """Start from the state that a record names, when nothing is applied yet."""
        load_state(self._backend, self._environment, self._packs, self._keyring, named_in)

    def _apply_one(
        self, txn: WriteTransaction, position: Position, record: Opened, segments: list[Segment]
    ) -> Position:
        clear, sealed = record.clear, record.sealed
        numbers = position.packs
        if clear is not None and sealed is not None:
            for added, key in zip(clear.packs, sealed.pack_keys, strict=True):
                if self._packs.number_of(txn, added.name) is None:
                    self._packs.add(txn, numbers, added, record.slot, key)
                    numbers += 1
            for segment in segments:
                add_segment(txn, self._packs, segment)
            cause = Cause(record.slot, clear.time_ms, sealed.member)
            for operation in sealed.operations:
                self._tell(record.slot, apply_operation(txn, operation, cause).skipped)
        return _after(position, record, numbers)

    def _tell(self, slot: int, skipped: str) -> None:
        if skipped and len(self._notices) < _NOTICES_MAX:
            self._notices.append(f"an operation of record {slot} was skipped: {skipped}")

    def _segments(self, record: Opened) -> list[Segment]:
        """The index rows of a record's packs, inline or from its index packs; read outside the transaction."""
        clear, sealed = record.clear, record.sealed
        if clear is None or sealed is None:
            return []
        where = f"record {record.slot}"
        segments = [decode_segment(data, where) for data in sealed.rows]
        for added, key in zip(clear.packs, sealed.pack_keys, strict=True):
            if added.type == PackType.INDEX:
                ref = PackRef(added.name, PackType.INDEX, added.size, key)
                try:
                    segments += read_segments(self._backend, self._keyring, ref)
                except Damaged as error:
                    self._notices.append(f"{error.message}; the footers of the packs give the same")
                    return segments + self._footers(clear, sealed)
        return segments

    def _footers(self, clear: Clear, sealed: Sealed) -> list[Segment]:
        """The index rows of a record's packs by their footers; of a pack that has lost its own there are none."""
        segments: list[Segment] = []
        for added, key in zip(clear.packs, sealed.pack_keys, strict=True):
            if added.type in INDEXED_TYPES:
                ref = PackRef(added.name, PackType(added.type), added.size, key)
                with suppress(Damaged):
                    segments += footer_segments(self._backend, self._keyring, ref)
        return segments


def _after(position: Position, record: Opened, packs: int) -> Position:
    """The position after one more slot."""
    clear = record.clear
    names_state = clear is not None and clear.state is not None
    state_bytes, index_packs = position.state_bytes, position.index_packs
    if clear is not None and record.sealed is not None:
        made = [added.name for added in clear.packs if added.type == PackType.INDEX]
        index_packs = record.sealed.index_packs or index_packs + [
            name for name in made if name not in index_packs
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
        keys=position.keys if clear is None else clear.keys,
        tail_bytes=0 if names_state else position.tail_bytes + record.size,
        state_bytes=state_bytes,
        packs=packs,
        index_packs=index_packs,
        parameters=record.sealed.parameters if record.slot == 0 and record.sealed else position.parameters,
    )
