"""Adopting a bucket that was set back: what its log lacks of what a client has seen, shown before it is acknowledged.

A client that has seen more refuses such a log, since it can't tell an accident from an attack. Its user can. Then a
record says that a log of so many slots under such a root was given up, and the client's memory begins anew with the
bucket's log. What the client knows as deleted or purged and the bucket shows again is deleted again; nothing of what is
lost comes back.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from artifactstore.catalog.commit import Committer
from artifactstore.catalog.generation import purged_prefix, purged_version
from artifactstore.catalog.rows import VersionRow, all_versions
from artifactstore.format.operations import Adopt, Delete
from artifactstore.format.record import RecordType
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import Environment, ReadTransaction
from artifactstore.index.tables import PackTable, read_position
from artifactstore.log.merkle import root_of
from artifactstore.maintenance.findings import Names, Some

_PURGED_BEFORE: Final = "purged before the bucket was set back"


class AdoptPlan(msgspec.Struct, frozen=True):
    """What this client has seen and the bucket does not have.

    Attributes:
        needed: Whether there is anything to acknowledge.
        slots_known: How many slots this client has seen.
        slots_found: How many the bucket's log has.
        root_known: Merkle root over the slots that this client has seen.
        lost: Versions that the bucket's log does not have.
        replaced: Versions that it has with other content.
        come_back: Versions that were deleted, and are not any more; they are deleted again.
        purged: Versions that were purged, and are there again; they are deleted again, for the next sweep to purge.
        lost_packs: Packs that it does not register; what they hold must be pushed again.
        lost_bytes: Their bytes.
    """

    needed: bool
    slots_known: int
    slots_found: int
    root_known: bytes = b""
    lost: Names = Names()
    replaced: Names = Names()
    come_back: Names = Names()
    purged: Names = Names()
    lost_packs: int = 0
    lost_bytes: int = 0


def plan_adopt(known: Environment, found: Environment, packs: PackTable, name_key: bytes) -> AdoptPlan:
    """Compare what a client has seen with what the bucket's log says.

    Args:
        known: The client's index.
        found: An index that was made from the bucket's log alone.
        packs: The client's pack table.
        name_key: Under which names of purged artifacts are hashed.
    """
    lost, replaced, come_back, purged = Some(), Some(), Some(), Some()
    lost_packs = lost_bytes = 0
    with known.read() as old, found.read() as new:
        position = read_position(old)
        for name, row, other in _side_by_side(old, new):
            if other is None:
                lost.add(name)
            elif other.manifest.digest != row.manifest.digest:
                replaced.add(name)
            elif row.deleted is not None and other.deleted is None:
                come_back.add(name)
        for artifact, number in _purged_again(old, new, name_key):
            purged.add(f"{artifact}:v{number}")
        for pack in packs.all(old):
            if packs.number_of(new, pack.added.name) is None:
                lost_packs += 1
                lost_bytes += pack.added.size
        slots_found = read_position(new).next_slot
    return AdoptPlan(
        needed=True,
        slots_known=position.next_slot,
        slots_found=slots_found,
        root_known=root_of(position.frontier),
        lost=lost.names(),
        replaced=replaced.names(),
        come_back=come_back.names(),
        purged=purged.names(),
        lost_packs=lost_packs,
        lost_bytes=lost_bytes,
    )


def acknowledge(committer: Committer, plan: AdoptPlan, deletions: Sequence[Delete]) -> None:
    """Commit the record that says what was given up, and delete again what had been."""
    committer.commit([Adopt(plan.slots_known, plan.root_known)], kind=RecordType.ADOPT)
    if deletions:
        committer.commit(deletions)


def deletions_again(known: Environment, found: Environment, name_key: bytes) -> list[Delete]:
    """The deletions of all that a client knows as deleted or purged and that the bucket shows, as they were."""
    deletions: list[Delete] = []
    with known.read() as old, found.read() as new:
        for name, row, other in _side_by_side(old, new):
            gone = row.deleted
            if gone is not None and other is not None and other.deleted is None:
                artifact, _, number = name.rpartition(":v")
                project, _, short = artifact.partition("/")
                deletions.append(
                    Delete(project, short, [int(number)], True, gone.now, gone.reason, gone.requested_by)
                )
        deletions += [
            Delete(artifact.project, artifact.name, [number], True, True, _PURGED_BEFORE, "")
            for artifact, number in _purged_again(old, new, name_key)
        ]
    return deletions


def _purged_again(
    old: ReadTransaction, new: ReadTransaction, name_key: bytes
) -> Iterator[tuple[ArtifactName, int]]:
    for artifact, number, row in all_versions(new):
        prefix = purged_prefix(name_key, artifact)
        if row.deleted is None and purged_version(old, prefix, number) is not None:
            yield artifact, number


def _side_by_side(
    old: ReadTransaction, new: ReadTransaction
) -> Iterator[tuple[str, VersionRow, VersionRow | None]]:
    """Each version of the old catalog, with the one of that number in the new; both are sorted alike."""
    others = all_versions(new)
    other = next(others, None)
    for name, number, row in all_versions(old):
        key = (name, number)
        while other is not None and _order(other[:2]) < _order(key):
            other = next(others, None)
        same = other is not None and other[:2] == key
        yield f"{name}:v{number}", row, other[2] if other is not None and same else None


def _order(key: tuple[object, int]) -> tuple[str, int]:
    return str(key[0]).replace("/", "\0"), key[1]
