"""Forks and spawned processes: parent and child each keep a working index of their own."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from artifactstore.index import mapped
from artifactstore.index.environment import Environment, destroy

TABLES = ("a",)
# What pool workers inherit: a fork passes no arguments.
inherited: list[Environment] = []


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    with Environment.open(tmp_path / "index", tables=TABLES) as opened:
        inherited[:] = [opened]
        with opened.write() as txn:
            txn.put("a", b"0", b"parent")
        yield opened


def in_child(work: Callable[[], None]) -> int:
    """The exit status of a forked child that did `work`: 0, or 1 if it raised; killed after a minute."""
    child = os.fork()
    if child == 0:
        signal.alarm(60)
        try:
            work()
        except BaseException:  # noqa: BLE001 - whatever it is, the child must not return into pytest
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def keys(environment: Environment) -> list[bytes]:
    with environment.read() as txn:
        return [key for key, _ in txn.scan("a")]


def write_inherited(n: int) -> int:
    with inherited[0].write() as txn:
        txn.put("a", b"%d" % n, b"child")
    with inherited[0].read() as txn:
        assert txn.get("a", b"0") == b"parent"
    return os.getpid()


def write_opened(arguments: tuple[str, int]) -> int:
    path, n = arguments
    with Environment.open(path, tables=TABLES) as environment, environment.write() as txn:
        txn.put("a", b"%d" % n, b"child")
    return os.getpid()


def test_pool_of_forked_processes(environment: Environment) -> None:
    """Workers that inherited an open environment write through it, beside the parent."""
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(3, mp_context=context) as pool:
        results = [pool.submit(write_inherited, n) for n in range(1, 10)]
        with environment.write() as txn:
            txn.put("a", b"p", b"parent")
        assert os.getpid() not in {result.result() for result in results}
    assert keys(environment) == [b"%d" % n for n in range(10)] + [b"p"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_pool_that_opens_for_itself(environment: Environment, method: str) -> None:
    """Workers that open the folder themselves write beside the parent, under fork and spawn."""
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(2, mp_context=context) as pool:
        list(pool.map(write_opened, [(str(environment.path), n) for n in range(1, 6)]))
    assert keys(environment) == [b"%d" % n for n in range(6)]


def test_the_parents_transactions_survive_a_fork(environment: Environment) -> None:
    """A child that uses and closes everything leaves the parent's open transactions as they were."""

    def work() -> None:
        assert keys(environment) == [b"0"]
        environment.close()

    with environment.read() as reading:
        assert in_child(work) == 0
        assert reading.get("a", b"0") == b"parent"
    with environment.write() as writing:
        writing.put("a", b"1", b"parent")
        assert in_child(lambda: None) == 0
        writing.put("a", b"2", b"parent")
    assert keys(environment) == [b"0", b"1", b"2"]


def test_a_transaction_does_not_cross_a_fork(environment: Environment) -> None:
    """In the child the transaction that it was forked in refuses to be used or committed; a new one works."""

    def work() -> None:
        with pytest.raises(RuntimeError, match="does not survive a fork"):
            reading.get("a", b"0")
        assert keys(environment) == [b"0"]

    with environment.read() as reading:
        assert in_child(work) == 0

    def commit() -> None:
        with pytest.raises(RuntimeError, match="does not survive a fork"):
            writing.__exit__(None, None, None)

    with environment.write() as writing:
        writing.put("a", b"1", b"parent")
        assert in_child(commit) == 0
    assert keys(environment) == [b"0", b"1"]


def test_a_kept_getter_is_found(environment: Environment) -> None:
    """A child that still holds LMDB's own method of the parent's transaction is told, until it lets go."""

    def work() -> None:
        held = [getter]
        getters.clear()
        with pytest.raises(RuntimeError, match="forked in the middle"):
            environment.read().__enter__()
        del held

    with environment.read() as reading:
        getter = reading.getter("a")
        getters = [getter]
        assert in_child(work) == 0
        assert getter(b"0") == b"parent"


def test_a_fork_waits_for_other_threads(environment: Environment) -> None:
    """A fork in the middle of another thread's transaction happens after it, so that the child can work."""
    begun, finish = threading.Event(), threading.Event()
    order: list[str] = []

    def long_transaction() -> None:
        with environment.write() as txn:
            txn.put("a", b"1", b"thread")
            begun.set()
            finish.wait(30)
            order.append("committed")

    thread = threading.Thread(target=long_transaction)
    thread.start()
    begun.wait(30)
    threading.Timer(0.2, finish.set).start()

    def work() -> None:
        assert order == ["committed"]
        assert keys(environment) == [b"0", b"1"]

    assert in_child(work) == 0
    thread.join()


def test_forks_beside_busy_threads(environment: Environment) -> None:
    """Children forked again and again, while threads read and write without pause, all work."""
    stop = threading.Event()

    def busy(n: int) -> None:
        while not stop.is_set():
            with environment.write() as txn:
                txn.put("a", b"busy%d" % n, b"x")
            with environment.read() as outer, environment.read() as inner:
                assert outer.get("a", b"0") == inner.get("a", b"0") == b"parent"

    threads = [threading.Thread(target=busy, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    try:
        assert [in_child(lambda: write_inherited(7) and None) for _ in range(15)] == [0] * 15
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert b"7" in keys(environment)


def test_a_fork_does_not_wait_for_ever(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a transaction does not end in time the fork goes on: the child refuses, the parent is unharmed."""
    monkeypatch.setattr(mapped, "DRAIN_WAIT_S", 0.1)
    begun, finish = threading.Event(), threading.Event()
    found: list[bytes | None] = []

    def long_transaction() -> None:
        with environment.read() as txn:
            get = txn.getter("a")
            begun.set()
            finish.wait(30)
            found.append(get(b"0"))

    thread = threading.Thread(target=long_transaction)
    thread.start()
    begun.wait(30)

    def work() -> None:
        with pytest.raises(RuntimeError, match="forked in the middle"):
            keys(environment)

    assert in_child(work) == 0
    finish.set()
    thread.join()
    assert found == [b"parent"]
    assert keys(environment) == [b"0"]


def test_a_child_of_a_child(environment: Environment) -> None:
    """Forking again in a child works as the first time."""

    def work() -> None:
        write_inherited(1)
        assert in_child(lambda: write_inherited(2) and None) == 0

    assert in_child(work) == 0
    assert keys(environment) == [b"0", b"1", b"2"]


def test_destroyed_while_a_child_lives(environment: Environment) -> None:
    """A child destroys and refills the folder; the parent keeps its own until it opens it again."""

    def work() -> None:
        destroy(environment.path)
        with Environment.open(environment.path, tables=TABLES) as new, new.write() as txn:
            txn.put("a", b"new", b"child")

    assert in_child(work) == 0
    assert keys(environment) == [b"0"]
    with Environment.open(environment.path, tables=TABLES) as again:
        assert keys(again) == [b"new"]
