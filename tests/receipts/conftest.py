"""A store with a history of deletions: two sweeps, three purged versions, their receipts."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from artifactstore import Store
from artifactstore.keyring.keyring import Keyring
from tests.stores import make_store, noise, write_tree


class History(NamedTuple):
    """The store, the exported receipts of what was purged, and what an old member kept."""

    store: Store
    receipts: dict[str, bytes]
    old: Keyring
    copy: Path

    @property
    def bucket(self) -> Path:
        return Path(self.store.url)


def push(store: Store, folder: Path, seed: int, artifact: str = "p/n") -> None:
    tree = {f"part/{number:03}": b"%d of %d\n" % (number, seed) for number in range(30)}
    write_tree(folder, tree | {"kept": noise(200_000), "own": noise(5_000_000, seed)})
    store.push([folder], artifact)


def make_history(folder: Path) -> History:
    """Make one in an empty folder."""
    store = make_store(folder, folder / "store")
    old = store._parts.keyring
    for seed in range(1, 4):
        push(store, folder / "in", seed)
    push(store, folder / "in", 1, "q/twin")
    shutil.copytree(folder / "store", folder / "copy")
    store.delete(["p/n:v1"], reason="asked \u2013 by letter", requested_by="Ana Overbeck", now=True)
    store.gc()
    for label in ("one", "two", "three"):
        store.add_tags("p/n:v2", [label])
    store.delete(["p/n:v0", "p/n:v2"], reason="contract ended", force=True, now=True)
    store.gc()
    store.add_tags("q/twin", ["left"])
    exported = {
        one.reference: store.receipts.export(one.id, disclose=("reason", "name") if one.slot > 8 else ())
        for one in store.receipts.list()
    }
    return History(store, exported, old, folder / "copy")


@pytest.fixture(scope="session")
def history(tmp_path_factory: pytest.TempPathFactory) -> Iterator[History]:
    """One for all tests that change nothing of it."""
    made = make_history(tmp_path_factory.mktemp("history"))
    yield made
    made.store.close()
