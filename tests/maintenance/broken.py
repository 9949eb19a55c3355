"""A small store of three versions in many packs, and every way in which one like it can be broken."""

from pathlib import Path
from typing import Any

from artifactstore import Store
from artifactstore.format.pack import PackType
from artifactstore.format.record import slot_name
from artifactstore.pack.names import pack_name
from tests.stores import Tree, make_store, noise, read_tree, reopened, write_tree

SHARED = noise(300_000, 9)
TREES: dict[str, Tree] = {
    "p/a:v0": {"one": noise(200_000, 1), "shared": SHARED, "docs/readme": b"read me"},
    "p/a:v1": {"one": noise(200_000, 2), "shared": SHARED, "docs/readme": b"read me"},
    "p/b:v0": {"other": noise(250_000, 3)},
}
# Long enough that the third version's record names a state.
DESCRIPTION = "What changed. " * 2500


class Small:
    """A store with what was pushed into it, and clients of it.

    Args:
        folder: For sources, keys and caches.
        url: Where its objects lie; in memory where None.
        storage_options: How they are reached.
    """

    def __init__(
        self, folder: Path, url: str | None = None, storage_options: dict[str, Any] | None = None
    ) -> None:
        self.folder = folder
        self._options = storage_options
        self.store = make_store(folder, url, storage_options=storage_options)
        for reference in TREES:
            self.push(reference)

    def push(self, reference: str, artifact: str = "") -> None:
        """Push the files of a version, again, or elsewhere."""
        source = self.folder / "sources" / reference
        if not source.exists():
            write_tree(source, TREES[reference])
        self.store.push([source], artifact or reference.partition(":")[0], description=DESCRIPTION)

    def newcomer(self, name: str = "newcomer") -> Store:
        """A client without memory."""
        return reopened(self.folder, self.store, cache=name, storage_options=self._options)

    def restores(self, store: Store, reference: str) -> bool:
        """Whether a version comes back as it was pushed."""
        target = self.folder / f"pulled-{len(list(self.folder.iterdir()))}"
        store.pull(reference, target)
        return read_tree(target) == TREES[reference]

    # --- its objects -----------------------------------------------------------------------------------------

    def packs(self, kind: PackType, slot: int | None = None) -> list[str]:
        """Names of the packs of one type, oldest first; those that one record registered."""
        parts = self.store._parts
        with parts.environment.read() as txn:
            return [
                pack_name(pack.added.name)
                for pack in parts.packs.all(txn)
                if pack.added.type == kind and slot in {None, pack.slot}
            ]

    def slots(self) -> int:
        """How many slots the log has."""
        return self.store._parts.catalog.position().next_slot

    def get(self, name: str) -> bytes:
        """The bytes of an object."""
        return self.store._parts.backend.get(name, limit_bytes=1 << 30)

    def put(self, name: str, data: bytes) -> None:
        """Replace an object."""
        self.store._parts.backend.put(name, data)

    def delete(self, name: str) -> None:
        """Take an object away."""
        self.store._parts.backend.delete(name)

    def exists(self, name: str) -> bool:
        """Whether an object is there."""
        return self.store._parts.backend.exists(name)

    # --- damage ----------------------------------------------------------------------------------------------

    def cut(self, name: str) -> None:
        """Leave the first half of an object."""
        self.put(name, self.get(name)[: len(self.get(name)) // 2])

    def flip(self, name: str, at: int) -> None:
        """Change one bit."""
        data = bytearray(self.get(name))
        data[at] ^= 4
        self.put(name, bytes(data))

    def swap(self, one: str, other: str) -> None:
        """Put two objects in each other's place."""
        first, second = self.get(one), self.get(other)
        self.put(one, second)
        self.put(other, first)

    def objects(self) -> dict[str, bytes]:
        """A copy of the bucket."""
        backend = self.store._parts.backend
        return {info.name: backend.get(info.name, limit_bytes=info.size_bytes) for info in backend.list("")}

    def restore(self, objects: dict[str, bytes]) -> None:
        """Make the bucket what it was when it was copied."""
        for name in self.objects():
            self.delete(name)
        for name, data in objects.items():
            self.put(name, data)

    def set_back(self, slots: int) -> dict[str, bytes]:
        """Give the log the length that it once had; return what is gone."""
        gone = {slot_name(slot): self.get(slot_name(slot)) for slot in range(slots, self.slots())}
        for name in gone:
            self.delete(name)
        return gone
