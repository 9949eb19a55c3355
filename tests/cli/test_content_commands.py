"""`find` says where a file is kept, in a table and in JSON."""

from pathlib import Path

import pytest
from blake3 import blake3

from artifactstore.cli.content_lines import numbers_text
from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def pushed(run: Run, data: Path) -> None:
    """`a.txt` in v0 and v1 of `team/x`, of which v0 is deleted."""
    assert run("push", "data", "team/x", "-q").code == 0
    (data / "b.csv").write_text("5,6\n")
    assert run("push", "data", "team/x", "-q").code == 0
    assert run("delete", "team/x:v0", "--yes").code == 0


def test_find(run: Run) -> None:
    """A row for each place: share, artifact, path, versions, deleted ones."""
    shown = run("find", "data/a.txt").out.splitlines()
    assert shown[0] == "data/a.txt (6 B): whole at 1 place, in part at 0"
    assert shown[2].split() == ["whole", "team/x", "a.txt", "v1", "v0"]
    (file,) = run("find", "data/a.txt", "--json").document["files"]
    assert (file["places"][0]["versions"], file["places"][0]["deleted"]) == ([1], [0])


def test_find_by_digest_and_within(run: Run, data: Path) -> None:
    """A digest in full, or a path of a version; REF may leave out the configured project."""
    digest = blake3((data / "a.txt").read_bytes()).hexdigest()
    by_digest = run("find", digest, "--json").document["files"][0]
    Path(".artifactstore.toml").write_text('project = "team"\n')
    within = run("find", "--in", "x:v1", "a.txt", "--json").document["files"][0]
    assert (within["name"], within["places"]) == ("team/x:v1 a.txt", by_digest["places"])


def test_nothing_is_found(run: Run, data: Path) -> None:
    """That is an answer, and no error; a file that does not exist is one."""
    (data / "new").write_text("new\n")
    found = run("find", "data/new")
    assert (found.code, found.out) == (0, "data/new (4 B): in no version of this store\n")
    assert run("find", "data/nothing").code == 3
    assert run("find", "abcdef0123").code == 2


def test_numbers() -> None:
    """Runs are joined, and of very many the first are shown."""
    assert numbers_text([]) == ""
    assert numbers_text([0, 1, 2, 5, 7, 8]) == "v0-v2 v5 v7-v8"
    assert numbers_text(range(0, 40, 2)) == "v0 v2 v4 v6 v8 v10 and 14 more"
