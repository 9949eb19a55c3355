"""What an exported version carries beside its files: a JSON member with what stands outside the digest.

`.artifactstore-version.json` holds type, description, metadata, aliases and labels where they were asked for, and the
references of a version that has some. Keys are sorted and nothing in it depends on the store or on time, so that an
export of an import has the same bytes.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from artifactstore.ids import LATEST
from artifactstore.store import Version

SIDECAR_PATH: Final = ".artifactstore-version.json"
SIDECAR_BYTES_MAX: Final = 64 << 20
_FORMAT: Final = "artifactstore-version"


class Reference(msgspec.Struct, frozen=True, omit_defaults=True):
    """An entry whose bytes lie outside the store, as the sidecar names it."""

    path: str
    url: str
    size: int | None = None
    facts: dict[str, str] = {}


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
        references: Entries that hold a reference instead of bytes.
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
    references: list[Reference] = []


def encode_sidecar(version: Version, references: Sequence[Reference], *, with_metadata: bool) -> bytes:
    """The member's bytes."""
    said: Mapping[str, object] = {"format": _FORMAT, "layout": 1}
    if with_metadata:
        said = {
            **said,
            "artifact": version.artifact,
            "type": version.type,
            "digest": version.digest,
            "description": version.description,
            "metadata": version.metadata,
            "aliases": sorted(alias for alias in version.aliases if alias != LATEST),
            "tags": sorted(version.tags),
        }
    if references:
        said = {**said, "references": [msgspec.to_builtins(one) for one in references]}
    return (json.dumps(said, sort_keys=True, indent=2, ensure_ascii=False) + "\n").encode()


def decode_sidecar(data: bytes) -> Sidecar | None:
    """What a member of that name says; None when it is some other file."""
    try:
        found = msgspec.json.decode(data, type=Sidecar)
    except (msgspec.MsgspecError, RecursionError):
        return None
    return found if (found.format, found.layout) == (_FORMAT, 1) else None
