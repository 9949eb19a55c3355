"""On a terminal, a bar that is put up, told, and taken down."""

import io

from artifactstore.cli.progress_bar import ProgressBar
from tests.cli.test_meter import HandClock


class Terminal(io.StringIO):
    """A terminal that remembers what was written to it."""

    def isatty(self) -> bool:
        return True


def test_the_bar_shows_the_counters(monkeypatch) -> None:
    """Label, percentage and counters are painted; notices stand above; at the end the bar is gone."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    out, clock = Terminal(), HandClock()
    bar = ProgressBar(out, clock)
    bar.start("pushing", bytes_total=4000)
    clock.sleep(1)
    bar.advance(bytes=1000, files=2, new_bytes=500)
    bar.total(bytes_total=2000)
    bar.notice("[b]look[/b]")
    bar.finish()
    bar.finish()
    painted = out.getvalue()
    for text in ("pushing", "50%", "1.00 kB of 2.00 kB", "2 files", "50% new", "note: [b]look[/b]"):
        assert text in painted
    assert painted.count("\x1b[?25l") == painted.count("\x1b[?25h")


def test_files_move_the_bar_where_bytes_are_not_known(monkeypatch) -> None:
    """A scan counts files."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "140")
    out, clock = Terminal(), HandClock()
    bar = ProgressBar(out, clock)
    bar.start("scanning", files_total=4)
    clock.sleep(1)
    bar.advance(files=1)
    bar.start("scanning again")
    bar.finish()
    assert "25%" in out.getvalue()


def test_calls_out_of_season_are_harmless() -> None:
    """Between phases there is no bar to tell."""
    bar = ProgressBar(Terminal(), HandClock())
    bar.advance(bytes=5)
    bar.total(bytes_total=5)
    bar.finish()
