"""Repair: does what a plan says, by records that everyone applies.

First a record takes broken packs out of use, so that whatever is pushed from then on relies on none of them; then what
can still be read from them is stored in new packs (invariant 1); then newcomers get a state that they can read. Each
step stands alone: a repair that is cut has done nothing wrong, and the next plan holds what is left.
"""

from typing import NamedTuple

import msgspec

from artifactstore.backend.base import Backend
from artifactstore.catalog.commit import Committer
from artifactstore.clock import Randomness
from artifactstore.content.put import Chunk, ChunkWriter
from artifactstore.errors import Damaged, PreconditionFailed
from artifactstore.executors import Executors
from artifactstore.format.operations import Damage
from artifactstore.index.environment import Environment, ReadTransaction
from artifactstore.index.tables import PackTable, damaged_packs
from artifactstore.keyring.keyring import Keyring
from artifactstore.log.log import Log
from artifactstore.maintenance.examination import blobs_of
from artifactstore.maintenance.findings import BrokenPack
from artifactstore.maintenance.rebuild import rebuilt_state
from artifactstore.maintenance.repair_plan import RepairPlan
from artifactstore.progress import Progress


class RepairSummary(msgspec.Struct, frozen=True):
    """What a repair did.

    Attributes:
        taken_out: Packs taken out of use.
        taken_back: Packs taken back into use.
        saved_bytes: Raw bytes of chunks that were read from broken packs and stored anew.
        packs_added: Packs that hold them.
        new_state: Whether a new state was written.
        tiles: Tiles that were written.
        problems_left: Problems that are beyond a repair.
    """

    taken_out: int
    taken_back: int
    saved_bytes: int
    packs_added: int
    new_state: bool
    tiles: int
    problems_left: int


class RepairParts(NamedTuple):
    """The parts that a repair runs through."""

    backend: Backend
    keyring: Keyring
    environment: Environment
    packs: PackTable
    log: Log
    committer: Committer
    writer: ChunkWriter
    executors: Executors
    randomness: Randomness
    progress: Progress


class Repairer:
    """One repair. Used once."""

    def __init__(self, parts: RepairParts) -> None:
        self._parts = parts

    def run(self, plan: RepairPlan) -> RepairSummary:
        """Do what a plan says.

        Raises:
            Damaged: The plan says that nothing may be done.
            PreconditionFailed: A pack that was found whole again was called damaged once more meanwhile.
        """
        if plan.refused:
            raise Damaged(plan.refused, next_step="artifactstore check")
        parts = self._parts
        parts.progress.start("repair", files_total=len(plan.save) + len(plan.tiles) or None)
        if plan.take_out or plan.take_back:
            self._mark(plan)
        saved = packs = 0
        for pack in plan.save:
            raw_bytes, added = self._save(pack)
            saved, packs = saved + raw_bytes, packs + added
            parts.progress.advance(files=1, new_bytes=raw_bytes)
        if plan.new_state:
            self._renew_state()
        for name in plan.tiles:
            parts.log.write_tile(name)
            parts.progress.advance(files=1)
        parts.progress.finish()
        return RepairSummary(
            taken_out=len(plan.take_out),
            taken_back=len(plan.take_back),
            saved_bytes=saved,
            packs_added=packs,
            new_state=plan.new_state,
            tiles=len(plan.tiles),
            problems_left=len(plan.beyond),
        )

    def _mark(self, plan: RepairPlan) -> None:
        def unchanged(txn: ReadTransaction) -> None:
            now = damaged_packs(txn)
            if any(now.get(name, slot) != slot for name, slot in plan.take_back):
                raise PreconditionFailed(
                    "a pack that was found whole again was called damaged once more meanwhile",
                    next_step="plan the repair anew",
                )

        operation = Damage([pack.name for pack in plan.take_out], [name for name, _ in plan.take_back])
        self._parts.committer.commit([operation], precondition=unchanged)

    def _save(self, broken: BrokenPack) -> tuple[int, int]:
        """Store anew what can still be read from a pack and lies in no whole one; return (raw bytes, packs)."""
        parts = self._parts
        with parts.environment.read() as txn:
            pack = parts.packs.get(txn, broken.number)
        if pack is None or pack.added.name != broken.name:
            raise PreconditionFailed(
                f"this client's index no longer knows {broken.object}", next_step="plan the repair anew"
            )
        saved = 0
        for blob in blobs_of(parts.backend, parts.keyring, parts.environment, pack):
            saved += parts.writer.put(broken.type, [Chunk(cid, data) for cid, data in blob.chunks])
        # Invariant 12: they are stored before the record names them.
        added = parts.writer.drain()
        if added:
            parts.committer.commit([], added)
            parts.writer.registered(added)
        return saved, len(added)

    def _renew_state(self) -> None:
        parts = self._parts
        state = rebuilt_state(
            parts.backend, parts.environment, parts.packs, parts.keyring, parts.executors, parts.randomness
        )
        parts.committer.commit([], state=state)
