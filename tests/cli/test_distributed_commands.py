"""`distributed`, `push --into` and `pull --part` on a real store: what they do, print and refuse."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run

pytestmark = [pytest.mark.places("folder", "s3"), pytest.mark.usefixtures("ready")]


@pytest.fixture
def token(run: Run) -> str:
    """A push to team/x in two parts."""
    assert run("push", "data", "team/other").code == 0
    done = run("distributed", "begin", "team/x", "--parts", "2", "--alias", "best", "--tag", "raw")
    assert done.code == 0, done.err
    assert done.out.count("\n") == 1
    return done.out.strip()


def test_from_begin_to_commit(run: Run, token: str, data: Path) -> None:
    """Parts, a commit that names what is missing, one that makes the version, and one more that names it again."""
    part = run("push", "data/a.txt", "--into", token, "--part", "0/2")
    assert part.code == 0, part.err
    assert "part 0 of 2 is finished: 1 file" in part.out
    assert "has the same files already" in run("push", "data/a.txt", "--into", token, "--part", "0/2").out
    early = run("distributed", "commit", token, "--json")
    assert (early.code, early.error["kind"], early.error["facts"]) == (4, "parts-missing", {"parts": [1]})
    listed = run("distributed", "list").out
    assert token in listed
    assert "1/2" in listed
    status = run("distributed", "status", token).out
    assert "1 of 2 parts" in status
    assert "missing" in status
    assert run("push", "--into", token, "--part", "1/2", "-", "--as", "b.csv", stdin=b"1,2\n3,4\n").code == 0
    done = run("distributed", "commit", token)
    assert "team/x:v0 is new: 2 files" in done.out
    again = run("distributed", "commit", token, "--json").document
    assert (again["version"]["reference"], again["push"]) == ("team/x:v0", None)
    assert again["version"]["aliases"] == ["best", "latest"]
    same = run("show", "team/other", "--json").document["version"]["digest"]
    assert again["version"]["digest"] == same
    assert "committed as team/x:v0" in run("distributed", "status", token).out
    assert run("distributed", "list").out == "no distributed push is open\n"
    late = run("push", "data/a.txt", "--into", token, "--part", "0/2", "--json")
    assert (late.code, late.error["kind"]) == (4, "push-ended")
    assert run("log", "--json").code == 0


def test_a_run_produces_it(run: Run, token: str) -> None:
    """The run that commits is noted with the version; one that has ended makes none."""
    for part, path in enumerate(("data/a.txt", "data/b.csv")):
        assert run("push", path, "--into", token, "--part", f"{part}/2").code == 0
    maker = run("run", "start", "team", "-q").out.strip()
    ended = run("run", "start", "team", "-q").out.strip()
    assert run("run", "finish", ended).code == 0
    refused = run("distributed", "commit", token, "--run", ended, "--json")
    assert (refused.code, refused.error["kind"]) == (4, "run-ended")
    assert run("distributed", "commit", token, "--run", maker[:8]).code == 0
    made = run("run", "list", "--produced", "team/x", "--json").document["runs"]
    assert [one["id"] for one in made] == [maker]


def test_abandoning_asks(run: Run, token: str) -> None:
    """Where nobody can be asked, nothing happens without --yes."""
    refused = run("distributed", "abandon", token)
    assert (refused.code, "--yes" in refused.err) == (1, True)
    assert token in run("distributed", "list").out
    assert "abandoned" in run("distributed", "abandon", token, "--yes").out
    assert run("distributed", "abandon", token).code == 0
    assert run("distributed", "commit", token).code == 4


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["push", "data", "--into", "TOKEN"], 2, "--part I/N"),
        (["push", "data", "--into", "TOKEN", "--part", "0/3"], 2, "has 2 parts, and not 3"),
        (["push", "data", "--into", "TOKEN", "--part", "2/2"], 2, "0 to 1"),
        (["push", "data", "--into", "TOKEN", "--part", "1"], 2, "is not I/N"),
        (["push", "data", "--into", "TOKEN", "--part", "0/2", "--tag", "x"], 2, "distributed begin"),
        (["push", "data", "--into", "push-abc", "--part", "0/2"], 2, "is not the token"),
        (["push", "data", "team/x", "--part", "0/2"], 2, "--into TOKEN"),
        (["push", "--into", "TOKEN", "--part", "0/2"], 2, "nothing to push"),
        (["push", "nowhere", "--into", "TOKEN", "--part", "0/2"], 3, "does not exist"),
        (["push"], 2, "PROJECT/NAME"),
        (["distributed", "begin", "team/x", "--parts", "0"], 2, "1 to 1024"),
        (["distributed", "begin", "team", "--parts", "2"], 2, "team"),
        (["pull", "team/other", "out", "--part", "2/2"], 2, "there is no part 2 of 2"),
        (["pull", "--locked", "--part", "0/2"], 2, "--locked"),
    ],
)
def test_what_does_not_fit(run: Run, token: str, words: list[str], code: int, says: str) -> None:
    """Each is told what is wrong, and does nothing."""
    done = run(*[token if word == "TOKEN" else word for word in words])
    assert done.code == code, done.err
    assert says in done.err
    assert "1/2" not in run("distributed", "list").out


def test_pulling_in_parts(run: Run, token: str, data: Path) -> None:
    """Each file comes with one part."""
    counts = [
        run("pull", "team/other", "out", "--part", f"{part}/3", "--json").document["pull"]["files"]
        for part in range(3)
    ]
    assert sum(counts) == 2
    assert sorted(path.name for path in Path("out").iterdir()) == ["a.txt", "b.csv"]
    plan = run("pull", "team/other", "out", "--part", "0/1", "--dry-run", "--json").document
    assert plan["plan"]["files_to_write"] == 0
