"""The line of counters says what is known, and no more."""

from artifactstore.cli.meter import Meter


class HandClock:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now_ns(self) -> int:
        return int(self.seconds * 1e9)

    def monotonic_s(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds


def test_everything_that_is_known_is_in_the_line() -> None:
    """Bytes, files, rate, time left and the share that was new."""
    clock = HandClock()
    meter = Meter(clock)
    meter.reset("pushing", 3_400_000_000, 500)
    for _ in range(12):
        clock.sleep(1)
        meter.add(100_000_000, 10, 34_000_000)
    assert meter.detail() == "1.20 GB of 3.40 GB · 120 of 500 files · 100 MB/s · 22 s left · 34% new"


def test_what_is_not_known_is_left_out() -> None:
    """No totals, no time left; no new bytes, no share; at the very start, nothing."""
    clock = HandClock()
    meter = Meter(clock)
    meter.reset("scanning", None, None)
    assert meter.detail() == ""
    meter.add(0, 3, 0)
    assert meter.detail() == "3 files"
    clock.sleep(2)
    meter.add(4000, 1, 0)
    assert meter.detail() == "4.00 kB · 4 files · 2.00 kB/s"
    meter.set_totals(bytes_total=4000, files_total=None)
    assert meter.detail() == "4.00 kB of 4.00 kB · 4 files · 2.00 kB/s"
    meter.set_totals(bytes_total=None, files_total=9)
    assert (meter.bytes_total, meter.files_total) == (4000, 9)


def test_the_rate_is_that_of_the_last_seconds() -> None:
    """A network that fades is seen to fade."""
    clock = HandClock()
    meter = Meter(clock)
    meter.reset("pushing", None, None)
    for size in [1_000_000] * 20 + [1000] * 20:
        clock.sleep(1)
        meter.add(size, 0, 0)
    assert meter.rate() == 1000.0


def test_a_new_phase_starts_at_zero() -> None:
    """Counters belong to one phase."""
    meter = Meter(HandClock())
    meter.add(5, 5, 5)
    meter.reset("again", None, None)
    assert (meter.bytes, meter.files, meter.new_bytes, meter.rate()) == (0, 0, 0, 0.0)
