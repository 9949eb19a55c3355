"""Which ranges of two files may differ, as their chunk lists say, and reading one of them by ranges."""

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.errors import HostileManifest
from artifactstore.format.pack import PackType
from artifactstore.format.page import Kind
from artifactstore.manifest.build import ListBuilder
from artifactstore.manifest.read import StoredEntry
from artifactstore.transfer.ranges import StoredBytes, chunks_apart
from tests.manifest.test_diff import Counting


def data_of(number: int) -> bytes:
    return bytes([number]) * (number % 7 + 1)


def entry_of(shelf: Counting, numbers: list[int]) -> StoredEntry:
    """A file of these chunks."""
    listed = ListBuilder(shelf)
    for number in numbers:
        listed.add(shelf.put_one(PackType.DATA, data_of(number)), len(data_of(number)))
    whole = b"".join(map(data_of, numbers))
    return StoredEntry(("f", int(Kind.FILE), len(whole), blake3(whole).digest(), 0), listed.finish())


chunk_numbers = st.lists(st.integers(0, 12), min_size=1, max_size=40)


@given(chunk_numbers, chunk_numbers, chunk_numbers, st.data())
def test_outside_of_the_ranges_bytes_are_the_same(start, one, other, data) -> None:
    """Wherever both are looked at; the same file has none that differ, and ranges neither touch nor leave bounds."""
    shelf = Counting()
    files = [entry_of(shelf, start + numbers + start) for numbers in (one, other)]
    contents = [b"".join(map(data_of, start + numbers + start)) for numbers in (one, other)]
    at = [data.draw(st.integers(0, len(content) - 1)) for content in contents]
    length = data.draw(
        st.integers(1, min(len(content) - begin for content, begin in zip(contents, at, strict=True)))
    )
    ranges = list(chunks_apart(shelf, *files)(*at, length))
    last = -1
    for begin, size in ranges:
        assert last < begin < begin + size <= length
        last = begin + size
    unsaid = {position for begin, size in ranges for position in range(begin, begin + size)}
    for position in set(range(length)) - unsaid:
        assert contents[0][at[0] + position] == contents[1][at[1] + position]
    assert list(chunks_apart(shelf, files[0], files[0])(at[0], at[0], len(contents[0]) - at[0])) == []


@given(chunk_numbers, st.data())
def test_any_range_is_read_in_one_round_trip(numbers, data) -> None:
    """Over as many chunks as it takes."""
    shelf = Counting()
    source = StoredBytes(shelf, entry_of(shelf, numbers), "x")
    whole = b"".join(map(data_of, numbers))
    offset = data.draw(st.integers(0, len(whole)))
    length = data.draw(st.integers(0, len(whole) - offset))
    assert source.read_at(offset, length) == whole[offset : offset + length]
    assert shelf.round_trips == 1


def test_a_chunk_of_another_length_is_hostile() -> None:
    """A list may not say more than a chunk has."""
    shelf = Counting()
    listed = ListBuilder(shelf)
    listed.add(shelf.put_one(PackType.DATA, b"abc"), 4)
    entry = StoredEntry(("f", int(Kind.FILE), 4, bytes(32), 0), listed.finish())
    with pytest.raises(HostileManifest):
        StoredBytes(shelf, entry, "x").read_at(0, 4)
