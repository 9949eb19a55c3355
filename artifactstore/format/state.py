"""The state: what the store is after a prefix of the log, so that nobody has to replay it from the start.

A state is the chunks of its packs in order: first a `StateHead`, then `StateRows` table by table. Rows are sorted by
key. Pack keys lie in it open: the state's own pack key, sealed in the record that names it, guards them.
"""

import msgspec

from artifactstore.format.coding import decoder_of, encode
from artifactstore.format.record import PackAdded


class StateHead(msgspec.Struct, array_like=True, frozen=True):
    """What stands before the rows.

    Attributes:
        store_id: The store's id.
        prefix: The state holds everything before this slot.
        frontier: Merkle frontier over that prefix.
        generation: The generation at the prefix.
        keys: Names of the current `keys/` objects.
        sweep_slot: Slot of the last sweep before the prefix.
        features: Feature flags raised so far.
        index_packs: Current index packs; together they hold every chunk location of the prefix.
        packs: Number of packs registered before the prefix.
    """

    store_id: bytes
    prefix: int
    frontier: list[bytes]
    generation: int
    keys: list[bytes]
    sweep_slot: int | None
    features: list[str]
    index_packs: list[bytes]
    packs: int


class StatePack(msgspec.Struct, array_like=True, frozen=True):
    """A registered pack with the record that registered it and its key."""

    number: int
    added: PackAdded
    slot: int
    key: bytes


class StateRows(msgspec.Struct, array_like=True, frozen=True):
    """Neighbouring rows of one catalog table, or packs.

    Attributes:
        table: `artifacts`, `versions`, `aliases`, `pending`, or `packs`.
        rows: (key, value) pairs; empty for `packs`.
        packs: Packs by number; empty for the others.
    """

    table: str
    rows: list[tuple[bytes, bytes]]
    packs: list[StatePack]


decode_head = decoder_of(StateHead, "the head of a state")
decode_rows = decoder_of(StateRows, "the rows of a state")


def encode_state(part: StateHead | StateRows) -> bytes:
    """Encode one chunk of a state."""
    return encode(part)
