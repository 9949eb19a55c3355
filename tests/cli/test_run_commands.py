"""`run` and `lineage` on the command line, and how `push`, `pull`, `find` and `takedown` know of runs."""

import json
import signal
from pathlib import Path

import pytest

from tests.cli.conftest import Run

pytestmark = [pytest.mark.places("folder", "s3"), pytest.mark.usefixtures("ready")]


@pytest.fixture
def pipeline(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run of steps in a shell: it pulls what it uses, and pushes what it produces."""
    assert run("push", "data", "team/corpus").code == 0
    made = run(
        "run", "start", "team", "--name", "clean", "--job-type", "prepare", "--config", "rate=0.5", "--no-git"
    )
    monkeypatch.setenv("ARTIFACTSTORE_RUN", made.out.strip())
    assert run("pull", "team/corpus", "out").code == 0
    (home / "out" / "a.txt").write_text("cleaned\n")
    assert run("push", "out", "team/clean").code == 0
    monkeypatch.delenv("ARTIFACTSTORE_RUN")
    return made.out.strip()


def test_steps_in_a_shell_belong_to_a_run(run: Run, pipeline: str) -> None:
    """By the environment, which says its id; it is running until it is finished, once."""
    shown = run("run", "show", pipeline[:8], "--json").document
    assert shown["run"]["state"] == "running"
    assert (shown["used"], shown["produced"]) == (
        [{"version": "team/corpus:v0", "role": ""}],
        ["team/clean:v0"],
    )
    out = run("run", "show", pipeline).out
    assert "used         team/corpus:v0" in out
    assert "config rate  0.5" in out
    assert run("run", "finish", pipeline, "--state", "failed").out == f"run {pipeline[:8]} failed\n"
    again = run("run", "finish", pipeline, "--json")
    assert (again.code, again.error["kind"]) == (4, "run-ended")
    for words in (
        ["push", "data", "team/x", "--run", pipeline],
        ["pull", "team/corpus", "y", "--run", pipeline],
    ):
        done = run(*words, "--json")
        assert (done.code, done.error["kind"]) == (4, "run-ended")
    listed = run("run", "list", "team", "--used", "team/corpus", "--json").document["runs"]
    assert [one["id"] for one in listed] == [pipeline]
    assert run("run", "list", "--state", "running").out == "there is no such run\n"
    assert pipeline[:8] in run("run", "list").out


def test_a_circle_is_refused(run: Run, pipeline: str) -> None:
    """With its own kind, and nothing is pulled."""
    done = run("pull", "team/clean", "back", "--run", pipeline, "--json")
    assert (done.code, done.error["kind"]) == (4, "lineage-circle")
    assert not Path("back").exists()
    assert run("run", "use", pipeline, "team/clean").code == 4


@pytest.mark.places("folder")
def test_a_command_is_a_run(run: Run, home: Path) -> None:
    """It finds its id, ends as its command does, and passes the exit code on."""
    assert run("init").code == 0
    done = run("run", "exec", "team", "--no-git", "--", "sh", "-c", 'echo "$ARTIFACTSTORE_RUN"')
    assert done.code == 0
    assert run("run", "show", done.out.strip(), "--json").document["run"]["state"] == "finished"
    assert run("run", "exec", "team", "--no-git", "--", "sh", "-c", "exit 3").code == 3
    assert (
        run("run", "exec", "team", "--no-git", "--", "sh", "-c", "kill -TERM $$").code == 128 + signal.SIGTERM
    )
    assert run("run", "exec", "team", "--no-git", "--", "no-such-command").code == 2
    states = [one["state"] for one in run("run", "list", "--json").document["runs"]]
    assert states == ["failed", "killed", "failed", "finished"]


def test_lineage_in_every_notation(run: Run, pipeline: str) -> None:
    """A tree for people, JSON, Graphviz, Mermaid, and events one a line."""
    short = pipeline[:8]
    assert run("lineage", "team/clean").out.splitlines() == [
        "team/clean:v0 (dataset)",
        "└── came of",
        f"    └── run {short} clean (prepare) running",
        "        └── team/corpus:v0 (dataset)",
    ]
    found = run("lineage", short, "--json").document["lineage"]
    assert [(node["id"], node["depth"]) for node in found["nodes"]] == [
        (pipeline, 0),
        ("team/corpus:v0", -1),
        ("team/clean:v0", 1),
    ]
    assert [edge["kind"] for edge in found["edges"]] == ["used", "produced"]
    assert run("lineage", "team/corpus", "--direction", "down", "--dot").out.startswith("digraph lineage {")
    assert run("lineage", "team/corpus", "--mermaid").out.startswith("flowchart LR")
    events = [json.loads(line) for line in run("lineage", short, "--openlineage").out.splitlines()]
    assert [event["eventType"] for event in events] == ["START"]
    cut = run("lineage", "team/corpus", "--depth", "1")
    assert cut.out.splitlines()[-1] == "… and more, further away"
    assert run("lineage", "team/corpus", "--dot", "--json").code == 2
    assert run("lineage", "nothing").code == 2
    assert run("lineage", "team/nothing").code == 3


def test_what_is_found_or_taken_down_says_what_came_of_it(run: Run, pipeline: str) -> None:
    """Runs that used a version that holds the file, and versions that they made."""
    out = run("find", "data/a.txt").out
    assert "downstream: 1 run, 1 version" in out
    expected = {"runs": [pipeline], "versions": ["team/clean:v0"], "complete": True}
    assert run("find", "data/a.txt", "--json").document["downstream"] == expected
    assert run("find", "out/a.txt", "--json").document["downstream"]["runs"] == []
    assert "downstream: 1 run, 1 version" in run("takedown", "data/a.txt", "--dry-run").out
    done = run("takedown", "data/a.txt", "--yes", "--json").document
    assert done["downstream"] == expected
    assert "team/corpus:v0 (dataset) deleted" in run("lineage", "team/clean").out


def test_a_run_is_forgotten_when_asked(run: Run, pipeline: str) -> None:
    """Not without being asked or told."""
    assert run("run", "delete", pipeline).code == 1
    assert run("run", "show", pipeline, "--json").document["run"]["name"] == "clean"
    assert run("run", "delete", pipeline, "--yes").code == 0
    shown = run("run", "show", pipeline, "--json").document
    assert (shown["run"]["state"], shown["run"]["name"], shown["run"]["config"]) == ("deleted", "", {})
    assert shown["produced"] == ["team/clean:v0"]
