"""What a push leaves out: gitignore's language, in `--exclude` and in files at any depth."""

from pathlib import Path

import pytest

from artifactstore.errors import UsageError
from artifactstore.transfer.ignore import load_rules
from artifactstore.transfer.scan import Sources, scan
from tests.stores import write_tree


def paths(folder: Path, *exclude: str) -> list[str]:
    return [found.path for found in scan(Sources([str(folder)], exclude=exclude))]


@pytest.mark.parametrize(
    ("pattern", "kept"),
    [
        ("*.log", ["a.txt", "sub/c.txt", "sub/deep/e.txt"]),
        ("/a.*", ["b.log", "sub/c.txt", "sub/d.log", "sub/deep/e.txt"]),
        ("sub/", ["a.txt", "b.log"]),
        ("deep", ["a.txt", "b.log", "sub/c.txt", "sub/d.log"]),
        ("sub/*.log", ["a.txt", "b.log", "sub/c.txt", "sub/deep/e.txt"]),
        ("**/*.txt", ["b.log", "sub/d.log"]),
        ("# *.log", ["a.txt", "b.log", "sub/c.txt", "sub/d.log", "sub/deep/e.txt"]),
    ],
)
def test_exclude_speaks_gitignore(tmp_path: Path, pattern: str, kept: list[str]) -> None:
    """Anchors, folders, wildcards and comments mean what they mean to git."""
    write_tree(
        tmp_path,
        {"a.txt": b"", "b.log": b"", "sub/c.txt": b"", "sub/d.log": b"", "sub/deep/e.txt": b""},
    )
    assert paths(tmp_path, pattern) == kept


def test_the_last_matching_pattern_decides(tmp_path: Path) -> None:
    """A pattern with `!` takes back what an earlier one left out."""
    write_tree(tmp_path, {"a.log": b"", "b.log": b""})
    assert paths(tmp_path, "*.log", "!b.log") == ["b.log"]


def test_the_rules_of_a_file_hold_below_it_alone(tmp_path: Path) -> None:
    """A folder's own file is anchored there and says nothing about its neighbours."""
    write_tree(
        tmp_path,
        {
            "one/.artifactignore": b"/x\n*.tmp\n",
            "one/x": b"",
            "one/sub/x": b"",
            "one/sub/a.tmp": b"",
            "two/x": b"",
            "two/a.tmp": b"",
        },
    )
    assert paths(tmp_path) == ["one/.artifactignore", "one/sub/x", "two/a.tmp", "two/x"]


def test_an_inner_file_overrules_the_outer_one(tmp_path: Path) -> None:
    """As with git, the innermost rule that matches decides."""
    write_tree(
        tmp_path,
        {
            ".artifactignore": b"*.log\n!keep.txt\n",
            "a.log": b"",
            "sub/.artifactignore": b"!a.log\nkeep.txt\n",
            "sub/a.log": b"",
            "sub/b.log": b"",
            "sub/keep.txt": b"",
            "keep.txt": b"",
        },
    )
    assert paths(tmp_path) == [".artifactignore", "keep.txt", "sub/.artifactignore", "sub/a.log"]


def test_a_folder_that_is_left_out_is_not_entered(tmp_path: Path) -> None:
    """Nothing below it can be taken back, nor be in the way: not even what no version may hold."""
    write_tree(tmp_path, {".artifactignore": b"out/\n!out/a\n", "out/a": b"", "out/bad\\name": b"", "b": b""})
    assert paths(tmp_path) == [".artifactignore", "b"]


def test_exclude_and_files_work_together(tmp_path: Path) -> None:
    """A file's rule can take back what --exclude left out: it lies further inside."""
    write_tree(tmp_path, {"sub/.artifactignore": b"!b.log", "a.log": b"", "sub/b.log": b"", "c": b""})
    assert paths(tmp_path, "*.log") == ["c", "sub/.artifactignore", "sub/b.log"]


def test_a_folder_whose_files_are_all_left_out_is_left_out(tmp_path: Path) -> None:
    """Only a folder that is empty on disk is kept as an empty one."""
    write_tree(tmp_path, {"sub/a.log": b"", "empty": None})
    assert paths(tmp_path, "*.log") == ["empty"]


def test_an_ignore_file_that_is_not_text_is_named(tmp_path: Path) -> None:
    """Guessing what to leave out would push what was not meant to be."""
    write_tree(tmp_path, {"sub/.artifactignore": b"\xff\xfe\x00", "sub/a": b""})
    with pytest.raises(UsageError, match="artifactignore"):
        paths(tmp_path)


def test_without_rules_nothing_is_asked() -> None:
    """A push without patterns pays nothing for them."""
    assert not load_rules([]).active
    assert load_rules(["x"]).active
