"""Which versions a reference means when versions are handed on: one, all of an artifact, or all of a project."""

from collections.abc import Iterable

from artifactstore.errors import NotFoundError
from artifactstore.ids import ALL, ArtifactName, check_name, parse_artifact_name, parse_reference
from artifactstore.store import Store, Version

EVERYTHING = "*"


def selected_versions(store: Store, refs: Iterable[str]) -> dict[ArtifactName, list[Version]]:
    """The versions that references name, by artifact, oldest first and each once.

    Args:
        store: Where they are.
        refs: `project/name[:vN | :alias | @digest]` (the newest when it names none), `project/name:*`,
            `project/*`, or `*` for all there is.

    Raises:
        InvalidReference, InvalidName: One is of none of these forms.
        NoSuchProject, NoSuchArtifact, NoSuchVersion, Deleted: It names nothing.
    """
    found: dict[ArtifactName, dict[int, Version]] = {}
    for ref in refs:
        for version in _named(store, ref):
            found.setdefault(parse_artifact_name(version.artifact), {})[version.number] = version
    return {name: [at[number] for number in sorted(at)] for name, at in sorted(found.items())}


def versions_there(store: Store, name: ArtifactName) -> list[Version]:
    """The versions of an artifact, oldest first; none where there is no such artifact."""
    try:
        return store.versions(str(name))
    except NotFoundError:
        return []


def _named(store: Store, ref: str) -> list[Version]:
    if ref == EVERYTHING:
        projects = [project.name for project in store.projects()]
        return [version for project in projects for version in _of_project(store, project)]
    project, slash, name = ref.partition("/")
    if slash and name == ALL:
        return _of_project(store, check_name(project, "project"))
    if ref.endswith(f":{ALL}"):
        return store.versions(ref[: -len(ALL) - 1])
    parse_reference(ref)
    return [store.version(ref)]


def _of_project(store: Store, project: str) -> list[Version]:
    names = [artifact.artifact for artifact in store.artifacts(project)]
    return [version for name in names for version in store.versions(name)]
