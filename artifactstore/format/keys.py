"""The `keys/<sha256>` object: the ways of unlocking a store, and a generation's secrets sealed to each.

Layout: magic `ASTK`, version (u16, big-endian), suite (u8), a zero byte, then one MessagePack array: store
id, generation, slot keys. The object is named by the SHA-256 of its bytes and a signed record names it, so
nothing in it is trusted before its name was checked; what is sealed is opened in `keyring`.
"""

import enum
import hashlib
import struct
from typing import Annotated, Final, NamedTuple

from msgspec import Meta, Struct

from artifactstore.errors import Damaged, NewerStore
from artifactstore.format.coding import decoder_of, encode
from artifactstore.format.limits import FORMAT_VERSION, STORE_ID_BYTES, SUITE

MAGIC: Final = b"ASTK"
PREFIX: Final = "keys/"
KEYS_BYTES_MAX: Final = 1 << 20
SLOT_KEYS_MAX: Final = 1024
SLOT_ID_BYTES: Final = 16
PUBLIC_KEY_BYTES: Final = 32
WRAPPED_PRIVATE_BYTES_MAX: Final = 256
SEALED_SECRETS_BYTES_MAX: Final = 512
PARAMETERS_MAX: Final = 16
GENERATION_MAX: Final = (1 << 63) - 1
# Bounds of what a passphrase slot may ask for, compared before any memory is taken. 64 MiB is the floor below which
# guessing gets cheap; 1 GiB still fits the machines that open stores.
ARGON_SALT_BYTES: Final = 16
ARGON_PASSES_MAX: Final = 16
ARGON_LANES_MAX: Final = 16
ARGON_MEMORY_KIB_MIN: Final = 64 << 10
ARGON_MEMORY_KIB_MAX: Final = 1 << 20
COMMITMENT_BYTES: Final = 32
WRAPPED_PRIVATE_BYTES: Final = PUBLIC_KEY_BYTES + 16

_HEADER = struct.Struct(">4sHBB")


class SlotKind(enum.IntEnum):
    """Where the private key of a slot key lies."""

    KEY_FILE = 0
    PASSPHRASE = 1
    PUBLIC_KEY = 2
    RECOVERY = 3


_Parameter = (
    Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
    | Annotated[bytes, Meta(max_length=WRAPPED_PRIVATE_BYTES_MAX)]
)


class SlotKey(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One way of unlocking a store.

    Attributes:
        id: The first 16 bytes of the SHA-256 of the public key.
        kind: Where the private key lies.
        public_key: An X25519 public key, 32 bytes.
        parameters: How a passphrase becomes a key; empty for the other kinds.
        wrapped_private: The private key under the passphrase; empty for the other kinds.
        read_only: Whether the sealed secrets lack the signing key.
        sealed_secrets: The generation's secrets, sealed to `public_key`.
    """

    id: Annotated[bytes, Meta(min_length=SLOT_ID_BYTES, max_length=SLOT_ID_BYTES)]
    kind: SlotKind
    public_key: Annotated[bytes, Meta(min_length=PUBLIC_KEY_BYTES, max_length=PUBLIC_KEY_BYTES)]
    parameters: Annotated[tuple[_Parameter, ...], Meta(max_length=PARAMETERS_MAX)]
    wrapped_private: Annotated[bytes, Meta(max_length=WRAPPED_PRIVATE_BYTES_MAX)]
    read_only: bool
    sealed_secrets: Annotated[bytes, Meta(min_length=1, max_length=SEALED_SECRETS_BYTES_MAX)]


class PassphraseParameters(NamedTuple):
    """How the passphrase of a slot key becomes a key: Argon2id (RFC 9106), and a commitment to the key.

    Attributes:
        salt: 16 random bytes, of this slot alone.
        passes: Argon2's time cost.
        lanes: Its parallelism.
        memory_kib: Its memory in KiB.
        commitment: 32 bytes that only the right key gives.
    """

    salt: bytes
    passes: int
    lanes: int
    memory_kib: int
    commitment: bytes


class KeysObject(Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What a `keys/` object holds.

    Attributes:
        store_id: The store that it unlocks.
        generation: The generation whose secrets are sealed in it.
        slots: The slot keys, in the order in which they were added.
    """

    store_id: Annotated[bytes, Meta(min_length=STORE_ID_BYTES, max_length=STORE_ID_BYTES)]
    generation: Annotated[int, Meta(ge=0, le=GENERATION_MAX)]
    slots: Annotated[tuple[SlotKey, ...], Meta(min_length=1, max_length=SLOT_KEYS_MAX)]


_decode_body = decoder_of(KeysObject, "keys object")


def slot_id_of(public_key: bytes) -> bytes:
    """The id of the slot key with this public key, 16 bytes."""
    return hashlib.sha256(public_key).digest()[:SLOT_ID_BYTES]


def keys_object_name(data: bytes) -> str:
    """The name under which these bytes are stored."""
    return PREFIX + hashlib.sha256(data).hexdigest()


def passphrase_parameters(slot: SlotKey) -> PassphraseParameters:
    """The parameters of a passphrase slot, within the bounds of the format.

    Raises:
        Damaged: They are malformed or out of bounds; nothing may be derived with them.
    """
    if len(slot.parameters) == len(PassphraseParameters._fields):
        salt, passes, lanes, memory_kib, commitment = slot.parameters
        if (
            isinstance(salt, bytes)
            and isinstance(passes, int)
            and isinstance(lanes, int)
            and isinstance(memory_kib, int)
            and isinstance(commitment, bytes)
            and (len(salt), len(commitment)) == (ARGON_SALT_BYTES, COMMITMENT_BYTES)
            and 1 <= passes <= ARGON_PASSES_MAX
            and 1 <= lanes <= ARGON_LANES_MAX
            and ARGON_MEMORY_KIB_MIN <= memory_kib <= ARGON_MEMORY_KIB_MAX
            and len(slot.wrapped_private) == WRAPPED_PRIVATE_BYTES
        ):
            return PassphraseParameters(salt, passes, lanes, memory_kib, commitment)
    raise Damaged(f"slot key {slot.id.hex()} has passphrase parameters out of bounds", slot=slot.id.hex())


def encode_keys(keys: KeysObject) -> bytes:
    """The bytes of a keys object.

    Raises:
        ValueError: It breaks a bound of the format, so that no reader would take it.
    """
    data = _HEADER.pack(MAGIC, FORMAT_VERSION, SUITE, 0) + encode(keys)
    # Read back what leaves memory: an object that can't be read would lock everybody out.
    try:
        same = decode_keys(data, keys_object_name(data)) == keys
    except Damaged as error:
        raise ValueError(error.message) from error
    if not same:
        raise ValueError("a keys object does not read back as it was written")
    return data


def decode_keys(data: bytes, name: str) -> KeysObject:
    """Check the bytes read under `name` against it and decode them.

    Args:
        data: The whole object.
        name: The name by which a record calls it.

    Raises:
        Damaged: The bytes are not those of that name, or are no keys object.
        NewerStore: A later format or another suite made it.
    """
    if len(data) > KEYS_BYTES_MAX:
        raise Damaged(f"{name} is longer than a keys object may be", object=name, size=len(data))
    if keys_object_name(data) != name:
        raise Damaged(f"{name} does not hold the bytes that it is named after", object=name)
    if len(data) < _HEADER.size:
        raise Damaged(f"{name} is cut short", object=name, size=len(data))
    magic, version, suite, zero = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise Damaged(f"{name} is not a keys object", object=name)
    if version > FORMAT_VERSION or (version == FORMAT_VERSION and suite > SUITE):
        raise NewerStore(
            f"{name} has format {version} and suite {suite}; this release knows {FORMAT_VERSION} and {SUITE}",
            object=name,
            format=version,
            suite=suite,
        )
    if (version, suite, zero) != (FORMAT_VERSION, SUITE, 0):
        raise Damaged(f"{name}: its header is malformed", object=name)
    keys = _decode_body(memoryview(data)[_HEADER.size :], name)
    _check_slots(keys, name)
    return keys


def _check_slots(keys: KeysObject, name: str) -> None:
    ids = {slot.id for slot in keys.slots}
    if len(ids) != len(keys.slots):
        raise Damaged(f"{name} lists a slot key twice", object=name)
    for slot in keys.slots:
        if slot.id != slot_id_of(slot.public_key):
            raise Damaged(f"{name}: slot key {slot.id.hex()} has another public key", object=name)
        if slot.kind is not SlotKind.PASSPHRASE and (slot.parameters or slot.wrapped_private):
            raise Damaged(f"{name}: slot key {slot.id.hex()} wraps a key that it can't have", object=name)
