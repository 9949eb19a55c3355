"""Receipts as members see them: listing, reading a draft, exporting one for others.

What is exported is verified before it is handed on, as its reader will verify it.
"""

import base64
from collections.abc import Collection, Sequence
from typing import Final, NamedTuple

import msgspec

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX, Backend
from artifactstore.catalog.receipts import ReceiptRow, receipts
from artifactstore.content.packs import fetch_whole, ref_of
from artifactstore.crypto.signing import SigningKey
from artifactstore.errors import Damaged, InvalidEvidence, NoSuchReceipt, PreconditionFailed
from artifactstore.format.commitment import version_values
from artifactstore.format.exported import (
    RECEIPT_FORMAT,
    Counted,
    Exported,
    Field,
    Handed,
    ProvedRecord,
    Records,
    encode_receipt,
    hidden,
    shown,
    signed_bytes,
)
from artifactstore.format.receipt import Draft, decode_draft, purge_values
from artifactstore.format.record import RecordType, slot_name
from artifactstore.index.environment import Environment
from artifactstore.index.tables import PackTable, Position
from artifactstore.keyring.keyring import Keyring
from artifactstore.log.checkpoint import Checkpoint, sign_note
from artifactstore.log.log import Log
from artifactstore.log.merkle import root_of
from artifactstore.log.proofs import Prover
from artifactstore.log.records import examine
from artifactstore.log.slots import Slots
from artifactstore.maintenance.verifying import verify_receipt

# What others need to look for; by itself it says nothing of the content.
ALWAYS_SHOWN: Final = frozenset({"chunks"})
ID_DIGITS_MIN: Final = 4


class ReceiptParts(NamedTuple):
    """The parts that receipts are read from; the index is at the head of the log."""

    backend: Backend
    keyring: Keyring
    environment: Environment
    packs: PackTable
    log: Log
    position: Position


class OpenedDraft(NamedTuple):
    """A draft, and the evidence that it carries."""

    draft: Draft
    evidence: bytes


def find_receipt(environment: Environment, digits: str) -> tuple[bytes, ReceiptRow]:
    """The receipt whose id begins with some hexadecimal digits.

    Raises:
        NoSuchReceipt: There is none, or there are several.
    """
    wanted = digits.lower()
    with environment.read() as txn:
        whole = bytes.fromhex(wanted[: len(wanted) & ~1]) if _is_hex(wanted) else None
        found = (
            []
            if whole is None or len(wanted) < ID_DIGITS_MIN
            else [one for one in receipts(txn, whole) if one[0].hex().startswith(wanted)]
        )
    if len(found) != 1:
        message = f"there {'is no receipt' if not found else f'are {len(found)} receipts'} {digits!r}"
        raise NoSuchReceipt(message, receipt=digits)
    return found[0]


def _is_hex(text: str) -> bool:
    return bool(text) and all(digit in "0123456789abcdef" for digit in text)


def open_draft(parts: ReceiptParts, row: ReceiptRow) -> OpenedDraft:
    """Read a receipt's draft.

    Raises:
        Damaged: A pack of it is missing or altered.
    """
    chunks: list[bytes] = []
    for place in row.places:
        with parts.environment.read() as txn:
            number = parts.packs.number_of(txn, place.pack)
            pack = None if number is None else parts.packs.get(txn, number)
        if pack is None:
            raise Damaged(f"pack {place.pack.hex()} of a receipt is not registered")
        for _, inside in fetch_whole(parts.backend, parts.keyring, [ref_of(pack)]):
            chunks += list(inside)[place.start : place.start + place.count]
    if not chunks:
        raise Damaged("a receipt has no draft")
    return OpenedDraft(decode_draft(chunks[0], "a receipt's draft"), b"".join(chunks[1:]))


def export_receipt(parts: ReceiptParts, row: ReceiptRow, disclose: Collection[str]) -> bytes:
    """The receipt as others verify it.

    Args:
        parts: What it is read from.
        row: The receipt.
        disclose: Names of fields that it shows, beside which chunks the version held.

    Raises:
        PreconditionFailed: No record says yet that what the sweep condemned is gone.
        PermissionRefused: This member may only read, and can't sign.
        Damaged: The log or the draft can't be read.
    """
    signer = parts.keyring.signer()
    draft, evidence = open_draft(parts, row)
    erased = _erased_slot(parts, row.slot)
    if erased is None:
        raise PreconditionFailed(
            f"no record says yet that what {slot_name(row.slot)} condemned is gone",
            next_step="end it with `artifactstore gc --resume`, then export the receipt",
            slot=row.slot,
        )
    position = parts.position
    checkpoint = Checkpoint(parts.keyring.store_id, position.next_slot, root_of(position.frontier))
    records = (draft.slot, row.slot, erased)
    unsigned = Exported(
        format=RECEIPT_FORMAT,
        store=checkpoint.store_id.hex(),
        id=draft.id.hex(),
        certificates=_chain(parts),
        checkpoint=sign_note(checkpoint, signer),
        records=_proved(parts, records, checkpoint.slots, tiles=True),
        version=_fields(
            version_values(draft.project, draft.name, draft.manifest), draft.version_salt, disclose
        ),
        purge=_fields(purge_values(draft), draft.salt, disclose),
        evidence=base64.b64encode(evidence).decode(),
        counts=Counted(row.gone, row.shared, row.unread),
        signature="",
    )
    try:
        return _signed(unsigned, signer)
    except InvalidEvidence:
        # A tile may be wrong where the records are right.
        proved = _proved(parts, records, checkpoint.slots, tiles=False)
    try:
        return _signed(msgspec.structs.replace(unsigned, records=proved), signer)
    except InvalidEvidence as error:
        raise Damaged(f"the receipt that was made does not verify: {error.message}") from error


def _signed(unsigned: Exported, signer: SigningKey) -> bytes:
    """A receipt with its signature, verified as its reader will verify it."""
    signature = signer.sign(signed_bytes(unsigned))
    data = encode_receipt(msgspec.structs.replace(unsigned, signature=signature.hex()))
    verify_receipt(data)
    return data


def _chain(parts: ReceiptParts) -> list[Handed]:
    """The certificates of all generations."""
    found = [parts.log.signers.certificate(one) for one in range(parts.keyring.generation + 1)]
    return [Handed(one.public.hex(), one.slot, one.signature.hex()) for one in found if one is not None]


def _fields(values: dict[str, bytes], salt: bytes, disclose: Collection[str]) -> dict[str, Field]:
    return {
        name: (shown if name in disclose or name in ALWAYS_SHOWN else hidden)(name, value, salt)
        for name, value in values.items()
    }


def _proved(parts: ReceiptParts, slots: Sequence[int], size: int, *, tiles: bool) -> Records:
    prover = Prover(parts.backend, parts.log.signers, size, tiles=tiles)
    proved = []
    for slot in slots:
        data = parts.log.read(slot)
        if data is None:
            raise Damaged(f"{slot_name(slot)} is missing", object=slot_name(slot))
        record = base64.b64encode(data).decode()
        inclusion = [one.hex() for one in prover.inclusion(slot, size)]
        consistency = [one.hex() for one in prover.consistency(slot, size)]
        proved.append(ProvedRecord(slot, record, inclusion, consistency))
    return Records(*proved)


def _erased_slot(parts: ReceiptParts, sweep: int) -> int | None:
    """The first record that says that everything a sweep condemned was seen gone."""
    signers = parts.log.signers
    slots = Slots(parts.backend)
    for first in range(sweep + 1, parts.position.next_slot, PARALLEL_REQUESTS_MAX):
        some = range(first, min(parts.position.next_slot, first + PARALLEL_REQUESTS_MAX))
        for slot, data in zip(some, slots.read_many(some), strict=True):
            frame = None if data is None else examine(data, slot, signers)
            if frame is not None and frame.clear.type == RecordType.ERASED and frame.clear.erased == sweep:
                return slot
    return None
