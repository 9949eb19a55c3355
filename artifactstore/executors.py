"""Where work runs: threads in production, inline in a simulation.

A pipeline takes `Executors` and never makes threads of its own. With `inline()` every task runs to its end
inside `submit`, on the caller's thread and in the order of submission, so code above must never wait for a
task that it has not submitted yet.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple, ParamSpec, TypeVar

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


def _processors() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
