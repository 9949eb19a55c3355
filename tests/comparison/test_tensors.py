"""Two files of tensors: what is new, gone, of another shape, and by how much numbers differ."""

import math
import struct
import sys

import pytest

from artifactstore.comparison import tensors
from artifactstore.comparison.results import Tensor
from artifactstore.comparison.source import everything
from artifactstore.comparison.tensors import UNMEASURED, compare_tensors
from tests.comparison.sources import Bytes, tensors_file


def made(**given: tuple[str, list[int], bytes]) -> Bytes:
    """A file of these tensors."""
    header, data = {}, b""
    for name, (dtype, shape, content) in given.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    return Bytes(tensors_file(header, data))


def floats(*numbers: float) -> tuple[str, list[int], bytes]:
    return "F32", [len(numbers)], struct.pack(f"<{len(numbers)}f", *numbers)


def test_what_the_headers_say() -> None:
    """Added, removed, of another shape or type; and the file's metadata."""
    one = Bytes(
        tensors_file(
            {"__metadata__": {"step": "1", "a": "x"}, **_header(w=[2], gone=[1], cast=[2])}, bytes(20)
        )
    )
    other = Bytes(
        tensors_file(
            {"__metadata__": {"step": "2", "b": "y"}, **_header(w=[1], come=[1], cast=[2])}, bytes(16)
        )
    )
    found = compare_tensors(one, other, everything)
    assert [tensor.name for tensor in found.added] == ["come"]
    assert [tensor.name for tensor in found.removed] == ["gone"]
    (change,) = found.changed
    assert (change.name, change.before.shape, change.after.shape, change.max_abs) == ("w", (2,), (1,), None)
    assert found.equal == 1
    assert found.metadata == (("a", "x", None), ("b", None, "y"), ("step", "1", "2"))
    assert (found.format, found.unmeasured) == ("safetensors", "")


def _header(**shapes: list[int]) -> dict[str, object]:
    header, at = {}, 0
    for name, shape in shapes.items():
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    return header


def test_differences_are_measured() -> None:
    """The largest one, and the norm of all by that of what was there."""
    pytest.importorskip("numpy")
    found = compare_tensors(made(w=floats(3.0, 4.0, 0.0)), made(w=floats(3.0, 4.5, -1.0)), everything)
    (change,) = found.changed
    assert change.max_abs == 1.0
    assert change.relative_l2 == pytest.approx(math.sqrt(1.25) / 5)
    from_zero = compare_tensors(made(w=floats(0.0)), made(w=floats(1.0)), everything).changed[0]
    assert from_zero.relative_l2 == math.inf
    sign = compare_tensors(made(w=floats(0.0)), made(w=floats(-0.0)), everything).changed[0]
    assert (sign.max_abs, sign.relative_l2) == (0.0, 0.0)


@pytest.mark.parametrize(("dtype", "form"), [("F64", "<3d"), ("F32", "<3f"), ("F16", "<3e")])
def test_every_float_is_measured_alike(dtype: str, form: str) -> None:
    """In double precision, whatever the file has."""
    pytest.importorskip("numpy")
    pair = [made(w=(dtype, [3], struct.pack(form, *numbers))) for numbers in ((1, 2, 2), (1, 2, 5))]
    (change,) = compare_tensors(*pair, everything).changed
    assert (change.max_abs, change.relative_l2) == (3.0, 1.0)


def test_brain_floats_are_the_upper_half_of_single_ones() -> None:
    """As the names of their bits say."""
    pytest.importorskip("numpy")
    pair = [
        made(w=("BF16", [2], b"".join(struct.pack("<f", number)[2:] for number in numbers)))
        for numbers in ((1.5, -2.0), (1.5, -4.0))
    ]
    (change,) = compare_tensors(*pair, everything).changed
    assert (change.max_abs, change.relative_l2) == (2.0, pytest.approx(2 / 2.5))


def test_what_is_not_finite_is_left_out_and_counted() -> None:
    """One infinite number must not hide all others."""
    pytest.importorskip("numpy")
    pair = made(w=floats(math.nan, 1.0, 2.0)), made(w=floats(math.nan, math.inf, 3.0))
    (change,) = compare_tensors(*pair, everything).changed
    assert (change.max_abs, change.relative_l2, change.not_finite) == (1.0, 0.5, 2)
    (change,) = compare_tensors(made(w=floats(1.0)), made(w=floats(math.nan)), everything).changed
    assert (change.max_abs, change.relative_l2, change.not_finite) == (0.0, 0.0, 1)


def test_whole_numbers_only_differ() -> None:
    """No norm is told of them."""
    pair = [made(w=("I32", [1], struct.pack("<i", number))) for number in (1, 2)]
    (change,) = compare_tensors(*pair, everything).changed
    assert (change.max_abs, change.relative_l2) == (None, None)
    assert change.before == Tensor("w", "I32", (1,), 4)


def test_tensors_that_are_known_to_be_equal_are_not_read() -> None:
    """Only the headers are, and each tensor is asked about once, where it lies in both."""
    one = made(a=floats(1.0), w=floats(*range(100)))
    other = made(w=floats(*range(100)))
    asked: list[tuple[int, int, int]] = []

    def nothing(*where: int) -> list[tuple[int, int]]:
        asked.append(where)
        return []

    assert compare_tensors(one, other, nothing).equal == 1
    assert asked == [(one.size - 400, other.size - 400, 400)]
    assert one.read == one.size - 404


def test_where_little_may_differ_only_that_is_read() -> None:
    """All of it only when it does, since the norm is of all."""
    numbers = [float(number) for number in range(100)]
    one, other = made(w=floats(*numbers)), made(w=floats(*numbers))
    assert compare_tensors(one, other, lambda *_: [(0, 8), (392, 8)]).equal == 1
    assert one.read == one.size - 400 + 16
    numbers[-1] = 0.0
    other = made(w=floats(*numbers))
    assert len(compare_tensors(one, other, lambda *_: [(0, 8), (392, 8)]).changed) == 1


def test_large_tensors_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the same numbers as in one."""
    pytest.importorskip("numpy")
    one, other = floats(*range(1000)), floats(*(number + number % 3 for number in range(1000)))
    whole = compare_tensors(made(w=one), made(w=other), everything).changed[0]
    monkeypatch.setattr(tensors, "_STEP_BYTES", 400)
    sources = made(w=one), made(w=other)
    parts = compare_tensors(*sources, everything).changed[0]
    assert parts.relative_l2 == pytest.approx(whole.relative_l2)
    assert parts.max_abs == whole.max_abs == 2.0
    assert max(source.largest for source in sources) == 400


def test_without_numpy_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """What differs is told all the same."""
    monkeypatch.setitem(sys.modules, "numpy", None)
    found = compare_tensors(
        made(w=floats(1.0), v=floats(1.0)), made(w=floats(2.0), v=floats(1.0)), everything
    )
    (change,) = found.changed
    assert (change.name, change.max_abs, found.equal) == ("w", None, 1)
    assert found.unmeasured == UNMEASURED
