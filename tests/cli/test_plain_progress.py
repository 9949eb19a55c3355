"""Without a terminal, a line now and then, and notices at once."""

import io

from artifactstore.cli.plain_progress import LINE_EVERY_S, PlainLines
from tests.cli.test_meter import HandClock


def test_short_work_prints_nothing() -> None:
    """What is over before the first line is due has nothing to say."""
    out, clock = io.StringIO(), HandClock()
    progress = PlainLines(out, clock)
    progress.start("pushing", bytes_total=100)
    clock.sleep(LINE_EVERY_S - 1)
    progress.advance(bytes=100, files=1)
    progress.finish()
    assert out.getvalue() == ""


def test_long_work_prints_a_line_now_and_then() -> None:
    """One line for each ten seconds, however often it advances, and a new phase waits anew."""
    out, clock = io.StringIO(), HandClock()
    progress = PlainLines(out, clock)
    progress.start("pushing")
    progress.total(bytes_total=4000, files_total=40)
    for _ in range(25):
        clock.sleep(1)
        progress.advance(bytes=100, files=1, new_bytes=50)
        progress.advance()
    assert out.getvalue().splitlines() == [
        "pushing: 1.00 kB of 4.00 kB · 10 of 40 files · 100 B/s · 30 s left · 50% new",
        "pushing: 2.00 kB of 4.00 kB · 20 of 40 files · 100 B/s · 20 s left · 50% new",
    ]
    progress.start("committing")
    clock.sleep(LINE_EVERY_S - 1)
    progress.advance(files=1)
    assert len(out.getvalue().splitlines()) == 2


def test_notices_are_printed_at_once() -> None:
    """A notice does not wait, and commands no terminal."""
    out = io.StringIO()
    PlainLines(out, HandClock()).notice("the cache is on a network file system\x1b[2J")
    assert out.getvalue() == "note: the cache is on a network file system\\x1b[2J\n"
