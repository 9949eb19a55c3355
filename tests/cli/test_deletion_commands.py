"""`delete` shows, asks and hides; `undelete` brings back."""

import json

import pytest

from tests.cli.conftest import Run

pytestmark = pytest.mark.places("folder", "s3")


@pytest.fixture(autouse=True)
def pushed(run: Run, place: str) -> None:
    """Version v0 of `team/x`, with an alias, and v1."""
    assert run("init").code == 0
    assert run("push", "data", "team/x", "--alias", "prod", "-q").code == 0
    assert run("push", "data", "team/x", "--exclude", "a.txt", "-q").code == 0


def test_a_dry_run_deletes_nothing(run: Run) -> None:
    """It says what would go."""
    shown = run("delete", "team/x:*", "--dry-run")
    assert "would delete 2 versions" in shown.out
    assert "team/x:v0: 2 files" in shown.out
    assert "the alias prod" in shown.out
    assert len(run("ls", "team/x", "--json").document["versions"]) == 2


def test_nobody_to_ask(run: Run) -> None:
    """Without a terminal it wants --yes, and tells what it was about to do."""
    refused = run("delete", "team/x:v1", stdin=b"y\n")
    assert (refused.code, "--yes" in refused.err, "about to delete 1 version" in refused.err) == (
        1,
        True,
        True,
    )
    told = run("delete", "team/x:v1", "--json")
    assert (told.code, told.document["dry_run"]) == (1, True)
    assert [set(json.loads(line)) for line in told.err.splitlines()] == [{"notice"}]
    assert run("delete", "team/x:v1", "--yes").out.startswith("deleted 1 version")
    assert run("show", "team/x:v1").code == 3


def test_an_alias_is_in_the_way(run: Run) -> None:
    """The refusal comes before the question."""
    refused = run("delete", "team/x:v0", "--json")
    assert (refused.code, refused.error["kind"]) == (4, "precondition-failed")
    assert run("delete", "team/x:v0", "--yes", "--force", "-q") == (0, "", "")


def test_undelete(run: Run) -> None:
    """`ls --deleted` shows what there is to bring back."""
    run("delete", "team/x:v1", "--yes")
    assert [one["number"] for one in run("ls", "team/x", "--deleted", "--json").document["versions"]] == [1]
    assert run("undelete", "team/x:v1").out == "team/x:v1 is back\n"
    assert run("ls", "team/x", "--deleted", "--json").document["versions"] == []


def test_deleted_ones_are_listed_by_artifact(run: Run) -> None:
    """A project has no list of them."""
    assert run("ls", "team", "--deleted").code == 2
