"""`doctor`: a line for each thing, and an exit code that a script can go by."""

from pathlib import Path

from tests.cli.conftest import Run


def test_in_order(run: Run) -> None:
    """Warnings are no reason to fail; each has a next step."""
    run("push", "data", "team/x", "-q")
    done = run("doctor")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert any(line.startswith("ok       key-file     the key file ") for line in lines)
    warned = next(number for number, line in enumerate(lines) if line.startswith("warning  backup"))
    assert lines[warned + 1].strip().startswith("next: artifactstore key backup")
    assert run("doctor", "--probe", "--json").document["ok"] is True


def test_a_problem_ends_with_1(run: Run, home: Path) -> None:
    """As JSON too, with the kind of the error among the facts."""
    run("push", "data", "team/x", "-q")
    (home / ".config" / "artifactstore" / "key").chmod(0o666)
    done = run("doctor", "--json")
    assert done.code == 1
    assert done.document["ok"] is False
    (found,) = [each for each in done.document["findings"] if each["subject"] == "key-file"]
    assert (found["verdict"], found["facts"]["kind"]) == ("problem", "key-exposed")


def test_without_a_store(run: Run) -> None:
    """The first thing that somebody tries on a new machine says what to do next, and makes no store."""
    done = run("doctor")
    assert done.code == 1
    assert "artifactstore init" in done.out
    assert run("ls").code == 3
