"""Check: the log's chain, keys, packs, index and manifests, each held against the others.

Without `read_data` every object is looked at, its size and every footer; with it, packs are read whole: name, header,
blobs and the cid of every chunk. A check reports; it repairs nothing and writes nothing to the store.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from artifactstore.content.get import ChunkReader
from artifactstore.errors import ArtifactStoreError, Damaged
from artifactstore.index.tables import read_position
from artifactstore.maintenance.findings import (
    BrokenPack,
    CheckReport,
    Diagnosis,
    Names,
    Problem,
    problem_of,
)
from artifactstore.maintenance.log_check import LogCheck
from artifactstore.maintenance.object_check import listed_objects
from artifactstore.maintenance.pack_check import CheckParts, PackCheck, Reading
from artifactstore.maintenance.version_check import VersionCheck, VersionsChecked

_REPAIR: Final = "artifactstore repair"
_PUSH_AGAIN: Final = (
    "push the files that are missing again, under any name: what was lost is stored anew, and the versions that miss"
    " it are whole again"
)


class Checker:
    """One check of one store. Used once."""

    def __init__(self, parts: CheckParts) -> None:
        self._parts = parts

    def run(self, reading: Reading, failures: Sequence[ArtifactStoreError] = ()) -> CheckReport:
        """Check everything.

        Args:
            reading: Which packs to read whole.
            failures: Why the log could not be followed to its head.
        """
        parts = self._parts
        # Every location is held against the packs.
        parts.locator.complete()
        with parts.environment.read() as txn:
            position = read_position(txn)
        log = LogCheck(parts.backend, parts.keyring, parts.environment, position, parts.progress)
        log.run()
        packs = PackCheck(parts)
        packs.run(reading, log.in_use)
        listed = listed_objects(parts.backend, parts.environment, parts.packs, position)
        # Its footer lies where the record says, whatever was put behind it.
        for number in set(listed.misfits) - packs.broken.keys():
            packs.suspect(number)
        # A reader of its own: a blob that another operation has opened says nothing of what lies on the backend.
        reader = ChunkReader(parts.backend, parts.environment, parts.packs, parts.keyring, parts.locator)
        versions = VersionCheck(
            reader, parts.environment, parts.packs, packs.broken, packs.suspect, parts.progress
        ).run()
        parts.progress.finish()
        beyond = [problem_of(error, "log", "log") for error in failures]
        told = {problem.object for problem in log.problems}
        problems = [
            *log.problems,
            *(problem for problem in beyond if problem.object not in told),
            *packs.problems,
            *_pack_problems(packs.broken.values(), versions),
            *versions.problems,
        ]
        diagnosis = Diagnosis(
            log.is_whole and not any(isinstance(error, Damaged) for error in failures),
            tuple(packs.broken.values()),
            tuple(packs.whole_again),
            tuple(log.tiles),
        )
        return CheckReport(
            problems=tuple(problems),
            records=log.records,
            packs=packs.packs,
            versions=versions.versions,
            versions_hurt=versions.hurt,
            chunks=packs.chunks if reading.percent else versions.located,
            bytes_read=packs.bytes_read,
            packs_read_before=packs.read_before,
            packs_out_of_use=packs.out_of_use,
            orphans=listed.orphans,
            foreign=listed.foreign,
            diagnosis=diagnosis,
        )


def _pack_problems(broken: Iterable[BrokenPack], versions: VersionsChecked) -> list[Problem]:
    """Broken packs that concern somebody, or that a repair has work with."""
    problems = []
    for pack in broken:
        hurt, paths = versions.by_pack.get(pack.number, (Names(), Names()))
        unrepaired = not pack.taken_out or pack.survivors > 0 or pack.in_use
        if not unrepaired and not hurt.total:
            continue
        steps = ([_REPAIR] if unrepaired else []) + ([_PUSH_AGAIN] if hurt.total else [])
        problems.append(
            Problem(Damaged.kind, pack.object, pack.reason, pack.part, hurt, paths, "; then ".join(steps))
        )
    return problems
