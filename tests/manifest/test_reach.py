"""What versions reach: the same read together as one after the other, with each page and list read once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.errors import Damaged
from artifactstore.format.cids import cid_prefixes
from artifactstore.format.operations import Manifest
from artifactstore.format.pack import PackType
from artifactstore.format.page import decode_page, path_order
from artifactstore.manifest.build import ListBuilder, ManifestBuilder
from artifactstore.manifest.reach import reach, reach_all
from tests.manifest.pages import file_identity
from tests.manifest.test_diff import Counting
from tests.manifest.test_overlap import chunk

# Files by name, each the number of its first chunk and how many it has; past 64 it has a list, later several.
trees = st.dictionaries(
    st.integers(0, 400).map(lambda number: f"{number % 5}/{number:03}"),
    st.tuples(st.integers(0, 5000), st.sampled_from([0, 1, 3, 70, 1500])),
    max_size=60,
)


def manifest_of(shelf: Counting, tree: dict[str, tuple[int, int]]) -> Manifest:
    builder = ManifestBuilder(shelf)
    for path, (start, count) in sorted(tree.items(), key=lambda item: path_order(item[0])):
        listed = ListBuilder(shelf)
        listed.extend(chunk(number) for number in range(start, start + count))
        content = listed.finish()
        identity = file_identity(path, b"%d %d" % (start, count))
        builder.add((*identity[:2], sum(content.sizes), *identity[3:]), content)
    return builder.finish()


def named(found) -> set[tuple[int, bytes]]:
    return {(kind, prefix) for kind, cids, _ in found for prefix in cid_prefixes(cids)}


@given(st.lists(trees, max_size=8), trees)
def test_versions_reach_together_what_they_reach_by_themselves(versions, known) -> None:
    """But for what was seen; and nothing is read twice, nor what only differs in order."""
    shelf = Counting()
    base = manifest_of(shelf, known)
    manifests = [base, *(manifest_of(shelf, {**known, **tree}) for tree in versions)]
    seen: set[bytes] = set()
    alone = [named(reach(shelf, manifest, seen)) for manifest in manifests]
    by_themselves, shelf.cids = sorted(shelf.cids), []
    before, together = set(), set[bytes]()
    before |= named(reach(shelf, base, together))
    found = named(reach_all(shelf, manifests, together))
    assert before | found == set().union(*alone)
    assert together == seen
    assert sorted(shelf.cids) == by_themselves


@given(trees)
def test_what_a_page_names_is_told_with_it_where_it_is_data_alone(tree) -> None:
    """In order, and whole; of pages that name lists or other pages nothing is said."""
    shelf = Counting()
    reached = list(reach(shelf, manifest_of(shelf, tree), set()))
    expected = {}
    for kind, cid, _ in reached:
        if kind is PackType.PAGE:
            page = decode_page(shelf.read(PackType.PAGE, cid), "page")
            if not page.level and not any(content.depth for content in page.contents):
                expected[cid] = b"".join(content.cids for content in page.contents)
    assert {page: cids for _, cids, page in reached if page} == expected


def test_many_versions_take_few_round_trips() -> None:
    """As many as lots of 64 pages, whichever version they are of."""
    shelf = Counting()
    base = {f"{number % 20:02}/{number:05}": (number, 1) for number in range(4_000)}
    manifests = [
        manifest_of(shelf, {**base, f"{version % 20:02}/{version:05}": (20_000 + version, 200)})
        for version in range(40)
    ]
    assert manifests[0].level == 1
    list(reach_all(shelf, manifests, set()))
    # Lists come last, as they are fewer than a lot.
    assert shelf.round_trips <= len(shelf.cids) // 64 + 3


def test_what_is_damaged_is_told() -> None:
    """By whom it is needed is for the caller to find out."""
    shelf = Counting()
    manifests = [manifest_of(shelf, {"a": (version, 1)}) for version in range(3)]
    del shelf.chunks[manifests[1].cid]
    with pytest.raises(Damaged):
        list(reach_all(shelf, manifests, set()))
