"""The deny list: files that were taken down, which the store takes no more.

It holds no digest that could be looked up elsewhere, only hashes of digests under a key of the store. Who replays the
log can't see what a version holds, so it is for writers to keep to the list: each looks, at the exact slot of its
record, at what it is about to commit or to bring back.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

import msgspec

from artifactstore.catalog.outcome import Cause
from artifactstore.crypto.hashing import keyed_blake3
from artifactstore.errors import Denied
from artifactstore.format.coding import decoder_of, encode
from artifactstore.format.operations import Allow, Deny, Manifest
from artifactstore.index.environment import ReadTransaction, WriteTransaction
from artifactstore.index.tables import DENIED
from artifactstore.manifest.read import Getter
from artifactstore.manifest.search import Search


class DeniedRow(msgspec.Struct, array_like=True, frozen=True):
    """That a file was taken down.

    Attributes:
        slot: The record that did it.
        time_ms: Advisory time of that record.
        member: Slot key id that its writer claimed.
        reason: Why; may be empty.
        requested_by: Who asked for it; may be empty.
    """

    slot: int
    time_ms: int
    member: bytes
    reason: str
    requested_by: str


_decode = decoder_of(DeniedRow, "a row of the deny list")


def apply_denial(txn: WriteTransaction, operation: Deny | Allow, cause: Cause) -> None:
    """Put files on the deny list, or take them off it."""
    if isinstance(operation, Allow):
        txn.delete_many(DENIED, operation.files)
    else:
        row = encode(
            DeniedRow(cause.slot, cause.time_ms, cause.member, operation.reason, operation.requested_by)
        )
        txn.put_many(DENIED, [(file, row) for file in sorted(set(operation.files))])


def denied(txn: ReadTransaction) -> Iterator[tuple[bytes, DeniedRow]]:
    """Every file of the deny list, as (hash of its digest, row)."""
    for file, data in txn.scan(DENIED):
        yield bytes(file), _decode(data, "index")


class DenyList:
    """The files that a store refuses, asked for by their digests. Immutable.

    Args:
        key: The store's deny key.
        rows: The files, by the hashes of their digests.
    """

    def __init__(self, key: bytes, rows: Iterable[tuple[bytes, DeniedRow]]) -> None:
        self._key = key
        self._rows = dict(rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, digest: object) -> bool:
        return (
            bool(self._rows) and isinstance(digest, bytes) and keyed_blake3(self._key, digest) in self._rows
        )

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._rows)

    def beyond(self, known: Iterable[bytes]) -> "DenyList":
        """What is denied here, but for hashes that are known."""
        passed = frozenset(known)
        return DenyList(self._key, [(file, row) for file, row in self._rows.items() if file not in passed])

    def refusal(self, digest: bytes, what: str, path: str) -> Denied:
        """The error for a file that is denied.

        Args:
            digest: The file's.
            what: Where it is, for the message.
            path: Where in it.
        """
        row = self._rows[keyed_blake3(self._key, digest)]
        when = datetime.fromtimestamp(row.time_ms / 1000, tz=UTC)
        return Denied(
            f"{what} holds {path!r}, which was taken down on {when:%Y-%m-%d %H:%M} UTC by record {row.slot}",
            path=path,
            digest=digest.hex(),
            record=row.slot,
        )


def deny_list(txn: ReadTransaction, key: bytes) -> DenyList:
    """The deny list as the index has it."""
    return DenyList(key, denied(txn))


def refuse_denied(getter: Getter, rules: DenyList, versions: Iterable[tuple[str, Manifest]]) -> None:
    """Refuse versions that hold a denied file.

    Args:
        getter: Reads their pages.
        rules: What is denied.
        versions: Each with what it is called.

    Raises:
        Denied: One of them does.
        Damaged: One of them can't be searched in full.
    """
    if not len(rules):
        return
    for what, found in Search(getter, digests=rules).run(versions):
        for hit in found.hits:
            path, _, _, digest, _ = hit.identity
            raise rules.refusal(digest, what, path)
        if found.damage is not None:
            raise found.damage
