"""References, as a store's users ask for them: taken into a version, fetched, and held against their sources."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import msgspec

from artifactstore.client.naming import Naming
from artifactstore.client.version import Version
from artifactstore.errors import ArtifactStoreError, BackendError
from artifactstore.format.page import Kind
from artifactstore.format.reference import Reference
from artifactstore.ids import normalized, parse_artifact_name
from artifactstore.manifest.read import StoredEntry, entries
from artifactstore.progress import Progress
from artifactstore.references.access import ReferenceAccess
from artifactstore.references.referring import OBJECTS_MAX, Sources, name_of
from artifactstore.transfer.pull import selected
from artifactstore.transfer.referenced import Fetching, materializing, referring
from artifactstore.transfer.scan import Found

_TOGETHER: Final = 64


class ReferenceProblem(msgspec.Struct, frozen=True):
    """A reference that can't be had as it was.

    Attributes:
        path: Its path in the version.
        url: Where it points.
        kind: The kind of the error: `reference-changed`, `reference-gone`, `reference-refused` and the like.
        message: What is wrong with it.
        next_step: What helps.
    """

    path: str
    url: str
    kind: str
    message: str
    next_step: str


class ReferenceReport(msgspec.Struct, frozen=True):
    """What asking the sources of a version's references told.

    Attributes:
        version: The version.
        references: References that were asked about.
        good: Those that are there as they were.
        unknown: Those without a checksum, of which only that they are there could be seen.
        problems: The others.
    """

    version: Version
    references: int
    good: int
    unknown: int
    problems: tuple[ReferenceProblem, ...]

    @property
    def ok(self) -> bool:
        """Whether there is no problem."""
        return not self.problems


class Referring(Naming):
    """The part of a store that knows what lies outside it."""

    def verify_references(
        self,
        ref: str,
        *,
        paths: Iterable[str] = (),
        access: ReferenceAccess | None = None,
        progress: Progress | None = None,
    ) -> ReferenceReport:
        """Ask the sources of a version's references whether they are there and the same; nothing is written.

        Entity tags, sizes and versions are asked for; what is known by the hash of its bytes alone is read.

        Args:
            ref: The version.
            paths: Globs of the paths, as for `pull`; all when empty.
            access: How they are reached, and what may be; by default what a pull may fetch.
            progress: Told what happens; the store's own when None.

        Raises:
            NoSuchProject, NoSuchArtifact, NoSuchVersion, Deleted: There is no such version.
        """
        version = self.version(ref)
        getter = self.getter_of(parse_artifact_name(version.artifact), version.number)
        sources, watcher = Sources(access or ReferenceAccess()), progress or self._progress
        watcher.start("verify")
        found = (
            entry
            for entry in selected(entries(getter, version.manifest), list(paths))
            if entry.kind == Kind.REFERENCE
        )
        count = unknown = 0
        problems: list[ReferenceProblem] = []
        with self._make_executors() as executors:
            for lot in _lots(found):
                told = executors.io.map(lambda entry: _problem(sources, entry), lot)
                for entry, problem in zip(lot, told, strict=True):
                    count += 1
                    watcher.advance(bytes=entry.size, files=1)
                    if problem is not None:
                        problems.append(problem)
                    elif not entry.reference.checksum:
                        unknown += 1
        watcher.finish()
        good = count - unknown - len(problems)
        return ReferenceReport(version, count, good, unknown, tuple(problems))


def _lots(found: Iterable[StoredEntry]) -> Iterator[list[StoredEntry]]:
    lot: list[StoredEntry] = []
    for entry in found:
        lot.append(entry)
        if len(lot) == _TOGETHER:
            yield lot
            lot = []
    if lot:
        yield lot


def _problem(sources: Sources, entry: StoredEntry) -> ReferenceProblem | None:
    try:
        sources.verify(entry.reference)
    except ArtifactStoreError as error:
        # Whoever can't reach a network has no answer, and not a problem with each reference.
        if isinstance(error, BackendError):
            raise
        return ReferenceProblem(entry.path, entry.reference.url, error.kind, error.message, error.next_step)
    return None


def fetching(access: ReferenceAccess | None, *, references: bool, allow_missing: bool) -> Fetching:
    """How a pull gets what references name.

    Args:
        access: How they are reached.
        references: Whether to fetch them at all.
        allow_missing: Whether one that can't be had is left out.
    """
    return Fetching(Sources(access or ReferenceAccess()) if references else None, allow_missing)


def referred(
    references: Mapping[str, str | Reference],
    *,
    access: ReferenceAccess | None = None,
    checksum: bool = True,
    objects_max: int | None = None,
    materialize: bool = False,
) -> list[Found]:
    """What a push takes of references.

    Args:
        references: Path in the version to a URL, which is looked at now, or to a reference, which is taken as it is. A
            folder or prefix is put below its path; an empty one is the root, and of a single object its URL's name.
        access: How sources are reached.
        checksum: Whether they are looked at.
        objects_max: How many objects a folder or prefix may hold.
        materialize: Whether to take what they name into the store, instead of references.

    Raises:
        InvalidURL, TooManyObjects, ReferenceGone: One of them can't be referred to.
    """
    sources = Sources(access or ReferenceAccess(), asked=True)
    found: list[tuple[str, Reference]] = []
    for path, what in references.items():
        if isinstance(what, Reference):
            found.append((normalized(path or name_of(what.url)).strip("/"), what))
            continue
        bound = OBJECTS_MAX if objects_max is None else objects_max
        for below, reference in sources.refer(what, checksum=checksum, objects_max=bound):
            parts = (path.strip("/"), below) if path or below else (name_of(what),)
            found.append((normalized("/".join(filter(None, parts))), reference))
    return materializing(found, sources.open) if materialize else referring(found)
