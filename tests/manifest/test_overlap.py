"""How much of a file is new by its chunks: what comparing all of them says, without reading what both lists share."""

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.errors import Damaged
from artifactstore.format.page import Content
from artifactstore.manifest import overlap
from artifactstore.manifest.build import ListBuilder
from artifactstore.manifest.overlap import Fresh, fresh_bytes
from tests.manifest.test_diff import Counting


def chunk(number: int) -> tuple[bytes, int]:
    """A chunk's cid and length."""
    return blake3(b"%d" % number).digest(), number % 1000 + 1


def listed(shelf: Counting, numbers: list[int]) -> Content:
    builder = ListBuilder(shelf)
    builder.extend(chunk(number) for number in numbers)
    return builder.finish()


def fresh(shelf: Counting, before: list[int], after: list[int]) -> Fresh:
    return fresh_bytes(shelf, [(listed(shelf, before), listed(shelf, after))])[0]


def by_looking_at_all(before: list[int], after: list[int]) -> int:
    known = set(before)
    return sum(chunk(number)[1] for number in after if number not in known)


runs = st.one_of(
    st.lists(st.integers(0, 50), max_size=80),
    st.builds(lambda at, count: list(range(at, at + count)), st.integers(0, 500), st.integers(0, 3000)),
)


@given(runs, runs)
def test_what_is_new_is_never_told_too_small(before: list[int], after: list[int]) -> None:
    """It is exact but for chunks that moved, which are told as new where they came from an equal part."""
    shelf = Counting()
    found = fresh(shelf, before, after)
    assert found.exact
    assert by_looking_at_all(before, after) <= found.size <= sum(chunk(number)[1] for number in after)
    assert fresh(shelf, after, after) == Fresh(0, exact=True)


@given(runs, st.integers(0, 3000), st.integers(0, 30))
def test_what_was_put_in_the_place_of_something_is_exact(before: list[int], at: int, count: int) -> None:
    """A run of new chunks in the middle, at the end or as all of it."""
    after = before[:at] + [number + 10_000 for number in range(count)] + before[at + count // 2 :]
    assert fresh(Counting(), before, after) == Fresh(by_looking_at_all(before, after), exact=True)


def test_one_changed_chunk_of_a_long_file_reads_a_list_a_level() -> None:
    """Two gigabytes have some 32,000 chunks; two lists of a level are read, and those of several files together."""
    shelf = Counting()
    before = list(range(32_000))
    after = [*before[:17_000], 40_000, *before[17_001:]]
    pair = listed(shelf, before), listed(shelf, after)
    assert pair[0].depth == 2
    assert fresh_bytes(shelf, [pair]) == [Fresh(chunk(40_000)[1], exact=True)]
    assert (len(shelf.cids), shelf.round_trips) == (4, 2)
    shelf.cids, shelf.round_trips = [], 0
    assert len(fresh_bytes(shelf, [pair] * 16)) == 16
    assert shelf.round_trips == 2


@pytest.mark.parametrize("order", [1, -1])
def test_files_of_other_depths_are_compared(order: int) -> None:
    """A file that grew, or shrank, past what one list holds."""
    pair = (list(range(50)), list(range(30_000)))[::order]
    found = fresh(Counting(), *pair)
    assert found == Fresh(by_looking_at_all(*pair), exact=True)


def test_of_very_long_files_a_share_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered stays bounded, and the share that is new is about right."""
    monkeypatch.setattr(overlap, "_CHUNKS_MAX", 500)
    before, after = list(range(0, 40_000, 2)), list(range(20_000, 40_000))
    found = fresh(Counting(), before, after)
    assert not found.exact
    assert found.size == pytest.approx(by_looking_at_all(before, after), rel=0.2)
    monkeypatch.setattr(overlap, "_LISTS_MAX", 3)
    found = fresh(Counting(), before, after)
    assert found == Fresh(sum(chunk(number)[1] for number in after), exact=False)


def test_a_list_that_contradicts_what_is_above_it_is_damaged() -> None:
    """Nothing is told of a file whose list lies."""
    shelf = Counting()
    content = listed(shelf, list(range(300)))
    lying = Content(1, content.cids, [content.sizes[0] + 1], chunks=content.chunks)
    with pytest.raises(Damaged, match="contradicts"):
        fresh_bytes(shelf, [(listed(shelf, [1]), lying)])
