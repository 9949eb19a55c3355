"""Sealing to a public key: HPKE base mode (RFC 9180) with X25519, HKDF-SHA256 and AES-256-GCM.

What is sealed is bound to a context by `info`; the sealer is not authenticated, so who relies on the content
has it named by something signed.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from artifactstore.clock import Randomness
from artifactstore.crypto.aead import SealBroken
from artifactstore.crypto.suite import HPKE_OVERHEAD_BYTES, KEY_SIZE_BYTES

_SUITE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def generate_pair(randomness: Randomness) -> tuple[bytes, bytes]:
    """Make a new X25519 pair: the private key and the public key, 32 bytes each."""
    private = randomness.token(KEY_SIZE_BYTES)
    return private, public_of(private)


def public_of(private: bytes) -> bytes:
    """The public key of a private key.

    Raises:
        ValueError: `private` does not have 32 bytes.
    """
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def seal_to(public: bytes, plaintext: bytes, info: bytes) -> bytes:
    """Seal `plaintext` so that only the private key of `public` opens it: encapsulated key, then ciphertext.

    The encapsulation draws its randomness from the cryptographic library; a simulation with a fixed seed
    therefore gets other bytes each time, which open alike.

    Raises:
        SealBroken: `public` is no key that can be sealed to.
    """
    try:
        return _SUITE.encrypt(plaintext, X25519PublicKey.from_public_bytes(public), info)
    except ValueError:
        raise SealBroken("the public key is not one that can be sealed to") from None


def open_with(private: bytes, sealed: bytes, info: bytes) -> bytes:
    """Return what `seal_to` sealed to the public key of `private` with the same `info`.

    Raises:
        SealBroken: It was sealed to another key or context, or altered.
    """
    if len(sealed) < HPKE_OVERHEAD_BYTES:
        raise SealBroken("shorter than a seal")
    try:
        return _SUITE.decrypt(sealed, X25519PrivateKey.from_private_bytes(private), info)
    except (InvalidTag, ValueError):
        raise SealBroken("the seal does not open") from None
