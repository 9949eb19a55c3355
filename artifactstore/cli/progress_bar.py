"""Progress on a terminal: a bar with bytes, files, rate, time left and the share that was new."""

from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

from artifactstore.cli.meter import Meter
from artifactstore.cli.rendering import printable
from artifactstore.clock import Clock

# A repaint costs about 2 ms of the interpreter lock that the pipeline wants.
_REPAINTS_PER_S = 5
_TELL_RICH_EVERY_S = 0.1


class ProgressBar:
    """One bar at a time, taken down when its phase is over."""

    def __init__(self, out: TextIO, clock: Clock) -> None:
        self._clock = clock
        self._meter = Meter(clock)
        self._console = Console(file=out)
        self._bar: Progress | None = None
        self._task = TaskID(0)
        self._next_update_s = 0.0

    def start(self, label: str, *, bytes_total: int | None = None, files_total: int | None = None) -> None:
        """Put up a bar, in place of the one before."""
        self.finish()
        self._meter.reset(label, bytes_total, files_total)
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TaskProgressColumn(),
            TextColumn("{task.fields[detail]}", markup=False),
            console=self._console,
            transient=True,
            refresh_per_second=_REPAINTS_PER_S,
        )
        self._task = self._bar.add_task(label, total=bytes_total or files_total, detail="")
        self._bar.start()

    def total(self, *, bytes_total: int | None = None, files_total: int | None = None) -> None:
        """The totals are known now."""
        self._meter.set_totals(bytes_total, files_total)
        self._tell()

    def advance(self, *, bytes: int = 0, files: int = 0, new_bytes: int = 0) -> None:  # noqa: A002 - as in Progress
        """Count; the bar hears of it ten times a second at most."""
        self._meter.add(bytes, files, new_bytes)
        now = self._clock.monotonic_s()
        if now >= self._next_update_s:
            self._next_update_s = now + _TELL_RICH_EVERY_S
            self._tell()

    def notice(self, text: str) -> None:
        """Print it above the bar."""
        self._console.print(f"note: {printable(text)}", markup=False, highlight=False, soft_wrap=True)

    def finish(self) -> None:
        """Take the bar down."""
        bar, self._bar = self._bar, None
        if bar is not None:
            bar.stop()

    def _tell(self) -> None:
        bar, meter = self._bar, self._meter
        if bar is None:
            return
        by_bytes = bool(meter.bytes_total)
        bar.update(
            self._task,
            total=meter.bytes_total if by_bytes else meter.files_total,
            completed=meter.bytes if by_bytes else meter.files,
            detail=meter.detail(),
        )
