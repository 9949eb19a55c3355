"""A store on one thread, whose time, randomness and backend a test owns.

A `World` is everything outside the client: the objects, the key file, the clock. Clients with indexes of their own
are opened in it, over a backend that can be told to fail. A world can be copied, so that one history has many
continuations.
"""

import hashlib
import itertools
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Final

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX, Backend, ObjectInfo, answer_of
from artifactstore.backend.opening import open_backend
from artifactstore.client.opening import Access, create_parts, open_parts
from artifactstore.clock import Clock, Randomness
from artifactstore.executors import inline
from artifactstore.keyring.unlocking import Ways
from artifactstore.store.store import Store

_STEP_NS: Final = 1_000_000
# The year 2100: no file of a test is too young for the stat cache.
_START_NS: Final = 4_102_444_800_000_000_000
_NS_PER_S: Final = 1_000_000_000
_numbers = itertools.count()


class SteppedClock:
    """A clock that moves a millisecond whenever it is read, and by any wait at once."""

    def __init__(self, start_ns: int = _START_NS) -> None:
        self._ns = start_ns

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""
        self._ns += _STEP_NS
        return self._ns

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start."""
        return self.now_ns() / _NS_PER_S

    def sleep(self, seconds: float) -> None:
        """Move the time and return."""
        self._ns += int(seconds * _NS_PER_S)


class SeededRandomness:
    """Bytes that look random and are the same for the same seed; never for keys of a real store."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._count = itertools.count()

    def token(self, size: int) -> bytes:
        """Return the next `size` bytes."""
        return hashlib.shake_256(b"%d %d" % (self._seed, next(self._count))).digest(size)


class World:
    """What is outside the clients of one store. Thread-safe, but its clients run on their own threads.

    Args:
        folder: An empty folder for the key file and the indexes.
        seed: Of the randomness.
        url: Where the objects lie; in memory of its own when empty.
        storage_options: How they are reached.

    Attributes:
        objects: The store's objects.
        folder: The folder.
    """

    def __init__(
        self,
        folder: Path,
        *,
        seed: int = 0,
        url: str = "",
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = folder
        self._url = url or f"memory://world-{next(_numbers)}"
        self._storage_options = storage_options or {}
        self.objects = open_backend(self._url, storage_options=storage_options)
        self._clock = SteppedClock()
        self._seed = seed
        self._randomness = SeededRandomness(seed)

    def create(self, cache: str = "cache", *, wrap: Callable[[Backend], Backend] | None = None) -> Store:
        """Make the store.

        Args:
            cache: Which of the world's cache folders the client keeps its index in.
            wrap: Puts a wrapper around the client's backend.
        """
        return self._store(self._access(cache, wrap), create=True)

    def open(
        self,
        cache: str = "cache",
        *,
        wrap: Callable[[Backend], Backend] | None = None,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
    ) -> Store:
        """Open the store, as another client for another `cache`; with time and randomness of its own if given."""
        return self._store(self._access(cache, wrap), create=False, clock=clock, randomness=randomness)

    @contextmanager
    def client(self, cache: str = "cache") -> Iterator[Store]:
        """The store, open for the length of a block."""
        with self.open(cache) as store:
            yield store

    def copy(
        self, folder: Path, *, url: str = "", storage_options: Mapping[str, Any] | None = None
    ) -> "World":
        """A world with the same objects, key and indexes, that goes on by itself from here; no client may be open.

        Args:
            folder: A folder that does not exist yet.
            url: Where the objects shall lie; in memory when empty.
            storage_options: How that is reached.
        """
        shutil.copytree(self.folder, folder)
        other = World(folder, seed=self._seed + 1_000_003, url=url, storage_options=storage_options)
        infos = list(self.objects.list(""))
        for start in range(0, len(infos), PARALLEL_REQUESTS_MAX):
            copies = [
                partial(self._copy, other, info) for info in infos[start : start + PARALLEL_REQUESTS_MAX]
            ]
            for outcome in other.objects.together(copies):
                answer_of(outcome)
        return other

    def _copy(self, other: "World", info: ObjectInfo) -> None:
        other.objects.put(info.name, self.objects.get(info.name, limit_bytes=info.size_bytes))

    def forget(self, cache: str) -> None:
        """Delete a client's index and what it remembers."""
        shutil.rmtree(self.folder / cache, ignore_errors=True)

    def end(self) -> None:
        """Free the objects."""
        for info in self.objects.list(""):
            self.objects.delete(info.name)
        self.objects.close()

    def _access(self, cache: str, wrap: Callable[[Backend], Backend] | None) -> Access:
        return Access(
            url=self._url,
            ways=Ways(self.folder / "key"),
            cache_dir=self.folder / cache,
            storage_options=self._storage_options,
            single_writer=False,
            wrap_backend=wrap,
        )

    def _store(
        self,
        access: Access,
        *,
        create: bool,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
    ) -> Store:
        clock, randomness = clock or self._clock, randomness or self._randomness
        if create:
            parts = create_parts(access, clock, randomness, inline())
        else:
            parts, access = open_parts(access, clock, randomness, store_id=None)
        return Store(
            access,
            parts,
            clock=clock,
            randomness=randomness,
            make_executors=lambda: nullcontext(inline()),
            progress=None,
        )
