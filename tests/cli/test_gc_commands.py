"""`gc` on the command line: the plan that is shown, what is done with --yes, and its exit codes."""

from pathlib import Path

import pytest

from artifactstore.backend.base import Backend
from tests.cli.conftest import Run
from tests.stores import all_objects

pytestmark = pytest.mark.places("folder", "s3")


@pytest.fixture
def deleted(run: Run, place: str, home: Path) -> None:
    """A store of two versions, of which one is deleted and can still be brought back."""
    assert run("init").code == 0
    assert run("push", "data", "team/corpus").code == 0
    (home / "data" / "own.bin").write_bytes(bytes(range(256)) * 100)
    assert run("push", "data", "team/other").code == 0
    assert run("delete", "team/other:v0", "--yes").code == 0


def test_what_can_be_brought_back_is_kept(run: Run, deleted: None, objects: Backend) -> None:
    """Until the grace period is over, which can be set; then a plan is shown, and nothing done unless it is said."""
    done = run("gc")
    assert done.code == 0
    assert "keeps team/other:v0: it can be brought back until" in done.out
    assert run("gc", "--grace", "0s").code == 0
    before = all_objects(objects)
    for words, code in ((["--dry-run"], 0), ([], 1)):
        done = run("gc", *words)
        assert done.code == code
        assert "  purge team/other:v0" in done.out
        assert ("repeat it with --yes" in done.err) == (not words)
    plan = run("gc", "--dry-run", "--json").document["plan"]
    assert [one["version"] for one in plan["purge"]] == ["team/other:v0"]
    assert all_objects(objects) == before


def test_what_is_deleted_is_taken_away(run: Run, deleted: None) -> None:
    """With what was done, and where its receipt is; afterwards there is nothing left to take away."""
    assert run("gc", "--grace", "0s").code == 0
    done = run("gc", "--yes")
    assert done.code == 0
    lines = done.out.splitlines()
    assert any(line.startswith("purged 1 version, gave up ") for line in lines)
    assert "a receipt of each version that was purged: `artifactstore receipt list`" in lines
    assert run("gc") == (0, "there is nothing to take away\n", "")
    assert run("gc", "--resume").code == 0
    gone = run("pull", "team/other:v0", "out", "--json")
    assert (gone.code, gone.error["kind"]) == (3, "deleted")
    assert run("pull", "team/corpus:v0", "out").code == 0
    assert run("check", "--read-data").code == 0
