"""Checking the log: every slot from the start, the chained roots, the tiles derived from it, and the `keys/` objects.

The index is trusted in one thing alone: the root that this client has seen. Records are read a bounded number at a
time.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX, Backend
from artifactstore.catalog.rows import all_versions
from artifactstore.crypto.hashing import sha256
from artifactstore.errors import ArtifactStoreError, Damaged, ObjectMissing, ObjectTooLarge
from artifactstore.format.keys import KEYS_BYTES_MAX
from artifactstore.format.record import slot_name
from artifactstore.index.environment import Environment
from artifactstore.index.tables import Position
from artifactstore.keyring.keyring import Keyring
from artifactstore.log.merkle import append, root_of
from artifactstore.log.records import open_slot
from artifactstore.log.signers import Signers
from artifactstore.log.slots import Slots
from artifactstore.maintenance.findings import Problem, problem_of, some
from artifactstore.maintenance.tile_check import TileCheck
from artifactstore.progress import Progress

_VOID_SHOWN_MAX: Final = 3
_RESTORE: Final = (
    "put that object back from a copy of the bucket, byte for byte: nothing else can make it again"
)


class LogCheck:
    """One check of the log. Used once.

    Attributes:
        records: Slots that were verified.
        is_whole: Whether every record is there and chained.
        in_use: Packs that newcomers start from: those of the last state that a record names, and the index packs.
        problems: What is wrong.
    """

    def __init__(
        self,
        backend: Backend,
        keyring: Keyring,
        environment: Environment,
        position: Position,
        progress: Progress,
    ) -> None:
        self._backend = backend
        self._keyring = keyring
        self._environment = environment
        self._position = position
        self._progress = progress
        self._tiles = TileCheck(backend)
        # What the index says of keys is not asked: the log itself must hand them over.
        self._signers = Signers(keyring.store_id)
        self._void: list[int] = []
        self.records = 0
        self.is_whole = True
        self.in_use = frozenset(position.index_packs)
        self.problems: list[Problem] = []

    @property
    def tiles(self) -> list[str]:
        """Names of tiles that are wrong or missing."""
        return self._tiles.to_write

    def run(self) -> None:
        """Check records, tiles and keys."""
        self._progress.start("check records", files_total=self._position.next_slot)
        self._check_records()
        self._tiles.finish()
        self.problems += self._tiles.problems
        self._check_keys()

    def _check_records(self) -> None:
        frontier: list[bytes] = []
        generation = 0
        state: list[bytes] = []
        for slot, data in self._slots():
            name = slot_name(slot)
            if data is None:
                self._note_record(Damaged(f"{name} is missing", object=name), [slot])
                return
            try:
                opened = open_slot(data, slot, root_of(frontier), generation, self._keyring, self._signers)
            except Damaged as error:
                self._note_altered(error)
                return
            frontier = append(frontier, slot, opened.leaf)
            if opened.clear is None:
                self._void.append(slot)
            else:
                generation = opened.clear.generation
                self._signers.learn_from(opened.clear)
                if opened.clear.state is not None:
                    state = opened.clear.state.packs
            current = opened.clear is not None and generation == self._keyring.generation
            if current and opened.sealed is None:
                self._note(
                    Damaged(f"{name} is signed but does not open: it changes nothing", object=name), name
                )
            self._tiles.add(slot, opened.leaf, None if opened.clear is None else data)
            self.records += 1
            self._progress.advance(files=1)
        self.in_use |= set(state)
        if frontier != self._position.frontier:
            last = self._position.next_slot - 1
            message = "a record was altered since this client applied it: the roots differ"
            self._note_record(Damaged(message, object=slot_name(last)), [*self._void, last])

    def _slots(self) -> Iterator[tuple[int, bytes | None]]:
        """Each slot's bytes, or None; what is longer than a record may be comes back as void."""
        reader = Slots(self._backend)
        for start in range(0, self._position.next_slot, PARALLEL_REQUESTS_MAX):
            slots = range(start, min(start + PARALLEL_REQUESTS_MAX, self._position.next_slot))
            yield from zip(slots, reader.read_many(slots), strict=True)

    def _note(self, error: ArtifactStoreError, name: str) -> None:
        self.problems.append(problem_of(error, name, "log"))

    def _note_altered(self, error: Damaged) -> None:
        """A record was signed over others than lie before it: one that was altered looks void."""
        void = ", ".join(slot_name(slot) for slot in self._void[-_VOID_SHOWN_MAX:])
        message = f"{error.message}{f'; altered was most likely {void}' if void else ''}"
        self._note_record(Damaged(message, object=error.facts.get("object")), self._void)

    def _note_record(self, error: Damaged, slots: Sequence[int]) -> None:
        """Where the chain breaks, with the versions that those slots made as far as this client knows."""
        self.is_whole = False
        error.next_step = _RESTORE
        with self._environment.read() as txn:
            made = some(f"{name}:v{number}" for name, number, row in all_versions(txn) if row.slot in slots)
        self.problems.append(problem_of(error, "log", "log", versions=made))

    # --- keys --------------------------------------------------------------------------------------------------

    def _check_keys(self) -> None:
        for digest in self._position.keys:
            name = f"keys/{digest.hex()}"
            try:
                data = self._backend.get(name, limit_bytes=KEYS_BYTES_MAX)
            except ObjectMissing:
                self._note_keys(name, "is missing")
            except ObjectTooLarge:
                self._note_keys(name, "was altered")
            except ArtifactStoreError as error:
                self.problems.append(problem_of(error, name, "keys"))
            else:
                if sha256(data) != digest:
                    self._note_keys(name, "was altered")

    def _note_keys(self, name: str, what: str) -> None:
        others = len(self._position.keys) > 1
        then = (
            "the other keys/ objects still unlock the store" if others else "nobody can unlock the store anew"
        )
        error = Damaged(f"{name} {what}: {then}", next_step=_RESTORE, object=name)
        self.problems.append(problem_of(error, name, "keys"))
