"""Finding what to push: order, kinds, several sources, and everything that can't be an entry."""

import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from artifactstore.errors import InvalidSource, NoSuchPath, PathCollision, UsageError
from artifactstore.format.page import Kind, path_order
from artifactstore.transfer.scan import Apart, Found, Sources, scan
from tests.stores import Tree, write_tree


def found(*paths: Path, **more: object) -> list[Found]:
    return list(scan(Sources([str(path) for path in paths], **more)))  # type: ignore[arg-type]


def names(*paths: Path, **more: object) -> list[str]:
    return [item.path for item in found(*paths, **more)]


def test_a_folder_is_found_in_manifest_order(tmp_path: Path) -> None:
    """Depth first, '/' before every other character, whatever order the file system gives."""
    tree: Tree = {
        "b": b"",
        "a-b": b"",
        "a/z": b"",
        "a/b/c": b"",
        "a.txt": b"",
        "ä": b"",
        "A/x": b"",
        "A0": b"",
    }
    got = names(
        write_tree(tmp_path / "in", {name: content for name, content in tree.items() if name != "A/x"})
    )
    assert got == sorted(got, key=path_order)
    assert got == ["A0", "a/b/c", "a/z", "a-b", "a.txt", "b", "ä"]


def test_kinds_are_told_apart(tmp_path: Path) -> None:
    """Files, symlinks whatever they point at, and folders that are empty."""
    write_tree(
        tmp_path / "in", {"file": b"x", "link": "nowhere", "loop": "loop", "up": "../..", "empty": None}
    )
    assert [(item.path, item.kind, item.target) for item in found(tmp_path / "in")] == [
        ("empty", Kind.FOLDER, ""),
        ("file", Kind.FILE, ""),
        ("link", Kind.SYMLINK, "nowhere"),
        ("loop", Kind.SYMLINK, "loop"),
        ("up", Kind.SYMLINK, "../.."),
    ]


def test_a_symlink_to_a_folder_is_not_entered(tmp_path: Path) -> None:
    """What it points at is not pushed, wherever it is."""
    write_tree(tmp_path, {"in/a": b"", "in/link": "../secret", "secret/key": b""})
    assert names(tmp_path / "in") == ["a", "link"]


def test_a_source_that_is_named_is_followed(tmp_path: Path) -> None:
    """Who names a symlink means what it points at."""
    write_tree(tmp_path, {"real/a": b"", "link": "real", "file": b"x", "to_file": "file"})
    assert names(tmp_path / "link") == ["a"]
    assert [(item.path, item.kind) for item in found(tmp_path / "to_file")] == [("to_file", Kind.FILE)]


def test_several_sources_become_one_tree(tmp_path: Path) -> None:
    """Folders' contents and files' names are merged in order."""
    write_tree(tmp_path, {"one/a": b"", "one/sub/x": b"", "two/b": b"", "two/sub/y": b"", "c": b""})
    assert names(tmp_path / "two", tmp_path / "c", tmp_path / "one") == ["a", "b", "c", "sub/x", "sub/y"]


def test_a_source_named_twice_counts_once(tmp_path: Path) -> None:
    """Overlapping globs of a shell are no reason to refuse, and make no entry twice."""
    write_tree(tmp_path, {"one/a": b"", "one/empty": None, "c": b""})
    assert names(tmp_path / "c", tmp_path / "one", tmp_path / "c", tmp_path / "one") == ["a", "c", "empty"]


def test_no_source_is_a_question_without_an_answer() -> None:
    """An empty list of sources is a mistake, not an empty version."""
    with pytest.raises(UsageError, match="nothing to push"):
        scan(Sources())


def test_exact_files_keep_the_path_they_are_given_by(home: Path) -> None:
    """--files-from names files relative to the working directory."""
    write_tree(home, {"in/a": b"", "in/b": b"", "c": b""})
    got = found(files=["in/../c", "./in/a", "in/a"])
    assert [item.path for item in got] == ["c", "in/a"]


@pytest.mark.parametrize(
    ("name", "error"),
    [("../outside", InvalidSource), ("absent", NoSuchPath), ("in", InvalidSource), ("in/a/b", NoSuchPath)],
)
def test_an_exact_file_must_be_one_inside(home: Path, name: str, error: type[Exception]) -> None:
    """Folders, absent files and paths that leave the tree are refused, each by name."""
    write_tree(home.parent, {"outside": b""})
    write_tree(home, {"in/a": b""})
    with pytest.raises(error, match=Path(name).name):
        names(files=[name])


def test_an_absolute_exact_file_is_refused(home: Path) -> None:
    """A version holds relative paths alone."""
    write_tree(home, {"a": b""})
    with pytest.raises(InvalidSource, match="absolute"):
        names(files=[str(home / "a")])


@pytest.mark.parametrize(
    "streams", [{"a": None, "A": None}, {"a": None, "a/b": None}, {"é": None, "e\u0301": None}]
)
def test_streams_collide_as_files_do(streams: dict) -> None:
    """What has no file behind it follows the same rules."""
    with pytest.raises(PathCollision):
        names(streams=streams)


@pytest.mark.parametrize("path", ["../a", "/a", "a\\b", "con", ""])
def test_a_stream_needs_a_path_that_a_version_may_hold(path: str) -> None:
    """--as is checked as every other path is."""
    with pytest.raises(InvalidSource):
        names(streams={path: None})


# --- what can't be kept --------------------------------------------------------------------------------------


@pytest.mark.parametrize("named", [True, False], ids=["named", "inside"])
@pytest.mark.parametrize("what", ["a FIFO", "a socket", "a character device"])
def test_special_files_are_refused_by_kind(tmp_path: Path, what: str, named: bool) -> None:
    """A FIFO, socket or device is neither read, which could block for ever, nor left out in silence."""
    folder = write_tree(tmp_path / "in", {"a": b""})
    path = folder / "special"
    if what == "a FIFO":
        os.mkfifo(path)
    elif what == "a socket":
        with socket.socket(socket.AF_UNIX) as listener:
            os.chdir(folder)  # the path of a socket may be too long otherwise
            listener.bind("special")
    else:
        try:
            os.mknod(path, 0o600 | 0o020000, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("this user can't make devices")
    with pytest.raises(InvalidSource, match=what) as caught:
        found(path if named else folder)
    assert caught.value.facts["path"] == str(path)


@pytest.mark.parametrize("kind", ["file", "folder", "symlink"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        (b"\xff\xfe", "UTF-8"),
        (b"new\nline", "control"),
        (b"back\\slash", "backslash"),
        (b"del\x7f", "control"),
        (b"aux.txt", "device"),
        (b"C:", "drive"),
    ],
)
def test_a_bad_name_is_refused_whatever_it_names(tmp_path: Path, name: bytes, words: str, kind: str) -> None:
    """A name that can't be pulled everywhere is refused when pushed, empty folders and symlinks included."""
    path = tmp_path / os.fsdecode(name)
    if kind == "file":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("target")
    with pytest.raises(InvalidSource, match=words) as caught:
        found(tmp_path)
    assert caught.value.facts["path"] == str(path)


def test_a_symlink_to_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """A target is kept as text."""
    (tmp_path / "link").symlink_to(os.fsdecode(b"\xff"))
    with pytest.raises(InvalidSource, match="target"):
        found(tmp_path)


@pytest.fixture
def deep_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder to nest in, removed by a program that has no stack to overflow."""
    folder = tmp_path / "deep"
    folder.mkdir()
    os.chdir(folder)
    yield folder
    os.chdir(tmp_path)
    subprocess.run(["rm", "-rf", folder], check=True)


def test_a_tree_deeper_than_a_path_may_be_is_refused(deep_folder: Path) -> None:
    """Nesting is bounded by the bound on paths, not by the interpreter's stack."""
    for _ in range(2100):
        Path("d").mkdir()
        os.chdir("d")
    os.chdir(deep_folder)
    with pytest.raises(InvalidSource, match=r"read|longer"):
        found(deep_folder)


def test_a_deep_tree_is_found(deep_folder: Path) -> None:
    """A thousand folders in each other are an ordinary tree."""
    parts = ["d"] * 1200
    for part in parts:
        Path(part).mkdir()
        os.chdir(part)
    Path("file").write_bytes(b"x")
    os.chdir(deep_folder)
    assert names(deep_folder) == ["/".join(parts) + "/file"]


@pytest.mark.parametrize(
    ("one", "other"),
    [("a", "A"), ("sub/File", "sub/file"), ("é", "e\u0301"), ("Ä", "a\u0308"), ("straße", "strasse")],
)
def test_names_that_collide_elsewhere_are_refused_naming_both(tmp_path: Path, one: str, other: str) -> None:
    """By case or Unicode form: on other systems the second would overwrite the first."""
    write_tree(tmp_path, {one: b"", other: b""})
    with pytest.raises(PathCollision) as caught:
        found(tmp_path)
    assert {str(path) for path in caught.value.facts["paths"]} == {str(tmp_path / one), str(tmp_path / other)}
    assert one.rpartition("/")[2] in caught.value.message
    assert other.rpartition("/")[2] in caught.value.message


def test_folders_that_collide_are_refused(tmp_path: Path) -> None:
    """The rule holds for folders as well."""
    write_tree(tmp_path, {"Sub/a": b"", "sub/b": b""})
    with pytest.raises(PathCollision):
        found(tmp_path)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": b""}, {"a": b""}),
        ({"a": b""}, {"A": b""}),
        ({"a": b""}, {"a/b": b""}),
        ({"Sub/x": b""}, {"sub/y": b""}),
        ({"Sub": b""}, {"sub/y": b""}),
        ({"é": b""}, {"e\u0301": b""}),
    ],
)
def test_sources_that_collide_are_refused(tmp_path: Path, one: Tree, other: Tree) -> None:
    """Two sources that give one path, or a file where the other has a folder, are named both."""
    write_tree(tmp_path / "1", one)
    write_tree(tmp_path / "2", other)
    for order in ("1", "2"), ("2", "1"):
        with pytest.raises(PathCollision) as caught:
            found(*(tmp_path / name for name in order))
        text = " ".join(map(str, caught.value.facts["paths"]))
        assert str(tmp_path / "1") in text
        assert str(tmp_path / "2") in text


def test_a_file_in_nfd_is_kept_in_nfc(tmp_path: Path) -> None:
    """macOS writes names in another form; versions hold one."""
    write_tree(tmp_path, {"u\u0308": b"x"})
    (only,) = found(tmp_path)
    assert (only.path, only.source) == ("ü", str(tmp_path / "u\u0308"))


@pytest.mark.parametrize("name", ["absent", "file/below"])
def test_a_source_that_does_not_exist_is_named(tmp_path: Path, name: str) -> None:
    """The path is given back as it was given."""
    write_tree(tmp_path, {"file": b""})
    with pytest.raises(NoSuchPath, match=name) as caught:
        found(tmp_path / name)
    assert caught.value.exit_code == 3


def test_a_named_symlink_loop_is_refused(tmp_path: Path) -> None:
    """A source that leads in a circle can't be read."""
    write_tree(tmp_path, {"loop": "loop", "dangling": "nowhere"})
    with pytest.raises(InvalidSource):
        found(tmp_path / "loop")
    with pytest.raises(NoSuchPath):
        found(tmp_path / "dangling")


def test_what_is_apart_is_left_out(tmp_path: Path) -> None:
    """By its real path and not by its name, with a word; named as a source it is refused."""
    write_tree(tmp_path / "in", {"a": b"", "sub/own/packs/x": b"", "own/b": b"", "way": "sub/own"})
    told: list[str] = []
    own = str((tmp_path / "in/sub/own").resolve())
    apart = Apart([own], told.append)
    assert [item.path for item in found(tmp_path / "in", apart=apart)] == ["a", "own/b", "way"]
    assert told == [f"{tmp_path}/in/sub/own is left out: it is the store itself, or its index"]
    for source in ("in/sub/own", "in/way", "in/sub/own/packs", "in/sub/own/packs/x"):
        with pytest.raises(InvalidSource, match="the store itself"):
            found(tmp_path / source, apart=apart)
