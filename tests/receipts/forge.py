"""Somebody who has every signing key of a store and makes a whole log and a receipt of it by hand, to lie in one place.

Everything is consistent but for the lie, so that a verifier which refuses the receipt refuses it for that.
"""

import base64
from collections.abc import Callable
from typing import Any

import msgspec

from artifactstore.crypto.hashing import sha256
from artifactstore.crypto.signing import SigningKey
from artifactstore.format import record as format_record
from artifactstore.format.commitment import field_hash, field_salt, version_commitment
from artifactstore.format.exported import SIGNING_CONTEXT, canonical
from artifactstore.format.page import chunks_root
from artifactstore.format.receipt import purge_commitment
from artifactstore.format.record import (
    Certificate,
    Clear,
    Handover,
    RecordType,
    StateNamed,
    encode_associated,
    handover_message,
)
from artifactstore.log.checkpoint import Checkpoint, sign_note
from artifactstore.log.merkle import leaf_of, subtree_root
from tests.log.test_proofs import GivenLeaves

Edit = Callable[[Clear], Clear]
PUSH, SWEEP, ERASED = 1, 3, 4
CIDS = [bytes([number]) * 32 for number in range(1, 4)]
SALT = bytes(32)


class Forge:
    """Makes a log of six records and a receipt of it. Used once.

    Attributes:
        edits: What to do to the clear part of the record at a slot before it is signed.
        raw: What to do to its bytes afterwards; the log takes them as they are.
        signers: Which key signs it, where it is another than the generation's.
        change: What to do to the receipt before it is signed.
    """

    def __init__(self) -> None:
        self.keys = [SigningKey(bytes([number]) * 32) for number in (7, 8)]
        self.store_id = sha256(self.keys[0].public_bytes)
        self.handover_slot = SWEEP
        self.edits: dict[int, Edit] = {}
        self.raw: dict[int, Callable[[bytes], bytes]] = {}
        self.signers: dict[int, SigningKey] = {}
        self.change: Callable[[dict[str, Any]], object] = lambda _: None
        # What the push has committed to, and what the evidence lists.
        self.pushed = CIDS[:2]
        self.listed = CIDS[:2]
        self.origin = self.store_id

    @property
    def certificates(self) -> list[Certificate]:
        """Of both generations."""
        message = handover_message(self.store_id, 1, self.handover_slot, self.keys[1].public_bytes)
        return [
            Certificate(self.keys[0].public_bytes, 0, b""),
            Certificate(self.keys[1].public_bytes, self.handover_slot, self.keys[0].sign(message)),
        ]

    def receipt(self) -> bytes:
        """The receipt, signed by the last key."""
        values = self._values(self.pushed)
        hashes = [field_hash(field_salt(SALT, name), value) for name, value in values.items()]
        version = version_commitment(hashes)
        purge_values = {"number": b"0", "deleted": b"1000", "reason": b"why", "requested-by": b"who"}
        purge_hashes = [field_hash(field_salt(SALT, name), value) for name, value in purge_values.items()]
        evidence = self._evidence()
        purge = purge_commitment(version, bytes(16), sha256(evidence), purge_hashes)
        records = self._log(version, purge)
        leaves = [leaf_of(data) for data in records]
        prover, size = GivenLeaves(leaves), len(leaves)
        document = {
            "format": "artifactstore receipt v1",
            "store": self.store_id.hex(),
            "id": bytes(16).hex(),
            "certificates": [
                {"public": one.public.hex(), "slot": one.slot, "signature": one.signature.hex()}
                for one in self.certificates
            ],
            "checkpoint": sign_note(Checkpoint(self.origin, size, subtree_root(leaves)), self.keys[1]),
            "records": {
                name: {
                    "slot": slot,
                    "record": base64.b64encode(records[slot]).decode(),
                    "inclusion": [one.hex() for one in prover.inclusion(slot, size)],
                    "consistency": [one.hex() for one in prover.consistency(slot, size)],
                }
                for name, slot in (("push", PUSH), ("sweep", SWEEP), ("erased", ERASED))
            },
            "version": {name: {"hash": one.hex()} for name, one in zip(values, hashes, strict=True)}
            | {"chunks": {"salt": field_salt(SALT, "chunks").hex(), "value": values["chunks"].hex()}},
            "purge": {
                name: {"hash": one.hex()} for name, one in zip(purge_values, purge_hashes, strict=True)
            },
            "evidence": base64.b64encode(evidence).decode(),
            "counts": {"gone": 1 + len(self.listed), "shared": 0, "unread": 0},
        }
        self.change(document)
        signature = self.keys[1].sign(SIGNING_CONTEXT + canonical(document)).hex()
        return canonical(document | {"signature": signature})

    def _values(self, cids: list[bytes]) -> dict[str, bytes]:
        root = chunks_root(b"".join(cids))
        page = bytes([9]) * 32
        return {
            "project": b"p", "name": b"n", "digest": bytes(32), "page": page, "chunks": page[:16] + root,
        }  # fmt: skip

    def _evidence(self) -> bytes:
        prefixes = b"".join(cid[:16] for cid in self.listed)
        marks = bytes([(1 << len(self.listed)) - 1])
        return bytes([9]) * 16 + b"\1" + len(self.listed).to_bytes(4, "big") + prefixes + marks + bytes(4)

    def _log(self, version: bytes, purge: bytes) -> list[bytes]:
        records: list[bytes] = []
        for slot in range(6):
            clear = self._clear(slot, subtree_root([leaf_of(data) for data in records]))
            if slot == PUSH:
                clear = msgspec.structs.replace(clear, committed=[version])
            if slot == SWEEP:
                message = handover_message(self.store_id, 1, slot, self.keys[1].public_bytes)
                clear = msgspec.structs.replace(
                    clear,
                    purged=[purge],
                    condemned=["packs/00/" + "00" * 32],
                    handover=Handover(self.keys[1].public_bytes, self.keys[0].sign(message)),
                    state=StateNamed(slot, [bytes(32)], [bytes(32)]),
                )
            clear = self.edits.get(slot, lambda same: same)(clear)
            body = encode_associated(clear, 100) + bytes(100)
            signer = self.signers.get(slot, self.keys[0 if slot <= SWEEP else 1])
            data = body + signer.sign(format_record.SIGNING_CONTEXT + body)
            records.append(self.raw.get(slot, lambda same: same)(data))
        return records

    def _clear(self, slot: int, root: bytes) -> Clear:
        kinds = {0: RecordType.CREATE, SWEEP: RecordType.SWEEP, ERASED: RecordType.ERASED}
        return Clear(
            store_id=self.store_id,
            slot=slot,
            root=root,
            operation=bytes(16),
            type=kinds.get(slot, RecordType.COMMIT),
            generation=int(slot >= SWEEP),
            certificate=self.certificates[int(slot > SWEEP)],
            packs=[],
            condemned=[],
            committed=[],
            purged=[],
            keys=[bytes(32)],
            state=None,
            state_slot=None,
            sweep_slot=SWEEP if slot > SWEEP else None,
            time_ms=1000 * slot,
            features=[],
            handover=None,
            erased=SWEEP if slot == ERASED else None,
        )
