"""Passphrase slots: an X25519 private key under a key that Argon2id (RFC 9106) makes of a passphrase.

The derived bytes give a wrapping key and a commitment to it. AES-GCM alone does not commit to its key: without the
commitment one ciphertext could be made to open under many passphrases, and each answer of a client would rule out
many guesses at once. Parameters come from the store, so they are held against bounds before memory is taken. The salt
is new for each slot, so each wrapping key seals once (invariant 14); store and public key are authenticated with it
(invariant 15).
"""

import hmac
import unicodedata
from typing import Final

from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from artifactstore.clock import Randomness
from artifactstore.crypto.aead import Aead, SealBroken, counter_nonce
from artifactstore.crypto.derive import hkdf_sha256
from artifactstore.crypto.hpke import generate_pair
from artifactstore.crypto.suite import KEY_SIZE_BYTES, SUITE
from artifactstore.errors import UsageError
from artifactstore.format.keys import (
    ARGON_MEMORY_KIB_MIN,
    ARGON_SALT_BYTES,
    PassphraseParameters,
    SlotKey,
    SlotKind,
    passphrase_parameters,
)
from artifactstore.keyring.keyfile import KeyPair, pair_of
from artifactstore.keyring.keyring import Member

# RFC 9106 recommends t=3, p=4 and 64 MiB where memory is scarce; four times that is 0.7 s of this project's 2 cores.
PASSES: Final = 3
LANES: Final = 4
MEMORY_KIB: Final = 256 << 10
PASSPHRASE_CHARACTERS_MIN: Final = 8
PASSPHRASE_BYTES_MAX: Final = 4096

_WRAP: Final = b"artifactstore passphrase wrap"
_COMMIT: Final = b"artifactstore passphrase commitment"


def checked_passphrase(text: str) -> str:
    """Return a passphrase that may be set.

    Raises:
        UsageError: It is too short to protect anything, or longer than any client would read.
    """
    if len(text) < PASSPHRASE_CHARACTERS_MIN:
        raise UsageError(
            f"a passphrase of {len(text)} characters is too short",
            next_step=f"choose one of at least {PASSPHRASE_CHARACTERS_MIN}, better four words that nobody would guess",
        )
    if len(text.encode()) > PASSPHRASE_BYTES_MAX:
        raise UsageError(
            f"a passphrase may have {PASSPHRASE_BYTES_MAX} bytes at most", next_step="choose a shorter one"
        )
    return text


def passphrase_member(
    passphrase: str,
    store_id: bytes,
    randomness: Randomness,
    *,
    read_only: bool = False,
    memory_kib: int = MEMORY_KIB,
) -> Member:
    """Make a new pair whose private key only `passphrase` gives back.

    Args:
        passphrase: What its owner types.
        store_id: The store that it will unlock.
        randomness: Makes the pair and the salt.
        read_only: Whether the signing key is withheld.
        memory_kib: What a guess costs; the floor of the format is 64 MiB.

    Raises:
        UsageError: The passphrase is too short or too long.
    """
    assert memory_kib >= ARGON_MEMORY_KIB_MIN
    private, public = generate_pair(randomness)
    salt = randomness.token(ARGON_SALT_BYTES)
    wrapping, commitment = _derived(checked_passphrase(passphrase), salt, PASSES, LANES, memory_kib)
    parameters = PassphraseParameters(salt, PASSES, LANES, memory_kib, commitment)
    wrapped = Aead(wrapping).seal(counter_nonce(0), private, _context(store_id, public))
    return Member(public, SlotKind.PASSPHRASE, read_only, tuple(parameters), wrapped)


def pair_by_passphrase(slot: SlotKey, store_id: bytes, passphrase: str) -> KeyPair | None:
    """The pair of a passphrase slot, or None when this is not its passphrase.

    Takes the memory that the slot asks for, within the bounds of the format.

    Raises:
        Damaged: The slot's parameters are out of bounds.
    """
    found = passphrase_parameters(slot)
    wrapping, commitment = _derived(passphrase, found.salt, found.passes, found.lanes, found.memory_kib)
    if not hmac.compare_digest(commitment, found.commitment):
        return None
    try:
        private = Aead(wrapping).open(
            counter_nonce(0), slot.wrapped_private, _context(store_id, slot.public_key)
        )
    except SealBroken:
        return None
    pair = pair_of(private)
    return pair if pair.public == slot.public_key else None


def _derived(passphrase: str, salt: bytes, passes: int, lanes: int, memory_kib: int) -> tuple[bytes, bytes]:
    """The wrapping key and the commitment to it. NFC: one keyboard composes what another keeps apart."""
    secret = unicodedata.normalize("NFC", passphrase).encode()
    argon = Argon2id(salt=salt, length=KEY_SIZE_BYTES, iterations=passes, lanes=lanes, memory_cost=memory_kib)
    derived = argon.derive(secret)
    return hkdf_sha256(derived, salt=b"", info=_WRAP), hkdf_sha256(derived, salt=b"", info=_COMMIT)


def _context(store_id: bytes, public: bytes) -> bytes:
    return b"artifactstore passphrase slot" + bytes([SUITE]) + store_id + public
