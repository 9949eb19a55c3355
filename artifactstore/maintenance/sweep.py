"""Sweeping: purges versions, takes survivors out of condemned packs and begins a generation, by one record.

Everything that the record names is stored and read back before it is claimed; nothing is deleted before it is there
(invariants 3 and 12). When another writer was faster, only what is new is looked at: what it needs is kept, what was
brought back is not purged, and keys and state are made anew for the next slot, with secrets that no attempts share.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

from artifactstore.backend.base import Backend, answer_of
from artifactstore.catalog.begun import OpenPush, open_pushes
from artifactstore.catalog.commit import Committer
from artifactstore.catalog.generation import condemned
from artifactstore.catalog.pending import pending
from artifactstore.catalog.receipts import FinishedDraft
from artifactstore.catalog.replay import Catalog
from artifactstore.catalog.rows import all_versions, get_version
from artifactstore.catalog.swept import HeadMoved, Sweeping, SweptState, swept_state
from artifactstore.clock import Clock, Randomness
from artifactstore.content.locate import Locator
from artifactstore.content.put import ChunkWriter
from artifactstore.errors import (
    ClockSkewed,
    Damaged,
    ObjectMissing,
    ObjectTooLarge,
    PreconditionFailed,
    SweptMeanwhile,
)
from artifactstore.executors import Executors
from artifactstore.format.limits import PACK_BYTES_MAX
from artifactstore.format.record import RecordType
from artifactstore.ids import parse_artifact_name
from artifactstore.index.environment import Environment, ReadTransaction
from artifactstore.index.tables import CHUNKS, PackTable, Position, packs_of
from artifactstore.keyring.keyring import (
    Keyring,
    Member,
    keyring_of,
    make_keys_object,
    member_of,
    next_secrets,
)
from artifactstore.keyring.objects import current_keys, store_keys
from artifactstore.log.log import GenerationPassed, Log
from artifactstore.maintenance.drafts import DraftWriter, PurgedVersion
from artifactstore.maintenance.mark import Mark
from artifactstore.maintenance.survivors import SurvivorParts, Survivors
from artifactstore.maintenance.sweep_plan import SweepPlan
from artifactstore.pack.names import pack_name
from artifactstore.pack.writer import FinishedPack
from artifactstore.progress import Progress

# After so many lost claims, writers are asked to give way.
_LOST_BEFORE_INTENT: Final = 3
_CLAIMS_MAX: Final = 100
_SKEW_NS_MAX: Final = 3600 * 1_000_000_000
_NS_PER_MS: Final = 1_000_000
_NS_PER_S: Final = 1_000_000_000
_KEYS: Final = "keys/"


class MemberChange(NamedTuple):
    """Who is to have the next generation's secrets.

    Attributes:
        change: Gives the members after, given those before; raises when that can't be.
        moved: Slot keys that go, by id: None, or the id of the one that takes its place.
    """

    change: Callable[[Sequence[Member]], Sequence[Member]]
    moved: Mapping[bytes, bytes | None]


SAME_MEMBERS: Final = MemberChange(tuple, {})


class SweepParts(NamedTuple):
    """The parts that a sweep runs through; the index is complete and at the head of the log."""

    backend: Backend
    keyring: Keyring
    environment: Environment
    packs: PackTable
    locator: Locator
    log: Log
    catalog: Catalog
    committer: Committer
    writer: ChunkWriter
    executors: Executors
    clock: Clock
    randomness: Randomness
    progress: Progress


class Swept(NamedTuple):
    """What a sweep did.

    Attributes:
        slot: Its record.
        generation: The generation that it began.
        purged: Versions that it purged.
        condemned: Objects that it gave up.
        rewritten_bytes: Raw bytes of chunks that were stored anew.
        kept_packs: Packs that it was to give up and did not, for a chunk in them that is needed can't be read.
        claims: How many slots it tried for.
    """

    slot: int
    generation: int
    purged: tuple[str, ...]
    condemned: int
    rewritten_bytes: int
    kept_packs: int
    claims: int


class Sweeper:
    """One sweep. Used once.

    Args:
        parts: What it runs through.
        plan: What it is to do.
        mark: The marks that the plan was made from.
        members: Says for whom the next generation's secrets are.
        trust_clock: Go on where this machine's clock and the backend's differ by more than an hour.
    """

    def __init__(
        self,
        parts: SweepParts,
        plan: SweepPlan,
        mark: Mark,
        *,
        members: MemberChange = SAME_MEMBERS,
        trust_clock: bool = False,
    ) -> None:
        self._parts = parts
        self._mark = mark
        mark.planned()
        self._members = members
        self._trust_clock = trust_clock
        self._seen = plan.prefix
        self._purge = {(one.artifact, one.number): one for one in plan.purge}
        self._condemned = set(plan.condemn)
        self._orphans = {*plan.orphans, *plan.signs}
        self._killed = plan.killed
        self._expired = set(plan.expired)
        self._postponed = {(one.artifact, one.number) for one in plan.postponed}
        self._added: list[FinishedPack] = []
        self._kept = 0
        # Names that attempts have used which came to nothing.
        self._abandoned: list[str] = []

    def run(self) -> Swept:
        """Do what the plan says, as of the very slot of its record.

        Raises:
            SweptMeanwhile: Another sweep was faster.
            PreconditionFailed: Other writers were faster all the time.
            ClockSkewed: This machine's clock is not to be trusted.
            Damaged: Something that was just stored does not read back, or the store is not whole.
            PermissionRefused: This member may only read.
        """
        parts = self._parts
        parts.keyring.signer()
        parts.progress.start("sweep", files_total=len(self._condemned))
        try:
            swept = self._run()
        except GenerationPassed:
            raise SweptMeanwhile("another sweep was faster") from None
        except Damaged:
            if parts.log.is_passed():
                raise SweptMeanwhile("another sweep was faster") from None
            raise
        parts.progress.finish()
        return swept

    def _run(self) -> Swept:
        parts = self._parts
        self._keep_postponed()
        self._copy(None)
        for claims in range(1, _CLAIMS_MAX + 1):
            position = parts.log.follow(parts.catalog)
            self._catch_up(position)
            swept = self._claim(position, claims)
            if swept is not None:
                return swept
            if claims == _LOST_BEFORE_INTENT:
                parts.committer.commit([], kind=RecordType.INTENT)
        raise PreconditionFailed(
            f"other writers were faster {_CLAIMS_MAX} times", next_step="run it again: artifactstore gc"
        )

    def _keep_postponed(self) -> None:
        """What versions need whose purge waits is needed like any other."""
        if self._postponed:
            self._mark.census = None  # to which what is marked now was not needed
            with self._parts.environment.read() as txn:
                versions = list(all_versions(txn))
            for artifact, number, row in versions:
                if (str(artifact), number) in self._postponed:
                    self._mark.keep(row.manifest)

    # --- survivors ------------------------------------------------------------------------------------------------

    def _going(self, txn: ReadTransaction) -> frozenset[int]:
        """The numbers of the condemned packs."""
        numbers = (self._parts.packs.number_of(txn, name) for name in self._condemned)
        return frozenset(number for number in numbers if number is not None)

    def _copy(self, only: set[bytes] | None) -> None:
        """Store survivors in new packs; a pack with one that can't be read stays.

        Args:
            only: Chunks to look at, which were not marked when survivors were copied; all that are marked when None.
        """
        parts = self._parts
        with parts.environment.read() as txn:
            going = self._going(txn)
        through = SurvivorParts(
            parts.backend,
            parts.keyring,
            parts.environment,
            parts.packs,
            parts.writer,
            parts.executors,
            parts.progress,
        )
        survivors = Survivors(through, self._mark.live if only is None else only, going)
        for pack in survivors.copy(self._mark.census, all_marked=only is None):
            self._condemned.discard(pack.added.name)
            self._kept += 1
        packs = parts.writer.drain()
        parts.writer.registered(packs)
        self._added += packs

    def _catch_up(self, position: Position) -> None:
        """Take account of the records since the last look: what they need is kept (invariant 5)."""
        parts = self._parts
        parts.locator.complete()
        with parts.environment.read() as txn:
            versions = list(all_versions(txn))
            running = list(pending(txn))
            distributed = open_pushes(txn)
            stored = list(parts.packs.listed(txn))
        fresh: set[bytes] = set()
        for artifact, number, row in versions:
            purge = self._purge.get((str(artifact), number))
            back = purge is not None and (row.deleted is None or row.deleted.slot != purge.slot)
            if back:
                del self._purge[str(artifact), number]
            if back or row.slot >= self._seen:
                fresh |= self._mark.keep(row.manifest)
        for push in {row.push for row in running if row.push in self._expired and row.slot >= self._seen}:
            self._expired.discard(push)
            slots = {row.slot for row in running if row.push == push}
            self._condemned -= {pack.added.name for pack in stored if pack.slot in slots}
        for one in distributed:
            fresh |= self._keep_parts(one)
        self._orphans -= {pack_name(pack.added.name) for pack in stored if pack.slot >= self._seen}
        self._seen = position.next_slot
        if fresh:
            self._copy(fresh)

    def _keep_parts(self, push: OpenPush) -> set[bytes]:
        """Mark the parts that were finished since the last look, or all of a push that goes on after all."""
        back = push.push in self._expired and any(slot >= self._seen for slot, _ in push.heard)
        if back:
            self._expired.discard(push.push)
        fresh: set[bytes] = set()
        for row in push.finished.values():
            if row.slot >= self._seen or back:
                fresh |= self._mark.keep(row.manifest)
        return fresh

    # --- the claim ------------------------------------------------------------------------------------------------

    def _claim(self, position: Position, claims: int) -> Swept | None:
        """Make keys and state for the next slot and try for it; None when it was lost."""
        parts = self._parts
        making = parts.executors.io.submit(self._next_keys, position)
        drafts, packs = self._drafts()
        keyring, keys = making.result()
        if claims == 1:
            self._check_clock(keys[0])
        sweeping = Sweeping(
            [(parse_artifact_name(artifact), number) for artifact, number in self._purge],
            frozenset(self._condemned),
            sorted(self._expired),
            self._members.moved,
            parts.clock.now_ns() // _NS_PER_MS,
            drafts,
            self._killed,
        )
        try:
            state = swept_state(
                parts.backend,
                parts.environment,
                parts.packs,
                parts.keyring,
                parts.log.reread,
                parts.randomness,
                sweeping,
                self._added,
            )
        except HeadMoved:
            self._abandoned += [*keys, *(pack.name for pack in packs)]
            return None
        self._store([*state.indexes, *state.state, *state.copy])
        condemned = self._all_condemned(position, state, keys)
        digests = [bytes.fromhex(name.removeprefix(_KEYS)) for name in keys]
        purged = [draft.commitment for draft in drafts]
        if parts.committer.sweep(state, [*self._added, *packs], keyring, digests, condemned, purged):
            return Swept(
                slot=state.prefix,
                generation=keyring.generation,
                purged=tuple(purge.name for purge in self._purge.values()),
                condemned=len(condemned),
                rewritten_bytes=sum(pack.added.size for pack in self._added),
                kept_packs=self._kept,
                claims=claims,
            )
        made = [*packs, *state.indexes, *state.state, *state.copy]
        self._abandoned += [*keys, *(pack.name for pack in made)]
        return None

    def _stuck(self) -> set[bytes]:
        """Chunks that nobody needs, in packs that stay all the same: no receipt may call them gone (invariant 13)."""
        parts = self._parts
        live, census = self._mark.live, self._mark.census
        with parts.environment.read() as txn:
            going = self._going(txn)
            if census is not None and census.is_clear(parts.packs.listed(txn), going):
                return set()
            return {
                prefix
                for prefix, value in txn.scan(CHUNKS)
                if prefix not in live and not going.issuperset(packs_of(value))
            }

    def _drafts(self) -> tuple[list[FinishedDraft], list[FinishedPack]]:
        """Drafts of the receipts of what is purged, stored; made anew for each claim, as what is shared may change."""
        parts = self._parts
        if not self._purge:
            return [], []
        with parts.environment.read() as txn:
            rows = [
                PurgedVersion(name, number, row)
                for name, number in ((parse_artifact_name(one), number) for one, number in self._purge)
                if (row := get_version(txn, name, number)) is not None
            ]
        live, stuck = self._mark.live, self._stuck()
        kept = _Either(live, stuck) if stuck else live
        writer = DraftWriter(self._mark.getter, parts.keyring, kept, parts.randomness, self._mark.pages)
        packs: list[FinishedPack] = []
        for pack in writer.packs(rows):
            self._store([pack])
            packs.append(pack._replace(data=None))
        return writer.drafts, packs

    def _next_keys(self, position: Position) -> tuple[Keyring, list[str]]:
        """Store the next generation's secrets twice and read them back; return them unlocked, with the names."""
        parts = self._parts
        keyring = parts.keyring
        current = current_keys(parts.backend, keyring.store_id, position.keys)
        members = list(self._members.change([member_of(slot) for slot in current.slots]))
        own = self._members.moved.get(keyring.slot_id) or keyring.slot_id
        secrets = next_secrets(keyring.secrets, parts.randomness)
        made: list[Keyring] = []
        for _ in range(2):
            data = make_keys_object(keyring.store_id, keyring.generation + 1, secrets, members)
            made.append(keyring_of(data, own, secrets))
            store_keys(parts.backend, made[-1].keys_object, data)
        return made[0], [one.keys_object for one in made]

    def _check_clock(self, name: str) -> None:
        """Refuse to judge ages by a clock that the backend, which has just stored an object, contradicts."""
        parts = self._parts
        if self._trust_clock:
            return
        own = parts.clock.now_ns()
        for info in parts.backend.list(name):
            if info.name == name and info.modified_ns and abs(own - info.modified_ns) > _SKEW_NS_MAX:
                here, there = (
                    f"{datetime.fromtimestamp(at / _NS_PER_S, tz=UTC):%Y-%m-%d %H:%M:%S}"
                    for at in (own, info.modified_ns)
                )
                raise ClockSkewed(
                    f"it is {here} UTC by this machine's clock and {there} UTC by the backend's",
                    here=here,
                    backend=there,
                )

    def _store(self, packs: Sequence[FinishedPack]) -> None:
        """Store packs and read them back: after the sweep they are the only copy of what they hold."""
        backend = self._parts.backend
        for pack in packs:
            assert pack.data is not None
            backend.put(pack.name, pack.data)
        found = backend.get_many([pack.name for pack in packs], limit_bytes=PACK_BYTES_MAX)
        for pack, data in zip(packs, found, strict=True):
            assert pack.data is not None
            if isinstance(data, ObjectMissing | ObjectTooLarge) or memoryview(answer_of(data)) != pack.data:
                raise Damaged(f"{pack.name} does not read back as it was written", object=pack.name)

    def _all_condemned(self, position: Position, state: SweptState, keys: Sequence[str]) -> list[str]:
        """Names of everything that the record gives up: nothing of an earlier generation opens after it."""
        parts = self._parts
        names = {pack_name(name) for name in self._condemned | state.stale}
        # Whatever lies in keys/ and is not new seals secrets of this generation or an earlier one.
        names.update(info.name for info in parts.backend.list(_KEYS))
        names.update(f"{_KEYS}{digest.hex()}" for digest in position.keys)
        with parts.environment.read() as txn:
            # Of those another record says already when they were seen gone.
            earlier = {name for name, _ in condemned(txn)}
        return sorted((names | self._orphans | set(self._abandoned)) - set(keys) - earlier)


class _Either:
    """Whatever is in one of two sets, which are too large to be joined."""

    def __init__(self, one: set[bytes], other: set[bytes]) -> None:
        self._one = one
        self._other = other

    def __contains__(self, prefix: object) -> bool:
        return prefix in self._one or prefix in self._other
