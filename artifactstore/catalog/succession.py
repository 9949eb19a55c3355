"""Successors: versions that stand in the place of others, made by a takedown that leaves a file out."""

from typing import Final

import msgspec

from artifactstore.catalog.edges import UP, edges, put_edge, version_node
from artifactstore.catalog.links import Link, note_link
from artifactstore.catalog.names import first_name
from artifactstore.catalog.outcome import Cause, Outcome
from artifactstore.catalog.rows import (
    Deletion,
    aliases,
    get_artifact,
    get_version,
    live_version,
    put_alias,
    put_artifact,
    put_version,
    versions,
)
from artifactstore.format.operations import Replace
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import ReadTransaction, WriteTransaction

_NO_VERSION: Final = "there is no such version"


def apply_replacement(txn: WriteTransaction, operation: Replace, cause: Cause) -> Outcome:
    """Make a successor: it has what stands outside the digest, the aliases and the place of the one it replaces."""
    name = ArtifactName(operation.project, operation.name)
    artifact, row = get_artifact(txn, name), live_version(txn, name, operation.number)
    if artifact is None or row is None:
        return Outcome(None, skipped=_NO_VERSION)
    number = artifact.next_number
    first = first_name(txn, name)
    successor = msgspec.structs.replace(
        row,
        manifest=operation.manifest,
        slot=cause.slot,
        member=cause.member,
        new_bytes=operation.new_bytes,
        stored_bytes=operation.stored_bytes,
        packs=operation.packs,
        salt=operation.salt,
        place=operation.number if row.place is None else row.place,
        said=None if first == name else (operation.project, operation.name),
        updated_ms=cause.time_ms,
    )
    if row.source is not None:
        note_link(txn, row.source, Link(first, number))
    put_version(txn, name, number, successor)
    for producer, edge in list(edges(txn, version_node(first, operation.number), UP)):
        put_edge(txn, producer, version_node(first, number), edge)
    deletion = Deletion(
        cause.slot, cause.time_ms, cause.member, operation.reason, operation.requested_by, now=True
    )
    put_version(txn, name, operation.number, msgspec.structs.replace(row, deleted=deletion))
    # `latest` is among them if that one had it.
    for alias in [alias for alias, at in aliases(txn, name) if at == operation.number]:
        put_alias(txn, name, alias, number)
    changed = msgspec.structs.replace(
        artifact,
        next_number=number + 1,
        newest=number if artifact.newest == operation.number else artifact.newest,
        updated_ms=cause.time_ms,
    )
    put_artifact(txn, name, changed)
    return Outcome(number, created=True)


def replacement_at(txn: ReadTransaction, operation: Replace, slot: int) -> Outcome:
    """What the operation of the applied record at `slot` did, read back from the catalog."""
    name = ArtifactName(operation.project, operation.name)
    replaced = get_version(txn, name, operation.number)
    place = None if replaced is None or replaced.place is None else replaced.place
    wanted = operation.number if place is None else place
    for number, row in versions(txn, name):
        if row.slot == slot and row.place == wanted:
            return Outcome(number, created=True)
    return Outcome(None, skipped=_NO_VERSION)
