"""Store: create, open, push and pull; what else a user asks of one is in the classes it stands on."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from artifactstore.client.naming import Naming
from artifactstore.client.observed import operation
from artifactstore.client.opened import MakeExecutors
from artifactstore.client.opening import (
    Access,
    Parts,
    access_to,
    create_parts,
    open_parts,
)
from artifactstore.client.pushing import Pushing
from artifactstore.client.requests import Describing, push_request, sources_of
from artifactstore.client.results import (
    PullPlan,
    PullSummary,
    PushPlan,
)
from artifactstore.client.version import Version
from artifactstore.clock import Clock, Randomness, SystemClock, SystemRandomness
from artifactstore.deferred import Grown
from artifactstore.errors import Damaged
from artifactstore.executors import threads
from artifactstore.ids import parse_artifact_name
from artifactstore.observer import Observer
from artifactstore.progress import Progress
from artifactstore.transfer.scan import Found, scan

if TYPE_CHECKING:
    from artifactstore.drafts.artifact import Artifact
    from artifactstore.format.reference import Reference
    from artifactstore.references.access import ReferenceAccess
    from artifactstore.store.whole import Whole
else:

    class Whole(Pushing, Naming, Grown):
        """What pushes, pulls and looks take; the rest of a store is loaded when something of it is first used."""


class Store(Whole):
    """One store: a URL with one log, one key set and one dedup domain.

    Made by `Store.create` and `Store.open`; a context manager. Thread-safe: several threads may push, pull and read
    through one store. It may be used in a child process after a fork, and pickled to be opened again in a spawned
    one.

    Attributes:
        notices: Sentences that the user should read, such as where an index went.
    """

    _grows_into = "artifactstore.store.whole:Whole"

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
        observer: Observer | None = None,
        cache_bytes: int | None = None,
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
            observer: Told of operations and requests, with durations and bytes.
            cache_bytes: How much of what was opened is kept for the next read; 16 MiB when None.
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
            observer=observer,
            cache_bytes=cache_bytes,
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
        passphrase: str | None = None,
        password_command: str | None = None,
        ask: Callable[[], str | None] | None = None,
        store_id: str | None = None,
        cache_dir: Path | None = None,
        storage_options: Mapping[str, Any] | None = None,
        single_writer: bool = False,
        upload_bytes_per_s: int | None = None,
        download_bytes_per_s: int | None = None,
        compression_level: int | None = None,
        progress: Progress | None = None,
        observer: Observer | None = None,
        cache_bytes: int | None = None,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
        make_executors: MakeExecutors = threads,
    ) -> "Store":
        """Open the store at `url`.

        Args:
            url: As for `create`.
            key_file: As for `create`.
            passphrase: A passphrase or a recovery phrase, instead of a key file.
            password_command: A command that prints one, instead of a key file; it runs without a shell.
            ask: Called for one when nothing else is named and the default key file opens nothing.
            store_id: The id that it must have, as hex; what this client saw there first when None.
            cache_dir: As for `create`.
            storage_options: As for `create`.
            single_writer: As for `create`.
            upload_bytes_per_s: Limit on uploads in bytes a second.
            download_bytes_per_s: Limit on downloads in bytes a second.
            compression_level: As for `create`.
            progress: As for `create`.
            observer: As for `create`.
            cache_bytes: As for `create`.
            clock: As for `create`.
            randomness: As for `create`.
            make_executors: As for `create`.

        Raises:
            NoSuchStore: There is none.
            KeyMissing: There is nothing to unlock it with.
            WrongKey: The key or passphrase opens no slot of the store.
            RolledBack: Another store lies there than before.
        """
        clock, randomness = clock or SystemClock(), randomness or SystemRandomness()
        access = access_to(
            url,
            key_file=key_file,
            passphrase=passphrase,
            password_command=password_command,
            ask=ask,
            cache_dir=cache_dir,
            storage_options=storage_options,
            single_writer=single_writer,
            upload_bytes_per_s=upload_bytes_per_s,
            download_bytes_per_s=download_bytes_per_s,
            compression_level=compression_level,
            observer=observer,
            cache_bytes=cache_bytes,
        )
        parts, access = open_parts(access, clock, randomness, store_id=store_id)
        return cls._of(access, parts, clock, randomness, make_executors, progress)

    @classmethod
    def _of(
        cls,
        access: Access,
        parts: Parts,
        clock: Clock,
        randomness: Randomness,
        make_executors: MakeExecutors,
        progress: Progress | None,
    ) -> Self:
        return cls(
            access,
            parts,
            clock=clock,
            randomness=randomness,
            make_executors=make_executors,
            progress=progress,
        )

    def __reduce__(self) -> tuple[object, ...]:
        # Of a server's observer there is one, where it was made.
        return _reopen, (self._access._replace(observer=None), self.id)

    # --- push and pull --------------------------------------------------------------------------------------

    @operation
    def push(
        self,
        sources: "Iterable[str | os.PathLike[str]] | Artifact",
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
        run: str | None = None,
        references: "Mapping[str, str | Reference] | None" = None,
        materialize: bool = False,
        max_objects: int | None = None,
        access: "ReferenceAccess | None" = None,
        progress: Progress | None = None,
    ) -> Version:
        """Make a version of an artifact from files and folders.

        A folder's contents go to the root of the version, a file to its name; the store's own folder and its index
        are left out, with a word. Content equal to the newest version's makes no new version; its aliases, tags,
        description and metadata are applied all the same.

        Args:
            sources: Files and folders; or a draft, which brings all but `aliases`, `tags` and `run` with it.
            artifact: `project/name`.
            type: The artifact's type, when this is its first version.
            aliases: Aliases to point at the version.
            tags: Labels to put on it.
            description: Free text.
            metadata: A JSON object.
            exclude: What to leave out, in gitignore's language.
            files: Single files, kept at the relative path that they are given by.
            streams: Path in the version to open binary stream.
            run: Id of the run that produces it, or the first 8 digits or more.
            references: Path in the version to the URL of what lies elsewhere and is only referred to, a folder or
                prefix with all that is in it; or to a `Reference`, which is taken as it is said to be.
            materialize: Take what the references name into the store, as files.
            max_objects: How many objects a folder or prefix among the references may hold; 10,000 when None.
            access: How references are reached.
            progress: Told what happens; the store's own when None.

        Returns:
            The version, whose `push` says what was done.

        Raises:
            NoSuchPath: A source does not exist.
            InvalidSource: Something can't be an entry.
            SourceChanged: A file changed while it was read.
            PathCollision: Two sources would be one path.
            IsCollection: The artifact takes links only.
            PreconditionFailed: A pack that it relied on was found damaged meanwhile, and a stream can't be read again.
            NoSuchRun, RunEnded: The run is not one that may still produce versions.
            LineageCircle: An equal version is there, and the run came of it.
            DraftSaved, InvalidURL, TooManyObjects, ReferenceGone: As `Artifact.save` and `add_reference`.
        """
        self._parts.keyring.signer()
        name = parse_artifact_name(artifact)
        if isinstance(sources, Describing):
            return self.push_artifact(sources, name, aliases=aliases, tags=tags, run=run, progress=progress)
        far = _far(references, access, max_objects, materialize=materialize)
        request = push_request(name, type, aliases, tags, description, metadata)
        given = sources_of(sources, exclude, files, streams, self._apart(), far)
        if run is not None:
            self.refresh()
            request = request._replace(run=self._open_run(run))
        return self.push_sources(given, request, progress)

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
        from artifactstore.transfer.plan import plan_push

        parse_artifact_name(artifact)
        found = scan(sources_of(sources, exclude, files, streams, self._apart()))
        return PushPlan(*plan_push(found, self._parts.environment, progress or self._progress))

    @operation
    def pull(
        self,
        ref: str,
        destination: str | os.PathLike[str],
        *,
        paths: Iterable[str] = (),
        overwrite: bool = False,
        part: tuple[int, int] | None = None,
        references: bool = True,
        allow_missing_references: bool = False,
        access: "ReferenceAccess | None" = None,
        progress: Progress | None = None,
    ) -> PullSummary:
        """Write a version's files into a folder.

        Args:
            ref: `project/name`, with `:vN`, `:alias` or `@digest`.
            destination: A folder that is empty or does not exist, unless `overwrite`.
            paths: Globs of the paths to pull; all when empty.
            overwrite: Replace files that are there. Files of other names stay.
            part: (i, n): only the entries of part i of n, numbered from 0, which are about a share of n of the bytes;
                each entry is in one part. Several may be pulled into one destination, at once and in any order.
            references: Fetch what references name, each held against what it was; else they are left out.
            allow_missing_references: Leave out a reference that can't be had as it was, instead of raising.
            access: How references are reached, and which local files and private addresses may be fetched: by default
                none, as whoever can write to the store chose them.
            progress: Told what happens; the store's own when None.

        Raises:
            ReferenceRefused, ReferenceGone, ReferenceChanged: A reference may not be fetched, or is not what it was.
            NoSuchVersion: The reference names none.
            NoSuchEntry: No path matches the globs; in a part of a version there may be none.
            InvalidPart: There is no such part.
            DestinationExists: Something is there; for a part: another file than the version has at that path.
            Damaged: A chunk can't be read back whole.
            Deleted: The version was purged while it was pulled.
        """
        from artifactstore.client.referring import fetching
        from artifactstore.manifest.divide import division_of
        from artifactstore.transfer.pull import PullParts, pull

        globs, division = list(paths), division_of(part)
        fetch = fetching(access, references=references, allow_missing=allow_missing_references)
        # Of a few paths most pages and lists are not needed.
        version, reader, manifest = self._resolved(ref) if globs else self._resolved_ahead(ref)
        started = self._clock.monotonic_s()
        done, again = None, False
        while done is None:
            before = self._parts
            try:
                with self._make_executors() as executors:
                    parts = PullParts(reader, executors, progress or self._progress, fetch)
                    done = pull(
                        parts,
                        manifest,
                        os.fspath(destination),
                        globs,
                        overwrite=overwrite or (again and division is None),
                        division=division,
                    )
            except Damaged:
                self.refresh()
                if self._parts is before:
                    raise
                # A sweep moved what it kept; what it purged is said to be deleted (invariant 16).
                again = True
                version, reader, manifest = self._resolved(version.qualified_name)
        seconds = self._clock.monotonic_s() - started
        return PullSummary(version, Path(destination), *done, seconds)

    def plan_pull(
        self,
        ref: str,
        destination: str | os.PathLike[str],
        *,
        paths: Iterable[str] = (),
        overwrite: bool = False,
        part: tuple[int, int] | None = None,
    ) -> PullPlan:
        """Say what a pull would write; nothing is fetched or written."""
        from artifactstore.manifest.divide import division_of, entries_of
        from artifactstore.transfer.plan import plan_pull

        division = division_of(part)
        version, reader, manifest = self._resolved(ref)
        found = entries_of(reader, manifest, division)
        plan = plan_pull(
            found, os.fspath(destination), list(paths), overwrite=overwrite, in_parts=division is not None
        )
        return PullPlan(version, *plan)


def _far(
    references: "Mapping[str, str | Reference] | None",
    access: "ReferenceAccess | None",
    objects_max: int | None,
    *,
    materialize: bool,
) -> list[Found]:
    """What a push takes of references."""
    if not references:
        return []
    from artifactstore.client.referring import referred

    return referred(references, access=access, objects_max=objects_max, materialize=materialize)


def _reopen(access: Access, store_id: str) -> Store:
    clock, randomness = SystemClock(), SystemRandomness()
    parts, access = open_parts(access, clock, randomness, store_id=store_id)
    return Store(access, parts, clock=clock, randomness=randomness, make_executors=threads, progress=None)
