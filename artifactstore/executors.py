"""Where work runs: threads in production, inline in a simulation.

A pipeline takes `Executors` and never makes threads of its own. With `inline()` every task runs to its end
inside `submit`, on the caller's thread and in the order of submission, so code above must never wait for a
task that it has not submitted yet.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from typing import Any, NamedTuple, ParamSpec, TypeVar

from artifactstore.errors import PoolExhausted, StoreClosed
from artifactstore.forks import renewed_in_children

P = ParamSpec("P")
T = TypeVar("T")


class Executors(NamedTuple):
    """Two pools: `cpu` for hashing, compression and sealing, `io` for the backend."""

    cpu: Executor
    io: Executor
    width: int


class InlineExecutor(Executor):
    """Runs each task inside `submit`."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn` now and return its finished future."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001 - a future carries whatever its task raised
            future.set_exception(error)
        return future


def inline() -> Executors:
    """Executors that run everything on the calling thread."""
    executor = InlineExecutor()
    return Executors(executor, executor, 1)


class _Pool(ThreadPoolExecutor):
    """Threads, which a fork does not copy: a child would wait for ever for what it gives to its copy of the pool."""

    def __init__(self, width: int, name: str) -> None:
        super().__init__(width, thread_name_prefix=name)
        self._process = os.getpid()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn` on a thread.

        Raises:
            RuntimeError: This process was forked since the pool was made.
        """
        if os.getpid() != self._process:
            raise RuntimeError(
                "this process was forked in the middle of an operation: begin anew in the child"
            )
        return super().submit(fn, *args, **kwargs)


@contextmanager
def threads(*, width: int | None = None, io_width: int = 8) -> Iterator[Executors]:
    """Pools of threads that live as long as the `with` block; when it fails, tasks that wait are dropped.

    Args:
        width: Threads for computing; the processors this process may use when None.
        io_width: Threads for the backend.
    """
    width = width or _processors()
    cpu = _Pool(width, "artifactstore-cpu")
    io = _Pool(io_width, "artifactstore-io")
    try:
        yield Executors(cpu, io, width)
    except BaseException:
        # Who gave up does not wait for a transfer that may be slow; closing the backend ends it.
        cpu.shutdown(wait=False, cancel_futures=True)
        io.shutdown(wait=False, cancel_futures=True)
        raise
    cpu.shutdown(wait=True)
    io.shutdown(wait=True)


class Workers:
    """Threads that all operations of a server share, and a bound on how many operations use them at once.

    Called like `threads`, so that it is given to stores as `make_executors`. An operation that comes while as many run
    as may waits for its turn, on its caller's thread; memory then follows this bound and not the number of callers.
    Thread-safe; a child of a fork begins with threads of its own.

    Args:
        operations: How many pushes, pulls, checks and the like run at once.
        width: Threads for computing; the processors this process may use when None.
        io_width: Threads for backends.
        wait_s: How long an operation waits for its turn; for ever when None.
    """

    def __init__(
        self,
        *,
        operations: int = 4,
        width: int | None = None,
        io_width: int = 16,
        wait_s: float | None = None,
    ) -> None:
        if min(operations, io_width, width or 1) < 1:
            raise ValueError("operations, width and io_width are at least 1")
        self._operations = operations
        self._width = width or _processors()
        self._io_width = io_width
        self._wait_s = wait_s
        self._closed = False
        self.renew()
        renewed_in_children(self)

    def renew(self) -> None:
        """In a child of a fork: begin with none under way."""
        self._changed = threading.Condition()
        self._running = 0
        self._pools: tuple[_Pool, _Pool] | None = None
        self._mine = threading.local()

    @property
    def running(self) -> int:
        """Operations under way."""
        return self._running

    @contextmanager
    def __call__(self) -> Iterator[Executors]:
        """Executors of one operation, for a `with` block.

        Raises:
            PoolExhausted: Its turn did not come in time.
            StoreClosed: The workers were closed.
        """
        if getattr(self._mine, "executors", None) is not None:
            # A part of an operation of this thread: its turn has come already.
            yield self._mine.executors
            return
        cpu, io = self._begin()
        lent = _Lent(cpu), _Lent(io)
        try:
            self._mine.executors = Executors(*lent, self._width)
            yield self._mine.executors
        except BaseException:
            for each in lent:
                each.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            self._mine.executors = None
            for each in lent:
                each.shutdown(wait=True)
            self._end()

    def close(self) -> None:
        """Let what runs end, and give back the threads; what waits for its turn or comes later raises `StoreClosed`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self._changed.wait_for(lambda: not self._running)
            pools, self._pools = self._pools, None
        for pool in pools or ():
            pool.shutdown(wait=True)

    def _begin(self) -> "tuple[_Pool, _Pool]":
        with self._changed:
            if not self._changed.wait_for(self._may_begin, self._wait_s):
                raise PoolExhausted(
                    f"{self._operations} operations are under way, and none ended in {self._wait_s:g} s",
                    operations=self._operations,
                    waited_s=self._wait_s,
                )
            if self._closed:
                raise StoreClosed("the workers of this store were closed")
            self._running += 1
            if self._pools is None:
                cpu = _Pool(self._width, "artifactstore-cpu")
                self._pools = cpu, _Pool(self._io_width, "artifactstore-io")
            return self._pools

    def _may_begin(self) -> bool:
        return self._closed or self._running < self._operations

    def _end(self) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()


class _Lent(Executor):
    """What one operation uses of a pool: it knows its own tasks, and ends them without ending the pool."""

    def __init__(self, pool: Executor) -> None:
        self._pool = pool
        self._lock = threading.Lock()
        self._tasks: set[Future[Any]] = set()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run `fn` on a thread of the pool."""
        with self._lock:
            future = self._pool.submit(fn, *args, **kwargs)
            self._tasks.add(future)
        future.add_done_callback(self._ended)
        return future

    def _ended(self, future: Future[Any]) -> None:
        with self._lock:
            self._tasks.discard(future)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for this operation's tasks, or drop those that have not begun."""
        with self._lock:
            tasks = list(self._tasks)
        if cancel_futures:
            for task in tasks:
                task.cancel()
        if wait:
            wait_for(tasks)


def _processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
