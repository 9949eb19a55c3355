"""Invariant 14: over the whole life of a store, no key ever seals two things under one nonce."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from artifactstore.crypto.aead import Aead, Buffer
from artifactstore.testing import invariants
from artifactstore.testing.simulation import SeededRandomness, World

PUSHES = 6


class Seals:
    """Notes every seal of this process."""

    def __init__(self) -> None:
        self.seen: set[tuple[bytes, bytes]] = set()
        self.repeated: list[tuple[bytes, bytes]] = []
        self._keys: dict[int, tuple[Aead, bytes]] = {}

    def made(self, aead: Aead, key: Buffer) -> None:
        # Kept alive, so that no other object takes its number.
        self._keys[id(aead)] = (aead, bytes(key))

    def sealed(self, aead: Aead, nonce: bytes) -> None:
        pair = (self._keys[id(aead)][1], bytes(nonce))
        if pair in self.seen:
            self.repeated.append(pair)
        self.seen.add(pair)


@pytest.fixture
def seals(monkeypatch: pytest.MonkeyPatch) -> Iterator[Seals]:
    noted = Seals()
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

    monkeypatch.setattr(Aead, "__init__", noted_make)
    monkeypatch.setattr(Aead, "seal", noted_seal)
    monkeypatch.setattr(Aead, "seal_into", noted_seal_into)
    return noted


def test_no_nonce_is_used_twice(seals: Seals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packs of many blobs, records, states, index packs and the index itself: every seal has a nonce of its own."""
    monkeypatch.setattr("artifactstore.catalog.state._TAIL_BYTES_MIN", 3000)
    monkeypatch.setattr("artifactstore.content.put.BLOB_RAW_BYTES_TARGET", 1000)
    data = SeededRandomness(5)
    (tmp_path / "world").mkdir()
    world = World(tmp_path / "world")
    world.create().close()
    for number in range(PUSHES):
        source = tmp_path / f"source-{number}"
        source.mkdir()
        for name in range(8):
            (source / f"{name}").write_bytes(data.token(700))
        with world.client(f"cache-{number % 2}") as store:
            store.push([source], "project/data")
            store.add_aliases("project/data", ["newest"])
    with world.client() as store:
        store.rebuild_index()
        invariants.assert_whole(store)
    assert len(seals.seen) > PUSHES * 8
    assert seals.repeated == []
    world.end()
