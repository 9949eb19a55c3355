"""A restic snapshot, made by restic and streamed out by it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from artifactstore import Store, import_from
from artifactstore.errors import BrokenSource, Unsupported
from tests.stores import make_store, noise, read_tree, write_tree

TREE = {"a/run": b"#!/bin/sh\n", "big": noise(3_000_000), "empty": None, "link": "a/run"}
needs_restic = pytest.mark.skipif(shutil.which("restic") is None, reason="restic is not installed here")


def restic(repository: Path, *words: str) -> None:
    subprocess.run(["restic", "-q", "-r", str(repository), *words], check=True, capture_output=True)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return make_store(tmp_path / "s")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a snapshot of one folder."""
    monkeypatch.setenv("RESTIC_PASSWORD", "correct horse")
    folder = write_tree(tmp_path / "source", TREE)
    (folder / "a/run").chmod(0o755)
    restic(tmp_path / "repository", "init")
    restic(tmp_path / "repository", "backup", "--tag", "nightly", str(folder))
    return tmp_path / "repository"


@needs_restic
def test_the_latest_snapshot(store: Store, repository: Path, tmp_path: Path) -> None:
    """Its folder is the version's root; id, paths and tags are metadata; the look of it is enough."""
    (made,) = import_from(store, repository, "p/n")
    assert made.digest == store.push([tmp_path / "source"], "p/same").digest
    said = made.metadata["restic"]
    assert (said["paths"], said["tags"]) == ([str(tmp_path / "source")], ["nightly"])
    assert "hostname" not in said
    store.pull("p/n", tmp_path / "out")
    assert read_tree(tmp_path / "out") == dict(sorted(TREE.items()))
    (again,) = import_from(store, repository, "p/n", revision=said["snapshot"][:8])
    assert again.push is not None
    assert not again.push.created


@needs_restic
def test_several_folders_keep_their_paths(store: Store, repository: Path, tmp_path: Path) -> None:
    """Without the slash in front."""
    write_tree(tmp_path / "other", {"x": b"x"})
    restic(repository, "backup", str(tmp_path / "other"), str(tmp_path / "source/a"))
    (made,) = import_from(store, str(repository), "p/n", kind="restic")
    inside = str(tmp_path).lstrip("/")
    assert [entry.path for entry in made.files()] == [f"{inside}/other/x", f"{inside}/source/a/run"]


@needs_restic
def test_one_file(store: Store, repository: Path, tmp_path: Path) -> None:
    """A snapshot of a file: it keeps its name."""
    restic(repository, "backup", str(tmp_path / "source/big"))
    (made,) = import_from(store, repository, "p/n")
    assert [entry.path for entry in made.files()] == ["big"]


@needs_restic
def test_what_restic_refuses(store: Store, repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such snapshot, a wrong password: restic's own words, and no version."""
    with pytest.raises(BrokenSource, match="restic"):
        import_from(store, repository, "p/n", revision="abcdef01")
    with pytest.raises(BrokenSource, match="wrong password"):
        import_from(store, repository, "p/n", password_command="echo wrong")
    assert store.projects() == []


@pytest.mark.deep  # restic itself asks again for 40 seconds
@needs_restic
def test_a_damaged_repository(store: Store, repository: Path) -> None:
    """A pack is gone: restic stops half-way, and nothing is committed."""
    largest = max((repository / "data").rglob("*"), key=lambda path: path.is_file() and path.stat().st_size)
    largest.unlink()
    with pytest.raises(BrokenSource):
        import_from(store, repository, "p/n")
    assert store.projects() == []


def test_restic_is_not_there(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match="restic"):
        import_from(store, "/srv/repository", "p/n", kind="restic")
