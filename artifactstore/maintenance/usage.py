"""How much of a store versions take: in all, alone, and what the next sweep would free if they were deleted.

A chunk belongs to a group of versions alone if nothing else needs it: no other version, shown or deleted within its
grace, and no push that is still running. What only versions need that the next sweep purges anyway belongs to nobody.
What deleting frees is the difference between two plans of a sweep, so that it is what the sweep then does.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

import msgspec

from artifactstore.catalog.rows import all_versions
from artifactstore.format.limits import CID_BYTES, CID_PREFIX_BYTES
from artifactstore.format.operations import Manifest
from artifactstore.format.segment import ROW_TAIL
from artifactstore.index.environment import Environment
from artifactstore.index.tables import CHUNKS, PackTable
from artifactstore.maintenance.sweep_plan import PackUse, Purge, Survey, plan_sweep
from artifactstore.manifest.reach import reach
from artifactstore.manifest.read import Getter
from artifactstore.progress import Progress

# Versions that are looked at together: (artifact, number) of each.
Group: TypeAlias = frozenset[tuple[str, int]]


class Usage(msgspec.Struct, frozen=True):
    """What a group of versions takes.

    Attributes:
        versions: How many they are.
        logical_bytes: Bytes of their files.
        stored_bytes: Bytes that their chunks take, compressed, each chunk once; pages and chunk lists among them.
        unique_bytes: Of those, the bytes that nothing else needs.
        shared_bytes: The others.
        frees_bytes: What the next sweep would free more if they were deleted with `now`.
    """

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


def usage_of(parts: UsageParts, survey: Survey, groups: Sequence[Group]) -> list[Usage]:
    """Work out what each of some groups of versions takes.

    Args:
        parts: What to look at.
        survey: A survey of the store.
        groups: The groups; no version is in two of them, nor among those that the next sweep may purge.

    Raises:
        Damaged: A page or list can't be read.
    """
    purged = {(one.artifact, one.number) for unit in survey.units for one in unit}
    grouped = {version: number for number, group in enumerate(groups) for version in group}
    with parts.environment.read() as txn:
        versions = [((str(name), number), row.manifest) for name, number, row in all_versions(txn)]
    parts.progress.start("du", files_total=len(versions))
    taken = _reached(
        parts, (one for version, one in versions if version not in grouped and version not in purged)
    )
    shared: set[bytes] = set()
    reached: list[set[bytes]] = []
    logical = [0] * len(groups)
    for number in range(len(groups)):
        own = [manifest for version, manifest in versions if grouped.get(version) == number]
        logical[number] = sum(manifest.size for manifest in own)
        reached.append(_reached(parts, own))
        shared |= reached[-1] & taken
        taken |= reached[-1]
    found: list[Usage] = []
    for number, group in enumerate(groups):
        alone = reached[number] - shared
        stored, unique = _stored(parts, reached[number]), _stored(parts, alone)
        frees = _frees(survey, group, _by_pack(parts, alone))
        found.append(Usage(len(group), logical[number], stored, unique, stored - unique, frees))
    return found


def _reached(parts: UsageParts, manifests: Iterable[Manifest]) -> set[bytes]:
    """Everything that some versions reach, by the first 16 bytes of each cid."""
    seen: set[bytes] = set()
    reached: set[bytes] = set()
    for manifest in manifests:
        for _, cids in reach(parts.getter, manifest, seen):
            reached.update(cids[at : at + CID_PREFIX_BYTES] for at in range(0, len(cids), CID_BYTES))
        parts.progress.advance(files=1)
    return reached


def _stored(parts: UsageParts, prefixes: set[bytes]) -> int:
    """Bytes that chunks take, each counted once, wherever it lies first."""
    with parts.environment.read() as txn:
        rows = txn.get_many(CHUNKS, sorted(prefixes))
        return round(sum(_size(*ROW_TAIL.unpack_from(value)) for _, value in rows))


def _by_pack(parts: UsageParts, prefixes: set[bytes]) -> dict[bytes, float]:
    """Bytes that chunks take in each pack that holds them, by its name."""
    sizes: dict[int, float] = {}
    with parts.environment.read() as txn:
        for _, value in txn.get_many(CHUNKS, sorted(prefixes)):
            for tail in ROW_TAIL.iter_unpack(value):
                sizes[tail[0]] = sizes.get(tail[0], 0.0) + _size(*tail)
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
