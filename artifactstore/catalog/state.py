"""Writing the state of a store after a prefix of its log, and starting a client from one.

Last state plus tail equals step by step: a state holds the catalog's rows as applying made them, the packs with
their numbers, and names the index packs that hold every chunk location.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, chain
from typing import Final, NamedTuple

from artifactstore.backend.base import Backend
from artifactstore.catalog.generation import decode_certificate
from artifactstore.clock import Randomness
from artifactstore.content.packs import (
    INDEX_ROWS_MAX,
    fetch_whole,
    index_packs,
    merged_rows,
    pack_up,
    read_segments,
    ref_of,
)
from artifactstore.errors import Damaged, NewerStore
from artifactstore.format.limits import SEGMENT_ROWS_MAX, STATE_CHUNK_BYTES_TARGET
from artifactstore.format.pack import PackType
from artifactstore.format.record import Clear, PackAdded, slot_name
from artifactstore.format.segment import Segment, decode_segment
from artifactstore.format.state import StateHead, StatePack, StateRows, decode_head, decode_rows, encode_state
from artifactstore.index.environment import Environment, ReadTransaction
from artifactstore.index.partial import set_unloaded, unloaded
from artifactstore.index.tables import (
    ALIASES,
    ARTIFACTS,
    BEGUN,
    CONDEMNED,
    DAMAGED,
    DENIED,
    EDGES,
    HANDOVERS,
    LINKS,
    NAMES,
    PARTS,
    PENDING,
    PURGED,
    RECEIPTS,
    RUNS,
    SETTINGS,
    SLOTS,
    VERSIONS,
    PackTable,
    Position,
    StoredPack,
    read_position,
    write_position,
)
from artifactstore.keyring.keyring import Keyring
from artifactstore.log.records import KNOWN_FEATURES, Opened
from artifactstore.log.signers import is_chain
from artifactstore.pack.reader import PackRef
from artifactstore.pack.writer import FinishedPack

_TABLES: Final = (
    ARTIFACTS,
    VERSIONS,
    ALIASES,
    PENDING,
    BEGUN,
    PARTS,
    DAMAGED,
    SLOTS,
    HANDOVERS,
    CONDEMNED,
    PURGED,
    SETTINGS,
    RECEIPTS,
    DENIED,
    RUNS,
    EDGES,
    NAMES,
    LINKS,
)
# A state is due when the records since the last one outgrow half of it, but never for less than this.
_TAIL_BYTES_MIN: Final = 64 << 10
# A new client reads so many records in one round trip, 60 data tiles, and those of the last tile in the next.
_TAIL_RECORDS_MAX: Final = 3840
# Whoever has no index looks into each index pack that the tail registers.
_TAIL_INDEX_PACKS_MAX: Final = 16
_PACK_ROWS: Final = 512
# Index packs of like size are merged when this many stand side by side.
_TIER_WIDTH: Final = 4


class NewState(NamedTuple):
    """Packs of a new state, to be stored and then named by a record.

    Attributes:
        prefix: What it holds everything before.
        state: The state's own packs, in order.
        indexes: New index packs that it relies on.
        index_packs: Names of all index packs that are current with it.
        merged: Names of those that it merged into new ones.
        known: Whether this client's index has the rows of the new ones.
    """

    prefix: int
    state: list[FinishedPack]
    indexes: list[FinishedPack]
    index_packs: list[bytes]
    merged: frozenset[bytes]
    known: bool


def state_due(position: Position) -> bool:
    """Whether the next record should name a new state."""
    records = position.next_slot - position.state_prefix
    return (
        records >= _TAIL_RECORDS_MAX
        or position.tail_index_packs >= _TAIL_INDEX_PACKS_MAX
        or position.tail_bytes > max(_TAIL_BYTES_MIN, position.state_bytes // 2)
    )


def make_state(
    backend: Backend,
    environment: Environment,
    packs: PackTable,
    keyring: Keyring,
    reread: Callable[[int, int], Iterable[Opened]],
    randomness: Randomness,
) -> NewState:
    """Make the state of everything the index has applied.

    Args:
        backend: Where index packs to be merged are read.
        environment: The client index, at the head.
        packs: Its pack table.
        keyring: Gives store id and keys.
        reread: Gives the records from one slot up to another: the inline rows of those since the last state go into
            an index pack.
        randomness: Makes pack keys.
    """
    # One view of the index for all of it: another process may apply further records meanwhile.
    with environment.read() as txn:
        position = read_position(txn)
        segments = tail_segments(txn, packs, position, reread)
        kept, merged = _tiers(txn, packs, position.index_packs)
        gone = frozenset(ref.sha256 for ref in merged)
        try:
            names, rows = merged_rows(chain(segments, read_segments(backend, keyring, merged)))
        except Damaged:
            # One of them can't be read: they stay as they are until a repair makes new ones.
            kept, gone = position.index_packs, frozenset()
            names, rows = merged_rows(segments)
        indexes = list(index_packs(keyring, names, rows, randomness))
        current = kept + [pack.added.name for pack in indexes]
        parts = state_parts(txn, packs, position, keyring, current)
        state = list(pack_up(keyring, PackType.STATE, parts, randomness))
        known = gone.isdisjoint(unloaded(txn))
    return NewState(position.next_slot, state, indexes, current, gone, known)


def tail_segments(
    txn: ReadTransaction,
    packs: PackTable,
    position: Position,
    reread: Callable[[int, int], Iterable[Opened]],
) -> list[Segment]:
    """The inline rows of the records since the last state.

    Raises:
        Damaged: A record that registered packs does not open any more; a state without its rows would lose them.
    """
    slots: set[int] = set()
    segments: list[Segment] = []
    for record in reread(position.state_prefix, position.next_slot):
        if record.sealed is not None:
            slots.add(record.slot)
            segments += [decode_segment(data, f"record {record.slot}") for data in record.sealed.rows]
    lost = {pack.slot for pack in packs.all(txn) if pack.slot >= position.state_prefix} - slots
    if lost:
        name = slot_name(min(lost))
        raise Damaged(f"{name} is gone or was altered since this client applied it", object=name)
    return segments


def _tiers(txn: ReadTransaction, packs: PackTable, names: list[bytes]) -> tuple[list[bytes], list[PackRef]]:
    """Split the current index packs into (names that stay, packs to merge).

    Of a tier that grew too wide, the oldest are merged, as many as one index pack holds. Those of the widest tiers
    are not: no two of them fit into one.
    """
    tiers: dict[int, list[StoredPack]] = {}
    for name in names:
        number = packs.number_of(txn, name)
        stored = None if number is None else packs.get(txn, number)
        if stored is None:
            raise Damaged(f"index pack {name.hex()} is not registered", object=name.hex())
        tiers.setdefault((_segments_in(stored) - 1).bit_length(), []).append(stored)
    merged: list[StoredPack] = []
    room = INDEX_ROWS_MAX // SEGMENT_ROWS_MAX
    for _, members in sorted(tiers.items()):
        sizes = list(accumulate(map(_segments_in, members)))
        fitting = bisect_right(sizes, room)
        if len(members) >= _TIER_WIDTH and fitting > 1:
            merged += members[:fitting]
            room -= sizes[fitting - 1]
    gone = {pack.added.name for pack in merged}
    return [name for name in names if name not in gone], [ref_of(pack) for pack in merged]


def _segments_in(index_pack: StoredPack) -> int:
    """A segment is one chunk, and the fan-out another."""
    return max(1, index_pack.added.count - 1)


def state_parts(
    txn: ReadTransaction, packs: PackTable, position: Position, keyring: Keyring, current: list[bytes]
) -> Iterator[bytes]:
    """Yield the encoded parts of the state of everything the index has applied.

    Args:
        txn: One view of the index.
        packs: Its pack table.
        position: Its position in that view.
        keyring: Gives the store's id.
        current: Names of the index packs that hold every chunk location.
    """
    return (encode_state(part) for part in _parts(txn, packs, position, keyring, current))


def _parts(
    txn: ReadTransaction, packs: PackTable, position: Position, keyring: Keyring, current: list[bytes]
) -> Iterator[StateHead | StateRows]:
    if position.parameters is None:
        raise Damaged("record 0 does not open, so the store's parameters are not known")
    yield StateHead(
        store_id=keyring.store_id,
        prefix=position.next_slot,
        frontier=position.frontier,
        generation=position.generation,
        keys=position.keys,
        sweep_slot=position.sweep_slot,
        features=[],
        index_packs=current,
        packs=position.packs,
        parameters=position.parameters,
    )
    batch: list[StatePack] = []
    for stored in packs.all(txn):
        batch.append(StatePack(stored.number, stored.added, stored.slot, stored.key))
        if len(batch) >= _PACK_ROWS:
            yield StateRows("packs", [], batch)
            batch = []
    if batch:
        yield StateRows("packs", [], batch)
    for table in _TABLES:
        rows: list[tuple[bytes, bytes]] = []
        size = 0
        for key, value in txn.scan(table):
            rows.append((bytes(key), bytes(value)))
            size += len(key) + len(value)
            if size >= STATE_CHUNK_BYTES_TARGET:
                yield StateRows(table, rows, [])
                rows, size = [], 0
        if rows:
            yield StateRows(table, rows, [])


def load_state(
    backend: Backend, environment: Environment, packs: PackTable, keyring: Keyring, named_in: Opened
) -> None:
    """Fill an index from the state that a record names, in place of what it has applied of the records before.

    Index packs that it has not loaded yet stay unloaded, and chunks are looked up in them one by one until somebody
    needs them all. Known chunks stay known: the state and the records before it number packs alike.

    Raises:
        Damaged: The state is missing, altered, or not what the record names.
    """
    clear, sealed = named_in.clear, named_in.sealed
    if clear is None or clear.state is None or sealed is None:
        raise Damaged(f"record {named_in.slot} names no state, or does not open")
    keys = {added.name: (added, key) for added, key in zip(clear.packs, sealed.pack_keys, strict=True)}
    where = f"the state of record {named_in.slot}"
    try:
        first, *rest = _state_chunks(backend, keyring, clear.state.packs, keys, where)
    except Damaged:
        if not clear.state.copy:
            raise
        first, *rest = _state_chunks(backend, keyring, clear.state.copy, keys, where)
    head = decode_head(first, where)
    if head.store_id != keyring.store_id or head.prefix != clear.state.prefix or head.prefix > named_in.slot:
        raise Damaged(f"{where} is of another store or prefix")
    unknown = sorted(set(head.features) - KNOWN_FEATURES)
    if unknown:
        raise NewerStore(f"{where} needs {', '.join(unknown)}", features=unknown)
    parts = [decode_rows(chunk, where) for chunk in rest]
    _check_handovers(parts, head, clear, where)
    index = {name for name, (added, _) in keys.items() if added.type == PackType.INDEX}
    for part in parts:
        index |= {row.added.name for row in part.packs if row.added.type == PackType.INDEX}
    for name in head.index_packs:
        if name not in index:
            raise Damaged(f"{where} names index pack {name.hex()}, which nothing registers")
    _fill(environment, packs, parts, _position(head))


def _state_chunks(
    backend: Backend,
    keyring: Keyring,
    names: Sequence[bytes],
    keys: Mapping[bytes, tuple[PackAdded, bytes]],
    where: str,
) -> list[bytes]:
    """The parts of a state, from the packs that its record names and registers."""
    refs: list[PackRef] = []
    for name in names:
        if name not in keys:
            raise Damaged(f"{where} lies in a pack that its record does not register")
        added, key = keys[name]
        refs.append(PackRef(name, PackType.STATE, added.size, key))
    return [chunk for _, chunks in fetch_whole(backend, keyring, refs) for chunk in chunks]


def _check_handovers(parts: Sequence[StateRows], head: StateHead, clear: Clear, where: str) -> None:
    """Make sure that the key which signs for a state has its own from the store's first one."""
    rows = [row for part in parts if part.table == HANDOVERS for row in part.rows]
    certificates = [decode_certificate(value, where) for _, value in rows]
    numbered = [int.from_bytes(key, "big") for key, _ in rows] == list(range(head.generation + 1))
    if not (
        numbered
        and head.generation == clear.signer
        and is_chain(certificates, head.store_id)
        and certificates[-1] == clear.certificate
    ):
        raise Damaged(f"{where} is not signed by a key that the store handed over to")


def _fill(environment: Environment, packs: PackTable, parts: Sequence[StateRows], position: Position) -> None:
    """Write a state's rows in two transactions, the position in the last.

    A fill that is cut leaves the position where it was and packs that are known early, and the next one writes the
    same rows again.
    """
    with environment.write() as txn:
        if read_position(txn).next_slot >= position.next_slot:
            return  # another process was faster
        for part in parts:
            for row in part.packs:
                if packs.number_of(txn, row.added.name) is None:
                    packs.add(txn, row.number, row.added, row.slot, row.key)
    with environment.write() as txn:
        before = read_position(txn)
        if before.next_slot >= position.next_slot:
            return
        for table in _TABLES:
            txn.clear(table)
        for part in parts:
            if part.rows and part.table in _TABLES:
                txn.put_many(part.table, part.rows)
        known = set(before.index_packs).difference(unloaded(txn))
        set_unloaded(txn, [name for name in position.index_packs if name not in known])
        write_position(txn, position)


def _position(head: StateHead) -> Position:
    return Position(
        next_slot=head.prefix,
        frontier=head.frontier,
        leaf=b"",
        state_slot=None,
        state_prefix=head.prefix,
        sweep_slot=head.sweep_slot,
        keys=head.keys,
        generation=head.generation,
        tail_bytes=0,
        tail_index_packs=0,
        state_bytes=0,
        packs=head.packs,
        index_packs=head.index_packs,
        parameters=head.parameters,
        intent_slot=None,
    )
