"""Commitments: what a record says in clear of a version that it makes, and of one that a sweep purges.

A commitment binds its writer and says nothing to others: each field is hashed with a salt of its own, so that one can
be shown to somebody without the others. The salts follow from 32 random bytes that members read.
"""

import hmac
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Final

from artifactstore.format.limits import CID_PREFIX_BYTES
from artifactstore.format.operations import Manifest, Operation, Push, Replace

SALT_BYTES: Final = 32
# In this order they are hashed; both are part of the format.
VERSION_FIELDS: Final = ("project", "name", "digest", "page", "chunks")
_SALT: Final = b"artifactstore commitment salt\0"
_FIELD: Final = b"artifactstore commitment field\0"
_VERSION: Final = b"artifactstore commitment v1\0"


def field_salt(salt: bytes, field: str) -> bytes:
    """The salt of one field."""
    return hmac.digest(salt, _SALT + field.encode(), "sha256")


def field_hash(salt: bytes, value: bytes) -> bytes:
    """What stands for a value in a commitment; `salt` is that of the field."""
    return sha256(_FIELD + salt + value).digest()


def version_values(project: str, name: str, manifest: Manifest) -> dict[str, bytes]:
    """The fields of a version's commitment."""
    return {
        "project": project.encode(),
        "name": name.encode(),
        "digest": manifest.digest,
        "page": manifest.cid,
        "chunks": manifest.cid[:CID_PREFIX_BYTES] + manifest.chunks,
    }


def hashes_of(values: Mapping[str, bytes], salt: bytes) -> list[bytes]:
    """What stands for each of some fields, in their order."""
    return [field_hash(field_salt(salt, field), value) for field, value in values.items()]


def version_commitment(hashes: Sequence[bytes]) -> bytes:
    """The commitment of a version, from what stands for its fields."""
    return sha256(_VERSION + b"".join(hashes)).digest()


def commitment_of(project: str, name: str, manifest: Manifest, salt: bytes) -> bytes:
    """The commitment of a version that is pushed with this salt."""
    return version_commitment(hashes_of(version_values(project, name, manifest), salt))


def committed_by(operations: Sequence[Operation]) -> list[bytes]:
    """What a record with these operations must commit to: one commitment for each push or successor, in order."""
    return [
        commitment_of(made.project, made.name, made.manifest, made.salt)
        for made in operations
        if isinstance(made, Push | Replace)
    ]
