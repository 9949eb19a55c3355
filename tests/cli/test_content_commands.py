"""`find` says where a file is kept, in a table and in JSON."""

import json
from pathlib import Path

import pytest
from blake3 import blake3

from artifactstore.cli.content_lines import numbers_text
from tests.cli.conftest import Run

pytestmark = pytest.mark.places("folder", "s3")


@pytest.fixture(autouse=True)
def pushed(run: Run, place: str, data: Path) -> None:
    """`a.txt` in v0 and v1 of `team/x`, of which v0 is deleted."""
    assert run("init").code == 0
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


def test_takedown_shows_and_does_nothing(run: Run) -> None:
    """A dry run, and a run that nobody is there to confirm."""
    shown = run("takedown", "data/a.txt", "--dry-run")
    assert "would delete: 1 version" in shown.out
    assert "deleted already, to be purged by the next sweep: 1 version" in shown.out
    refused = run("takedown", "data/a.txt", stdin=b"y\n")
    assert (refused.code, "--yes" in refused.err, "would delete" in refused.err) == (1, True, True)
    told = run("takedown", "data/a.txt", "--json")
    assert (told.code, told.document["takedown"]) == (1, None)
    assert [set(json.loads(line)) for line in told.err.splitlines()] == [{"notice"}]
    assert run("show", "team/x:v1").code == 0


def test_takedown(run: Run, data: Path) -> None:
    """Versions are gone or replaced, the same content is refused with an error of its own until it is allowed."""
    done = run("takedown", "data/a.txt", "--rewrite", "--yes", "--reason", "asked", "--json").document
    assert done["takedown"]["replaced"] == [{"reference": "team/x:v1", "successor": "team/x:v2"}]
    assert done["takedown"]["hastened"] == ["team/x:v0"]
    refused = run("push", "data", "team/x", "--json")
    assert (refused.code, refused.error["kind"], refused.error["facts"]["path"]) == (4, "denied", "a.txt")
    assert run("undelete", "team/x:v1", "--json").error["kind"] == "denied"
    (listed,) = run("takedown", "--list", "--json").document["denied"]
    assert listed["reason"] == "asked"
    assert listed["id"] in run("takedown", "--list").out
    assert run("takedown", "--allow", "data/a.txt").out == "1 file may be kept again\n"
    assert run("takedown", "--allow", listed["id"]).code == 3
    assert run("takedown", "--list").out == "nothing is refused\n"
    assert run("push", "data", "team/x").code == 0


def test_takedown_says_when_there_is_nothing_to_do(run: Run) -> None:
    """Twice, and for nothing at all."""
    assert "deleted 1 version, replaced 0; 1 deleted before" in run("takedown", "data/a.txt", "--yes").out
    assert "there was nothing to do" in run("takedown", "data/a.txt", "--yes").out
    for words in ((), ("--allow",), ("--list", "data/a.txt")):
        assert run("takedown", *words).code == 2
