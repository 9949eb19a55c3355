"""MessagePack to typed structs and back, the encoding of everything structured in format v1.

Every struct is an array: fields have positions, not names. Bytes that were received are hashed and verified as
they came and never encoded again. msgspec refuses a declared length beyond the input before it allocates.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from artifactstore.errors import Damaged

T = TypeVar("T")

_encoder = msgspec.msgpack.Encoder()
encode: Callable[[Any], bytes] = _encoder.encode


def decoder_of(kind: type[T], what: str) -> Callable[[bytes | memoryview, str], T]:
    """Return a function that decodes bytes to `kind`, naming `what` and the object when it can't.

    The returned function takes the bytes and the name of the object they came from, and raises `Damaged`.
    """
    decode = msgspec.msgpack.Decoder(kind).decode

    def decode_or_damaged(data: bytes | memoryview, where: str) -> T:
        try:
            return decode(data)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError) as error:
            raise Damaged(f"{where}: {what} is malformed ({error})", object=where) from error

    return decode_or_damaged
