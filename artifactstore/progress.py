"""How long work tells what it has done: the interface that pipelines call, and one that stays silent.

The bar and the plain lines that people see live in `artifactstore.cli`. Calls may come from any thread and
must be cheap: a pipeline calls `advance` once for a file or a chunk list, never for a chunk.
"""

from typing import Protocol


class Progress(Protocol):
    """What a pipeline tells while it works; every method is thread-safe."""

    def start(self, label: str, *, bytes_total: int | None = None, files_total: int | None = None) -> None:
        """A phase begins, with totals where they are known already; counters start at zero."""
        ...

    def total(self, *, bytes_total: int | None = None, files_total: int | None = None) -> None:
        """The totals of the running phase are known now, or have grown."""
        ...

    def advance(self, *, bytes: int = 0, files: int = 0, new_bytes: int = 0) -> None:  # noqa: A002 - it counts bytes
        """So much more is done; `new_bytes` of `bytes` were not in the store yet."""
        ...

    def notice(self, text: str) -> None:
        """Something the user should read, in one sentence."""
        ...

    def finish(self) -> None:
        """The running phase is over; calling it twice does no harm."""
        ...


class Quiet:
    """Progress that nobody watches."""

    def start(self, label: str, *, bytes_total: int | None = None, files_total: int | None = None) -> None:
        """Do nothing."""

    def total(self, *, bytes_total: int | None = None, files_total: int | None = None) -> None:
        """Do nothing."""

    def advance(self, *, bytes: int = 0, files: int = 0, new_bytes: int = 0) -> None:  # noqa: A002 - as in Progress
        """Do nothing."""

    def notice(self, text: str) -> None:
        """Do nothing."""

    def finish(self) -> None:
        """Do nothing."""
