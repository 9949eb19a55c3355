"""A pool of stores: each tenant gets its own, no more are open than may be, and none that is lent is closed."""

import asyncio
import os
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artifactstore import Store, StorePool, Tenant
from artifactstore.errors import KeyMissing, NoSuchStore, PoolExhausted, RolledBack, StoreClosed
from artifactstore.store.pool import FILES_PER_STORE
from tests.stores import FakeClock

TENANTS = [f"tenant{number}" for number in range(12)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Tenant]:
    """Twelve tenants, each with a store, a key and a version of its own."""
    folder = tmp_path_factory.mktemp("tenants")
    tenants = {}
    for name in TENANTS:
        key, cache = folder / f"{name}.key", folder / "cache"
        with Store.create(folder / name, key_file=key, cache_dir=cache) as store:
            store.push_stream(name.encode(), "p/n", path="whose")
            tenants[name] = Tenant(str(folder / name), key_file=key, store_id=store.id, cache_dir=cache)
    return tenants


@pytest.fixture
def asked() -> Counter[str]:
    return Counter()


@pytest.fixture
def pool(made: dict[str, Tenant], asked: Counter[str]) -> Iterator[StorePool]:
    def tenant(name: str) -> Tenant:
        asked[name] += 1
        return made[name]

    with StorePool(tenant, stores_max=3, wait_s=5) as pool:
        yield pool
    assert pool.info().stores == 0


def whose(store: Store) -> str:
    return b"".join(store.version("p/n").stream("whose")).decode()


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


def test_a_store_is_opened_once_and_the_longest_unused_closed(pool: StorePool, asked: Counter[str]) -> None:
    """The fourth tenant takes the room of the one that was used longest ago."""
    for name in TENANTS[:3]:
        with pool.lease(name) as store:
            assert whose(store) == name
    with pool.lease(TENANTS[0]):
        pass
    assert (pool.info().stores, pool.info().opened, pool.info().closed) == (3, 3, 0)
    with pool.lease(TENANTS[3]) as store:
        assert whose(store) == TENANTS[3]
    for name in (TENANTS[0], TENANTS[2], TENANTS[3]):
        with pool.lease(name):
            pass
    assert asked == dict.fromkeys(TENANTS[:4], 1)
    with pool.lease(TENANTS[1]):
        pass
    assert asked[TENANTS[1]] == 2


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files in /proc")
def test_32_threads_over_twelve_tenants(pool: StorePool) -> None:
    """Each gets what is its own, at no time are more open than may be, and nothing is left open."""
    before, threads_before = open_files(), threading.active_count()
    most_files = most_open = 0
    stop = threading.Event()

    def watch() -> None:
        nonlocal most_files, most_open
        while not stop.wait(0.002):
            most_files = max(most_files, open_files() - before)
            most_open = max(most_open, pool.info().stores)

    def work(thread: int) -> None:
        chosen = random.Random(thread)
        for turn in range(6):
            name = chosen.choice(TENANTS)
            with pool.lease(name) as store:
                assert whose(store) == name
                if turn == 3:
                    store.push_stream(f"{name} {thread}".encode(), f"p/t{thread}", path="x")
                    assert b"".join(store.version(f"p/t{thread}").stream("x")) == f"{name} {thread}".encode()

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(32) as workers:
        for done in [workers.submit(work, thread) for thread in range(32)]:
            done.result()
    stop.set()
    watcher.join()
    assert 1 < most_open <= 3
    info = pool.info()
    assert (info.in_use, info.leases, info.opened - info.closed) == (0, 0, info.stores)
    # Beside those of open stores: what a push or pull opens while it runs.
    assert most_files <= 3 * FILES_PER_STORE + 32
    pool.close()
    # What other tests have left may be closed meanwhile.
    assert open_files() <= before
    assert threading.active_count() == threads_before


def test_who_is_lent_one_is_never_closed(pool: StorePool) -> None:
    """Room is waited for while all are lent; the first that comes back makes it."""
    with pool.lease(TENANTS[0]) as first, pool.lease(TENANTS[1]), ThreadPoolExecutor(1) as waiting:
        with pool.lease(TENANTS[2]), pool.lease(TENANTS[2]) as same, pool.lease(TENANTS[2]) as other:
            assert same is other
            fourth = waiting.submit(lambda: whose(pool.lease(TENANTS[3]).__enter__()))
            with pytest.raises(TimeoutError):
                fourth.result(0.1)
        assert fourth.result(5) == TENANTS[3]
        assert whose(first) == TENANTS[0]
        pool._give_back(pool._members[TENANTS[3]])


def test_no_room_is_an_error_after_a_while(made: dict[str, Tenant]) -> None:
    """It says how many are lent, and the pool goes on."""
    with StorePool(made.__getitem__, stores_max=1, wait_s=0.05) as pool:
        with pool.lease(TENANTS[0]), pytest.raises(PoolExhausted, match="all 1 stores"):
            pool.lease(TENANTS[1]).__enter__()
        with pool.lease(TENANTS[1]) as store:
            assert whose(store) == TENANTS[1]


def test_a_store_that_cant_be_opened_is_tried_again(made: dict[str, Tenant], tmp_path: Path) -> None:
    """Everybody who waited for it is told, no room is lost, and nobody gets another tenant's store."""
    wrong = {
        "gone": made[TENANTS[0]]._replace(url=str(tmp_path / "gone"), store_id=None),
        "keyless": made[TENANTS[0]]._replace(key_file=tmp_path / "none"),
        "mixed": made[TENANTS[0]]._replace(store_id=made[TENANTS[1]].store_id),
    }
    tenants = {**made, **wrong}
    with StorePool(tenants.__getitem__, stores_max=1, wait_s=5) as pool:
        for name, error in (
            ("gone", NoSuchStore),
            ("keyless", KeyMissing),
            ("mixed", RolledBack),
            ("?", KeyError),
        ):
            with ThreadPoolExecutor(4) as workers:
                for task in [workers.submit(pool.lease(name).__enter__) for _ in range(4)]:
                    with pytest.raises(error):
                        task.result()
        assert pool.info() == (0, 0, 0, 0, 0)
        tenants["gone"] = made[TENANTS[5]]
        with pool.lease("gone") as store:
            assert whose(store) == TENANTS[5]


def test_idle_ones_are_closed_on_demand(made: dict[str, Tenant]) -> None:
    """Those that nobody has used for so long, and none that is lent."""
    clock = FakeClock()
    with StorePool(made.__getitem__, clock=clock) as pool, pool.lease(TENANTS[0]):
        for name in TENANTS[1:3]:
            with pool.lease(name):
                pass
            clock.sleep(10)
        assert pool.close_idle(15) == 1
        assert pool.close_idle(0) == 1
        assert pool.info().stores == 1


def test_a_closed_pool_lends_nothing(made: dict[str, Tenant]) -> None:
    """It waits for what is lent, as long as it is told to; who goes on with a store then is told."""
    pool = StorePool(made.__getitem__)
    lease = pool.lease(TENANTS[0])
    store = lease.__enter__()
    assert not pool.close(timeout_s=0.05)
    with pytest.raises(StoreClosed):
        store.version("p/n")
    with pytest.raises(StoreClosed):
        pool.lease(TENANTS[1]).__enter__()
    lease.__exit__(None, None, None)
    assert pool.close()


def test_bounds_that_allow_nothing_are_refused(made: dict[str, Tenant]) -> None:
    """A bound on files bounds stores; memory is shared out."""
    with pytest.raises(ValueError, match="no store"):
        StorePool(made.__getitem__, files_max=FILES_PER_STORE - 1)
    pool = StorePool(made.__getitem__, files_max=8 * FILES_PER_STORE, memory_bytes=8 << 20)
    assert (pool._bound, pool._cache_bytes) == (8, 1 << 20)


def test_an_event_loop_borrows(pool: StorePool) -> None:
    """Opening happens beside the loop; a task that is cancelled meanwhile keeps nothing."""

    async def one(name: str) -> str:
        async with pool.lease(name) as store:
            return await asyncio.to_thread(whose, store)

    async def main() -> list[str]:
        asking = [asyncio.create_task(one(name)) for name in TENANTS * 2]
        doomed = asyncio.create_task(one(TENANTS[0]))
        await asyncio.sleep(0)
        doomed.cancel()
        return await asyncio.gather(*asking)

    assert asyncio.run(main()) == TENANTS * 2
    assert pool.info().leases == 0


def test_what_a_tenant_is_opened_with_is_not_shown(made: dict[str, Tenant]) -> None:
    """Representations end up in logs."""
    shown = repr(Tenant("s3://user:secret@bucket", passphrase="four words"))
    assert "secret" not in shown
    assert "words" not in shown
