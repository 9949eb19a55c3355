"""What a draft holds: rules for paths that are named twice, held against a dictionary that knows them too."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifactstore.errors import NoSuchEntry, PathCollision, SourceChanged
from artifactstore.format.operations import Manifest
from artifactstore.format.page import Kind
from artifactstore.manifest.build import ManifestBuilder
from artifactstore.manifest.paths import fold
from artifactstore.manifest.read import entries
from artifactstore.manifest.splice import Pages
from artifactstore.transfer.drafting import Additions, Content, refuse_unknown, unchanged
from artifactstore.transfer.scan import Found, Given, found_at
from tests.manifest.pages import Shelf, built, file_content, file_identity


def given_file(path: str, data: bytes = b"new") -> Found:
    known = (file_identity(path, data), file_content(data))
    return Found(path, Kind.FILE, "a test", None, given=Given(known=known))


def folder(path: str) -> Found:
    return Found(path, Kind.FOLDER, f"folder {path}", None)


def holds(content: Content) -> list[str]:
    return [found.path for found in content.files()]


def folders_above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def fits(paths: set[str]) -> bool:
    """Whether a version may hold these paths together: no file is a folder, no two names fold alike."""
    folders = {one for path in paths for one in folders_above(path)}
    everything = paths | folders
    return not paths & folders and len({fold(one) for one in everything}) == len(everything)


PARTS = st.sampled_from(["a", "A", "b", "ß", "ss", "\u00e9"])
PATHS = st.lists(PARTS, min_size=1, max_size=3).map("/".join)


@settings(max_examples=300, deadline=None)
@given(st.lists(PATHS, max_size=5, unique=True))
def test_additions_against_each_other(paths: list[str]) -> None:
    """Files are taken as long as they may stand together, and a refused one changes nothing."""
    additions, model = Additions(), set[str]()
    for path in paths:
        if fits(model | {path}):
            additions.put(given_file(path))
            model.add(path)
        else:
            with pytest.raises(PathCollision):
                additions.put(given_file(path))
        assert {found.path for found in additions} == model
    for path in paths:
        gone = {one for one in model if one == path or one.startswith(path + "/")}
        assert additions.remove(path) == len(gone)
        model -= gone
        assert {found.path for found in additions} == model
    assert additions._folded == additions._folders == {}


@settings(max_examples=300, deadline=None)
@given(
    st.sets(PATHS, max_size=5).filter(fits),
    st.sets(PATHS, max_size=3).filter(fits),
    st.lists(PATHS, max_size=2),
)
def test_additions_against_a_base(base: set[str], added: set[str], removed: list[str]) -> None:
    """What is added replaces what has its path, what is removed makes room; what can't stand together is refused."""
    shelf = Shelf()
    content = Content(Pages(shelf), built(shelf, base), map(given_file, added), removed)
    kept = {path for path in base if not any(path == one or path.startswith(one + "/") for one in removed)}
    if fits(kept | added):
        assert set(holds(content)) == kept | added
    else:
        with pytest.raises(PathCollision):
            holds(content)


def test_the_same_bytes_twice_are_once(tmp_path: Path) -> None:
    """The same source, or another of the same bytes, may be added again; other bytes only to overwrite."""
    for name, data in {"one": b"same", "copy": b"same", "other": b"else", "longer": b"same and more"}.items():
        (tmp_path / name).write_bytes(data)
    additions = Additions()
    for name in ("one", "one", "copy"):
        additions.put(found_at(str(tmp_path / name), "file"))
    for name in ("other", "longer"):
        with pytest.raises(PathCollision) as refused:
            additions.put(found_at(str(tmp_path / name), "file"))
        assert str(tmp_path / name) in refused.value.message
    additions.put(found_at(str(tmp_path / "other"), "file"), overwrite=True)
    assert [found.source for found in additions] == [str(tmp_path / "other")]


def test_empty_folders_give_way() -> None:
    """An empty folder is not kept where something is put below it, whichever comes first."""
    additions = Additions()
    additions.put(folder("d"))
    additions.put(given_file("d/f"))
    additions.put(folder("d"))
    assert [found.path for found in additions] == ["d/f"]
    shelf = Shelf()
    builder = ManifestBuilder(shelf)
    builder.add(("e", int(Kind.FOLDER), 0, file_identity("x")[3], 0), file_content())
    builder.add(file_identity("f/g"), file_content())
    base = builder.finish()
    content = Content(Pages(shelf), base, [given_file("e/x"), folder("f")], [])
    assert holds(content) == ["e/x", "f/g"]


@pytest.mark.parametrize("kind", ["changed", "touched", "gone", "replaced"])
def test_a_file_that_changed_is_named(tmp_path: Path, kind: str) -> None:
    """Between adding and saving a file stays what it is: size, time and inode say so."""
    file = tmp_path / "file"
    file.write_bytes(b"content")
    found = found_at(str(file), "in/version")
    assert unchanged(found).pinned
    if kind == "changed":
        file.write_bytes(b"content!")
    elif kind == "touched":
        os.utime(file, ns=(1, 1))
    else:
        file.rename(tmp_path / "aside")
    if kind == "replaced":
        file.symlink_to("aside")
    with pytest.raises(SourceChanged) as refused:
        unchanged(found)
    assert refused.value.facts == {"path": "in/version", "source": str(file)}


def test_counting_reads_what_changed() -> None:
    """Bytes and entries of a draft are known from the pages that change and those above."""
    shelf = Shelf()
    paths = [f"{at:06d}" for at in range(20_000)]
    base: Manifest = built(shelf, paths, b"12")
    shelf.gets = 0
    content = Content(Pages(shelf), base, [given_file("010000", b"1234"), given_file("x", b"1")], ["000001"])
    assert content.counted() == (2 * 20_000 + 2 + 1 - 2, 20_000)
    assert shelf.gets <= 8


def test_removing_what_is_not_there() -> None:
    """Is an error that names it; a file, a folder and what is in one are there."""
    shelf = Shelf()
    base = built(shelf, ["a/b", "c"])
    for path in ("a", "a/b", "c"):
        refuse_unknown(Content(Pages(shelf), base, [], []), path)
    for path in ("b", "a/c", "c/d"):
        with pytest.raises(NoSuchEntry, match=path):
            refuse_unknown(Content(Pages(shelf), base, [], []), path)
    with pytest.raises(NoSuchEntry):
        refuse_unknown(Content(Pages(shelf), base, [], ["a"]), "a/b")
    assert [one.path for one in entries(shelf, base)] == ["a/b", "c"]
