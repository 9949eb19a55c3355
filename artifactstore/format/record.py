"""The record: a clear part that anyone can check, a sealed part for members, a signature over both.

Layout: header (magic, format, suite, reserved, lengths) ‖ clear ‖ sealed ‖ Ed25519 signature. The leaf of the Merkle
tree is the whole object. `sealed` = salt (32 bytes) ‖ ciphertext ‖ tag, with header and clear part as associated data.
"""

import struct
from enum import IntEnum
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from artifactstore.errors import Damaged
from artifactstore.format.coding import Bytes16, Bytes32, Slot, SmallInt, TimeMs, decoder_of, encode
from artifactstore.format.limits import (
    FORMAT_VERSION,
    PACK_BYTES_MAX,
    PACK_CHUNKS_MAX,
    RECORD_BYTES_MAX,
    SUITE,
)

MAGIC: Final = b"ASTR"
HEADER: Final = struct.Struct(">4sHBBII")
SIGNATURE_BYTES: Final = 64
KEYS_OBJECTS_MAX: Final = 64
# Header, one empty sealed blob and a footer's tag can't be shorter; a record that says less is void.
PACK_BYTES_MIN: Final = 48 + 16 + 16 + 12
SIGNING_CONTEXT: Final = b"artifactstore record v1\0"
HANDOVER_CONTEXT: Final = b"artifactstore handover v1\0"


class RecordType(IntEnum):
    """What a record is for."""

    CREATE = 0
    COMMIT = 1
    PENDING = 2
    SWEEP = 3
    INTENT = 4
    ERASED = 5
    ADOPT = 6


class Certificate(msgspec.Struct, array_like=True, frozen=True):
    """The signing key of a generation, and how the key before it handed over.

    Attributes:
        public: Ed25519 public key. For generation 0 its SHA-256 is the store id.
        slot: The slot of the record that handed over; 0 for generation 0.
        signature: The key before it over the handover; empty for generation 0.
    """

    public: Bytes32
    slot: Slot
    signature: Annotated[bytes, Meta(max_length=SIGNATURE_BYTES)]


class Handover(msgspec.Struct, array_like=True, frozen=True):
    """How a sweep hands over to the signing key of the generation that it begins.

    Attributes:
        public: Its Ed25519 public key.
        signature: The signing key before it over `handover_message`.
    """

    public: Bytes32
    signature: Annotated[bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


class PackAdded(msgspec.Struct, array_like=True, frozen=True):
    """A pack that a record registers.

    Attributes:
        name: SHA-256 of its bytes.
        type: What its chunks are.
        size: Its bytes.
        count: Its chunks.
        trailer: SHA-256 of its clear trailer.
    """

    name: Bytes32
    type: SmallInt
    size: Annotated[int, Meta(ge=PACK_BYTES_MIN, le=PACK_BYTES_MAX)]
    count: Annotated[int, Meta(ge=1, le=PACK_CHUNKS_MAX)]
    trailer: Bytes32


class StateNamed(msgspec.Struct, array_like=True, frozen=True):
    """The state that a record names.

    Attributes:
        prefix: It holds everything before this slot.
        packs: Names of its packs, in order.
        copy: Names of the packs that hold the same again, sealed anew; a sweep writes them, others need not.
    """

    prefix: Slot
    packs: Annotated[list[Bytes32], Meta(min_length=1)]
    copy: list[Bytes32]


class Clear(msgspec.Struct, array_like=True, frozen=True):
    """The part of a record that anyone can read.

    Attributes:
        store_id: SHA-256 of the store's first public key.
        slot: The slot that this record was made for.
        root: Merkle root of the records before it.
        operation: 16 random bytes; the same operation never has two.
        type: A `RecordType`.
        generation: The current generation: of a sweep the one that it begins, though the key before signs it.
        certificate: The handover to the key that signs.
        packs: Packs registered.
        condemned: Names of objects given up for deletion.
        committed: Commitments of versions made.
        purged: Commitments of versions purged.
        keys: Names (SHA-256) of the current `keys/` objects; at least one.
        state: The state that this record names, if it does.
        state_slot: Slot of the last record before it that names a state.
        sweep_slot: Slot of the last sweep before it.
        time_ms: Milliseconds since the Unix epoch, advisory.
        features: Feature flags that this record raises.
        handover: In a sweep: the key that signs from now on.
        erased: In an `ERASED` record: slot of the sweep whose condemned objects were all seen gone.
    """

    store_id: Bytes32
    slot: Slot
    root: Bytes32
    operation: Bytes16
    type: SmallInt
    generation: Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    certificate: Certificate
    packs: list[PackAdded]
    condemned: list[str]
    committed: list[bytes]
    purged: list[bytes]
    keys: Annotated[list[Bytes32], Meta(min_length=1, max_length=KEYS_OBJECTS_MAX)]
    state: StateNamed | None
    state_slot: Slot | None
    sweep_slot: Slot | None
    time_ms: TimeMs
    features: list[str]
    handover: Handover | None
    erased: Slot | None

    @property
    def signer(self) -> int:
        """The generation whose key signs the record."""
        return self.generation - (self.type == RecordType.SWEEP)


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
    _check_pointers(clear, where)
    signed = data[:-SIGNATURE_BYTES]
    return Frame(clear, data[:end], data[end:-SIGNATURE_BYTES], signed, data[-SIGNATURE_BYTES:])


def _check_pointers(clear: Clear, where: str) -> None:
    """What a record says of slots before it lies before it, and a type says what it must and no more."""
    state = clear.state
    backwards = (clear.state_slot, clear.sweep_slot, clear.erased)
    if (
        any(at is not None and at >= clear.slot for at in backwards)
        or (state is not None and state.prefix > clear.slot)
        or (clear.type == RecordType.CREATE) != (clear.slot == 0)
        or (clear.type == RecordType.SWEEP) != (clear.handover is not None)
        or (clear.type == RecordType.ERASED) != (clear.erased is not None)
        or (clear.type == RecordType.SWEEP and (clear.generation < 1 or state is None))
    ):
        raise Damaged(f"{where}: the record contradicts its own slot", object=where)


def slot_name(slot: int) -> str:
    """The object name of a slot."""
    return f"log/{slot:016d}"


def handover_message(store_id: bytes, generation: int, slot: int, public: bytes) -> bytes:
    """What the signing key of one generation signs to hand over to the next.

    Args:
        store_id: The store.
        generation: The generation that begins.
        slot: The slot of the sweep that begins it.
        public: The public key that signs from then on.
    """
    return HANDOVER_CONTEXT + store_id + generation.to_bytes(8, "big") + slot.to_bytes(8, "big") + public
