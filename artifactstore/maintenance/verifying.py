"""Verifying an exported receipt: signatures from the store's id on, proofs, commitments, counts. No store is needed.

What it shows hangs on the checkpoint in it. Whoever has had a signing key of the store could make a whole log of their
own under its id; that it is the store's log shows where the checkpoint is compared with one from elsewhere, or where an
audit holds it against the bucket.
"""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import NamedTuple

from artifactstore.crypto.aead import SealBroken
from artifactstore.crypto.signing import verify
from artifactstore.errors import Damaged, InvalidEvidence
from artifactstore.format.commitment import VERSION_FIELDS, version_commitment
from artifactstore.format.exported import (
    Exported,
    Field,
    Hex32,
    ProvedRecord,
    decode_receipt,
    from_base64,
    hash_of,
    signed_bytes,
    value_of,
)
from artifactstore.format.receipt import PURGE_FIELDS, purge_commitment, read_evidence
from artifactstore.format.record import (
    SIGNING_CONTEXT,
    Certificate,
    Clear,
    RecordType,
    decode_frame,
    slot_name,
)
from artifactstore.log.checkpoint import Checkpoint, read_note, verify_note
from artifactstore.log.merkle import leaf_of
from artifactstore.log.proofs import verify_consistency, verify_inclusion
from artifactstore.log.signers import handed_over, is_chain


class Verified(NamedTuple):
    """What a receipt shows, once it is verified.

    Attributes:
        store_id: The store.
        id: The receipt's id.
        checkpoint: What the log was when the receipt was exported.
        push: The record that made the version.
        sweep: The record that purged it.
        erased: The record that says that everything it condemned was seen gone.
        values: The fields that it shows, by name.
        gone: First 16 bytes of the cid of each chunk that only purged versions needed.
        counts: Entries of the evidence: gone, shared, unread.
    """

    store_id: bytes
    id: bytes
    checkpoint: Checkpoint
    push: Clear
    sweep: Clear
    erased: Clear
    values: dict[str, bytes]
    gone: frozenset[bytes]
    counts: tuple[int, int, int]


class _Listed:
    def __init__(self) -> None:
        self.prefixes: set[bytes] = set()
        self.of_gone = self.of_shared = self.of_unread = 0

    def gone(self, prefixes: Iterable[bytes]) -> None:
        for prefix in prefixes:
            self.prefixes.add(prefix)
            self.of_gone += 1

    def shared(self, count: int) -> None:
        self.of_shared += count

    def unread(self) -> None:
        self.of_unread += 1


def verify_receipt(data: bytes) -> Verified:
    """Verify an exported receipt.

    Raises:
        InvalidEvidence: It was cut or altered, or does not show what it says.
    """
    receipt = decode_receipt(data)
    store_id = bytes.fromhex(receipt.store)
    certificates = [
        Certificate(bytes.fromhex(one.public), one.slot, bytes.fromhex(one.signature))
        for one in receipt.certificates
    ]
    if not is_chain(certificates, store_id):
        raise InvalidEvidence("the receipt's signing keys do not follow from the store's id")
    _verify_signature(receipt, certificates[-1].public)
    note = read_note(receipt.checkpoint, "the receipt's checkpoint")
    if note.checkpoint.store_id != store_id:
        raise InvalidEvidence("the receipt's checkpoint is of another store")
    verify_note(note, [certificates[-1].public], "the receipt's checkpoint")
    push, sweep, erased = (
        _verified(proved, certificates, note.checkpoint)
        for proved in (receipt.records.push, receipt.records.sweep, receipt.records.erased)
    )
    _check_story(push, sweep, erased, certificates)
    return Verified(
        store_id,
        bytes.fromhex(receipt.id),
        note.checkpoint,
        push,
        sweep,
        erased,
        *_opened(receipt, push, sweep),
    )


def _verify_signature(receipt: Exported, public: bytes) -> None:
    try:
        verify(public, bytes.fromhex(receipt.signature), signed_bytes(receipt))
    except SealBroken:
        raise InvalidEvidence("the receipt was altered: its signature does not verify") from None


def _verified(proved: ProvedRecord, certificates: Sequence[Certificate], checkpoint: Checkpoint) -> Clear:
    """The clear part of a record that the store's key signed and that the checkpoint's log holds."""
    data = from_base64(proved.record, f"record {proved.slot}")
    name = slot_name(proved.slot)
    try:
        frame = decode_frame(data, name)
    except Damaged as error:
        raise InvalidEvidence(error.message) from error
    clear = frame.clear
    known = certificates[clear.signer] if 0 <= clear.signer < len(certificates) else None
    if clear.store_id != checkpoint.store_id or clear.slot != proved.slot or clear.certificate != known:
        raise InvalidEvidence(f"{name} is of another store or slot, or of another key")
    try:
        verify(clear.certificate.public, frame.signature, SIGNING_CONTEXT + frame.signed)
    except SealBroken:
        raise InvalidEvidence(f"{name} was altered: its signature does not verify") from None
    verify_inclusion(leaf_of(data), proved.slot, checkpoint.slots, _hashes(proved.inclusion), checkpoint.root)
    verify_consistency(
        proved.slot, checkpoint.slots, clear.root, checkpoint.root, _hashes(proved.consistency)
    )
    return clear


def _hashes(proof: Sequence[Hex32]) -> list[bytes]:
    return [bytes.fromhex(one) for one in proof]


def _check_story(push: Clear, sweep: Clear, erased: Clear, certificates: Sequence[Certificate]) -> None:
    """A version is made, purged later by a sweep that begins a generation, and what that condemned was seen gone."""
    if not (
        push.type == RecordType.COMMIT
        and sweep.type == RecordType.SWEEP
        and erased.type == RecordType.ERASED
        and push.slot < sweep.slot < erased.slot
        and erased.erased == sweep.slot
        and sweep.generation < len(certificates)
        and handed_over(sweep) == certificates[sweep.generation]
    ):
        raise InvalidEvidence("the receipt's records are not those of a push, of a sweep and of its end")


def _opened(
    receipt: Exported, push: Clear, sweep: Clear
) -> tuple[dict[str, bytes], frozenset[bytes], tuple[int, int, int]]:
    """What the fields and the evidence say, held against what the records have committed to."""
    version = version_commitment(_hashes_of(receipt.version, VERSION_FIELDS))
    if version not in push.committed:
        raise InvalidEvidence("the record of the push has committed to another version")
    evidence = from_base64(receipt.evidence, "the evidence")
    purge = purge_commitment(
        version,
        bytes.fromhex(receipt.id),
        sha256(evidence).digest(),
        _hashes_of(receipt.purge, PURGE_FIELDS),
    )
    if purge not in sweep.purged:
        raise InvalidEvidence("the sweep has not purged this version, or with other evidence")
    listed = _Listed()
    if read_evidence(evidence, listed) != value_of("chunks", receipt.version["chunks"]):
        raise InvalidEvidence("the evidence lists other chunks than the push has committed to")
    counts = (listed.of_gone, listed.of_shared, listed.of_unread)
    if counts != (receipt.counts.gone, receipt.counts.shared, receipt.counts.unread):
        raise InvalidEvidence("the receipt counts other chunks than its evidence lists")
    values = {
        name: value
        for name, field in (*receipt.version.items(), *receipt.purge.items())
        if (value := value_of(name, field)) is not None
    }
    return values, frozenset(listed.prefixes), counts


def _hashes_of(fields: dict[str, Field], names: Sequence[str]) -> list[bytes]:
    return [hash_of(name, fields[name]) for name in names]
