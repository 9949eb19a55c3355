"""Opening the store: the first push makes the default one, a named one must exist, notices are told once."""

import sys
from pathlib import Path
from typing import Any

import pytest

from artifactstore.cli.options import CommonOptions
from artifactstore.cli.progress_bar import ProgressBar
from artifactstore.cli.session import Session
from artifactstore.config import PROJECT_FILE, default_key_file, default_store
from artifactstore.errors import StoreExists
from tests.cli.conftest import Run

DEFAULT = CommonOptions(
    store=None,
    key_file=None,
    password_command=None,
    store_id=None,
    single_writer=False,
    storage={},
    as_json=False,
    quiet=False,
    verbose=False,
)


def test_the_first_push_makes_the_default_store(run: Run, fake: Any) -> None:
    """It says where both are, and that the key file must be backed up; the second push says nothing."""
    first = run("push", "data", "team/x")
    assert first.code == 0
    assert first.err.splitlines() == [
        f"note: made the store {default_store()} (id {fake.made[default_store()].id})",
        (
            f"note: made the key file {default_key_file()}: back it up with `artifactstore key backup DEST`,"
            " without it nobody can read the store"
        ),
    ]
    assert run("push", "data", "team/x").err == ""


def test_the_notice_about_the_key_is_never_hidden(run: Run, fake: Any) -> None:
    """-q hides other notices; --json tells it in its own way, and in the document."""
    assert "back it up" in run("push", "data", "team/x", "-q").err
    fake.made.clear()
    done = run("push", "data", "team/x", "--json")
    assert [line.startswith('{"notice": "') for line in done.err.splitlines()] == [True, True]
    assert "it is unlocked by your key file" in done.err
    assert done.document["store_created"] == {
        "id": fake.made[default_store()].id,
        "url": default_store(),
        "key_file": str(default_key_file()),
        "key_file_created": False,
    }


@pytest.mark.parametrize("how", ["argument", "environment", "project file"])
def test_a_named_store_must_exist(run: Run, fake: Any, how: str, home: Path, monkeypatch: Any) -> None:
    """A store that somebody named and that is not there may be a slip; it is never made by a push."""
    words = ["push", "data", "team/x", "--json"]
    if how == "argument":
        words += ["--store", str(home / "there")]
    elif how == "environment":
        monkeypatch.setenv("ARTIFACTSTORE_STORE", str(home / "there"))
    else:
        (home / PROJECT_FILE).write_text('store = "there"')
    done = run(*words)
    assert (done.code, done.error["kind"], fake.made) == (3, "no-such-store", {})
    assert "artifactstore init" in done.error["next_step"]


@pytest.mark.parametrize(
    "words", [["ls"], ["pull", "a/b"], ["push", "data", "a/b", "--dry-run"]], ids=" ".join
)
def test_only_a_push_makes_the_default_store(run: Run, fake: Any, words: list[str]) -> None:
    """Looking does not make anything, nor does a dry run."""
    done = run(*words)
    assert (done.code, fake.made) == (3, {})
    assert "there is no store yet" in done.err


def test_two_first_pushes_at_once(run: Run, fake: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower one finds the store that the faster one has made, and uses it."""
    create = fake.create

    def beaten(url: str, **options: Any) -> Any:
        create(url, **options)
        raise StoreExists(f"there is a store at {url}")

    monkeypatch.setattr(fake, "create", beaten)
    assert run("push", "data", "team/x").code == 0
    assert [list(store.kept) for store in fake.made.values()] == [["team/x"]]


def test_limits_reach_the_store(run: Run, fake: Any) -> None:
    """Bytes a second are handed on, for a store that was just made too."""
    assert run("push", "data", "team/x", "--limit-upload", "10MB").code == 0
    assert fake.opened_with["upload_bytes_per_s"] == 10_000_000
    run("pull", "team/x", "--limit-download", "1MiB")
    assert (fake.opened_with["upload_bytes_per_s"], fake.opened_with["download_bytes_per_s"]) == (
        None,
        1 << 20,
    )


def test_options_reach_the_store(run: Run, fake: Any, home: Path) -> None:
    """Store, key file and cache are those that were named."""
    run("init", str(home / "s"))
    words = ["--store", str(home / "s"), "--key-file", "~/k", "--store-id", "ab12", "--single-writer"]
    assert run("ls", *words).code == 0
    options = {name: fake.opened_with[name] for name in ("key_file", "store_id", "single_writer")}
    assert options == {"key_file": home / "k", "store_id": "ab12", "single_writer": True}
    assert fake.opened_with["cache_dir"].is_relative_to(home)


def test_the_configured_project_goes_in_front(run: Run, fake: Any, home: Path) -> None:
    """A name without a slash is in that project, for push and for references."""
    (home / PROJECT_FILE).write_text('project = "team"\nexclude = ["*.csv"]')
    assert run("push", "data", "x", "-q").out == "team/x:v0\n"
    assert run("show", "x:v0", "--json").document["version"]["file_count"] == 1
    assert run("show", "other/x").code == 3


def test_notices_of_the_store_are_told_once(run: Run, fake: Any) -> None:
    """On standard error, as JSON when asked, and not with -q."""
    run("push", "data", "team/x")
    fake.notices_of_all = ["the cache is in local temporary space"]
    assert run("ls").err == "note: the cache is in local temporary space\n"
    assert run("ls", "--json").err == '{"notice": "the cache is in local temporary space"}\n'
    assert run("ls", "-q").err == ""


def test_verbose_says_what_is_used(run: Run, fake: Any, home: Path) -> None:
    """-v names settings files, store, key file and cache on standard error."""
    (home / PROJECT_FILE).write_text('project = "team"')
    run("push", "data", "x")
    lines = run("ls", "-v").err.splitlines()
    assert lines[0] == f"settings from {home / PROJECT_FILE}"
    assert lines[1].startswith(f"store {default_store()}, key file {default_key_file()}, cache ")


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Where standard error is a terminal, progress is a bar, and notices go above it."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    session = Session(DEFAULT)
    assert isinstance(session.progress, ProgressBar)
    session.notice("look")
    assert "note: look" in capsys.readouterr().err
