"""`ls`, `show`, `files` and `cat`: what they print of what is kept."""

import base64
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from artifactstore.cli.main import main
from tests.cli import fake_store
from tests.cli.conftest import Run

CREATED = "2026-01-05T14:03:22.123456Z"


@pytest.fixture(autouse=True)
def pushed(fake: Any, run: Run, data: Path) -> None:
    """One version of `team/x`, with some of everything."""
    run("push", "data", "team/x", "--tag", "t", "--metadata", "note=a\x1b[2Jb", "--metadata", "n=3", "-q")


def test_ls_at_each_level(run: Run) -> None:
    """Projects, artifacts, versions: a table with a header."""
    assert [line.split()[:3] for line in run("ls").out.splitlines()] == [
        ["project", "artifacts", "versions"],
        ["team", "1", "1"],
    ]
    assert run("ls", "team").out.splitlines()[1].split()[:4] == ["team/x", "dataset", "1", "v0"]
    header, line = run("ls", "team/x").out.splitlines()
    assert header.split() == ["version", "files", "size", "new", "created", "digest", "aliases", "tags"]
    assert line.split()[0] == "v0"
    assert line.split()[-2:] == ["latest", "t"]
    digest = run("show", "team/x", "--json").document["version"]["digest"]
    assert digest not in line
    assert digest in run("ls", "team/x", "-v").out


def test_ls_of_nothing(run: Run, fake: Any) -> None:
    """An empty store has an empty list."""
    (store,) = fake.made.values()
    store.kept.clear()
    assert run("ls", "--json").document == {"projects": []}
    assert len(run("ls").out.splitlines()) == 1


def test_show(run: Run) -> None:
    """Everything about the version; what came from a stranger commands no terminal."""
    lines = run("show", "team/x").out.splitlines()
    assert lines[0] == "team/x:v0"
    assert {line.split()[0] for line in lines[1:9]} == {
        "type", "created", "digest", "files", "size", "new", "stored", "aliases",
    }  # fmt: skip
    assert lines[-3:] == ["metadata", r'  note = "a\u001b[2Jb"', "  n = 3"]


def test_files(run: Run) -> None:
    """Size, digest and path on a line; --path chooses; -v prints whole digests."""
    assert [line.split()[-1] for line in run("files", "team/x").out.splitlines()] == ["a.txt", "b.csv"]
    assert [
        entry["path"] for entry in run("files", "team/x", "--path", "*.csv", "--json").document["files"]
    ] == ["b.csv"]
    digest = run("files", "team/x", "--json").document["files"][0]["digest"]
    assert digest in run("files", "team/x", "-v").out


def test_files_of_every_kind(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """An executable, a symlink and an empty folder are told apart, and hostile targets are spelled out."""
    entries = [
        fake_store.Entry("bin/run", "file", 1500, "ab" * 32, executable=True),
        fake_store.Entry("empty", "folder", 0, ""),
        fake_store.Entry("link", "symlink", 4, "cd" * 32, target="to\x1b"),
    ]
    monkeypatch.setattr(fake_store.Version, "files", lambda *_: iter(entries))
    assert run("files", "team/x").out.splitlines() == [
        " 1.50 kB  abababababab  bin/run*",
        "     0 B                empty/",
        r"     4 B  cdcdcdcdcdcd  link -> to\x1b",
    ]


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        (None, b"0123456789"), ("2:5", b"234"), ("7:", b"789"), (":3", b"012"), ("-3:", b"789"),
        ("8:100", b"89"), ("50:60", b""), ("5:2", b""), (":", b"0123456789"),
    ],
)  # fmt: skip
def test_cat_and_its_ranges(run: Run, data: Path, span: str | None, expected: bytes) -> None:
    """Ranges are those of slices; with --json the bytes are base64 beside their place."""
    (data / "digits").write_bytes(b"0123456789")
    run("push", "data", "team/x", "-q")
    words = ["cat", "team/x", "digits", *([f"--range={span}"] if span else [])]
    assert run(*words).out.encode() == expected
    document = run(*words, "--json").document
    assert base64.b64decode(document.pop("data_base64")) == expected
    assert document["end"] - document["start"] == len(expected)
    assert (document["reference"], document["path"]) == ("team/x:v1", "digits")


def test_cat_of_a_large_file(run: Run, data: Path) -> None:
    """A file of several spans comes out whole, in base64 too, although its reads are short."""
    content = bytes(range(251)) * 30_000
    (data / "large").write_bytes(content)
    run("push", "data", "team/x", "-q")
    document = json.loads(run("cat", "team/x", "large", "--json").out)
    assert base64.b64decode(document["data_base64"]) == content


def test_cat_to_a_stream_that_takes_parts(run: Run, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With PYTHONUNBUFFERED standard output is raw: it may take less than it is given, and nothing gets lost."""
    taken = bytearray()

    class Raw(io.RawIOBase):
        def writable(self) -> bool:
            return True

        def write(self, span: Any) -> int:
            part = bytes(memoryview(span)[:1000])
            taken.extend(part)
            return len(part)

    content = bytes(range(251)) * 100
    (data / "large").write_bytes(content)
    run("push", "data", "team/x", "-q")
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(Raw(), write_through=True))
    assert main(["cat", "team/x", "large"]) == 0
    assert taken == content


def test_a_file_that_ends_early(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that has less than it said is an error, not a shorter file."""

    class Short(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return b""

    monkeypatch.setattr(fake_store.Version, "open", lambda *_: Short(b"abc"))
    assert run("cat", "team/x", "a.txt", "--json").code == 7


def test_cat_of_no_such_path(run: Run) -> None:
    """A path that the version does not hold is told as such."""
    done = run("cat", "team/x", "nowhere")
    assert (done.code, done.out) == (3, "")
    assert "nowhere" in done.err
