"""Copying what produced versions: a run goes over as a fact, under its own id, with what it used and how it ended.

A run begins at the other end with the first of its versions that is copied, and ends there once all were, so that a
copy that was cut goes on with it. What a run used is told where the other store has it.
"""

from contextlib import suppress
from typing import Final

from artifactstore.errors import LineageCircle, NoSuchRun, NotFoundError, PreconditionFailed
from artifactstore.exchange.copy_plan import plan_steps
from artifactstore.exchange.selecting import versions_there
from artifactstore.format.operations import Operation
from artifactstore.format.run_operations import RunStarted
from artifactstore.ids import ArtifactName, parse_artifact_name
from artifactstore.store import RunInfo, Store, Version

_USED: Final = "used"
_RUNNING: Final = "running"
_DELETED: Final = "deleted"


def record(store: Store, operation: Operation) -> None:
    """Put a fact of another store into a record of its own."""
    store.before_writing()
    store.across(lambda: store.parts.committer.commit([operation]))


class Producers:
    """The runs of the versions that one copy makes.

    Args:
        source: Where they are known.
        destination: Where they are to be known.
    """

    def __init__(self, source: Store, destination: Store) -> None:
        self._source = source
        self._destination = destination
        self._numbers: dict[ArtifactName, dict[str, str]] = {}

    def producers_of(self, version: Version) -> list[str]:
        """Ids of the runs that produced a version, the first that did first, each begun at the other end.

        A run that has ended there is left as it is, and one that was deleted here is not told.
        """
        runs = self._source.runs(produced=version.qualified_name)
        first = self._source.logged_by(version.qualified_name) if runs else None
        if first is not None:
            # Then those that found later that they had produced it too, in the order of their beginning.
            runs = [first, *(run for run in reversed(runs) if run.id != first.id)]
        return [run.id for run in runs if self._is_open_there(run)]

    def note(self, runs: list[str], there: str) -> None:
        """Say of the newest version of an artifact at the other end that these runs produced it too."""
        known = {run.id for run in self._destination.runs(produced=there)} if runs else set()
        for run in runs:
            if run not in known:
                # Another's version is the newest meanwhile: then that is no fact of the version before it.
                with suppress(LineageCircle, PreconditionFailed):
                    self._destination.log_in_run(run, there)

    def begin_all(self) -> None:
        """Begin every run of the source at the other end, also one that produced nothing."""
        known = {run.id for run in self._destination.runs()}
        for run in reversed(self._source.runs()):
            if run.id not in known and run.state != _DELETED:
                self._begin(run)

    def finish(self) -> None:
        """Say of each run that is still open there what it used, and how it ended, if it has ended here."""
        for there in self._destination.runs(state=_RUNNING):
            try:
                run = self._source.run_info(there.id)
            except NoSuchRun:
                continue
            known = {edge.source for edge in self._destination.lineage(run.id, "up", depth=1).edges}
            for edge in self._source.lineage(run.id, "up", depth=1).edges:
                ref = self._there(edge.source) if edge.kind == _USED else None
                if ref is not None and ref not in known:
                    with suppress(LineageCircle):
                        self._destination.use_in_run(run.id, ref, edge.role)
            if run.state in {"finished", "failed", "killed"}:
                self._destination.finish_run(run.id, run.state)  # type: ignore[arg-type]

    def _is_open_there(self, run: RunInfo) -> bool:
        """Whether versions can be told as produced by a run, which is begun at the other end where it was not."""
        if run.state == _DELETED:
            return False
        try:
            return self._destination.run_info(run.id).state == _RUNNING
        except NoSuchRun:
            self._begin(run)
            return True

    def _begin(self, run: RunInfo) -> None:
        started = RunStarted(
            bytes.fromhex(run.id),
            run.project,
            run.name,
            run.job_type,
            run.group,
            list(run.tags),
            run.config,
            run.commit,
            run.host,
            beats=False,
        )
        record(self._destination, started)

    def _there(self, ref: str) -> str | None:
        """What a version of the source is called in the destination; None where it is not there."""
        artifact = ref.partition(":")[0]
        try:
            name = parse_artifact_name(artifact)
            if name not in self._numbers:
                steps = plan_steps(self._source.versions(artifact), versions_there(self._destination, name))
                self._numbers[name] = {
                    step.version.qualified_name: f"{artifact}:v{step.target}"
                    for step in steps
                    if step.target is not None
                }
        except NotFoundError:
            return None
        return self._numbers[name].get(ref)
