"""Which deleted versions a sweep may purge, and which it has to leave for now."""

from collections.abc import Iterator
from typing import NamedTuple

from artifactstore.catalog.generation import grace_ms
from artifactstore.catalog.rows import VersionRow, all_versions
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import ReadTransaction


class Hidden(NamedTuple):
    """A deleted version.

    Attributes:
        artifact: Its artifact.
        number: Its number.
        row: Its row.
        due_ms: From when on it may be purged, if its record's own time is right.
    """

    artifact: ArtifactName
    number: int
    row: VersionRow
    due_ms: int


def hidden_versions(txn: ReadTransaction) -> Iterator[Hidden]:
    """Every deleted version that was not purged yet."""
    grace = grace_ms(txn)
    for artifact, number, row in all_versions(txn):
        if row.deleted is not None:
            due_ms = 0 if row.deleted.now else row.deleted.time_ms + grace
            yield Hidden(artifact, number, row, due_ms)
