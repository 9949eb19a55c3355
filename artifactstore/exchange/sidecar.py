"""What an exported version carries beside its files: JSON members with what stands outside of them.

`.artifactstore-version.json` holds type, description, metadata, aliases and labels, where they were asked for;
`.artifactstore-references.json` holds the references of a version that has some. Keys are sorted and nothing in them
depends on the store or on time, so that an export of an import has the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from artifactstore.format.reference import Reference
from artifactstore.ids import LATEST
from artifactstore.store import Version

SIDECAR_PATH: Final = ".artifactstore-version.json"
REFERENCES_PATH: Final = ".artifactstore-references.json"
SIDECAR_BYTES_MAX: Final = 64 << 20
_FORMAT: Final = "artifactstore-version"
_REFERENCES: Final = "artifactstore-references"


class _Listed(msgspec.Struct, frozen=True):
    """A reference: its path in the version, and what it says."""

    path: str
    url: str
    size_bytes: int = 0
    checksum: str = ""
    version: str = ""


class _Listing(msgspec.Struct, frozen=True):
    """All references of a version."""

    format: str
    layout: int
    references: list[_Listed]


class Sidecar(msgspec.Struct, frozen=True, kw_only=True):
    """What the member says; names that a later release adds are passed over.

    Attributes:
        format: `artifactstore-version`.
        layout: 1.
        artifact: `project/name` of where it was exported; None without metadata.
        type: The artifact's type.
        digest: The version's digest.
        description: Free text.
        metadata: A JSON object.
        aliases: Aliases, without `latest`.
        tags: Labels.
    """

    format: str
    layout: int
    artifact: str | None = None
    type: str | None = None
    digest: str | None = None
    description: str = ""
    metadata: dict[str, Any] = {}
    aliases: list[str] = []
    tags: list[str] = []


def encode_sidecar(version: Version) -> bytes:
    """The member's bytes."""
    return _encoded(
        {
            "format": _FORMAT,
            "layout": 1,
            "artifact": version.artifact,
            "type": version.type,
            "digest": version.digest,
            "description": version.description,
            "metadata": version.metadata,
            "aliases": sorted(alias for alias in version.aliases if alias != LATEST),
            "tags": sorted(version.tags),
        }
    )


def encode_references(references: Sequence[tuple[str, Reference]]) -> bytes:
    """The bytes of the member that lists references: their paths, and what they say."""
    listed = [{"path": path, **msgspec.to_builtins(one)} for path, one in references]
    return _encoded({"format": _REFERENCES, "layout": 1, "references": listed})


def decode_references(data: bytes) -> list[tuple[str, Reference]] | None:
    """The references that a member of that name lists; None when it is some other file."""
    try:
        found = msgspec.json.decode(data, type=_Listing)
    except (msgspec.MsgspecError, RecursionError):
        return None
    if (found.format, found.layout) != (_REFERENCES, 1):
        return None
    return [
        (one.path, Reference(one.url, one.size_bytes, one.checksum, one.version)) for one in found.references
    ]


def _encoded(said: Mapping[str, object]) -> bytes:
    return (json.dumps(said, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def decode_sidecar(data: bytes) -> Sidecar | None:
    """What a member of that name says; None when it is some other file."""
    try:
        found = msgspec.json.decode(data, type=Sidecar)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return found if (found.format, found.layout) == (_FORMAT, 1) else None
