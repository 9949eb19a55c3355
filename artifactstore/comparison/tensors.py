"""How two safetensors files differ, tensor by tensor: which are new or gone, of another shape, or of other numbers.

Tensors whose bytes are known to be the same are not read. Others are read side by side, a few mebibytes at a time, and
of floating-point numbers the difference is measured, in double precision.
"""

import math
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Final

from artifactstore.comparison.results import TensorChange, TensorsDiff
from artifactstore.comparison.safetensors import Placed, read_header
from artifactstore.comparison.source import Apart, Source

_STEP_BYTES: Final = 4 << 20
_FLOATS: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
UNMEASURED: Final = (
    "numpy is not installed, so differences are not measured: pip install 'artifactstore[tensors]'"
)


def compare_tensors(before: Source, after: Source, apart: Apart) -> TensorsDiff:
    """Compare two files.

    Args:
        before: The first.
        after: The second.
        apart: Says what may differ.

    Raises:
        InvalidContent: One of them is no safetensors file.
    """
    one, other = read_header(before), read_header(after)
    numpy = _numpy()
    changed: list[TensorChange] = []
    equal = 0
    measurable = False
    for name in sorted(one.tensors.keys() & other.tensors.keys()):
        pair = one.tensors[name], other.tensors[name]
        change = _change(before, after, *pair, apart, numpy)
        if change is None:
            equal += 1
        else:
            changed.append(change)
            measurable |= _is_alike(*pair) and change.before.dtype in _FLOATS
    keys = sorted(one.metadata.keys() | other.metadata.keys())
    return TensorsDiff(
        "safetensors",
        tuple(other.tensors[name].tensor for name in sorted(other.tensors.keys() - one.tensors.keys())),
        tuple(one.tensors[name].tensor for name in sorted(one.tensors.keys() - other.tensors.keys())),
        tuple(changed),
        equal,
        tuple(
            (key, one.metadata.get(key), other.metadata.get(key))
            for key in keys
            if one.metadata.get(key) != other.metadata.get(key)
        ),
        UNMEASURED if measurable and numpy is None else "",
    )


def _is_alike(one: Placed, other: Placed) -> bool:
    return one.tensor.dtype == other.tensor.dtype and one.tensor.shape == other.tensor.shape


def _change(
    before: Source, after: Source, one: Placed, other: Placed, apart: Apart, numpy: Any
) -> TensorChange | None:
    """How one tensor differs; None where it does not."""
    if not _is_alike(one, other):
        return TensorChange(one.tensor, other.tensor)
    size = one.tensor.size_bytes
    ranges = list(apart(one.start, other.start, size)) if size else []
    pieces = partial(_pieces, before, after, one.start, other.start)
    # Where little may differ it is looked at first: at its ends a tensor shares chunks with its neighbours.
    if sum(length for _, length in ranges) * 2 < size and all(
        left == right for left, right in pieces(ranges)
    ):
        return None
    measure = _Measure(numpy, one.tensor.dtype) if numpy is not None and one.tensor.dtype in _FLOATS else None
    differs = False
    for left, right in pieces([(0, size)]):
        differs |= left != right
        if measure is not None:
            measure.take(left, right)
        elif differs:
            break
    if not differs:
        return None
    if measure is None:
        return TensorChange(one.tensor, other.tensor)
    return TensorChange(one.tensor, other.tensor, measure.max_abs, measure.relative_l2, measure.not_finite)


def _pieces(
    before: Source, after: Source, one: int, other: int, ranges: Iterable[tuple[int, int]]
) -> Iterator[tuple[bytes, bytes]]:
    """Bytes of both files, from an offset in each, in parts that fit into memory."""
    for start, length in ranges:
        for at in range(start, start + length, _STEP_BYTES):
            step = min(_STEP_BYTES, start + length - at)
            yield before.read_at(one + at, step), after.read_at(other + at, step)


class _Measure:
    """The difference of two tensors of floating-point numbers, taken in piece by piece."""

    def __init__(self, numpy: Any, dtype: str) -> None:
        self._numpy = numpy
        self._dtype = dtype
        self._difference = self._before = 0.0
        self.max_abs = 0.0
        self.not_finite = 0

    @property
    def relative_l2(self) -> float:
        """The norm of the difference by that of the first."""
        if not self._difference:
            return 0.0
        return math.sqrt(self._difference / self._before) if self._before else math.inf

    def take(self, left: bytes, right: bytes) -> None:
        """Take in as many bytes of both."""
        numpy = self._numpy
        one, other = self._numbers(left), self._numbers(right)
        finite = numpy.isfinite(one) & numpy.isfinite(other)
        left_out = len(one) - int(numpy.count_nonzero(finite))
        if left_out:
            self.not_finite += left_out
            one, other = one[finite], other[finite]
        if not len(one):
            return
        difference = other - one
        self.max_abs = max(self.max_abs, float(numpy.abs(difference).max()))
        self._difference += float(difference @ difference)
        self._before += float(one @ one)

    def _numbers(self, data: bytes) -> Any:
        numpy = self._numpy
        found = numpy.frombuffer(data, dtype=_FLOATS[self._dtype])
        if self._dtype == "BF16":
            # The upper half of a number of single precision.
            found = (found.astype("<u4") << 16).view("<f4")
        return found.astype("f8")


def _numpy() -> Any:
    try:
        import numpy as np
    except ImportError:
        return None
    return np
