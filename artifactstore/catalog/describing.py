"""Edits of what is said of a version outside its digest: its description and its metadata."""

from typing import Any, Final

import msgspec

from artifactstore.catalog.outcome import Cause, Outcome
from artifactstore.catalog.rows import VersionRow, get_artifact, live_version, put_changed
from artifactstore.format.coding import encode
from artifactstore.format.limits import METADATA_PACKED_BYTES_MAX
from artifactstore.format.operations import Describe
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import WriteTransaction

_NO_VERSION: Final = "there is no such version, or it was deleted"
_TOO_LARGE: Final = "the version's metadata would be too large"


def apply_describe(txn: WriteTransaction, operation: Describe, cause: Cause) -> Outcome:
    """Change the description and the metadata of a version."""
    name = ArtifactName(operation.project, operation.name)
    artifact, row = get_artifact(txn, name), live_version(txn, name, operation.number)
    if artifact is None or row is None:
        return Outcome(operation.number, skipped=_NO_VERSION)
    metadata = metadata_after(row, operation)
    if len(encode(metadata)) > METADATA_PACKED_BYTES_MAX:
        return Outcome(operation.number, skipped=_TOO_LARGE)
    description = row.description if operation.description is None else operation.description
    changed = msgspec.structs.replace(row, description=description, metadata=metadata)
    put_changed(txn, name, artifact, operation.number, changed, cause.time_ms)
    return Outcome(operation.number)


def metadata_after(row: VersionRow, operation: Describe) -> dict[str, Any]:
    """What the metadata of a version is with an edit: of each key the last word counts, and new ones come behind."""
    gone = set(operation.remove)
    kept = {} if operation.replace else {key: value for key, value in row.metadata.items() if key not in gone}
    return kept | operation.metadata
