"""What a slot key unlocks: the secrets of a store and of its current generation.

The store secret never changes and every subkey of it has its own purpose string. A generation's
key-encryption key (KEK) and signing key are random. Nothing is sealed under a KEK itself: each sealing has a
key of its own, derived with a fresh salt, so (key, nonce) never repeats (invariant 14), and the derivation
names suite, store, generation and type, so that nothing opens as something else (invariant 15).
"""

from collections.abc import Sequence
from typing import Annotated, Final, NamedTuple

import msgspec

from artifactstore.clock import Randomness
from artifactstore.crypto.aead import Aead, SealBroken, counter_nonce
from artifactstore.crypto.derive import hkdf_sha256
from artifactstore.crypto.hpke import open_with, seal_to
from artifactstore.crypto.signing import SigningKey
from artifactstore.crypto.suite import KEY_SIZE_BYTES, SALT_SIZE_BYTES, SUITE
from artifactstore.errors import Damaged, PermissionRefused, WrongKey
from artifactstore.format.keys import (
    KeysObject,
    SlotKey,
    SlotKind,
    decode_keys,
    encode_keys,
    keys_object_name,
    slot_id_of,
)
from artifactstore.keyring.keyfile import KeyPair

CHUNKER_SEED_BITS: Final = 63
SALT_BYTES: Final = SALT_SIZE_BYTES

_Key = Annotated[bytes, msgspec.Meta(min_length=KEY_SIZE_BYTES, max_length=KEY_SIZE_BYTES)]


class Secrets(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """What is sealed to every slot key.

    Attributes:
        store_secret: The constant of the store, 32 bytes.
        kek: The generation's key-encryption key, 32 bytes.
        signing_private: The generation's Ed25519 private key, 32 bytes, or empty for a read-only member.
    """

    store_secret: _Key
    kek: _Key
    signing_private: Annotated[bytes, msgspec.Meta(max_length=KEY_SIZE_BYTES)]

    def __repr__(self) -> str:
        """Without the secrets: representations end up in logs."""
        return "Secrets(...)"


class Member(NamedTuple):
    """Somebody to seal secrets to.

    Attributes:
        public: The X25519 public key, 32 bytes.
        kind: Where the private key lies.
        read_only: Whether the signing key is withheld.
        parameters: How a passphrase becomes a key; empty for the other kinds.
        wrapped_private: The private key under the passphrase; empty for the other kinds.
    """

    public: bytes
    kind: SlotKind = SlotKind.KEY_FILE
    read_only: bool = False
    parameters: tuple[int | bytes, ...] = ()
    wrapped_private: bytes = b""


_encode_secrets = msgspec.msgpack.Encoder().encode
_decode_secrets = msgspec.msgpack.Decoder(Secrets).decode


def create_secrets(randomness: Randomness) -> Secrets:
    """The secrets of a new store's first generation."""
    return Secrets(*(randomness.token(KEY_SIZE_BYTES) for _ in range(3)))


def next_secrets(secrets: Secrets, randomness: Randomness) -> Secrets:
    """The secrets of the generation after: the store's own stays, key-encryption and signing key are new."""
    return Secrets(secrets.store_secret, *(randomness.token(KEY_SIZE_BYTES) for _ in range(2)))


def member_of(slot: SlotKey) -> Member:
    """Whom a slot key belongs to, to seal the secrets of another generation to."""
    return Member(slot.public_key, slot.kind, slot.read_only, slot.parameters, slot.wrapped_private)


def make_keys_object(store_id: bytes, generation: int, secrets: Secrets, members: Sequence[Member]) -> bytes:
    """Seal a generation's secrets to every member and return the bytes of the `keys/` object.

    Two calls give two objects with two names, which hold the same.

    Raises:
        ValueError: There is no member, or a member breaks a bound of the format.
        SealBroken: A public key can't be sealed to.
    """
    slots = tuple(_sealed_slot(store_id, generation, secrets, member) for member in members)
    return encode_keys(KeysObject(store_id, generation, slots))


def with_member(keys: KeysObject, secrets: Secrets, member: Member) -> bytes:
    """The bytes of the `keys/` object that has one slot more; the others stay as they are.

    Raises:
        ValueError: There is no room for another, or the member breaks a bound of the format.
        SealBroken: The public key can't be sealed to.
    """
    slot = _sealed_slot(keys.store_id, keys.generation, secrets, member)
    return encode_keys(msgspec.structs.replace(keys, slots=(*keys.slots, slot)))


def unlock(keys_object: bytes, store_id: bytes, pair: KeyPair, *, name: str | None = None) -> "Keyring":
    """Open the secrets sealed to `pair`.

    Args:
        keys_object: The object's bytes.
        store_id: The store that they must be of.
        pair: The caller's slot key.
        name: The name by which a record calls the object; the bytes are checked against it. Without one the
            caller has checked them.

    Raises:
        WrongKey: The store has no slot for the pair.
        Damaged: The object was altered, is malformed, or is another store's.
        NewerStore: A later format or another suite made it.
    """
    name = name or keys_object_name(keys_object)
    return unlock_slot(checked_keys(keys_object, store_id, name), pair, name)


def checked_keys(data: bytes, store_id: bytes, name: str) -> KeysObject:
    """Decode the `keys/` object that a record calls `name`.

    Raises:
        Damaged: The object was altered, is malformed, or is another store's.
        NewerStore: A later format or another suite made it.
    """
    keys = decode_keys(data, name)
    if keys.store_id != store_id:
        raise Damaged(
            f"{name} is of another store",
            object=name,
            expected=store_id.hex(),
            found=keys.store_id.hex(),
        )
    return keys


def unlock_slot(keys: KeysObject, pair: KeyPair, name: str) -> "Keyring":
    """Open the secrets that a `keys/` object, read under `name`, seals to `pair`.

    Raises:
        WrongKey: The store has no slot for the pair.
        Damaged: The slot does not open or is malformed.
    """
    slot = next((slot for slot in keys.slots if slot.public_key == pair.public), None)
    if slot is None:
        raise WrongKey(
            f"the store has no slot for key {pair.slot_id.hex()}",
            store=keys.store_id.hex(),
            found=pair.slot_id.hex(),
            expected=[slot.id.hex() for slot in keys.slots],
        )
    return Keyring(keys, slot, _opened_slot(keys, slot, pair, name), name)


def keyring_of(keys_object: bytes, slot_id: bytes, secrets: Secrets) -> "Keyring":
    """The keyring of a member who has just made a `keys/` object, without its private key.

    Raises:
        ValueError: The object has no slot of that id.
    """
    name = keys_object_name(keys_object)
    keys = decode_keys(keys_object, name)
    slot = next((slot for slot in keys.slots if slot.id == slot_id), None)
    if slot is None:
        raise ValueError(f"no slot of key {slot_id.hex()}")
    return Keyring(keys, slot, secrets, name)


def _slot_info(store_id: bytes, generation: int, slot_id: bytes, kind: int, *, read_only: bool) -> bytes:
    return b"".join(
        (
            b"artifactstore slot",
            bytes([SUITE]),
            store_id,
            generation.to_bytes(8, "big"),
            slot_id,
            bytes([kind, read_only]),
        )
    )


def _sealed_slot(store_id: bytes, generation: int, secrets: Secrets, member: Member) -> SlotKey:
    slot_id = slot_id_of(member.public)
    given = msgspec.structs.replace(secrets, signing_private=b"") if member.read_only else secrets
    info = _slot_info(store_id, generation, slot_id, member.kind, read_only=member.read_only)
    return SlotKey(
        id=slot_id,
        kind=SlotKind(member.kind),
        public_key=member.public,
        parameters=member.parameters,
        wrapped_private=member.wrapped_private,
        read_only=member.read_only,
        sealed_secrets=seal_to(member.public, _encode_secrets(given), info),
    )


def _opened_slot(keys: KeysObject, slot: SlotKey, pair: KeyPair, name: str) -> Secrets:
    info = _slot_info(keys.store_id, keys.generation, slot.id, slot.kind, read_only=slot.read_only)
    try:
        secrets = _decode_secrets(open_with(pair.private, slot.sealed_secrets, info))
    except SealBroken as error:
        raise Damaged(f"{name}: the slot of key {slot.id.hex()} does not open", object=name) from error
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Damaged(f"{name}: the slot of key {slot.id.hex()} is malformed", object=name) from error
    if len(secrets.signing_private) != (0 if slot.read_only else KEY_SIZE_BYTES):
        raise Damaged(f"{name}: the slot of key {slot.id.hex()} is malformed", object=name)
    return secrets


class Keyring:
    """The unlocked keys of a store in one generation. Immutable; thread-safe.

    Attributes:
        store_id: 32 bytes.
        generation: Whose KEK and signing key these are.
        slots: All slot keys of the store.
        slot_id: The slot key that unlocked it.
        kek: The key-encryption key; use `seal_generation` rather than this.
        signing_key: The generation's signing key, or None for a read-only member.
        keys_object: The name of the object that it came from.
    """

    __slots__ = (
        "_secrets",
        "_subkeys",
        "generation",
        "kek",
        "keys_object",
        "signing_key",
        "slot_id",
        "slots",
        "store_id",
    )

    def __init__(self, keys: KeysObject, slot: SlotKey, secrets: Secrets, keys_object: str) -> None:
        self.store_id = keys.store_id
        self.generation = keys.generation
        self.slots = keys.slots
        self.slot_id = slot.id
        self.kek = secrets.kek
        self.signing_key = SigningKey(secrets.signing_private) if secrets.signing_private else None
        self.keys_object = keys_object
        self._secrets = secrets
        self._subkeys: dict[bytes, bytes] = {}

    def signer(self) -> SigningKey:
        """The key that signs records; who is going to write asks for it before anything is uploaded.

        Raises:
            PermissionRefused: This member may only read.
        """
        if self.signing_key is None:
            raise PermissionRefused(
                f"key {self.slot_id.hex()} may read the store, not write to it",
                next_step="ask a member who may write to do it, or to add another key of yours without --read-only",
                slot=self.slot_id.hex(),
            )
        return self.signing_key

    def sign(self, message: bytes) -> bytes:
        """The signature of `message` by the generation's signing key, 64 bytes.

        Raises:
            PermissionRefused: This member may only read.
        """
        return self.signer().sign(message)

    @property
    def secrets(self) -> Secrets:
        """What was sealed to the slot key, to be sealed to another."""
        return self._secrets

    def cid_key(self, type_name: str) -> bytes:
        """The key of the ids of chunks of a type, 32 bytes."""
        return self._subkey(b"artifactstore cid " + type_name.encode())

    def name_key(self) -> bytes:
        """The key under which names that must not be readable are hashed, 32 bytes."""
        return self._subkey(b"artifactstore name")

    def deny_key(self) -> bytes:
        """The key under which digests of denied files are hashed, 32 bytes."""
        return self._subkey(b"artifactstore deny")

    def chunker_seed(self) -> int:
        """The seed of the chunker: 63 bits, never 0, which means unseeded to it."""
        derived = int.from_bytes(self._subkey(b"artifactstore chunker seed")[:8], "big")
        return derived & ((1 << CHUNKER_SEED_BITS) - 1) or 1

    def seal_generation(self, type_name: str, plaintext: bytes, aad: bytes, randomness: Randomness) -> bytes:
        """Seal under this generation's KEK, as `sealed_under_kek`."""
        return sealed_under_kek(
            self.kek, self.store_id, self.generation, type_name, plaintext, aad, randomness
        )

    def _subkey(self, info: bytes) -> bytes:
        key = self._subkeys.get(info)
        if key is None:
            key = hkdf_sha256(self._secrets.store_secret, salt=b"", info=info)
            self._subkeys[info] = key
        return key

    def __repr__(self) -> str:
        return (
            f"Keyring(store={self.store_id.hex()}, generation={self.generation}, slot={self.slot_id.hex()})"
        )


def _kek_cipher(kek: bytes, store_id: bytes, generation: int, type_name: str, salt: bytes) -> Aead:
    context = bytes([SUITE]) + store_id + generation.to_bytes(8, "big") + type_name.encode()
    return Aead(hkdf_sha256(kek, salt=salt, info=context))


def sealed_under_kek(
    kek: bytes,
    store_id: bytes,
    generation: int,
    type_name: str,
    plaintext: bytes,
    aad: bytes,
    randomness: Randomness,
) -> bytes:
    """Seal `plaintext` under a key derived from the KEK with a fresh salt: 32 bytes of salt, then ciphertext.

    Args:
        kek: The generation's key-encryption key.
        store_id: The store.
        generation: The generation.
        type_name: What is sealed: a state, or the type of a record.
        plaintext: What to seal.
        aad: What to authenticate with it: the clear part.
        randomness: Gives the salt, a new one on every attempt.
    """
    salt = randomness.token(SALT_BYTES)
    return salt + _kek_cipher(kek, store_id, generation, type_name, salt).seal(
        counter_nonce(0), plaintext, aad
    )


def open_under_kek(
    kek: bytes, store_id: bytes, generation: int, type_name: str, sealed: bytes, aad: bytes
) -> bytes:
    """Open what `sealed_under_kek` made with the same key, context and `aad`.

    Raises:
        SealBroken: It was not made so, or was altered.
    """
    if len(sealed) < SALT_BYTES:
        raise SealBroken("shorter than its salt")
    cipher = _kek_cipher(kek, store_id, generation, type_name, sealed[:SALT_BYTES])
    return cipher.open(counter_nonce(0), sealed[SALT_BYTES:], aad)
