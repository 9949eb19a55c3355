"""The codec byte of a blob: 0 raw, 1 zstd; 2 to 4 are kept for byte planes.

A blob is compressed as one frame. Two short samples are tried first: data of which they do not shrink is kept raw, and
data of which they shrink a little, as weights do, has nothing to gain from a longer search for repetitions.
"""

import threading
from typing import Final

import zstandard

RAW: Final = 0
ZSTD: Final = 1

# Below this the frame's own overhead and a probe cost more than they can tell.
_PROBE_BYTES: Final = 4 << 10
_PROBE_MIN_BYTES: Final = 64 << 10
# A blob that saves less than this fraction is kept raw: it then opens at memory speed.
_WORTH_FRACTION: Final = 0.98
# What shrinks less than this shrinks by the frequency of its bytes alone: weights take 0.857 at levels 1 and 3 alike,
# in 0.7 of the time at level 1. Of two large wheels no sample is above it.
_REPEATING_FRACTION: Final = 0.7
_QUICK_LEVEL: Final = 1
# Who asks for a higher level than this wants each byte that can be had.
_THOROUGH_LEVEL: Final = 4

_local = threading.local()


class CodecError(Exception):
    """A blob does not decompress to exactly its declared length, or names an unknown codec."""


def compress(data: bytes | bytearray | memoryview, level: int) -> tuple[int, bytes | bytearray | memoryview]:
    """Return (codec, bytes to seal) for one blob; the input itself when it does not compress."""
    size = len(data)
    if size >= _PROBE_MIN_BYTES:
        share = _share_of_samples(data, size)
        if share >= _WORTH_FRACTION:
            return RAW, data
        if share > _REPEATING_FRACTION and level < _THOROUGH_LEVEL:
            level = _QUICK_LEVEL
    packed = _compressor(level).compress(data)
    return (ZSTD, packed) if len(packed) < size * _WORTH_FRACTION else (RAW, data)


def decompress(codec: int, data: bytes, raw_length: int) -> bytes:
    """Return the blob's raw bytes, allocating no more than `raw_length`.

    Raises:
        CodecError: The frame is malformed, of another length, or the codec unknown.
    """
    if codec == RAW:
        if len(data) != raw_length:
            raise CodecError(f"raw blob of {len(data)} bytes, {raw_length} declared")
        return data
    if codec != ZSTD:
        raise CodecError(f"unknown codec {codec}")
    # The frame's own header must declare the same size, so that nothing larger is ever allocated.
    try:
        declared = zstandard.frame_content_size(data)
        if declared != raw_length:
            raise CodecError(f"frame of {declared} bytes, {raw_length} declared")
        return _decompressor().decompress(data, max_output_size=raw_length, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise CodecError(str(error)) from error


def _share_of_samples(data: bytes | bytearray | memoryview, size: int) -> float:
    """What is left of the sample that shrinks more, as a fraction."""
    view, probe = memoryview(data), _compressor(_QUICK_LEVEL)
    samples = (view[at : at + _PROBE_BYTES] for at in (size // 2, size // 8))
    return min(len(probe.compress(sample)) for sample in samples) / _PROBE_BYTES


def _compressor(level: int) -> zstandard.ZstdCompressor:
    """One compressor for each thread and level: they are not safe to share, and costly to make."""
    compressors: dict[int, zstandard.ZstdCompressor] | None = getattr(_local, "compressors", None)
    if compressors is None:
        compressors = _local.compressors = {}
    found = compressors.get(level)
    if found is None:
        found = compressors[level] = zstandard.ZstdCompressor(level=level, write_checksum=False)
    return found


def _decompressor() -> zstandard.ZstdDecompressor:
    found: zstandard.ZstdDecompressor | None = getattr(_local, "decompressor", None)
    if found is None:
        found = _local.decompressor = zstandard.ZstdDecompressor()
    return found
