"""Purging: taking versions out of the catalog, as the state after a sweep lacks them."""

from collections.abc import Iterable

from artifactstore.catalog.edges import hide_version
from artifactstore.catalog.generation import Purged, note_purged, purged_prefix
from artifactstore.catalog.rows import (
    aliases,
    drop_alias,
    drop_artifact,
    drop_version,
    versions,
)
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import WriteTransaction


def purge_versions(
    txn: WriteTransaction, purged: Iterable[tuple[ArtifactName, int]], name_key: bytes, sweep: Purged
) -> None:
    """Remove versions; of each its number and its edges stay, under a hash of its artifact's name."""
    touched: set[ArtifactName] = set()
    for artifact, number in purged:
        drop_version(txn, artifact, number)
        prefix = purged_prefix(name_key, artifact)
        note_purged(txn, prefix, number, sweep)
        hide_version(txn, artifact, number, prefix)
        touched.add(artifact)
    for artifact in touched:
        if next(versions(txn, artifact), None) is None:
            for alias, _ in list(aliases(txn, artifact)):
                drop_alias(txn, artifact, alias)
            drop_artifact(txn, artifact)
