"""Store: create, open, push, pull, and everything else a user asks of one."""

import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final

from artifactstore.backend.probe import probe
from artifactstore.catalog.rows import get_version
from artifactstore.chunking import Chunker
from artifactstore.clock import Clock, Randomness, SystemClock, SystemRandomness
from artifactstore.content.get import ChunkReader
from artifactstore.content.put import ChunkWriter
from artifactstore.errors import NoSuchArtifact
from artifactstore.executors import Executors, threads
from artifactstore.format.operations import Alias, Operation, Tag
from artifactstore.ids import check_name, parse_artifact_name, parse_reference
from artifactstore.index.tables import META
from artifactstore.maintenance.check import Checker, CheckReport
from artifactstore.manifest.read import StoredEntry, entries
from artifactstore.progress import Progress, Quiet
from artifactstore.store import listing
from artifactstore.store.opening import (
    Access,
    Parts,
    access_to,
    create_parts,
    open_parts,
    with_empty_index,
)
from artifactstore.store.requests import movable_alias, push_request, sources_of
from artifactstore.store.results import (
    ArtifactInfo,
    IndexInfo,
    LogEntry,
    ProjectInfo,
    PullPlan,
    PullSummary,
    PushPlan,
    StoreInfo,
)
from artifactstore.store.version import PushSummary, Version
from artifactstore.transfer.plan import plan_pull, plan_push
from artifactstore.transfer.pull import PullParts, pull
from artifactstore.transfer.push import Pipeline, Pusher
from artifactstore.transfer.read import open_entry
from artifactstore.transfer.scan import Apart, scan

_PROBED: Final = b"probed"

MakeExecutors = Callable[[], AbstractContextManager[Executors]]


class Store:
    """One store: a URL with one log, one key set and one dedup domain.

    Made by `Store.create` and `Store.open`; a context manager. Thread-safe: several threads may push, pull and read
    through one store. It may be used in a child process after a fork, and pickled to be opened again in a spawned
    one.

    Attributes:
        notices: Sentences that the user should read, such as where an index went.
    """

    def __init__(
        self,
        access: Access,
        parts: Parts,
        *,
        clock: Clock,
        randomness: Randomness,
        make_executors: MakeExecutors,
        progress: Progress | None,
    ) -> None:
        self._access = access
        self._parts = parts
        self._clock = clock
        self._randomness = randomness
        self._make_executors = make_executors
        self._progress: Progress = progress or Quiet()
        self._chunker: Chunker | None = None
        self.notices = parts.notices

    @classmethod
    def create(
        cls,
        url: str | os.PathLike[str],
        *,
        key_file: Path | None = None,
        cache_dir: Path | None = None,
        storage_options: Mapping[str, Any] | None = None,
        single_writer: bool = False,
        compression_level: int | None = None,
        progress: Progress | None = None,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
        make_executors: MakeExecutors = threads,
    ) -> "Store":
        """Make a store at `url`, and a key file when there is none.

        Args:
            url: A folder, `memory://NAME`, or a URL that fsspec knows.
            key_file: The key file; the user's default one when None.
            cache_dir: Where the client index goes; the user's cache directory when None.
            storage_options: What the backend's file system takes.
            single_writer: Vouch for being the only writer, on a backend without exclusive create.
            compression_level: zstd level of what this client pushes, 1 to 19; 3 when None.
            progress: Told what long work does.
            clock: Time; the system's when None.
            randomness: Randomness; the system's when None.
            make_executors: Makes the thread pools of one operation.

        Raises:
            StoreExists: There is one already.
            ForeignContents: Something else is there.
            UntrustedBackend: The backend lets two writers create one object.
        """
        clock, randomness = clock or SystemClock(), randomness or SystemRandomness()
        access = access_to(
            url,
            key_file=key_file,
            cache_dir=cache_dir,
            storage_options=storage_options,
            single_writer=single_writer,
            compression_level=compression_level,
        )
        with make_executors() as executors:
            parts = create_parts(access, clock, randomness, executors)
        store = cls(
            access,
            parts,
            clock=clock,
            randomness=randomness,
            make_executors=make_executors,
            progress=progress,
        )
        store._remember_probe()
        return store

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str],
        *,
        key_file: Path | None = None,
        store_id: str | None = None,
        cache_dir: Path | None = None,
        storage_options: Mapping[str, Any] | None = None,
        single_writer: bool = False,
        upload_bytes_per_s: int | None = None,
        download_bytes_per_s: int | None = None,
        compression_level: int | None = None,
        progress: Progress | None = None,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
        make_executors: MakeExecutors = threads,
    ) -> "Store":
        """Open the store at `url`.

        Args:
            url: As for `create`.
            key_file: As for `create`.
            store_id: The id that it must have, as hex; what this client saw there first when None.
            cache_dir: As for `create`.
            storage_options: As for `create`.
            single_writer: As for `create`.
            upload_bytes_per_s: Limit on uploads in bytes a second.
            download_bytes_per_s: Limit on downloads in bytes a second.
            compression_level: As for `create`.
            progress: As for `create`.
            clock: As for `create`.
            randomness: As for `create`.
            make_executors: As for `create`.

        Raises:
            NoSuchStore: There is none.
            KeyMissing: There is no key file.
            WrongKey: The key opens no slot of the store.
            RolledBack: Another store lies there than before.
        """
        clock, randomness = clock or SystemClock(), randomness or SystemRandomness()
        access = access_to(
            url,
            key_file=key_file,
            cache_dir=cache_dir,
            storage_options=storage_options,
            single_writer=single_writer,
            upload_bytes_per_s=upload_bytes_per_s,
            download_bytes_per_s=download_bytes_per_s,
            compression_level=compression_level,
        )
        parts = open_parts(access, clock, randomness, store_id=store_id)
        return cls(
            access,
            parts,
            clock=clock,
            randomness=randomness,
            make_executors=make_executors,
            progress=progress,
        )

    # --- what it is ---------------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """SHA-256 of the store's first public key, as hex."""
        return self._parts.keyring.store_id.hex()

    @property
    def url(self) -> str:
        """Where it lies, without credentials."""
        return self._parts.backend.url

    @property
    def key_file(self) -> Path:
        """The key file that unlocked it."""
        return self._access.key_file

    @property
    def getter(self) -> ChunkReader:
        """Reads chunks."""
        return self._parts.reader

    def close(self) -> None:
        """Close the index and the backend; the store is not used afterwards."""
        self._parts.environment.close()
        self._parts.backend.close()

    def __enter__(self) -> "Store":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (self._access, self.id)

    # --- push and pull --------------------------------------------------------------------------------------

    def push(
        self,
        sources: Iterable[str | os.PathLike[str]],
        artifact: str,
        *,
        type: str = "dataset",  # noqa: A002 - the word users know
        aliases: Iterable[str] = (),
        tags: Iterable[str] = (),
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        exclude: Iterable[str] = (),
        files: Iterable[str] | None = None,
        streams: Mapping[str, BinaryIO] | None = None,
        progress: Progress | None = None,
    ) -> Version:
        """Make a version of an artifact from files and folders.

        A folder's contents go to the root of the version, a file to its name; the store's own folder and its index
        are left out, with a word. Content equal to the newest version's makes no new version; its aliases, tags,
        description and metadata are applied all the same.

        Args:
            sources: Files and folders.
            artifact: `project/name`.
            type: The artifact's type, when this is its first version.
            aliases: Aliases to point at the version.
            tags: Labels to put on it.
            description: Free text.
            metadata: A JSON object.
            exclude: What to leave out, in gitignore's language.
            files: Single files, kept at the relative path that they are given by.
            streams: Path in the version to open binary stream.
            progress: Told what happens; the store's own when None.

        Returns:
            The version, whose `push` says what was done.

        Raises:
            NoSuchPath: A source does not exist.
            InvalidSource: Something can't be an entry.
            SourceChanged: A file changed while it was read.
            PathCollision: Two sources would be one path.
        """
        name = parse_artifact_name(artifact)
        request = push_request(name, type, aliases, tags, description, metadata)
        found = scan(sources_of(sources, exclude, files, streams, self._apart()))
        started = self._clock.monotonic_s()
        watcher = progress or self._progress
        self._refresh()
        self._probe_once()
        watcher.start("push")
        with self._make_executors() as executors:
            pipeline = self._pipeline(executors, watcher)
            pushed = Pusher(pipeline).run(found, request)
        watcher.finish()
        summary = PushSummary(*pushed[1:], self._clock.monotonic_s() - started)
        with self._parts.environment.read() as txn:
            return listing.version_of(self, txn, name, pushed.number, summary)

    def plan_push(
        self,
        sources: Iterable[str | os.PathLike[str]],
        artifact: str,
        *,
        exclude: Iterable[str] = (),
        files: Iterable[str] | None = None,
        streams: Mapping[str, BinaryIO] | None = None,
        progress: Progress | None = None,
    ) -> PushPlan:
        """Say what a push would read; nothing is read or written, and `progress` is told the totals as they grow."""
        parse_artifact_name(artifact)
        found = scan(sources_of(sources, exclude, files, streams, self._apart()))
        return PushPlan(*plan_push(found, self._parts.environment, progress or self._progress))

    def pull(
        self,
        ref: str,
        destination: str | os.PathLike[str],
        *,
        paths: Iterable[str] = (),
        overwrite: bool = False,
        progress: Progress | None = None,
    ) -> PullSummary:
        """Write a version's files into a folder.

        Args:
            ref: `project/name`, with `:vN`, `:alias` or `@digest`.
            destination: A folder that is empty or does not exist, unless `overwrite`.
            paths: Globs of the paths to pull; all when empty.
            overwrite: Replace files that are there. Files of other names stay.
            progress: Told what happens; the store's own when None.

        Raises:
            NoSuchVersion: The reference names none.
            NoSuchEntry: No path matches the globs.
            DestinationExists: Something is there.
            Damaged: A chunk can't be read back whole.
        """
        version, manifest = self._resolved(ref)
        started = self._clock.monotonic_s()
        with self._make_executors() as executors:
            parts = PullParts(self._parts.reader, executors, progress or self._progress)
            done = pull(parts, manifest, os.fspath(destination), list(paths), overwrite=overwrite)
        seconds = self._clock.monotonic_s() - started
        return PullSummary(version, Path(destination), *done, seconds)

    def plan_pull(
        self,
        ref: str,
        destination: str | os.PathLike[str],
        *,
        paths: Iterable[str] = (),
        overwrite: bool = False,
    ) -> PullPlan:
        """Say what a pull would write; nothing is fetched or written."""
        version, manifest = self._resolved(ref)
        plan = plan_pull(
            entries(self._parts.reader, manifest), os.fspath(destination), list(paths), overwrite=overwrite
        )
        return PullPlan(version, *plan)

    # --- versions and names -----------------------------------------------------------------------------------

    def version(self, ref: str) -> Version:
        """The version that a reference names.

        Raises:
            NoSuchProject, NoSuchArtifact, NoSuchVersion: There is none.
        """
        self._refresh()
        with self._parts.environment.read() as txn:
            return listing.resolve(self, txn, parse_reference(ref))

    def projects(self) -> list[ProjectInfo]:
        """All projects, by name."""
        self._refresh()
        with self._parts.environment.read() as txn:
            return listing.projects(txn)

    def artifacts(self, project: str) -> list[ArtifactInfo]:
        """The artifacts of a project, by name.

        Raises:
            NoSuchProject: There is none of that name.
        """
        self._refresh()
        with self._parts.environment.read() as txn:
            return listing.artifacts_of(txn, check_name(project, "project"))

    def versions(self, artifact: str) -> list[Version]:
        """The versions of an artifact, oldest first.

        Raises:
            NoSuchProject, NoSuchArtifact: There is none.
        """
        self._refresh()
        with self._parts.environment.read() as txn:
            return listing.versions_of(self, txn, parse_artifact_name(artifact))

    def add_aliases(self, ref: str, names: Iterable[str]) -> Version:
        """Point aliases at a version, away from those they are on."""
        version = self.version(ref)
        artifact = parse_artifact_name(version.artifact)
        wanted = [movable_alias(name) for name in names]
        self._commit(Alias(artifact.project, artifact.name, version.number, wanted))
        return self.version(version.qualified_name)

    def remove_aliases(self, artifact: str, names: Iterable[str]) -> None:
        """Remove aliases of an artifact; `artifact` may be a reference to any of its versions.

        Raises:
            NoSuchVersion: One of them points at nothing.
        """
        reference = parse_reference(artifact)
        wanted = [movable_alias(name) for name in names]
        self._refresh()
        with self._parts.environment.read() as txn:
            for name in wanted:
                listing.resolve(self, txn, reference._replace(alias=name, number=None, digest_prefix=None))
        self._commit(Alias(reference.artifact.project, reference.artifact.name, None, wanted))

    def add_tags(self, ref: str, labels: Iterable[str]) -> Version:
        """Put labels on a version."""
        return self._tag(ref, [check_name(label, "tag") for label in labels], [])

    def remove_tags(self, ref: str, labels: Iterable[str]) -> Version:
        """Take labels off a version."""
        return self._tag(ref, [], [check_name(label, "tag") for label in labels])

    def _tag(self, ref: str, add: list[str], remove: list[str]) -> Version:
        version = self.version(ref)
        artifact = parse_artifact_name(version.artifact)
        self._commit(Tag(artifact.project, artifact.name, version.number, add, remove))
        return self.version(version.qualified_name)

    # --- looking after it -------------------------------------------------------------------------------------

    def log(self, *, limit: int | None = None) -> Iterator[LogEntry]:
        """Yield the log's slots, newest first."""
        position = self._parts.log.follow(self._parts.catalog)
        return listing.log_entries(self._parts.log, position.next_slot, limit)

    def check(
        self, *, read_data: bool = False, sample_percent: float = 100.0, progress: Progress | None = None
    ) -> CheckReport:
        """Check that everything the store promises is there and whole.

        Args:
            read_data: Read packs whole, and open every chunk in them.
            sample_percent: How many of the packs to read, by chance.
            progress: Told what happens; the store's own when None.
        """
        self._refresh()
        parts = self._parts
        with self._make_executors() as executors:
            checker = Checker(
                parts.backend,
                parts.keyring,
                parts.environment,
                parts.packs,
                parts.log,
                parts.reader,
                executors,
                progress or self._progress,
            )
            return checker.run(
                read_data=read_data, sample_percent=sample_percent, randomness=self._randomness
            )

    def rebuild_index(self, progress: Progress | None = None) -> None:
        """Delete this client's index and build it again from the log."""
        watcher = progress or self._progress
        watcher.start("rebuild")
        self._parts = with_empty_index(self._access, self._parts, self._clock, self._randomness)
        self._refresh()
        watcher.finish()

    def index_info(self) -> IndexInfo:
        """What this client's index holds."""
        self._refresh()
        return listing.index_info(self._parts.environment)

    def info(self) -> StoreInfo:
        """The store as a whole."""
        self._refresh()
        return listing.store_info(
            self._parts.environment,
            self._parts.packs,
            self._parts.keyring,
            self._parts.log,
            url=self.url,
            single_writer=self._access.single_writer,
            key_file=self._access.key_file,
        )

    def open_entry(self, entry: StoredEntry) -> io.BufferedReader:
        """Open a file of one of the store's versions."""
        return open_entry(self._parts.reader, entry)

    # --- inside -----------------------------------------------------------------------------------------------

    def _apart(self) -> Apart:
        """The store's own folder, where it is one, and the index."""
        folders = [self._parts.environment.path, Path(self.url)]
        return Apart([str(folder.resolve()) for folder in folders if folder.is_absolute()], self._notice)

    def _notice(self, text: str) -> None:
        if text not in self.notices:
            self.notices.append(text)

    def _refresh(self) -> None:
        self._parts.log.follow(self._parts.catalog)

    def _resolved(self, ref: str) -> tuple[Version, Any]:
        version = self.version(ref)
        with self._parts.environment.read() as txn:
            row = get_version(txn, parse_artifact_name(version.artifact), version.number)
        assert row is not None
        return version, row.manifest

    def _commit(self, operation: Operation) -> None:
        self._probe_once()
        outcome = self._parts.committer.commit([operation]).outcomes[0]
        if outcome.skipped:
            raise NoSuchArtifact(f"nothing was changed: {outcome.skipped}")

    def _probe_once(self) -> None:
        """Test the backend's promise before this client writes to it for the first time."""
        environment = self._parts.environment
        if self._access.single_writer:
            return
        with environment.read() as txn:
            if txn.get(META, _PROBED) is not None:
                return
        with self._make_executors() as executors:
            probe(self._parts.backend, self._randomness, executors)
        self._remember_probe()

    def _remember_probe(self) -> None:
        with self._parts.environment.write() as txn:
            txn.put(META, _PROBED, str(self._clock.now_ns()).encode())

    def _pipeline(self, executors: Executors, progress: Progress) -> Pipeline:
        parts = self._parts
        if self._chunker is None:
            self._chunker = Chunker(parts.keyring.chunker_seed())
        writer = ChunkWriter(
            parts.backend,
            parts.environment,
            parts.keyring,
            executors,
            self._randomness,
            level=self._access.compression_level,
        )
        return Pipeline(
            writer,
            self._chunker,
            parts.committer,
            parts.environment,
            executors,
            self._clock,
            self._randomness,
            progress,
        )


def _reopen(access: Access, store_id: str) -> Store:
    clock, randomness = SystemClock(), SystemRandomness()
    parts = open_parts(access, clock, randomness, store_id=store_id)
    return Store(access, parts, clock=clock, randomness=randomness, make_executors=threads, progress=None)
