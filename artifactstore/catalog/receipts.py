"""Receipts in the catalog: which there are, and where their drafts lie."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from artifactstore.format.coding import decoder_of, encode
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import ReadTransaction, WriteTransaction
from artifactstore.index.tables import RECEIPTS


class DraftPlace(msgspec.Struct, array_like=True, frozen=True):
    """A run of chunks in one pack.

    Attributes:
        pack: The pack's name.
        start: Number of the first chunk, in the order of the footer.
        count: How many follow each other.
    """

    pack: bytes
    start: int
    count: int


class ReceiptRow(msgspec.Struct, array_like=True, frozen=True):
    """One receipt.

    Attributes:
        slot: Of the sweep that purged the version.
        project: The project's name.
        name: The artifact's name.
        number: The version's.
        gone: How many chunks only purged versions needed.
        shared: How many others need too; a node with all below it counts as one.
        unread: Nodes that could not be read, so that what they held is not listed.
        places: Where the chunks of its draft lie, in order.
    """

    slot: int
    project: str
    name: str
    number: int
    gone: int
    shared: int
    unread: int
    places: list[DraftPlace]


class FinishedDraft(NamedTuple):
    """A draft whose packs are made.

    Attributes:
        id: The receipt's id.
        artifact: The purged version's artifact.
        number: Its number.
        commitment: What the sweep says of it in clear.
        counts: Of chunks gone, shared and unread.
        places: Where its chunks lie.
    """

    id: bytes
    artifact: ArtifactName
    number: int
    commitment: bytes
    counts: tuple[int, int, int]
    places: list[DraftPlace]


_decode = decoder_of(ReceiptRow, "a receipt's row")


def put_receipts(txn: WriteTransaction, slot: int, drafts: Iterable[FinishedDraft]) -> None:
    """Write the receipts that a sweep issues.

    Args:
        txn: Writes the index, or the state after the sweep.
        slot: The sweep's.
        drafts: Of the versions that it purges.
    """
    for draft in drafts:
        row = ReceiptRow(slot, *draft.artifact, draft.number, *draft.counts, draft.places)
        txn.put(RECEIPTS, draft.id, encode(row))


def get_receipt(txn: ReadTransaction, receipt_id: bytes) -> ReceiptRow | None:
    """One receipt, or None."""
    data = txn.get(RECEIPTS, receipt_id)
    return None if data is None else _decode(data, "index")


def receipts(txn: ReadTransaction, prefix: bytes = b"") -> Iterator[tuple[bytes, ReceiptRow]]:
    """Every receipt, or those whose id begins with `prefix`, by id."""
    for key, data in txn.scan(RECEIPTS, prefix):
        yield bytes(key), _decode(data, "index")
