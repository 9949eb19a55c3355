"""Reading one file of a version as a stream: any range, and no more than that is fetched."""

import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore import Store
from artifactstore.errors import NoSuchEntry
from artifactstore.testing import MeteredBackend
from tests.stores import make_store, noise, write_tree

pytestmark = pytest.mark.places("memory", "s3")

DATA = noise(8 << 20, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("read")


@pytest.fixture(scope="module")
def store(folder: Path):
    write_tree(folder / "in", {"big": DATA, "empty": b"", "sub/x": b"x", "link": "big", "hollow": None})
    with make_store(folder) as made:
        made.push([folder / "in"], "p/n")
        yield made


@given(st.integers(0, len(DATA)), st.integers(0, 300_000))
def test_every_range_is_the_files(store: Store, start: int, length: int) -> None:
    """Seek and read give what a file on disk would."""
    with store.version("p/n").open("big") as file:
        file.seek(start)
        assert file.read(length) == DATA[start : start + length]


def test_it_behaves_like_an_open_file(store: Store) -> None:
    """The file object is what `open(path, "rb")` would give."""
    with store.version("p/n").open("big") as file:
        assert file.readable()
        assert file.seekable()
        assert not file.writable()
        assert file.seek(-10, os.SEEK_END) == len(DATA) - 10
        assert file.read() == DATA[-10:]
        assert file.read() == b""
        file.seek(5)
        file.seek(5, os.SEEK_CUR)
        assert file.tell() == 10
        assert file.read(3) == DATA[10:13]
        with pytest.raises(ValueError, match="negative"):
            file.seek(-1)
        file.seek(len(DATA) + 100)
        assert file.read(10) == b""
        file.seek(0)
        assert file.read() == DATA


def test_an_empty_file_reads_as_nothing(store: Store) -> None:
    """No chunk, no request."""
    assert store.version("p/n").open("empty").read() == b""


def test_text_can_be_read_through_it(store: Store) -> None:
    """What reads binary files reads this."""
    with io.TextIOWrapper(store.version("p/n").open("sub/x")) as text:
        assert text.read() == "x"


def test_a_few_bytes_cost_a_few_chunks(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading in the middle of a large file does not fetch the file."""
    reader = store._parts.reader
    metered = MeteredBackend(reader._backend)
    monkeypatch.setattr(reader, "_backend", metered)
    with store.version("p/n").open("big") as file:
        file.seek(5_000_000)
        assert file.read(10) == DATA[5_000_000:5_000_010]
    assert metered.transferred_bytes["get_range"] < 1 << 20


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("absent", "nothing"),
        ("link", "a symlink"),
        ("hollow", "a folder"),
        ("sub", "nothing"),
        ("../in/big", "nothing"),
    ],
)
def test_only_files_can_be_opened(store: Store, path: str, words: str) -> None:
    """What is there instead is said."""
    with pytest.raises(NoSuchEntry, match=words):
        store.version("p/n").open(path)
