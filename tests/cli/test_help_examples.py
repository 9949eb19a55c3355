"""The examples in `--help` are true: each is run, in a home where what it names is there."""

import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from artifactstore.cli.main import COMMANDS, commands
from tests.cli.conftest import Run

# What lies outside of this machine, is typed on a terminal, or is printed by another example.
ELSEWHERE = (
    "s3://", "gs://", "https://", "/mnt/", "/media/", "~/", "eval", "…", "TOKEN", "$token", "3f9a", "receipt verify",
    "key passphrase", "--passphrase",
)  # fmt: skip
# Those that ask where nobody answers, and those that report something, end with 1.
MAY_END_WITH = {0, 1}
# What names something that is not in the home below may also say so, with 3 or 4.
PREPARED = (
    " adopt alias audit cache cat check config delete diff doctor du files find gc index info key lock log ls pull push"
    " repair retention show status tag takedown ttl undelete "
)
# What has to be done before an example makes sense.
BEFORE = {
    "undelete team/corpus:v3": "delete team/corpus:v3 --yes --force",
    "delete 'team/corpus:*'": "alias --remove team/corpus production; alias --remove team/corpus clean",
    "takedown --allow": "takedown customers.csv --yes --rewrite",
    "delete team": "undelete team/corpus:v3",
}
# So that what one example takes away is not missing in another.
LAST = ("undelete", "takedown --allow", "delete team", "delete", "takedown", "retention apply", "gc", "key r")


def examples() -> Iterator[tuple[str, str]]:
    """Every line of an epilog, with the command whose it is."""
    for name in COMMANDS:
        command = commands.get_command(click.Context(commands), name)
        assert command is not None
        each = {name: command}
        if isinstance(command, click.Group):
            each |= {f"{name} {sub}": below for sub, below in command.commands.items()}
        for words, one in each.items():
            for line in (one.epilog or "").split("Example:\n")[-1].splitlines():
                if line.strip():
                    yield words, line.strip()


EXAMPLES = sorted(set(examples()))


def test_every_example_is_of_its_command() -> None:
    """A line that is shown under a command calls it, and quotes what a shell would take apart.

    What many do together takes a push between one command of its group and the next.
    """
    between = ("distributed", 'artifactstore push shard-3 --into "$token" --part 3/8')
    for words, line in EXAMPLES:
        assert f"artifactstore {words}" in line or (words, line) == between
        assert shlex.split(line)


@pytest.mark.parametrize("line", sorted({line for _, line in EXAMPLES}))
def test_options_of_examples_exist(home: Path, line: str) -> None:
    """What can't be run here is parsed all the same: no option that is not there, no argument too many."""
    for name in ("log.note", "receipt.json"):
        (home / name).touch()
    for part in line.split(" | "):
        if not part.startswith("artifactstore "):
            continue
        _, *words = shlex.split(part.partition(" > ")[0].partition(" < ")[0])
        with commands.make_context("artifactstore", list(words), resilient_parsing=False) as context:
            name, command, rest = commands.resolve_command(context, list(words))
            while isinstance(command, click.Group):
                with command.make_context(name, rest, parent=context, resilient_parsing=False) as below:
                    name, command, rest = command.resolve_command(below, rest)
            assert command is not None
            command.make_context(name, rest, parent=context).close()


def prepared(run: Run, home: Path) -> None:
    """A home with the names that the examples use."""
    (home / "data" / "train").mkdir()
    for words in (["init", "-q"], ["add", "data"]):
        subprocess.run(["git", *words], cwd=home, check=True)
    (home / "photos").mkdir()
    (home / "train.py").touch()
    for part in range(3):
        (home / "data" / "train" / f"part-{part}.csv").write_text(f"{part}\n" * 100)
    (home / "data" / "train" / "customers.csv").write_text("name\nana\n")
    (home / "customers.csv").write_text("name\nana\n")
    (home / "data" / "model.bin").write_bytes(bytes(range(256)) * 16)
    for number in range(4):
        (home / "data" / "count").write_text(str(number))
        assert run("push", "data", "team/corpus", "-q").code == 0
        assert run("push", "data/count", "team/model", "-q").code == 0
    assert run("alias", "team/corpus:v3", "production", "beta").code == 0
    assert run("lock", "team/corpus:production", "--target", "locked/corpus").code == 0


def order(example: tuple[str, str]) -> tuple[int, str]:
    """What takes something away comes last."""
    line = example[1]
    return next((at for at, words in enumerate(LAST, 1) if f"artifactstore {words}" in line), 0), line


def test_examples_run(run: Run, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every example that names nothing outside this machine does what it shows, or asks first."""
    prepared(run, home)
    failed, ran = [], 0
    for _, line in sorted(EXAMPLES, key=order):
        if any(mark in line for mark in ELSEWHERE):
            continue
        source, pipe, command = line.rpartition(" | ")
        if not command.startswith("artifactstore "):
            source, pipe, command = "", "", source if source.startswith("artifactstore ") else line
        if not command.startswith("artifactstore "):  # a line of a shell, of which the command is a part
            continue
        stdin = (
            subprocess.run(["bash", "-c", source], capture_output=True, check=False).stdout if pipe else None
        )
        for words, needed in BEFORE.items():
            if f"artifactstore {words}" in line:
                for each in needed.split("; "):
                    run(*shlex.split(each))
        if "pull team" in command:
            (home / f"elsewhere{ran}").mkdir()
            monkeypatch.chdir(home / f"elsewhere{ran}")
        done = run(*shlex.split(command)[1:], stdin=stdin)
        monkeypatch.chdir(home)
        ran += 1
        expected = MAY_END_WITH
        if f" {command.split()[1]} " not in PREPARED:
            expected = {*expected, 3, 4}
        if done.code not in expected:
            failed.append((line, done.code, done.err))
    assert failed == [], "\n".join(map(str, failed))
    assert ran > 50
