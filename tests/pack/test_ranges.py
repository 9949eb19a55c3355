"""Planning ranges: every blob is covered, small gaps are read over, no range is too long."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from artifactstore.pack.ranges import GAP_BYTES_MAX, RANGE_BYTES_MAX, coalesce


def test_neighbours_come_in_one_request() -> None:
    """Blobs that touch are fetched together."""
    assert [(one.start, one.length) for one in coalesce([(148, 50), (48, 100)])] == [(48, 150)]


def test_a_small_gap_is_read_over_and_a_large_one_is_not() -> None:
    """A gap that costs less than a request does not end a range."""
    near, far = 10 + GAP_BYTES_MAX, 11 + GAP_BYTES_MAX
    assert len(coalesce([(0, 10), (near, 10)])) == 1
    assert len(coalesce([(0, 10), (far, 10)])) == 2


def test_a_blob_longer_than_a_range_is_one_range() -> None:
    """What can't be split is fetched whole."""
    assert [one.length for one in coalesce([(0, RANGE_BYTES_MAX + 16)])] == [RANGE_BYTES_MAX + 16]


def test_nothing_wanted_is_nothing_fetched() -> None:
    """Without blobs there are no requests."""
    assert coalesce([]) == []


@given(
    st.lists(st.tuples(st.integers(0, 300_000), st.integers(16, 300_000)), max_size=60),
    st.integers(0, 1 << 20),
    st.integers(1 << 10, 8 << 20),
)
def test_each_blob_lies_in_exactly_one_range(steps: list[tuple[int, int]], gap: int, most: int) -> None:
    """Ranges cover all blobs, once each, within the bound unless a single blob exceeds it."""
    starts = accumulate((before + length for before, length in steps), initial=48)
    blobs = [(start + before, length) for start, (before, length) in zip(starts, steps, strict=False)]
    ranges = coalesce(blobs, gap_max=gap, range_max=most)
    assert [blob for one in ranges for blob in one.blobs] == blobs
    for one in ranges:
        assert one.start == one.blobs[0][0]
        assert one.start + one.length == sum(one.blobs[-1])
        assert one.length <= most or len(one.blobs) == 1
