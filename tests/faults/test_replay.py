"""Replaying in many steps, and beside writers that use the same index."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from artifactstore.backend.base import Backend
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.format.record import slot_name
from artifactstore.testing import invariants
from artifactstore.testing.simulation import World

ARTIFACT = "project/data"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    folder = tmp_path / "world"
    folder.mkdir()
    made = World(folder)
    made.create().close()
    yield made
    made.end()


def source(tmp_path: Path, name: str) -> Path:
    path = tmp_path / name
    path.write_bytes(name.encode())
    return path


@pytest.mark.parametrize("records", [1, 2, 3, 4, 5, 8, 9])
def test_a_long_log_is_followed_to_its_end(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: int
) -> None:
    """Records are read in batches; a client that is behind by several of them stops at the head, not before."""
    monkeypatch.setattr("artifactstore.log.log._BATCH_RECORDS", 2)
    with world.client() as store:
        for number in range(records):
            store.push([source(tmp_path, f"{number}")], ARTIFACT)
    with world.client("another") as store:
        assert len(store.versions(ARTIFACT)) == records
        assert next(store.log()).slot == records


class Beside(WrapperBackend):
    """Something else happens, once, just before an object is read."""

    def __init__(self, inner: Backend, name: str, happening: Callable[[], None]) -> None:
        super().__init__(inner)
        self._name = name
        self._happening: Callable[[], None] | None = happening

    def get(self, name: str, *, limit_bytes: int) -> bytes:
        if name == self._name and self._happening is not None:
            happening, self._happening = self._happening, None
            happening()
        return self.inner.get(name, limit_bytes=limit_bytes)


def test_a_state_is_of_one_moment(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A record that another process applies to the same index meanwhile is in the state whole or not at all."""
    with world.client() as store:
        store.push([source(tmp_path, "first")], ARTIFACT)
        store.push([source(tmp_path, "next")], ARTIFACT)
    monkeypatch.setattr("artifactstore.catalog.state._TAIL_BYTES_MIN", 0)

    def happening() -> None:
        with monkeypatch.context() as patch, world.client() as other:
            patch.setattr("artifactstore.catalog.state._TAIL_BYTES_MIN", 1 << 30)
            other.push([source(tmp_path, "beside")], "project/beside")

    # Nobody but the maker of a state reads a record again that the index has applied, and is not its last.
    with closing(world.open(wrap=lambda inner: Beside(inner, slot_name(1), happening))) as store:
        store.push([source(tmp_path, "second")], ARTIFACT)
        assert [entry.operations for entry in store.log(limit=1)] == [("push project/data", "state")]
        assert len(store.versions("project/beside")) == 1
        with world.client("new") as new:
            invariants.assert_whole(new)
            invariants.assert_same_index(store._parts, new._parts)
