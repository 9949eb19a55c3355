"""A pack is found damaged while a push relies on it: the version that is committed does not."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.backend.base import Backend, Buffer
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.errors import PreconditionFailed
from artifactstore.format.operations import Damage
from artifactstore.index.tables import damaged_packs
from tests.stores import make_store, noise, read_tree, reopened, write_tree

BIG, SMALL, NEW = noise(1_500_000, 1), noise(400_000, 2), noise(300_000, 3)


class Overtaken(WrapperBackend):
    """A backend that lets another writer go first, the first time that a slot is to be created."""

    def __init__(self, inner: Backend, other: Callable[[], None]) -> None:
        super().__init__(inner)
        self._other: Callable[[], None] | None = other

    def create(self, name: str, data: Buffer) -> None:
        if name.startswith("log/") and self._other is not None:
            other, self._other = self._other, None
            other()
        super().create(name, data)


@pytest.fixture
def stores(tmp_path: Path):
    """Two clients of one store; the second overtakes the first once, and takes a pack away."""
    with make_store(tmp_path) as store, reopened(tmp_path, store, cache="other") as other:
        store.push([write_tree(tmp_path / "in", {"big": BIG, "small": SMALL})], "p/first")
        lost = [info.name for info in store._parts.backend.list("packs/") if info.size_bytes > len(SMALL)]

        def lose() -> None:
            for name in lost:
                store._parts.backend.delete(name)
            other.refresh()
            other._parts.committer.commit([Damage([bytes.fromhex(name[-64:]) for name in lost], [])])

        store._parts.log._backend = Overtaken(store._parts.log._backend, lose)
        yield store, other


def test_a_push_stores_again_what_was_lost_meanwhile(tmp_path: Path, stores: tuple[Store, Store]) -> None:
    """Its own record loses the slot to the one that says so; it reads its sources again and leaves nothing out."""
    store, other = stores
    write_tree(tmp_path / "in", {"new": NEW})
    version = store.push([tmp_path / "in"], "p/second")
    assert version.push is not None
    assert version.push.new_bytes == len(BIG) + len(SMALL) + len(NEW)
    for reference in ("p/first", "p/second"):
        other.pull(reference, tmp_path / reference)
    assert read_tree(tmp_path / "p/second") == {"big": BIG, "small": SMALL, "new": NEW}
    assert read_tree(tmp_path / "p/first") == {"big": BIG, "small": SMALL}
    with other._parts.environment.read() as txn:
        assert len(damaged_packs(txn)) == 1
    # What it had stored before it started over was registered, and the push is not left open.
    kinds = [entry.kind for entry in other.log()]
    assert kinds == ["commit", "pending", "commit", "commit", "create"]
    with other._parts.environment.read() as txn:
        assert list(txn.scan("pending")) == []


def test_a_stream_says_that_it_must_be_pushed_again(tmp_path: Path, stores: tuple[Store, Store]) -> None:
    """It can't be read twice; nothing is committed, and pushing it again stores what is missing."""
    store, other = stores
    with pytest.raises(PreconditionFailed, match="found damaged"):
        store.push([], "p/second", streams={"big": io.BytesIO(BIG), "new": io.BytesIO(NEW)})
    assert [artifact.artifact for artifact in other.artifacts("p")] == ["p/first"]
    again = store.push([], "p/second", streams={"big": io.BytesIO(BIG), "new": io.BytesIO(NEW)})
    assert again.push is not None
    assert again.push.new_bytes == len(BIG)  # what was new was registered and is not stored twice
    other.pull("p/second", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"big": BIG, "new": NEW}
