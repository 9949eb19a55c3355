"""The line by which somebody asks for access: a public key and a name, printable, with a checksum.

It holds nothing secret and may go through chat or mail; what counts is that the member who adds it got it from the
person it names. The line::

    artifactstore-key:1:ana:<43 characters of base64url>:<8 hex digits>

The checksum is the start of the SHA-256 of what stands before it: a line that was cut or wrapped is refused, not
sealed to.
"""

import base64
import binascii
import re
from typing import Final, NamedTuple

from artifactstore.crypto.hashing import sha256
from artifactstore.errors import UsageError
from artifactstore.format.coding import NAME_PATTERN

_CHECKSUM_DIGITS: Final = 8
_LINE: Final = re.compile(
    rf"(?P<signed>artifactstore-key:1:(?P<name>{NAME_PATTERN}):(?P<key>[A-Za-z0-9_-]{{43}}):)(?P<checksum>[0-9a-f]{{8}})",
    re.ASCII,
)


class KeyRequest(NamedTuple):
    """Who asks, and the public key to seal to."""

    name: str
    public: bytes


def request_line(request: KeyRequest) -> str:
    """The line to give to a member."""
    key = base64.urlsafe_b64encode(request.public).decode().rstrip("=")
    signed = f"artifactstore-key:1:{request.name}:{key}:"
    return signed + _checksum(signed)


def parse_request(line: str) -> KeyRequest:
    """Read a line that `request_line` made.

    Raises:
        UsageError: It is none, or was cut or altered on its way.
    """
    match = _LINE.fullmatch(line.strip())
    if match is None or _checksum(match["signed"]) != match["checksum"]:
        raise UsageError(
            "this is not a whole line of `artifactstore key request`",
            next_step="copy the line again, all of it: it begins with artifactstore-key:1:",
        )
    try:
        public = base64.urlsafe_b64decode(match["key"] + "=")
    except (binascii.Error, ValueError):  # pragma: no cover - the pattern lets nothing else through
        raise UsageError("the line holds no key") from None
    return KeyRequest(match["name"], public)


def _checksum(signed: str) -> str:
    return sha256(signed.encode()).hex()[:_CHECKSUM_DIGITS]
