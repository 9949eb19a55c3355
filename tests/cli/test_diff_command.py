"""`diff`: what it prints for people and programs, what it takes for a folder, and how it exits."""

import struct
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.comparison.sources import tensors_file


@pytest.fixture(autouse=True)
def pushed(run: Run, place: str, data: Path) -> None:
    """Two versions of `team/x`, and the folder `data` as it was pushed last."""
    assert run("init").code == 0
    (data / "old").mkdir()
    for number in range(3):
        (data / "old" / f"{number}.txt").write_text(f"number {number}\n")
    (data / "run").write_text("#!\n")
    assert run("push", "data", "team/x", "-q", "--tag", "a", "--metadata", "rows=3").code == 0
    (data / "old").rename(data / "new")
    (data / "b.csv").write_text("5,6\n")
    (data / "run").chmod(0o755)
    (data / "a.txt").unlink()
    (data / "c.txt").write_text("new\n")
    (data / "link").symlink_to("c.txt")
    assert run("push", "data", "team/x", "-q", "--tag", "b", "--metadata", "rows=4").code == 0


def test_lines(run: Run) -> None:
    """What is said of the two, a line for each change, a folder that was renamed as one, and the totals."""
    assert run("diff", "team/x:v0", "team/x:v1").out.splitlines() == [
        "team/x:v0 -> team/x:v1",
        "removed  tags: a",
        "added    tags: b",
        "changed  metadata rows: 3 -> 4",
        "removed       6 B  a.txt",
        "changed       4 B  b.csv (was 8 B, 4 B new)",
        "added         4 B  c.txt",
        "added         5 B  link -> c.txt",
        "renamed            old/ -> new/ (3 files)",
        "changed       3 B  run (now executable)",
        "2 added (4 B), 1 removed (6 B), 2 changed (7 B, was 11 B), 3 renamed (27 B); 8 B new",
    ]
    each = run("diff", "team/x:v0", "team/x:v1", "-v").out.splitlines()
    assert "renamed       9 B  new/1.txt (was old/1.txt)" in each
    assert run("diff", "team/x:v0", "team/x:v1", "-q", "--path", "*.csv").out.splitlines() == [
        "changed       4 B  b.csv (was 8 B, 4 B new)"
    ]


def test_stat(run: Run) -> None:
    """Counts by folder."""
    assert run("diff", "team/x:v0", "team/x:v1", "--stat").out.splitlines()[4:-1] == [
        "folder  added  removed  changed  renamed  new",
        ".           2        1        2           8 B",
        "new                                    3  0 B",
    ]
    found = run("diff", "team/x:v0", "team/x:v1", "--stat", "--json").document
    assert found["folders"][1] == {
        "folder": "new", "added": 0, "removed": 0, "changed": 0, "renamed": 3, "new_bytes": 0,
    }  # fmt: skip
    assert "changes" not in found


def test_json(run: Run) -> None:
    """Everything, with each change on a line of its own."""
    found = run("diff", "team/x:v0", "team/x:v1", "--json").document
    assert (found["before"]["reference"], found["after"]["reference"]) == ("team/x:v0", "team/x:v1")
    assert (found["equal"], found["folder"]) == (False, None)
    assert found["totals"]["renamed"] == 3
    assert found["renamed_folders"] == [{"before": "old/", "after": "new/", "files": 3}]
    assert {fact["name"] for fact in found["facts"]} == {"tags", "metadata"}
    by_path = {change["path"]: change for change in found["changes"]}
    assert by_path["new/0.txt"]["before"]["path"] == "old/0.txt"
    assert by_path["b.csv"]["new_bytes"] == 4
    assert by_path["a.txt"]["after"] is None


def test_exit_code(run: Run) -> None:
    """Like git diff: 1 only where it is asked for; what is said of versions does not count."""
    assert run("diff", "team/x:v0", "team/x:v1").code == 0
    assert run("diff", "team/x:v0", "team/x:v1", "--exit-code").code == 1
    assert run("diff", "team/x:v1", "team/x", "--exit-code").code == 0
    assert run("diff", "team/x:v1", "team/x").out.splitlines()[-1] == "no path differs"
    assert run("diff", "team/x:v0", "team/x:v9").code == 3


def test_a_local_folder(run: Run, data: Path) -> None:
    """By a path that can be nothing else, or by a name that is no version's."""
    assert run("diff", "team/x", "./data", "--exit-code").code == 0
    (data / "c.txt").write_text("newer\n")
    for name in ("./data", "data", "data/", str(data)):
        shown = run("diff", "team/x", name)
        assert shown.out.splitlines()[1:] == [
            "changed       6 B  c.txt (was 4 B, 6 B new)",
            "1 changed (6 B, was 4 B); 6 B new",
        ], name
    found = run("diff", "team/x:v1", "data", "--json").document
    assert (found["after"], found["folder"], found["facts"]) == (None, "data", [])
    assert (
        run("diff", "team/x", "data", "--exclude", "c.txt").out.splitlines()[-1] == "1 removed (4 B); 0 B new"
    )
    assert run("diff", "team/x", "./nothing").code == 3
    assert run("diff", "team/x", "nothing").code == 3
    assert run("diff", "team/x", "data/c.txt/").code == 4
    assert run("diff", "team/x", "./data/c.txt").code == 4
    assert run("diff", "team/x", "team/x:v0", "--exclude", "c.txt").code == 2


def test_what_may_be_a_folder_or_a_version_is_asked_about(run: Run, data: Path, home: Path) -> None:
    """Nobody is to wonder what was compared."""
    (home / "team" / "x").mkdir(parents=True)
    refused = run("diff", "team/x", "team/x")
    assert refused.code == 2
    assert "./team/x" in refused.err
    assert run("diff", "team/x", "team/x:latest", "--exit-code").code == 0
    (home / ".artifactstore.toml").write_text('project = "team"\n')
    (home / "x").mkdir()
    assert run("diff", "x:v0", "x").code == 2
    assert run("diff", "x:v0", "x:v1", "--exit-code").code == 1


def test_colours_are_for_terminals(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Green, red, yellow and cyan, unless NO_COLOR is set."""
    from artifactstore.cli import inside_lines

    lines = run("diff", "team/x:v0", "team/x:v1").out
    assert "\x1b" not in lines
    coloured = inside_lines.status_text("added", coloured=True)
    assert coloured.startswith("\x1b[32madded")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert "\x1b[32madded" in run("diff", "team/x:v0", "team/x:v1").out
    monkeypatch.setenv("NO_COLOR", "1")
    assert run("diff", "team/x:v0", "team/x:v1").out == lines


def test_deep(run: Run, data: Path) -> None:
    """Lines below a changed file, and `inside` in JSON; what can't be looked into says why."""
    pytest.importorskip("numpy")
    (data / "t.csv").write_text("id,old,size\n1,a,2\n2,b,3\n")
    (data / "m.safetensors").write_bytes(tensors_file({"w": W}, struct.pack("<2f", 3, 4)))
    (data / "bad.safetensors").write_bytes(b"1234567890")
    assert run("push", "data", "team/deep", "-q").code == 0
    (data / "t.csv").write_text("id,new,size\n1,a,2\n2,b,3.5\n")
    (data / "m.safetensors").write_bytes(
        tensors_file({"w": W, "v": {**W, "data_offsets": [8, 16]}}, struct.pack("<4f", 3, 5, 0, 0))
    )
    (data / "bad.safetensors").write_bytes(b"0987654321")
    shown = run("diff", "team/deep", "./data", "--deep").out.splitlines()
    assert shown[1:] == [
        "changed      10 B  bad.safetensors (10 B new)",
        f"{19 * ' '}{WHY}",
        "changed     147 B  m.safetensors (was 77 B, 147 B new)",
        "                   safetensors: 0 tensors the same",
        "                   added    v: F32[2], 8 B",
        "                   changed  w: F32[2], max abs 1, relative L2 0.2",
        "changed      26 B  t.csv (was 24 B, 26 B new)",
        "                   csv: 2 rows; 1 column the same",
        "                   renamed  new (was old)",
        "                   typed    size: integer -> number, 1 row of another value",
        "3 changed (183 B, was 111 B); 183 B new",
    ]
    found = run("diff", "team/deep", "./data", "--deep", "--json").document["changes"]
    assert "problem" in found[0]["inside"]
    assert found[1]["inside"]["changed"][0]["max_abs"] == 1.0
    assert found[2]["inside"]["columns"][0]["name_before"] == "old"
    assert run("diff", "team/deep", "./data", "--json").document["changes"][1]["inside"] is None
    assert run("diff", "team/deep", "./data", "--deep", "--stat").code == 2


W = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
WHY = (
    "'team/deep:v0 bad.safetensors' can't be looked into: its header of 4050765991979987505 bytes is longer than the"
    " file; compare it without --deep, or look at it with a program of that format"
)
