"""How much of a store versions take, and what garbage there is and who holds it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from artifactstore import maintenance
from artifactstore.catalog.names import shown_name
from artifactstore.catalog.rows import all_versions
from artifactstore.deletion.collecting import Collecting
from artifactstore.deletion.deleting import Deleting
from artifactstore.errors import InvalidReference
from artifactstore.ids import ALL
from artifactstore.progress import Progress

TOTAL: Final = "total"
_NS_PER_MS: Final = 1_000_000


class Garbage(msgspec.Struct, frozen=True):
    """What of a store nothing shown needs, and what holds it.

    Attributes:
        freed_bytes: What a sweep would free now.
        deleted_versions: Deleted versions that can still be brought back.
        deleted_bytes: What a sweep would free more once their grace is over.
        deleted_until_ns: When the last of them may be purged; None where there are none.
        running_pushes: Pushes that have registered packs and are not over.
        running_bytes: Bytes of those packs.
        unworthy_bytes: Bytes of garbage in packs that are not worth rewriting.
        left_objects: Objects that a sweep gave up and that were not seen gone yet.
        refused: Why nothing could be purged now; empty when it could.
    """

    freed_bytes: int
    deleted_versions: int
    deleted_bytes: int
    deleted_until_ns: int | None
    running_pushes: int
    running_bytes: int
    unworthy_bytes: int
    left_objects: int
    refused: str


class Measuring(Deleting, Collecting):
    """The part of a store that says how much things take."""

    def du(
        self, refs: Iterable[str] = (), *, progress: Progress | None = None
    ) -> list[maintenance.usage.UsageRow]:
        """Say how much versions take: in all, alone, and what deleting them would free. No data is read.

        Args:
            refs: `project/name` for its newest version, or with `:v3`, an alias or a digest; `project/name:*` and
                `project/*`. Each artifact by itself when empty.
            progress: Told what happens; the store's own when None.

        Returns:
            What each takes, and the total where they are several.

        Raises:
            InvalidReference, NoSuchProject, NoSuchArtifact, NoSuchVersion, Deleted: There is none.
            Damaged: A page or list can't be read.
        """
        watcher = progress or self._progress
        groups = self._groups(list(refs))
        if len(groups) > 1:
            groups.append((TOTAL, frozenset[tuple[str, int]]().union(*(group for _, group in groups))))
        rows = self._rows(groups, self._surveyed(watcher).survey, watcher)
        watcher.finish()
        return rows

    def garbage(self, *, progress: Progress | None = None) -> Garbage:
        """Say what garbage there is and what holds it. No data is read.

        Args:
            progress: Told what happens; the store's own when None.
        """
        watcher = progress or self._progress
        self.refresh()
        found = self._surveyed(watcher).survey
        plan = maintenance.sweep_plan.plan_sweep(found)
        waiting = frozenset((one.artifact, one.number) for one in found.waiting)
        held = 0
        if waiting and not plan.refused:
            (row,) = self._rows([("", waiting)], found, watcher)
            held = row.frees_bytes
        watcher.finish()
        return Garbage(
            plan.freed_bytes,
            len(waiting),
            held,
            max((one.due_ms for one in found.waiting), default=0) * _NS_PER_MS or None,
            found.running,
            plan.pinned_bytes,
            plan.garbage_bytes,
            len(found.left),
            plan.refused,
        )

    def _rows(
        self,
        groups: list[tuple[str, maintenance.usage.Group]],
        found: maintenance.sweep_plan.Survey,
        progress: Progress,
    ) -> list[maintenance.usage.UsageRow]:
        parts = self._parts
        through = maintenance.usage.UsageParts(parts.environment, parts.packs, parts.reader, progress)
        return maintenance.usage.usage_of(through, found, groups)

    def _groups(self, refs: list[str]) -> list[tuple[str, maintenance.usage.Group]]:
        """The versions that are meant by each of some references."""
        if not refs:
            self.refresh()
            by_artifact: dict[str, set[tuple[str, int]]] = {}
            with self._parts.environment.read() as txn:
                for artifact, number, row in all_versions(txn):
                    if row.deleted is None:
                        shown = str(shown_name(txn, artifact))
                        by_artifact.setdefault(shown, set()).add((str(artifact), number))
            return [(text, frozenset(versions)) for text, versions in sorted(by_artifact.items())]
        groups: dict[str, maintenance.usage.Group] = {}
        for ref in refs:
            project, _, name = ref.partition("/")
            if not name:
                raise InvalidReference(
                    f"{ref!r} names no artifact", next_step=f"write {project}/{ALL} for all of the project"
                )
            plain = ALL not in ref and ":" not in ref and "@" not in ref
            versions = [self.version(ref)] if plain else self._selected([ref], deleted=False)
            groups[ref] = frozenset((str(version.first_name), version.number) for version in versions)
        return list(groups.items())
