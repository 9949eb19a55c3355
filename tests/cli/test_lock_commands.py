"""`lock`, `status` and `pull --locked` on the command line: words, exit codes, and what is printed."""

from pathlib import Path

import pytest

from artifactstore.checkout import LOCK_FILE
from tests.cli.conftest import Run

pytestmark = [pytest.mark.places("folder", "s3"), pytest.mark.usefixtures("ready")]


@pytest.fixture
def locked(run: Run, home: Path) -> Path:
    """`data` pushed and locked into `kept/data`."""
    run("push", "data", "team/corpus", "-q", "--alias", "good")
    assert run("lock", "team/corpus:good", "--target", "kept/data").code == 0
    return home / "kept" / "data"


def test_a_run_uses_what_is_locked(run: Run, locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each version is noted before a folder is touched; a dry run notes nothing, and an ended run makes no folder."""
    ended = run("run", "start", "team", "-q").out.strip()
    assert run("run", "finish", ended).code == 0
    refused = run("pull", "--locked", "--run", ended, "--json")
    assert (refused.code, refused.error["kind"], locked.exists()) == (4, "run-ended", False)
    monkeypatch.setenv("ARTIFACTSTORE_RUN", run("run", "start", "team", "-q").out.strip())
    assert run("pull", "--locked", "--dry-run").code == 0
    assert run("run", "list", "--used", "team/corpus", "--json").document["runs"] == []
    assert run("pull", "--locked").code == 0
    used = run("run", "list", "--used", "team/corpus:good", "--json").document["runs"]
    assert len(used) == 1


def test_from_lock_to_folder_and_back(run: Run, locked: Path, data: Path) -> None:
    """The way of a day: pull, look, change, look, refuse, insist, move on."""
    assert (run("status").code, run("status").out) == (
        1,
        "kept/data: team/corpus:v0 is not there: artifactstore pull --locked\n",
    )
    assert run("pull", "--locked").code == 0
    assert (run("status").code, run("status").out) == (0, "kept/data: team/corpus:v0 clean\n")
    (locked / "a.txt").write_text("mine\n")
    (locked / "b.csv").unlink()
    (locked / "c.txt").touch()
    done = run("status")
    assert (done.code, done.out.splitlines()) == (
        1, ["kept/data: team/corpus:v0 1 modified, 1 missing, 1 extra", "  M a.txt", "  D b.csv", "  ? c.txt"],
    )  # fmt: skip
    refused = run("pull", "--locked", "--json")
    assert (refused.code, refused.error["kind"]) == (4, "local-changes")
    assert refused.error["facts"] == {"changed": ["kept/data/a.txt"], "extra": ["kept/data/c.txt"]}
    assert "--overwrite" in refused.error["next_step"]
    assert (locked / "a.txt").read_text() == "mine\n"
    plan = run("pull", "--locked", "--dry-run", "--json").document["plan"][0]
    assert (plan["write"]["shown"], plan["remove"]["shown"]) == (["a.txt", "b.csv"], ["c.txt"])
    assert run("pull", "--locked", "--overwrite", "--clean").code == 0
    assert run("status").code == 0
    (data / "a.txt").write_text("newer\n")
    run("push", "data", "team/corpus", "-q", "--alias", "good")
    assert "'good' is on v1 by now" in run("lock", "--check").out
    assert run("lock", "--update").out == "kept/data: team/corpus:v0 -> team/corpus:v1\n"
    assert run("pull", "--locked").code == 0
    assert (locked / "a.txt").read_text() == "newer\n"


def test_references_are_pulled_too(run: Run, home: Path, data: Path) -> None:
    """Fetched where that is allowed, left out where that is said, and in the status either way."""
    outside = (home / "outside.bin").absolute()
    outside.write_bytes(b"outside")
    assert run("push", "data", "team/far", "-q", "--reference", f"file://{outside}=out.bin").code == 0
    run("lock", "team/far", "--target", "far")
    assert run("pull", "--locked", "--json").error["kind"] == "reference-refused"
    assert not (home / "far").exists()
    assert run("pull", "--locked", "--no-references").code == 0
    assert not (home / "far" / "out.bin").exists()
    assert run("status", "--no-references").out == "far: team/far:v0 clean\n"
    assert (run("status").code, run("status").out) == (1, "far: team/far:v0 1 missing\n  D out.bin\n")
    assert run("pull", "--locked", "--allow-references", f"file://{home}").code == 0
    assert (home / "far" / "out.bin").read_bytes() == b"outside"
    assert (run("status").code, run("status").out) == (0, "far: team/far:v0 clean\n")


def test_the_file_is_found_from_below(run: Run, locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a folder inside, names are still those of the file; another file is named outright."""
    run("pull", "--locked")
    monkeypatch.chdir(locked)
    assert run("status", "kept/data").code == 0
    assert run("lock", "--check", "team/corpus", "--json").document["ok"] is True
    assert run("status", "--file", "elsewhere.lock", "--json").error["kind"] == "no-such-path"
    assert run("pull", "--locked", "../../" + LOCK_FILE).code == 0


def test_check_fails_where_a_version_is_gone(run: Run, locked: Path) -> None:
    """A build asks before it needs it."""
    run("delete", "team/corpus:v0", "--yes", "--force")
    done = run("lock", "--check")
    assert done.code == 1
    assert "was deleted" in done.out
    assert "next: bring it back" in done.out


def test_a_dry_run_and_a_removal(run: Run, locked: Path, home: Path) -> None:
    """Nothing is written by the one; the other takes the block and leaves the folder."""
    text = (home / LOCK_FILE).read_text()
    for words in (["team/corpus:v0", "--target", "other"], ["--remove", "kept/data"], ["--update"]):
        assert run("lock", *words, "--dry-run").code == 0
        assert (home / LOCK_FILE).read_text() == text
    assert run("lock", "--remove", "corpus").code == 3
    assert run("lock", "--remove", "team/corpus").code == 0
    assert "kept/data" not in (home / LOCK_FILE).read_text()


def test_a_default_project_counts_here_too(run: Run, locked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`corpus` is `team/corpus` where a project is configured."""
    monkeypatch.setenv("ARTIFACTSTORE_PROJECT", "team")
    assert "team/corpus" in run("lock", "corpus:v0").out
    assert run("lock", "--update", "corpus").code == 0


def test_git_is_told_how_to_merge_once(run: Run, home: Path, data: Path) -> None:
    """A word in a repository whose attributes don't name the file, and none outside of one."""
    run("push", "data", "team/corpus", "-q")
    assert "merge=union" not in run("lock", "team/corpus").err
    (home / LOCK_FILE).unlink()
    (home / ".git").mkdir()
    assert "artifacts.lock merge=union" in run("lock", "team/corpus").err
    assert "merge=union" not in run("lock", "team/corpus").err
    (home / LOCK_FILE).unlink()
    (home / ".gitattributes").write_text("artifacts.lock merge=union\n")
    assert "merge=union" not in run("lock", "team/corpus").err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["lock"], "nothing to lock"),
        (["lock", "--update", "--check"], "three things"),
        (["lock", "a/b", "c/d", "--target", "x"], "--target goes with exactly one REF"),
        (["pull", "--locked", "x", "y"], "neither DEST nor --path"),
        (["pull", "--locked", "--allow-missing"], "say --no-references to leave out all"),
        (["pull"], "missing argument 'REF'"),
        (["pull", "a/b", "--clean"], "--clean goes with --locked"),
    ],
)
def test_words_that_do_not_fit(run: Run, words: list[str], message: str) -> None:
    """A usage error, before a store is opened."""
    done = run(*words)
    assert done.code == 2
    assert message in done.err
