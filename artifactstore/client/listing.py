"""Answering questions from the client index: what is there, what it is called, how large it is."""

from datetime import UTC, datetime
from pathlib import Path

from artifactstore.catalog.generation import Purged, number_after_purged, purged_prefix, purged_version
from artifactstore.catalog.links import links_of
from artifactstore.catalog.names import first_name, in_full, shown_name
from artifactstore.catalog.rows import (
    ArtifactRow,
    Deletion,
    VersionRow,
    aliases,
    all_versions,
    artifacts,
    get_alias,
    get_artifact,
    get_version,
    live_version,
    versions,
)
from artifactstore.client.results import ArtifactInfo, IndexInfo, KeySlot, ProjectInfo, StoreInfo
from artifactstore.client.version import LinkInfo, Named, PushSummary, Source, Version
from artifactstore.errors import (
    AmbiguousDigest,
    Deleted,
    NoSuchArtifact,
    NoSuchDigest,
    NoSuchProject,
    NoSuchVersion,
)
from artifactstore.format.operations import Source as Linked
from artifactstore.format.pack import PackType
from artifactstore.format.segment import ROW_TAIL
from artifactstore.ids import ALL, ArtifactName, Reference, Selection
from artifactstore.index.environment import Environment, ReadTransaction
from artifactstore.index.tables import CHUNKS, PACKS, STAT, PackTable, read_position
from artifactstore.log.log import Log

_NS_PER_MS = 1_000_000


def resolve(source: Source, txn: ReadTransaction, reference: Reference) -> Version:
    """The version that a reference names.

    Raises:
        NoSuchProject, NoSuchArtifact, NoSuchVersion: There is none, or a digest prefix fits several.
        Deleted: It was deleted.
    """
    artifact = artifact_row(source, txn, reference.artifact)
    number = reference.number
    if reference.digest_prefix is not None:
        number = _by_digest(txn, reference, reference.digest_prefix)
    elif number is None:
        number = get_alias(txn, reference.artifact, reference.alias or "")
    row = None if number is None else get_version(txn, reference.artifact, number)
    if number is not None and row is None:
        prefix = purged_prefix(source.name_key(), first_name(txn, reference.artifact))
        purged = purged_version(txn, prefix, number)
        if purged is not None:
            raise _purged(reference.artifact, number, purged)
    if number is None or row is None:
        newest = (
            "all its versions are deleted" if artifact.newest is None else f"the newest is v{artifact.newest}"
        )
        raise NoSuchVersion(
            f"there is no {reference}; {newest}",
            next_step=_list_versions(reference.artifact),
            reference=str(reference),
            newest=artifact.newest,
        )
    if row.deleted is not None:
        raise _deleted(reference.artifact, number, row.deleted)
    return _version(source, txn, reference.artifact, number, artifact, row)


def _deleted(name: ArtifactName, number: int, deletion: Deletion) -> Deleted:
    when = datetime.fromtimestamp(deletion.time_ms / 1000, tz=UTC)
    return Deleted(
        f"{name}:v{number} was deleted on {when:%Y-%m-%d %H:%M} UTC by record {deletion.slot}",
        next_step=f"bring it back with `artifactstore undelete {name}:v{number}`",
        version=f"{name}:v{number}",
        record=deletion.slot,
    )


def _purged(name: ArtifactName, number: int, purged: Purged) -> Deleted:
    when = datetime.fromtimestamp(purged.time_ms / 1000, tz=UTC)
    return Deleted(
        f"{name}:v{number} was purged on {when:%Y-%m-%d %H:%M} UTC by record {purged.slot}: its content is gone",
        next_step="nothing brings it back; push the content again if you have it",
        version=f"{name}:v{number}",
        record=purged.slot,
    )


def version_of(
    source: Source, txn: ReadTransaction, name: ArtifactName, number: int, push: PushSummary | None = None
) -> Version:
    """One version by number."""
    version = resolve(source, txn, Reference(name, number=number))
    version.push = push
    return version


def version_at(source: Source, txn: ReadTransaction, name: ArtifactName, number: int) -> Version:
    """One version that is known to be there, deleted or not."""
    artifact, row = get_artifact(txn, name), get_version(txn, name, number)
    assert artifact is not None
    assert row is not None
    return _version(source, txn, name, number, artifact, row)


def _by_digest(txn: ReadTransaction, reference: Reference, prefix: str) -> int:
    found = [
        (number, row.manifest.digest)
        for number, row in versions(txn, reference.artifact)
        if row.manifest.digest.hex().startswith(prefix)
    ]
    if len({digest for _, digest in found}) > 1:
        names = ", ".join(f"v{number}" for number, _ in found)
        raise AmbiguousDigest(
            f"{reference} fits several versions: {names}",
            reference=str(reference),
            versions=[f"v{number}" for number, _ in found],
        )
    if not found:
        raise NoSuchDigest(
            f"no version of {reference.artifact} has a digest that begins with {prefix}",
            next_step=_list_versions(reference.artifact),
            reference=str(reference),
        )
    # Equal digests are equal content; the newest of them that is shown is meant, else the newest.
    numbers = [number for number, _ in found]
    shown = [number for number in numbers if live_version(txn, reference.artifact, number) is not None]
    return (shown or numbers)[-1]


def _version(
    source: Source,
    txn: ReadTransaction,
    name: ArtifactName,
    number: int,
    artifact: ArtifactRow,
    row: VersionRow,
) -> Version:
    names = tuple(alias for alias, at in aliases(txn, name) if at == number)
    first = first_name(txn, name)
    named = _named(txn, first, number, row, shown_name(txn, first))
    return Version(source, first, number, artifact.type, row, names, named=named)


def _named(
    txn: ReadTransaction, first: ArtifactName, number: int, row: VersionRow, shown: ArtifactName
) -> Named:
    """What a version's artifact is called now, and what is linked with it."""
    links = sorted(called(txn, *link) for link in links_of(txn, first, number))
    return Named(shown, None if row.source is None else _link_info(txn, row, row.source), tuple(links))


def _link_info(txn: ReadTransaction, row: VersionRow, source: Linked) -> LinkInfo:
    linked = ArtifactName(source.project, source.name)
    held = get_version(txn, linked, source.number)
    state = "purged" if held is None else "shown" if held.deleted is None else "deleted"
    return LinkInfo(called(txn, linked, source.number), state, row.created_ms * _NS_PER_MS, row.member.hex())


def called(txn: ReadTransaction, name: ArtifactName, number: int) -> str:
    """`project/name:v3`, as the artifact is called now."""
    return f"{shown_name(txn, first_name(txn, name))}:v{number}"


def artifact_row(source: Source, txn: ReadTransaction, name: ArtifactName) -> ArtifactRow:
    """The row of an artifact.

    Raises:
        NoSuchProject, NoSuchArtifact, Deleted: There is none of that name.
    """
    row = get_artifact(txn, name)
    if row is not None:
        return row
    for inside in in_full(txn, first_name(txn, name)):
        prefix = purged_prefix(source.name_key(), inside)
        after = number_after_purged(txn, prefix)
        purged = purged_version(txn, prefix, after - 1) if after else None
        if purged is not None:
            raise _purged(name, after - 1, purged)
    refuse_unknown_project(txn, name.project)
    raise NoSuchArtifact(
        f"project {name.project!r} has no artifact {name.name!r}",
        next_step=f"list what it has with `artifactstore ls {name.project}`",
        artifact=str(name),
    )


def projects(txn: ReadTransaction) -> list[ProjectInfo]:
    """All projects, by name."""
    found: dict[str, list[ArtifactRow]] = {}
    for name, row in artifacts(txn):
        if row.versions:
            found.setdefault(shown_name(txn, name).project, []).append(row)
    return [
        ProjectInfo(
            project,
            len(rows),
            sum(row.versions for row in rows),
            max(row.updated_ms for row in rows) * _NS_PER_MS,
        )
        for project, rows in sorted(found.items())
    ]


def artifacts_of(txn: ReadTransaction, project: str) -> list[ArtifactInfo]:
    """The artifacts of one project, by name.

    Raises:
        NoSuchProject: There is none of that name.
    """
    found = []
    for name, row in artifacts(txn, project):
        newest = live_version(txn, name, row.newest)
        if row.newest is None or newest is None:
            continue  # all its versions are deleted
        size = newest.manifest.size
        found.append(
            ArtifactInfo(
                str(shown_name(txn, name)),
                row.type,
                row.versions,
                row.newest,
                size,
                row.updated_ms * _NS_PER_MS,
                row.collection,
            )
        )
    if not found:
        raise NoSuchProject(f"there is no project {project!r}", project=project)
    return sorted(found, key=lambda one: one.artifact)


def versions_of(
    source: Source, txn: ReadTransaction, name: ArtifactName, *, deleted: bool = False
) -> list[Version]:
    """The versions of one artifact, oldest first: those that are shown, or those that are deleted.

    Raises:
        NoSuchProject, NoSuchArtifact: There is none.
    """
    artifact = artifact_row(source, txn, name)
    named: dict[int, list[str]] = {}
    for alias, number in aliases(txn, name):
        named.setdefault(number, []).append(alias)
    first = first_name(txn, name)
    shown = shown_name(txn, first)
    return [
        Version(
            source,
            first,
            number,
            artifact.type,
            row,
            tuple(named.get(number, ())),
            named=_named(txn, first, number, row, shown),
        )
        for number, row in versions(txn, first)
        if (row.deleted is not None) == deleted
    ]


def refuse_unknown_project(txn: ReadTransaction, project: str) -> None:
    """Say that there is no such project.

    Raises:
        NoSuchProject: There is none of that name, not even a deleted artifact of it.
    """
    if next(artifacts(txn, project), None) is None:
        raise NoSuchProject(f"there is no project {project!r}", project=project)


def names(reference: Reference, version: Version) -> bool:
    """Whether a reference by number or digest names this version; a deleted one has no alias."""
    if reference.digest_prefix is not None:
        return version.digest.startswith(reference.digest_prefix)
    return version.number == reference.number


def none_selected(selection: Selection, *, deleted: bool) -> NoSuchVersion:
    """The error for a selection without a version."""
    where = str(selection.reference or f"{selection.project}/{selection.name or ALL}")
    artifact = "PROJECT/NAME" if selection.name is None else f"{selection.project}/{selection.name}"
    return NoSuchVersion(
        f"there is no {'deleted ' if deleted else ''}version at {where}",
        next_step=f"list those that there are with `artifactstore ls {artifact}{' --deleted' if deleted else ''}`",
        selection=where,
    )


def _list_versions(artifact: ArtifactName) -> str:
    return f"list its versions with `artifactstore ls {artifact}`"


def index_info(environment: Environment) -> IndexInfo:
    """What the client index holds."""
    with environment.read() as txn:
        position = read_position(txn)
        return IndexInfo(
            environment.path,
            environment.size_bytes,
            txn.count(PACKS),
            txn.count(CHUNKS),
            position.next_slot - 1,
            txn.count(STAT),
        )


def store_info(
    environment: Environment,
    packs: PackTable,
    log: Log,
    slots: tuple[KeySlot, ...],
    *,
    store_id: str,
    url: str,
    single_writer: bool,
    probed_ns: int,
    key_file: Path,
) -> StoreInfo:
    """Everything about a store as a whole."""
    with environment.read() as txn:
        position = read_position(txn)
        known = list(packs.all(txn))
        data_packs = {pack.number for pack in known if pack.added.type == PackType.DATA}
        chunks = unique = 0
        for _, value in txn.scan(CHUNKS):
            pack, *_, span = ROW_TAIL.unpack_from(value)
            if pack in data_packs:
                chunks += 1
                unique += span
        rows = list(artifacts(txn))
        logical = [row.manifest.size for _, _, row in all_versions(txn) if row.deleted is None]
    created = next(log.reread(0, 1), None)
    stored = sum(pack.added.size for pack in known)
    return StoreInfo(
        id=store_id,
        url=url,
        created_ns=0 if created is None or created.clear is None else created.clear.time_ms * _NS_PER_MS,
        generation=position.generation,
        slots=slots,
        records=position.next_slot,
        packs=len(known),
        chunks=chunks,
        projects=len({name.project for name, _ in rows}),
        artifacts=len(rows),
        versions=len(logical),
        logical_bytes=sum(logical),
        unique_bytes=unique,
        stored_bytes=stored,
        dedup_ratio=sum(logical) / unique if unique else 1.0,
        compression_ratio=unique / stored if stored else 1.0,
        single_writer=single_writer,
        probed_ns=probed_ns,
        key_file=key_file,
        cache=environment.path,
    )
