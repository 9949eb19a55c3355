"""`edit`, `rename`, `link`, `unlink`, `alias --expected`, and `ls` with conditions."""

import pytest

from tests.cli.conftest import Run

pytestmark = pytest.mark.places("folder")


@pytest.fixture(autouse=True)
def pushed(run: Run, place: str, data) -> None:
    """Three versions of `team/x`, one of `team/model`."""
    assert run("init").code == 0
    for number in range(3):
        (data / "b.csv").write_text(f"{number}\n")
        assert run("push", "data", "team/x", "-q").code == 0
    assert run("push", "data", "team/model", "-t", "model", "-q").code == 0


def references(run: Run, *words: str) -> list[str]:
    finished = run("ls", *words, "--json")
    assert finished.code == 0, finished.err
    return [version["reference"] for version in finished.document["versions"]]


def test_an_alias_is_moved_from_where_it_is_expected(run: Run) -> None:
    """Whoever is too late is told where it is, with an exit code of its own."""
    assert run("alias", "team/x:v0", "prod", "--expected", "none").code == 0
    assert run("alias", "team/x:v1", "prod", "--expected", "v0").out == "team/x:v1: aliases prod\n"
    late = run("alias", "team/x:v2", "prod", "--expected", "v0", "--json")
    assert (late.code, late.error["kind"]) == (4, "alias-moved")
    assert "on v1, not on v0" in late.error["message"]
    assert run("alias", "--remove", "team/x", "prod", "--expected", "v0").code == 4
    assert run("alias", "--remove", "team/x", "prod", "--expected", "v1").code == 0


def test_edit(run: Run) -> None:
    """Values are JSON where they can be; what was not given stays."""
    first = run(
        "edit", "team/x:v1", "-d", "good", "-m", "rows=3", "-m", "name=b c", "-m", "list=[1]", "--json"
    )
    about = first.document["version"]
    assert (about["description"], about["metadata"]) == ("good", {"rows": 3, "name": "b c", "list": [1]})
    second = run("edit", "team/x:v1", "-m", "rows=4", "--remove-metadata", "list", "--json").document[
        "version"
    ]
    assert (second["description"], second["metadata"]) == ("good", {"rows": 4, "name": "b c"})
    assert run("edit", "team/x:v1", "--replace-metadata", "--json").document["version"]["metadata"] == {}
    assert run("edit", "team/x:v1").code == 2
    assert "is not KEY=VALUE" in run("edit", "team/x:v1", "-m", "rows").err
    assert run("edit", "team/x:v1", "-m", "rows=NaN", "--json").error["kind"] == "invalid-metadata"


def test_rename(run: Run) -> None:
    """The old name goes on answering, and a name that something has is refused."""
    assert run("rename", "team/x", "team/table").out == "team/x is team/table now\n"
    assert run("rename", "team", "group", "--json").document == {"old": "team", "new": "group"}
    assert references(run, "team/x")[-1] == "group/table:v2"
    taken = run("rename", "group/model", "group/x", "--json")
    assert (taken.code, taken.error["kind"]) == (4, "name-taken")
    assert "group/table, which was called group/x" in taken.error["message"]


def test_link_and_unlink(run: Run) -> None:
    """A link is shown with what it is of; a version that is linked is deleted with force only."""
    made = run("link", "team/x:v1", "registry/x", "--alias", "production", "--tag", "approved")
    assert made.out == "registry/x:v0 is a link of team/x:v1: aliases latest production\n"
    again = run("link", "team/x:v1", "registry/x", "-a", "staging", "--json")
    assert (again.document["created"], again.document["version"]["link"]["version"]) == (False, "team/x:v1")
    assert "team/x:v1" in run("ls", "registry/x").out
    assert "registry/x:v0" in run("show", "team/x:v1").out
    held = run("delete", "team/x:v1", "--yes", "--json")
    assert (held.code, held.error["kind"]) == (4, "still-linked")
    assert "registry/x:v0, a link of one of them, stays" in run("delete", "team/x:v1", "--force", "--yes").out
    assert "team/x:v1 (deleted)" in run("ls", "registry/x").out
    assert run("unlink", "registry/x:v0").code == 4
    assert run("unlink", "registry/x:v0", "--force").out == "registry/x:v0 is no link of team/x:v1 any more\n"
    assert run("unlink", "team/x:v0", "--json").error["kind"] == "not-a-collection"
    assert run("link", "team/model", "team/x", "--json").error["kind"] == "not-a-collection"


def test_ls_with_conditions(run: Run) -> None:
    """Of one artifact, of a project, of the store; by each of the conditions."""
    run("edit", "team/x:v1", "-m", "rows=2000", "-q")
    run("tag", "team/x:v2", "clean", "-q")
    assert references(run, "team/x", "--where", "metadata.rows > 1000") == ["team/x:v1"]
    assert references(run, "team", "--tag", "clean") == ["team/x:v2"]
    assert references(run, "--type", "model") == ["team/model:v0"]
    assert references(run, "--alias", "latest", "--where", "files = 2") == ["team/model:v0", "team/x:v2"]
    assert references(run, "team/x", "--since", "1h", "--until", "2100-01-01") == [
        f"team/x:v{n}" for n in range(3)
    ]
    assert references(run, "team/x", "--until", "2000-01-01T12:00+01:00") == []
    assert [
        one["artifact"] for one in run("ls", "team", "--type", "model", "--json").document["artifacts"]
    ] == ["team/model"]
    assert "team/x:v1" in run("ls", "team", "--where", "metadata.rows = 2000").out
    wrong = run("ls", "team/x", "--where", "metadata.rows >")
    assert wrong.code == 2
    assert "character 16: expected a field or a value, found the end" in wrong.err
    assert wrong.err.splitlines()[2].endswith("^")
    assert "is not a time" in run("ls", "team/x", "--since", "soon").err
    assert run("ls", "team/x", "--run", "0123456789", "--json").error["kind"] == "no-such-run"
    assert run("ls", "team/x", "--deleted", "--tag", "clean").code == 2
