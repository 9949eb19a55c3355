"""What the sealed part of a record says: who wrote it, keys of its packs, index rows, catalog operations.

Each operation is a tagged array, its tag first. A record with an operation that is malformed applies nothing. One of a
later release is announced by a feature flag in the clear part, so that a reader which doesn't know it has stopped.
"""

import math
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from artifactstore.errors import Damaged
from artifactstore.format.coding import (
    AliasName,
    Bytes16,
    Bytes32,
    Count,
    Name,
    Number,
    Size,
    TimeMs,
    decoder_of,
    encode,
)
from artifactstore.format.limits import (
    DESCRIPTION_BYTES_MAX,
    METADATA_DEPTH_MAX,
    NUMBERS_PER_OPERATION_MAX,
    PAGE_LEVEL_MAX,
    PARTS_MAX,
    REASON_CHARACTERS_MAX,
    RETENTION_TAGS_MAX,
    SLOT_MAX,
)
from artifactstore.format.run_operations import RunOperation, RunStarted, RunUpdated
from artifactstore.format.segment import decode_segment

Metadata = dict[str, Any]
_Description = Annotated[str, Meta(max_length=DESCRIPTION_BYTES_MAX)]
_Reason = Annotated[str, Meta(max_length=REASON_CHARACTERS_MAX)]
_Numbers = Annotated[list[Number], Meta(min_length=1, max_length=NUMBERS_PER_OPERATION_MAX)]
_Files = Annotated[list[Bytes32], Meta(min_length=1, max_length=NUMBERS_PER_OPERATION_MAX)]
_Part = Annotated[int, Meta(ge=0, lt=PARTS_MAX)]
_INTEGER_MIN, _INTEGER_MAX = -(1 << 63), (1 << 64) - 1


class Manifest(msgspec.Struct, array_like=True, frozen=True):
    """The root of a version's manifest.

    Attributes:
        cid: The root page's cid.
        level: The root page's level.
        digest: The version's digest.
        size: Logical bytes of its files.
        entries: Number of its entries.
        chunks: Over every chunk that it holds: the root page's `chunks_root`.
    """

    cid: Bytes32
    level: Annotated[int, Meta(ge=0, le=PAGE_LEVEL_MAX)]
    digest: Bytes32
    size: Size
    entries: Size
    chunks: Bytes32


class Source(msgspec.Struct, array_like=True, frozen=True):
    """The version that a link stands for."""

    project: Name
    name: Name
    number: Number


class Push(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="push"):
    """Make a version, unless its digest equals that of the artifact's newest one.

    With a source it makes a link: a version of a collection, which holds what the source holds.

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
        salt: Random; what the salts of the version's commitment follow from.
        run: Id of the run that produced it; None where that is not told.
        source: The version that it links into a collection; None for a version of its own.
    """

    project: Name
    name: Name
    type: Name
    manifest: Manifest
    description: _Description | None
    metadata: Metadata | None
    aliases: list[AliasName]
    tags: list[Name]
    new_bytes: Size
    stored_bytes: Size
    packs: list[Bytes32]
    salt: Bytes32
    run: Bytes16 | None
    source: Source | None = None


class Alias(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="alias"):
    """Point aliases at a version, or remove them (`number` None).

    Attributes:
        project: The project's name.
        name: The artifact's name.
        number: The version; None removes them.
        aliases: All are moved, or none.
        expected: Where each of them must stand before: a number, or nowhere when empty; None for wherever.
    """

    project: Name
    name: Name
    number: Number | None
    aliases: list[AliasName]
    expected: Annotated[list[Number], Meta(max_length=1)] | None = None


class Describe(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="describe"):
    """Change what is said of a version outside its digest.

    Attributes:
        project: The project's name.
        name: The artifact's name.
        number: The version.
        description: Free text; None keeps it.
        metadata: What to say under these keys.
        remove: Keys to take away first.
        replace: Whether all other keys go.
    """

    project: Name
    name: Name
    number: Number
    description: _Description | None
    metadata: Metadata
    remove: Annotated[list[str], Meta(max_length=NUMBERS_PER_OPERATION_MAX)]
    replace: bool


class Rename(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="rename"):
    """Give an artifact or, where no names of artifacts are given, a project another name; the old ones go on answering.

    Attributes:
        project: The project's name.
        name: The artifact's name; None for the project itself.
        to_project: The project's new name, or the project that the artifact goes to.
        to_name: The artifact's new name; None for the project itself.
    """

    project: Name
    name: Name | None
    to_project: Name
    to_name: Name | None


class Tag(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="tag"):
    """Put labels on a version, or take them off."""

    project: Name
    name: Name
    number: Number
    add: list[Name]
    remove: list[Name]


class Delete(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="delete"):
    """Hide versions; their bytes stay until they are purged.

    Attributes:
        project: The project's name.
        name: The artifact's name.
        numbers: The versions.
        force: Delete also what an alias other than `latest` points at.
        now: Let the next sweep purge them, without the store's grace period.
        reason: Why, in the words of whoever asked; may be empty.
        requested_by: Who asked for it; may be empty.
    """

    project: Name
    name: Name
    numbers: _Numbers
    force: bool
    now: bool
    reason: _Reason
    requested_by: _Reason


class Undelete(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="undelete"):
    """Show deleted versions again; aliases that they had do not come back."""

    project: Name
    name: Name
    numbers: _Numbers


class Configure(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="configure"):
    """Set what holds for the whole store.

    Attributes:
        grace_ms: How long a deleted version can be brought back at least, in milliseconds.
    """

    grace_ms: TimeMs


class Replace(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="replace"):
    """Put a successor in the place of a version, which is deleted and purged by the next sweep.

    Attributes:
        project: The project's name.
        name: The artifact's name.
        number: The version that is replaced.
        manifest: What its successor holds.
        new_bytes: As in `Push`.
        stored_bytes: As in `Push`.
        packs: As in `Push`.
        salt: As in `Push`.
        reason: As in `Delete`.
        requested_by: As in `Delete`.
    """

    project: Name
    name: Name
    number: Number
    manifest: Manifest
    new_bytes: Size
    stored_bytes: Size
    packs: list[Bytes32]
    salt: Bytes32
    reason: _Reason
    requested_by: _Reason


class Deny(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="deny"):
    """Refuse files from now on, whoever pushes or undeletes them.

    Attributes:
        files: Their digests, hashed under the store's deny key.
        reason: Why, in the words of whoever asked; may be empty.
        requested_by: Who asked for it; may be empty.
    """

    files: _Files
    reason: _Reason
    requested_by: _Reason


class Allow(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="allow"):
    """Refuse these files no longer."""

    files: _Files


class Expire(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="expire"):
    """Say from when on a version is to be deleted by whoever applies retention; None for never."""

    project: Name
    name: Name
    number: Number
    expires_ms: TimeMs | None


class Retention(msgspec.Struct, array_like=True, frozen=True):
    """Which versions of an artifact are kept: those that any of the rules keeps.

    Attributes:
        last: So many of the newest.
        daily: The newest of each of so many days that have one, in UTC.
        weekly: Likewise of ISO weeks.
        monthly: Likewise of months.
        aliased: Those that an alias other than `latest` points at.
        tags: Those with one of these labels.
        age_ms: Those that are younger.
    """

    last: Count
    daily: Count
    weekly: Count
    monthly: Count
    aliased: bool
    tags: Annotated[list[Name], Meta(max_length=RETENTION_TAGS_MAX)]
    age_ms: TimeMs


class Retain(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="retain"):
    """Set the retention policy of an artifact; None for none."""

    project: Name
    name: Name
    policy: Retention | None


class Pending(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="pending"):
    """Register packs of a push that is still running, under the push's own random id."""

    push: Bytes16


class PendingDone(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="pending-done"):
    """The push whose pending records these were has committed; its chunks are no roots of their own any more."""

    push: Bytes16


class Begin(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="begin"):
    """Begin a distributed push, of which many each make a part, under its own random id.

    Attributes:
        push: The push's id.
        project: As in `Push`, for the version that the push is to make.
        name: As in `Push`.
        type: As in `Push`.
        parts: How many parts there are to be, numbered from 0.
        description: As in `Push`.
        metadata: As in `Push`.
        aliases: As in `Push`.
        tags: As in `Push`.
    """

    push: Bytes16
    project: Name
    name: Name
    type: Name
    parts: Annotated[int, Meta(ge=1, le=PARTS_MAX)]
    description: _Description | None
    metadata: Metadata | None
    aliases: list[AliasName]
    tags: list[Name]


class Part(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="part"):
    """A part of a distributed push is finished; it takes the place of one that was finished under its number before.

    Attributes:
        push: The push's id.
        part: The part's number.
        manifest: What the part holds.
        new_bytes: As in `Push`.
        stored_bytes: As in `Push`.
        packs: As in `Push`.
    """

    push: Bytes16
    part: _Part
    manifest: Manifest
    new_bytes: Size
    stored_bytes: Size
    packs: list[Bytes32]


class PartDropped(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="part-dropped"):
    """Forget finished parts of a distributed push, which are to be made again."""

    push: Bytes16
    parts: Annotated[list[_Part], Meta(min_length=1, max_length=PARTS_MAX)]


class Ended(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="ended"):
    """A distributed push has ended: by the push of this very record, or because it was given up."""

    push: Bytes16
    committed: bool


class Damage(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="damage"):
    """Say which packs are damaged: nothing is deduplicated against them, and they are read only where nothing else is.

    Attributes:
        damaged: Names of packs found damaged.
        whole: Names of packs that were, and are whole again.
    """

    damaged: list[Bytes32]
    whole: list[Bytes32]


class Adopt(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="adopt"):
    """Acknowledge that the bucket was set back: a client had seen another log, and goes on with this one.

    Attributes:
        slots: How many slots it had seen.
        root: The Merkle root over them.
    """

    slots: Annotated[int, Meta(ge=1, le=SLOT_MAX)]
    root: Bytes32


class SlotAdded(msgspec.Struct, array_like=True, frozen=True, tag_field="operation", tag="slot-added"):
    """A slot key was added to the keys object that the record names.

    Attributes:
        id: The slot key's id.
        name: What its owner is called.
    """

    id: Bytes16
    name: Name


Operation = (
    Push
    | Alias
    | Describe
    | Rename
    | Tag
    | Delete
    | Undelete
    | Replace
    | Deny
    | Allow
    | Expire
    | Retain
    | Configure
    | Pending
    | PendingDone
    | Begin
    | Part
    | PartDropped
    | Ended
    | Damage
    | Adopt
    | SlotAdded
    | RunOperation
)


class Parameters(msgspec.Struct, array_like=True, frozen=True):
    """What record 0 fixes for the whole store.

    Attributes:
        general_average: Average chunk bytes of the `general` profile.
        weights_average: Average chunk bytes of the `weights` profile.
        normalized: FastCDC's normalization level.
        pack_bytes: Target size of a pack.
        blob_bytes: Target raw size of a solid blob.
    """

    general_average: Count
    weights_average: Count
    normalized: Count
    pack_bytes: Count
    blob_bytes: Count


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

    member: Bytes16
    pack_keys: list[Bytes32]
    rows: list[bytes]
    operations: list[Operation]
    parameters: Parameters | None
    index_packs: list[Bytes32] | None


_decode = decoder_of(Sealed, "a record's sealed part")


def decode_sealed(data: bytes, where: str) -> Sealed:
    """Parse a sealed part, with everything in it that could fail later.

    Raises:
        Damaged: It is malformed.
    """
    sealed = _decode(data, where)
    for segment in sealed.rows:
        decode_segment(segment, where)
    for operation in sealed.operations:
        for said in _said(operation):
            problem = metadata_problem(said)
            if problem:
                raise Damaged(f"{where}: metadata {problem}", object=where)
    return sealed


def _said(operation: Operation) -> tuple[Metadata | None, ...]:
    """The JSON objects that an operation carries."""
    match operation:
        case Push(metadata=metadata) | Begin(metadata=metadata) | Describe(metadata=metadata):
            return (metadata,)
        case RunStarted(config=config, host=host):
            return (config, host)
        case RunUpdated(config=config):
            return (config,)
        case _:
            return ()


def metadata_problem(metadata: Metadata | None) -> str:
    """Say why a version can't carry this metadata; empty when it can.

    It must be what both JSON and MessagePack can say: text, numbers, booleans, null, lists, and objects with text as
    keys; what stands in it lies at most 64 deep.
    """
    level: list[Any] = [metadata]
    for _ in range(METADATA_DEPTH_MAX):
        below: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                if not all(isinstance(key, str) for key in value):
                    return "has a key that is not text"
                if not all(map(is_unicode, value)):
                    return "has a key that is no Unicode"
                below.extend(value.values())
            elif isinstance(value, list):
                below.extend(value)
            elif isinstance(value, str) and not is_unicode(value):
                return "holds text that is no Unicode"
            elif not _is_plain(value):
                return f"holds {value!r:.40}, which JSON or MessagePack can't say"
        level = below
    return f"is nested more than {METADATA_DEPTH_MAX} deep" if level else ""


def is_unicode(text: str) -> bool:
    """Whether a text can be stored: one with half of a surrogate pair can't."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _is_plain(value: object) -> bool:
    if isinstance(value, bool | None | str):
        return True
    if isinstance(value, int):
        return _INTEGER_MIN <= value <= _INTEGER_MAX
    return isinstance(value, float) and math.isfinite(value)


def encode_sealed(sealed: Sealed) -> bytes:
    """Encode a sealed part's plaintext."""
    return encode(sealed)
