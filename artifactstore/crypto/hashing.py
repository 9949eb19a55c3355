"""BLAKE3 and SHA-256 of bytes, whole or in steps.

Both release the GIL on inputs above 2 KiB. BLAKE3 runs on the calling thread only: how many threads work is
the business of `Executors`.
"""

from hashlib import sha256 as Sha256  # noqa: N812 - a type in all but spelling

from blake3 import blake3 as Blake3  # noqa: N812 - a type in all but spelling

Buffer = bytes | bytearray | memoryview

__all__ = ["Blake3", "Buffer", "Sha256", "blake3", "keyed_blake3", "sha256"]


def sha256(data: Buffer) -> bytes:
    """The SHA-256 of `data`, 32 bytes."""
    return Sha256(data).digest()


def blake3(data: Buffer) -> bytes:
    """The BLAKE3-256 of `data`, 32 bytes: what `b3sum` prints."""
    return Blake3(data).digest()


def keyed_blake3(key: bytes, data: Buffer) -> bytes:
    """The BLAKE3-256 of `data` keyed with 32 bytes: a MAC, and the id of a chunk."""
    return Blake3(data, key=key).digest()
