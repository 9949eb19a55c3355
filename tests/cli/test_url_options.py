"""`push --from-url`: what goes beside it, and what does not."""

from pathlib import Path

from tests.cli.conftest import Run


def test_a_url(run: Run, data: Path) -> None:
    """A file by a URL that needs no network."""
    done = run("push", "--from-url", f"file://{data}/a.txt", "team/x", "--as", "b.txt", "--json")
    version = done.document["version"]
    assert version["metadata"]["source"]["url"] == f"file://{data}/a.txt"
    assert run("cat", "team/x", "b.txt").out == "alpha\n"


def test_what_does_not_go_together(run: Run, data: Path) -> None:
    """Files of this machine, or options of a URL without one."""
    assert run("push", "data", "--from-url", f"file://{data}/a.txt", "team/x").code == 2
    assert run("push", "data", "team/x", "--unpack").code == 2
    assert run("push", "data", "team/x", "--max-size", "1MB").code == 2
    assert run("push", "--from-url", f"file://{data}/a.txt", "team/x", "--dry-run").code == 2
