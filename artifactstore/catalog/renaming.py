"""Renaming artifacts and projects: the new name must mean nothing yet, and the old ones go on answering.

A name under which versions were purged is not given to another artifact: its numbers would mean other versions.
"""

from typing import Final

import msgspec

from artifactstore.catalog.generation import number_after_purged, purged_prefix
from artifactstore.catalog.names import (
    first_name,
    first_project,
    in_full,
    is_project_used,
    name_inside,
    project_members,
    put_name,
    put_project_name,
)
from artifactstore.catalog.outcome import Cause, Outcome
from artifactstore.catalog.rows import get_artifact, put_artifact
from artifactstore.format.operations import Rename
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import ReadTransaction, WriteTransaction

NOTHING_TO_RENAME: Final = "there is nothing of that name to rename"
NAME_TAKEN: Final = "the new name is taken"
NAME_PURGED: Final = "versions of that name were purged, and their numbers are never given again"


def rename_refusal(txn: ReadTransaction, operation: Rename, name_key: bytes) -> str:
    """Why a rename does not apply; empty when it does.

    Args:
        txn: Reads the index.
        operation: The rename.
        name_key: Under which names of purged artifacts are hashed.
    """
    if operation.name is None or operation.to_name is None:
        return _project_refusal(txn, operation, name_key)
    first = first_name(txn, ArtifactName(operation.project, operation.name))
    if get_artifact(txn, first) is None:
        return NOTHING_TO_RENAME
    to = ArtifactName(first_project(txn, operation.to_project), operation.to_name)
    if first_name(txn, to) == first:
        return ""
    if get_artifact(txn, to) is not None:
        return NAME_TAKEN
    return NAME_PURGED if next_number_of(txn, to, name_key) else ""


def apply_rename(txn: WriteTransaction, operation: Rename, cause: Cause) -> Outcome:
    """Call an artifact or a project by another name."""
    refusal = rename_refusal(txn, operation, cause.name_key)
    if refusal:
        return Outcome(None, skipped=refusal)
    if operation.name is None or operation.to_name is None:
        put_project_name(txn, first_project(txn, operation.project), operation.to_project)
        return Outcome(None)
    first = first_name(txn, ArtifactName(operation.project, operation.name))
    put_name(txn, first, ArtifactName(first_project(txn, operation.to_project), operation.to_name))
    row = get_artifact(txn, first)
    assert row is not None
    put_artifact(txn, first, msgspec.structs.replace(row, updated_ms=cause.time_ms))
    return Outcome(None)


def rename_at(txn: ReadTransaction, operation: Rename) -> Outcome:
    """What a rename in an applied record did, read back from the catalog: both names mean one and the same, or not."""
    if operation.name is None or operation.to_name is None:
        old, new = first_project(txn, operation.project), first_project(txn, operation.to_project)
        done = old == new and is_project_used(txn, old)
    else:
        first = first_name(txn, ArtifactName(operation.project, operation.name))
        done = first == first_name(txn, ArtifactName(operation.to_project, operation.to_name))
        done = done and get_artifact(txn, first) is not None
    return Outcome(None, skipped="" if done else NAME_TAKEN)


def next_number_of(txn: ReadTransaction, inside: ArtifactName, name_key: bytes) -> int:
    """The number after all that were ever purged under a name, in whatever its project was called."""
    return max(number_after_purged(txn, purged_prefix(name_key, name)) for name in in_full(txn, inside))


def _project_refusal(txn: ReadTransaction, operation: Rename, name_key: bytes) -> str:
    first, to = first_project(txn, operation.project), operation.to_project
    if operation.name is not None or operation.to_name is not None or not is_project_used(txn, first):
        return NOTHING_TO_RENAME
    if first_project(txn, to) == first:
        return ""
    if first_project(txn, to) != to or is_project_used(txn, to):
        return NAME_TAKEN
    for member in project_members(txn, first):
        name = ArtifactName(to, name_inside(txn, member).name)
        if number_after_purged(txn, purged_prefix(name_key, name)):
            return NAME_PURGED
    return ""
