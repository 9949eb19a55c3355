"""`push` and `pull`: what reaches the store, and what is said."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def _fake(fake: Any) -> None:
    """All tests here are about the words around the store."""


def test_push_says_what_it_did(run: Run) -> None:
    """The name, what it holds, what was read, new and stored; an unchanged push says so."""
    assert run("push", "data", "team/x").out.splitlines() == [
        "team/x:v0 is new: 2 files (14 B)",
        "read 2 files (14 B), new 14 B, stored 7 B in 0.50 s (28 B/s)",
    ]
    assert run("push", "data", "team/x").out.splitlines() == [
        "team/x:v0 has the same files already: 2 files (14 B)",
        "read 0 files (0 B), new 0 B, stored 0 B in 0.50 s",
    ]


def test_quiet_push_prints_the_name_alone(run: Run) -> None:
    """A script takes the version from standard output."""
    assert run("push", "data", "team/x", "-q").out == "team/x:v0\n"


def test_everything_about_a_version_is_handed_on(run: Run, data: Path) -> None:
    """Type, aliases, tags, description, metadata and excludes."""
    (data.parent / "m.json").write_text('{"deep": {"a": 1}}')
    done = run(
        "push", "data", "team/x", "-t", "model", "-a", "clean", "--alias", "best", "--tag", "t1",
        "--description", "d d", "--metadata", "n=3", "--metadata", "m.json", "--exclude", "*.csv", "--json",
    )  # fmt: skip
    version = done.document["version"]
    wanted = ("type", "aliases", "tags", "description", "metadata", "file_count")
    assert {name: version[name] for name in wanted} == {
        "type": "model",
        "aliases": ["latest", "clean", "best"],
        "tags": ["t1"],
        "description": "d d",
        "metadata": {"n": 3, "deep": {"a": 1}},
        "file_count": 1,
    }
    assert done.document["push"]["created"] is True


def test_standard_input_is_a_file(run: Run) -> None:
    """`-` with --as keeps what is piped in, beside other paths."""
    assert run("push", "-", "data/a.txt", "--as", "in/put", "team/x", "-q", stdin=b"piped\0bytes").code == 0
    assert run("cat", "team/x", "in/put").out == "piped\0bytes"
    assert run("cat", "team/x", "a.txt").out == "alpha\n"


def test_a_list_of_files(run: Run, data: Path) -> None:
    """--files-from takes a file or standard input, and needs no PATH."""
    (data.parent / "list").write_text("data/a.txt\n")
    assert run("push", "--files-from", "list", "team/x", "-q").code == 0
    assert run("push", "--files-from", "-", "team/y", "-q", stdin=b"data/a.txt\0data/b.csv\0").code == 0
    counts = [run("show", ref, "--json").document["version"]["file_count"] for ref in ("team/x", "team/y")]
    assert counts == [1, 2]


def test_dry_run_says_what_it_would_read(run: Run, fake: Any) -> None:
    """The plan is printed, and nothing is kept."""
    run("push", "data", "team/x", "-q")
    done = run("push", "data", "team/y", "--dry-run")
    assert done.out.splitlines() == [
        "would push 2 files (14 B)",
        "would read 2 files (14 B)",
        "  a.txt",
        "  and 1 more",
    ]
    (store,) = fake.made.values()
    assert list(store.kept) == ["team/x"]
    assert run("push", "-", "--as", "x", "team/y", "--dry-run").code == 2


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (["push", "nowhere", "team/x"], 3, "no-such-path"),
        (["push", "data", "noslash"], 2, "invalid-reference"),
        (["push", "data", "team/x", "--metadata", "bad"], 2, "invalid-metadata"),
        (["push", "team/x"], 2, "usage"),
        (["push", "data", "team/x", "--files-from", "nowhere"], 3, "no-such-path"),
        (["pull", "team/none"], 3, "no-such-version"),
        (["pull", "team/x@123"], 2, "invalid-reference"),
        (["pull", "team/x", "data"], 4, "destination-exists"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refusals(run: Run, words: list[str], code: int, kind: str) -> None:
    """Each has its exit code and kind."""
    run("push", "data", "team/x", "-q")
    done = run(*words, "--json")
    assert (done.code, done.error["kind"], done.out) == (code, kind, "")


def test_pull_goes_to_the_name_or_where_it_is_told(run: Run, home: Path) -> None:
    """DEST is ./NAME when it is not given; --path and --overwrite are handed on."""
    run("push", "data", "team/x", "-q")
    assert run("pull", "team/x").out.splitlines() == [
        "team/x:v0 is in x: 2 files (14 B)",
        "wrote 2 files (14 B) in 0.50 s (28 B/s)",
    ]
    assert (home / "x" / "a.txt").read_text() == "alpha\n"
    assert run("pull", "team/x:v0", "x", "--path", "*.csv", "--overwrite", "-q") == (0, "", "")
    assert [path.name for path in (home / "x").iterdir()] == ["b.csv"]


def test_dry_run_of_a_pull(run: Run, home: Path) -> None:
    """It says what it would write, and writes nothing."""
    run("push", "data", "team/x", "-q")
    assert run("pull", "team/x", "--dry-run").out.splitlines() == [
        "team/x:v0 has 2 files (14 B)",
        "would write 2 files to x, fetching 14 B",
    ]
    assert not (home / "x").exists()


@pytest.mark.parametrize("words", [["absent", "team/x"], ["data", "absent", "team/x"], ["data", "team"]])
def test_a_slip_of_the_pen_makes_no_store(run: Run, fake: Any, words: list[str]) -> None:
    """The first push makes the default store and a key file only when there is something to push somewhere."""
    assert run("push", *words).code in {2, 3}
    assert fake.made == {}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["team/x", "--alias", "v3"], "looks like a version number"),
        (["team/x", "--tag", "a b"], "tag 'a b'"),
        (["team/x", "--type", "a/b"], "type 'a/b'"),
        (["x"], "write PROJECT/x, or set a default project"),
    ],
)
def test_a_bad_name_makes_no_store(run: Run, home: Path, words: list[str], message: str) -> None:
    """The first push makes a store and a key file, but not for a slip of the pen."""
    done = run("push", "data", *words)
    assert done.code == 2
    assert message in done.err
    assert not (home / ".local").exists()
    assert not (home / ".config").exists()


def test_a_push_of_one_word(run: Run) -> None:
    """The word is taken for the artifact, and the error says so."""
    assert "'data' is taken for PROJECT/NAME" in run("push", "data").err
