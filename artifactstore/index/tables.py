"""The engine's tables in the client index: packs, chunk locations, and where in the log the index stands.

Rebuildable, never the truth. Pack keys lie here sealed under a key derived from the generation's KEK, so that an
index without a key file opens nothing. Everything that applies a record does so in one write transaction that
begins by reading the position: several processes may share one index.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import msgspec

from artifactstore.crypto.aead import Aead, counter_nonce
from artifactstore.format.coding import decoder_of, encode
from artifactstore.format.limits import CID_PREFIX_BYTES
from artifactstore.format.operations import Parameters
from artifactstore.format.record import PackAdded
from artifactstore.format.segment import ROW, ROW_TAIL, Location, Segment
from artifactstore.index.environment import Environment, ReadTransaction, WriteTransaction

META: Final = "meta"
CHUNKS: Final = "chunks"
PACKS: Final = "packs"
PACK_NAMES: Final = "pack_names"
STAT: Final = "stat"
ARTIFACTS: Final = "artifacts"
VERSIONS: Final = "versions"
ALIASES: Final = "aliases"
PENDING: Final = "pending"
BEGUN: Final = "begun"
PARTS: Final = "parts"
DAMAGED: Final = "damaged"
SLOTS: Final = "slots"
READ: Final = "read"
FOOTERS: Final = "footers"
HANDOVERS: Final = "handovers"
CONDEMNED: Final = "condemned"
PURGED: Final = "purged"
SETTINGS: Final = "settings"
RECEIPTS: Final = "receipts"
DENIED: Final = "denied"
RUNS: Final = "runs"
EDGES: Final = "edges"
NAMES: Final = "names"
LINKS: Final = "links"
TABLES: Final = (
    META,
    CHUNKS,
    PACKS,
    PACK_NAMES,
    STAT,
    ARTIFACTS,
    VERSIONS,
    ALIASES,
    PENDING,
    BEGUN,
    PARTS,
    DAMAGED,
    SLOTS,
    READ,
    FOOTERS,
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

LAYOUT: Final = 9
_POSITION: Final = b"position"
_FACTS: Final = b"facts"


class Position(msgspec.Struct, array_like=True, frozen=True):
    """How much of the log is applied.

    Attributes:
        next_slot: The first slot that is not.
        frontier: Merkle frontier over the slots before it: one hash for each set bit, largest subtree first.
        leaf: Leaf of the last slot applied; empty where a state came instead of it.
        state_slot: Slot of the last record that names a state.
        state_prefix: What that state holds everything before.
        sweep_slot: Slot of the last sweep.
        keys: Names of the current `keys/` objects.
        generation: The current generation.
        tail_bytes: Bytes of the records since the last state's prefix.
        tail_index_packs: Index packs that those records registered.
        state_bytes: Bytes of the last state.
        packs: Packs registered so far; the next one gets this number.
        index_packs: Names of the current index packs, oldest first.
        parameters: What record 0 fixed for the store; None before it is applied.
        intent_slot: Slot of the last intent to sweep that no sweep has followed yet.
    """

    next_slot: int
    frontier: list[bytes]
    leaf: bytes
    state_slot: int | None
    state_prefix: int
    sweep_slot: int | None
    keys: list[bytes]
    generation: int
    tail_bytes: int
    tail_index_packs: int
    state_bytes: int
    packs: int
    index_packs: list[bytes]
    parameters: Parameters | None
    intent_slot: int | None


START: Final = Position(0, [], b"", None, 0, None, [], 0, 0, 0, 0, 0, [], None, None)


class Facts(msgspec.Struct, array_like=True, frozen=True):
    """What must fit before an index is used at all: layout, store, and the salt its pack keys are sealed with."""

    layout: int
    store_id: bytes
    salt: bytes


class PackRow(msgspec.Struct, array_like=True, frozen=True):
    """One registered pack.

    Attributes:
        sha256: Its name.
        type: What its chunks are.
        size: Its bytes.
        count: Its chunks.
        trailer: SHA-256 of its trailer.
        slot: The record that registered it.
        sealed_key: Its key, sealed under the index's wrapping key with the pack's number as nonce.
    """

    sha256: bytes
    type: int
    size: int
    count: int
    trailer: bytes
    slot: int
    sealed_key: bytes


class StoredPack(NamedTuple):
    """A pack row with its number and its key opened."""

    number: int
    added: PackAdded
    slot: int
    key: bytes


class ListedPack(NamedTuple):
    """A registered pack without what opens it: its number, what its record says, and the record's slot."""

    number: int
    added: PackAdded
    slot: int


_decode_position = decoder_of(Position, "the index position")
_decode_facts = decoder_of(Facts, "the index facts")
_decode_pack = decoder_of(PackRow, "a pack row")


def read_facts(txn: ReadTransaction) -> Facts | None:
    """What the index says it is, or None for an empty one."""
    data = txn.get(META, _FACTS)
    return None if data is None else _decode_facts(data, "index")


def write_facts(txn: WriteTransaction, facts: Facts) -> None:
    """Say what the index is."""
    txn.put(META, _FACTS, encode(facts))


def read_position(txn: ReadTransaction) -> Position:
    """How much of the log the index has applied."""
    data = txn.get(META, _POSITION)
    return START if data is None else _decode_position(data, "index")


def write_position(txn: WriteTransaction, position: Position) -> None:
    """Set how much of the log is applied."""
    txn.put(META, _POSITION, encode(position))


class PackTable:
    """Packs by number and by name.

    Args:
        wrapping: Seals pack keys at rest; derived from the KEK and this index's salt.
    """

    def __init__(self, wrapping: Aead) -> None:
        self._wrapping = wrapping

    def add(self, txn: WriteTransaction, number: int, added: PackAdded, slot: int, key: bytes) -> None:
        """Register a pack under `number`."""
        sealed = self._wrapping.seal(counter_nonce(number), key, added.name)
        row = PackRow(added.name, added.type, added.size, added.count, added.trailer, slot, sealed)
        txn.put(PACKS, number.to_bytes(4, "big"), encode(row))
        txn.put(PACK_NAMES, added.name, number.to_bytes(4, "big"))

    def remove(self, txn: WriteTransaction, name: bytes) -> None:
        """Forget a pack, and that it was damaged; its number is not given again."""
        number = self.number_of(txn, name)
        if number is not None:
            txn.delete(PACKS, number.to_bytes(4, "big"))
            txn.delete(PACK_NAMES, name)
            txn.delete(DAMAGED, name)

    def number_of(self, txn: ReadTransaction, name: bytes) -> int | None:
        """The number of the pack with that SHA-256."""
        found = txn.get(PACK_NAMES, name)
        return None if found is None else int.from_bytes(found, "big")

    def get(self, txn: ReadTransaction, number: int) -> StoredPack | None:
        """One pack by number."""
        data = txn.get(PACKS, number.to_bytes(4, "big"))
        return None if data is None else self._opened(number, data)

    def all(self, txn: ReadTransaction) -> Iterator[StoredPack]:
        """Every pack, by number."""
        for key, data in txn.scan(PACKS):
            yield self._opened(int.from_bytes(key, "big"), data)

    def listed(self, txn: ReadTransaction) -> Iterator[ListedPack]:
        """Every pack, by number, as far as is said without its key: a third of the time of `all`."""
        for key, data in txn.scan(PACKS):
            yield _listed(key, data)

    def named(self, txn: ReadTransaction, name: bytes) -> ListedPack | None:
        """The pack with that SHA-256, as far as is said without its key."""
        key = txn.get(PACK_NAMES, name)
        data = None if key is None else txn.get(PACKS, key)
        return None if key is None or data is None else _listed(key, data)

    def _opened(self, number: int, data: bytes) -> StoredPack:
        row = _decode_pack(data, "index")
        key = self._wrapping.open(counter_nonce(number), row.sealed_key, row.sha256)
        return StoredPack(
            number, PackAdded(row.sha256, row.type, row.size, row.count, row.trailer), row.slot, key
        )


def _listed(key: bytes, data: bytes) -> ListedPack:
    row = _decode_pack(data, "index")
    added = PackAdded(row.sha256, row.type, row.size, row.count, row.trailer)
    return ListedPack(int.from_bytes(key, "big"), added, row.slot)


def add_locations(txn: WriteTransaction, rows: bytes, numbers: Sequence[int]) -> int:
    """Add segment rows, whose pack is a position in `numbers`; return how many chunks were new.

    A chunk may have several locations; all live ones are kept, by pack number, so that no order of adding shows.
    """
    added: list[tuple[bytes, bytes]] = []
    fresh = 0
    heads = [number.to_bytes(4, "big") for number in numbers]
    last = b""
    for at in range(0, len(rows), ROW.size):
        prefix = rows[at : at + CID_PREFIX_BYTES]
        head = heads[int.from_bytes(rows[at + 16 : at + 20], "big")]
        tail = head + rows[at + 20 : at + ROW.size]
        known = added.pop()[1] if prefix == last else txn.get(CHUNKS, prefix)
        if known is None:
            fresh += 1
            known = b""
        if not known:
            known = tail
        elif tail not in (tails := _tails(known)):
            known = b"".join(sorted([*tails, tail]))
        added.append((prefix, known))
        last = prefix
    txn.put_many(CHUNKS, added)
    return fresh


def add_segment(txn: WriteTransaction, packs: PackTable, segment: Segment) -> None:
    """Add a segment's rows under this index's own pack numbers; one that names an unregistered pack adds nothing."""
    numbers = [packs.number_of(txn, name) for name in segment.packs]
    known = [number for number in numbers if number is not None]
    if len(known) == len(numbers):
        add_locations(txn, segment.rows, known)


def _tails(value: bytes) -> list[bytes]:
    return [value[at : at + ROW_TAIL.size] for at in range(0, len(value), ROW_TAIL.size)]


def locations(txn: ReadTransaction, cid: bytes) -> list[Location]:
    """All known locations of a chunk, by number of the pack in this index; those in damaged packs come last."""
    value = txn.get(CHUNKS, cid[:CID_PREFIX_BYTES])
    found = [] if value is None else [Location(*tail) for tail in ROW_TAIL.iter_unpack(value)]
    if len(found) > 1 and (damaged := damaged_numbers(txn)):
        found.sort(key=lambda location: location.pack in damaged)
    return found


def packs_of(row: bytes) -> list[int]:
    """Numbers of the packs in which a chunk lies, by its row; nearly every chunk lies once."""
    if len(row) == ROW_TAIL.size:
        return [int.from_bytes(row[:4], "big")]
    return [pack for pack, *_ in ROW_TAIL.iter_unpack(row)]


def rows_in(txn: ReadTransaction, pack: int) -> Iterator[tuple[bytes, Location]]:
    """The chunks of one pack as (first 16 bytes of the cid, location), found by a look at all that there are."""
    for prefix, value in txn.scan(CHUNKS):
        for tail in ROW_TAIL.iter_unpack(value):
            if tail[0] == pack:
                yield bytes(prefix), Location(*tail)


def mark_damaged(txn: WriteTransaction, names: Iterable[bytes], slot: int) -> None:
    """Take packs out of dedup, as the record at `slot` says; names that are not registered are passed over."""
    for name in names:
        if txn.get(PACK_NAMES, name) is not None:
            txn.put(DAMAGED, name, slot.to_bytes(8, "big"))


def mark_whole(txn: WriteTransaction, names: Iterable[bytes]) -> None:
    """Take packs back into dedup."""
    txn.delete_many(DAMAGED, names)


def damaged_packs(txn: ReadTransaction) -> dict[bytes, int]:
    """Names of the packs that records say are damaged, with the slot of the last one that does."""
    return {bytes(name): int.from_bytes(slot, "big") for name, slot in txn.scan(DAMAGED)}


def damaged_numbers(txn: ReadTransaction) -> frozenset[int]:
    """The numbers of the damaged packs; there are none in nearly every store, which costs one look."""
    if not txn.count(DAMAGED):
        return frozenset()
    rows = txn.get_many(PACK_NAMES, [bytes(name) for name, _ in txn.scan(DAMAGED)])
    return frozenset(int.from_bytes(number, "big") for _, number in rows)


def holders(environment: Environment, cids: Iterable[bytes]) -> list[int | None]:
    """For each chunk the number of a pack that holds it and is not damaged, or None; one transaction for all."""
    with environment.read() as txn:
        damaged = damaged_numbers(txn)
        found = [(at.pack for at in locations(txn, cid) if at.pack not in damaged) for cid in cids]
        return [next(packs, None) for packs in found]


def pack_names(txn: ReadTransaction, numbers: Iterable[int]) -> list[bytes]:
    """Names of the packs with these numbers."""
    rows = [txn.get(PACKS, number.to_bytes(4, "big")) for number in numbers]
    return [_decode_pack(row, "index").sha256 for row in rows if row is not None]


def known_chunks(environment: Environment, cids: Iterable[bytes]) -> list[bool]:
    """Whether each chunk lies in a pack that is not damaged; one transaction for all of them."""
    with environment.read() as txn:
        known = presence(txn)
        return [known(cid[:CID_PREFIX_BYTES]) for cid in cids]


def presence(txn: ReadTransaction) -> Callable[[bytes], bool]:
    """A test, for loops, of whether the chunk with these first 16 bytes lies in a pack that is not damaged."""
    get = txn.getter(CHUNKS)
    damaged = damaged_numbers(txn)
    if not damaged:
        return lambda prefix: get(prefix) is not None

    def lies_whole(prefix: bytes) -> bool:
        value = get(prefix)
        return value is not None and any(pack not in damaged for pack in packs_of(value))

    return lies_whole
