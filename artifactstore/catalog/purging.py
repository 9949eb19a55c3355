"""Purging: taking versions out of the catalog, as the state after a sweep lacks them."""

from collections.abc import Iterable

from artifactstore.catalog.edges import hide_version
from artifactstore.catalog.generation import Purged, note_purged, purged_numbers, purged_prefix
from artifactstore.catalog.links import Link, forget_link
from artifactstore.catalog.names import all_names, first_name, forget_names
from artifactstore.catalog.rows import (
    aliases,
    drop_alias,
    drop_artifact,
    drop_version,
    get_version,
    versions,
)
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import WriteTransaction


def purge_versions(
    txn: WriteTransaction, purged: Iterable[tuple[ArtifactName, int]], name_key: bytes, sweep: Purged
) -> None:
    """Remove versions; of each its number and its edges stay, under a hash of its artifact's name.

    With the last version of an artifact its names go, and the numbers stay under each of them.
    """
    touched: set[ArtifactName] = set()
    for named, number in purged:
        artifact = first_name(txn, named)
        row = get_version(txn, artifact, number)
        if row is not None and row.source is not None:
            forget_link(txn, row.source, Link(artifact, number))
        drop_version(txn, artifact, number)
        prefix = purged_prefix(name_key, artifact)
        note_purged(txn, prefix, number, sweep)
        hide_version(txn, artifact, number, prefix)
        touched.add(artifact)
    for artifact in sorted(touched):
        if next(versions(txn, artifact), None) is None:
            for alias, _ in list(aliases(txn, artifact)):
                drop_alias(txn, artifact, alias)
            _forget(txn, artifact, name_key)


def _forget(txn: WriteTransaction, artifact: ArtifactName, name_key: bytes) -> None:
    """Remove an artifact of which no version is left; under none of its names do its numbers recur."""
    first, *further = (purged_prefix(name_key, name) for name in all_names(txn, artifact))
    numbers = list(purged_numbers(txn, first)) if further else []
    for prefix in further:
        for number, purged in numbers:
            note_purged(txn, prefix, number, purged)
    drop_artifact(txn, artifact)
    forget_names(txn, artifact)
