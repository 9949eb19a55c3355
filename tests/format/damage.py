"""What a hostile or unlucky backend hands to a decoder, and what a decoder may do with it."""

import tracemalloc
from collections.abc import Callable, Iterator

from hypothesis import strategies as st

from artifactstore.errors import ArtifactStoreError

# A decoder may take memory for what is there, never for what is declared: a small multiple of the input, and some
# for the interpreter's own caches.
BYTES_PER_BYTE_MAX = 64
BYTES_BASE_MAX = 256 << 10


def damaged(data: bytes, drawn: st.DataObject) -> Iterator[bytes]:
    """Yield `data` altered in one byte, cut, extended, and with a few bytes replaced by noise."""
    at = drawn.draw(st.integers(0, len(data) - 1), label="at")
    flip = drawn.draw(st.integers(1, 255), label="flip")
    noise = drawn.draw(st.binary(min_size=1, max_size=9), label="noise")
    yield data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :]
    yield data[:at]
    yield data + noise
    yield data[:at] + noise + data[at + len(noise) :]
    yield data[:at] + noise + data[at:]


def refused_or_read(decode: Callable[[bytes], object], data: bytes) -> object | None:
    """What it decodes to, None when it is refused with an error of ours; any other exception is a failure.

    Memory beyond a small multiple of the input is a failure too.
    """
    tracemalloc.start()
    try:
        found: object | None = decode(data)
    except ArtifactStoreError:
        found = None
    finally:
        peak_bytes = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak_bytes <= BYTES_BASE_MAX + BYTES_PER_BYTE_MAX * len(data)
    return found


HOSTILE = [
    b"",
    b"\x90",
    b"\xc0",
    b"\xc1",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x00",
    b"\xdc\xff\xff" + b"\xc0" * 100,
    b"\x91" * 20_000,
    b"\x81\xa0" * 20_000,
    b"\x93" + b"\xdd\x00\xff\xff\xff" * 3,
    b"\x9f" + b"\xcf" + b"\xff" * 8,
    b"\xa4\xed\xa0\x80\xff",
]
"""Bytes that declare more than they hold, nest without end, or are no text."""
