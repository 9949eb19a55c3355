"""Sealing to a public key with an ephemeral key that follows from a seed: what is sealed is the same each time.

HPKE base mode as `artifactstore.crypto.hpke` has it, which takes its randomness from the cryptographic library. What is
sealed here opens there. For simulations, and never for keys of a real store.
"""

import hashlib
import hmac
from typing import Final

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from artifactstore.clock import Randomness

_KEM: Final = b"KEM\0\x20"
_SUITE: Final = b"HPKE\0\x20\0\x01\0\x02"
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12


class SeededSealing:
    """Seals with ephemeral keys from one source of randomness.

    Args:
        randomness: The source.
    """

    def __init__(self, randomness: Randomness) -> None:
        self._randomness = randomness

    def seal_to(self, public: bytes, plaintext: bytes, info: bytes) -> bytes:
        """Seal `plaintext` so that only the private key of `public` opens it (RFC 9180, sections 4.1 and 5.1)."""
        ephemeral = X25519PrivateKey.from_private_bytes(self._randomness.token(_KEY_BYTES))
        encapsulated = ephemeral.public_key().public_bytes_raw()
        shared = ephemeral.exchange(X25519PublicKey.from_public_bytes(public))
        extracted = _extract(_KEM, b"", b"eae_prk", shared)
        secret = _expand(_KEM, extracted, b"shared_secret", encapsulated + public, _KEY_BYTES)
        context = (
            b"\0" + _extract(_SUITE, b"", b"psk_id_hash", b"") + _extract(_SUITE, b"", b"info_hash", info)
        )
        derived = _extract(_SUITE, secret, b"secret", b"")
        key = _expand(_SUITE, derived, b"key", context, _KEY_BYTES)
        nonce = _expand(_SUITE, derived, b"base_nonce", context, _NONCE_BYTES)
        return encapsulated + AESGCM(key).encrypt(nonce, plaintext, b"")


def _extract(suite: bytes, salt: bytes, label: bytes, material: bytes) -> bytes:
    return _hmac(salt or bytes(_KEY_BYTES), b"HPKE-v1" + suite + label + material)


def _expand(suite: bytes, key: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """As many bytes as one round of HMAC gives at most, which is all that is needed here."""
    return _hmac(key, length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info + b"\x01")[:length]


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.digest(key, data, hashlib.sha256)
