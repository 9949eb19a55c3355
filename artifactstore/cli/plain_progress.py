"""Progress where nobody watches a terminal: a plain line now and then, on standard error."""

from threading import Lock
from typing import TextIO

from artifactstore.cli.meter import Meter
from artifactstore.cli.rendering import printable
from artifactstore.clock import Clock

# Seldom enough for the log of a nightly job, often enough to see that it lives.
LINE_EVERY_S = 10.0


class PlainLines:
    """A line every ten seconds of a phase; work that is shorter prints none."""

    def __init__(self, out: TextIO, clock: Clock) -> None:
        self._out = out
        self._clock = clock
        self._meter = Meter(clock)
        self._lock = Lock()
        self._next_line_s = clock.monotonic_s() + LINE_EVERY_S

    def start(self, label: str, *, bytes_total: int | None = None, files_total: int | None = None) -> None:
        """A phase begins."""
        self._meter.reset(label, bytes_total, files_total)
        self._next_line_s = self._clock.monotonic_s() + LINE_EVERY_S

    def total(self, *, bytes_total: int | None = None, files_total: int | None = None) -> None:
        """The totals are known now."""
        self._meter.set_totals(bytes_total, files_total)

    def advance(self, *, bytes: int = 0, files: int = 0, new_bytes: int = 0) -> None:  # noqa: A002 - as in Progress
        """Count, and print a line when one is due."""
        self._meter.add(bytes, files, new_bytes)
        if self._clock.monotonic_s() < self._next_line_s:
            return
        with self._lock:
            if self._clock.monotonic_s() >= self._next_line_s:  # else another thread has printed it
                self._next_line_s = self._clock.monotonic_s() + LINE_EVERY_S
                self._write(f"{self._meter.label}: {self._meter.detail()}")

    def notice(self, text: str) -> None:
        """Print it at once."""
        with self._lock:
            self._write(f"note: {text}")

    def finish(self) -> None:
        """Nothing is left to take down."""

    def _write(self, line: str) -> None:
        self._out.write(printable(line) + "\n")
        self._out.flush()
