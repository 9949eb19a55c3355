"""Erasing: deletes what sweeps condemned, in every form that the backend keeps, and records that it was seen gone.

Any member who may write can finish what another one left, as often as needed: a condemned object stays condemned. What
a late upload brings back is found by the next look, and deleted again.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX, Backend
from artifactstore.catalog.commit import Committer
from artifactstore.catalog.generation import condemned
from artifactstore.errors import ArtifactStoreError, PreconditionFailed
from artifactstore.executors import Executors
from artifactstore.format.record import RecordType
from artifactstore.index.environment import Environment, ReadTransaction
from artifactstore.progress import Progress

_REASONS_MAX: Final = 100
_SHARES: Final = 4


class Left(NamedTuple):
    """A condemned object that could not be deleted.

    Attributes:
        name: Its name.
        reason: Why.
        next_step: What helps.
    """

    name: str
    reason: str
    next_step: str


class Erased(NamedTuple):
    """What an erasing did.

    Attributes:
        objects: How many objects were seen gone.
        sweeps: Slots of the sweeps whose objects are all gone, as records say now.
        left: The first objects that could not be deleted.
        left_total: How many there are of them.
    """

    objects: int
    sweeps: tuple[int, ...]
    left: tuple[Left, ...]
    left_total: int


def erase_condemned(
    backend: Backend, environment: Environment, committer: Committer, executors: Executors, progress: Progress
) -> Erased:
    """Delete every object that a sweep condemned and that no record says was seen gone.

    Args:
        backend: Where they lie.
        environment: The client index, at the head of the log.
        committer: Records that a sweep's objects are gone.
        executors: `io` runs the deletions.
        progress: Told what happens.
    """
    with environment.read() as txn:
        by_sweep: dict[int, list[str]] = {}
        for name, slot in condemned(txn):
            by_sweep.setdefault(slot, []).append(name)
    progress.start("erase", files_total=sum(map(len, by_sweep.values())))
    left: list[Left] = []
    done: list[int] = []
    objects = 0
    for slot, names in sorted(by_sweep.items()):
        remaining = erase(backend, names, executors, progress)
        objects += len(names) - len(remaining)
        left += remaining
        # Invariant 9: only what was looked for after its deletion counts as gone.
        if not remaining and _record(committer, slot):
            done.append(slot)
    progress.finish()
    return Erased(objects, tuple(done), tuple(left[:_REASONS_MAX]), len(left))


def erase(backend: Backend, names: Sequence[str], executors: Executors, progress: Progress) -> list[Left]:
    """Delete objects in every form; return those of which something is left."""
    left: list[Left] = []
    for start in range(0, len(names), PARALLEL_REQUESTS_MAX):
        lot = names[start : start + PARALLEL_REQUESTS_MAX]
        # A folder, too, takes its time over each large file, and over the fsync of what it lay in: neighbours share it.
        size = -(-len(lot) // _SHARES)
        shares = [lot[at : at + size] for at in range(0, len(lot), size)]
        under_way = [executors.io.submit(_erase_lot, backend, share) for share in shares]
        for share, erasing in zip(shares, under_way, strict=True):
            left += erasing.result()
            progress.advance(files=len(share))
    return left


def _erase_lot(backend: Backend, lot: Sequence[str]) -> list[Left]:
    left: list[Left] = []
    erased = backend.erase_many(lot)
    traces = backend.together([partial(backend.traces, name) for name in lot])
    for name, deleted, there in zip(lot, erased, traces, strict=True):
        problem = next((one for one in (deleted, there) if isinstance(one, ArtifactStoreError)), None)
        if there is not False:
            left.append(
                Left(name, "it is still there", "")
                if problem is None
                else Left(name, problem.message, problem.next_step)
            )
    return left


def _record(committer: Committer, slot: int) -> bool:
    """Commit that a sweep's objects are gone, unless another client has by now."""

    def is_open(txn: ReadTransaction) -> None:
        if all(at != slot for _, at in condemned(txn)):
            raise PreconditionFailed(f"a record says already that all of sweep {slot} is gone")

    try:
        committer.commit([], kind=RecordType.ERASED, erased=slot, precondition=is_open)
    except PreconditionFailed:
        return False
    return True
