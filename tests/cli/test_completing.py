"""Completion of references: out of the index alone, and silent wherever there is nothing to say."""

from collections.abc import Callable
from pathlib import Path

import pytest

from artifactstore.backend.local import LocalBackend
from tests.cli.conftest import Run

Completed = Callable[[str], list[str]]


@pytest.fixture
def completed(run: Run, monkeypatch: pytest.MonkeyPatch) -> Completed:
    """What a shell is offered behind a line."""

    def complete(line: str) -> list[str]:
        monkeypatch.setenv("_ARTIFACTSTORE_COMPLETE", "bash_complete")
        monkeypatch.setenv("COMP_WORDS", line)
        monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
        done = run()
        monkeypatch.delenv("_ARTIFACTSTORE_COMPLETE")
        assert (done.code, done.err) == (0, "")
        return [word.removeprefix("plain,") for word in done.out.split() if word.startswith("plain,")]

    return complete


@pytest.fixture
def filled(run: Run) -> None:
    """A default store with three artifacts, one of them deleted."""
    for name, alias in (("team/corpus", "production"), ("team/model", "x"), ("lab/gone", "x")):
        assert run("push", "data", name, "-q", "--alias", alias).code == 0
    assert run("delete", "lab/gone:v0", "--yes", "--force").code == 0


@pytest.mark.usefixtures("filled")
def test_references_complete(completed: Completed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Artifacts, and behind a colon their aliases and newest version; nothing is asked of the store."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a completion asks for nothing")

    for method in ("get", "get_range", "list", "size"):
        monkeypatch.setattr(LocalBackend, method, refuse)
    assert completed("artifactstore show te") == ["team/corpus", "team/model"]
    assert completed("artifactstore pull ") == ["team/corpus", "team/model"]
    assert completed("artifactstore delete team/model team/c") == ["team/corpus"]
    assert completed("artifactstore retention show team/") == ["team/corpus", "team/model"]
    assert completed("artifactstore show team/corpus:") == [
        "team/corpus:latest", "team/corpus:production", "team/corpus:v0",
    ]  # fmt: skip
    assert completed("artifactstore show team/corpus:p") == ["team/corpus:production"]
    assert completed("artifactstore show lab/") == []
    assert completed("artifactstore show --store elsewhere te") == []


def test_without_a_store(completed: Completed, home: Path) -> None:
    """Nothing is offered, nothing is made, and nothing is printed over what is typed."""
    assert completed("artifactstore show te") == []
    assert not (home / ".cache").exists()


@pytest.mark.usefixtures("filled")
def test_a_broken_index_or_configuration(completed: Completed, home: Path) -> None:
    """A shell that completes has no place for errors."""
    (data,) = (home / ".cache" / "artifactstore" / "index").glob("*/data.mdb")
    data.write_bytes(b"garbage" * 1000)
    assert completed("artifactstore show te") == []
    (home / ".artifactstore.toml").write_text("junk")
    assert completed("artifactstore show te") == []
