"""`gc` on the command line: the plan that is shown, what is done with --yes, and its exit codes."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture
def deleted(run: Run, home: Path) -> Path:
    """A store of two versions, of which one is deleted and can still be brought back."""
    assert run("init", "store").code == 0
    assert run("push", "data", "team/corpus", "--store", "store").code == 0
    (home / "data" / "own.bin").write_bytes(bytes(range(256)) * 100)
    assert run("push", "data", "team/other", "--store", "store").code == 0
    assert run("delete", "team/other:v0", "--yes", "--store", "store").code == 0
    return home / "store"


def test_what_can_be_brought_back_is_kept(run: Run, deleted: Path) -> None:
    """Until the grace period is over, which can be set; then a plan is shown, and nothing done unless it is said."""
    done = run("gc", "--store", "store")
    assert done.code == 0
    assert "keeps team/other:v0: it can be brought back until" in done.out
    assert run("gc", "--grace", "0s", "--store", "store").code == 0
    before = sorted(path for path in deleted.rglob("*") if path.is_file())
    for words, code in ((["--dry-run"], 0), ([], 1)):
        done = run("gc", *words, "--store", "store")
        assert done.code == code
        assert "  purge team/other:v0" in done.out
        assert ("repeat it with --yes" in done.err) == (not words)
    plan = run("gc", "--dry-run", "--store", "store", "--json").document["plan"]
    assert [one["version"] for one in plan["purge"]] == ["team/other:v0"]
    assert sorted(path for path in deleted.rglob("*") if path.is_file()) == before


def test_what_is_deleted_is_taken_away(run: Run, deleted: Path) -> None:
    """With what was done, and where its receipt is; afterwards there is nothing left to take away."""
    assert run("gc", "--grace", "0s", "--store", "store").code == 0
    done = run("gc", "--yes", "--store", "store")
    assert done.code == 0
    lines = done.out.splitlines()
    assert any(line.startswith("purged 1 version, gave up ") for line in lines)
    assert "a receipt of each version that was purged: `artifactstore receipt list`" in lines
    assert run("gc", "--store", "store") == (0, "there is nothing to take away\n", "")
    assert run("gc", "--resume", "--store", "store").code == 0
    gone = run("pull", "team/other:v0", "out", "--store", "store", "--json")
    assert (gone.code, gone.error["kind"]) == (3, "deleted")
    assert run("pull", "team/corpus:v0", "out", "--store", "store").code == 0
    assert run("check", "--read-data", "--store", "store").code == 0
