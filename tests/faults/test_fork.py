"""A process that forks in the middle of a push, at any moment: parent and child go on to use the store."""

import io
import os
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.executors import inline
from artifactstore.testing import invariants
from tests.stores import make_store, noise, read_tree, reopened, write_tree

STREAM_BYTES = 24 << 20
STEP_BYTES = 1 << 18
FORKS = 12
FORKS_DEEP = 300
PATIENCE_S = 60.0


def in_child(work: Callable[[], None]) -> int:
    """Fork; in the child run `work` and end."""
    child = os.fork()
    if not child:
        code = 0
        try:
            work()
        except BaseException:  # noqa: BLE001 - nothing may come back into the parent's frames
            traceback.print_exc()
            code = 1
        finally:
            os._exit(code)
    return child


def ended(child: int) -> int:
    """The exit code of a child, which must not hang."""
    for _ in range(int(PATIENCE_S / 0.01)):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, 9)
    os.waitpid(child, 0)
    return pytest.fail("the child hangs")


@pytest.fixture
def store(tmp_path: Path):
    with make_store(tmp_path, tmp_path / "store") as made:
        yield made


class Forking(io.RawIOBase):
    """A stream that forks in its last part, when blobs of its first parts lie in an open pack."""

    def __init__(self, data: bytes, fork: Callable[[], None]) -> None:
        self._data = io.BytesIO(data)
        self._fork = fork
        self._forks_at = len(data) - STEP_BYTES * 3

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if self._forks_at <= self._data.tell() < self._forks_at + STEP_BYTES:
            self._fork()
        return self._data.readinto(memoryview(buffer)[:STEP_BYTES])


def test_a_child_pushes_and_pulls_while_its_parent_pushes(tmp_path: Path, store: Store) -> None:
    """Forked by the very thread that pushes: each gets its own version, and neither waits for the other."""
    write_tree(tmp_path / "child", {"c": noise(300_000, 1)})
    children = []

    def work() -> None:
        assert store.push([tmp_path / "child"], "p/child").number == 0
        store.pull("p/child", tmp_path / "out")

    data = noise(STREAM_BYTES, 2)
    version = store.push(
        [], "p/parent", streams={"a": Forking(data, lambda: children.append(in_child(work)))}
    )
    assert [ended(child) for child in children] == [0]
    with version.open("a") as file:
        assert file.read() == data
    assert read_tree(tmp_path / "out") == {"c": noise(300_000, 1)}
    assert store.version("p/child").number == 0
    invariants.assert_whole(store)


@pytest.mark.parametrize("pools", ["threads", "inline"])
def test_a_child_does_not_go_on_with_the_push_of_its_parent(tmp_path: Path, pools: str) -> None:
    """It would seal other bytes under the same key and nonce; it is refused, and the parent's push is whole."""
    data = noise(STREAM_BYTES, 2)
    with make_store(tmp_path, tmp_path / "store") as store:
        if pools == "inline":
            store._make_executors = _Inline
        main = os.getpid()
        children = []

        def fork() -> None:
            child = os.fork()
            if child:
                children.append(child)

        code = 0
        try:
            version = store.push([], "p/parent", streams={"a": Forking(data, fork)})
        except RuntimeError as error:
            code = 3 if "forked" in str(error) else 4
        except BaseException:  # noqa: BLE001 - nothing may come back into the test's frames
            code = 5
        finally:
            if os.getpid() != main:
                os._exit(code)
        assert code == 0
        assert [ended(child) for child in children] == [3]
        assert version.open("a").read() == data
        invariants.assert_whole(store)
        assert len(list(store.log())) == 2


class _Inline:
    def __enter__(self):
        return inline()

    def __exit__(self, *_: object) -> None:
        pass


def test_forks_at_any_moment_of_threads_that_push_and_pull(tmp_path: Path, store: Store, deep: bool) -> None:
    """Whatever other threads hold at that moment, the child can use the store."""
    stop = threading.Event()
    failed: list[BaseException] = []
    write_tree(tmp_path / "in", {f"{number}": noise(50_000, number) for number in range(10)})
    store.push([tmp_path / "in"], "p/shared")

    def keep_working(number: int) -> None:
        turn = 0
        try:
            while not stop.is_set():
                turn += 1
                source = write_tree(tmp_path / f"in-{number}", {"a": noise(200_000, 1000 * number + turn)})
                store.push([source], f"p/{number}")
                store.pull("p/shared", tmp_path / f"out-{number}-{turn}")
        except BaseException as error:  # noqa: BLE001 - told by the test
            failed.append(error)

    threads = [threading.Thread(target=keep_working, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        for number in range(FORKS_DEEP if deep else FORKS):
            source = write_tree(tmp_path / f"child-{number}", {"a": noise(50_000, 10**6 + number)})

            def work(number: int = number, source: Path = source) -> None:
                store.push([source], f"p/child-{number}")
                store.pull("p/shared", tmp_path / f"child-out-{number}")

            assert ended(in_child(work)) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    invariants.assert_whole(store)
    for number in range(FORKS_DEEP if deep else FORKS):
        assert store.version(f"p/child-{number}").number == 0
    with reopened(tmp_path, store, cache="another") as other:
        other.projects()
        invariants.assert_same_index(store._parts, other._parts)
