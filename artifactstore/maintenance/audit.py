"""Audit: what anybody can check of a store who may read its bucket, without key and without index.

The log is walked from slot 0: signatures, chained roots, tiles. From its clear parts follows which objects should be
there and which should not; both are held against the bucket. An audit writes nothing and decrypts nothing. What changes
while it runs is no finding: the log is looked at once more before something is called missing.
"""

from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX, Backend, answer_of
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
from artifactstore.maintenance.verifying import Verified
from artifactstore.pack.names import pack_name
from artifactstore.progress import Progress

_RESTORE: Final = (
    "put that object back from a copy of the bucket, byte for byte: nothing else can make it again"
)
_AGAIN: Final = "ask who pushed it: what was deleted lies in the store, and has to be deleted again"
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


class ReceiptAudit(msgspec.Struct, frozen=True):
    """What became of what a receipt says is gone.

    Attributes:
        id: The receipt's id, as hex.
        condemned: Objects that its sweep gave up.
        gone: Chunks that it says are gone, each counted once.
        present: How many of them a live pack holds; 0 is what it promises.
        stored_again: Those of them that were stored again after the sweep, and lie in no other pack.
    """

    id: str
    condemned: int
    gone: int
    present: int
    stored_again: int


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
        all_forms: Whether every form of condemned objects was looked at: versions, markers, unfinished uploads; false
            where that is forbidden.
        unnamed: Packs and keys that no record names: of a push that is still running, or put there by a stranger; None
            where listing is forbidden.
        checkpoint: What was seen of the log, as the text of a checkpoint.
        receipt: What was found about the receipt that was given.
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
    all_forms: bool
    unnamed: Objects | None
    checkpoint: str
    receipt: ReceiptAudit | None

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
        receipt: A verified receipt, whose chunks are looked for in all live packs.
    """

    def __init__(
        self,
        backend: Backend,
        store_id: bytes,
        clock: Clock,
        progress: Progress,
        receipt: Verified | None = None,
    ) -> None:
        self._backend = backend
        self._store_id = store_id
        self._progress = progress
        self._walk = Walk(backend, store_id, clock)
        self._holdings = Holdings()
        self._tiles = TileCheck(backend)
        self._receipt = receipt
        self._lookup = _Lookup(frozenset() if receipt is None else receipt.gone)
        self._packs = PackAudit(backend, progress, None if receipt is None else self._lookup)
        self._problems: list[Problem] = []
        self._unerased = Pile()
        self._unnamed: Pile | None = Pile()
        self._strays: set[str] = set()
        self._all_forms = True

    def run(self, known: Sequence[Known] = (), *, read_data: bool = False) -> AuditReport:
        """Audit everything.

        Args:
            known: Checkpoints that the log must agree with.
            read_data: Read every live pack whole.

        Raises:
            NewerStore: A record needs a newer release.
        """
        again = 0
        if self._walked(known):
            live = dict(self._holdings.live)
            registered = dict(self._holdings.registered)
            self._packs.run(live, self._listed(), read_data=read_data)
            self._check_keys()
            self._look_for_traces()
            self._catch_up()
            again = self._tell_present(registered)
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
            all_forms=self._all_forms,
            unnamed=None if self._unnamed is None else self._unnamed.objects(),
            checkpoint=Checkpoint(self._store_id, self._walk.slots, self._walk.root).text,
            receipt=self._receipt_audit(again),
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
            if not isinstance(error, RolledBack):
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
        self._tiles.finish()
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
                    gone = set(walked.clear.condemned)
                    for name in gone:
                        self._packs.problems.pop(name, None)
                    self._problems = [
                        one for one in self._problems if one.part != "keys" or one.object not in gone
                    ]
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
            return None
        return sizes

    def _look_for_traces(self) -> None:
        """Condemned objects must be gone in every form that the backend keeps of one."""
        names = [name for name in self._holdings.condemned if name not in self._strays]
        self._progress.start("audit condemned objects", files_total=len(names))
        for start in range(0, len(names), PARALLEL_REQUESTS_MAX):
            lot = names[start : start + PARALLEL_REQUESTS_MAX]
            answers = self._backend.together([partial(self._backend.traces, name) for name in lot])
            for name, there in zip(lot, answers, strict=True):
                if isinstance(there, PermissionRefused):
                    self._all_forms = False
                elif answer_of(there):
                    self._stray(name, 0)
            self._progress.advance(files=len(lot))
            if not self._all_forms:
                return

    def _tell_present(self, registered: dict[bytes, int]) -> int:
        """Tell packs that hold chunks which the receipt says are gone; return how many were only stored again."""
        names = {pack_name(digest): slot for digest, slot in registered.items()}
        never_gone: set[bytes] = set()
        for name, found in self._lookup.packs.items():
            assert self._receipt is not None
            slot = names[name]
            again = slot > self._receipt.sweep.slot
            if not again:
                never_gone |= found
            message = (
                f"{name}, which {slot_name(slot)} has registered, holds {len(found)} chunks that the receipt calls"
                f" gone: {'stored again after the sweep' if again else 'not gone'}"
            )
            self._note(StillThere(message, next_step=_AGAIN), name, "receipt")
        return len(self._lookup.present - never_gone)

    def _receipt_audit(self, again: int) -> ReceiptAudit | None:
        receipt = self._receipt
        if receipt is None:
            return None
        present = len(self._lookup.present)
        condemned = len(receipt.sweep.condemned)
        return ReceiptAudit(receipt.id.hex(), condemned, len(receipt.gone), present, again)

    def _stray(self, name: str, size_bytes: int) -> None:
        slot = self._holdings.condemned.get(name)
        if slot is None:
            if self._unnamed is not None:
                self._unnamed.add(name, size_bytes)
            return
        self._strays.add(name)
        if slot in self._holdings.erased:
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


class _Lookup:
    """Looks for some chunks in the trailers of packs.

    Attributes:
        packs: Names of the packs that hold some, with which.
        present: Those that were found.
    """

    def __init__(self, wanted: frozenset[bytes]) -> None:
        self._wanted = wanted
        self.packs: dict[str, frozenset[bytes]] = {}
        self.present: set[bytes] = set()

    def holds(self, pack: str, prefixes: Sequence[bytes]) -> None:
        """What one pack holds."""
        found = self._wanted.intersection(prefixes)
        if found:
            self.packs[pack] = found
            self.present |= found
