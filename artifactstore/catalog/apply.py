"""What each operation does to the catalog: pure, deterministic, alike for everyone who replays the log.

An operation that doesn't apply (an alias for a version that is not there) is skipped by all alike, and reported as
an outcome.
"""

from __future__ import annotations

from typing import Final

import msgspec

from artifactstore import catalog
from artifactstore.catalog.denied import apply_denial
from artifactstore.catalog.edges import EdgeRow, put_edge, version_node
from artifactstore.catalog.generation import put_grace_ms
from artifactstore.catalog.links import (
    IS_COLLECTION,
    Link,
    first_source,
    link_at,
    link_in,
    link_refusal,
    note_link,
)
from artifactstore.catalog.names import first_name
from artifactstore.catalog.outcome import Cause, Outcome
from artifactstore.catalog.rows import (
    ArtifactRow,
    SlotRow,
    VersionRow,
    drop_alias,
    get_alias,
    get_artifact,
    get_slot,
    get_version,
    live_version,
    newest_live,
    put_alias,
    put_artifact,
    put_changed,
    put_slot,
    put_version,
    versions,
)
from artifactstore.catalog.runs import apply_run, note_producer, run_outcome_at
from artifactstore.format.operations import (
    Alias,
    Allow,
    Begin,
    Configure,
    Damage,
    Delete,
    Deny,
    Describe,
    Ended,
    Expire,
    Operation,
    Part,
    PartDropped,
    Pending,
    PendingDone,
    Push,
    Rename,
    Replace,
    Retain,
    SlotAdded,
    Source,
    Tag,
    Undelete,
)
from artifactstore.format.run_operations import RunDeleted, RunFinished, RunStarted, RunUpdated, Used
from artifactstore.ids import LATEST, ArtifactName
from artifactstore.index.environment import ReadTransaction, WriteTransaction
from artifactstore.index.tables import mark_damaged, mark_whole

_NO_VERSION: Final = "there is no such version, or it was deleted"
_ALIAS_ELSEWHERE: Final = "an alias does not stand where it was expected"
_SLOT_KNOWN: Final = "the slot key has a name already"


def apply_operation(txn: WriteTransaction, operation: Operation, cause: Cause) -> Outcome:
    """Apply one operation of a record."""
    match operation:
        case Push():
            return _push(txn, operation, cause)
        case Alias():
            return _alias(txn, operation, cause)
        case Tag():
            return _tag(txn, operation, cause)
        case Describe():
            return catalog.describing.apply_describe(txn, operation, cause)
        case Delete() | Undelete():
            return catalog.deletion.apply_deletion(txn, operation, cause)
        case _:
            return _apply_other(txn, operation, cause)


def _apply_other(txn: WriteTransaction, operation: Operation, cause: Cause) -> Outcome:
    """Apply one of those that are rarer than pushes, names and deletions."""
    outcome = Outcome(None)
    match operation:
        case Replace():
            outcome = catalog.succession.apply_replacement(txn, operation, cause)
        case Rename():
            outcome = catalog.renaming.apply_rename(txn, operation, cause)
        case Expire() | Retain():
            outcome = catalog.retention.apply_keeping(txn, operation, cause)
        case Deny() | Allow():
            apply_denial(txn, operation, cause)
        case Pending(push=push):
            catalog.pending.put_pending(txn, push, cause)
        case PendingDone(push=push):
            catalog.pending.drop_pending(txn, push)
        case Begin() | Part() | PartDropped() | Ended():
            outcome = catalog.begun.apply_distributed(txn, operation, cause)
        case Configure(grace_ms=grace_ms):
            put_grace_ms(txn, grace_ms)
        case Damage(damaged=damaged, whole=whole):
            mark_damaged(txn, damaged, cause.slot)
            mark_whole(txn, whole)
        case RunStarted() | RunUpdated() | RunFinished() | RunDeleted() | Used():
            outcome = apply_run(txn, operation, cause)
        case SlotAdded():
            outcome = _slot_added(txn, operation, cause)
        case _:
            pass  # an adoption stands in the log for whoever asks what became of the slots that were given up
    return outcome


def outcome_at(txn: ReadTransaction, operation: Operation, slot: int) -> Outcome:
    """What an operation of the applied record at `slot` did, read back from the catalog.

    Whoever committed a record is not always who applies it: processes share an index, and one that is behind by many
    records meets its own among them.
    """
    match operation:
        case Push(source=None):
            newest = newest_live(txn, ArtifactName(operation.project, operation.name), slot=slot)
            return Outcome(None) if newest is None else Outcome(newest[0], created=newest[1].slot == slot)
        case Push():
            return link_at(txn, operation, slot)
        case Alias() | Tag() | Describe() | Expire():
            return _edit_at(txn, operation, slot)
        case Delete() | Undelete():
            return catalog.deletion.deletion_at(txn, operation, slot)
        case _:
            return _other_at(txn, operation, slot)


def _other_at(txn: ReadTransaction, operation: Operation, slot: int) -> Outcome:
    """The same of those that are rarer."""
    outcome = Outcome(None)
    match operation:
        case Replace():
            outcome = catalog.succession.replacement_at(txn, operation, slot)
        case Rename():
            outcome = catalog.renaming.rename_at(txn, operation)
        case Begin() | Part() | PartDropped() | Ended():
            outcome = catalog.begun.distributed_at(txn, operation, slot)
        case RunStarted() | RunUpdated() | RunFinished() | RunDeleted() | Used():
            outcome = run_outcome_at(txn, operation, slot)
        case SlotAdded():
            known = get_slot(txn, operation.id)
            outcome = Outcome(None, skipped="" if known is not None and known.slot == slot else _SLOT_KNOWN)
        case _:
            pass
    return outcome


def _edit_at(txn: ReadTransaction, operation: Alias | Tag | Describe | Expire, slot: int) -> Outcome:
    """Whether a change of what stands outside a version's digest applied; what else it depends on its writer saw to."""
    name, number = ArtifactName(operation.project, operation.name), operation.number
    row = _oldest(txn, name) if number is None else get_version(txn, name, number)
    # What a later record has deleted was shown until then; to take a name away, it may be deleted.
    applied = row is not None and row.slot < slot
    if row is not None and number is not None and row.deleted is not None:
        applied = applied and row.deleted.slot > slot
    return Outcome(number, skipped="" if applied else _NO_VERSION)


def _oldest(txn: ReadTransaction, name: ArtifactName) -> VersionRow | None:
    """The oldest version of an artifact that was not purged; deleted ones count."""
    return next((row for _, row in versions(txn, name)), None)


def _push(txn: WriteTransaction, push: Push, cause: Cause) -> Outcome:
    name = first_name(txn, ArtifactName(push.project, push.name))
    if push.source is not None:
        return _link(txn, push, name, first_source(txn, push.source), cause)
    artifact = get_artifact(txn, name)
    if artifact is not None and artifact.collection:
        return Outcome(None, skipped=IS_COLLECTION)
    newest = None if artifact is None else live_version(txn, name, artifact.newest)
    if (
        artifact is not None
        and artifact.newest is not None
        and newest is not None
        and newest.manifest.digest == push.manifest.digest
    ):
        _edit(txn, name, artifact.newest, newest, push, cause)
        return Outcome(artifact.newest, created=False)
    return Outcome(_made(txn, push, name, _new_version(push, name, cause), cause), created=True)


def _link(txn: WriteTransaction, push: Push, name: ArtifactName, source: Source, cause: Cause) -> Outcome:
    """Make a link, or find that there is one already."""
    refusal = link_refusal(txn, push, source)
    if refusal:
        return Outcome(None, skipped=refusal)
    found = link_in(txn, name, source)
    if found is not None:
        number, row = found
        _edit(txn, name, number, row, push, cause)
        return Outcome(number, created=False)
    linked = get_version(txn, ArtifactName(source.project, source.name), source.number)
    assert linked is not None
    row = msgspec.structs.replace(
        _new_version(push, name, cause),
        description=linked.description if push.description is None else push.description,
        metadata=linked.metadata if push.metadata is None else push.metadata,
        source=source,
    )
    number = _made(txn, push, name, row, cause)
    note_link(txn, source, Link(name, number))
    held = version_node(ArtifactName(source.project, source.name), source.number)
    put_edge(txn, held, version_node(name, number), EdgeRow(cause.slot, ""))
    return Outcome(number, created=True)


def _edit(
    txn: WriteTransaction, name: ArtifactName, number: int, row: VersionRow, push: Push, cause: Cause
) -> None:
    """A push of equal content is an edit of what stands outside the digest."""
    artifact = get_artifact(txn, name)
    assert artifact is not None
    put_changed(txn, name, artifact, number, _edited(row, push), cause.time_ms)
    for alias in push.aliases:
        put_alias(txn, name, alias, number)
    note_producer(txn, push.run, name, number, cause)


def _made(txn: WriteTransaction, push: Push, name: ArtifactName, row: VersionRow, cause: Cause) -> int:
    """Make a version, which is the newest then; return its number."""
    artifact = get_artifact(txn, name)
    number = _next_number(txn, name, artifact, cause)
    put_version(txn, name, number, row)
    if artifact is None:
        collection = push.source is not None
        artifact = ArtifactRow(push.type, 0, None, 0, cause.time_ms, cause.time_ms, None, collection)
    artifact = msgspec.structs.replace(
        artifact,
        next_number=number + 1,
        newest=number,
        versions=artifact.versions + 1,
        updated_ms=cause.time_ms,
    )
    put_artifact(txn, name, artifact)
    put_alias(txn, name, LATEST, number)
    for alias in push.aliases:
        put_alias(txn, name, alias, number)
    note_producer(txn, push.run, name, number, cause)
    return number


def _next_number(txn: ReadTransaction, name: ArtifactName, artifact: ArtifactRow | None, cause: Cause) -> int:
    """The number of an artifact's next version: numbers never recur, not even when all before were purged."""
    if artifact is not None:
        return artifact.next_number
    return catalog.renaming.next_number_of(txn, name, cause.name_key)


def _new_version(push: Push, name: ArtifactName, cause: Cause) -> VersionRow:
    return VersionRow(
        manifest=push.manifest,
        description=push.description or "",
        metadata=push.metadata or {},
        tags=sorted(set(push.tags)),
        created_ms=cause.time_ms,
        slot=cause.slot,
        member=cause.member,
        new_bytes=push.new_bytes,
        stored_bytes=push.stored_bytes,
        packs=push.packs,
        deleted=None,
        salt=push.salt,
        place=None,
        expires_ms=None,
        source=None,
        said=None if (push.project, push.name) == name else (push.project, push.name),
        updated_ms=None,
    )


def _edited(row: VersionRow, push: Push) -> VersionRow:
    return msgspec.structs.replace(
        row,
        description=row.description if push.description is None else push.description,
        metadata=row.metadata if push.metadata is None else push.metadata,
        tags=sorted({*row.tags, *push.tags}),
    )


def _alias(txn: WriteTransaction, operation: Alias, cause: Cause) -> Outcome:
    name = ArtifactName(operation.project, operation.name)
    artifact = get_artifact(txn, name)
    number = operation.number
    row = None if number is None else live_version(txn, name, number)
    if artifact is None or (number is not None and row is None):
        return Outcome(number, skipped=_NO_VERSION)
    if operation.expected is not None and any(
        get_alias(txn, name, alias) != next(iter(operation.expected), None) for alias in operation.aliases
    ):
        return Outcome(number, skipped=_ALIAS_ELSEWHERE)
    for alias in operation.aliases:
        if number is None:
            drop_alias(txn, name, alias)
        else:
            put_alias(txn, name, alias, number)
    if row is not None and number is not None:
        put_changed(txn, name, artifact, number, row, cause.time_ms)
    else:
        put_artifact(txn, name, msgspec.structs.replace(artifact, updated_ms=cause.time_ms))
    return Outcome(number)


def _tag(txn: WriteTransaction, operation: Tag, cause: Cause) -> Outcome:
    name = ArtifactName(operation.project, operation.name)
    artifact = get_artifact(txn, name)
    row = live_version(txn, name, operation.number)
    if artifact is None or row is None:
        return Outcome(operation.number, skipped=_NO_VERSION)
    tags = (set(row.tags) | set(operation.add)) - set(operation.remove)
    changed = msgspec.structs.replace(row, tags=sorted(tags))
    put_changed(txn, name, artifact, operation.number, changed, cause.time_ms)
    return Outcome(operation.number)


def _slot_added(txn: WriteTransaction, operation: SlotAdded, cause: Cause) -> Outcome:
    if get_slot(txn, operation.id) is not None:
        return Outcome(None, skipped=_SLOT_KNOWN)
    put_slot(txn, operation.id, SlotRow(operation.name, cause.time_ms, cause.slot, cause.member))
    return Outcome(None)
