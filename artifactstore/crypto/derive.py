"""Deriving keys from secrets: HKDF-SHA256 (RFC 5869)."""

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from artifactstore.crypto.suite import KEY_SIZE_BYTES


def hkdf_sha256(secret: bytes, *, salt: bytes, info: bytes, size: int = KEY_SIZE_BYTES) -> bytes:
    """Derive `size` bytes, at most 8,160, from `secret`.

    Args:
        secret: Uniform key material.
        salt: Fresh random bytes, or empty where one secret has a fixed tree of keys below it.
        info: What the key is for; distinct purposes never share it.
        size: Bytes wanted.
    """
    return HKDF(algorithm=SHA256(), length=size, salt=salt, info=info).derive(secret)
