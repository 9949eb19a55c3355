"""`alias` and `tag` put names on versions and take them off."""

from typing import Any

import pytest

from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def pushed(fake: Any, run: Run) -> None:
    """One version of `team/x`."""
    run("push", "data", "team/x", "-q")


def test_aliases(run: Run) -> None:
    """Several at once; --remove needs no version."""
    assert run("alias", "team/x:v0", "good", "better").out == "team/x:v0: aliases latest good better\n"
    assert run("alias", "--remove", "team/x", "good").out == "team/x: removed good\n"
    removed = run("alias", "--remove", "team/x:v0", "better", "--json")
    assert removed.document == {"artifact": "team/x", "removed": ["better"]}
    assert run("show", "team/x", "--json").document["version"]["aliases"] == ["latest"]


def test_tags(run: Run) -> None:
    """Several at once, and off again."""
    assert run("tag", "team/x", "a", "b").out == "team/x:v0: tags a b\n"
    assert run("tag", "--remove", "team/x", "a", "--json").document["version"]["tags"] == ["b"]
    assert run("tag", "--remove", "team/x", "b").out == "team/x:v0: no tags\n"
    assert run("tag", "team/x", "c", "-q") == (0, "", "")


@pytest.mark.parametrize("command", ["alias", "tag"])
def test_names_are_needed(run: Run, command: str) -> None:
    """A reference alone changes nothing, and says so."""
    assert run(command, "team/x").code == 2
