"""`copy` and `mirror`: from the store of the command to another, with its own key."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def stores(run: Run, home: Path) -> None:
    """Two stores with keys of their own; `team/x` has two versions in the first."""
    assert run("init", home / "here", "--key-file", home / "one.key").code == 0
    assert run("init", home / "there", "--key-file", home / "two.key").code == 0
    given = ("--store", home / "here", "--key-file", home / "one.key", "-q")
    assert run("push", "data", "team/x", "--alias", "prod", *given).code == 0
    assert run("push", "data", "team/x", "--exclude", "a.txt", *given).code == 0


def ends(home: Path) -> tuple[object, ...]:
    return (
        "--store",
        home / "here",
        "--key-file",
        home / "one.key",
        "--to",
        home / "there",
        "--to-key-file",
        home / "two.key",
    )


def test_copy(run: Run, home: Path) -> None:
    """A dry run says what the copy then does; again there is nothing to do."""
    dry = run("copy", "team/x:*", *ends(home), "--dry-run")
    assert dry.out.splitlines()[0] == f"would copy 2 versions, 22 B, to {home}/there"
    done = run("copy", "team/x:*", *ends(home), "--json").document
    assert [(one["action"], one["target"]) for one in done["versions"]] == [
        ("copy", "team/x:v0"),
        ("copy", "team/x:v1"),
    ]
    again = run("copy", "team/x:*", *ends(home))
    assert again.out == f"copied 0 versions, 0 B, to {home}/there; 2 versions there already\n"
    shown = run("show", "team/x:prod", "--store", home / "there", "--key-file", home / "two.key", "--json")
    assert shown.document["version"]["number"] == 0


def test_another_key_opens_nothing(run: Run, home: Path) -> None:
    """The other store is unlocked by its own key, not by that of the source."""
    words = [word if word != home / "two.key" else home / "one.key" for word in ends(home)]
    refused = run("copy", "team/x", *words, "--json")
    assert (refused.code, refused.error["kind"]) == (5, "wrong-key")


def test_no_store_there(run: Run, home: Path) -> None:
    """Copying makes no store."""
    refused = run("copy", "team/x", *ends(home)[:-4], "--to", home / "nowhere", "--json")
    assert (refused.code, refused.error["kind"]) == (3, "no-such-store")


def test_mirror_asks_before_it_deletes(run: Run, home: Path) -> None:
    """Without --delete nothing goes there; with it somebody has to agree."""
    assert run("mirror", *ends(home)).code == 0
    given = ("--store", home / "here", "--key-file", home / "one.key")
    assert run("delete", "team/x:v1", "--yes", *given).code == 0
    assert "2 versions" not in run("mirror", *ends(home), "--dry-run").out
    refused = run("mirror", *ends(home), "--delete", stdin=b"y\n")
    assert (refused.code, "would delete team/x:v1" in refused.err) == (1, True)
    done = run("mirror", *ends(home), "--delete", "--yes", "--json").document
    assert done["deletes"] == ["team/x:v1"]
