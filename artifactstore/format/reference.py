"""References: what a version says of bytes that lie outside the store, and the one text it is kept as.

The text is three lines, the URL, the checksum and the object's version, so that a page of files pays nothing for the
kind. Nothing in it may be a secret: a URL with a user's name or password is refused here, on both ways.
"""

import re
from typing import Final

import msgspec
from blake3 import blake3

from artifactstore.format.limits import PATH_BYTES_MAX

_DIGEST: Final = b"artifactstore reference v1\0"
_URL = re.compile(r"[a-z][a-z0-9+.-]{0,31}://[^/?#\s@]*(?:/[^\s#]*)?")
_CHECKSUM = re.compile(r"[a-z0-9]{1,16}:[\x21-\x7e]{1,256}")
_VERSION = re.compile(r"[\x21-\x7e]{1,1024}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_LINES: Final = 3


class Reference(msgspec.Struct, frozen=True):
    """Bytes that lie elsewhere, and how to know them again.

    Attributes:
        url: Where they lie, without credentials.
        size_bytes: How many they are; 0 where there is no checksum, since nobody has looked.
        checksum: How to know them again, as `algorithm:value`: `blake3:` and `md5:` with a hex digest of the bytes,
            `etag:` with what the server calls them; empty for none.
        version: The version of the object, where its backend keeps versions; else empty.
    """

    url: str
    size_bytes: int = 0
    checksum: str = ""
    version: str = ""


def url_problem(url: str) -> str:
    """Say why a reference may not name this URL; empty when it may."""
    if "@" in url.partition("://")[2].partition("/")[0].partition("?")[0]:
        return "it holds a user's name or password"
    if len(url.encode(errors="replace")) > PATH_BYTES_MAX:
        return f"it is longer than {PATH_BYTES_MAX} bytes"
    if _CONTROL.search(url) or not _URL.fullmatch(url):
        return "it is not of the form scheme://host/path, without spaces and '#'"
    return ""


def reference_problem(reference: Reference) -> str:
    """Say why a version can't hold this reference; empty when it can."""
    problem = url_problem(reference.url)
    if problem:
        return problem
    if reference.checksum and not _CHECKSUM.fullmatch(reference.checksum):
        return "its checksum is not of the form algorithm:value"
    if reference.version and not _VERSION.fullmatch(reference.version):
        return "its object version is not printable"
    if reference.size_bytes and not reference.checksum:
        return "it has a size and no checksum"
    if len(reference_text(reference).encode(errors="replace")) > PATH_BYTES_MAX:
        return f"it takes more than {PATH_BYTES_MAX} bytes"
    return ""


def reference_text(reference: Reference) -> str:
    """What the entry of a reference keeps as its target."""
    return f"{reference.url}\n{reference.checksum}\n{reference.version}"


def parse_reference(text: str, size_bytes: int) -> Reference | None:
    """The reference that an entry keeps; None when it is none that an honest writer makes."""
    lines = text.split("\n")
    if len(lines) != _LINES:
        return None
    reference = Reference(lines[0], size_bytes, lines[1], lines[2])
    return None if reference_problem(reference) else reference


def reference_digest(text: str) -> bytes:
    """The digest of a reference's entry: of where it points and how it is known, as it is not of bytes kept here."""
    return blake3(_DIGEST + text.encode()).digest()
