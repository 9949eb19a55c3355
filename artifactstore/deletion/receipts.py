"""Receipts of an open store: listing them, showing what a member may know, exporting one for others.

Verifying one that was exported needs no store.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, Protocol

import msgspec

from artifactstore import maintenance
from artifactstore.catalog.receipts import ReceiptRow, receipts
from artifactstore.client.opening import Parts
from artifactstore.errors import InvalidEvidence, UsageError
from artifactstore.format.commitment import VERSION_FIELDS
from artifactstore.format.receipt import PURGE_FIELDS
from artifactstore.format.record import slot_name
from artifactstore.index.tables import Position
from artifactstore.log.checkpoint import read_note

_NS_PER_MS: Final = 1_000_000
DISCLOSABLE: Final = tuple(name for name in (*VERSION_FIELDS, *PURGE_FIELDS) if name != "chunks")


class ReceiptInfo(msgspec.Struct, frozen=True):
    """A receipt of a version that was purged.

    Attributes:
        id: Its id, as hex.
        reference: What the version was: `project/name:v3`.
        slot: Of the sweep that purged it.
        gone: Chunks that only purged versions needed, as often as they are listed.
        shared: Chunks that others need too; a page or list with all below it counts as one.
        unread: Pages and lists that could not be read, so that what they held is not listed.
    """

    id: str
    reference: str
    slot: int
    gone: int
    shared: int
    unread: int


class ReceiptDetails(msgspec.Struct, frozen=True):
    """What a member may know of a receipt.

    Attributes:
        info: The receipt.
        digest: The version's digest, as hex.
        size_bytes: Bytes of its files.
        file_count: How many entries it had.
        pushed_slot: Of the record that made it.
        deleted_ns: When it was deleted, as its record says.
        reason: Why.
        requested_by: Who asked for it.
    """

    info: ReceiptInfo
    digest: str
    size_bytes: int
    file_count: int
    pushed_slot: int
    deleted_ns: int
    reason: str
    requested_by: str


class ReceiptFacts(msgspec.Struct, frozen=True):
    """What an exported receipt shows, once it is verified.

    Attributes:
        id: The receipt's id, as hex.
        store_id: The store, as hex.
        shown: The fields that it shows: text, or hex of bytes.
        pushed_slot: The record that made the version.
        pushed_ns: When, as its writer says.
        purged_slot: The sweep that purged it.
        purged_ns: When, as its writer says.
        erased_slot: The record that says that everything the sweep condemned was seen gone.
        erased_ns: When, as its writer says.
        condemned: Objects that the sweep condemned.
        gone: Chunks that only purged versions needed, as often as they are listed.
        shared: Chunks that others need too, by what its writer says.
        unread: Pages and lists that could not be read.
        checkpoint: What the log was when it was exported, as the text of a checkpoint.
    """

    id: str
    store_id: str
    shown: dict[str, str]
    pushed_slot: int
    pushed_ns: int
    purged_slot: int
    purged_ns: int
    erased_slot: int
    erased_ns: int
    condemned: int
    gone: int
    shared: int
    unread: int
    checkpoint: str


class Opened(Protocol):
    """An open store, as far as its receipts are concerned."""

    @property
    def parts(self) -> Parts:
        """Its parts, of the current generation."""
        ...

    def refresh(self) -> Position:
        """Follow the log to its head."""
        ...


class Receipts:
    """The receipts of an open store. Thread-safe.

    Args:
        store: The store.
    """

    def __init__(self, store: Opened) -> None:
        self._store = store

    def list(self) -> tuple[ReceiptInfo, ...]:
        """All receipts, by the sweep that issued them."""
        with self._read().environment.read() as txn:
            found = [_info(receipt_id, row) for receipt_id, row in receipts(txn)]
        return tuple(sorted(found, key=lambda one: (one.slot, one.reference)))

    def show(self, receipt_id: str) -> ReceiptDetails:
        """What a member may know of a receipt.

        Args:
            receipt_id: Its id, or how that begins: at least 4 hexadecimal digits.

        Raises:
            NoSuchReceipt: None is called so, or several are.
            Damaged: Its draft can't be read.
        """
        parts = self._read()
        found, row = maintenance.receipts.find_receipt(parts.environment, receipt_id)
        draft, _ = maintenance.receipts.open_draft(parts, row)
        return ReceiptDetails(
            _info(found, row),
            draft.manifest.digest.hex(),
            draft.manifest.size,
            draft.manifest.entries,
            draft.slot,
            draft.deleted_ms * _NS_PER_MS,
            draft.reason,
            draft.requested_by,
        )

    def export(self, receipt_id: str, *, disclose: Collection[str] = ()) -> bytes:
        """A receipt for others, verified.

        Args:
            receipt_id: Its id, or how that begins.
            disclose: Names of fields that it shows, beside which chunks the version held: `project`, `name`,
                `digest`, `page`, `number`, `deleted`, `reason`, `requested-by`.

        Raises:
            NoSuchReceipt: None is called so, or several are.
            UsageError: There is no such field.
            PreconditionFailed: No record says yet that what the sweep condemned is gone.
            PermissionRefused: This member may only read, and can't sign.
            Damaged: The log or the draft can't be read.
        """
        unknown = sorted(set(disclose) - set(DISCLOSABLE))
        if unknown:
            raise UsageError(
                f"a receipt has no field {unknown[0]!r} to show",
                next_step=f"the fields are {', '.join(DISCLOSABLE)}",
            )
        parts = self._read()
        _, row = maintenance.receipts.find_receipt(parts.environment, receipt_id)
        return maintenance.receipts.export_receipt(parts, row, disclose)

    def _read(self) -> maintenance.receipts.ReceiptParts:
        position = self._store.refresh()
        parts = self._store.parts
        return maintenance.receipts.ReceiptParts(
            parts.backend, parts.keyring, parts.environment, parts.packs, parts.log, position
        )


def _info(receipt_id: bytes, row: ReceiptRow) -> ReceiptInfo:
    reference = f"{row.project}/{row.name}:v{row.number}"
    return ReceiptInfo(receipt_id.hex(), reference, row.slot, row.gone, row.shared, row.unread)


def verify_receipt(
    receipt: bytes, *, store_id: str | None = None, checkpoint: str | None = None
) -> ReceiptFacts:
    """Verify a receipt that was exported. It needs no store, no key and no network.

    Args:
        receipt: The receipt.
        store_id: The id of the store that it must be of, as hex.
        checkpoint: A checkpoint from elsewhere. One of the length of the receipt's own must be the same; of another
            length, it must only be of the same store: an audit holds both against the log.

    Raises:
        InvalidEvidence: It was cut or altered, is of another store or log, or does not show what it says.
    """
    found = maintenance.verifying.verify_receipt(receipt)
    if store_id is not None and store_id.lower() != found.store_id.hex():
        raise InvalidEvidence(
            "the receipt is of another store", expected=store_id, found=found.store_id.hex()
        )
    if checkpoint is not None:
        other = read_note(checkpoint, "the checkpoint").checkpoint
        if other.store_id != found.store_id:
            raise InvalidEvidence("the receipt is of another store than the checkpoint")
        if other.slots == found.checkpoint.slots and other.root != found.checkpoint.root:
            raise InvalidEvidence(
                f"the receipt's log is not that of the checkpoint: {slot_name(other.slots - 1)} differs, or one before"
            )
    texts = {
        name: value.decode() if name in {"project", "name", *PURGE_FIELDS} else value.hex()
        for name, value in found.values.items()
    }
    gone, shared, unread = found.counts
    return ReceiptFacts(
        id=found.id.hex(),
        store_id=found.store_id.hex(),
        shown=texts,
        pushed_slot=found.push.slot,
        pushed_ns=found.push.time_ms * _NS_PER_MS,
        purged_slot=found.sweep.slot,
        purged_ns=found.sweep.time_ms * _NS_PER_MS,
        erased_slot=found.erased.slot,
        erased_ns=found.erased.time_ms * _NS_PER_MS,
        condemned=len(found.sweep.condemned),
        gone=gone,
        shared=shared,
        unread=unread,
        checkpoint=found.checkpoint.text,
    )
