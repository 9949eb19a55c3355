"""Choosing versions and artifacts: by type, tag, alias, time, run, and where-expressions over what is said of them."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from artifactstore.catalog.edges import UP, neighbours, node_run, version_node
from artifactstore.catalog.names import first_name
from artifactstore.catalog.rows import artifacts
from artifactstore.catalog.runs import find_run
from artifactstore.catalog.where import Node, holds, parse_where
from artifactstore.client import listing
from artifactstore.client.results import ArtifactInfo
from artifactstore.client.version import Version
from artifactstore.ids import ALL, ArtifactName, check_alias, check_name, parse_artifact_name
from artifactstore.index.environment import ReadTransaction
from artifactstore.store.editing import Editing

_NS_PER_S: Final = 1_000_000_000


class Choice(NamedTuple):
    """Which versions are meant; each part narrows it.

    Attributes:
        type: Of an artifact of this type.
        tags: With each of these labels.
        aliases: With each of these aliases.
        where: Of which this holds.
        since_ns: Made then or later, in nanoseconds since the Unix epoch.
        until_ns: Made before.
        run: Produced by this run.
    """

    type: str | None = None
    tags: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    where: Node | None = None
    since_ns: int | None = None
    until_ns: int | None = None
    run: bytes | None = None

    def takes(self, txn: ReadTransaction, version: Version) -> bool:
        """Whether a version is meant."""
        return (
            (self.type is None or version.type == self.type)
            and set(self.tags) <= set(version.tags)
            and set(self.aliases) <= set(version.aliases)
            and (self.since_ns is None or version.created_ns >= self.since_ns)
            and (self.until_ns is None or version.created_ns < self.until_ns)
            and (self.run is None or self.run in _runs(txn, version))
            and (self.where is None or holds(self.where, _fields_of(txn, version)))
        )


class Choosing(Editing):
    """The part of a store that finds versions by what is said of them."""

    def versions(
        self,
        artifact: str,
        *,
        type: str | None = None,  # noqa: A002 - the word users know
        tags: Iterable[str] = (),
        aliases: Iterable[str] = (),
        where: str | None = None,
        since_ns: int | None = None,
        until_ns: int | None = None,
        run: str | None = None,
    ) -> list[Version]:
        """The versions of an artifact, oldest first: all, or those that each of some conditions holds of.

        Args:
            artifact: `project/name`; `project/*` for all of a project, by name, and `*` for all of the store.
            type: Of an artifact of this type.
            tags: With each of these labels.
            aliases: With each of these aliases.
            where: Of which this holds, as in `metadata.rows > 1000 and 'clean' in tags`.
            since_ns: Made then or later, in nanoseconds since the Unix epoch.
            until_ns: Made before.
            run: Produced by the run whose id begins like this.

        Raises:
            NoSuchProject, NoSuchArtifact, NoSuchRun: There is none.
            InvalidQuery: `where` can't be understood; the message points at the character.
        """
        wanted = _parsed(type, tags, aliases, where, since_ns, until_ns)
        scope = None if artifact == ALL or artifact.endswith(f"/{ALL}") else parse_artifact_name(artifact)
        project = None if artifact == ALL else check_name(artifact.partition("/")[0], "project")
        self.refresh()
        with self._parts.environment.read() as txn:
            if run is not None:
                wanted = wanted._replace(run=find_run(txn, run))
            names = [scope] if scope is not None else _names(txn, project)
            return [
                version
                for name in names
                for version in listing.versions_of(self, txn, name)
                if wanted.takes(txn, version)
            ]

    def artifacts(
        self,
        project: str,
        *,
        type: str | None = None,  # noqa: A002 - the word users know
        where: str | None = None,
    ) -> list[ArtifactInfo]:
        """The artifacts of a project, by name: all, or those that each of some conditions holds of.

        Args:
            project: Its name.
            type: Of this type.
            where: Of whose newest version this holds, as for `versions`.

        Raises:
            NoSuchProject: There is none of that name.
            InvalidQuery: `where` can't be understood.
        """
        wanted = _parsed(type, (), (), where, None, None)
        self.refresh()
        with self._parts.environment.read() as txn:
            found = listing.artifacts_of(txn, check_name(project, "project"))
            if wanted == Choice():
                return found
            return [
                one
                for one in found
                if wanted.takes(
                    txn, listing.version_of(self, txn, parse_artifact_name(one.artifact), one.latest)
                )
            ]


def _parsed(
    type_name: str | None,
    tags: Iterable[str],
    aliases: Iterable[str],
    where: str | None,
    since_ns: int | None,
    until_ns: int | None,
) -> Choice:
    return Choice(
        None if type_name is None else check_name(type_name, "type"),
        tuple(check_name(tag, "tag") for tag in tags),
        tuple(check_alias(alias) for alias in aliases),
        None if where is None else parse_where(where),
        since_ns,
        until_ns,
    )


def _names(txn: ReadTransaction, project: str | None) -> Iterator[ArtifactName]:
    """The artifacts of a project, or all, by what they are called now."""
    if project is not None:
        listing.refuse_unknown_project(txn, project)
    found = [name for name, _ in artifacts(txn, project)]
    yield from sorted(found, key=lambda name: listing.called(txn, name, 0))


def _runs(txn: ReadTransaction, version: Version) -> list[bytes]:
    """Ids of the runs that produced a version, or found that they had."""
    node = version_node(first_name(txn, version.first_name), version.number)
    return [run for one in neighbours(txn, node, UP) if (run := node_run(one)) is not None]


def _fields_of(txn: ReadTransaction, version: Version) -> Callable[[str], Any]:
    """What a where-expression may ask of a version."""
    fields: dict[str, Callable[[], Any]] = {
        "artifact": lambda: version.artifact,
        "project": lambda: version.artifact.partition("/")[0],
        "name": lambda: version.artifact.partition("/")[2],
        "type": lambda: version.type,
        "number": lambda: version.number,
        "digest": lambda: version.digest,
        "size": lambda: version.size_bytes,
        "files": lambda: version.file_count,
        "created": lambda: version.created_ns / _NS_PER_S,
        "expires": lambda: None if version.expires_ns is None else version.expires_ns / _NS_PER_S,
        "description": lambda: version.description,
        "aliases": lambda: version.aliases,
        "tags": lambda: version.tags,
        "link": lambda: None if version.link is None else version.link.version,
        "runs": lambda: [run.hex() for run in _runs(txn, version)],
        "metadata": lambda: version.metadata,
    }
    return lambda field: fields[field]()
