"""The codec byte: what compresses is compressed, what doesn't is kept, and nothing opens to more than it declares."""

import tracemalloc

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.compression.codec import RAW, ZSTD, CodecError, compress, decompress
from tests.stores import noise

BOMB_BYTES = 1 << 30


def bomb(size: int) -> bytes:
    """A small frame that opens to `size` zeros, made without holding them."""
    compressor = zstandard.ZstdCompressor(level=19).compressobj(size=size)
    block = bytes(1 << 20)
    parts = [compressor.compress(block) for _ in range(size // len(block))]
    return b"".join([*parts, compressor.flush()])


@given(st.binary(max_size=4096), st.integers(1, 3), st.integers(1, 200))
def test_every_blob_comes_back(piece: bytes, level: int, times: int) -> None:
    """Whatever the bytes and the codec chosen, opening gives them back."""
    data = piece * times
    codec, packed = compress(data, level)
    assert decompress(codec, bytes(packed), len(data)) == data


def test_what_repeats_is_compressed() -> None:
    """Text shrinks."""
    codec, packed = compress(b"column,value\n" * 10_000, 1)
    assert codec == ZSTD
    assert len(packed) < 1000


def test_what_hardly_shrinks_is_not_searched_for_repetitions() -> None:
    """Bytes of uneven frequency without repetitions, as weights are, get what a thorough search would give them."""
    data = bytes(byte % 100 for byte in noise(256 << 10))
    quick, thorough = (zstandard.ZstdCompressor(level=level, write_checksum=False) for level in (1, 3))
    assert compress(data, 3) == (ZSTD, quick.compress(data))
    assert len(quick.compress(data)) < len(thorough.compress(data)) * 1.01


def test_who_asks_for_a_high_level_gets_it() -> None:
    """A level that was chosen for its size is not lowered."""
    data = bytes(byte % 100 for byte in noise(256 << 10))
    assert compress(data, 9) == (ZSTD, zstandard.ZstdCompressor(level=9, write_checksum=False).compress(data))


@pytest.mark.parametrize("size", [100, 64 << 10, 256 << 10])
def test_noise_is_kept_as_it_is(size: int) -> None:
    """Incompressible bytes stay raw, the very object, so that they cost a probe and no copy."""
    data = noise(size)
    codec, packed = compress(data, 1)
    assert codec == RAW
    assert packed is data


def test_the_input_may_be_any_buffer() -> None:
    """Parts of a read buffer are compressed without a copy."""
    data = bytearray(b"abc" * 50_000)
    codec, packed = compress(memoryview(data)[3:], 1)
    assert decompress(codec, bytes(packed), len(data) - 3) == data[3:]


@pytest.mark.parametrize("declared", [0, 99, 101])
@pytest.mark.parametrize("codec", [RAW, ZSTD])
def test_another_length_than_declared_is_refused(codec: int, declared: int) -> None:
    """A blob opens to exactly its authenticated raw length or not at all."""
    packed = bytes(100) if codec == RAW else zstandard.compress(bytes(100))
    with pytest.raises(CodecError, match="declared"):
        decompress(codec, packed, declared)


def test_a_bomb_allocates_nothing() -> None:
    """A frame that says how much it opens to is refused before a byte of that is allocated."""
    packed = bomb(BOMB_BYTES)
    assert len(packed) < 1 << 20
    tracemalloc.start()
    try:
        with pytest.raises(CodecError):
            decompress(ZSTD, packed, 1 << 20)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


def test_a_frame_that_lies_about_its_length_is_refused() -> None:
    """A header that declares less than the frame holds doesn't make the opener write beyond it."""
    honest = zstandard.ZstdCompressor(write_content_size=True).compress(bytes(300))
    lying = honest.replace((300 - 256).to_bytes(2, "little"), (100).to_bytes(2, "little"), 1)
    assert zstandard.frame_content_size(lying) == 100 + 256
    with pytest.raises(CodecError):
        decompress(ZSTD, lying, 100 + 256)


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\x28\xb5\x2f\xfd",
        b"garbage",
        zstandard.compress(b"a" * 100)[:-3],
        zstandard.compress(b"a" * 100) + b"x",
    ],
    ids=["empty", "magic", "garbage", "cut", "extended"],
)
def test_malformed_frames_are_one_error(packed: bytes) -> None:
    """Cut, extended and foreign frames are `CodecError`, never the library's own error."""
    with pytest.raises(CodecError):
        decompress(ZSTD, packed, 100)


@pytest.mark.parametrize("codec", [2, 3, 4, 5, 255])
def test_codecs_of_later_releases_are_refused(codec: int) -> None:
    """The reserved numbers are not guessed at."""
    with pytest.raises(CodecError, match="unknown codec"):
        decompress(codec, b"", 0)
