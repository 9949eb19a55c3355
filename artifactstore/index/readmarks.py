"""Which packs this client has read whole, and when, so that a long check that was cut goes on where it stood.

A run chooses its packs by a seed of its own, so that its second part asks for the same ones. Marks are a convenience
like all of the index: without them a check reads everything again.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from artifactstore.crypto.hashing import blake3
from artifactstore.format.coding import decoder_of, encode
from artifactstore.index.environment import ReadTransaction, WriteTransaction
from artifactstore.index.tables import META, READ

_RUN: Final = b"reading run"
_CHOICE_BYTES: Final = 8


class ReadingRun(msgspec.Struct, array_like=True, frozen=True):
    """One reading of a store's packs, in as many parts as it takes.

    Attributes:
        started_ns: When it began, since the Unix epoch.
        percent: How many of the packs it reads.
        seed: Chooses them.
    """

    started_ns: int
    percent: float
    seed: bytes

    def chooses(self, pack: bytes) -> bool:
        """Whether the run reads a pack."""
        drawn = int.from_bytes(blake3(self.seed + pack)[:_CHOICE_BYTES], "big")
        return drawn < self.percent / 100 * (1 << 8 * _CHOICE_BYTES)


_decode_run = decoder_of(ReadingRun, "the reading run")


def open_run(txn: ReadTransaction) -> ReadingRun | None:
    """The run that was begun and not ended."""
    data = txn.get(META, _RUN)
    return None if data is None else _decode_run(data, "index")


def begin_run(txn: WriteTransaction, run: ReadingRun) -> None:
    """Begin a run, and forget any other."""
    txn.put(META, _RUN, encode(run))


def end_run(txn: WriteTransaction) -> None:
    """The run has read all that it chose."""
    txn.delete(META, _RUN)


def mark_read(txn: WriteTransaction, packs: Iterable[bytes], now_ns: int) -> None:
    """Remember that packs were read whole and found whole."""
    for name in packs:
        txn.put(READ, name, now_ns.to_bytes(8, "big"))


def read_since(txn: ReadTransaction, pack: bytes, started_ns: int) -> bool:
    """Whether a pack was read whole since then."""
    found = txn.get(READ, pack)
    return found is not None and int.from_bytes(found, "big") >= started_ns
