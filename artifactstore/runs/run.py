"""A run as a program holds it: what it uses, what it produces, how it ends; and what is known of any run."""

import os
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Final, Protocol, Self, TypeVar, overload

import msgspec

from artifactstore.catalog.runs import RunRow
from artifactstore.client.requests import Describing
from artifactstore.client.version import Version
from artifactstore.errors import ArtifactStoreError, InvalidName, NotSaved, TypeMismatch, UsageError
from artifactstore.format.run_operations import FAILED, FINISHED, KILLED, End
from artifactstore.ids import ArtifactName, check_name, parse_artifact_name

_NS_PER_MS: Final = 1_000_000
D = TypeVar("D", bound=Describing)


class RunInfo(msgspec.Struct, frozen=True):
    """What is known of a run.

    Attributes:
        id: 32 hexadecimal digits; a UUID without its hyphens.
        project: The project it belongs to; empty once it was deleted, as all that it had said of itself.
        name: What it is called; may be empty.
        job_type: What kind of work it does; may be empty.
        group: What it belongs together with; may be empty.
        tags: Labels, sorted.
        config: A JSON object: what it was started with.
        commit: The Git commit of its code; None where that is not known.
        host: A JSON object: where it runs; None unless that was asked for.
        state: `running`, `finished`, `failed`, `killed` or `deleted`. One that should give signs of life, and gave none
            for five minutes, is `killed`.
        started_ns: When its writer says it began, in nanoseconds since the Unix epoch.
        ended_ns: When it ended, of one that was killed its last sign of life; None while it is running.
        member: Id of the slot key of whoever began it, as they claim.
    """

    id: str
    project: str
    name: str
    job_type: str
    group: str
    tags: tuple[str, ...]
    config: dict[str, Any]
    commit: str | None
    host: dict[str, Any] | None
    state: str
    started_ns: int
    ended_ns: int | None
    member: str


def run_info_of(run: bytes, row: RunRow, state: str, ended_ms: int | None) -> RunInfo:
    """What a row says, with the state that is to be shown."""
    return RunInfo(
        id=run.hex(),
        project=row.project,
        name=row.name,
        job_type=row.job_type,
        group=row.group,
        tags=tuple(row.tags),
        config=row.config,
        commit=row.commit,
        host=row.host,
        state=state if row.deleted_ms is None else "deleted",
        started_ns=row.started_ms * _NS_PER_MS,
        ended_ns=None if ended_ms is None else ended_ms * _NS_PER_MS,
        member=row.member.hex(),
    )


class Beating(Protocol):
    """What gives signs of life."""

    def stop(self) -> None:
        """Give no more."""
        ...


class RunKeeper(Protocol):
    """What a run asks of its store."""

    def push(self, sources: Any, artifact: str, **options: Any) -> Version:
        """Make a version."""
        ...

    def use_in_run(self, run: str, ref: str, role: str = "") -> Version:
        """Note that a run uses a version."""
        ...

    def artifact(self, ref: str) -> Any:
        """A version as an `Artifact`."""
        ...

    def link(self, ref: str, collection: str, *, aliases: Iterable[str] = ()) -> Version:
        """Put a version into a collection."""
        ...

    def finish_run(self, run: str, state: End = FINISHED) -> None:
        """End a run."""
        ...

    def update_run(
        self,
        run: str,
        *,
        name: str | None = None,
        tags: Iterable[str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> RunInfo:
        """Say something anew."""
        ...

    def run_info(self, run: str) -> RunInfo:
        """What is known of a run."""
        ...


class Run:
    """A run that is open, for use in a `with` statement: it finishes when the block ends, and fails when that raises.

    Ctrl-C makes it killed, and `SystemExit` what its code says. Thread-safe.

    Attributes:
        id: 32 hexadecimal digits.
        project: Its project.
    """

    def __init__(self, store: RunKeeper, info: RunInfo, heart: Beating | None) -> None:
        self._store = store
        self._info = info
        self._heart = heart
        self._ended = False
        self.id = info.id
        self.project = info.project

    @property
    def name(self) -> str:
        """What it is called; may be empty."""
        return self._info.name

    @property
    def job_type(self) -> str:
        """What kind of work it does; may be empty."""
        return self._info.job_type

    @property
    def group(self) -> str:
        """What it belongs together with; may be empty."""
        return self._info.group

    @property
    def tags(self) -> tuple[str, ...]:
        """Labels, sorted."""
        return self._info.tags

    @property
    def config(self) -> dict[str, Any]:
        """What it was started with; `update` changes it."""
        return self._info.config

    @property
    def commit(self) -> str | None:
        """The Git commit of its code."""
        return self._info.commit

    def info(self) -> RunInfo:
        """What the store knows of it now."""
        return self._store.run_info(self.id)

    def use(self, ref: str, role: str = "") -> Version:
        """Note that this run uses a version, and return it.

        Args:
            ref: `project/name[:v3 | :alias | @digest]`.
            role: What for, in your own words, such as `training`.

        Raises:
            NoSuchProject, NoSuchArtifact, NoSuchVersion, Deleted: There is no such version.
            RunEnded: This run has ended.
            LineageCircle: The version came of this run.
        """
        return self._store.use_in_run(self.id, ref, role)

    def use_artifact(
        self,
        artifact_or_name: str | Describing,
        type: str | None = None,  # noqa: A002 - the word users know
        use_as: str | None = None,
    ) -> Any:
        """The same as `use` in the words of W&B: note that this run uses a version, and return it as an `Artifact`.

        Args:
            artifact_or_name: As for `use`; a name without a project is one of the run's project. Or an `Artifact` that
                is saved.
            type: The type that it must have.
            use_as: What for, in your own words.

        Raises:
            TypeMismatch: It has another type; nothing is noted.
            NotSaved: It is a draft.
            NoSuchProject, NoSuchArtifact, NoSuchVersion, Deleted, RunEnded, LineageCircle: As for `use`.
        """
        if isinstance(artifact_or_name, Describing):
            if artifact_or_name.is_draft():
                raise NotSaved(
                    "a draft that is not saved can't be used", next_step="log it: run.log_artifact(draft)"
                )
            ref = artifact_or_name.qualified_name
        else:
            ref = artifact_or_name if "/" in artifact_or_name else f"{self.project}/{artifact_or_name}"
        artifact = self._store.artifact(ref)
        if type is not None and artifact.type != type:
            raise TypeMismatch(
                f"{artifact.qualified_name} is of type {artifact.type!r}, not {type!r}",
                next_step=f"ask for it with type={artifact.type!r}, or with none",
            )
        self.use(artifact.qualified_name, use_as or "")
        return artifact

    @overload
    def log_artifact(self, what: D, name: str | None = None, **options: Any) -> D: ...

    @overload
    def log_artifact(
        self,
        what: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
        name: str | None = None,
        **options: Any,
    ) -> Version: ...

    def log_artifact(
        self,
        what: str | os.PathLike[str] | Iterable[str | os.PathLike[str]] | Describing,
        name: str | None = None,
        **options: Any,
    ) -> Version | Describing:
        """Make a version of files and folders, or of a draft, as produced by this run.

        Content equal to the newest version's makes no new version; this run is noted as a producer of that one too.

        Args:
            what: A path, several, or a draft (`Artifact`).
            name: `name` in the run's project, or `project/name`; the name of the draft or the one path when None.
            options: As for `Store.push`: type, aliases, tags, description, metadata, exclude.

        Returns:
            The draft, which is that version then; of paths the version.

        Raises:
            InvalidName: It is not said what the artifact is to be called.
            RunEnded: This run has ended.
            LineageCircle: An equal version is there, and this run came of it.
        """
        if isinstance(what, Describing):
            # Where it is named to go; else under its own name in its own project, or in that of the run.
            where = f"{what.project or self.project}/{what.draft_name}"
            to = str(self._artifact([], name)) if name else where
            self._store.push(what, to, run=self.id, **options)
            return what
        paths = [what] if isinstance(what, str | os.PathLike) else list(what)
        return self._store.push(paths, str(self._artifact(paths, name)), run=self.id, **options)

    def link_artifact(
        self, artifact: Describing, target_path: str, aliases: Iterable[str] | None = None
    ) -> Any:
        """Put an artifact into a collection, a draft after it is logged; return the link, an `Artifact` too.

        Args:
            artifact: What to link.
            target_path: `project/name` of the collection; the first link makes it.
            aliases: Aliases of the collection to point at it.

        Raises:
            NameTaken, TypeMismatch: The collection is no place for it.
            RunEnded: It is a draft, and this run has ended.
        """
        if artifact.is_draft():
            self.log_artifact(artifact)
        linked = self._store.link(artifact.qualified_name, target_path, aliases=aliases or ())
        return self._store.artifact(linked.qualified_name)

    def update(
        self,
        *,
        name: str | None = None,
        tags: Iterable[str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """Say something anew of this run; None keeps what was said.

        Args:
            name: What it is called.
            tags: All its labels.
            config: The whole of its configuration, a JSON object.
        """
        self._info = self._store.update_run(self.id, name=name, tags=tags, config=config)

    def finish(self, state: End | None = None, *, exit_code: int | None = None) -> None:
        """End this run.

        Args:
            state: `finished`, `failed` or `killed`; by the exit code when None.
            exit_code: That of its program: with 0 or None it has finished, else failed.

        Raises:
            RunEnded: It has ended already.
        """
        if state is not None and exit_code is not None:
            raise UsageError("a run ends by a state or by an exit code", next_step="give one of the two")
        state = state or (FAILED if exit_code else FINISHED)
        if self._heart is not None:
            # Before the record: what a sign brought after it would only be garbage for a sweep.
            self._heart.stop()
        self._store.finish_run(self.id, state)
        self._ended = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ended:
            return
        try:
            self.finish(_state_after(error))
        except ArtifactStoreError as failure:
            if error is None:
                raise
            # What went wrong first is what is to be told.
            error.add_note(f"the run could not be ended either: {failure.message}")

    def __repr__(self) -> str:
        return f"<Run {self.id[:8]} {self.project}{f' {self.name}' if self.name else ''}>"

    def _artifact(self, paths: list[str | os.PathLike[str]], given: str | None) -> ArtifactName:
        """What an artifact is to be called."""
        if given is None:
            if len(paths) != 1:
                raise InvalidName(
                    "several paths have no name together", next_step="say what the artifact is to be called"
                )
            given = os.path.basename(os.path.abspath(paths[0]))  # noqa: PTH100, PTH119 - strings are wanted
        if "/" in given:
            return parse_artifact_name(given)
        return ArtifactName(self.project, check_name(given, "artifact"))


def _state_after(error: BaseException | None) -> End:
    """How a run ends whose block ends like this."""
    if error is None or (isinstance(error, SystemExit) and error.code in {None, 0}):
        return FINISHED
    return KILLED if isinstance(error, KeyboardInterrupt) else FAILED
