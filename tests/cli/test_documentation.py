"""`docs/cli.md` keeps its word: its lines run, its JSON has the shape that is printed, all is there."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import click

from artifactstore import errors
from artifactstore.cli.failures import EXIT_INTERNAL, EXIT_INTERRUPTED
from artifactstore.cli.main import COMMANDS, EXIT_READER_LEFT, commands
from tests.cli.conftest import Finished, Run

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(console|json)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


def sections() -> dict[str, str]:
    """The text below each heading."""
    parts = re.split(r"^## (.*)$", TEXT, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def shape(document: Any) -> Any:
    """Names and kinds of values, without the values."""
    if isinstance(document, dict):
        return {
            name: shape(value) if name != "facts" else "as the error has it"
            for name, value in document.items()
        }
    if isinstance(document, list):
        return [shape(item) for item in document[:1]]
    return (
        "number"
        if isinstance(document, int | float) and not isinstance(document, bool)
        else type(document).__name__
    )


def execute(run: Run, line: str) -> Finished:
    """Run one documented line; what stands before a pipe is left to bash."""
    source, pipe, command = line.rpartition(" | ")
    stdin = subprocess.run(["bash", "-c", source], capture_output=True, check=True).stdout if pipe else None
    program, *words = shlex.split(command)
    assert program == "artifactstore"
    return run(*words, stdin=stdin)


def test_every_documented_line_runs_and_prints_the_documented_shape(run: Run, data: Path) -> None:
    """The page is run from top to bottom in an empty home with a folder `data`."""
    for each in data.iterdir():
        each.unlink()
    (data / "notes.txt").write_text("hello, corpus\n")
    for part in range(2):
        (data / f"part-{part}.csv").write_text("".join(f"{row},{row * part}\n" for row in range(600)))
    line, done, token = "", Finished(0, "", ""), ""
    for index, (language, block) in enumerate(BLOCKS):
        if language == "json":
            expected = json.loads(block)
            found = {"error": done.error} if done.code else done.document
            assert shape(found) == shape(expected), f"{line}\n{found}"
            continue
        fails = index + 1 < len(BLOCKS) and BLOCKS[index + 1][1].startswith('{\n  "error"')
        for line in block.splitlines():
            done = execute(run, line.removeprefix("$ ").replace("$TOKEN", token))
            if "distributed begin" in line:
                token = done.document["distributed"]["token"]
            assert (done.code != 0) == fails, (line, done)


def test_every_command_and_option_is_documented() -> None:
    """Each command has a section that names its own options; those of all commands have theirs."""
    missing = []
    for name in COMMANDS:
        command = commands.get_command(click.Context(commands), name)
        each = list(command.commands.values()) if isinstance(command, click.Group) else [command]
        text = sections().get(name, "") + sections()["Options of every command"]
        for option in (parameter for one in each if one for parameter in one.params):
            missing += [
                (name, word) for word in option.opts if word.startswith("-") and f"`{word}" not in text
            ]
        if isinstance(command, click.Group):
            missing += [(name, word) for word in command.commands if f"{name} {word}" not in text]
    assert missing == []
    assert [name for name in COMMANDS if name not in sections()] == []


def test_exit_codes_are_documented() -> None:
    """The table has every exit code of every error class, and those of the program around them."""
    table = {
        int(code) for code in re.findall(r"^\| (\d+) \|", sections()["Exit codes and errors"], re.MULTILINE)
    }
    codes = {
        cls.exit_code for cls in vars(errors).values() if isinstance(cls, type) and hasattr(cls, "exit_code")
    }
    assert table == codes | {0, 1, EXIT_INTERNAL, EXIT_INTERRUPTED, EXIT_READER_LEFT}
