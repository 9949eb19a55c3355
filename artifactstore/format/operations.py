"""What the sealed part of a record says: who wrote it, keys of its packs, index rows, catalog operations.

Each operation is a tagged array, its tag first. A reader that does not know a tag stops with `NewerStore`: a feature
flag in the clear part announced it.
"""

from typing import Any

import msgspec

from artifactstore.format.coding import decoder_of, encode

Metadata = dict[str, Any]


class Manifest(msgspec.Struct, array_like=True, frozen=True):
    """The root of a version's manifest.

    Attributes:
        cid: The root page's cid.
        level: The root page's level.
        digest: The version's digest.
        size: Logical bytes of its files.
        entries: Number of its entries.
    """

    cid: bytes
    level: int
    digest: bytes
    size: int
    entries: int


class Push(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="push"):
    """Make a version, unless its digest equals that of the artifact's newest one.

    Attributes:
        project: The project's name.
        name: The artifact's name.
        type: The artifact's type, set by its first version.
        manifest: What the version holds.
        description: Free text, or None to keep what an equal version has.
        metadata: A JSON object, or None likewise.
        aliases: Aliases to point at the version.
        tags: Labels to put on it.
        new_bytes: Raw bytes of chunks that were new to the store.
        stored_bytes: Bytes of the packs that the push added.
        packs: Names of the packs it uses that the version before it did not; advisory.
    """

    project: str
    name: str
    type: str
    manifest: Manifest
    description: str | None
    metadata: Metadata | None
    aliases: list[str]
    tags: list[str]
    new_bytes: int
    stored_bytes: int
    packs: list[bytes]


class Alias(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="alias"):
    """Point aliases at a version, or remove them (`number` None)."""

    project: str
    name: str
    number: int | None
    aliases: list[str]


class Tag(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="tag"):
    """Put labels on a version, or take them off."""

    project: str
    name: str
    number: int
    add: list[str]
    remove: list[str]


class Pending(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="pending"):
    """Register packs of a push that is still running, under the push's own random id."""

    push: bytes


class PendingDone(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="pending-done"):
    """The push whose pending records these were has committed; its chunks are no roots of their own any more."""

    push: bytes


Operation = Push | Alias | Tag | Pending | PendingDone


class Parameters(msgspec.Struct, array_like=True, frozen=True):
    """What record 0 fixes for the whole store.

    Attributes:
        general_average: Average chunk bytes of the `general` profile.
        weights_average: Average chunk bytes of the `weights` profile.
        normalized: FastCDC's normalization level.
        pack_bytes: Target size of a pack.
        blob_bytes: Target raw size of a solid blob.
    """

    general_average: int
    weights_average: int
    normalized: int
    pack_bytes: int
    blob_bytes: int


class Sealed(msgspec.Struct, array_like=True, frozen=True):
    """The sealed part of a record.

    Attributes:
        member: The slot key id that the writer claims.
        pack_keys: Keys of the packs in the clear part, in the same order.
        rows: Index segments of those packs, inline; empty when they are in index packs.
        operations: Catalog operations, in order.
        parameters: The store's parameters, in record 0 only.
        index_packs: In a record that names a state: all current index packs, this record's own included. Those
            that it leaves out were merged into others.
    """

    member: bytes
    pack_keys: list[bytes]
    rows: list[bytes]
    operations: list[Operation]
    parameters: Parameters | None
    index_packs: list[bytes] | None


decode_sealed = decoder_of(Sealed, "a record's sealed part")


def encode_sealed(sealed: Sealed) -> bytes:
    """Encode a sealed part's plaintext."""
    return encode(sealed)
