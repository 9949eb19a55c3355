"""`check`, `repair` and `adopt` on a store that was damaged: what is said, what is done, with which exit code."""

import io
import sys
from pathlib import Path
from typing import Any

import pytest

from artifactstore.backend.base import Backend
from artifactstore.format.record import slot_name
from tests.cli.conftest import Run
from tests.stores import all_objects

pytestmark = pytest.mark.places("folder", "s3")


@pytest.fixture
def broken(run: Run, place: str, objects: Backend, home: Path) -> str:
    """The largest pack of a store of one version, which is gone."""
    (home / "data" / "big.bin").write_bytes(bytes(range(256)) * 40)
    assert run("init").code == 0
    assert run("push", "data", "team/corpus").code == 0
    pack = max(objects.list("packs/"), key=lambda info: info.size_bytes).name
    objects.delete(pack)
    return pack


def test_damage_is_told_with_whom_it_concerns(run: Run, broken: str) -> None:
    """Object, versions, paths and next step, for people and for programs."""
    done = run("check")
    assert done.code == 1
    lines = done.out.splitlines()
    assert lines[0].startswith(f"damaged: {broken}: ")
    assert lines[1] == "  missing in team/corpus:v0"
    assert lines[2:5] == [
        "    team/corpus:v0 a.txt",
        "    team/corpus:v0 b.csv",
        "    team/corpus:v0 big.bin",
    ]
    assert lines[5].startswith("  next: artifactstore repair; then push the files that are missing again")
    (problem,) = run("check", "--json").document["problems"]
    assert (problem["part"], problem["paths"]["total"]) == ("pack", 3)


def test_a_repair_is_shown_first_and_done_with_yes(run: Run, broken: str, objects: Backend) -> None:
    """Nobody can be asked here, so without --yes nothing is done; what is left afterwards is healed by a push."""
    before = all_objects(objects)
    for words in ((), ("--dry-run",), ("--dry-run", "--yes")):
        done = run("repair", *words)
        assert done.code == 1
        assert f"would take out of use: {broken}" in done.out
        assert ("repeat it with --yes" in done.err) == (words == ())
    assert all_objects(objects) == before
    done = run("repair", "--yes", "--json")
    assert done.code == 1  # something is left to do: pushing again
    assert done.document["repair"]["taken_out"] == 1
    (left,) = done.document["plan"]["beyond"]
    assert left["versions"] == {"shown": ["team/corpus:v0"], "total": 1}
    assert run("push", "data", "team/corpus").code == 0
    assert run("check", "--read-data").code == 0
    done = run("repair")
    assert (done.code, done.out) == (0, "there is nothing to repair\n")
    assert run("pull", "team/corpus:v0", "out").code == 0


@pytest.mark.parametrize("answer", ["n\n", "y\n"])
def test_a_terminal_is_asked(run: Run, broken: str, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    """The answer decides."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    done = run("repair")
    assert done.code == 1
    assert "repair the store?" in done.err
    assert ("took 1 pack out of use" in done.out) == (answer == "y\n")


def test_a_store_set_back_is_adopted_knowing_what_is_lost(run: Run, place: str, objects: Backend) -> None:
    """It is refused by everything else, with the next step; then it is gone on with."""
    assert run("init").code == 0
    assert run("push", "data", "team/corpus").code == 0
    objects.delete(slot_name(1))
    for words in (["ls"], ["check"], ["repair"]):
        done = run(*words, "--json")
        assert (done.code, done.error["kind"]) == (6, "rolled-back")
        assert "artifactstore adopt" in done.error["next_step"]
    for words in ((), ("--dry-run", "--yes")):
        done = run("adopt", *words)
        assert done.code == 1
        assert done.out.splitlines()[:2] == [
            "this client has seen 2 records, the bucket has 1",
            "lost: team/corpus:v0",
        ]
    done = run("adopt", "--yes", "--json")
    plan: Any = done.document["plan"]
    assert (done.code, done.document["adopted"], plan["needed"]) == (0, True, True)
    done = run("adopt")
    assert done == (0, "the log is the one that this client has seen: there is nothing to adopt\n", "")
    assert run("push", "data", "team/corpus").code == 0
    assert run("check", "--read-data").code == 0
