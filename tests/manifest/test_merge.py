"""Merging parts: what is kept of names, and how a collision is spelled although names are not kept."""

import tracemalloc

import pytest

from artifactstore.errors import PathCollision
from artifactstore.manifest.merge import PartEntry, _Names, merged
from artifactstore.manifest.read import StoredEntry
from tests.manifest.pages import Shelf, built, file_content, file_identity


def test_of_a_name_only_a_hash_and_its_part_are_kept() -> None:
    """A folder of a million names, which are all kept, takes under 100 MiB, however long they are."""
    names = _Names(lambda _: ())
    tracemalloc.start()
    try:
        for number in range(50_000):
            path = f"flat/{'n' * 200}-{number}"
            names.enter_of(PartEntry(number % 8, StoredEntry(file_identity(path), file_content())))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held / 50_000 < 100


@pytest.mark.parametrize(
    ("one", "other", "spelled"),
    [
        ("d/readme", "d/README", ("d/README", "d/readme")),
        ("d/x", "D/y", ("D", "d")),
        ("a/b/é", "a/b/É", ("a/b/É", "a/b/é")),
    ],
)
def test_both_spellings_are_told(one: str, other: str, spelled: tuple[str, str]) -> None:
    """The first is looked up in its part again, among others that are like it elsewhere."""
    shelf = Shelf()
    parts = {0: built(shelf, [one, "c/readme", "z"]), 3: built(shelf, [other, "c/z"])}
    with pytest.raises(PathCollision) as caught:
        list(merged(shelf, parts))
    assert tuple(caught.value.facts["paths"]) == spelled
    assert sorted(caught.value.facts["parts"]) == [0, 3]
