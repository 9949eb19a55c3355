"""Notes every seal that this process makes, so that a test sees whether a key has sealed twice under one nonce."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TypeAlias
from unittest.mock import patch

from artifactstore.crypto.aead import Aead, Buffer

Seal: TypeAlias = tuple[bytes, bytes]


class Seals:
    """What was sealed, as pairs of key and nonce.

    Args:
        before: What had been sealed before.

    Attributes:
        seen: All pairs.
        repeated: Those that came twice (invariant 14: there are none).
    """

    def __init__(self, before: Iterable[Seal] = ()) -> None:
        self.seen = set(before)
        self.repeated: list[Seal] = []
        # Ciphers are kept alive, so that no other object takes the number of one.
        self._keys: dict[int, tuple[Aead, bytes]] = {}

    def made(self, aead: Aead, key: Buffer) -> None:
        """A cipher was made for a key."""
        self._keys[id(aead)] = (aead, bytes(key))

    def sealed(self, aead: Aead, nonce: bytes) -> None:
        """A cipher has sealed; of one that is older than this watch nothing is known but itself."""
        known = self._keys.get(id(aead))
        pair = (id(aead).to_bytes(8, "big") if known is None else known[1], bytes(nonce))
        if pair in self.seen:
            self.repeated.append(pair)
        self.seen.add(pair)


@contextmanager
def noted_seals(before: Iterable[Seal] = ()) -> Iterator[Seals]:
    """Note every seal for the length of a block."""
    noted = Seals(before)
    make, seal, seal_into = Aead.__init__, Aead.seal, Aead.seal_into

    def noted_make(self: Aead, key: Buffer) -> None:
        make(self, key)
        noted.made(self, key)

    def noted_seal(self: Aead, nonce: bytes, data: Buffer, aad: Buffer) -> bytes:
        noted.sealed(self, nonce)
        return seal(self, nonce, data, aad)

    def noted_seal_into(self: Aead, nonce: bytes, data: Buffer, aad: Buffer, out: memoryview) -> int:
        noted.sealed(self, nonce)
        return seal_into(self, nonce, data, aad, out)

    with (
        patch.object(Aead, "__init__", noted_make),
        patch.object(Aead, "seal", noted_seal),
        patch.object(Aead, "seal_into", noted_seal_into),
    ):
        yield noted
