"""The pages for users of other tools name commands of ours that exist, and their days run."""

import re
import shlex
from pathlib import Path

import click
import pytest

from artifactstore.cli.main import commands
from tests.test_tutorial import steps, typed

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted((ROOT / "docs").glob("for-*-users.md"))


def named(page: Path) -> list[str]:
    """The commands of ours that a page names, in lines of code and in tables."""
    text = page.read_text(encoding="utf-8")
    shown = re.findall(r"`(artifactstore [^`]+)`", text)
    return [*shown, *(step.command for step in steps(page) if step.command.startswith("artifactstore "))]


COMMANDS = [(page.stem, command) for page in PAGES for command in named(page)]


@pytest.mark.parametrize(("page", "command"), COMMANDS, ids=[f"{page}: {text}" for page, text in COMMANDS])
def test_a_command_that_is_named_parses(page: str, command: str) -> None:
    """Its name, its options and its arguments; nothing is run."""
    words = shlex.split(command)[1:]
    group: click.Command = commands
    context = click.Context(commands, info_name="artifactstore")
    while isinstance(group, click.Group):
        found = group.get_command(context, words[0]) if words else None
        assert found is not None, f"there is no command {words[:1]}"
        group, words = found, words[1:]
        if isinstance(group, click.Group):
            context = click.Context(group, parent=context, info_name=group.name)
    # A command that is spoken of as such may stand without its arguments.
    if words or not any(isinstance(one, click.Argument) and one.required for one in group.params):
        group.make_context(group.name, words, parent=context)


def test_each_page_names_commands() -> None:
    """Enough of them that a page which lost its tables is noticed."""
    assert [page.stem for page in PAGES if len(named(page)) < 15] == []
    assert len(PAGES) >= 2


@pytest.mark.parametrize("page", [page for page in PAGES if steps(page)], ids=lambda page: page.stem)
def test_a_day_runs(home: Path, monkeypatch: pytest.MonkeyPatch, page: Path) -> None:
    """The commands of its last section, one after the other, in a folder with some data; none fails."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("ARTIFACTSTORE_STORE", str(home / "work" / "archive"))
    commands = [step.command for step in steps(page)]
    data = "mkdir data && seq 1000 > data/numbers.txt"
    printed = typed([data, *(f"{command} && echo fine" for command in commands)], home)
    assert [one.splitlines()[-1:] for one in printed[1:]] == [["fine"]] * len(commands), printed
