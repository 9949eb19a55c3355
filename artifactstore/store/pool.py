"""Many stores in one process: opened when they are asked for, closed when others need their room, never while in use.

A server that keeps a store for each tenant has more of them than it can have open. A pool knows how each is opened,
keeps at most so many open, and closes the one whose last use is longest ago. What is lent is never closed.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

from artifactstore.clock import Clock, SystemClock
from artifactstore.content.get import CACHE_BYTES
from artifactstore.errors import PoolExhausted, StoreClosed
from artifactstore.executors import Workers
from artifactstore.forks import renewed_in_children
from artifactstore.observer import LOGGER, Observer
from artifactstore.store.store import Store

# Of an open store on a folder: the index's data, twice, its locks, and one that is about to be opened.
FILES_PER_STORE: Final = 4
# Threads that open stores, or wait for room, on behalf of event loops.
_ENTERING_MAX: Final = 8


class Tenant(NamedTuple):
    """How one store of a pool is opened; what is None is as for `Store.open`.

    Attributes:
        url: Where it lies.
        key_file: Its key file.
        passphrase: A passphrase or a recovery phrase, instead of a key file.
        password_command: A command that prints one, instead of a key file.
        store_id: The id that it must have, as hex: a tenant is then never given another's store.
        cache_dir: Where this client's index of it goes.
        storage_options: What the backend's file system takes.
        single_writer: Vouch for being the only writer, on a backend without exclusive create.
    """

    url: str
    key_file: Path | None = None
    passphrase: str | None = None
    password_command: str | None = None
    store_id: str | None = None
    cache_dir: Path | None = None
    storage_options: Mapping[str, Any] | None = None
    single_writer: bool = False

    def __repr__(self) -> str:
        """Without secrets, and without the URL: representations end up in logs."""
        return f"Tenant(store_id={self.store_id!r})"


class _Member:
    """A store of the pool, or one that is being opened.

    Attributes:
        tenant: Whose it is.
        store: The store; None while it is being opened.
        failed: Whether it could not be opened.
        leases: How many use it, or wait for it.
        used_s: When it was last given back.
    """

    def __init__(self, tenant: str) -> None:
        self.tenant = tenant
        self.store: Store | None = None
        self.failed = False
        # Whoever makes it has it.
        self.leases = 1
        self.used_s = 0.0

    def is_settled(self) -> bool:
        """Whether it is open, or could not be opened."""
        return self.store is not None or self.failed

    @property
    def is_idle(self) -> bool:
        """Whether it may be closed."""
        return self.store is not None and not self.leases


class PoolInfo(NamedTuple):
    """What a pool holds at one moment.

    Attributes:
        stores: Stores that are open, or being opened.
        in_use: Those of them that are lent.
        leases: Leases of them.
        opened: How often one was opened so far.
        closed: How often one was closed.
    """

    stores: int
    in_use: int
    leases: int
    opened: int
    closed: int


class Lease:
    """A store that is lent; a context manager, in a thread (`with`) and on an event loop (`async with`).

    Made by `StorePool.lease`. The store is asked for when the block is entered, which may take as long as opening it,
    and given back when it is left; what was taken of the store, such as a version, is not used afterwards.
    """

    def __init__(self, pool: "StorePool", tenant: str) -> None:
        self._pool = pool
        self._tenant = tenant
        self._member: _Member | None = None
        self._lock = threading.Lock()
        self._unwanted = False

    def __enter__(self) -> Store:
        self._member, store = self._pool._take(self._tenant)  # noqa: SLF001 - the two are one
        return store

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        member, self._member = self._member, None
        if member is not None:
            self._pool._give_back(member)  # noqa: SLF001 - the two are one

    async def __aenter__(self) -> Store:
        entering = self._pool._entering().submit(self._enter_for_a_task)  # noqa: SLF001 - the two are one
        try:
            return await asyncio.wrap_future(entering)
        except asyncio.CancelledError:
            # Its thread may go on: what it gets is given back.
            with self._lock:
                self._unwanted = True
                got = self._member is not None
            if got:
                self.__exit__(None, None, None)
            raise

    def _enter_for_a_task(self) -> Store:
        member, store = self._pool._take(self._tenant)  # noqa: SLF001 - the two are one
        with self._lock:
            if not self._unwanted:
                self._member = member
                return store
        self._pool._give_back(member)  # noqa: SLF001 - the two are one
        raise asyncio.CancelledError

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)


class StorePool:
    """Stores of many tenants, of which so many are open at once. Thread-safe; a context manager.

    Args:
        tenant: Called with a tenant's name for how its store is opened; the place to fetch its key. It is called on the
            thread that asks, each time that the store is opened, and may raise whatever fits an unknown tenant.
        stores_max: How many stores may be open.
        files_max: How many files they may have open: 4 each, so that it bounds `stores_max`. Connections of a remote
            backend come on top.
        memory_bytes: How much of what was opened all stores together keep for the next read, at most 16 MiB each.
        operations: How many pushes, pulls and the like run at once over all stores; others wait for their turn.
        wait_s: How long to wait for room where all stores are lent, and for an operation's turn; for ever when None.
        observer: Told of operations and requests of all stores.
        clock: Time; the system's when None.

    Raises:
        ValueError: A bound allows no store at all.
    """

    def __init__(
        self,
        tenant: Callable[[str], Tenant],
        *,
        stores_max: int = 64,
        files_max: int | None = None,
        memory_bytes: int = 256 << 20,
        operations: int = 4,
        wait_s: float | None = 30.0,
        observer: Observer | None = None,
        clock: Clock | None = None,
    ) -> None:
        bound = stores_max if files_max is None else min(stores_max, files_max // FILES_PER_STORE)
        if bound < 1 or memory_bytes < 0:
            raise ValueError("these bounds allow no store at all")
        self._tenant = tenant
        self._bound = bound
        self._cache_bytes = min(CACHE_BYTES, memory_bytes // bound)
        self._wait_s = wait_s
        self._observer = observer
        self._clock = clock or SystemClock()
        self._workers = Workers(operations=operations, wait_s=wait_s)
        self._opened = self._closed_count = 0
        # Least recently used first.
        self._members: OrderedDict[str, _Member] = OrderedDict()
        self._closed = False
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        """In a child of a fork: what threads of the parent had lent is nobody's here."""
        self._changed = threading.Condition()
        self._enterers: ThreadPoolExecutor | None = None
        for name, member in list(self._members.items()):
            member.leases = 0
            if member.store is None:
                del self._members[name]

    def lease(self, tenant: str) -> Lease:
        """Borrow a tenant's store, for a `with` or `async with` block.

        Entering the block opens the store where it is not open, once for all who ask for it at the same time.

        Raises:
            PoolExhausted: When the block is entered: all stores that may be open are lent, and none came back in time.
            StoreClosed: The pool was closed.
            ArtifactStoreError: The store can't be opened; the next one who asks tries again.
        """
        return Lease(self, tenant)

    def close_idle(self, seconds: float) -> int:
        """Close the stores that nobody has used for so long; return how many those were."""
        now_s = self._clock.monotonic_s()
        with self._changed:
            idle = [
                name
                for name, member in self._members.items()
                if member.is_idle and now_s - member.used_s >= seconds
            ]
            for name in idle:
                self._close(name)
        return len(idle)

    def info(self) -> PoolInfo:
        """What is open and lent now."""
        with self._changed:
            leases = [member.leases for member in self._members.values()]
            return PoolInfo(
                len(leases), sum(map(bool, leases)), sum(leases), self._opened, self._closed_count
            )

    def close(self, timeout_s: float | None = None) -> bool:
        """Lend nothing any more, wait for what is lent, and close everything. Idempotent.

        Args:
            timeout_s: How long to wait; for ever when None. What is still lent then is closed all the same, and whoever
                uses it is told so by `StoreClosed`.

        Returns:
            Whether all of it had come back.
        """
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            all_back = self._changed.wait_for(
                lambda: not any(member.leases for member in self._members.values()), timeout_s
            )
            for name in list(self._members):
                self._close(name)
            enterers, self._enterers = self._enterers, None
        if enterers is not None:
            enterers.shutdown(wait=all_back)
        if all_back:
            self._workers.close()
        return all_back

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- inside -----------------------------------------------------------------------------------------------

    def _take(self, tenant: str) -> tuple[_Member, Store]:
        """Borrow a store, opened if need be."""
        while True:
            with self._changed:
                self._refuse_closed()
                member = self._members.get(tenant)
                if member is None:
                    member = self._with_room(tenant)
                    if member is None:
                        continue  # somebody was faster
                    break
                member.leases += 1
                if self._changed.wait_for(member.is_settled, self._wait_s):
                    if member.store is not None:
                        return member, member.store
                    continue  # it could not be opened: this one tries
                member.leases -= 1
                raise PoolExhausted(f"a store was not open after {self._wait_s:g} s", waited_s=self._wait_s)
        try:
            store = self._open(tenant)
        except BaseException:
            with self._changed:
                member.failed = True
                self._members.pop(tenant, None)
                self._changed.notify_all()
            raise
        with self._changed:
            member.store = store
            self._opened += 1
            self._changed.notify_all()
            if self._members.get(tenant) is member:
                return member, store
        # The pool was closed, and did not wait for it.
        store.close()
        raise StoreClosed("the pool of stores was closed")

    def _with_room(self, tenant: str) -> _Member | None:
        """Room for one store more, where one is idle by closing it; None where the tenant has got one meanwhile."""
        if not self._changed.wait_for(lambda: self._may_come(tenant), self._wait_s):
            raise PoolExhausted(
                f"all {self._bound} stores of the pool are lent, and none came back in {self._wait_s:g} s",
                stores=self._bound,
                waited_s=self._wait_s,
            )
        self._refuse_closed()
        if tenant in self._members:
            return None
        if len(self._members) >= self._bound:
            idle = next(name for name, member in self._members.items() if member.is_idle)
            self._close(idle)
        member = self._members[tenant] = _Member(tenant)
        return member

    def _may_come(self, tenant: str) -> bool:
        return (
            self._closed
            or tenant in self._members
            or len(self._members) < self._bound
            or any(member.is_idle for member in self._members.values())
        )

    def _entering(self) -> ThreadPoolExecutor:
        """Threads on which tasks of event loops wait for their stores: not the loop's own, which who has one needs."""
        with self._changed:
            self._refuse_closed()
            if self._enterers is None:
                self._enterers = ThreadPoolExecutor(_ENTERING_MAX, "artifactstore-lease")
            return self._enterers

    def _open(self, name: str) -> Store:
        tenant = self._tenant(name)
        store = Store.open(
            tenant.url,
            key_file=tenant.key_file,
            passphrase=tenant.passphrase,
            password_command=tenant.password_command,
            store_id=tenant.store_id,
            cache_dir=tenant.cache_dir,
            storage_options=tenant.storage_options,
            single_writer=tenant.single_writer,
            cache_bytes=self._cache_bytes,
            observer=self._observer,
            make_executors=self._workers,
        )
        LOGGER.info("store %s: opened in a pool", store.id[:12])
        return store

    def _give_back(self, member: _Member) -> None:
        with self._changed:
            member.leases -= 1
            member.used_s = self._clock.monotonic_s()
            if self._members.get(member.tenant) is member:
                self._members.move_to_end(member.tenant)
            self._changed.notify_all()

    def _close(self, name: str) -> None:
        """Close a store; the lock is held, so that no more are open than may be."""
        store = self._members.pop(name).store
        self._changed.notify_all()
        if store is not None:
            self._closed_count += 1
            store.close()
            LOGGER.info("store %s: closed in a pool", store.id[:12])

    def _refuse_closed(self) -> None:
        if self._closed:
            raise StoreClosed("the pool of stores was closed")
