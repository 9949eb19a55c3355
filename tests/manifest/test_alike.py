"""Finding a name that differs by case or Unicode form only, beside a new one."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.manifest import alike
from artifactstore.manifest.alike import Alike
from artifactstore.manifest.paths import fold
from artifactstore.manifest.splice import Pages
from tests.manifest.pages import Shelf, built


def test_every_spelling_is_known() -> None:
    """What folds to ASCII without being a capital is in the table; what is no NFC can't be in a path."""
    found: dict[str, set[str]] = {}
    for point in range(128, sys.maxunicode + 1):
        letter = chr(point)
        folded = letter.casefold()
        if folded.isascii() and unicodedata.is_normalized("NFC", letter):
            found.setdefault(folded, set()).add(letter)
    assert {key: set(value) for key, value in alike._MORE_SPELLINGS.items()} == found


NAMES = st.text("aAsSß\u017fﬁfi\u00e9É1.", min_size=1, max_size=5).map(
    lambda name: unicodedata.normalize("NFC", name)
)


@given(st.lists(NAMES, unique_by=fold, max_size=8), NAMES, st.booleans(), st.sampled_from(["", "d/"]))
def test_it_finds_what_a_set_finds(names: list[str], name: str, many: bool, folder: str) -> None:
    """Letter by letter, or from a list of all, the answer is that of folding them all."""
    shelf = Shelf()
    manifest = built(shelf, [folder + one for one in names])
    search = Alike(Pages(shelf), manifest, lambda _: True)
    if many:
        search._searches[folder] = 1000
    same = [folder + one for one in names if fold(one) == fold(name) and one != name]
    assert search.beside(folder + name) == (same[0] if same else None)


@pytest.mark.parametrize(("kept", "found"), [(True, "Data"), (False, None)])
def test_folders_count_by_what_is_in_them(kept: bool, found: str | None) -> None:
    """A folder is a name too, as long as anything in it counts."""
    shelf = Shelf()
    manifest = built(shelf, ["Data/a", "Data/b"])
    search = Alike(Pages(shelf), manifest, lambda entry: kept and entry.path == "Data/b")
    assert search.beside("data") == found


def test_few_pages_are_read() -> None:
    """In a flat folder of 100,000 files, one name more costs a few pages."""
    shelf = Shelf()
    manifest = built(shelf, [f"img_{at:06d}.jpg" for at in range(100_000)])
    shelf.gets = 0
    search = Alike(Pages(shelf), manifest, lambda _: True)
    assert search.beside("img_050000.JPG") == "img_050000.jpg"
    assert search.beside("img_050000a.jpg") is None
    assert shelf.gets <= 12
