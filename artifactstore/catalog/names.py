"""What artifacts and projects are called: rows lie under their first names, which others lead to.

The first name of an artifact, in the first name of its project, is what its rows, and plans made of them, go by: a
rename moves no row. An artifact answers to every name that it ever had, and is shown under the last one.
"""

from collections.abc import Iterator
from typing import Final

from artifactstore.ids import ArtifactName
from artifactstore.index.environment import ReadTransaction, WriteTransaction
from artifactstore.index.tables import ARTIFACTS, NAMES

# Each kind of row of the table: a further name, of an artifact or a project, with the first one; and the other way
# round, where that isn't the last one.
_ARTIFACT: Final = b"a"
_ARTIFACT_SHOWN: Final = b"A"
_PROJECT: Final = b"p"
_PROJECT_SHOWN: Final = b"P"


def key_of(name: ArtifactName) -> bytes:
    """A name as a key; the project's comes first, so that a project is a range."""
    return f"{name.project}\0{name.name}".encode()


def name_of(key: bytes) -> ArtifactName:
    """The name that a key stands for."""
    project, _, name = key.decode().partition("\0")
    return ArtifactName(project, name)


def first_project(txn: ReadTransaction, project: str) -> str:
    """What a project was called first."""
    first = txn.get(NAMES, _PROJECT + project.encode())
    return project if first is None else bytes(first).decode()


def first_name(txn: ReadTransaction, name: ArtifactName) -> ArtifactName:
    """What an artifact was called first; of one that there is none of, its name in the first name of its project."""
    inside = ArtifactName(first_project(txn, name.project), name.name)
    first = txn.get(NAMES, _ARTIFACT + key_of(inside))
    return inside if first is None else name_of(bytes(first))


def shown_project(txn: ReadTransaction, first: str) -> str:
    """What a project is called now, by its first name."""
    shown = txn.get(NAMES, _PROJECT_SHOWN + first.encode())
    return first if shown is None else bytes(shown).decode()


def shown_name(txn: ReadTransaction, first: ArtifactName) -> ArtifactName:
    """What an artifact is called now, by its first name."""
    inside = name_inside(txn, first)
    return ArtifactName(shown_project(txn, inside.project), inside.name)


def name_inside(txn: ReadTransaction, first: ArtifactName) -> ArtifactName:
    """What an artifact is called now, in the first name of the project that it is in."""
    shown = txn.get(NAMES, _ARTIFACT_SHOWN + key_of(first))
    return first if shown is None else name_of(bytes(shown))


def project_names(txn: ReadTransaction, first: str) -> list[str]:
    """Every name of a project, the first one in front."""
    further = [
        bytes(key[1:]).decode() for key, to in txn.scan(NAMES, _PROJECT) if bytes(to).decode() == first
    ]
    return [first, *further]


def in_full(txn: ReadTransaction, inside: ArtifactName) -> list[ArtifactName]:
    """A name of an artifact within every name of its project, the first one in front."""
    return [ArtifactName(project, inside.name) for project in project_names(txn, inside.project)]


def all_names(txn: ReadTransaction, first: ArtifactName) -> list[ArtifactName]:
    """Every name that an artifact answers to, the first one in front."""
    found = in_full(txn, first)
    for inside in _further(txn, first):
        found += in_full(txn, inside)
    return found


def project_members(txn: ReadTransaction, project: str) -> Iterator[ArtifactName]:
    """First names of the artifacts that are in a project now."""
    first = first_project(txn, project)
    prefix = f"{first}\0".encode()
    for key, _ in txn.scan(ARTIFACTS, prefix):
        name = name_of(bytes(key))
        if name_inside(txn, name).project == first:
            yield name
    for key, to in txn.scan(NAMES, _ARTIFACT + prefix):
        name = name_of(bytes(to))
        if name.project != first and name_inside(txn, name) == name_of(bytes(key[1:])):
            yield name


def is_project_used(txn: ReadTransaction, first: str) -> bool:
    """Whether an artifact answers to a name in a project."""
    prefix = f"{first}\0".encode()
    return any(next(txn.scan(*at), None) for at in ((ARTIFACTS, prefix), (NAMES, _ARTIFACT + prefix)))


def put_name(txn: WriteTransaction, first: ArtifactName, inside: ArtifactName) -> None:
    """Call an artifact by another name from now on."""
    if inside == first:
        txn.delete(NAMES, _ARTIFACT_SHOWN + key_of(first))
    else:
        txn.put(NAMES, _ARTIFACT + key_of(inside), key_of(first))
        txn.put(NAMES, _ARTIFACT_SHOWN + key_of(first), key_of(inside))


def put_project_name(txn: WriteTransaction, first: str, name: str) -> None:
    """Call a project by another name from now on."""
    if name == first:
        txn.delete(NAMES, _PROJECT_SHOWN + first.encode())
    else:
        txn.put(NAMES, _PROJECT + name.encode(), first.encode())
        txn.put(NAMES, _PROJECT_SHOWN + first.encode(), name.encode())


def forget_names(txn: WriteTransaction, first: ArtifactName) -> None:
    """Forget what an artifact was called that is gone, and its projects where nothing is left in them."""
    further = list(_further(txn, first))
    txn.delete(NAMES, _ARTIFACT_SHOWN + key_of(first))
    txn.delete_many(NAMES, [_ARTIFACT + key_of(inside) for inside in further])
    for project in sorted({name.project for name in (first, *further)}):
        if not is_project_used(txn, project):
            txn.delete(NAMES, _PROJECT_SHOWN + project.encode())
            txn.delete_many(NAMES, [_PROJECT + name.encode() for name in project_names(txn, project)[1:]])


def _further(txn: ReadTransaction, first: ArtifactName) -> Iterator[ArtifactName]:
    """Names of an artifact beside the first one, each in the first name of its project."""
    wanted = key_of(first)
    for key, to in txn.scan(NAMES, _ARTIFACT):
        if bytes(to) == wanted:
            yield name_of(bytes(key[1:]))
