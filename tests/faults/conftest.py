"""The world in which every operation of a client is failed in its turn."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from artifactstore.testing.model import ModelStore
from artifactstore.testing.simulation import World
from tests.faults.enumeration import ARTIFACT, CONTENTS, FILE_BYTES, Prepared


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    for name, contents in CONTENTS.items():
        for path, data in contents.items():
            target = tmp_path / "sources" / name / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)
    return tmp_path / "sources"


@pytest.fixture
def states(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly every record comes with a new state of the store."""
    monkeypatch.setattr("artifactstore.catalog.state._TAIL_BYTES_MIN", 0)


@pytest.fixture
def small_packs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One file is a batch and a pack, and every pack is worth a pending record."""
    monkeypatch.setattr("artifactstore.content.put.PACK_BYTES_TARGET", FILE_BYTES)
    monkeypatch.setattr("artifactstore.transfer.push.BATCH_FILES", 1)
    monkeypatch.setattr("artifactstore.transfer.push.PENDING_BYTES", FILE_BYTES)


@pytest.fixture
def narrow_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """A newcomer looks for the end of the log by 4 requests at once and not by 64: each is failed in its turn."""
    monkeypatch.setattr("artifactstore.log.head._WIDTH", 4)
    monkeypatch.setattr("artifactstore.log.head._FIRST_POINTS", (4, 16, 32))


@pytest.fixture
def prepared(tmp_path: Path, sources: Path, small_packs: None, narrow_search: None) -> Iterator[Prepared]:
    folder = tmp_path / "world"
    folder.mkdir()
    world, model = World(folder), ModelStore()
    with closing(world.create()) as store:
        store.push([sources / "first"], ARTIFACT, aliases=["prod"], tags=["raw"])
    model.push(ARTIFACT, CONTENTS["first"], aliases=["prod"], tags=["raw"])
    yield Prepared(world, model)
    world.end()
