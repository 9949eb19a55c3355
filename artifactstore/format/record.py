"""The record: a clear part that anyone can check, a sealed part for members, a signature over both.

Layout: header (magic, format, suite, reserved, lengths) ‖ clear ‖ sealed ‖ Ed25519 signature. The leaf of the Merkle
tree is the whole object. `sealed` = salt (32 bytes) ‖ ciphertext ‖ tag, with header and clear part as associated data.
"""

import struct
from enum import IntEnum
from typing import Final, NamedTuple

import msgspec

from artifactstore.errors import Damaged
from artifactstore.format.coding import decoder_of, encode
from artifactstore.format.limits import FORMAT_VERSION, RECORD_BYTES_MAX, SUITE

MAGIC: Final = b"ASTR"
HEADER: Final = struct.Struct(">4sHBBII")
SIGNATURE_BYTES: Final = 64
SIGNING_CONTEXT: Final = b"artifactstore record v1\0"


class RecordType(IntEnum):
    """What a record is for. 3 to 6 are kept for sweep, intent, erased and adopt."""

    CREATE = 0
    COMMIT = 1
    PENDING = 2


class Certificate(msgspec.Struct, array_like=True, frozen=True):
    """The signing key of a generation, and how the key before it handed over.

    Attributes:
        public: Ed25519 public key. For generation 0 its SHA-256 is the store id.
        slot: The slot of the record that handed over; 0 for generation 0.
        signature: The key before it over the handover; empty for generation 0.
    """

    public: bytes
    slot: int
    signature: bytes


class PackAdded(msgspec.Struct, array_like=True, frozen=True):
    """A pack that a record registers.

    Attributes:
        name: SHA-256 of its bytes.
        type: What its chunks are.
        size: Its bytes.
        count: Its chunks.
        trailer: SHA-256 of its clear trailer.
    """

    name: bytes
    type: int
    size: int
    count: int
    trailer: bytes


class StateNamed(msgspec.Struct, array_like=True, frozen=True):
    """The state that a record names: it holds everything before `prefix`, in these packs, in this order."""

    prefix: int
    packs: list[bytes]


class Clear(msgspec.Struct, array_like=True, frozen=True):
    """The part of a record that anyone can read.

    Attributes:
        store_id: SHA-256 of the store's first public key.
        slot: The slot that this record was made for.
        root: Merkle root of the records before it.
        operation: 16 random bytes; the same operation never has two.
        type: A `RecordType`.
        generation: The generation whose key signs.
        certificate: That key's handover.
        packs: Packs registered.
        condemned: Names of objects given up for deletion.
        committed: Commitments of versions made.
        purged: Commitments of versions purged.
        keys: Names (SHA-256) of the current `keys/` objects.
        state: The state that this record names, if it does.
        state_slot: Slot of the last record before it that names a state.
        sweep_slot: Slot of the last sweep before it.
        time_ms: Milliseconds since the Unix epoch, advisory.
        features: Feature flags that this record raises.
    """

    store_id: bytes
    slot: int
    root: bytes
    operation: bytes
    type: int
    generation: int
    certificate: Certificate
    packs: list[PackAdded]
    condemned: list[str]
    committed: list[bytes]
    purged: list[bytes]
    keys: list[bytes]
    state: StateNamed | None
    state_slot: int | None
    sweep_slot: int | None
    time_ms: int
    features: list[str]


class Frame(NamedTuple):
    """A record's parts as they came, and the clear part decoded."""

    clear: Clear
    associated: bytes
    sealed: bytes
    signed: bytes
    signature: bytes


_decode_clear = decoder_of(Clear, "a record's clear part")


def encode_associated(clear: Clear, sealed_length: int) -> bytes:
    """Return header and clear part: the sealed part's associated data."""
    body = encode(clear)
    return HEADER.pack(MAGIC, FORMAT_VERSION, SUITE, 0, len(body), sealed_length) + body


def decode_frame(data: bytes, where: str) -> Frame:
    """Split a record and decode its clear part; nothing is verified yet.

    Raises:
        Damaged: It is not a record of this format. Its slot is void.
    """
    if not HEADER.size + SIGNATURE_BYTES <= len(data) <= RECORD_BYTES_MAX:
        raise Damaged(f"{where} has the wrong length for a record", object=where, found=len(data))
    magic, version, suite, reserved, clear_length, sealed_length = HEADER.unpack_from(data)
    if (magic, version, suite, reserved) != (MAGIC, FORMAT_VERSION, SUITE, 0):
        raise Damaged(f"{where} is not a record of this format", object=where)
    end = HEADER.size + clear_length
    if end + sealed_length + SIGNATURE_BYTES != len(data):
        raise Damaged(f"{where}: the record's lengths contradict its size", object=where)
    clear = _decode_clear(memoryview(data)[HEADER.size : end], where)
    signed = data[:-SIGNATURE_BYTES]
    return Frame(clear, data[:end], data[end:-SIGNATURE_BYTES], signed, data[-SIGNATURE_BYTES:])


def slot_name(slot: int) -> str:
    """The object name of a slot."""
    return f"log/{slot:016d}"
