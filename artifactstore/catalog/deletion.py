"""Deleting versions and bringing them back: a deleted one is hidden from every question, and keeps its number.

Its row, its chunks and its place among the numbers stay; what is stored is given up only when it is purged.
"""

from typing import Final

import msgspec

from artifactstore.catalog.links import links_of
from artifactstore.catalog.names import shown_name
from artifactstore.catalog.outcome import Cause, Outcome
from artifactstore.catalog.rows import (
    Deletion,
    VersionRow,
    aliases,
    drop_alias,
    get_artifact,
    get_version,
    newest_live,
    put_alias,
    put_artifact,
    put_version,
)
from artifactstore.format.operations import Delete, Undelete
from artifactstore.ids import LATEST, ArtifactName
from artifactstore.index.environment import ReadTransaction, WriteTransaction

_ALL_HIDDEN: Final = "the versions are deleted already, or there are none of these numbers"
_ALL_SHOWN: Final = "the versions are not deleted, or there are none of these numbers"


def apply_deletion(txn: WriteTransaction, operation: Delete | Undelete, cause: Cause) -> Outcome:
    """Hide or show versions; numbers that are so already, or that there are none of, are passed over."""
    return (
        _delete(txn, operation, cause) if isinstance(operation, Delete) else _undelete(txn, operation, cause)
    )


def deletion_at(txn: ReadTransaction, operation: Delete | Undelete, slot: int) -> Outcome:
    """What the operation of the applied record at `slot` did, read back from the catalog."""
    name = ArtifactName(operation.project, operation.name)
    rows = [row for number in operation.numbers if (row := get_version(txn, name, number)) is not None]
    if isinstance(operation, Undelete):
        # What a later record has deleted was shown until then.
        shown = any(row.deleted is None or row.deleted.slot > slot for row in rows)
        return Outcome(None, skipped="" if shown else _ALL_SHOWN)
    done = any(row.deleted is not None and row.deleted.slot == slot for row in rows)
    return Outcome(None, skipped="" if done else _refused(txn, operation))


def _delete(txn: WriteTransaction, operation: Delete, cause: Cause) -> Outcome:
    name = ArtifactName(operation.project, operation.name)
    found = [(number, get_version(txn, name, number)) for number in dict.fromkeys(operation.numbers)]
    rows = [(number, row) for number, row in found if row is not None and _is_deleted_by(operation, row)]
    if not rows:
        return Outcome(None, skipped=_ALL_HIDDEN)
    held = _held(txn, operation)
    if not operation.force and (held or _linked(txn, operation)):
        return Outcome(None, skipped=_refused(txn, operation))
    deletion = Deletion(
        cause.slot, cause.time_ms, cause.member, operation.reason, operation.requested_by, operation.now
    )
    for number, row in rows:
        put_version(txn, name, number, msgspec.structs.replace(row, deleted=deletion))
    for alias, _ in held:
        drop_alias(txn, name, alias)
    _recount(txn, name, -sum(row.deleted is None for _, row in rows), cause)
    return Outcome(None)


def _is_deleted_by(operation: Delete, row: VersionRow) -> bool:
    """Whether a deletion concerns a version: one that is hidden already may still be purged sooner."""
    return row.deleted is None or (operation.now and not row.deleted.now)


def _held(txn: ReadTransaction, operation: Delete) -> list[tuple[str, int]]:
    """Aliases other than `latest` that point at what is to be deleted, with the numbers."""
    name, numbers = ArtifactName(operation.project, operation.name), set(operation.numbers)
    return [(alias, at) for alias, at in aliases(txn, name) if at in numbers and alias != LATEST]


def _refused(txn: ReadTransaction, operation: Delete) -> str:
    """Why a deletion does not apply."""
    held = _held(txn, operation)
    if held:
        return f"the alias {held[0][0]!r} points at v{held[0][1]}"
    linked = _linked(txn, operation)
    return _ALL_HIDDEN if linked is None else f"{linked} is a link of one of the versions"


def _linked(txn: ReadTransaction, operation: Delete) -> str | None:
    """A link of what is to be deleted, as it is called now."""
    name = ArtifactName(operation.project, operation.name)
    for number in operation.numbers:
        for link in links_of(txn, name, number):
            return f"{shown_name(txn, link.collection)}:v{link.number}"
    return None


def _undelete(txn: WriteTransaction, operation: Undelete, cause: Cause) -> Outcome:
    name = ArtifactName(operation.project, operation.name)
    found = [(number, get_version(txn, name, number)) for number in dict.fromkeys(operation.numbers)]
    rows = [(number, row) for number, row in found if row is not None and row.deleted is not None]
    if not rows:
        return Outcome(None, skipped=_ALL_SHOWN)
    for number, row in rows:
        put_version(txn, name, number, msgspec.structs.replace(row, deleted=None))
    _recount(txn, name, len(rows), cause)
    return Outcome(None)


def _recount(txn: WriteTransaction, name: ArtifactName, change: int, cause: Cause) -> None:
    """Bring an artifact's count, its newest version and `latest` up to date after versions came or went."""
    artifact, newest = get_artifact(txn, name), newest_live(txn, name)
    assert artifact is not None
    number = None if newest is None else newest[0]
    if number is None:
        drop_alias(txn, name, LATEST)
    else:
        put_alias(txn, name, LATEST, number)
    changed = msgspec.structs.replace(
        artifact, newest=number, versions=artifact.versions + change, updated_ms=cause.time_ms
    )
    put_artifact(txn, name, changed)
