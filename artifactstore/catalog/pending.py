"""Pushes that are still running: which records registered packs for them, and when.

Until a push commits, is given up, or a sweep finds it expired, the chunks of the packs that it registered are roots.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from artifactstore.catalog.outcome import Cause
from artifactstore.index.environment import ReadTransaction, WriteTransaction
from artifactstore.index.tables import PENDING

_PUSH_BYTES: Final = 16


class PendingRow(NamedTuple):
    """One record of a push that is still running.

    Attributes:
        push: The push's id.
        slot: The record.
        time_ms: Its advisory time.
    """

    push: bytes
    slot: int
    time_ms: int


def put_pending(txn: WriteTransaction, push: bytes, cause: Cause) -> None:
    """Note a record that registered packs for a push."""
    txn.put(PENDING, push + cause.slot.to_bytes(8, "big"), cause.time_ms.to_bytes(8, "big"))


def drop_pending(txn: WriteTransaction, push: bytes) -> None:
    """Forget a push: its packs are roots no more."""
    txn.delete_many(PENDING, [bytes(key) for key, _ in list(txn.scan(PENDING, push))])


def pending(txn: ReadTransaction, push: bytes = b"") -> Iterator[PendingRow]:
    """Every record of a push that is still running, or of that one push, push by push, in the order of the log."""
    for key, time_ms in txn.scan(PENDING, push):
        yield PendingRow(
            bytes(key[:_PUSH_BYTES]), int.from_bytes(key[_PUSH_BYTES:], "big"), int.from_bytes(time_ms, "big")
        )
