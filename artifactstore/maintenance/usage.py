"""How much of a store versions take: in all, alone, and what the next sweep would free if they were deleted.

A chunk belongs to a group of versions alone if nothing else needs it: no other version, shown or deleted within its
grace, and no push that is still running. What only versions need that the next sweep purges anyway belongs to nobody.
What deleting frees is the difference between two plans of a sweep, so that it is what the sweep then does. Each version
is walked once, in however many groups it is.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from artifactstore.catalog.begun import open_pushes
from artifactstore.catalog.rows import all_versions
from artifactstore.format.cids import cid_prefixes
from artifactstore.format.operations import Manifest
from artifactstore.format.segment import ROW_TAIL
from artifactstore.index.environment import Environment
from artifactstore.index.tables import CHUNKS, PackTable
from artifactstore.maintenance.sweep_plan import PackUse, Purge, Survey, plan_sweep
from artifactstore.manifest.reach import reach_all
from artifactstore.manifest.read import Getter
from artifactstore.progress import Progress

# Versions that are looked at together: (artifact, number) of each.
Group: TypeAlias = frozenset[tuple[str, int]]


class UsageRow(msgspec.Struct, frozen=True):
    """What a group of versions takes.

    Attributes:
        name: As it was asked for; an artifact where nothing was; `total` for all of them together.
        versions: How many they are.
        logical_bytes: Bytes of their files.
        stored_bytes: Bytes that their chunks take, compressed, each chunk once; pages and chunk lists among them.
        unique_bytes: Of those, the bytes that nothing else needs.
        shared_bytes: The others.
        frees_bytes: What the next sweep would free more if they were deleted with `now`.
    """

    name: str
    versions: int
    logical_bytes: int
    stored_bytes: int
    unique_bytes: int
    shared_bytes: int
    frees_bytes: int


class UsageParts(NamedTuple):
    """What usage is worked out from; the index is complete."""

    environment: Environment
    packs: PackTable
    getter: Getter
    progress: Progress


class _Users(NamedTuple):
    """Which groups use a chunk, by number: those with some version that does, and those with every one that does."""

    some: frozenset[int]
    every: frozenset[int]


class _Taken(NamedTuple):
    """What chunks with the same users take: bytes, and bytes in each pack that holds them, by its number."""

    stored: float
    by_pack: dict[int, float]


def usage_of(parts: UsageParts, survey: Survey, groups: Sequence[tuple[str, Group]]) -> list[UsageRow]:
    """Work out what each of some groups of versions takes.

    Args:
        parts: What to look at.
        survey: A survey of the store.
        groups: The groups, with their names; no version of them is among those that the next sweep may purge.

    Raises:
        Damaged: A page or list can't be read.
    """
    purged = {(one.artifact, one.number) for unit in survey.units for one in unit}
    within: dict[tuple[str, int], set[int]] = {}
    for number, (_, group) in enumerate(groups):
        for version in group:
            within.setdefault(version, set()).add(number)
    # Versions by the groups that they are in; those in none come last.
    alike: dict[frozenset[int], list[Manifest]] = {}
    with parts.environment.read() as txn:
        for artifact, place, row in all_versions(txn):
            if (version := (str(artifact), place)) not in purged:
                alike.setdefault(frozenset(within.get(version, ())), []).append(row.manifest)
        # What a finished part holds, no deletion frees.
        shared = [row.manifest for push in open_pushes(txn) for row in push.finished.values()]
    others = [*alike.pop(frozenset(), []), *shared]
    parts.progress.start("du", files_total=sum(map(len, alike.values())) + len(others))
    taken = _taken(parts, _users(parts, alike, others))
    found: list[UsageRow] = []
    for number, (name, group) in enumerate(groups):
        logical = sum(one.size for numbers, ones in alike.items() if number in numbers for one in ones)
        stored = round(sum(one.stored for users, one in taken.items() if number in users.some))
        alone = [one for users, one in taken.items() if number in users.every]
        unique = round(sum(one.stored for one in alone))
        frees = _frees(survey, group, _by_name(parts, alone))
        found.append(UsageRow(name, len(group), logical, stored, unique, stored - unique, frees))
    return found


def _users(
    parts: UsageParts, alike: dict[frozenset[int], list[Manifest]], others: list[Manifest]
) -> dict[bytes, _Users]:
    """Who uses each chunk that any of the groups does, by the first 16 bytes of its cid."""
    found: dict[bytes, _Users] = {}
    for numbers, manifests in alike.items():
        first = _Users(numbers, numbers)
        # Few combinations and many chunks: each combination is one object.
        joined: dict[_Users, _Users] = {}
        for prefix in _reached(parts, manifests):
            known = found.get(prefix)
            if known is None:
                found[prefix] = first
            elif known in joined:
                found[prefix] = joined[known]
            else:
                found[prefix] = joined[known] = _Users(known.some | numbers, known.every & numbers)
    for prefix in _reached(parts, others):
        known = found.get(prefix)
        if known is not None and known.every:
            found[prefix] = _Users(known.some, frozenset())
    return found


def _reached(parts: UsageParts, manifests: Iterable[Manifest]) -> Iterator[bytes]:
    """Everything that some versions reach, by the first 16 bytes of each cid; a data chunk may come several times."""
    seen: set[bytes] = set()
    for _, cids, _ in reach_all(parts.getter, _told(parts, manifests), seen):
        yield from cid_prefixes(cids)


def _told(parts: UsageParts, manifests: Iterable[Manifest]) -> Iterator[Manifest]:
    for manifest in manifests:
        yield manifest
        parts.progress.advance(files=1)


def _taken(parts: UsageParts, users: dict[bytes, _Users]) -> dict[_Users, _Taken]:
    """What chunks take, by who uses them: each counted once, wherever it lies first, and in each pack."""
    stored: dict[_Users, float] = {}
    by_pack: dict[_Users, dict[int, float]] = {}
    with parts.environment.read() as txn:
        for prefix, value in txn.get_many(CHUNKS, sorted(users)):
            by = users[prefix]
            stored[by] = stored.get(by, 0.0) + _size(*ROW_TAIL.unpack_from(value))
            packs = by_pack.setdefault(by, {})
            for tail in ROW_TAIL.iter_unpack(value):
                packs[tail[0]] = packs.get(tail[0], 0.0) + _size(*tail)
    return {by: _Taken(size, by_pack[by]) for by, size in stored.items()}


def _by_name(parts: UsageParts, taken: Iterable[_Taken]) -> dict[bytes, float]:
    """Bytes that chunks take in each pack, by its name."""
    sizes: dict[int, float] = {}
    for one in taken:
        for number, size in one.by_pack.items():
            sizes[number] = sizes.get(number, 0.0) + size
    with parts.environment.read() as txn:
        packs = [(parts.packs.get(txn, number), size) for number, size in sizes.items()]
    return {pack.added.name: size for pack, size in packs if pack is not None}


def _size(
    _pack: int, _ordinal: int, _offset: int, length: int, raw_length: int, _codec: int, _start: int, span: int
) -> float:
    """The part of a blob that a chunk in it takes."""
    return length * span / raw_length


def _frees(survey: Survey, group: Group, sizes: dict[bytes, float]) -> int:
    """What a sweep frees more when a group is one more unit of purge, after all others."""
    unit = len(survey.units)
    purge = tuple(Purge(artifact, number, survey.prefix, 0) for artifact, number in sorted(group))
    packs = tuple(_without(use, round(sizes.get(use.name, 0.0)), unit) for use in survey.packs)
    deleted = msgspec.structs.replace(survey, units=(*survey.units, purge), packs=packs)
    return plan_sweep(deleted).freed_bytes - plan_sweep(survey).freed_bytes


def _without(use: PackUse, size: int, unit: int) -> PackUse:
    """A pack of which so many bytes are needed only until a unit is purged."""
    if not size or use.pinned:
        return use
    size = min(size, use.live_bytes)
    return msgspec.structs.replace(
        use, live_bytes=use.live_bytes - size, dead_bytes=(*use.dead_bytes, (unit, size))
    )
