"""Tokens of distributed pushes: which store, which push, how many parts, in one word that can be copied anywhere.

A token is no secret: without a key of the store it opens nothing, and it names no artifact.
"""

from base64 import b32decode, b32encode
from binascii import Error as NotBase32
from hashlib import sha256
from typing import Final, NamedTuple

from artifactstore.errors import InvalidToken
from artifactstore.format.limits import PARTS_MAX, PUSH_ID_BYTES

_PREFIX: Final = "push-"
_STORE_BYTES: Final = 8
_CHECK_BYTES: Final = 4
_BYTES: Final = _STORE_BYTES + PUSH_ID_BYTES + 2 + _CHECK_BYTES

assert _BYTES % 5 == 0  # so that base32 needs no padding


class Token(NamedTuple):
    """What a token says.

    Attributes:
        store: The first bytes of the store's id.
        push: The push's id.
        parts: How many parts it has.
    """

    store: bytes
    push: bytes
    parts: int


def make_token(store_id: bytes, push: bytes, parts: int) -> str:
    """The token of a push."""
    said = store_id[:_STORE_BYTES] + push + parts.to_bytes(2, "big")
    return _PREFIX + b32encode(said + _check(said)).decode().lower()


def parse_token(text: str, store_id: bytes) -> Token:
    """Read a token of a store.

    Raises:
        InvalidToken: It is none, was not copied whole, or is of another store.
    """
    word = text.strip().lower()
    try:
        data = b32decode(word.removeprefix(_PREFIX).upper())
    except (NotBase32, ValueError):
        data = b""
    said, check = data[:-_CHECK_BYTES], data[-_CHECK_BYTES:]
    if not word.startswith(_PREFIX) or len(data) != _BYTES or _check(said) != check:
        raise InvalidToken(f"{text!r} is not the token of a distributed push, or not all of it", token=text)
    token = Token(said[:_STORE_BYTES], said[_STORE_BYTES:-2], int.from_bytes(said[-2:], "big"))
    if not 1 <= token.parts <= PARTS_MAX:
        raise InvalidToken(f"{text!r} is not the token of a distributed push", token=text)
    if token.store != store_id[:_STORE_BYTES]:
        raise InvalidToken(
            f"the token {text!r} is of another store, whose id begins with {token.store.hex()}",
            next_step="open the store in which the push was begun (--store URL)",
            token=text,
            store=token.store.hex(),
        )
    return token


def _check(said: bytes) -> bytes:
    return sha256(b"artifactstore token\0" + said).digest()[:_CHECK_BYTES]
