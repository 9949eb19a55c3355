"""Auditing a store from outside: no key, no index, nothing but its URL and what the auditor remembers of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from artifactstore import maintenance
from artifactstore.client.opening import access_to, backend_of, identity_of
from artifactstore.client.pins import expected_id, pin, pinned, refuse_other_id, remember_seen, seen
from artifactstore.clock import Clock, Randomness, SystemClock, SystemRandomness
from artifactstore.errors import InvalidEvidence
from artifactstore.log.checkpoint import Checkpoint, read_note
from artifactstore.progress import Progress, Quiet

_LAST_AUDIT: Final = "this client's last audit"


def audit(
    url: str | os.PathLike[str],
    *,
    store_id: str | None = None,
    checkpoint: str | None = None,
    receipt: bytes | None = None,
    read_data: bool = False,
    cache_dir: Path | None = None,
    storage_options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
    randomness: Randomness | None = None,
) -> maintenance.audit.AuditReport:
    """Check what can be checked of a store without a key: its log, and that the objects are there which should be.

    It needs to read the bucket, and writes nothing to it. What it saw of the log is remembered in `cache_dir`, so that
    the next audit notices when an older copy of the bucket was put in its place.

    Args:
        url: Where the store lies.
        store_id: The id that it must have, as hex; None to take what this client saw there first.
        checkpoint: A checkpoint that its log must agree with: a signed note, or the text of one.
        receipt: An exported receipt: what it calls gone is looked for, and its log must be this one.
        read_data: Read every live pack whole, and hold its bytes against its name.
        cache_dir: Where this client remembers what it saw.
        storage_options: How the backend is reached.
        progress: Told what happens.
        clock: Time.
        randomness: Randomness.

    Raises:
        NoSuchStore: There is none.
        RolledBack: Another store lies there than the one expected.
        InvalidEvidence: The checkpoint is none, or of another store; or the receipt does not verify,
            or is another store's.
        NewerStore: A record needs a newer release.
    """
    verified = None if receipt is None else maintenance.verifying.verify_receipt(receipt)
    access = access_to(url, cache_dir=cache_dir, storage_options=storage_options)
    time = clock or SystemClock()
    backend = backend_of(access, time, randomness or SystemRandomness(), make=False)
    try:
        found, _, _ = identity_of(backend)
        expected = expected_id(store_id, pinned(access.cache_dir, access.url))
        refuse_other_id(backend.url, expected, found, named=bool(store_id))
        known = _known(found, verified, checkpoint, seen(access.cache_dir, access.url))
        auditor = maintenance.audit.Auditor(backend, found, time, progress or Quiet(), verified)
        report = auditor.run(known, read_data=read_data)
        pin(access.cache_dir, access.url, found)
        if not any(problem.part == "log" for problem in report.problems):
            remember_seen(access.cache_dir, access.url, report.checkpoint)
    finally:
        backend.close()
    return report


def _known(
    store_id: bytes, receipt: maintenance.verifying.Verified | None, checkpoint: str | None, last: str | None
) -> list[maintenance.audit.Known]:
    """What the log must agree with: a receipt, a checkpoint, and what the last audit left."""
    known = [] if last is None else _remembered(last, store_id)
    if receipt is not None:
        if receipt.store_id != store_id:
            raise InvalidEvidence(
                "the receipt is of another store", expected=store_id.hex(), found=receipt.store_id.hex()
            )
        known.append(maintenance.audit.Known(receipt.checkpoint, "the receipt"))
    if checkpoint is not None:
        known.append(maintenance.audit.Known(_checked(checkpoint, store_id), "the checkpoint"))
    return known


def _checked(text: str, store_id: bytes) -> Checkpoint:
    """The checkpoint that somebody gave this client.

    Whether the store signed it does not matter: it is held against the log, and a wrong one makes an audit fail.
    """
    note = read_note(text, "the checkpoint")
    if note.checkpoint.store_id != store_id:
        raise InvalidEvidence(
            "the checkpoint is of another store",
            expected=store_id.hex(),
            found=note.checkpoint.store_id.hex(),
        )
    return note.checkpoint


def _remembered(text: str, store_id: bytes) -> list[maintenance.audit.Known]:
    """What the last audit left; of another store, or spoilt by a crash, it says nothing."""
    try:
        checkpoint = read_note(text, _LAST_AUDIT).checkpoint
    except InvalidEvidence:
        return []
    return [maintenance.audit.Known(checkpoint, _LAST_AUDIT)] if checkpoint.store_id == store_id else []
