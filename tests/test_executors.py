"""Workers: operations share threads, no more of them run at once than may, and each ends with its own tasks."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artifactstore import Workers
from artifactstore.errors import PoolExhausted, StoreClosed
from tests.stores import make_store, noise, write_tree


def test_no_more_operations_run_than_may() -> None:
    """The others wait for their turn, and all have it."""
    workers = Workers(operations=2, width=2, io_width=2)
    most, done = 0, 0
    lock = threading.Lock()

    def operate() -> None:
        nonlocal most, done
        with workers() as lent:
            most = max(most, workers.running)
            assert lent.cpu.submit(lambda: 41 + 1).result() == 42
            time.sleep(0.002)
            with lock:
                done += 1

    with ThreadPoolExecutor(16) as pool:
        for task in [pool.submit(operate) for _ in range(64)]:
            task.result()
    workers.close()
    assert (done, most, workers.running) == (64, 2, 0)


def test_64_pushes_through_four_operations(tmp_path: Path) -> None:
    """All are whole, on as many threads as the workers have."""
    workers = Workers(operations=4, width=2, io_width=4)
    before = threading.active_count()
    with make_store(tmp_path, make_executors=workers) as store, ThreadPoolExecutor(64) as pool:
        sources = [write_tree(tmp_path / str(number), {"a": noise(50_000, number)}) for number in range(64)]
        most = 0

        def push(number: int) -> str:
            nonlocal most
            digest = store.push([sources[number]], f"p/n{number}").digest
            most = max(most, threading.active_count())
            return digest

        assert len(set(pool.map(push, range(64)))) == 64
        assert most <= before + 64 + 2 + 4
        assert store.check(read_data=True).ok
    workers.close()
    assert threading.active_count() == before


def test_a_part_of_an_operation_does_not_wait_for_itself() -> None:
    """The same thread is lent the same executors."""
    workers = Workers(operations=1, wait_s=1)
    with workers() as one, workers() as same:
        assert one is same
    workers.close()


def test_who_waits_too_long_is_told() -> None:
    """With how many run, and the next one has its turn."""
    workers = Workers(operations=1, wait_s=0.02)
    with (
        ThreadPoolExecutor(1) as other,
        workers(),
        pytest.raises(PoolExhausted, match="1 operations are under way"),
    ):
        other.submit(workers().__enter__).result()
    with workers():
        pass
    workers.close()
    with pytest.raises(StoreClosed):
        workers().__enter__()


def test_an_operation_that_fails_drops_its_tasks_and_no_others() -> None:
    """What waits of it never runs; what runs ends before its turn does."""
    workers = Workers(operations=2, width=1, io_width=1)
    ran: list[str] = []
    gate, begun = threading.Event(), threading.Event()
    with workers() as other:

        def failing() -> None:
            with workers() as mine:
                mine.cpu.submit(lambda: (begun.set(), gate.wait(10), ran.append("running")))
                for _ in range(5):
                    mine.cpu.submit(ran.append, "waiting")
                begun.wait(10)
                threading.Timer(0.05, gate.set).start()
                raise KeyError("it")

        with ThreadPoolExecutor(1) as pool:
            failed = pool.submit(failing)
            begun.wait(10)
            kept = other.cpu.submit(ran.append, "other")
            with pytest.raises(KeyError):
                failed.result()
        kept.result(10)
    workers.close()
    assert ran == ["running", "other"]


def test_bounds_are_at_least_one() -> None:
    """No operation could ever run."""
    with pytest.raises(ValueError, match="at least 1"):
        Workers(operations=0)


def test_a_forked_child_has_threads_of_its_own(tmp_path: Path) -> None:
    """Also when the parent's were busy."""
    workers = Workers(operations=1, width=1)
    with workers() as lent:
        lent.cpu.submit(int).result()
        child = os.fork()
        if not child:
            try:
                with workers() as own:
                    os._exit(0 if own.cpu.submit(lambda: 7).result(5) == 7 else 1)
            finally:
                os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    workers.close()
