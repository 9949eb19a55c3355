"""One path of an artifact, in the vocabulary of W&B: what it is, where it comes from, and getting it."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from artifactstore.errors import NoSuchEntry, NotSaved, UsageError
from artifactstore.format.page import EXECUTABLE, Kind
from artifactstore.format.reference import Reference, parse_reference
from artifactstore.manifest.read import kind_name
from artifactstore.transfer.drafting import size_of
from artifactstore.transfer.ingest import executable_flag
from artifactstore.transfer.scan import Found


class Holding(Protocol):
    """An artifact, as far as its entries need it: a draft or a saved one."""

    @property
    def name(self) -> str:
        """The artifact's name, with `:v3` once it is saved."""
        ...

    @property
    def qualified_name(self) -> str:
        """`project/name:v3`; of a draft what there is of it."""
        ...

    @property
    def file_count(self) -> int:
        """Number of its entries."""
        ...

    def get_entry(self, name: str) -> ArtifactEntry:
        """The entry at a path."""
        ...

    def files(self) -> Iterator[ArtifactEntry]:
        """Yield its entries in path order."""
        ...

    def open(self, name: str) -> io.BufferedReader:
        """Open one of its files."""
        ...

    def download(self, root: str | os.PathLike[str] | None = None, *, path_prefix: str | None = None) -> str:
        """Write its files below a folder; return the folder."""
        ...


class ArtifactEntry:
    """One path of an artifact, saved or not.

    Attributes:
        path: Relative POSIX path.
        kind: `file`, `symlink`, `folder` (an empty one) or `reference`.
        size: Bytes of a file, of a symlink's target, or at the source of a reference.
        digest: Plain BLAKE3 as hex; of a reference, over what it says; None of a file that was added and is not read.
        executable: Whether a file has its executable bit.
        target: A symlink's target; None otherwise.
        reference: What a reference says; None otherwise.
        local_path: Where a file lies that was added to a draft; None otherwise.
    """

    def __init__(
        self,
        artifact: Holding,
        path: str,
        kind: str,
        size: int,
        *,
        digest: str | None,
        executable: bool = False,
        target: str | None = None,
        reference: Reference | None = None,
        local_path: str | None = None,
    ) -> None:
        self._artifact = artifact
        self.path = path
        self.kind = kind
        self.size = size
        self.digest = digest
        self.executable = executable
        self.target = target
        self.reference = reference
        self.local_path = local_path

    @property
    def name(self) -> str:
        """The same as `path`."""
        return self.path

    @property
    def ref(self) -> str | None:
        """The URL of a reference; None otherwise."""
        return None if self.reference is None else self.reference.url

    @property
    def extra(self) -> dict[str, Any]:
        """Of a reference its `checksum` and the `version` of the object, as far as there are any."""
        said = self.reference
        if said is None:
            return {}
        return {
            name: value for name, value in (("checksum", said.checksum), ("version", said.version)) if value
        }

    def ref_target(self) -> str:
        """The URL of a reference.

        Raises:
            UsageError: It is none.
        """
        if self.reference is None:
            raise UsageError(f"{self.path!r} is no reference, but a {self.kind}", path=self.path)
        return self.reference.url

    def ref_url(self) -> str:
        """The same as `ref_target`."""
        return self.ref_target()

    def parent_artifact(self) -> Holding:
        """The artifact that it is a path of."""
        return self._artifact

    def download(
        self,
        root: str | os.PathLike[str] | None = None,
        skip_cache: bool | None = None,  # noqa: ARG002 - as W&B has it
    ) -> str:
        """Write it below a folder, under its own path; return where it is.

        Args:
            root: The folder; that of the artifact's own `download` when None.
            skip_cache: Taken for W&B's sake, and without effect: files are not cached.

        Raises:
            NotSaved: The artifact is a draft.
        """
        folder = self._artifact.download(root, path_prefix=self.path)
        return str(Path(folder) / self.path)

    def open(self) -> io.BufferedReader:
        """Open a file of a saved artifact: seekable, binary, fetching only the ranges that are read.

        Raises:
            NotSaved: The artifact is a draft.
            NoSuchEntry: It is no file.
        """
        return self._artifact.open(self.path)

    def __repr__(self) -> str:
        return f"<ArtifactEntry {self.path!r} {self.kind}>"


def entry_of(artifact: Holding, found: Found) -> ArtifactEntry:
    """The entry for something that a draft adds or keeps."""
    known = None if found.given is None else found.given.known
    kind, size = kind_name(found.kind), size_of(found)
    if known is None:
        symlink = found.kind is Kind.SYMLINK
        return ArtifactEntry(
            artifact,
            found.path,
            kind,
            size,
            digest=None,
            executable=bool(found.stat is not None and not symlink and executable_flag(found.stat)),
            target=found.target if symlink else None,
            local_path=found.source if found.stat is not None else None,
        )
    identity, content = known
    return ArtifactEntry(
        artifact,
        found.path,
        kind,
        size,
        digest=identity[3].hex(),
        executable=bool(identity[4] & EXECUTABLE),
        target=content.target if identity[1] == Kind.SYMLINK else None,
        reference=parse_reference(content.target, size) if identity[1] == Kind.REFERENCE else None,
    )


class ArtifactManifest:
    """What an artifact holds.

    Attributes:
        entries: Path to entry, in path order; read as it is asked for, so that a large version costs nothing here.
    """

    def __init__(self, artifact: Holding) -> None:
        self.entries: Mapping[str, ArtifactEntry] = _Entries(artifact)

    def __len__(self) -> int:
        return len(self.entries)


class _Entries(Mapping[str, ArtifactEntry]):
    def __init__(self, artifact: Holding) -> None:
        self._artifact = artifact

    def __getitem__(self, path: str) -> ArtifactEntry:
        try:
            return self._artifact.get_entry(path)
        except NoSuchEntry:
            raise KeyError(path) from None

    def __iter__(self) -> Iterator[str]:
        return (entry.path for entry in self._artifact.files())

    def __len__(self) -> int:
        return self._artifact.file_count


def not_saved(what: str) -> NotSaved:
    """The error for a draft that is asked for what only a saved version has."""
    return NotSaved(f"a draft that is not saved has no {what}")
