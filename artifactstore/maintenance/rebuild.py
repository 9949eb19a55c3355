"""A new state and new index packs from the packs themselves, where those that newcomers start from are unreadable.

A pack's footer gives its index rows again; of a pack that has lost its own, the client index still knows them. Memory
is bounded by one index pack's rows at a time, whatever the store holds.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Final

from artifactstore.backend.base import Backend
from artifactstore.catalog.state import NewState, state_parts
from artifactstore.clock import Randomness
from artifactstore.content.packs import (
    INDEX_ROWS_MAX,
    INDEXED_TYPES,
    footer_segments,
    index_packs,
    merged_rows,
    pack_up,
    ref_of,
)
from artifactstore.errors import Damaged
from artifactstore.executors import Executors
from artifactstore.format.pack import PackType
from artifactstore.format.segment import ROW, Segment, decode_segment, split_rows
from artifactstore.index.environment import Environment
from artifactstore.index.tables import PackTable, StoredPack, read_position, rows_in
from artifactstore.keyring.keyring import Keyring
from artifactstore.pack.writer import FinishedPack

_FOOTERS_IN_FLIGHT: Final = 32


def rebuilt_state(
    backend: Backend,
    environment: Environment,
    packs: PackTable,
    keyring: Keyring,
    executors: Executors,
    randomness: Randomness,
) -> NewState:
    """Make the state of everything the index has applied, with index packs that rely on no other.

    Args:
        backend: Where footers are read.
        environment: The client index, at the head.
        packs: Its pack table.
        keyring: Gives store id and keys.
        executors: `io` reads footers.
        randomness: Makes pack keys.
    """
    # One view of the index for all of it: another process may apply further records meanwhile.
    with environment.read() as txn:
        position = read_position(txn)
        known = [pack for pack in packs.all(txn) if pack.added.type in INDEXED_TYPES]
        indexes: list[FinishedPack] = []
        for segments in _groups(_segments(backend, environment, keyring, executors, known)):
            indexes += index_packs(keyring, *merged_rows(segments), randomness)
        current = [pack.added.name for pack in indexes]
        parts = state_parts(txn, packs, position, keyring, current)
        state = list(pack_up(keyring, PackType.STATE, parts, randomness))
    gone = frozenset(position.index_packs)
    return NewState(position.next_slot, state, indexes, current, gone, known=False)


def _segments(
    backend: Backend,
    environment: Environment,
    keyring: Keyring,
    executors: Executors,
    known: list[StoredPack],
) -> Iterator[list[Segment]]:
    """The rows of each pack, by its footer or by the index."""

    def rows_of(pack: StoredPack) -> list[Segment]:
        try:
            return footer_segments(backend, keyring, ref_of(pack))
        except Damaged:
            return _remembered(environment, pack)

    window: deque[Future[list[Segment]]] = deque()
    for pack in known:
        window.append(executors.io.submit(rows_of, pack))
        if len(window) >= _FOOTERS_IN_FLIGHT:
            yield window.popleft().result()
    while window:
        yield window.popleft().result()


def _remembered(environment: Environment, pack: StoredPack) -> list[Segment]:
    with environment.read() as txn:
        rows = sorted(ROW.pack(prefix, 0, *location[1:]) for prefix, location in rows_in(txn, pack.number))
    return [decode_segment(data, "the index") for _, data in split_rows([pack.added.name], rows)]


def _groups(segments: Iterator[list[Segment]]) -> Iterator[list[Segment]]:
    """Segments together until they fill an index pack."""
    group: list[Segment] = []
    rows = 0
    for some in segments:
        group += some
        rows += sum(len(segment.rows) // ROW.size for segment in some)
        if rows >= INDEX_ROWS_MAX:
            yield group
            group, rows = [], 0
    if group:
        yield group
