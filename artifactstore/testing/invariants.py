"""What must hold of a store after anything that happened to it; each raises `AssertionError` with what it found."""

from itertools import pairwise
from typing import Any

from artifactstore.catalog.rows import all_versions
from artifactstore.client.opening import Parts
from artifactstore.deletion.receipts import verify_receipt
from artifactstore.errors import Deleted
from artifactstore.ids import LATEST
from artifactstore.index.tables import (
    ALIASES,
    ARTIFACTS,
    BEGUN,
    CHUNKS,
    DENIED,
    EDGES,
    PARTS,
    PENDING,
    RUNS,
    VERSIONS,
    read_position,
)
from artifactstore.store.auditing import audit
from artifactstore.store.store import Store

_REPLAYED = (ARTIFACTS, VERSIONS, ALIASES, PENDING, BEGUN, PARTS, DENIED, RUNS, EDGES, CHUNKS)


def assert_whole(store: Store) -> None:
    """Everything the store promises is there and reads back: `check --read-data` is clean."""
    report = store.check(read_data=True)
    assert report.ok, report.problems


def assert_numbered(store: Store, *, undeleted: bool = False) -> None:
    """Numbers rise from 0, missing ones are deleted or purged, `latest` is the newest, and no two neighbours are equal.

    Args:
        store: The store.
        undeleted: Versions were brought back, or others than the newest deleted: then equal ones may be neighbours.
    """
    for project in store.projects():
        for artifact in store.artifacts(project.name):
            found = store.versions(artifact.artifact)
            deleted = store.deleted_versions(artifact.artifact)
            numbers = {version.number for version in [*found, *deleted]}
            assert len(numbers) == len(found) + len(deleted)
            for number in set(range(max(numbers))) - numbers:
                assert _is_purged(store, f"{artifact.artifact}:v{number}")
            # A successor stands where the version stood that it replaces.
            found.sort(key=lambda one: one.number if one.stands_for is None else one.stands_for)
            assert [LATEST in version.aliases for version in found] == [False] * (len(found) - 1) + [True]
            digests = [version.digest for version in found]
            assert undeleted or all(one != two for one, two in pairwise(digests)), digests


def assert_receipts_hold(store: Store, *, most: int = 1000, **options: Any) -> int:
    """Every receipt verifies, and what it calls gone is gone or was stored again (invariant 13); return how many.

    Args:
        store: The store, all of whose sweeps are ended.
        most: Look at so many of them at most, the newest ones.
        options: For `audit`, such as `storage_options` and `cache_dir`.
    """
    found = store.receipts.list()[-most:]
    for one in found:
        receipt = store.receipts.export(one.id)
        assert verify_receipt(receipt, store_id=store.id).gone == one.gone
        report = audit(store.url, receipt=receipt, **options)
        assert report.receipt is not None
        assert report.receipt.present == report.receipt.stored_again, (one, report.problems)
        assert [problem for problem in report.problems if problem.part != "receipt"] == []
    return len(found)


def _is_purged(store: Store, reference: str) -> bool:
    try:
        store.version(reference)
    except Deleted as error:
        return "purged" in error.message
    return False


def index_tables(parts: Parts) -> dict[str, Any]:
    """What replaying the log put into a client's index, with what is sealed for that index alone opened.

    Two clients of one store at one position hold equal tables, however they came there.
    """
    with parts.environment.read() as txn:
        tables: dict[str, Any] = {table: list(txn.scan(table)) for table in _REPLAYED}
        tables["packs"] = list(parts.packs.all(txn))
        tables["position"] = read_position(txn)
    return tables


def assert_same_index(one: Parts, other: Parts) -> None:
    """Last state plus tail equals step by step: both indexes hold the same rows, once each is complete."""
    for parts in (one, other):
        parts.locator.complete()
    first, second = index_tables(one), index_tables(other)
    for table, rows in first.items():
        assert rows == second[table], f"table {table} differs: {_difference(rows, second[table])}"


def assert_packs_precede_records(parts: Parts) -> None:
    """Every registered pack is stored (invariant 12: a record promises nothing that is not there)."""
    with parts.environment.read() as txn:
        packs = list(parts.packs.all(txn))
        slots = {pack.added.name: pack.slot for pack in packs}
        versions = list(all_versions(txn))
    for pack in packs:
        name = pack.added.name.hex()
        assert parts.backend.size(f"packs/{name[:2]}/{name}") == pack.added.size
    for artifact, number, row in versions:
        # Packs that a sweep has given up since are not known any more.
        late = [pack.hex() for pack in row.packs if slots.get(pack, 0) > row.slot]
        assert not late, f"{artifact}:v{number} needs packs that later records register: {late}"


def _difference(rows: Any, others: Any) -> str:
    """The first rows that are not in both, for a person to read."""
    if not isinstance(rows, list):
        return f"{rows} and {others}"
    only, only_other = [row for row in rows if row not in others], [row for row in others if row not in rows]
    return f"{len(rows)} and {len(others)} rows; only in one: {only[:2]}; only in the other: {only_other[:2]}"
