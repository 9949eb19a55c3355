"""Distributed pushes: which were begun, which of their parts are finished, and how they ended.

All that the pages of a finished part reach are roots until the push commits, is given up, or a sweep finds it expired.
What a push came to stays known until a sweep that comes long after: whoever asks late is told.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final, NamedTuple

import msgspec

from artifactstore.catalog.outcome import Cause, Outcome
from artifactstore.catalog.pending import PendingRow, pending
from artifactstore.format.coding import decoder_of, encode
from artifactstore.format.operations import Begin, Ended, Manifest, Part, PartDropped
from artifactstore.index.environment import ReadTransaction, WriteTransaction
from artifactstore.index.tables import BEGUN, PARTS

NOT_OPEN: Final = "there is no such distributed push, or it has ended"
_BEGUN_BEFORE: Final = "a distributed push was begun under this id before"
_PUSH_BYTES: Final = 16
# How long a push that has ended is remembered at least: a sweep that comes later forgets it.
_REMEMBERED_MS: Final = 7 * 24 * 3600 * 1000


class BegunRow(msgspec.Struct, array_like=True, frozen=True):
    """One distributed push.

    Attributes:
        project: Of the version that it makes.
        name: Likewise.
        type: Likewise.
        parts: How many parts it has.
        description: As in `Push`.
        metadata: As in `Push`.
        aliases: As in `Push`.
        tags: As in `Push`.
        slot: The record that began it.
        time_ms: Advisory time of that record.
        member: Slot key id that its writer claimed.
        ended_slot: The record that ended it; None while it is open.
        ended_ms: Advisory time of that record.
        committed: Whether that record made its version.
    """

    project: str
    name: str
    type: str
    parts: int
    description: str | None
    metadata: dict[str, Any] | None
    aliases: list[str]
    tags: list[str]
    slot: int
    time_ms: int
    member: bytes
    ended_slot: int | None
    ended_ms: int
    committed: bool


class PartRow(msgspec.Struct, array_like=True, frozen=True):
    """One finished part.

    Attributes:
        manifest: What it holds.
        new_bytes: As in `Push`.
        stored_bytes: As in `Push`.
        packs: As in `Push`.
        slot: The record that finished it.
        time_ms: Advisory time of that record.
        member: Slot key id that its writer claimed.
    """

    manifest: Manifest
    new_bytes: int
    stored_bytes: int
    packs: list[bytes]
    slot: int
    time_ms: int
    member: bytes


class FinishedPart(NamedTuple):
    """A finished part of a push that is open.

    Attributes:
        push: The push's id.
        part: The part's number.
        row: What is known of it.
    """

    push: bytes
    part: int
    row: PartRow


_decode_begun = decoder_of(BegunRow, "a row of a distributed push")
_decode_part = decoder_of(PartRow, "a row of a finished part")


def attempt_id(push: bytes, part: int) -> bytes:
    """The id under which whoever makes a part registers packs: whoever makes it again goes on with it."""
    return sha256(b"artifactstore part\0" + push + part.to_bytes(4, "big")).digest()[:_PUSH_BYTES]


def get_begun(txn: ReadTransaction, push: bytes) -> BegunRow | None:
    """One distributed push, open or ended, or None."""
    data = txn.get(BEGUN, push)
    return None if data is None else _decode_begun(data, "index")


def begun(txn: ReadTransaction) -> Iterator[tuple[bytes, BegunRow]]:
    """Every distributed push that is remembered, by id."""
    for key, data in txn.scan(BEGUN):
        yield bytes(key), _decode_begun(data, "index")


def get_part(txn: ReadTransaction, push: bytes, part: int) -> PartRow | None:
    """One finished part, or None."""
    data = txn.get(PARTS, _part_key(push, part))
    return None if data is None else _decode_part(data, "index")


def finished_parts(txn: ReadTransaction, push: bytes = b"") -> Iterator[FinishedPart]:
    """The finished parts of one push by number, or of all that are open."""
    for key, data in txn.scan(PARTS, push):
        number = int.from_bytes(key[_PUSH_BYTES:], "big")
        yield FinishedPart(bytes(key[:_PUSH_BYTES]), number, _decode_part(data, "index"))


class OpenPush(NamedTuple):
    """A distributed push that is open.

    Attributes:
        push: Its id.
        row: What is known of it.
        finished: Its finished parts, by number.
        attempts: Records that registered packs for parts, finished or not, by part and slot.
    """

    push: bytes
    row: BegunRow
    finished: dict[int, PartRow]
    attempts: list[tuple[int, PendingRow]]

    @property
    def missing(self) -> list[int]:
        """Numbers of the parts that are not finished."""
        return [part for part in range(self.row.parts) if part not in self.finished]

    @property
    def heard(self) -> list[tuple[int, int]]:
        """The records which show that somebody is at it, each as (slot, advisory time in ms)."""
        return [
            (self.row.slot, self.row.time_ms),
            *((row.slot, row.time_ms) for row in self.finished.values()),
            *((row.slot, row.time_ms) for _, row in self.attempts),
        ]


def open_push(txn: ReadTransaction, push: bytes) -> OpenPush | None:
    """One distributed push; None when there is no such, or it has ended."""
    row = get_begun(txn, push)
    if row is None or row.ended_slot is not None:
        return None
    finished = {one.part: one.row for one in finished_parts(txn, push)}
    attempts = [(part, one) for part in range(row.parts) for one in pending(txn, attempt_id(push, part))]
    return OpenPush(push, row, finished, attempts)


def open_pushes(txn: ReadTransaction) -> list[OpenPush]:
    """Every distributed push that is open, by id."""
    found = [open_push(txn, push) for push, row in list(begun(txn)) if row.ended_slot is None]
    return [one for one in found if one is not None]


def apply_distributed(
    txn: WriteTransaction, operation: Begin | Part | PartDropped | Ended, cause: Cause
) -> Outcome:
    """Apply an operation of a distributed push."""
    row = get_begun(txn, operation.push)
    if isinstance(operation, Begin):
        if row is not None:
            return Outcome(None, skipped=_BEGUN_BEFORE)
        txn.put(BEGUN, operation.push, encode(_new_row(operation, cause)))
        return Outcome(None)
    if row is None or row.ended_slot is not None:
        return Outcome(None, skipped=NOT_OPEN)
    if isinstance(operation, Part):
        if operation.part >= row.parts:
            return Outcome(None, skipped=NOT_OPEN)
        made = PartRow(
            operation.manifest,
            operation.new_bytes,
            operation.stored_bytes,
            operation.packs,
            cause.slot,
            cause.time_ms,
            cause.member,
        )
        txn.put(PARTS, _part_key(operation.push, operation.part), encode(made))
    elif isinstance(operation, PartDropped):
        txn.delete_many(PARTS, [_part_key(operation.push, part) for part in sorted(set(operation.parts))])
    else:
        _drop_parts(txn, operation.push)
        ended = msgspec.structs.replace(
            row,
            description=None,
            metadata=None,
            aliases=[],
            tags=[],
            ended_slot=cause.slot,
            ended_ms=cause.time_ms,
            committed=operation.committed,
        )
        txn.put(BEGUN, operation.push, encode(ended))
    return Outcome(None)


def distributed_at(txn: ReadTransaction, operation: Begin | Part | PartDropped | Ended, slot: int) -> Outcome:
    """What such an operation of the applied record at `slot` did, as far as the catalog still says."""
    row = get_begun(txn, operation.push)
    if isinstance(operation, Begin):
        known = row is not None and row.slot == slot
        return Outcome(None, skipped="" if known else _BEGUN_BEFORE)
    # What was open until a later record was open then.
    was_open = row is not None and (row.ended_slot is None or row.ended_slot >= slot)
    return Outcome(None, skipped="" if was_open else NOT_OPEN)


def drop_begun(txn: WriteTransaction, push: bytes) -> None:
    """Forget a distributed push that a sweep found expired, with its parts, unless it has ended meanwhile."""
    row = get_begun(txn, push)
    if row is not None and row.ended_slot is None:
        _drop_parts(txn, push)
        txn.delete(BEGUN, push)


def forget_ended(txn: WriteTransaction, now_ms: int) -> None:
    """Forget pushes that ended long before a sweep."""
    gone = [
        push
        for push, row in begun(txn)
        if row.ended_slot is not None and row.ended_ms + _REMEMBERED_MS <= now_ms
    ]
    txn.delete_many(BEGUN, gone)


def _new_row(operation: Begin, cause: Cause) -> BegunRow:
    return BegunRow(
        operation.project,
        operation.name,
        operation.type,
        operation.parts,
        operation.description,
        operation.metadata,
        operation.aliases,
        operation.tags,
        cause.slot,
        cause.time_ms,
        cause.member,
        None,
        0,
        committed=False,
    )


def _part_key(push: bytes, part: int) -> bytes:
    return push + part.to_bytes(4, "big")


def _drop_parts(txn: WriteTransaction, push: bytes) -> None:
    txn.delete_many(PARTS, [bytes(key) for key, _ in list(txn.scan(PARTS, push))])
