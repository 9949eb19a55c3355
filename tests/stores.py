"""Stores for tests: made where a test wants them, the trees that go into them, and a writer without manners."""

import itertools
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from artifactstore import Store
from artifactstore.backend.base import Backend
from artifactstore.clock import SystemRandomness
from artifactstore.content.put import ChunkWriter
from artifactstore.executors import inline
from artifactstore.format.coding import encode
from artifactstore.format.operations import Manifest, Push
from artifactstore.format.pack import PackType
from artifactstore.format.page import Content, Identity, Page, page_chunks, page_digest

Tree = Mapping[str, bytes | str | None]

_numbers = itertools.count()
A_DAY_AGO_NS = 24 * 3600 * 10**9


class FakeClock:
    """Wall time stands still unless told otherwise; waiting costs nothing and is counted."""

    def __init__(self, now_ns: int = 1_700_000_000 * 10**9) -> None:
        self.time_ns = now_ns
        self.waited_s = 0.0
        self._lock = threading.Lock()

    def now_ns(self) -> int:
        return self.time_ns

    def monotonic_s(self) -> float:
        return self.waited_s

    def sleep(self, seconds: float) -> None:
        with self._lock:
            self.waited_s += seconds


def memory_url() -> str:
    """A place in memory that no other test uses."""
    return f"memory://test-{os.getpid()}-{next(_numbers)}"


def new_url() -> str:
    """Where `make_store` makes a store that is given no place; the fixture `stores_in` replaces it."""
    return memory_url()


def make_store(folder: Path, url: str | Path | None = None, **options: Any) -> Store:
    """A new store with its key and cache in `folder`: at `url`, or in memory, or where the test is run on."""
    return Store.create(url or new_url(), key_file=folder / "key", cache_dir=folder / "cache", **options)


def reopened(folder: Path, store: Store | str | Path, *, cache: str = "cache", **options: Any) -> Store:
    """The same store opened again; with another `cache`, as another client."""
    url = store._access.url if isinstance(store, Store) else store
    return Store.open(url, key_file=folder / "key", cache_dir=folder / cache, **options)


def write_tree(folder: Path, tree: Tree) -> Path:
    """Write files (bytes), symlinks (text: the target) and empty folders (None)."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.mkdir()
        elif isinstance(content, str):
            path.symlink_to(content)
        else:
            path.write_bytes(content)
    return folder


def read_tree(folder: Path) -> dict[str, bytes | str | None]:
    """What `write_tree` wrote: files, symlinks and empty folders."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink():
            found[name] = str(path.readlink())
        elif path.is_dir():
            if not any(path.iterdir()):
                found[name] = None
        else:
            found[name] = path.read_bytes()
    return found


def settle(folder: Path) -> Path:
    """Make everything below `folder` a day old, so that the stat cache may trust it."""
    for path in [folder, *folder.rglob("*")]:
        stat = path.lstat()
        old = stat.st_mtime_ns - A_DAY_AGO_NS
        os.utime(path, ns=(old, old), follow_symlinks=False)
    return folder


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that neither compress nor repeat, the same for the same seed."""
    from blake3 import blake3

    return blake3(seed.to_bytes(8, "big")).digest(length=size)


def objects_of(store: Store) -> dict[str, bytes]:
    """Every object of a store, by name."""
    return all_objects(store._parts.backend)


def all_objects(backend: Backend) -> dict[str, bytes]:
    """Every object of a backend, by name."""
    return {info.name: backend.get(info.name, limit_bytes=1 << 30) for info in backend.list("")}


def state_of(store: Store) -> dict[str, bytes]:
    """Every object of the log and of the keys, by name: what a refused operation must leave as it was."""
    return {name: data for name, data in objects_of(store).items() if name.startswith(("log/", "keys/"))}


class RudeWriter:
    """Somebody with the key and an implementation of their own: writes whatever manifest it is told to."""

    def __init__(self, store: Store) -> None:
        self.parts = store._parts
        self.writer = ChunkWriter(
            self.parts.backend,
            self.parts.environment,
            self.parts.keyring,
            inline(),
            SystemRandomness(),
            level=1,
        )

    def put(self, data: bytes, kind: PackType = PackType.DATA) -> bytes:
        """Store a chunk and return its cid."""
        return self.writer.put_one(kind, data)

    def put_page(self, entries: Sequence[tuple[Identity, Content]], level: int = 0) -> Manifest:
        """Store a page as it is and return the manifest of which it is the root."""
        identities = [identity for identity, _ in entries]
        page = encode(Page(level, identities, [content for _, content in entries]))
        size = sum(identity[2] for identity in identities)
        count = len(entries) if level == 0 else sum(content.sizes[0] for _, content in entries)
        cid = self.put(page, PackType.PAGE)
        chunks = page_chunks([content for _, content in entries])
        return Manifest(cid, level, page_digest(identities), size, count, chunks)

    def commit(self, artifact: str, manifest: Manifest) -> None:
        """Commit a manifest as a version."""
        project, _, name = artifact.partition("/")
        push = Push(project, name, "dataset", manifest, None, None, [], [], 0, 0, [], bytes(32), None)
        packs = self.writer.drain()
        self.parts.committer.commit([push], packs)
        self.writer.registered(packs)

    def push(self, artifact: str, entries: Sequence[tuple[Identity, Content]]) -> None:
        """Commit entries as a version, without a look at them."""
        self.commit(artifact, self.put_page(entries))
