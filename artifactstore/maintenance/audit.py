"""Audit: what anybody can check of a store who may read its bucket, without key and without index.

The log is walked from slot 0: signatures, chained roots, tiles. From its clear parts follows which objects should be
there and which should not; both are held against the bucket. An audit writes nothing and decrypts nothing. What changes
while it runs is no finding: the log is looked at once more before something is called missing.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from artifactstore.backend.base import Backend
from artifactstore.clock import Clock
from artifactstore.crypto.hashing import sha256
from artifactstore.errors import (
    ArtifactStoreError,
    Damaged,
    ObjectMissing,
    ObjectTooLarge,
    PermissionRefused,
    RolledBack,
    StillThere,
)
from artifactstore.format.keys import KEYS_BYTES_MAX
from artifactstore.format.record import slot_name
from artifactstore.log.checkpoint import Checkpoint
from artifactstore.log.walk import Walk
from artifactstore.maintenance.audit_packs import PackAudit
from artifactstore.maintenance.findings import Objects, Pile, Problem, problem_of
from artifactstore.maintenance.holdings import Holdings
from artifactstore.maintenance.tile_check import TileCheck
from artifactstore.progress import Progress

_RESTORE: Final = (
    "put that object back from a copy of the bucket, byte for byte: nothing else can make it again"
)
_OLDER: Final = (
    "ask who runs the bucket: an older copy of it was put in its place, or its newest records were taken away"
)


class Known(NamedTuple):
    """A checkpoint that the log must still agree with.

    Attributes:
        checkpoint: What the log was.
        source: Who says so, for messages.
    """

    checkpoint: Checkpoint
    source: str


class AuditReport(msgspec.Struct, frozen=True):
    """What an audit found.

    Attributes:
        store_id: The store, as hex.
        problems: All that is wrong.
        records: Slots that were verified.
        root: Merkle root over them, as hex.
        generation: The generation of the last record.
        time_ns: When the last record was written, as its writer says.
        packs: Live packs that were looked at.
        pack_bytes: Their bytes, as records say.
        chunks: Chunks that they hold, as their trailers say.
        bytes_read: Bytes of packs that were read whole.
        condemned: Names that records have given up for deletion.
        unerased: Those of them that are still there, where no record says yet that they are gone.
        unnamed: Packs and keys that no record names: of a push that is still running, or put there by a stranger; None
            where listing is forbidden.
        checkpoint: What was seen of the log, as the text of a checkpoint.
    """

    store_id: str
    problems: tuple[Problem, ...]
    records: int
    root: str
    generation: int
    time_ns: int
    packs: int
    pack_bytes: int
    chunks: int
    bytes_read: int
    condemned: int
    unerased: Objects
    unnamed: Objects | None
    checkpoint: str

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class Auditor:
    """One audit of one store. Used once.

    Args:
        backend: Where the objects lie; it need only be readable.
        store_id: The store.
        clock: Waits for a record that shows late.
        progress: Told what happens.
    """

    def __init__(self, backend: Backend, store_id: bytes, clock: Clock, progress: Progress) -> None:
        self._backend = backend
        self._store_id = store_id
        self._progress = progress
        self._walk = Walk(backend, store_id, clock)
        self._holdings = Holdings()
        self._tiles = TileCheck(backend)
        self._packs = PackAudit(backend, progress)
        self._problems: list[Problem] = []
        self._unerased = Pile()
        self._unnamed: Pile | None = Pile()

    def run(self, known: Sequence[Known] = (), *, read_data: bool = False) -> AuditReport:
        """Audit everything.

        Args:
            known: Checkpoints that the log must agree with.
            read_data: Read every live pack whole.

        Raises:
            NewerStore: A record needs a newer release.
        """
        if self._walked(known):
            live = dict(self._holdings.live)
            self._packs.run(live, self._listed(), read_data=read_data)
            self._check_keys()
            self._catch_up()
        self._progress.finish()
        return AuditReport(
            store_id=self._store_id.hex(),
            problems=(*self._problems, *self._packs.problems.values()),
            records=self._walk.slots,
            root=self._walk.root.hex(),
            generation=self._holdings.generation,
            time_ns=self._holdings.time_ms * 1_000_000,
            packs=self._packs.packs,
            pack_bytes=self._packs.pack_bytes,
            chunks=self._packs.chunks,
            bytes_read=self._packs.bytes_read,
            condemned=len(self._holdings.condemned),
            unerased=self._unerased.objects(),
            unnamed=None if self._unnamed is None else self._unnamed.objects(),
            checkpoint=Checkpoint(self._store_id, self._walk.slots, self._walk.root).text,
        )

    # --- the log ----------------------------------------------------------------------------------------------

    def _walked(self, known: Sequence[Known]) -> bool:
        """Walk the log up to its head, and say whether it is whole."""
        self._progress.start("audit records")
        try:
            for walked in self._walk.records():
                self._tiles.add(walked.slot, walked.leaf, walked.record)
                if walked.clear is not None:
                    try:
                        self._holdings.add(walked.clear)
                    except Damaged as error:
                        self._note(error, slot_name(walked.slot), "log")
                for one in known:
                    if one.checkpoint.slots == self._walk.slots:
                        self._compare(one)
                self._progress.advance(files=1)
        except Damaged as error:
            error.next_step = _RESTORE
            self._note(error, "log", "log")
            return False
        for one in known:
            if one.checkpoint.slots > self._walk.slots:
                message = (
                    f"the log ends before {slot_name(self._walk.slots)}, and {one.source} has seen"
                    f" {one.checkpoint.slots} records: this is an older copy"
                )
                self._note(RolledBack(message, next_step=_OLDER), slot_name(self._walk.slots), "log")
        self._problems += self._tiles.problems
        return True

    def _compare(self, known: Known) -> None:
        if known.checkpoint.root != self._walk.root:
            message = (
                f"the first {known.checkpoint.slots} records are not those that {known.source} has seen:"
                " the log was forked or written anew"
            )
            self._note(RolledBack(message, next_step=_OLDER), slot_name(known.checkpoint.slots - 1), "log")

    def _catch_up(self) -> None:
        """Follow the log again: what was condemned meanwhile may be gone."""
        try:
            for walked in self._walk.records():
                if walked.clear is not None:
                    self._holdings.add(walked.clear)
                    for name in walked.clear.condemned:
                        self._packs.problems.pop(name, None)
        except Damaged as error:
            self._note(error, "log", "log")

    # --- objects ----------------------------------------------------------------------------------------------

    def _listed(self) -> dict[bytes, int] | None:
        """The sizes of the live packs that are there, None where listing is forbidden; strays are told."""
        sizes: dict[bytes, int] = {}
        try:
            for folder in ("keys/", "packs/"):
                for info in self._backend.list(folder):
                    if not self._holdings.expects(info.name):
                        self._stray(info.name, info.size_bytes)
                    elif folder == "packs/":
                        sizes[bytes.fromhex(info.name.rpartition("/")[2])] = info.size_bytes
        except PermissionRefused:
            self._unnamed = None
            for name, there in zip(
                self._holdings.condemned,
                self._backend.exist_many(list(self._holdings.condemned)),
                strict=True,
            ):
                if there:
                    self._stray(name, 0)
            return None
        return sizes

    def _stray(self, name: str, size_bytes: int) -> None:
        slot = self._holdings.condemned.get(name)
        if slot is None:
            if self._unnamed is not None:
                self._unnamed.add(name, size_bytes)
        elif slot in self._holdings.erased:
            message = (
                f"{name} is there, which {slot_name(slot)} has condemned and a later record calls erased"
            )
            self._note(StillThere(message), name, "condemned")
        else:
            self._unerased.add(name, size_bytes)

    def _check_keys(self) -> None:
        for digest in self._holdings.keys:
            name = f"keys/{digest.hex()}"
            try:
                data = self._backend.get(name, limit_bytes=KEYS_BYTES_MAX)
            except (ObjectMissing, ObjectTooLarge):
                data = b""
            except ArtifactStoreError as error:
                self._note(error, name, "keys")
                continue
            if sha256(data) != digest:
                self._note(Damaged(f"{name} is missing or was altered", next_step=_RESTORE), name, "keys")

    def _note(self, error: ArtifactStoreError, name: str, part: str) -> None:
        self._problems.append(problem_of(error, name, part))
