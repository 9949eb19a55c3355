"""The place in a stream that is read by ranges: told, moved, and never before the beginning."""

import io
import os

import pytest

from artifactstore.seekable import SeekableReader


def test_it_keeps_its_place() -> None:
    """From the start, from where it is and from the end; beyond the end is allowed, as in a file."""
    reader = SeekableReader(10)
    assert (reader.readable(), reader.seekable(), reader.tell()) == (True, True, 0)
    assert reader.seek(4) == reader.tell() == 4
    assert reader.seek(3, os.SEEK_CUR) == 7
    assert reader.seek(-1, os.SEEK_END) == 9
    assert reader.seek(5, io.SEEK_END) == 15


@pytest.mark.parametrize(("offset", "whence"), [(-1, os.SEEK_SET), (-5, os.SEEK_CUR), (-11, os.SEEK_END)])
def test_no_place_lies_before_the_beginning(offset: int, whence: int) -> None:
    """It stays where it is."""
    reader = SeekableReader(10)
    reader.seek(4)
    with pytest.raises(ValueError, match="negative"):
        reader.seek(offset, whence)
    assert reader.tell() == 4
