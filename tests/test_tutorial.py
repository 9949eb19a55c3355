"""The tutorial is typed in by a test: each command as it stands, and what it prints has the shape that is shown."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
TUTORIAL = ROOT / "docs" / "tutorial.md"
MARK = "=-=-= command"


class Step(NamedTuple):
    """One command of a page, and what is shown below it."""

    line: int
    command: str
    shown: str


def steps(page: Path) -> list[Step]:
    """The commands of the `console` blocks of a page, in order."""
    found: list[Step] = []
    text = page.read_text(encoding="utf-8")
    for block in re.finditer(r"^```console\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        at = text.count("\n", 0, block.start(1)) + 1
        for number, line in enumerate(block[1].splitlines(keepends=True), at):
            if line.startswith("$ "):
                found.append(Step(number, line[2:].strip(), ""))
            else:
                found[-1] = found[-1]._replace(shown=found[-1].shown + line)
    return found


def pattern(shown: str) -> str:
    """What is shown as an expression: an ellipsis stands for anything within a line, spaces for any of them."""
    lines = [
        re.sub(r"(?:\\ )+", " +", re.escape(line.strip())).replace("…", ".*").replace(r"\.*", ".*")
        for line in shown.splitlines()
    ]
    return "\n".join(rf" *{line} *" for line in lines)


def typed(commands: list[str], folder: Path) -> list[str]:
    """What each command prints, to either stream, when they are typed into one shell."""
    tools = folder / "bin"
    tools.mkdir()
    (tools / "artifactstore").write_text(
        f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m artifactstore "$@"\n'
    )
    (tools / "artifactstore").chmod(0o755)
    (folder / "work").mkdir()
    script = f'PATH="{tools}:$PATH"\n' + "".join(f"{command}\necho '{MARK}'\n" for command in commands)
    done = subprocess.run(
        ["bash", "-s"],
        input=script,
        cwd=folder / "work",
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    )
    return done.stdout.split(f"{MARK}\n")[:-1]


def test_the_tutorial_is_typed_in(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From an empty folder to the proof; every line that is shown is printed, and no other."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    asked = steps(TUTORIAL)
    printed = typed([step.command for step in asked], home)
    assert len(printed) == len(asked) > 25
    for step, output in zip(asked, printed, strict=True):
        wanted = pattern(step.shown)
        assert re.fullmatch(wanted, output.strip("\n")), f"line {step.line}: {step.command}\n{output}"
