"""MessagePack to typed structs and back, the encoding of everything structured in format v1.

Every struct is an array: fields have positions, not names. Bytes that were received are hashed and verified as
they came and never encoded again. msgspec refuses a declared length beyond the input before it allocates.
"""

from collections.abc import Callable
from typing import Annotated, Any, Final, TypeAlias, TypeVar

import msgspec
from msgspec import Meta

from artifactstore.errors import Damaged
from artifactstore.format.limits import (
    FILE_BYTES_MAX,
    MEMBER_BYTES,
    PUSH_ID_BYTES,
    SLOT_MAX,
    TIME_MS_MAX,
    VERSION_NUMBER_MAX,
)

T = TypeVar("T")

# Bounds that hold wherever such a field occurs; msgspec checks them while it decodes.
Bytes16: TypeAlias = Annotated[bytes, Meta(min_length=16, max_length=16)]
Bytes32: TypeAlias = Annotated[bytes, Meta(min_length=32, max_length=32)]
Slot: TypeAlias = Annotated[int, Meta(ge=0, le=SLOT_MAX)]
Size: TypeAlias = Annotated[int, Meta(ge=0, le=FILE_BYTES_MAX)]
Number: TypeAlias = Annotated[int, Meta(ge=0, le=VERSION_NUMBER_MAX)]
TimeMs: TypeAlias = Annotated[int, Meta(ge=0, le=TIME_MS_MAX)]
SmallInt: TypeAlias = Annotated[int, Meta(ge=0, le=255)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 32) - 1)]

NAME_PATTERN: Final = "[A-Za-z0-9][A-Za-z0-9._-]{0,127}"
Name: TypeAlias = Annotated[str, Meta(pattern=rf"\A{NAME_PATTERN}\Z")]
# `latest` follows the newest version by itself, and `v3` would be taken for a number.
AliasName: TypeAlias = Annotated[str, Meta(pattern=rf"\A(?!latest\Z)(?![vV][0-9]+\Z){NAME_PATTERN}\Z")]

assert MEMBER_BYTES == PUSH_ID_BYTES == 16  # noqa: PLR2004 - both are Bytes16

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
