"""Importing what lies elsewhere as versions: archives, folders of versions, and what other tools keep.

A version is committed when all of its source was read and found whole; a source that is cut or altered makes none.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, cast, get_args

from artifactstore.catalog.outcome import Outcome
from artifactstore.catalog.rows import live_version, versions
from artifactstore.client.requests import push_request
from artifactstore.content.put import Stored
from artifactstore.errors import NoSuchPath, UsageError
from artifactstore.exchange.from_dvc import is_dvc, outputs_of
from artifactstore.exchange.from_huggingface import is_huggingface
from artifactstore.exchange.from_huggingface import snapshot_of as hub_snapshot
from artifactstore.exchange.from_mlflow import is_mlflow, runs_of
from artifactstore.exchange.from_restic import snapshot_of as restic_snapshot
from artifactstore.exchange.from_versions import has_versions, versions_of
from artifactstore.exchange.incoming import Budget, Incoming, listed_references
from artifactstore.exchange.sidecar import (
    REFERENCES_PATH,
    SIDECAR_BYTES_MAX,
    SIDECAR_PATH,
    Sidecar,
    decode_sidecar,
)
from artifactstore.exchange.source_streams import Lent
from artifactstore.exchange.tar_reader import TarSource, tar_of
from artifactstore.exchange.zip_reader import file_opener, zip_of
from artifactstore.format.operations import Manifest, Operation
from artifactstore.ids import LATEST, ArtifactName, parse_artifact_name
from artifactstore.index.environment import ReadTransaction
from artifactstore.progress import Progress
from artifactstore.store import Store, Version
from artifactstore.transfer.request import Request
from artifactstore.transfer.scan import Found, Program, Sources

ImportKind = Literal["folder", "versions", "tar", "zip", "mlflow", "dvc", "huggingface", "restic"]

_ArchiveReader = Callable[
    [Callable[[], BinaryIO], str, int | None], tuple[Sidecar | None, Callable[[], Iterator[Found]]]
]

_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
_DEFAULT_TYPE = "dataset"


def import_from(
    store: Store,
    source: str | os.PathLike[str] | BinaryIO,
    artifact: str,
    *,
    kind: ImportKind | None = None,
    type: str | None = None,  # noqa: A002 - the word users know
    aliases: Iterable[str] = (),
    tags: Iterable[str] = (),
    description: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    revision: str | None = None,
    password_command: str | None = None,
    max_size_bytes: int | None = None,
    progress: Progress | None = None,
) -> list[Version]:
    """Make versions of what another tool, an archive or a folder holds.

    Content that a version of the artifact has already makes no new one, so an import that was cut is repeated.

    Args:
        store: Where the versions go.
        source: A path; for `restic` a repository as restic names it; or a binary stream with a tar archive.
        artifact: `project/name`.
        kind: What the source is; told by its look when None. `folder` is one version, `versions` a folder of
            subfolders `v0`, `v1` … or dated ones; `tar` may be compressed with gzip, bzip2, xz or zstd; `mlflow` is the
            folder of a run or an experiment, `dvc` a `.dvc` file, a `dvc.lock` or a project, `huggingface` a repository
            in the hub's cache.
        type: The artifact's type, when this is its first version; what the source says, else `dataset`, when None.
        aliases: Aliases for the last version, beside those that the source says.
        tags: Labels for each version, likewise.
        description: Free text; what the source says when None.
        metadata: A JSON object, added to what the source says.
        revision: For `huggingface` a commit, branch or tag, `main` when None; for `restic` a snapshot, the latest when
            None.
        password_command: For `restic`: a command that prints the repository's password.
        max_size_bytes: Bytes that the files of one version may have; 16 TiB when None.
        progress: Told what happens; the store's own when None.

    Returns:
        The versions, in the order of the source; each says in `push.created` whether it is new.

    Raises:
        BrokenSource: The source is cut, altered, or not of its kind. Versions before it were made.
        SourceTooLarge: It unpacks to more than it may.
        InvalidSource: It holds what no version can hold: a device, a path that leads out of it.
        PathCollision: Two of its paths are one, or differ by case only.
        MissingExtra, Unsupported: What reads such a source is not installed.
        NoSuchPath: There is no such source.
        UsageError: It can't be told what the source is, or an option does not belong to its kind.
    """
    name = parse_artifact_name(artifact)
    found = _incoming(source, kind, revision, password_command, max_size_bytes)
    made: list[Version] = []
    try:
        for at, one in enumerate(found):
            last = at == len(found) - 1
            request = push_request(
                name,
                type or one.type or _DEFAULT_TYPE,
                [*one.aliases, *(aliases if last else ())],
                [*one.tags, *tags],
                one.description if description is None else description,
                {**one.metadata, **(metadata or {})} or None,
            )
            made.append(_made(store, one.sources, request, progress))
    finally:
        for one in found:
            one.close()
    return made


def _made(store: Store, sources: Sources, request: Request, progress: Progress | None) -> Version:
    once = OnceRequest(request)
    version = store.push_sources(sources, once, progress, "import")
    push = version.push
    assert push is not None
    if once.found is None:
        return version
    # It was there: names and labels are added to it, what it says of itself stays.
    ref = version.qualified_name
    if missing := [alias for alias in request.aliases if alias not in version.aliases]:
        version = store.add_aliases(ref, missing)
    if missing := [tag for tag in request.tags if tag not in version.tags]:
        version = store.add_tags(ref, missing)
    version.push = push
    return version


class OnceRequest:
    """What a push is to make, unless any version of the artifact has the same content: then that is the one.

    Args:
        request: What it is to make.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self.found: int | None = None

    @property
    def artifact(self) -> ArtifactName:
        """The artifact."""
        return self._request.artifact

    @property
    def push_id(self) -> bytes:
        """A random one."""
        return self._request.push_id

    def unchanged(self, txn: ReadTransaction, manifest: Manifest) -> int | None:
        """The newest of the versions with this content."""
        self.found = None
        for number, _ in versions(txn, self.artifact):
            row = live_version(txn, self.artifact, number)
            if row is not None and row.manifest.digest == manifest.digest:
                self.found = number
        return self.found

    def operation(self, manifest: Manifest, stored: Stored, packs: list[bytes], salt: bytes) -> Operation:
        """The push."""
        return self._request.operation(manifest, stored, packs, salt)

    def refuse(self, txn: ReadTransaction) -> None:
        """What the request refuses."""
        self._request.refuse(txn)

    def made(self, outcome: Outcome) -> tuple[int, bool]:
        """The version."""
        return self._request.made(outcome)


class _Options(NamedTuple):
    """What belongs to some kinds of sources only."""

    revision: str | None
    password_command: str | None
    size_max: int | None


def _incoming(
    source: str | os.PathLike[str] | BinaryIO,
    kind: ImportKind | None,
    revision: str | None,
    password_command: str | None,
    size_max: int | None,
) -> list[Incoming]:
    if kind is not None and kind not in get_args(ImportKind):
        raise UsageError(
            f"there is no kind of source {kind!r}", next_step=f"choose {', '.join(get_args(ImportKind))}"
        )
    options = _Options(revision, password_command, size_max)
    if not isinstance(source, str | os.PathLike):
        if kind not in {None, "tar"}:
            raise UsageError(f"a stream can be a tar archive, not {kind}")
        return [tar_stream(cast("BinaryIO", Lent(source)), "the stream", size_max)]
    if kind == "restic":
        return restic_snapshot(os.fspath(source), revision, password_command, size_max)
    path = Path(source)
    if not path.exists():
        raise NoSuchPath(f"{str(path)!r} does not exist", path=str(path))
    chosen = kind or kind_of(path)
    takes = {"restic": {"revision", "password_command"}, "huggingface": {"revision"}}.get(chosen, set())
    given = {"revision": revision, "password_command": password_command}
    if any(value is not None and name not in takes for name, value in given.items()):
        raise UsageError(f"a revision or a password is not for a source of kind {chosen}")
    return _of_kind(path, chosen, options)


def kind_of(path: Path) -> ImportKind:
    """What a path looks like.

    Raises:
        UsageError: A file that is no archive.
    """
    if is_dvc(path):
        return "dvc"
    if path.is_file():
        with path.open("rb") as stream:
            return "zip" if stream.read(4) in _ZIP_MAGIC else "tar"
    if is_huggingface(path):
        return "huggingface"
    if is_mlflow(path):
        return "mlflow"
    if all((path / name).exists() for name in ("config", "snapshots", "keys", "data", "index")):
        return "restic"
    return "versions" if has_versions(path) else "folder"


def _of_kind(path: Path, kind: ImportKind, options: _Options) -> list[Incoming]:
    size_max = options.size_max
    readers: dict[str, Callable[[], list[Incoming]]] = {
        "restic": lambda: restic_snapshot(str(path), options.revision, options.password_command, size_max),
        "huggingface": lambda: hub_snapshot(path, options.revision, size_max),
        "mlflow": lambda: runs_of(path),
        "dvc": lambda: outputs_of(path, size_max),
        "versions": lambda: versions_of(path),
        "folder": lambda: [_folder(path)],
        "tar": lambda: [_archive(path, tar_of, size_max)],
        "zip": lambda: [_archive(path, zip_of, size_max)],
    }
    return readers[kind]()


def _archive(path: Path, reader: _ArchiveReader, size_max: int | None) -> Incoming:
    where = str(path)
    said, entries = reader(file_opener(path, where), where, size_max)
    return with_sidecar(Sources(program=Program(entries, ordered=False)), said, where)


def _folder(path: Path) -> Incoming:
    """A folder as it is; what an export added at its root is no file of it."""
    said = decode_sidecar(_added(path, SIDECAR_PATH))
    references = listed_references(_added(path, REFERENCES_PATH), str(path))
    exclude = [f"/{SIDECAR_PATH}"] if said is not None else []
    if references is not None:
        exclude.append(f"/{REFERENCES_PATH}")
    return with_sidecar(Sources([str(path)], exclude=exclude, references=references or ()), said, str(path))


def _added(folder: Path, name: str) -> bytes:
    """What an export added to a folder; nothing where it did not."""
    with suppress(OSError), (folder / name).open("rb") as stream:
        return stream.read(SIDECAR_BYTES_MAX)
    return b""


def tar_stream(stream: BinaryIO, where: str, size_max: int | None) -> Incoming:
    """A tar archive that comes once."""
    source = TarSource(stream, where, Budget(where, size_max))
    said = source.begin()
    program = Program(source.entries, ordered=False, again=False)
    return with_sidecar(Sources(program=program), said, where)._replace(close=source.close)


def with_sidecar(sources: Sources, said: Sidecar | None, where: str) -> Incoming:
    """A version with what its sidecar says of it."""
    if said is None:
        return Incoming(sources, {}, where)
    return Incoming(
        sources,
        said.metadata,
        where,
        type=said.type,
        description=said.description or None,
        aliases=tuple(alias for alias in said.aliases if alias != LATEST),
        tags=tuple(said.tags),
    )
