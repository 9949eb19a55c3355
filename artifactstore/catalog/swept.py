"""The state after a sweep: everything that the index has applied, without what is purged and condemned.

It is made by purging in a transaction of the index that is then given up, so that what everybody will start from comes
of the same rules as everything else. Index packs that name condemned packs are written anew without them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from artifactstore.backend.base import Backend
from artifactstore.catalog.begun import drop_begun, forget_ended
from artifactstore.catalog.generation import Purged
from artifactstore.catalog.pending import drop_pending
from artifactstore.catalog.purging import purge_versions
from artifactstore.catalog.receipts import FinishedDraft, put_receipts
from artifactstore.catalog.rows import move_slot
from artifactstore.catalog.runs import kill_run
from artifactstore.catalog.state import state_parts, tail_segments
from artifactstore.clock import Randomness
from artifactstore.content.packs import (
    INDEX_ROWS_MAX,
    index_packs,
    merged_groups,
    pack_up,
    read_segments,
    ref_of,
)
from artifactstore.errors import Damaged
from artifactstore.format.pack import PackType
from artifactstore.format.segment import Segment
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import Environment, ReadTransaction, WriteTransaction
from artifactstore.index.tables import PackTable, Position, StoredPack, read_position
from artifactstore.keyring.keyring import Keyring
from artifactstore.log.records import Opened
from artifactstore.pack.writer import FinishedPack


class Sweeping(NamedTuple):
    """What a sweep takes out.

    Attributes:
        purged: Versions.
        condemned: Names of packs.
        expired: Ids of pushes.
        moved: Slot keys that go, by id: None, or the id of the slot key that takes its place.
        time_ms: When.
        drafts: Of the receipts that it issues.
        killed: Runs that gave no sign of life any more, each with the time of the last one in milliseconds.
    """

    purged: Sequence[tuple[ArtifactName, int]]
    condemned: frozenset[bytes]
    expired: Sequence[bytes]
    moved: Mapping[bytes, bytes | None]
    time_ms: int
    drafts: Sequence[FinishedDraft]
    killed: Sequence[tuple[bytes, int]]


class SweptState(NamedTuple):
    """Packs of the state after a sweep, to be stored and then named by its record.

    Attributes:
        prefix: It holds everything before this slot, which is the sweep's own.
        state: Its packs, in order.
        copy: The packs of the same, sealed anew.
        indexes: New index packs.
        index_packs: Names of all index packs that are current with it.
        stale: Names of states and index packs that nothing needs after it.
    """

    prefix: int
    state: list[FinishedPack]
    copy: list[FinishedPack]
    indexes: list[FinishedPack]
    index_packs: list[bytes]
    stale: frozenset[bytes]


def swept_state(
    backend: Backend,
    environment: Environment,
    packs: PackTable,
    keyring: Keyring,
    reread: Callable[[int, int], Iterable[Opened]],
    randomness: Randomness,
    sweeping: Sweeping,
    added: Sequence[FinishedPack],
) -> SweptState:
    """Make the state after a sweep at the next slot.

    Args:
        backend: Where index packs are read.
        environment: The client index, complete and at the head.
        packs: Its pack table.
        keyring: Gives store id and keys.
        reread: As for `make_state`.
        randomness: Makes pack keys.
        sweeping: What is taken out.
        added: Packs that the sweep's record registers; their rows go into index packs.

    Raises:
        Damaged: An index pack can't be read, or a record since the last state is gone.
        HeadMoved: The index is further than when this began.
    """
    with environment.read() as txn:
        position = read_position(txn)
        current = [_registered(txn, packs, name) for name in position.index_packs]
        segments = tail_segments(txn, packs, position, reread)
    own = [Segment([pack.added.name], pack.rows) for pack in added if pack.rows]
    indexes: list[FinishedPack] = []
    before = _Indexes(backend, keyring, current, sweeping.condemned)
    rest = chain(segments, own, before.rewritten())
    for group in merged_groups(rest, sweeping.condemned, INDEX_ROWS_MAX):
        indexes += index_packs(keyring, *group, randomness)
    kept = before.kept
    named = kept + [pack.added.name for pack in indexes]
    with environment.read() as txn:
        stale = _stale(txn, packs, set(kept))
    gone = sweeping._replace(condemned=sweeping.condemned | stale)
    chunks = _parts(environment, packs, keyring, gone, position, named)
    state, copy = (list(pack_up(keyring, PackType.STATE, chunks, randomness)) for _ in range(2))
    return SweptState(position.next_slot, state, copy, indexes, named, stale)


def _stale(txn: ReadTransaction, packs: PackTable, kept: set[bytes]) -> frozenset[bytes]:
    """Names of all states so far, and of index packs that are current no more."""
    return frozenset(
        pack.added.name
        for pack in packs.listed(txn)
        if pack.added.type == PackType.STATE
        or (pack.added.type == PackType.INDEX and pack.added.name not in kept)
    )


class HeadMoved(Exception):
    """Another process applied further records to the index meanwhile."""


def _parts(
    environment: Environment,
    packs: PackTable,
    keyring: Keyring,
    sweeping: Sweeping,
    position: Position,
    current: list[bytes],
) -> list[bytes]:
    """The encoded parts of the state, with everything purged; the index stays as it is."""
    with environment.write() as txn:
        if read_position(txn).next_slot != position.next_slot:
            raise HeadMoved
        _take_out(txn, packs, keyring, sweeping, position.next_slot)
        parts = list(state_parts(txn, packs, position, keyring, current))
        txn.give_up()
    return parts


def _take_out(
    txn: WriteTransaction, packs: PackTable, keyring: Keyring, sweeping: Sweeping, slot: int
) -> None:
    purge_versions(txn, sweeping.purged, keyring.name_key(), Purged(slot, sweeping.time_ms))
    for name in sweeping.condemned:
        packs.remove(txn, name)
    for push in sweeping.expired:
        drop_pending(txn, push)
        drop_begun(txn, push)
    forget_ended(txn, sweeping.time_ms)
    for run, time_ms in sweeping.killed:
        kill_run(txn, run, time_ms)
    put_receipts(txn, slot, sweeping.drafts)
    for old, new in sweeping.moved.items():
        move_slot(txn, old, new)


def _registered(txn: ReadTransaction, packs: PackTable, name: bytes) -> StoredPack:
    number = packs.number_of(txn, name)
    stored = None if number is None else packs.get(txn, number)
    if stored is None:
        raise Damaged(f"index pack {name.hex()} is not registered", object=name.hex())
    return stored


class _Indexes:
    """The index packs before a sweep.

    Attributes:
        kept: Names of those that name no condemned pack, once the segments of the others were taken.
    """

    def __init__(
        self, backend: Backend, keyring: Keyring, packs: Iterable[StoredPack], condemned: frozenset[bytes]
    ) -> None:
        self._backend = backend
        self._keyring = keyring
        self._packs = packs
        self._condemned = condemned
        self.kept: list[bytes] = []

    def rewritten(self) -> Iterator[Segment]:
        """The segments of those that name a condemned pack; of what names nothing else, no row was looked at."""
        for pack in self._packs:
            segments = list(read_segments(self._backend, self._keyring, [ref_of(pack)], self._condemned))
            if all(self._condemned.isdisjoint(segment.packs) for segment in segments):
                self.kept.append(pack.added.name)
            else:
                yield from segments
