"""The state: what the store is after a prefix of the log, so that nobody has to replay it from the start.

A state is the chunks of its packs in order: first a `StateHead`, then `StateRows` table by table. Rows are sorted by
key. Pack keys lie in it open: the state's own pack key, sealed in the record that names it, guards them.
"""

import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from artifactstore.errors import Damaged
from artifactstore.format.coding import NAME_PATTERN, Bytes32, Count, Slot, decoder_of, encode
from artifactstore.format.limits import ROW_KEY_BYTES_MAX
from artifactstore.format.operations import Parameters
from artifactstore.format.record import KEYS_OBJECTS_MAX, PackAdded

ARTIFACTS: Final = "artifacts"
VERSIONS: Final = "versions"
ALIASES: Final = "aliases"
PENDING: Final = "pending"
BEGUN: Final = "begun"
PARTS: Final = "parts"
DAMAGED: Final = "damaged"
PACKS: Final = "packs"
HANDOVERS: Final = "handovers"
CONDEMNED: Final = "condemned"
PURGED: Final = "purged"
SETTINGS: Final = "settings"
DENIED: Final = "denied"
RUNS: Final = "runs"
EDGES: Final = "edges"

_NAME = NAME_PATTERN.encode()
_ARTIFACT = _NAME + b"\0" + _NAME
# A run, a version, or a version that was purged.
_NODE = b"(?:r.{16}|v" + _ARTIFACT + b"\0.{8}|x.{40})"
# What the keys of a table look like: names never hold a zero byte, numbers are 8 bytes, big-endian.
_KEYS: Final = {
    ARTIFACTS: re.compile(_ARTIFACT),
    VERSIONS: re.compile(_ARTIFACT + b"\0.{8}", re.DOTALL),
    ALIASES: re.compile(_ARTIFACT + b"\0" + _NAME),
    PENDING: re.compile(b".{24}", re.DOTALL),
    BEGUN: re.compile(b".{16}", re.DOTALL),
    PARTS: re.compile(b".{20}", re.DOTALL),
    DAMAGED: re.compile(b".{32}", re.DOTALL),
    HANDOVERS: re.compile(b".{8}", re.DOTALL),
    CONDEMNED: re.compile(rb"[a-z]+(?:/[0-9a-z]+){1,3}"),
    PURGED: re.compile(b".{40}", re.DOTALL),
    SETTINGS: re.compile(b"grace"),
    DENIED: re.compile(b".{32}", re.DOTALL),
    RUNS: re.compile(b".{16}", re.DOTALL),
    EDGES: re.compile(_NODE + b"[<>]" + _NODE, re.DOTALL),
}
# Values that are numbers of 8 bytes and not MessagePack.
_NUMBERS: Final = frozenset({ALIASES, PENDING, DAMAGED, CONDEMNED, SETTINGS})


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
        parameters: What record 0 fixed for the store; its sealed part may be unreadable by now.
    """

    store_id: Bytes32
    prefix: Slot
    frontier: list[Bytes32]
    generation: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    keys: Annotated[list[Bytes32], Meta(min_length=1, max_length=KEYS_OBJECTS_MAX)]
    sweep_slot: Slot | None
    features: list[str]
    index_packs: list[Bytes32]
    packs: Count
    parameters: Parameters


class StatePack(msgspec.Struct, array_like=True, frozen=True):
    """A registered pack with the record that registered it and its key."""

    number: Count
    added: PackAdded
    slot: Slot
    key: Bytes32


class StateRows(msgspec.Struct, array_like=True, frozen=True):
    """Neighbouring rows of one catalog table, or packs.

    Attributes:
        table: `packs`, or the name of a catalog table.
        rows: (key, value) pairs; empty for `packs`.
        packs: Packs by number; empty for the others.
    """

    table: str
    rows: list[tuple[Annotated[bytes, Meta(min_length=1, max_length=ROW_KEY_BYTES_MAX)], bytes]]
    packs: list[StatePack]


_decode_head = decoder_of(StateHead, "the head of a state")
_decode_rows = decoder_of(StateRows, "the rows of a state")


def decode_head(data: bytes, where: str) -> StateHead:
    """Parse the head of a state.

    Raises:
        Damaged: It is malformed, or its frontier is not one of its prefix.
    """
    head = _decode_head(data, where)
    if len(head.frontier) != head.prefix.bit_count():
        raise Damaged(f"{where}: the frontier is not one of {head.prefix} slots", object=where)
    return head


def decode_rows(data: bytes, where: str) -> StateRows:
    """Parse rows of a state and check that each key is one of its table; tables that are not known pass.

    Raises:
        Damaged: They are malformed.
    """
    rows = _decode_rows(data, where)
    pattern, numbers = _KEYS.get(rows.table), rows.table in _NUMBERS
    if pattern is not None:
        for key, value in rows.rows:
            if not pattern.fullmatch(key) or (numbers and len(value) != 8):  # noqa: PLR2004
                raise Damaged(f"{where}: a row of {rows.table!r} is malformed", object=where)
    if (rows.packs and rows.table != PACKS) or (rows.rows and rows.table == PACKS):
        raise Damaged(f"{where}: rows of {rows.table!r} hold what that table does not", object=where)
    return rows


def encode_state(part: StateHead | StateRows) -> bytes:
    """Encode one chunk of a state."""
    return encode(part)
