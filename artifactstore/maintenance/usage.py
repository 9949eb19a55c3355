"""How much of a store versions take: in all, alone, and what the next sweep would free if they were deleted.

A chunk belongs to a group of versions alone if nothing else needs it: no other version, shown or deleted within its
grace, and no push that is still running. What only versions need that the next sweep purges anyway belongs to nobody.
What deleting frees is the difference between two plans of a sweep, so that it is what the sweep then does.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple, TypeAlias

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

_OTHERS: Final = -1
_SHARED: Final = -2


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
    owners = _Owners(parts, survey, groups)
    sizes = _alone(parts, owners)
    found: list[Usage] = []
    for number, group in enumerate(groups):
        unique = sum(sizes[number].values())
        stored = round(owners.stored[number])
        found.append(
            Usage(
                len(group),
                owners.logical[number],
                stored,
                round(unique),
                stored - round(unique),
                _frees(survey, group, sizes[number]),
            )
        )
    return found


class _Owners:
    """Which group a chunk belongs to alone, by the first 16 bytes of its cid."""

    def __init__(self, parts: UsageParts, survey: Survey, groups: Sequence[Group]) -> None:
        self._parts = parts
        self.of: dict[bytes, int] = {}
        self.logical = [0] * len(groups)
        self.stored = [0.0] * len(groups)
        numbers = {version: number for number, group in enumerate(groups) for version in group}
        purged = {(one.artifact, one.number) for unit in survey.units for one in unit}
        with parts.environment.read() as txn:
            versions = [((str(name), number), row.manifest) for name, number, row in all_versions(txn)]
        by_group: list[list[Manifest]] = [[] for _ in groups]
        others: list[Manifest] = []
        for version, manifest in versions:
            if version in numbers:
                by_group[numbers[version]].append(manifest)
                self.logical[numbers[version]] += manifest.size
            elif version not in purged:
                others.append(manifest)
        parts.progress.start("du", files_total=len(versions))
        self._walk(others, _OTHERS)
        for number, manifests in enumerate(by_group):
            self.stored[number] = self._stored(self._walk(manifests, number))

    def _walk(self, manifests: Sequence[Manifest], owner: int) -> set[bytes]:
        """Note an owner for everything that some versions reach; return that."""
        seen: set[bytes] = set()
        reached: set[bytes] = set()
        for manifest in manifests:
            for _, cids in reach(self._parts.getter, manifest, seen):
                for at in range(0, len(cids), CID_BYTES):
                    prefix = cids[at : at + CID_PREFIX_BYTES]
                    reached.add(prefix)
                    if self.of.setdefault(prefix, owner) != owner:
                        self.of[prefix] = _SHARED
            self._parts.progress.advance(files=1)
        return reached

    def _stored(self, prefixes: set[bytes]) -> float:
        """Bytes that chunks take, wherever they lie first."""
        total = 0.0
        with self._parts.environment.read() as txn:
            for _, value in txn.get_many(CHUNKS, sorted(prefixes)):
                _, _, _, length, raw_length, _, _, span = ROW_TAIL.unpack_from(value)
                total += length * span / raw_length
        return total


def _alone(parts: UsageParts, owners: _Owners) -> list[dict[bytes, float]]:
    """For each group, by name of pack, the bytes of chunks that are its alone."""
    sizes: list[dict[bytes, float]] = [{} for _ in owners.logical]
    with parts.environment.read() as txn:
        names = {pack.number: pack.added.name for pack in parts.packs.all(txn)}
        for prefix, value in txn.scan(CHUNKS):
            owner = owners.of.get(bytes(prefix), _OTHERS)
            if owner < 0:
                continue
            mine = sizes[owner]
            for pack, _, _, length, raw_length, _, _, span in ROW_TAIL.iter_unpack(value):
                name = names[pack]
                mine[name] = mine.get(name, 0.0) + length * span / raw_length
    return sizes


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
