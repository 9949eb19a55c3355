"""The totals of a push under way, counted beside it, so that the bar can say how much is left.

A push finds its files while it works, and to count them first would make every push of many files wait. So the
counting begins when the push has taken a while, on a thread of its own, and only where a bar is watched.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Final

from artifactstore.cli.sources import Sources
from artifactstore.errors import ArtifactStoreError
from artifactstore.progress import Progress, Quiet
from artifactstore.store import Store

# A push of some thousand files is over by then.
COUNT_AFTER_S: Final = 1.0


class _OverError(Exception):
    """The push is over: there is nothing to count for."""


class _Until(Quiet):
    """Progress of the counting, which ends it when the push is over."""

    def __init__(self, over: Event) -> None:
        self._over = over

    def total(self, *, bytes_total: int | None = None, files_total: int | None = None) -> None:  # noqa: ARG002
        """Called now and then while a plan is made."""
        if self._over.is_set():
            raise _OverError


@contextmanager
def counted(
    store: Store,
    name: str,
    sources: Sources,
    exclude: Sequence[str],
    progress: Progress,
    *,
    after_s: float = COUNT_AFTER_S,
) -> Iterator[None]:
    """Count what is pushed inside the `with` block, and tell `progress` the totals.

    A list of files and standard input can't be read twice, so they are not counted.
    """
    if sources.files is not None or sources.streams:
        yield
        return
    over = Event()

    def count() -> None:
        if over.wait(after_s):
            return
        try:
            plan = store.plan_push(sources.paths, name, exclude=exclude, progress=_Until(over))
        except (_OverError, ArtifactStoreError):  # what is wrong with a source, the push itself will say
            return
        progress.total(bytes_total=plan.logical_bytes, files_total=plan.files)

    thread = Thread(target=count, name="artifactstore-totals")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
