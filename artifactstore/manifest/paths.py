"""Which paths a version may hold: one rule for what is pushed and for what is pulled.

Relative POSIX paths in Unicode form NFC and UTF-8, without `..`, NUL, control characters, backslashes, drive letters or
names that Windows keeps for devices, so that every version can be pulled everywhere.
"""

import re
import unicodedata

from artifactstore.format.limits import PATH_BYTES_MAX

_CONTROL = re.compile(r"[\x00-\x1f\x7f\x80-\x9f]")
_DRIVE = re.compile(r"[A-Za-z]:")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(\..*)?", re.IGNORECASE)
# One look decides about nearly every path there is; the rest is explained part by part.
_PLAIN = re.compile(r"(?!\.{1,2}(?:/|$))[A-Za-z0-9_.+@=-]{1,200}(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9_.+@=-]{1,200}){0,18}")
_RESERVED_ANYWHERE = re.compile(r"(?:^|/)(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:[./]|$)", re.IGNORECASE)
NAME_BYTES_MAX = 255


def path_problem(path: str) -> str:
    """Say why a version may not hold `path`; empty when it may."""
    if _PLAIN.fullmatch(path) and not _RESERVED_ANYWHERE.search(path):
        return ""
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "it is not UTF-8"
    if not path:
        return "it is empty"
    if len(encoded) > PATH_BYTES_MAX:
        return f"it is longer than {PATH_BYTES_MAX} bytes"
    if _CONTROL.search(path):
        return "it holds a NUL or control character"
    if "\\" in path:
        return "it holds a backslash"
    if _DRIVE.match(path):
        return "it begins with a drive letter"
    if not path.isascii() and unicodedata.normalize("NFC", path) != path:
        return "it is not in Unicode form NFC"
    for part in path.split("/"):
        problem = _part_problem(part)
        if problem:
            return problem
    return ""


def _part_problem(part: str) -> str:
    if part in {"", ".", ".."}:
        return "it is absolute or holds an empty part, '.' or '..'"
    if len(part.encode()) > NAME_BYTES_MAX:
        return f"a part of it is longer than {NAME_BYTES_MAX} bytes"
    if _RESERVED.fullmatch(part):
        return f"{part!r} is a name that Windows keeps for a device"
    return ""


def fold(path: str) -> str:
    """What two paths have in common when they differ by case or Unicode form only."""
    if path.isascii():
        return path.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
