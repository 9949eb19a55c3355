"""Runs of a store: beginning, ending and asking for them, what they use, and the lineage that follows from it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Any, Final, cast
from weakref import WeakSet

from artifactstore import tracking
from artifactstore.backend.base import Backend
from artifactstore.catalog.edges import (
    DOWN,
    UP,
    closes_circle,
    edges,
    neighbours,
    node_run,
    purged_node,
    run_node,
    version_node,
)
from artifactstore.catalog.generation import purged_prefix, purged_version
from artifactstore.catalog.lineage import walk
from artifactstore.catalog.names import first_name
from artifactstore.catalog.rows import get_version, live_version, newest_live
from artifactstore.catalog.runs import RunRow, find_run, get_run, open_run, runs
from artifactstore.catalog.signs import needs_signs, signs_of_life, state_of
from artifactstore.client import listing
from artifactstore.client.naming import Naming
from artifactstore.client.requests import checked_metadata
from artifactstore.client.version import Version
from artifactstore.errors import (
    Deleted,
    InvalidMetadata,
    InvalidReference,
    LineageCircle,
    NoSuchRun,
    PreconditionFailed,
    UsageError,
)
from artifactstore.format.commitment import SALT_BYTES
from artifactstore.format.limits import RUN_TAGS_MAX, RUN_TEXT_CHARACTERS_MAX
from artifactstore.format.operations import Push
from artifactstore.format.run_operations import (
    FAILED,
    FINISHED,
    KILLED,
    RUNNING,
    End,
    RunDeleted,
    RunFinished,
    RunOperation,
    RunStarted,
    RunUpdated,
    Used,
)
from artifactstore.ids import check_name, parse_artifact_name, parse_reference
from artifactstore.index.environment import ReadTransaction
from artifactstore.runs.run import Run, RunInfo, RunKeeper, run_info_of

_NODES_MAX: Final = 1_000_000
_DOWNSTREAM_MAX: Final = 10_000
_NS_PER_MS: Final = 1_000_000
_MS_PER_S: Final = 1000
_STATES: Final = (RUNNING, FINISHED, FAILED, KILLED)
_ENDS: Final = (FINISHED, FAILED, KILLED)
_WAYS: Final = {"up": (True, False), "down": (False, True), "both": (True, True)}


class Running(Naming):
    """The part of a store that knows runs and lineage."""

    @cached_property
    def _run_hearts(self) -> WeakSet[tracking.heart.Heart]:
        """Hearts that may be beating."""
        return WeakSet()

    def run(
        self,
        project: str,
        name: str | None = None,
        job_type: str | None = None,
        config: Mapping[str, Any] | None = None,
        tags: Iterable[str] | None = None,
        group: str | None = None,
        *,
        git: bool = True,
        host: bool = False,
        heartbeat: bool = True,
    ) -> Run:
        """Begin a run; to be used in a `with` statement, at whose end it finishes or fails.

        Args:
            project: The project it belongs to.
            name: What it is called.
            job_type: What kind of work it does.
            config: A JSON object: what it is started with.
            tags: Labels.
            group: What it belongs together with.
            git: Keep the Git commit of the working directory; nothing else is ever read of the code.
            host: Keep facts of the machine: host name, system, Python, processors.
            heartbeat: Give a sign of life every minute from a thread, so that others see when it was killed.

        Raises:
            InvalidName, InvalidMetadata: Something of it can't be kept.
        """
        import uuid  # noqa: PLC0415 - for runs alone

        operation = RunStarted(
            run=uuid.UUID(bytes=self._randomness.token(16), version=4).bytes,
            project=check_name(project, "project"),
            name=_text(name, "the name"),
            job_type=_text(job_type, "the job type"),
            group=_text(group, "the group"),
            tags=_tags(tags or ()),
            config=checked_metadata(config) or {},
            commit=tracking.surroundings.git_commit() if git else None,
            host=tracking.surroundings.host_facts() if host else None,
            beats=heartbeat,
        )
        self._commit([operation])
        heart = self._run_heart(operation.run) if heartbeat else None
        return Run(cast("RunKeeper", self), self._run_info(operation.run), heart)

    def open_run(self, run: str) -> Run:
        """A run that was begun elsewhere and has not ended, to use and produce versions for it.

        It gives no signs of life of its own.

        Raises:
            NoSuchRun, RunEnded: There is none.
        """
        self.refresh()
        with self._parts.environment.read() as txn:
            found = find_run(txn, run)
            open_run(txn, found)
        return Run(cast("RunKeeper", self), self._run_info(found), None)

    def run_info(self, run: str) -> RunInfo:
        """What is known of a run.

        Args:
            run: Its id, or the first 8 digits or more.

        Raises:
            NoSuchRun: There is none, or there are several.
        """
        self.refresh()
        with self._parts.environment.read() as txn:
            found = find_run(txn, run)
        return self._run_info(found)

    def runs(
        self,
        project: str | None = None,
        *,
        state: str | None = None,
        group: str | None = None,
        job_type: str | None = None,
        tag: str | None = None,
        used: str | None = None,
        produced: str | None = None,
        limit: int | None = None,
    ) -> list[RunInfo]:
        """Runs, the newest first; of several conditions each must hold.

        Args:
            project: Of this project.
            state: In this state: `running`, `finished`, `failed` or `killed`.
            group: Of this group.
            job_type: Of this job type.
            tag: With this label.
            used: That used this version.
            produced: That produced this version, the first that did last.
            limit: So many at most.

        Raises:
            NoSuchVersion: There is no such version.
        """
        if state is not None and state not in _STATES:
            raise UsageError(
                f"{state!r} is not a state of runs", next_step=f"use one of {', '.join(_STATES)}"
            )
        self.refresh()
        with self._parts.environment.read() as txn:
            found = list(self._runs_around(txn, used, produced) if used or produced else runs(txn))
        rows = [
            (run, row)
            for run, row in found
            if (project is None or row.project == project)
            and (group is None or row.group == group)
            and (job_type is None or row.job_type == job_type)
            and (tag is None or tag in row.tags)
        ]
        rows.sort(key=lambda one: (one[1].slot, one[0]), reverse=True)
        infos = self._run_infos(rows)
        return [info for info in infos if state in {None, info.state}][:limit]

    def logged_by(self, ref: str) -> RunInfo | None:
        """The run that produced a version first; None where no run said so.

        Raises:
            NoSuchVersion: There is no such version.
        """
        self.refresh()
        with self._parts.environment.read() as txn:
            made_by = [
                (edge.slot, run)
                for node, edge in edges(txn, self._lineage_node(txn, ref), UP)
                if (run := node_run(node)) is not None
            ]
        return self._run_info(min(made_by)[1]) if made_by else None

    def finish_run(self, run: str, state: End = FINISHED) -> None:
        """End a run, wherever it was begun.

        Args:
            run: Its id, or the first 8 digits or more.
            state: `finished`, `failed` or `killed`.

        Raises:
            NoSuchRun: There is none.
            RunEnded: It has ended already.
        """
        if state not in _ENDS:
            raise UsageError(f"a run does not end as {state!r}", next_step=f"use one of {', '.join(_ENDS)}")
        found = self._found_open_run(run)
        self._commit([RunFinished(found, state)], lambda txn: _demand_open(txn, found))

    def update_run(
        self,
        run: str,
        *,
        name: str | None = None,
        tags: Iterable[str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> RunInfo:
        """Say something anew of a run, also of one that has ended; None keeps what was said.

        Args:
            run: Its id, or the first 8 digits or more.
            name: What it is called.
            tags: All its labels.
            config: The whole of its configuration, a JSON object.

        Raises:
            NoSuchRun: There is none, or it was deleted.
        """
        found = self._found_run(run)
        operation = RunUpdated(
            found,
            None if name is None else _text(name, "the name"),
            None if tags is None else _tags(tags),
            checked_metadata(config),
        )
        self._say_of_run(operation)
        return self._run_info(found)

    def delete_run(self, run: str) -> None:
        """Forget what a run has said of itself: names, tags, configuration, commit, host.

        That there was a run, its times, and what it used and produced stay known, by its id. Members can read the
        record that said it until the next sweep.

        Args:
            run: Its id, or the first 8 digits or more.

        Raises:
            NoSuchRun: There is none, or it was deleted already.
        """
        self._say_of_run(RunDeleted(self._found_run(run)))

    def use_in_run(self, run: str, ref: str, role: str = "") -> Version:
        """Note that a run uses a version, and return it.

        Args:
            run: Its id, or the first 8 digits or more.
            ref: The version.
            role: What for, in your own words; may be empty.

        Raises:
            NoSuchRun, RunEnded: There is no such run, or it has ended.
            NoSuchProject, NoSuchArtifact, NoSuchVersion, Deleted: There is no such version.
            LineageCircle: The version came of the run.
        """
        said = _text(role, "the role")
        found = self._found_open_run(run)
        version = self.version(ref)
        name = parse_artifact_name(version.artifact)
        operation = Used(found, name.project, name.name, version.number, said)

        def demand(txn: ReadTransaction) -> None:
            open_run(txn, found)
            if live_version(txn, name, version.number) is None:
                raise PreconditionFailed(
                    f"{version.qualified_name} was deleted meanwhile", next_step="choose another version"
                )
            if closes_circle(txn, version_node(first_name(txn, name), version.number), run_node(found)):
                raise LineageCircle(
                    f"{version.qualified_name} came of run {found.hex()}, which can't use it then",
                    version=version.qualified_name,
                    run=found.hex(),
                )

        self._commit([operation], demand)
        return version

    def log_in_run(self, run: str, ref: str) -> Version:
        """Note that a run produced a version that is there already, and return it.

        As pushing its content again in the run would, so only of the newest version of its artifact.

        Args:
            run: Its id, or the first 8 digits or more.
            ref: The version.

        Raises:
            NoSuchRun, RunEnded: There is no such run, or it has ended.
            NoSuchProject, NoSuchArtifact, NoSuchVersion, Deleted: There is no such version.
            PreconditionFailed: It is not the newest of its artifact, or a link in a collection.
            LineageCircle: The run came of the version.
        """
        found = self._found_open_run(run)
        version = self.version(ref)
        name = parse_artifact_name(version.artifact)
        operation = Push(
            project=name.project,
            name=name.name,
            type=version.type,
            manifest=version.manifest,
            description=None,
            metadata=None,
            aliases=[],
            tags=[],
            new_bytes=0,
            stored_bytes=0,
            packs=[],
            salt=self._randomness.token(SALT_BYTES),
            run=found,
        )

        def demand(txn: ReadTransaction) -> None:
            open_run(txn, found)
            newest = newest_live(txn, name)
            if version.link is not None or newest is None or newest[0] != version.number:
                raise PreconditionFailed(
                    f"{version.qualified_name} is not the newest version of {version.artifact},"
                    " of which alone it can be said that a run produced it too",
                    version=version.qualified_name,
                )
            if closes_circle(txn, run_node(found), version_node(first_name(txn, name), version.number)):
                raise LineageCircle(
                    f"run {found.hex()} came of {version.qualified_name}, which it can't have produced then",
                    version=version.qualified_name,
                    run=found.hex(),
                )

        self._commit([operation], demand)
        return version

    def lineage(self, ref: str, direction: str = "both", depth: int | None = None) -> tracking.graph.Lineage:
        """What a version or a run came of, and what came of it.

        Versions that were deleted are shown as such; those that were purged too, without their names.

        Args:
            ref: A version, also one that was deleted or purged; or a run, by 8 digits of its id or more.
            direction: `up` for what it came of, `down` for what came of it, or `both`.
            depth: How many steps far; None for all the way, but a million nodes at most.

        Raises:
            NoSuchRun, NoSuchVersion: There is none.
        """
        if direction not in _WAYS:
            raise UsageError(f"{direction!r} is no direction of lineage", next_step="use up, down or both")
        if depth is not None and depth < 0:
            raise UsageError("a depth is 0 or more", depth=depth)
        self.refresh()
        up, down = _WAYS[direction]
        with self._parts.environment.read() as txn:
            start = self._lineage_node(txn, ref)
            walked = walk(txn, [start], up=up, down=down, depth=depth, most=_NODES_MAX)
            described = tracking.graph.Described(txn, self._run_signs, self._wall_ms())
            return tracking.graph.lineage_of(walked, start, direction, self.id, described)

    def downstream(self, refs: Iterable[str]) -> tracking.graph.Lineage:
        """What came of any of some versions, so of what is to be taken away: runs that used them, and what those made.

        Args:
            refs: The versions, deleted ones too; at least one.

        Returns:
            A lineage of at most 10,000 nodes, the versions themselves at depth 0.

        Raises:
            NoSuchVersion: There is no such version.
        """
        self.refresh()
        with self._parts.environment.read() as txn:
            starts = list(dict.fromkeys(self._lineage_node(txn, ref) for ref in refs))
            walked = walk(txn, starts, up=False, down=True, depth=None, most=_DOWNSTREAM_MAX + len(starts))
            described = tracking.graph.Described(txn, self._run_signs, self._wall_ms())
            return tracking.graph.lineage_of(walked, starts[0], "down", self.id, described)

    def close(self) -> None:
        """Let runs of this store give no more signs of life, and close it."""
        for heart in list(self._run_hearts):
            heart.stop()
        super().close()

    # --- parts of the above -------------------------------------------------------------------------------------

    def _run_heart(self, run: bytes) -> tracking.heart.Heart:
        """A heart that beats for a run, until that ends or the store is closed."""

        def backend() -> Backend:
            return self._parts.backend

        heart = tracking.heart.Heart(backend, self._parts.keyring.store_id, run, self._clock)
        heart.start()
        self._run_hearts.add(heart)
        return heart

    def _lineage_node(self, txn: ReadTransaction, ref: str) -> bytes:
        """The node of lineage that a reference names."""
        if "/" not in ref:
            try:
                return run_node(find_run(txn, ref))
            except NoSuchRun as error:
                raise InvalidReference(
                    f"{ref!r} is neither a version nor a run",
                    next_step="write project/name:v3, or 8 digits of a run's id or more",
                    reference=ref,
                ) from error
        reference = parse_reference(ref)
        if reference.number is not None:
            name, number = first_name(txn, reference.artifact), reference.number
            if get_version(txn, name, number) is not None:
                return version_node(name, number)
            prefix = purged_prefix(self.name_key(), name)
            if purged_version(txn, prefix, number) is not None:
                return purged_node(prefix, number)
        try:
            version = listing.resolve(self, txn, reference)
        except Deleted as error:
            said = str(error.facts.get("version", ""))
            if reference.number is not None or not said:
                raise
            return self._lineage_node(txn, said)
        return version_node(first_name(txn, parse_artifact_name(version.artifact)), version.number)

    def _runs_around(
        self, txn: ReadTransaction, used: str | None, produced: str | None
    ) -> Iterable[tuple[bytes, RunRow]]:
        """Runs that used a version, produced one, or both."""
        sets = [
            {
                run
                for node in neighbours(txn, self._lineage_node(txn, ref), way)
                if (run := node_run(node)) is not None
            }
            for ref, way in ((used, DOWN), (produced, UP))
            if ref is not None
        ]
        for run in sorted(set.intersection(*sets)):
            row = get_run(txn, run)
            if row is not None:
                yield run, row

    def _found_run(self, run: str) -> bytes:
        self.refresh()
        with self._parts.environment.read() as txn:
            return find_run(txn, run)

    def _found_open_run(self, run: str) -> bytes:
        found = self._found_run(run)
        with self._parts.environment.read() as txn:
            open_run(txn, found)
        return found

    def _say_of_run(self, operation: RunOperation) -> None:
        """Say something of a run, which must not have been deleted."""

        def demand(txn: ReadTransaction) -> None:
            row = get_run(txn, operation.run)
            if row is None or row.deleted_ms is not None:
                raise NoSuchRun(f"run {operation.run.hex()} was deleted", run=operation.run.hex())

        self._commit([operation], demand)

    def _run_info(self, run: bytes) -> RunInfo:
        with self._parts.environment.read() as txn:
            row = get_run(txn, run)
        assert row is not None
        return self._run_infos([(run, row)])[0]

    def _run_infos(self, rows: list[tuple[bytes, RunRow]]) -> list[RunInfo]:
        signs = self._run_signs() if needs_signs(row for _, row in rows) else {}
        now_ms = self._wall_ms()
        return [run_info_of(run, row, *state_of(run, row, signs, now_ms)) for run, row in rows]

    def _run_signs(self) -> Mapping[bytes, int]:
        return signs_of_life(self._parts.backend)

    def _wall_ms(self) -> int:
        return self._clock.now_ns() // _NS_PER_MS


def _demand_open(txn: ReadTransaction, run: bytes) -> None:
    open_run(txn, run)


def _text(text: str | None, what: str) -> str:
    """Text of a run within its bound."""
    if text is None:
        return ""
    if len(text) > RUN_TEXT_CHARACTERS_MAX or not text.isprintable():
        raise InvalidMetadata(
            f"{what} of a run is {RUN_TEXT_CHARACTERS_MAX} characters on one line at most",
            next_step="shorten it",
        )
    return text


def _tags(tags: Iterable[str]) -> list[str]:
    checked = sorted({check_name(tag, "tag") for tag in tags})
    if len(checked) > RUN_TAGS_MAX:
        raise InvalidMetadata(f"a run may have {RUN_TAGS_MAX} labels at most")
    return checked
