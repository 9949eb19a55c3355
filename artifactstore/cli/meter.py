"""What the running phase has done, and how that is put in a line: shared by the bar and the plain lines."""

from collections import deque
from collections.abc import Callable
from threading import Lock

from artifactstore.cli.rendering import duration_text, rate_text, share_text, size_text
from artifactstore.clock import Clock

# The rate is that of the last seconds: long enough to be steady, short enough to follow a network that fades.
_SAMPLES = 16
_SAMPLE_EVERY_S = 0.5


class Meter:
    """Counters of one phase; every method is thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = Lock()
        self.label = ""
        self.reset("", None, None)

    def reset(self, label: str, bytes_total: int | None, files_total: int | None) -> None:
        """A phase begins."""
        with self._lock:
            self.label = label
            self.bytes_total = bytes_total
            self.files_total = files_total
            self.bytes = self.files = self.new_bytes = 0
            self._samples = deque([(self._clock.monotonic_s(), 0)], maxlen=_SAMPLES)

    def set_totals(self, bytes_total: int | None, files_total: int | None) -> None:
        """Totals that are known now; None leaves what was known."""
        with self._lock:
            self.bytes_total = self.bytes_total if bytes_total is None else bytes_total
            self.files_total = self.files_total if files_total is None else files_total

    def add(self, size_bytes: int, files: int, new_bytes: int) -> None:
        """So much more is done."""
        with self._lock:
            self.bytes += size_bytes
            self.files += files
            self.new_bytes += new_bytes
            now = self._clock.monotonic_s()
            if now - self._samples[-1][0] >= _SAMPLE_EVERY_S:
                self._samples.append((now, self.bytes))

    def rate(self) -> float:
        """Bytes a second, lately; 0 before anything can be said."""
        with self._lock:
            then, done = self._samples[0]
            elapsed = self._clock.monotonic_s() - then
            return (self.bytes - done) / elapsed if elapsed > 0 else 0.0

    def detail(self) -> str:
        """`1.20 GB of 3.40 GB · 120 of 500 files · 210 MB/s · 11 s left · 34% new`, as far as it is known."""
        rate = self.rate()
        parts = []
        if self.bytes or self.bytes_total:
            parts.append(_done_of(size_text(self.bytes), self.bytes_total, size_text))
        if self.files or self.files_total:
            parts.append(_done_of(f"{self.files:,}", self.files_total, lambda count: f"{count:,}") + " files")
        if rate > 0:
            parts.append(rate_text(rate))
            if self.bytes_total is not None and self.bytes_total > self.bytes:
                parts.append(f"{duration_text((self.bytes_total - self.bytes) / rate)} left")
        if self.new_bytes:
            parts.append(f"{share_text(self.new_bytes, self.bytes)} new")
        return " · ".join(parts)


def _done_of(done: str, total: int | None, text: Callable[[int], str]) -> str:
    return done if total is None else f"{done} of {text(total)}"
