"""Entries in any order make the manifest that they make in order, and what can't stand together is refused."""

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.errors import InvalidSource, PathCollision
from artifactstore.format.operations import Manifest
from artifactstore.format.pack import PackType
from artifactstore.format.page import Content, Identity, Kind, path_order
from artifactstore.manifest.build import ManifestBuilder
from artifactstore.transfer.sorting import SortedBuilder

NONE = Content(0, b"", [])


class Chunks:
    """Keeps nothing: a page's cid is its hash."""

    def put_one(self, kind: PackType, data: bytes) -> bytes:
        return blake3(data).digest()


def entry(path: str, kind: Kind = Kind.FILE, data: bytes = b"") -> Identity:
    return (path, int(kind), 0, blake3(data).digest(), 0)


def sorted_manifest(*given: tuple[Identity, Content]) -> Manifest:
    builder = SortedBuilder(ManifestBuilder(Chunks()))
    for identity, content in given:
        builder.add(identity, content)
    return builder.finish()


def in_order(*paths: str) -> Manifest:
    builder = ManifestBuilder(Chunks())
    for path in sorted(paths, key=path_order):
        builder.add(entry(path), NONE)
    return builder.finish()


@given(st.sets(st.text(alphabet="ab-. ~é", min_size=1, max_size=4), min_size=1, max_size=40), st.randoms())
def test_order_does_not_matter(names: set[str], random: object) -> None:
    """Whatever order they come in."""
    paths = [f"{at % 3}/{name}".replace("..", "b") + "x" for at, name in enumerate(sorted(names))]
    paths = list(dict.fromkeys(paths))
    shuffled = list(paths)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sorted_manifest(*((entry(path), NONE) for path in shuffled)) == in_order(*paths)


def test_folders_that_are_not_empty_are_left_out() -> None:
    """Archives list every folder, versions only empty ones."""
    kept = (entry("e", Kind.FOLDER), NONE)
    found = sorted_manifest((entry("a/b"), NONE), (entry("a", Kind.FOLDER), NONE), kept, kept)
    assert found == sorted_manifest(kept, (entry("a/b"), NONE))
    assert found.entries == 2


def test_links_share_bytes() -> None:
    """Through other links too, whichever comes first."""
    first = (("x", int(Kind.FILE), 5, b"d" * 32, 1), Content(0, b"c" * 32, [5]))
    links = [(("b", 1, 0, b"", 0), Content(0, b"", [], "a")), (("a", 1, 0, b"", 0), Content(0, b"", [], "x"))]
    same = [((name, *first[0][1:]), first[1]) for name in "abx"]
    assert sorted_manifest(*links, first) == sorted_manifest(*same)


def test_a_link_to_nothing() -> None:
    """Nothing, or itself."""
    for target in ("gone", "a"):
        with pytest.raises(InvalidSource, match="leads nowhere"):
            sorted_manifest((("a", 1, 0, b"", 0), Content(0, b"", [], target)))


@pytest.mark.parametrize("paths", [("a", "a"), ("a", "a/b"), ("A", "a"), ("a/x", "A/y")])
def test_collisions(paths: tuple[str, str]) -> None:
    """One path twice, a file that is a folder too, names that differ by case only."""
    with pytest.raises(PathCollision):
        sorted_manifest(*((entry(path), NONE) for path in paths))
