"""`index info` and `index rebuild`."""

from typing import Any

from tests.cli.conftest import Run


def test_the_index_is_shown_and_rebuilt(run: Run, fake: Any) -> None:
    """Both print the index; a rebuild is quiet with -q."""
    run("push", "data", "team/x", "-q")
    shown = run("index", "info")
    assert shown.out.splitlines()[1:3] == ["size         32.8 kB", "packs        1"]
    assert run("index", "rebuild").out == shown.out
    assert run("index", "rebuild", "-q") == (0, "", "")
    assert run("index", "rebuild", "--json").document == run("index", "info", "--json").document
