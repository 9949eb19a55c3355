"""The header of a safetensors file: which tensors lie where, checked before anything is believed.

Eight bytes say how long the header is, which is JSON: for each tensor its type, shape, and where in the bytes behind
the header it lies. What is longer than it may be, lies outside the file, overlaps or contradicts itself is refused.
"""

import math
from typing import Any, Final, NamedTuple

import msgspec

from artifactstore.comparison.results import Tensor
from artifactstore.comparison.source import Source, invalid

# Some 200,000 tensors; the format's own bound of 100 MB would be a gigabyte of objects.
HEADER_BYTES_MAX: Final = 32 << 20
_LENGTH_BYTES: Final = 8
_DIMENSIONS_MAX: Final = 64
_METADATA: Final = "__metadata__"
_BITS: Final = {
    "BOOL": 8, "U8": 8, "I8": 8, "U16": 16, "I16": 16, "U32": 32, "I32": 32, "U64": 64, "I64": 64,
    "F16": 16, "BF16": 16, "F32": 32, "F64": 64, "C64": 64, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
    "F6_E2M3": 6, "F6_E3M2": 6, "F4": 4,
}  # fmt: skip


class Placed(NamedTuple):
    """A tensor, and the offset of its first byte in the file."""

    tensor: Tensor
    start: int


class Header(NamedTuple):
    """What a file says of its tensors.

    Attributes:
        tensors: By name.
        metadata: Its own metadata.
    """

    tensors: dict[str, Placed]
    metadata: dict[str, str]


class _Stored(msgspec.Struct):
    dtype: str
    shape: list[int]
    data_offsets: tuple[int, int]


def read_header(source: Source) -> Header:
    """Read and check the header of a file.

    Raises:
        InvalidContent: It is no safetensors file, or its header is longer than it may be.
    """
    if source.size < _LENGTH_BYTES:
        raise invalid(source, "it is shorter than a safetensors header")
    length = int.from_bytes(source.read_at(0, _LENGTH_BYTES), "little")
    if length > source.size - _LENGTH_BYTES:
        raise invalid(source, f"its header of {length} bytes is longer than the file")
    if length > HEADER_BYTES_MAX:
        raise invalid(source, f"its header of {length} bytes is longer than {HEADER_BYTES_MAX}")
    parts = _parsed(source, source.read_at(_LENGTH_BYTES, length))
    metadata = _converted(source, _METADATA, parts.pop(_METADATA, {}), dict[str, str])
    data_start, data_bytes = _LENGTH_BYTES + length, source.size - _LENGTH_BYTES - length
    tensors: dict[str, Placed] = {}
    spans: list[tuple[int, int]] = []
    for name, said in parts.items():
        stored = _converted(source, name, said, _Stored)
        begin, end = stored.data_offsets
        bits = _BITS.get(stored.dtype)
        if bits is None:
            raise invalid(source, f"tensor {name!r} is of the unknown type {stored.dtype!r}")
        if len(stored.shape) > _DIMENSIONS_MAX or any(count < 0 for count in stored.shape):
            raise invalid(source, f"tensor {name!r} has no shape that can be")
        if not 0 <= begin <= end <= data_bytes or math.prod(stored.shape) * bits != (end - begin) * 8:
            raise invalid(source, f"tensor {name!r} does not lie where its header says")
        spans.append((begin, end))
        tensor = Tensor(name, stored.dtype, tuple(stored.shape), end - begin)
        tensors[name] = Placed(tensor, data_start + begin)
    last = 0
    for begin, end in sorted(spans):
        if begin < last:
            raise invalid(source, "tensors overlap")
        last = end
    return Header(tensors, metadata)


def _parsed(source: Source, text: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise invalid(source, "its header is not JSON as it should be") from error


def _converted(source: Source, name: str, said: object, wanted: Any) -> Any:
    try:
        return msgspec.convert(said, wanted)
    except (msgspec.ValidationError, RecursionError) as error:
        raise invalid(source, f"its header says of {name!r} what it should not") from error
