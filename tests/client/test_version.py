"""Versions as the library shows them: their files, by glob, with what is kept of each."""

from pathlib import Path

import pytest

from artifactstore import Store
from tests.stores import make_store, write_tree

pytestmark = pytest.mark.places("memory", "s3")


@pytest.fixture
def store(tmp_path: Path):
    write_tree(
        tmp_path / "in",
        {"a.txt": b"abc", "run.sh": b"#!", "sub/b.txt": b"", "sub/l": "../a.txt", "void": None},
    )
    (tmp_path / "in/run.sh").chmod(0o700)
    with make_store(tmp_path) as made:
        made.push([tmp_path / "in"], "p/n")
        yield made


def test_files_tells_all_that_is_kept(store: Store) -> None:
    """Path, kind, size, executable bit, target."""
    found = [
        (entry.path, entry.kind, entry.size_bytes, entry.executable, entry.target)
        for entry in store.version("p/n").files()
    ]
    assert found == [
        ("a.txt", "file", 3, False, None),
        ("run.sh", "file", 2, True, None),
        ("sub/b.txt", "file", 0, False, None),
        ("sub/l", "symlink", 8, False, "../a.txt"),
        ("void", "folder", 0, False, None),
    ]


@pytest.mark.parametrize(
    ("glob", "kept"),
    [("*.txt", ["a.txt", "sub/b.txt"]), ("sub", ["sub/b.txt", "sub/l"]), ("?un.sh", ["run.sh"]), ("x", [])],
)
def test_files_takes_a_glob(store: Store, glob: str, kept: list[str]) -> None:
    """The same globs that a pull takes."""
    assert [entry.path for entry in store.version("p/n").files(glob)] == kept


def test_a_version_shows_itself(store: Store) -> None:
    """In a debugger one sees which it is."""
    version = store.version("p/n")
    assert repr(version) == f"<Version p/n:v0 {version.digest[:12]}>"
    assert version.push is None
