"""Artifact: a draft that becomes a version, and the version that it became, in the vocabulary of W&B."""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from artifactstore.client.requests import checked_description, checked_metadata
from artifactstore.client.version import Entry, Version
from artifactstore.drafts.artifact_entry import ArtifactEntry, ArtifactManifest, entry_of, not_saved
from artifactstore.drafts.artifact_folder import refuse_different, remove_others
from artifactstore.drafts.draft import Draft, path_in
from artifactstore.drafts.keeper import Edits, Keeper
from artifactstore.errors import ContentsDiffer, NoSuchEntry, UsageError
from artifactstore.ids import check_name, parse_artifact_name
from artifactstore.notebook import facts
from artifactstore.progress import Progress
from artifactstore.references.access import ReferenceAccess
from artifactstore.runs.run import RunInfo
from artifactstore.transfer.scan import Found

_NS_PER_S = 1_000_000_000
_GLOB_CHARACTERS = "\\*?[]!# "


class Artifact(Draft):
    """A set of files and references on its way to become a version of an artifact, or one that is saved.

    What is added is looked at and not read; `save` (or `store.push`, or `run.log_artifact`) reads it. A file that
    changed between the two is an error that names it. Once it is saved, its content is frozen; `description`,
    `metadata`, `aliases`, `tags` and `ttl` may still be changed, and `save()` writes them.

    A draft is used by one thread; a saved artifact by several.

    Args:
        name: The artifact's name in its project.
        type: What it is: `dataset`, `model` ...
        description: Free text.
        metadata: A JSON object.
        incremental: Whether it starts from what the newest version holds when it is saved. Where another writer makes
            a version meanwhile, it starts from that one.

    Raises:
        InvalidName: Name or type break the naming rules.
        InvalidMetadata: Metadata or description can't be kept.
    """

    def __init__(
        self,
        name: str,
        type: str,  # noqa: A002 - the word users know
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        incremental: bool = False,
    ) -> None:
        super().__init__(incremental=incremental)
        self._name = check_name(name, "artifact")
        self._type = check_name(type, "type")
        self._edits = Edits()
        self._edits.description = checked_description(description)
        self._edits.metadata = checked_metadata(metadata) or {}
        self._project = ""
        self._saving = threading.Lock()

    @classmethod
    def _of(cls, store: Keeper, version: Version) -> Artifact:
        """A saved version as an artifact."""
        name = parse_artifact_name(version.artifact)
        artifact = cls(name.name, version.type)
        artifact._become(store, version)
        return artifact

    def _become(self, store: Keeper, version: Version) -> None:
        self._store, self._version, self._edits = store, version, Edits(version)
        self._project = parse_artifact_name(version.artifact).project
        self._drop()

    # --- what it is -------------------------------------------------------------------------------------------

    def is_draft(self) -> bool:
        """Whether it is not saved yet."""
        return self._version is None

    @property
    def state(self) -> str:
        """`PENDING` before it is saved, `COMMITTED` after that."""
        return "PENDING" if self._version is None else "COMMITTED"

    @property
    def id(self) -> str | None:
        """The store's id and the version's name; None before it is saved."""
        return (
            None
            if self._store is None or self._version is None
            else f"{self._store.id}/{self.qualified_name}"
        )

    @property
    def entity(self) -> str:
        """Where the store lies: there are no accounts, and a store is what separates tenants."""
        return self._saved_in("entity")[0].url

    @property
    def project(self) -> str:
        """The project; empty while a draft knows of none."""
        return self._project

    @property
    def name(self) -> str:
        """The artifact's name, with `:v3` once it is saved."""
        return self._name if self._version is None else f"{self._name}:{self._version.name}"

    @property
    def draft_name(self) -> str:
        """The artifact's name, without a version."""
        return self._name

    @property
    def type(self) -> str:
        """What it is: `dataset`, `model` ..."""
        return self._type if self._version is None else self._version.type

    @property
    def version(self) -> str:
        """`v3`."""
        return self._saved("version").name

    @property
    def qualified_name(self) -> str:
        """`project/name:v3`; of a draft what there is of it."""
        if self._version is not None:
            return self._version.qualified_name
        return f"{self._project}/{self._name}" if self._project else self._name

    @property
    def as_version(self) -> Version:
        """The saved version, as the rest of the library has it."""
        return self._saved("version")

    @property
    def digest(self) -> str:
        """BLAKE3 over the manifest, as hex: the same files give the same digest in every store.

        Of a draft it is computed when it is asked for: every file is read, once as long as it doesn't change. What an
        `incremental` draft finds when it is saved is not in it.

        Raises:
            SourceChanged: A file of a draft changed since it was added.
        """
        return self._digest_of_draft() if self._version is None else self._version.digest

    @property
    def size(self) -> int:
        """Bytes of its files, and of what its references point at. Of a draft, as they were when they were added."""
        return self._content().counted()[0] if self._version is None else self._version.size_bytes

    @property
    def file_count(self) -> int:
        """Number of its entries."""
        return self._content().counted()[1] if self._version is None else self._version.file_count

    @property
    def created_at(self) -> str:
        """When its writer says it was made, as in ISO 8601, in UTC."""
        return _iso(self._saved("created_at").created_ns)

    @property
    def updated_at(self) -> str:
        """When what stands outside its digest was changed last; when it was made, where it was not."""
        return _iso(self._saved("updated_at").updated_ns)

    @property
    def manifest(self) -> ArtifactManifest:
        """What it holds, by path."""
        return ArtifactManifest(self)

    # --- what may be changed at any time -----------------------------------------------------------------------

    @property
    def description(self) -> str | None:
        """Free text; of a saved artifact, written by `save()`."""
        return self._edits.description

    @description.setter
    def description(self, description: str | None) -> None:
        self._edits.description = checked_description(description)

    @property
    def metadata(self) -> dict[str, Any]:
        """A JSON object; of a saved artifact, written by `save()`."""
        return self._edits.metadata

    @metadata.setter
    def metadata(self, metadata: Mapping[str, Any]) -> None:
        self._edits.metadata = checked_metadata(metadata) or {}

    @property
    def aliases(self) -> list[str]:
        """Names that point at it; `latest` follows the newest version by itself. Written by `save()`."""
        return self._edits.aliases

    @aliases.setter
    def aliases(self, aliases: Iterable[str]) -> None:
        self._edits.aliases = _words(aliases, "aliases")

    @property
    def tags(self) -> list[str]:
        """Labels; written by `save()`."""
        return self._edits.tags

    @tags.setter
    def tags(self, tags: Iterable[str]) -> None:
        self._edits.tags = _words(tags, "tags")

    @property
    def ttl(self) -> timedelta | None:
        """How long it lives from when it is made, until retention deletes it; None for ever. Written by `save()`."""
        return self._edits.ttl

    @ttl.setter
    def ttl(self, ttl: timedelta | None) -> None:
        given: Any = ttl
        if given is not None and not (isinstance(given, timedelta) and given > timedelta(0)):
            raise UsageError("a time to live is positive", next_step="set a timedelta above 0, or None")
        self._edits.ttl = ttl

    # --- looking --------------------------------------------------------------------------------------------------

    def get_entry(self, name: str | os.PathLike[str]) -> ArtifactEntry:
        """The entry at a path; of a draft what was added, else what its base holds.

        Raises:
            NoSuchEntry: There is none.
        """
        path = path_in(os.fspath(name))
        if self._version is not None:
            return self._stored_entry(self._version.entry(path))
        found = self._additions.get(path) or self._content().at(path)
        if found is None:
            raise NoSuchEntry(f"the draft holds nothing at {path!r}", path=path)
        return self._entry(found)

    def get_path(self, name: str | os.PathLike[str]) -> ArtifactEntry:
        """The same as `get_entry`."""
        return self.get_entry(name)

    def files(
        self,
        names: Sequence[str] | None = None,
        per_page: int = 50,  # noqa: ARG002 - as W&B has it
    ) -> Iterator[ArtifactEntry]:
        """Yield its entries in path order, or those of these paths.

        Args:
            names: Paths; all when None.
            per_page: Taken for W&B's sake, and without effect.

        Raises:
            NoSuchEntry: There is none of one of the paths.
        """
        if names is not None:
            yield from map(self.get_entry, names)
        elif self._version is not None:
            yield from map(self._stored_entry, self._version.files())
        else:
            yield from map(self._entry, self._content().files())

    def open(self, name: str) -> io.BufferedReader:
        """Open one of its files: seekable, binary, fetching only the ranges that are read.

        Raises:
            NotSaved: It is a draft.
            NoSuchEntry: It holds no file at that path.
        """
        return self._saved("files to open").open(name)

    def _entry(self, found: Found) -> ArtifactEntry:
        return entry_of(self, found)

    def _stored_entry(self, entry: Entry) -> ArtifactEntry:
        return ArtifactEntry(
            self,
            entry.path,
            entry.kind,
            entry.size_bytes,
            digest=entry.digest,
            executable=entry.executable,
            target=entry.target,
            reference=entry.reference,
        )

    # --- getting ----------------------------------------------------------------------------------------------------

    def download(
        self,
        root: str | os.PathLike[str] | None = None,
        *,
        allow_missing_references: bool = False,
        skip_cache: bool | None = None,  # noqa: ARG002 - as W&B has it
        path_prefix: str | None = None,
        multipart: bool | None = None,  # noqa: ARG002 - as W&B has it
        references: bool = True,
        access: ReferenceAccess | None = None,
    ) -> str:
        """Write its files below a folder; files of other names that are there stay. Return the folder.

        Args:
            root: The folder; `./artifacts/NAME:v3` when None.
            allow_missing_references: Leave out references that can't be had as they were, instead of raising.
            skip_cache: Taken for W&B's sake, and without effect: files are not cached.
            path_prefix: Only paths that begin with this text.
            multipart: Likewise without effect: ranges of large files are always fetched side by side.
            references: Whether to fetch what references name.
            access: How references are reached, and what may be, as for `Store.pull`.

        Raises:
            NotSaved: It is a draft.
            ReferenceRefused, ReferenceGone, ReferenceChanged: A reference may not be fetched, or is not what it was.
        """
        store, version = self._saved_in("files to download")
        folder = Path("artifacts", self.name) if root is None else Path(root)
        globs = [] if not path_prefix else ["/" + _escaped(path_prefix), "/" + _escaped(path_prefix) + "*"]
        folder.parent.mkdir(parents=True, exist_ok=True)
        store.pull(
            version.qualified_name,
            folder,
            paths=globs,
            overwrite=True,
            references=references,
            allow_missing_references=allow_missing_references,
            access=access,
        )
        return str(folder)

    def file(self, root: str | os.PathLike[str] | None = None) -> str:
        """Download the one file that it holds; return where it is.

        Args:
            root: As for `download`.

        Raises:
            NotSaved: It is a draft.
            UsageError: It holds several files, or none.
        """
        self._saved("file to download")
        entries = [entry for _, entry in zip(range(2), self.files(), strict=False)]
        if len(entries) != 1:
            raise UsageError(
                f"{self.qualified_name} holds {self.file_count} files, not one",
                next_step="download() gets all of them, get_entry(path).download() one",
            )
        return entries[0].download(root)

    def checkout(
        self, root: str | os.PathLike[str] | None = None, *, access: ReferenceAccess | None = None
    ) -> str:
        """Make a folder hold exactly its files: others in it are deleted. Return the folder.

        Args:
            root: The folder; `./artifacts/NAME` when None.
            access: As for `download`.

        Raises:
            NotSaved: It is a draft.
        """
        version = self._saved("files to check out")
        folder = Path("artifacts", self._name) if root is None else Path(root)
        kept = {entry.path for entry in version.files()}
        self.download(folder, access=access)
        remove_others(folder, kept)
        return str(folder)

    def verify(
        self, root: str | os.PathLike[str] | None = None, *, access: ReferenceAccess | None = None
    ) -> None:
        """Hold a folder against what it holds, byte by byte, and its references against their sources.

        Args:
            root: The folder, such as `download` wrote; `./artifacts/NAME:v3` when None.
            access: How references are reached, and what may be, as for `Store.pull`.

        Raises:
            NotSaved: It is a draft.
            ContentsDiffer: The folder holds something else, or a source does.
        """
        store, version = self._saved_in("files to verify")
        refuse_different(version, Path("artifacts", self.name) if root is None else Path(root))
        report = store.verify_references(version.qualified_name, access=access)
        if not report.ok:
            first = report.problems[0]
            raise ContentsDiffer(
                f"{len(report.problems)} references of {version.qualified_name} are not what they were: "
                f"{first.path}: {first.message}",
                next_step=first.next_step,
                version=version.qualified_name,
                problems=[f"{one.path}: {one.message}" for one in report.problems[:20]],
            )

    # --- saving -----------------------------------------------------------------------------------------------------

    def save(
        self,
        store: Keeper | str | None = None,
        project: str | None = None,
        *,
        aliases: Iterable[str] = (),
        tags: Iterable[str] = (),
        run: str | None = None,
        progress: Progress | None = None,
    ) -> Artifact:
        """Make a version of a draft; of a saved artifact, write what of it was changed.

        Args:
            store: Where to; that of the artifact that it is a draft of when None. A text is the project, as W&B has it.
            project: The project; that of the artifact that it is a draft of when None.
            aliases: Aliases for the version, besides its own.
            tags: Labels for it, besides its own.
            run: Id of the run that produces it.
            progress: Told what happens.

        Returns:
            This artifact, which is the version now.

        Raises:
            DraftSaved: It is saved, and was to be saved to a store.
            NotSaved: It is a draft and knows of no store or no project.
            SourceChanged: A file changed since it was added.
            PathCollision: Something that was added can't be beside what the base holds.
            NoSuchEntry: Something that was to be removed is not there.
            Deleted: The version that it starts from was deleted.
        """
        if isinstance(store, str):
            store, project = None, project or store
        with self._saving:
            if self._version is not None:
                if store is not None or project is not None:
                    raise self._frozen()
                kept, version = self._saved_in("changes")
                self._become(kept, kept.save_changes(version, self._edits))
                return self
            kept_in, in_project = store or self._store, project or self._project
            if kept_in is None or not in_project:
                raise not_saved("store" if kept_in is None else "project")
            name = f"{in_project}/{self._name}"
            version = kept_in.save_draft(self, name, aliases=aliases, tags=tags, run=run, progress=progress)
            self._become(kept_in, version)
            return self

    def wait(self, timeout: float | None = None) -> Artifact:  # noqa: ARG002 - as W&B has it
        """This artifact: `save` returns when it is saved.

        Raises:
            NotSaved: It is a draft.
        """
        self._saved("end to wait for")
        return self

    def new_draft(self) -> Artifact:
        """A draft that starts from what this version holds, with its description and metadata.

        Raises:
            NotSaved: It is a draft.
        """
        store, version = self._saved_in("content to start from")
        draft = Artifact(self._name, self.type, version.description or None, version.metadata)
        draft._store, draft._project, draft._base = store, self._project, version
        return draft

    def logged_by(self) -> RunInfo | None:
        """The run that produced this version first; None where no run said so.

        Raises:
            NotSaved: It is a draft.
        """
        store, version = self._saved_in("run that logged it")
        return store.logged_by(version.qualified_name)

    def used_by(self) -> list[RunInfo]:
        """The runs that used this version, the newest first.

        Raises:
            NotSaved: It is a draft.
        """
        store, version = self._saved_in("runs that use it")
        return store.runs(used=version.qualified_name)

    def delete(self, delete_aliases: bool = False) -> None:
        """Hide the version; `store.undelete` brings it back until a sweep purges it. A link is unlinked.

        Args:
            delete_aliases: Whether it may go although aliases other than `latest` point at it.

        Raises:
            NotSaved: It is a draft.
            PreconditionFailed: An alias points at it.
        """
        store, version = self._saved_in("version to delete")
        if version.link is not None:
            self.unlink()
            return
        store.delete([version.qualified_name], force=delete_aliases)

    # --- for the store that saves it ---------------------------------------------------------------------------------

    @property
    def edits(self) -> Edits:
        """What is said of it outside its digest."""
        return self._edits

    # --- collections ------------------------------------------------------------------------------------------------

    def link(self, target_path: str, aliases: Iterable[str] | None = None) -> Artifact:
        """Put it into a collection; return the link, which is an artifact too.

        Args:
            target_path: `project/name` of the collection; the first link makes it.
            aliases: Aliases of the collection to point at it.

        Raises:
            NotSaved: It is a draft.
            NameTaken, TypeMismatch: The collection is no place for it.
        """
        store, version = self._saved_in("version to link")
        return Artifact._of(store, store.link(version.qualified_name, target_path, aliases=aliases or ()))

    def unlink(self) -> None:
        """Take a link out of its collection; what it is a link to stays.

        Raises:
            NotSaved: It is a draft.
            NotACollection: It is no link.
        """
        store, version = self._saved_in("link")
        store.unlink([version.qualified_name], force=True)

    @property
    def is_link(self) -> bool:
        """Whether it is a link in a collection; no draft is."""
        return self._version is not None and self._version.link is not None

    @property
    def source_artifact(self) -> Artifact:
        """The version that a link leads to; of another, the same version."""
        store, version = self._saved_in("source")
        return self if version.link is None else store.artifact(version.link.version)

    @property
    def source_qualified_name(self) -> str:
        """`project/name:v3` of the version that a link leads to; of another, its own."""
        version = self._saved("source")
        return version.qualified_name if version.link is None else version.link.version

    @property
    def linked_artifacts(self) -> list[Artifact]:
        """Its links in collections."""
        store, version = self._saved_in("links")
        return [store.artifact(ref) for ref in version.linked]

    # --- inside -----------------------------------------------------------------------------------------------------

    def _saved(self, what: str) -> Version:
        if self._version is None:
            raise not_saved(what)
        return self._version

    def _saved_in(self, what: str) -> tuple[Keeper, Version]:
        version = self._saved(what)
        assert self._store is not None, "what is saved is saved in a store"
        return self._store, version

    def _repr_html_(self) -> str:
        """What a notebook shows of it: a saved one as its version, a draft by what was added."""
        if not self.is_draft():
            return self.as_version._repr_html_()
        named = ("type", self.type), ("description", self.description), ("state", self.state)
        return facts(f"draft of {self._name}", named)

    def __repr__(self) -> str:
        return f"<Artifact {self.qualified_name} {self.state}>"


def _words(words: Iterable[str], what: str) -> list[str]:
    if isinstance(words, str):
        raise UsageError(f"{what} are a list of names, not one text", next_step=f"write [{words!r}]")
    return list(words)


def _escaped(prefix: str) -> str:
    return "".join("\\" + letter if letter in _GLOB_CHARACTERS else letter for letter in prefix)


def _iso(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns / _NS_PER_S, tz=UTC).isoformat(timespec="milliseconds")
