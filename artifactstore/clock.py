"""Time and randomness, injected everywhere so that a simulation owns both.

No other module reads a clock or the system's randomness.
"""

import os
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time, monotonic time and waiting."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch; advisory, never trusted for safety."""
        ...

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start, never going back."""
        ...

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        ...


class Randomness(Protocol):
    """A source of random bytes fit for keys."""

    def token(self, size: int) -> bytes:
        """Return `size` fresh random bytes."""
        ...


class SystemClock:
    """The machine's clock."""

    def now_ns(self) -> int:
        """Nanoseconds since the Unix epoch."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        """Seconds from an arbitrary start."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait for `seconds`."""
        time.sleep(seconds)


class SystemRandomness:
    """The operating system's randomness."""

    def token(self, size: int) -> bytes:
        """Return `size` fresh random bytes."""
        return os.urandom(size)
