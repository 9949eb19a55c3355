"""What sweeps took, judged: nothing of a push that still runs, and every chunk that only purged versions had."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from artifactstore.client.opening import Parts
from artifactstore.crypto.hashing import keyed_blake3
from artifactstore.format.limits import CID_PREFIX_BYTES
from artifactstore.format.operations import Pending, PendingDone
from artifactstore.format.pack import PackType
from artifactstore.format.record import Clear, RecordType
from artifactstore.index.tables import CHUNKS
from artifactstore.maintenance.settings import EXPIRY_MS_DEFAULT
from artifactstore.pack.names import pack_name
from artifactstore.testing.scheduler import Author, Broken
from artifactstore.testing.witness import Witnessed

# A sweeper's clock may be off by an hour, and so may what it is held against.
_SURELY_RUNNING_NS: Final = EXPIRY_MS_DEFAULT * 1_000_000 - 2 * 3600 * 1_000_000_000
_ROOTS: Final = (PackType.DATA, PackType.PAGE, PackType.LIST)


class _Running:
    """A push that has registered packs and is not done."""

    def __init__(self) -> None:
        self.packs: set[str] = set()
        self.time_ns = 0


def judge_roots(records: Sequence[Witnessed], gives_up: Callable[[Author | None], bool]) -> None:
    """Demand that no sweep condemned a pack of a push that was still running (invariant 5).

    Args:
        records: The log.
        gives_up: Whether somebody collects whatever the age, and so gives up every push that is not done.

    Raises:
        Broken: One did.
    """
    running: dict[bytes, _Running] = {}
    for author, opened, time_ns in records:
        if opened.clear is None or opened.sealed is None:
            continue  # a stranger's
        if opened.clear.type == RecordType.SWEEP:
            _judge_sweep(opened.clear, running, time_ns, gives_up=gives_up(author))
        for operation in opened.sealed.operations:
            if isinstance(operation, Pending):
                push = running.setdefault(operation.push, _Running())
                push.packs |= {pack_name(pack.name) for pack in opened.clear.packs if pack.type in _ROOTS}
                push.time_ns = time_ns
            elif isinstance(operation, PendingDone):
                running.pop(operation.push, None)


def _judge_sweep(clear: Clear, running: dict[bytes, _Running], time_ns: int, *, gives_up: bool) -> None:
    for push, found in list(running.items()):
        taken = found.packs.intersection(clear.condemned)
        if not taken:
            continue
        if not gives_up and time_ns < found.time_ns + _SURELY_RUNNING_NS:
            raise Broken(
                f"invariant 5: the sweep {clear.slot} takes {sorted(taken)} of a push that still runs"
            )
        del running[push]


def judge_gone(parts: Parts, purged: Iterable[bytes], needed: Iterable[bytes]) -> None:
    """Demand that no pack is left with a file that only purged versions held.

    Args:
        parts: A client at the head of the log.
        purged: Files of purged versions, each one chunk.
        needed: Files that something else may hold.

    Raises:
        Broken: One is left.
    """
    key = parts.keyring.cid_key(PackType.DATA.name.lower())
    parts.locator.complete()
    with parts.environment.read() as txn:
        for data in set(purged) - set(needed):
            if txn.get(CHUNKS, keyed_blake3(key, data)[:CID_PREFIX_BYTES]) is not None:
                raise Broken(f"invariant 13: {len(data)} bytes of a purged version lie in a pack that stays")
