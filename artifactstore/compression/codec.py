"""The codec byte of a blob: 0 raw, 1 zstd; 2 to 4 are kept for byte planes.

A blob is compressed as one frame. Data that does not compress costs a probe: a short sample from its middle is
tried first, and kept raw when the sample does not shrink.
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

_local = threading.local()


class CodecError(Exception):
    """A blob does not decompress to exactly its declared length, or names an unknown codec."""


def compress(data: bytes | bytearray | memoryview, level: int) -> tuple[int, bytes | bytearray | memoryview]:
    """Return (codec, bytes to seal) for one blob; the input itself when it does not compress."""
    size = len(data)
    compressor = _compressor(level)
    if size >= _PROBE_MIN_BYTES and not _promising(data, size):
        return RAW, data
    packed = compressor.compress(data)
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


def _promising(data: bytes | bytearray | memoryview, size: int) -> bool:
    view = memoryview(data)
    middle = size // 2
    probe = _compressor(1)
    return any(
        len(probe.compress(view[at : at + _PROBE_BYTES])) < _PROBE_BYTES * _WORTH_FRACTION
        for at in (middle, size // 8)
    )


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
