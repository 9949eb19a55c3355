"""Surveying a store for a sweep: what is needed, what is garbage, what lies around, at the head of the log.

It costs reading each page and list of the live versions once, a look at every row of the index, and a listing of the
backend; no data is read. Age decides politeness and never safety: what is condemned too early is missed by its writer
before it can commit, and stored again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from typing import Final, NamedTuple

from artifactstore.backend.base import Backend, ObjectInfo
from artifactstore.catalog.begun import OpenPush, attempt_id, open_pushes
from artifactstore.catalog.expiry import Hidden, hidden_versions
from artifactstore.catalog.generation import condemned
from artifactstore.catalog.names import shown_name
from artifactstore.catalog.pending import PendingRow, pending
from artifactstore.catalog.rows import all_versions
from artifactstore.catalog.runs import get_run, runs
from artifactstore.catalog.signs import GIVEN_UP_MS, is_silent, last_sign_ms
from artifactstore.content.packs import INDEXED_TYPES
from artifactstore.errors import ArtifactStoreError, Damaged
from artifactstore.format.alive import ALIVE_PREFIX, run_of_name
from artifactstore.format.keys import KEYS_BYTES_MAX, decode_keys
from artifactstore.format.operations import Manifest
from artifactstore.format.pack import PackType
from artifactstore.format.record import slot_name
from artifactstore.format.run_operations import RUNNING
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import Environment, ReadTransaction
from artifactstore.index.tables import (
    CHUNKS,
    ListedPack,
    PackTable,
    Position,
    damaged_packs,
    packs_of,
    read_position,
)
from artifactstore.log.log import Log
from artifactstore.maintenance.census import take_census
from artifactstore.maintenance.mark import Mark
from artifactstore.maintenance.settings import EXPIRY_MS_DEFAULT
from artifactstore.maintenance.sweep_plan import PackUse, Purge, Survey, Waiting
from artifactstore.manifest.read import Getter
from artifactstore.pack.names import pack_name
from artifactstore.progress import Progress

_NS_PER_MS: Final = 1_000_000
_KEYS: Final = "keys/"
_PACKS: Final = "packs/"


class SurveyParts(NamedTuple):
    """The parts that a survey looks at; the index is complete and at the head of the log."""

    backend: Backend
    environment: Environment
    packs: PackTable
    log: Log
    getter: Getter
    progress: Progress


class Surveyed(NamedTuple):
    """A survey, with the marks that a sweep goes on from."""

    survey: Survey
    mark: Mark


def survey(parts: SurveyParts, now_ms: int, *, expiry_ms: int = EXPIRY_MS_DEFAULT) -> Surveyed:
    """Survey a store.

    Args:
        parts: What to look at.
        now_ms: The time, in milliseconds since the Unix epoch.
        expiry_ms: How old an object that no record names, or a push that does not go on, must be to be given up.
    """
    with parts.environment.read() as txn:
        position = read_position(txn)
        hidden = list(hidden_versions(txn))
        shown = {one.artifact: str(shown_name(txn, one.artifact)) for one in hidden}
        running = list(pending(txn))
        distributed = open_pushes(txn)
        left = dict(condemned(txn))
        stored = list(parts.packs.listed(txn))
        damaged = damaged_packs(txn)
    times = _Times(parts.backend)
    due = [one for one in hidden if _is_due(one, now_ms, times)]
    units = _units(due, shown)
    dying = {(one.artifact, one.number) for one in due}
    expired, going_on = _pushes(running, distributed, times, now_ms - expiry_ms)
    mark, unread = _marked(parts, units, [one for one in distributed if one.push not in expired])
    pinned_slots = {row.slot for row in running if row.push not in expired}
    pinned = {pack.number for pack in stored if pack.slot in pinned_slots}
    with parts.environment.read() as txn:
        if pinned:
            _keep_pinned(txn, mark, pinned)
        held, mark.census = take_census(txn, mark.live, mark.dead, position.next_slot)
    uses = tuple(
        PackUse(
            pack.added.name,
            pack.added.size,
            round(held.every.get(pack.number, 0.0)),
            round(held.live.get(pack.number, 0.0)),
            tuple(sorted((unit, round(size)) for unit, size in held.dead.get(pack.number, {}).items())),
            pack.number in pinned,
            pack.added.name in damaged,
        )
        for pack in stored
        if pack.added.type in INDEXED_TYPES
    )
    registered = {pack_name(pack.added.name) for pack in stored}
    ended, killed = _ended_runs(parts, left, now_ms, now_ms - expiry_ms)
    orphans, signs, returned = _unnamed(parts, position, registered, left, ended, now_ms - expiry_ms)
    found = Survey(
        prefix=position.next_slot,
        units=units,
        waiting=tuple(
            Waiting(str(one.artifact), one.number, shown[one.artifact], one.due_ms)
            for one in hidden
            if (one.artifact, one.number) not in dying
        ),
        packs=uses,
        stale=_stale(stored, position),
        orphans=orphans,
        signs=signs,
        killed=killed,
        returned=returned,
        expired=tuple(expired),
        running=going_on,
        left=tuple(left),
        unread=unread,
    )
    return Surveyed(found, mark)


def _stale(stored: Iterable[ListedPack], position: Position) -> tuple[tuple[str, int], ...]:
    """States and index packs that were replaced."""
    current = set(position.index_packs)
    return tuple(
        (pack_name(pack.added.name), pack.added.size)
        for pack in stored
        # A sweep replaces the last state too, but frees nothing by it: it writes the next one.
        if (pack.added.type == PackType.STATE and pack.slot != position.state_slot)
        or (pack.added.type == PackType.INDEX and pack.added.name not in current)
    )


class _Times:
    """When the backend says that records were written; asked once each."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._known: dict[int, int] = {}

    def of_slot(self, slot: int) -> int:
        """Milliseconds since the Unix epoch; 0 where the backend does not know."""
        if slot not in self._known:
            name = slot_name(slot)
            times = [info.modified_ns for info in self._backend.list(name) if info.name == name]
            self._known[slot] = times[0] // _NS_PER_MS if times else 0
        return self._known[slot]


def _pushes(
    running: Iterable[PendingRow], distributed: Iterable[OpenPush], times: _Times, before_ms: int
) -> tuple[list[bytes], int]:
    """Ids of the pushes that nobody has been at since then, and how many others there are."""
    last = {row.push: max(row.time_ms, times.of_slot(row.slot)) for row in running}
    attempts: set[bytes] = set()
    for one in distributed:
        last[one.push] = max(max(time_ms, times.of_slot(slot)) for slot, time_ms in one.heard)
        attempts |= {attempt_id(one.push, part) for part, _ in one.attempts}
    expired = [push for push, time_ms in last.items() if time_ms <= before_ms]
    return expired, len(last.keys() - {*expired, *attempts})


def _is_due(one: Hidden, now_ms: int, times: _Times) -> bool:
    """Grace counts from the later of the record's own time and the backend's."""
    deleted = one.row.deleted
    assert deleted is not None
    if deleted.now:
        return True
    if one.due_ms > now_ms:
        return False
    return one.due_ms - deleted.time_ms + times.of_slot(deleted.slot) <= now_ms


def _units(due: Iterable[Hidden], shown: Mapping[ArtifactName, str]) -> tuple[tuple[Purge, ...], ...]:
    """What may be purged, by the record that deleted it, the oldest first."""
    units: dict[int, list[Purge]] = {}
    for one in due:
        assert one.row.deleted is not None
        slot = one.row.deleted.slot
        size = one.row.manifest.size
        purge = Purge(str(one.artifact), one.number, slot, size, shown[one.artifact])
        units.setdefault(slot, []).append(purge)
    return tuple(tuple(units[slot]) for slot in sorted(units))


def _marked(
    parts: SurveyParts, units: tuple[tuple[Purge, ...], ...], distributed: Iterable[OpenPush]
) -> tuple[Mark, tuple[str, ...]]:
    """Mark every version and finished part; return also those that can't be read whole and have to be kept."""
    rank = {(one.artifact, one.number): unit for unit, ones in enumerate(units) for one in ones}
    with parts.environment.read() as txn:
        versions = [
            (str(artifact), str(shown_name(txn, artifact)), number, row.manifest)
            for artifact, number, row in all_versions(txn)
        ]
    kept = [
        (f"{shown}:v{number}", manifest)
        for artifact, shown, number, manifest in versions
        if (artifact, number) not in rank
    ]
    kept += [
        (f"part {part} of a distributed push to {one.row.project}/{one.row.name}", row.manifest)
        for one in distributed
        for part, row in one.finished.items()
    ]
    dying = [
        (rank[artifact, number], manifest)
        for artifact, _, number, manifest in versions
        if (artifact, number) in rank
    ]
    dying.sort(key=lambda one: -one[0])
    parts.progress.start("mark", files_total=len(versions))
    unread: tuple[str, ...] = ()
    try:
        mark = _mark_together(parts, kept, dying)
    except Damaged:
        # Which of them it is shows only when each is read by itself.
        parts.progress.start("mark", files_total=len(versions))
        mark, unread = _mark_one_by_one(parts, kept, dying)
    parts.progress.finish()
    return mark, unread


_Kept = Sequence[tuple[str, Manifest]]
_Dying = Sequence[tuple[int, Manifest]]


def _mark_together(parts: SurveyParts, kept: _Kept, dying: _Dying) -> Mark:
    """Mark versions, reading pages of many together."""
    mark = Mark(parts.getter)
    mark.keep_all(_told(parts, (manifest for _, manifest in kept)))
    for unit, ones in groupby(dying, key=itemgetter(0)):
        mark.give_up_all(_told(parts, (manifest for _, manifest in ones)), unit)
    return mark


def _mark_one_by_one(parts: SurveyParts, kept: _Kept, dying: _Dying) -> tuple[Mark, tuple[str, ...]]:
    """The same one version after the other; return also what some that can't be read whole are called."""
    mark = Mark(parts.getter)
    unread: list[str] = []
    for name, manifest in kept:
        try:
            mark.keep(manifest)
        except Damaged:
            unread.append(name)
        parts.progress.advance(files=1)
    for unit, manifest in dying:
        with suppress(Damaged):  # what of it can't be read is garbage all the same
            mark.give_up(manifest, unit)
        parts.progress.advance(files=1)
    return mark, tuple(unread)


def _told(parts: SurveyParts, manifests: Iterable[Manifest]) -> Iterator[Manifest]:
    for manifest in manifests:
        yield manifest
        parts.progress.advance(files=1)


def _keep_pinned(txn: ReadTransaction, mark: Mark, pinned: set[int]) -> None:
    """What running pushes have registered is needed, whoever else had it before (invariant 5)."""
    for prefix, value in txn.scan(CHUNKS):
        if not pinned.isdisjoint(packs_of(value)):
            mark.live.add(prefix)
            mark.dead.pop(prefix, None)


def _ended_runs(
    parts: SurveyParts, left: dict[str, int], now_ms: int, before_ms: int
) -> tuple[list[ObjectInfo], tuple[tuple[bytes, int], ...]]:
    """Signs of life of runs that live no more; and runs that have given none for days, with the time of the last."""
    listed = list(parts.backend.list(ALIVE_PREFIX))
    signs = {
        run: info.modified_ns // _NS_PER_MS for info in listed if (run := run_of_name(info.name)) is not None
    }
    with parts.environment.read() as txn:
        running = {run: row for run, row in runs(txn) if row.state == RUNNING}
        known = {run for run in signs if run in running or get_run(txn, run) is not None}
    killed = {
        run: last_sign_ms(run, row, signs)
        for run, row in running.items()
        if is_silent(run, row, signs, now_ms, GIVEN_UP_MS)
    }

    def is_garbage(info: ObjectInfo) -> bool:
        run = run_of_name(info.name)
        if run is None or run not in known:
            # One that a run has put that this client's log does not show yet is young.
            return info.modified_ns // _NS_PER_MS <= before_ms
        return run not in running or run in killed

    ended = [info for info in listed if info.name not in left and is_garbage(info)]
    return ended, tuple(sorted(killed.items()))


def _unnamed(
    parts: SurveyParts,
    position: Position,
    registered: set[str],
    left: dict[str, int],
    ended: list[ObjectInfo],
    before_ms: int,
) -> tuple[tuple[tuple[str, int], ...], tuple[tuple[str, int], ...], tuple[str, ...]]:
    """Objects that no record names and that are old enough; what ended runs left; what came back once condemned."""
    keys = {f"{_KEYS}{digest.hex()}" for digest in position.keys}
    unnamed = [
        info
        for prefix in (_PACKS, _KEYS)
        for info in parts.backend.list(prefix)
        if info.name not in registered and info.name not in keys and info.name not in left
    ]
    if not (unnamed or ended):
        return (), (), ()
    gone = parts.log.condemned_since(position.sweep_slot, 0)
    returned = tuple(info.name for info in (*unnamed, *ended) if info.name in gone)
    orphans = tuple(
        (info.name, info.size_bytes)
        for info in unnamed
        if info.name not in gone
        and (info.modified_ns // _NS_PER_MS <= before_ms or _is_outdated(parts.backend, info, position))
    )
    signs = tuple((info.name, info.size_bytes) for info in ended if info.name not in gone)
    return orphans, signs, returned


def _is_outdated(backend: Backend, info: ObjectInfo, position: Position) -> bool:
    """Whether secrets of an earlier generation lie there, which nobody will ever name: no age excuses them."""
    if not info.name.startswith(_KEYS):
        return False
    try:
        data = backend.get(info.name, limit_bytes=KEYS_BYTES_MAX)
        return decode_keys(data, info.name).generation < position.generation
    except ArtifactStoreError:
        return False
