"""The catalog's tables in the client index: artifacts, versions, aliases, links, names of slot keys.

Whatever asks for rows by a name may use any that the artifact ever had; what lists rows gives the first ones.
"""

from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX
from artifactstore.catalog.names import first_name, key_of, name_of, project_members
from artifactstore.format.coding import decoder_of, encode
from artifactstore.format.operations import Manifest, Retention, Source
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import ReadTransaction, WriteTransaction
from artifactstore.index.tables import ALIASES, ARTIFACTS, SLOTS, VERSIONS


class Deletion(msgspec.Struct, array_like=True, frozen=True):
    """That a version was deleted.

    Attributes:
        slot: The record that deleted it.
        time_ms: Advisory time of that record.
        member: Slot key id that its writer claimed.
        reason: Why; may be empty.
        requested_by: Who asked for it; may be empty.
        now: Whether the next sweep purges it, without the store's grace period.
    """

    slot: int
    time_ms: int
    member: bytes
    reason: str
    requested_by: str
    now: bool


class ArtifactRow(msgspec.Struct, array_like=True, frozen=True):
    """One artifact.

    Attributes:
        type: Set by its first version.
        next_number: The number its next version gets; numbers never recur.
        newest: The number of its newest version that is not deleted; None when all are.
        versions: How many it has that are not deleted.
        created_ms: Advisory time of its first version.
        updated_ms: Advisory time of its last change.
        retention: Its retention policy; None where it has none.
        collection: Whether its versions are links.
    """

    type: str
    next_number: int
    newest: int | None
    versions: int
    created_ms: int
    updated_ms: int
    retention: Retention | None
    collection: bool


class VersionRow(msgspec.Struct, array_like=True, frozen=True):
    """One version.

    Attributes:
        manifest: Its root page and totals.
        description: Free text.
        metadata: A JSON object.
        tags: Labels, sorted.
        created_ms: Advisory time.
        slot: The record that made it.
        member: Slot key id that its writer claimed.
        new_bytes: Raw bytes of chunks that were new when it was pushed.
        stored_bytes: Bytes of packs added by its push.
        packs: Names of packs it uses that the version before it did not; advisory.
        deleted: Its deletion; None while it is shown.
        salt: What the salts of its commitment follow from.
        place: The number of the version in whose place it stands, of a successor that a takedown made; else None.
        expires_ms: From when on retention deletes it; None for never.
        source: The version that it is a link of, by the first name of its artifact; None where it is none.
        said: Project and artifact as the push called them; None where it was by their first names.
        updated_ms: Advisory time of the last record that changed what is said of it outside its digest, or gave it an
            alias; None where none did.
    """

    manifest: Manifest
    description: str
    metadata: dict[str, Any]
    tags: list[str]
    created_ms: int
    slot: int
    member: bytes
    new_bytes: int
    stored_bytes: int
    packs: list[bytes]
    deleted: Deletion | None
    salt: bytes
    place: int | None
    expires_ms: int | None
    source: Source | None
    said: tuple[str, str] | None
    updated_ms: int | None


class SlotRow(msgspec.Struct, array_like=True, frozen=True):
    """What a record said of a slot key that it added.

    Attributes:
        name: What its owner is called.
        added_ms: Advisory time.
        slot: The record that added it.
        member: Slot key id that its writer claimed.
    """

    name: str
    added_ms: int
    slot: int
    member: bytes


_decode_artifact = decoder_of(ArtifactRow, "an artifact row")
_decode_version = decoder_of(VersionRow, "a version row")
_decode_slot = decoder_of(SlotRow, "a row of a slot key")


def artifact_key(txn: ReadTransaction, name: ArtifactName) -> bytes:
    """Key of an artifact; that of its versions and aliases begins with it."""
    return key_of(first_name(txn, name))


def _version_key(txn: ReadTransaction, name: ArtifactName, number: int) -> bytes:
    return artifact_key(txn, name) + b"\0" + number.to_bytes(8, "big")


def _alias_key(txn: ReadTransaction, name: ArtifactName, alias: str) -> bytes:
    return artifact_key(txn, name) + b"\0" + alias.encode()


def get_artifact(txn: ReadTransaction, name: ArtifactName) -> ArtifactRow | None:
    """One artifact, or None."""
    data = txn.get(ARTIFACTS, artifact_key(txn, name))
    return None if data is None else _decode_artifact(data, "index")


def put_changed(
    txn: WriteTransaction,
    name: ArtifactName,
    artifact: ArtifactRow,
    number: int,
    row: VersionRow,
    time_ms: int,
) -> None:
    """Write a version of which something outside its digest was changed: it says when, and so does its artifact."""
    put_version(txn, name, number, msgspec.structs.replace(row, updated_ms=time_ms))
    put_artifact(txn, name, msgspec.structs.replace(artifact, updated_ms=time_ms))


def put_artifact(txn: WriteTransaction, name: ArtifactName, row: ArtifactRow) -> None:
    """Write one artifact."""
    txn.put(ARTIFACTS, artifact_key(txn, name), encode(row))


def artifacts(txn: ReadTransaction, project: str | None = None) -> Iterator[tuple[ArtifactName, ArtifactRow]]:
    """Every artifact by its first name, or those that are in one project now."""
    if project is None:
        for key, data in txn.scan(ARTIFACTS):
            yield name_of(bytes(key)), _decode_artifact(data, "index")
        return
    for name in project_members(txn, project):
        row = get_artifact(txn, name)
        assert row is not None
        yield name, row


def get_version(txn: ReadTransaction, name: ArtifactName, number: int) -> VersionRow | None:
    """One version, or None."""
    data = txn.get(VERSIONS, _version_key(txn, name, number))
    return None if data is None else _decode_version(data, "index")


def versions_by_key(txn: ReadTransaction) -> Callable[[bytes], VersionRow | None]:
    """A function, for loops, that gives a version by the key that its row has; not to be kept beyond the block."""
    get = txn.getter(VERSIONS)

    def version(key: bytes) -> VersionRow | None:
        data = get(key)
        return None if data is None else _decode_version(data, "index")

    return version


def put_version(txn: WriteTransaction, name: ArtifactName, number: int, row: VersionRow) -> None:
    """Write one version."""
    txn.put(VERSIONS, _version_key(txn, name, number), encode(row))


def versions(txn: ReadTransaction, name: ArtifactName, since: int = 0) -> Iterator[tuple[int, VersionRow]]:
    """The versions of an artifact by number, from one number on."""
    prefix = artifact_key(txn, name) + b"\0"
    for key, data in txn.scan(VERSIONS, prefix, start=prefix + since.to_bytes(8, "big")):
        yield int.from_bytes(key[-8:], "big"), _decode_version(data, "index")


def packs_named(txn: ReadTransaction, name: ArtifactName, number: int) -> list[bytes]:
    """Packs that versions name, the likeliest to hold chunks of version `number` first.

    Its own come first; where those are few, those of versions before it by turns from both ends: most of what a version
    shares with the ones before it was added by the first of them or lately.
    """
    rows = [row for at, row in versions(txn, name) if at <= number]
    named = list(rows.pop().packs) if rows else []
    while rows and len(named) < PARALLEL_REQUESTS_MAX:
        named += rows.pop().packs
        named += rows.pop(0).packs if rows else []
    return list(dict.fromkeys(named))


def drop_version(txn: WriteTransaction, name: ArtifactName, number: int) -> None:
    """Remove one version."""
    txn.delete(VERSIONS, _version_key(txn, name, number))


def drop_artifact(txn: WriteTransaction, name: ArtifactName) -> None:
    """Remove an artifact, of which no version and no alias is left."""
    txn.delete(ARTIFACTS, artifact_key(txn, name))


def live_version(txn: ReadTransaction, name: ArtifactName, number: int | None) -> VersionRow | None:
    """One version that is not deleted, or None."""
    row = None if number is None else get_version(txn, name, number)
    return row if row is not None and row.deleted is None else None


def newest_live(
    txn: ReadTransaction, name: ArtifactName, *, slot: int | None = None
) -> tuple[int, VersionRow] | None:
    """The newest version of an artifact that is not deleted, as (number, row); a successor is as old as its place.

    Args:
        txn: Reads the index.
        name: The artifact.
        slot: As it was after the record at this slot; as it is when None.
    """
    found: tuple[int, VersionRow] | None = None
    highest = -1
    for key, data in txn.scan(VERSIONS, artifact_key(txn, name) + b"\0", reverse=True):
        number = int.from_bytes(key[-8:], "big")
        if number < highest:
            break  # a successor stands further back than its number says, and never further ahead
        row = _decode_version(data, "index")
        if slot is not None and row.slot > slot:
            continue
        place = number if row.place is None else row.place
        if place > highest and (row.deleted is None or (slot is not None and row.deleted.slot > slot)):
            found, highest = (number, row), place
    return found


def all_versions(
    txn: ReadTransaction, *, after: tuple[ArtifactName, int] | None = None
) -> Iterator[tuple[ArtifactName, int, VersionRow]]:
    """Every version of the store, or those that follow one."""
    start = b"" if after is None else _version_key(txn, *after) + b"\0"
    for key, data in txn.scan(VERSIONS, start=start):
        yield name_of(bytes(key[:-9])), int.from_bytes(key[-8:], "big"), _decode_version(data, "index")


def get_alias(txn: ReadTransaction, name: ArtifactName, alias: str) -> int | None:
    """The number that an alias points at, or None."""
    data = txn.get(ALIASES, _alias_key(txn, name, alias))
    return None if data is None else int.from_bytes(data, "big")


def put_alias(txn: WriteTransaction, name: ArtifactName, alias: str, number: int) -> None:
    """Point an alias at a version."""
    txn.put(ALIASES, _alias_key(txn, name, alias), number.to_bytes(8, "big"))


def drop_alias(txn: WriteTransaction, name: ArtifactName, alias: str) -> None:
    """Remove an alias."""
    txn.delete(ALIASES, _alias_key(txn, name, alias))


def aliases(txn: ReadTransaction, name: ArtifactName) -> Iterator[tuple[str, int]]:
    """(alias, number) of an artifact, by alias."""
    prefix = artifact_key(txn, name) + b"\0"
    for key, data in txn.scan(ALIASES, prefix):
        yield key[len(prefix) :].decode(), int.from_bytes(data, "big")


def get_slot(txn: ReadTransaction, slot_id: bytes) -> SlotRow | None:
    """What is known of a slot key; nothing of the one with which the store was made."""
    data = txn.get(SLOTS, slot_id)
    return None if data is None else _decode_slot(data, "index")


def put_slot(txn: WriteTransaction, slot_id: bytes, row: SlotRow) -> None:
    """Write what is known of a slot key."""
    txn.put(SLOTS, slot_id, encode(row))


def move_slot(txn: WriteTransaction, slot_id: bytes, to: bytes | None) -> None:
    """Forget what is known of a slot key, or say it of the one that takes its place."""
    data = txn.get(SLOTS, slot_id)
    if data is not None:
        txn.delete(SLOTS, slot_id)
        if to is not None:
            txn.put(SLOTS, to, bytes(data))
