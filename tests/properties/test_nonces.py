"""Invariant 14: over the whole life of a store, no key ever seals two things under one nonce."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from artifactstore.testing import invariants
from artifactstore.testing.seals import Seals, noted_seals
from artifactstore.testing.simulation import SeededRandomness, World

PUSHES = 6


@pytest.fixture
def seals() -> Iterator[Seals]:
    with noted_seals() as noted:
        yield noted


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
