"""Headers of safetensors files: real ones are read, and what contradicts itself is refused before it costs anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.comparison import safetensors
from artifactstore.comparison.results import Tensor
from artifactstore.comparison.safetensors import Placed, read_header
from artifactstore.errors import InvalidContent
from tests.comparison.sources import Bytes, tensors_file

GOOD = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def test_a_header() -> None:
    """Types, shapes, places, and the file's own metadata."""
    empty = {"dtype": "BF16", "shape": [0, 7], "data_offsets": [24, 24]}
    half = {"dtype": "F4", "shape": [3, 2], "data_offsets": [24, 27]}
    data = tensors_file({"__metadata__": {"format": "pt"}, "w": GOOD, "e": empty, "q": half}, bytes(27))
    header = read_header(Bytes(data))
    assert header.metadata == {"format": "pt"}
    assert header.tensors["w"] == Placed(Tensor("w", "F32", (2, 3), 24), len(data) - 27)
    assert header.tensors["e"].tensor.size_bytes == 0
    assert header.tensors["q"].start == len(data) - 3


def test_a_header_that_the_format_s_own_library_wrote() -> None:
    """The same as that library reads."""
    numpy = pytest.importorskip("numpy")
    library = pytest.importorskip("safetensors.numpy")
    arrays = {
        "a": numpy.arange(6, dtype="f4").reshape(2, 3), "b": numpy.zeros((0, 4), "f2"), "c": numpy.ones((), "i8"),
    }  # fmt: skip
    data = library.save(arrays, {"k": "v"})
    header = read_header(Bytes(data))
    assert header.metadata == {"k": "v"}
    for name, array in arrays.items():
        tensor, start = header.tensors[name]
        assert (tensor.shape, tensor.size_bytes) == (array.shape, array.nbytes)
        assert data[start : start + array.nbytes] == array.tobytes()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "shorter"),
        (b"1234567", "shorter"),
        (tensors_file({}, length=1 << 62), "longer than the file"),
        (tensors_file(b"not json"), "not JSON"),
        (tensors_file(b"[1]"), "not JSON"),
        (tensors_file(b"[" * 200_000), "not JSON"),
        (tensors_file(b'{"w":' + b"[" * 200_000), "not JSON"),
        (tensors_file(b'{"\xff": 1}'), "not JSON"),
        (tensors_file({"w": 1}), "what it should not"),
        (tensors_file({"w": {**GOOD, "shape": "x"}}, bytes(24)), "what it should not"),
        (tensors_file({"w": {**GOOD, "shape": [2.5]}}, bytes(24)), "what it should not"),
        (tensors_file({"w": {**GOOD, "data_offsets": [0]}}, bytes(24)), "what it should not"),
        (tensors_file({"__metadata__": {"a": 1}}), "what it should not"),
        (tensors_file({"w": {**GOOD, "dtype": "F31"}}, bytes(24)), "unknown type"),
        (tensors_file({"w": {**GOOD, "shape": [-2, -3]}}, bytes(24)), "no shape"),
        (tensors_file({"w": {**GOOD, "shape": [1] * 65}}, bytes(24)), "no shape"),
        (tensors_file({"w": {**GOOD, "shape": [10**18] * 60}}, bytes(24)), "does not lie"),
        (tensors_file({"w": GOOD}, bytes(23)), "does not lie"),
        (tensors_file({"w": {**GOOD, "data_offsets": [24, 0]}}, bytes(24)), "does not lie"),
        (tensors_file({"w": {**GOOD, "data_offsets": [-24, 0]}}, bytes(24)), "does not lie"),
        (tensors_file({"w": {**GOOD, "shape": [7]}}, bytes(24)), "does not lie"),
        (tensors_file({"w": GOOD, "v": {**GOOD, "data_offsets": [4, 28]}}, bytes(28)), "overlap"),
    ],
)
def test_what_contradicts_itself_is_refused(data: bytes, why: str) -> None:
    """With the name of the file in the sentence."""
    with pytest.raises(InvalidContent, match=why) as caught:
        read_header(Bytes(data, "m.safetensors"))
    assert caught.value.facts["path"] == "m.safetensors"


def test_a_header_that_is_too_long_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the file's size."""
    monkeypatch.setattr(safetensors, "HEADER_BYTES_MAX", 100)
    source = Bytes(tensors_file(b" " * 101))
    with pytest.raises(InvalidContent, match="longer than 100"):
        read_header(source)
    assert source.read == 8


@given(st.binary(max_size=300), st.integers(0, 400))
def test_no_bytes_are_anything_but_refused(text: bytes, length: int) -> None:
    """Nothing but our own error comes out of whatever lies there."""
    source = Bytes(tensors_file(text, length=length))
    try:
        header = read_header(source)
    except InvalidContent:
        return
    assert all(placed.start + placed.tensor.size_bytes <= source.size for placed in header.tensors.values())
