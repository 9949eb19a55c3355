"""Sealing and opening bytes with AES-256-GCM.

A key seals each nonce at most once (invariant 14); who holds the key counts. A failed tag raises and never
returns. The GIL is released while data is worked on.
"""

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from artifactstore.crypto.suite import KEY_SIZE_BYTES, NONCE_COUNT_MAX, NONCE_SIZE_BYTES, TAG_SIZE_BYTES

Buffer = bytes | bytearray | memoryview

__all__ = ["Aead", "Buffer", "SealBroken", "counter_nonce"]


class SealBroken(Exception):
    """A seal or a signature does not verify: wrong key, wrong context or altered bytes.

    It names no object: the caller, who knows which one it read, raises `Damaged` or `WrongKey` from it.
    """


def counter_nonce(n: int) -> bytes:
    """The nonce for ordinal `n`: 12 bytes, big-endian.

    Raises:
        ValueError: `n` is negative or does not fit.
    """
    if not 0 <= n <= NONCE_COUNT_MAX:
        raise ValueError(f"nonce counter {n} is out of range")
    return n.to_bytes(NONCE_SIZE_BYTES, "big")


class Aead:
    """AES-256-GCM under one key. Thread-safe.

    Args:
        key: 32 bytes.

    Raises:
        ValueError: The key has another length.
    """

    __slots__ = ("_cipher",)

    def __init__(self, key: Buffer) -> None:
        if len(key) != KEY_SIZE_BYTES:
            raise ValueError(f"a key has {KEY_SIZE_BYTES} bytes, not {len(key)}")
        self._cipher = AESGCM(key)

    def seal(self, nonce: bytes, data: Buffer, aad: Buffer) -> bytes:
        """Return the ciphertext of `data` followed by its 16-byte tag; `aad` is authenticated with it."""
        return self._cipher.encrypt(nonce, data, aad)

    def seal_into(self, nonce: bytes, data: Buffer, aad: Buffer, out: memoryview) -> int:
        """Write ciphertext and tag to the start of `out` and return their length, `len(data) + 16`.

        Raises:
            ValueError: `out` is shorter than that.
        """
        # The library demands a buffer of exactly this size.
        return self._cipher.encrypt_into(nonce, data, aad, out[: len(data) + TAG_SIZE_BYTES])

    def open(self, nonce: bytes, data: Buffer, aad: Buffer) -> bytes:
        """Return the plaintext of what `seal` made with the same key, nonce and `aad`.

        Raises:
            SealBroken: The tag does not verify.
        """
        try:
            return self._cipher.decrypt(nonce, data, aad)
        except InvalidTag:
            raise SealBroken("the tag does not verify") from None
