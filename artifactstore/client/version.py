"""One version of an artifact, as the library shows it: what it is called, what it holds, its files."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from artifactstore import transfer
from artifactstore.catalog.rows import VersionRow
from artifactstore.errors import NoSuchEntry
from artifactstore.format.operations import Manifest
from artifactstore.format.page import Kind
from artifactstore.format.reference import Reference
from artifactstore.ids import ArtifactName
from artifactstore.manifest.read import Getter, StoredEntry, entries, find_entry, kind_name
from artifactstore.notebook import bytes_text, facts

_NS_PER_MS = 1_000_000
_DIGITS_SHOWN = 12


class Entry(msgspec.Struct, frozen=True):
    """One path of a version.

    Attributes:
        path: Relative POSIX path.
        kind: `file`, `symlink`, `folder` (an empty one) or `reference`.
        size_bytes: Bytes of a file, of a symlink's target, or at the source of a reference.
        digest: Plain BLAKE3 as hex: what `b3sum` prints of a file; of a reference, over what it says.
        executable: Whether a file has its executable bit.
        target: A symlink's target; None otherwise.
        reference: What a reference says: where the bytes lie and how to know them; None otherwise.
    """

    path: str
    kind: str
    size_bytes: int
    digest: str
    executable: bool
    target: str | None
    reference: Reference | None = None


class PushSummary(msgspec.Struct, frozen=True):
    """What a push did.

    Attributes:
        created: Whether it made a version; equal content makes none.
        files: Entries of the version.
        logical_bytes: Bytes of its files.
        files_read: Files that had to be read.
        bytes_read: Their bytes.
        new_bytes: Raw bytes that were new to the store.
        stored_bytes: Bytes of the packs that were added.
        packs: Packs that were added.
        seconds: How long it took.
    """

    created: bool
    files: int
    logical_bytes: int
    files_read: int
    bytes_read: int
    new_bytes: int
    stored_bytes: int
    packs: int
    seconds: float


class LinkInfo(msgspec.Struct, frozen=True):
    """Of which version a link is.

    Attributes:
        version: `project/name:v3`, as the artifact is called now.
        state: `shown`, `deleted` or `purged`; what the link holds stays, whatever became of it.
        linked_ns: When its linker says it was linked, in nanoseconds since the Unix epoch.
        linked_by: The slot key id that its linker claimed, as hex.
    """

    version: str
    state: str
    linked_ns: int
    linked_by: str


class Named(NamedTuple):
    """What a version's artifact is called now, and what is linked with it."""

    artifact: ArtifactName
    link: LinkInfo | None = None
    linked: tuple[str, ...] = ()


class Source(Protocol):
    """What a version reads its files through."""

    def getter_of(self, artifact: ArtifactName, number: int) -> Getter:
        """Reads pages and chunk lists of a version."""
        ...

    def name_key(self) -> bytes:
        """Under which names of purged artifacts are hashed."""
        ...

    def watched(self, operation: str) -> AbstractContextManager[None]:
        """Tell whoever watches that an operation begins and ends."""
        ...


class Version:
    """An immutable version of an artifact; what stands outside its digest is as of when it was asked for.

    Attributes:
        artifact: `project/name`.
        number: 0 for the first.
        type: The artifact's type.
        aliases: Names that point at it, sorted.
        link: Of which version it is a link, of one in a collection; None for others.
        linked: Links of it that are not deleted, as references, sorted.
        push: What the push that returned it did; None for a version that was asked for.
    """

    def __init__(
        self,
        source: Source,
        artifact: ArtifactName,
        number: int,
        artifact_type: str,
        row: VersionRow,
        aliases: tuple[str, ...],
        push: PushSummary | None = None,
        *,
        named: Named | None = None,
    ) -> None:
        named = named or Named(artifact)
        self._source = source
        self._row = row
        self._name = artifact
        self.artifact = str(named.artifact)
        self.number = number
        self.type = artifact_type
        self.aliases = aliases
        self.link = named.link
        self.linked = named.linked
        self.push = push

    @property
    def first_name(self) -> ArtifactName:
        """What its artifact was called first: by it plans go, and rows lie."""
        return self._name

    @property
    def name(self) -> str:
        """`v3`."""
        return f"v{self.number}"

    @property
    def qualified_name(self) -> str:
        """`project/name:v3`."""
        return f"{self.artifact}:{self.name}"

    @property
    def digest(self) -> str:
        """BLAKE3 over the manifest, as hex: the same files give the same digest in every store."""
        return self._row.manifest.digest.hex()

    @property
    def description(self) -> str:
        """Free text."""
        return self._row.description

    @property
    def metadata(self) -> dict[str, Any]:
        """A JSON object."""
        return self._row.metadata

    @property
    def tags(self) -> tuple[str, ...]:
        """Labels, sorted."""
        return tuple(self._row.tags)

    @property
    def created_ns(self) -> int:
        """When its writer says it was made, in nanoseconds since the Unix epoch."""
        return self._row.created_ms * _NS_PER_MS

    @property
    def updated_ns(self) -> int:
        """When what stands outside its digest was changed last, likewise; when it was made, where it was not."""
        said = self._row.updated_ms
        return (self._row.created_ms if said is None else said) * _NS_PER_MS

    @property
    def size_bytes(self) -> int:
        """Bytes of its files."""
        return self._row.manifest.size

    @property
    def file_count(self) -> int:
        """Number of its entries."""
        return self._row.manifest.entries

    @property
    def new_bytes(self) -> int:
        """Raw bytes that were new to the store when it was pushed."""
        return self._row.new_bytes

    @property
    def stored_bytes(self) -> int:
        """Bytes of the packs that its push added."""
        return self._row.stored_bytes

    @property
    def stands_for(self) -> int | None:
        """The number of the version in whose place it stands, of a successor that a takedown made; else None."""
        return self._row.place

    @property
    def expires_ns(self) -> int | None:
        """From when on retention deletes it, in nanoseconds since the Unix epoch; None for never."""
        return None if self._row.expires_ms is None else self._row.expires_ms * _NS_PER_MS

    @property
    def manifest(self) -> Manifest:
        """Its root, for those who read its pages."""
        return self._row.manifest

    @property
    def deleted_ns(self) -> int | None:
        """When its deleter says it was deleted, in nanoseconds since the Unix epoch; None while it is shown."""
        return None if self._row.deleted is None else self._row.deleted.time_ms * _NS_PER_MS

    def files(self, path_glob: str | None = None) -> Iterator[Entry]:
        """Yield its entries in path order, all or those that a glob names, as for `pull`."""
        found = entries(self._source.getter_of(self._name, self.number), self._row.manifest)
        for entry in transfer.pull.selected(found, [] if path_glob is None else [path_glob]):
            yield entry_of(entry)

    def stored(self) -> Iterator[StoredEntry]:
        """Yield its entries in path order with where their bytes lie, for those who compare them with something."""
        return entries(self._source.getter_of(self._name, self.number), self._row.manifest)

    def counted_references(self) -> tuple[int, int]:
        """How many of its entries are references, and how many bytes those name; its lists of files are read for that.

        Raises:
            Damaged: A page can't be read back whole.
        """
        sizes = [entry.size for entry in self.stored() if entry.kind == Kind.REFERENCE]
        return len(sizes), sum(sizes)

    def entry(self, path: str) -> Entry:
        """What is at one path.

        Raises:
            NoSuchEntry: It holds nothing there.
        """
        getter = self._source.getter_of(self._name, self.number)
        found = find_entry(getter, self._row.manifest, path)
        if found is None:
            raise NoSuchEntry(f"{self.qualified_name} holds nothing at {path!r}", path=path)
        return entry_of(found)

    def stream(self, path: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes of a range of one of its files, piece by piece: each is fetched when it is asked for.

        A piece is a chunk of the file, or the part of it that lies in the range: at most 1 MiB. To stop early costs
        nothing and leaves nothing open.

        Args:
            path: The file.
            start: The first byte.
            end: The byte behind the last one; the end of the file when None, and at most that.

        Raises:
            NoSuchEntry: It holds no file at `path`.
            ValueError: `start` is negative, or behind `end`.
            Damaged: A chunk can't be read back whole.
            Deleted: The version was purged while it was read.
        """
        getter = self._source.getter_of(self._name, self.number)
        entry = file_in(getter, self._row.manifest, path, self.qualified_name)
        stop = entry.size if end is None else min(end, entry.size)
        if start < 0 or (end is not None and end < start):
            raise ValueError(f"not a range of a file: from {start} to {end}")
        return self._streamed(getter, entry, start, stop)

    def _streamed(self, getter: Getter, entry: StoredEntry, start: int, stop: int) -> Iterator[bytes]:
        with self._source.watched("stream"):
            yield from transfer.read.stream_entry(getter, entry, start, stop)

    def open(self, path: str) -> io.BufferedReader:
        """Open one of its files: seekable, binary, fetching only the ranges that are read.

        Raises:
            NoSuchEntry: It holds no file at `path`.
        """
        getter = self._source.getter_of(self._name, self.number)
        return transfer.read.open_entry(
            getter, file_in(getter, self._row.manifest, path, self.qualified_name)
        )

    def _repr_html_(self) -> str:
        """What a notebook shows of it."""
        return facts(
            self.qualified_name,
            (
                ("type", self.type),
                ("digest", self.digest[:_DIGITS_SHOWN]),
                ("files", f"{self.file_count:,}, {bytes_text(self.size_bytes)}"),
                ("created", f"{datetime.fromtimestamp(self.created_ns / 1e9, UTC):%Y-%m-%d %H:%M} UTC"),
                ("aliases", ", ".join(self.aliases)),
                ("tags", ", ".join(self.tags)),
                ("description", self.description),
                ("metadata", json.dumps(self.metadata, ensure_ascii=False) if self.metadata else None),
                ("deleted", None if self.deleted_ns is None else "yes"),
            ),
        )

    def __repr__(self) -> str:
        return f"<Version {self.qualified_name} {self.digest[:12]}>"


def file_in(getter: Getter, manifest: Manifest, path: str, version: str) -> StoredEntry:
    """A file of a version.

    Args:
        getter: Reads its pages.
        manifest: Its root.
        path: Where in it.
        version: What it is called, for the message.

    Raises:
        NoSuchEntry: It holds no file at `path`.
    """
    entry = find_entry(getter, manifest, path)
    if entry is None or entry.kind != Kind.FILE:
        what = "nothing" if entry is None else f"a {kind_name(entry.kind)}, not a file,"
        raise NoSuchEntry(f"{version} holds {what} at {path!r}", path=path)
    return entry


def entry_of(entry: StoredEntry) -> Entry:
    """An entry as the library shows it."""
    target = entry.content.target if entry.kind == Kind.SYMLINK else None
    reference = entry.reference if entry.kind == Kind.REFERENCE else None
    digest = entry.digest.hex()
    return Entry(entry.path, kind_name(entry.kind), entry.size, digest, entry.executable, target, reference)
