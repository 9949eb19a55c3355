"""Changing a version page by page: the result is that of building it anew, and only what changes is read and stored."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifactstore.format.operations import Manifest
from artifactstore.format.page import path_order
from artifactstore.manifest.build import ManifestBuilder
from artifactstore.manifest.read import StoredEntry, entries
from artifactstore.manifest.splice import Changes, Pages, Whole, add_whole, spliced
from tests.manifest.pages import Shelf, built, file_content, file_identity

Files = dict[str, bytes]


def of(shelf: Shelf, files: Files) -> Manifest:
    builder = ManifestBuilder(shelf)
    for path in sorted(files, key=path_order):
        builder.add(file_identity(path, files[path]), file_content(files[path]))
    return builder.finish()


def changed(shelf: Shelf, base: Manifest, added: Files, removed: list[str]) -> Manifest:
    """The version after changes, made by splicing."""
    builder, pages = ManifestBuilder(shelf), Pages(shelf)
    for item in spliced(pages, base, Changes(added.items(), removed)):
        if isinstance(item, Whole):
            add_whole(builder, pages, item)
        elif isinstance(item, StoredEntry):
            builder.add(item.identity, item.content)
        else:
            builder.add(file_identity(*item), file_content(item[1]))
    return builder.finish()


def after(files: Files, added: Files, removed: list[str]) -> Files:
    """The same by a dictionary."""
    kept = {
        path: data
        for path, data in files.items()
        if not any(path == one or path.startswith(one + "/") for one in removed)
    }
    return kept | added


NUMBERS = st.integers(0, 2600)


def names(numbers: list[int], length: int) -> list[str]:
    return [f"d{number // 350}/{number:05d}{'/x' * length}" for number in numbers]


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from([0, 1, 33, 1025, 2500]),
    st.lists(NUMBERS, max_size=12),
    st.lists(NUMBERS, max_size=12),
    st.lists(st.integers(0, 8), max_size=3),
    st.sampled_from([0, 400]),
    st.booleans(),
)
def test_it_is_what_building_anew_makes(
    count: int, added: list[int], removed: list[int], folders: list[int], length: int, new: bool
) -> None:
    """Root, levels and digests are those of the same files built from nothing, whatever was changed where."""
    shelf = Shelf()
    files: Files = dict.fromkeys(names(list(range(count)), length), b"old")
    base = of(shelf, files)
    ending = "new" if new else ""
    additions = {path + ending: b"changed" for path in names(added, length)}
    gone = names(removed, length) + [f"d{number}" for number in folders]
    found = changed(shelf, base, additions, gone)
    assert found == of(Shelf(), after(files, additions, gone))
    assert [one.path for one in entries(shelf, found)] == sorted(
        after(files, additions, gone), key=path_order
    )


@pytest.mark.parametrize("count", [1, 31, 1024, 1025, 30_000])
def test_nothing_changed(count: int) -> None:
    """The root comes out again, with the root read and nothing but pages above the leaves stored."""
    shelf = Shelf()
    base = built(shelf, [f"{at:06d}" for at in range(count)])
    shelf.gets = shelf.puts = 0
    assert changed(shelf, base, {}, []) == base
    assert shelf.gets <= 2
    assert shelf.puts <= 2


def test_what_ten_changes_cost() -> None:
    """In 100,000 entries ten changes read and store a few dozen pages, of some four hundred."""
    shelf = Shelf()
    paths = [f"train/{at // 1000:03d}/img_{at:06d}.jpg" for at in range(100_000)]
    base = built(shelf, paths)
    total = shelf.puts
    shelf.gets = shelf.puts = 0
    added = {paths[at]: b"changed" for at in range(5_000, 100_000, 10_000)}
    found = changed(shelf, base, added, [])
    assert total > 300
    assert shelf.gets <= 24
    assert shelf.puts <= 16
    assert found == of(Shelf(), dict.fromkeys(paths, b"") | added)


def test_a_folder_is_removed_without_reading_it() -> None:
    """Pages that lie within a removed folder are neither read nor kept."""
    shelf = Shelf()
    paths = [f"{letter}/{at:05d}" for letter in "abc" for at in range(20_000)]
    base = built(shelf, paths)
    shelf.gets = 0
    found = changed(shelf, base, {"b/kept": b"x"}, ["b"])
    assert shelf.gets <= 8
    assert found == of(Shelf(), {path: b"" for path in paths if not path.startswith("b/")} | {"b/kept": b"x"})


def test_looking_something_up() -> None:
    """An entry by its path, and those that begin alike, across pages."""
    shelf = Shelf()
    paths = [f"{at // 100:03d}/{at:05d}" for at in range(3000)]
    pages, base = Pages(shelf), built(shelf, paths)
    one = pages.at(base, "017/01750")
    assert one is not None
    assert one.path == "017/01750"
    assert pages.at(base, "017/0175") is None
    assert pages.at(base, "017") is None
    assert [entry.path for entry in pages.below(base, "017/")] == paths[1700:1800]
    assert list(pages.below(base, "zzz")) == []
