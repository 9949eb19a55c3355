"""What the decision records in `docs/decisions` rely on: a new release of a library must not take it away."""

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st


class Row(msgspec.Struct, array_like=True, frozen=True):
    path: str
    size: int


DECLARES_TOO_MUCH = [
    pytest.param(b"\xdd\xff\xff\xff\xff\x01", list[int], id="array of 2**32 - 1"),
    pytest.param(b"\xdd\xff\xff\xff\xff\x92\xa1a\x01", list[Row], id="rows, 2**32 - 1 of them"),
    pytest.param(b"\xdf\xff\xff\xff\xff\x01\x01", dict[int, int], id="map of 2**32 - 1"),
    pytest.param(b"\xc6\xff\xff\xff\xff\x01", bytes, id="4 GiB of bytes"),
    pytest.param(b"\xdb\xff\xff\xff\xffa", str, id="4 GiB of text"),
    pytest.param(
        b"\xdd\x00\x0f\xff\xff" * 4 + b"\xc1" * 2**20, list[list[list[list[int]]]], id="nested arrays"
    ),
]


@pytest.mark.parametrize(("data", "shape"), DECLARES_TOO_MUCH)
def test_a_declared_length_allocates_nothing(data: bytes, shape: object) -> None:
    """0001: a decoder's memory follows the bytes that are there, never a length that they declare."""
    decoder = msgspec.msgpack.Decoder(shape)
    tracemalloc.start()
    try:
        with pytest.raises(msgspec.DecodeError):
            decoder.decode(data)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak_bytes < 64 * 1024


def test_deep_nesting_is_a_recursion_error() -> None:
    """0001: nesting without end is an exception that decoders turn into ours, not a crash of the process."""
    with pytest.raises(RecursionError):
        msgspec.msgpack.decode(b"\x91" * 100_000)


def test_a_reader_skips_fields_that_it_does_not_know() -> None:
    """0001: a later minor release may append a field, and an older reader still reads the ones before it."""
    longer = msgspec.msgpack.encode(["a/b", 7, "unknown"])
    assert msgspec.msgpack.decode(longer, type=Row) == Row("a/b", 7)


def test_one_value_has_several_encodings() -> None:
    """0001: MessagePack is not canonical, which is why bytes are hashed as received and never re-encoded."""
    assert msgspec.msgpack.decode(b"\x07") == msgspec.msgpack.decode(b"\xcd\x00\x07")


def walked(folder: Path, prefix: str = "") -> Iterator[str]:
    """The files below `folder`, depth first, the names of each folder sorted."""
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name.encode())
    for entry in found:
        if entry.is_dir():
            yield from walked(Path(entry.path), f"{prefix}{entry.name}/")
        else:
            yield prefix + entry.name


names = st.text(alphabet="ab-.0 é", min_size=1, max_size=3).filter(lambda name: name.strip(".") != "")


@given(st.sets(st.lists(names, min_size=1, max_size=3).map("/".join), max_size=12))
def test_a_sorted_walk_is_in_manifest_order(
    tmp_path_factory: pytest.TempPathFactory, paths: set[str]
) -> None:
    """0003: with '/' sorting below every character, a depth-first walk yields paths in manifest order."""
    folder = tmp_path_factory.mktemp("walk")
    kept = sorted(path for path in paths if not any(other.startswith(path + "/") for other in paths))
    for path in kept:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).touch()
    by_components = sorted(kept, key=lambda path: path.encode().replace(b"/", b"\0"))
    assert list(walked(folder)) == by_components == sorted(kept, key=lambda path: path.encode().split(b"/"))
