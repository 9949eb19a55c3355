"""Runs in the catalog: their rows, what their operations do, and who produced a version.

What a run has said of itself stays until the run is deleted; that there was one, and its edges, stay for ever.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from artifactstore.catalog.edges import EdgeRow, closes_circle, get_edge, put_edge, run_node, version_node
from artifactstore.catalog.names import first_name
from artifactstore.catalog.outcome import Cause, Outcome
from artifactstore.catalog.rows import get_artifact, live_version
from artifactstore.errors import LineageCircle, NoSuchRun, RunEnded
from artifactstore.format.coding import decoder_of, encode
from artifactstore.format.operations import Push
from artifactstore.format.run_operations import (
    FAILED,
    FINISHED,
    KILLED,
    RUNNING,
    RunDeleted,
    RunFinished,
    RunOperation,
    RunStarted,
    RunUpdated,
    Used,
)
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import ReadTransaction, WriteTransaction
from artifactstore.index.tables import RUNS

RUN_KNOWN: Final = "there is a run of this id already"
NO_RUN: Final = "there is no such run, or it was deleted"
RUN_ENDED: Final = "the run has ended"
NO_VERSION: Final = "there is no such version, or it was deleted"
_RUN_ID: Final = re.compile(r"[0-9a-f]{8,32}", re.ASCII)
CIRCLE: Final = "the version came of this run, so that its lineage would go round in a circle"


class RunRow(msgspec.Struct, array_like=True, frozen=True):
    """One run.

    Attributes:
        project: The project it belongs to.
        name: What it is called.
        job_type: What kind of work it does; may be empty.
        group: What it belongs together with; may be empty.
        tags: Labels, sorted.
        config: A JSON object: what it was started with.
        commit: The Git commit of its code, or None.
        host: A JSON object: where it runs, or None.
        beats: Whether it gives signs of life until it finishes.
        state: `running`, `finished`, `failed` or `killed`.
        started_ms: Advisory time.
        slot: The record that began it.
        member: Slot key id that its writer claimed.
        ended_ms: Advisory time; None while it is running.
        ended_slot: The record that ended it; None while it is running, and where a sweep found it killed.
        deleted_ms: When what it had said was forgotten, or None.
    """

    project: str
    name: str
    job_type: str
    group: str
    tags: list[str]
    config: dict[str, Any]
    commit: str | None
    host: dict[str, Any] | None
    beats: bool
    state: str
    started_ms: int
    slot: int
    member: bytes
    ended_ms: int | None
    ended_slot: int | None
    deleted_ms: int | None

    @property
    def is_open(self) -> bool:
        """Whether it may still use and produce versions: one that was only taken for killed may."""
        return self.deleted_ms is None and self.state in {RUNNING, KILLED}


_decode_run = decoder_of(RunRow, "a row of a run")


def get_run(txn: ReadTransaction, run: bytes) -> RunRow | None:
    """One run, or None."""
    data = txn.get(RUNS, run)
    return None if data is None else _decode_run(data, "index")


def put_run(txn: WriteTransaction, run: bytes, row: RunRow) -> None:
    """Write one run."""
    txn.put(RUNS, run, encode(row))


def runs(txn: ReadTransaction, prefix: bytes = b"") -> Iterator[tuple[bytes, RunRow]]:
    """Every run, or those whose id begins with some bytes, by id."""
    for key, data in txn.scan(RUNS, prefix):
        yield bytes(key), _decode_run(data, "index")


def apply_run(txn: WriteTransaction, operation: RunOperation, cause: Cause) -> Outcome:
    """Apply an operation of a run."""
    row = get_run(txn, operation.run)
    if isinstance(operation, RunStarted):
        if row is not None:
            return Outcome(None, skipped=RUN_KNOWN)
        put_run(txn, operation.run, _started(operation, cause))
        return Outcome(None)
    if row is None or row.deleted_ms is not None:
        return Outcome(None, skipped=NO_RUN)
    match operation:
        case RunUpdated():
            put_run(txn, operation.run, _updated(row, operation))
        case RunFinished():
            if not row.is_open:
                return Outcome(None, skipped=RUN_ENDED)
            put_run(txn, operation.run, _ended(row, operation.state, cause))
        case RunDeleted():
            put_run(txn, operation.run, _forgotten(row, cause))
        case Used():
            return _used(txn, row, operation, cause)
    return Outcome(None)


def run_outcome_at(txn: ReadTransaction, operation: RunOperation, slot: int) -> Outcome:
    """What the operation of the applied record at `slot` did, read back from the catalog."""
    row = get_run(txn, operation.run)
    if row is None:
        return Outcome(None, skipped=NO_RUN)
    skipped = ""
    match operation:
        case RunStarted():
            skipped = "" if row.slot == slot else RUN_KNOWN
        case RunFinished():
            skipped = "" if row.ended_slot == slot else RUN_ENDED
        case Used():
            name = first_name(txn, ArtifactName(operation.project, operation.name))
            version = version_node(name, operation.number)
            edge = get_edge(txn, version, run_node(operation.run))
            skipped = "" if edge is not None and edge.slot <= slot else CIRCLE
        case _:
            pass  # whoever says or forgets something of a run that is there has done so
    return Outcome(None, skipped=skipped)


def note_producer(
    txn: WriteTransaction, run: bytes | None, name: ArtifactName, number: int, cause: Cause
) -> None:
    """Note that a run produced a version, be it new or known; not of a run that has ended, and in no circle."""
    row = None if run is None else get_run(txn, run)
    if run is not None and row is not None and row.is_open:
        put_edge(txn, run_node(run), version_node(name, number), EdgeRow(cause.slot, ""))


def find_run(txn: ReadTransaction, text: str) -> bytes:
    """The id of the one run whose id begins with so many hexadecimal digits.

    Raises:
        NoSuchRun: They are fewer than 8, or none or several begin like this.
    """
    digits = text.lower()
    found = []
    if _RUN_ID.fullmatch(digits):
        whole = digits[: len(digits) // 2 * 2]
        found = [run for run, _ in runs(txn, bytes.fromhex(whole)) if run.hex().startswith(digits)]
    if len(found) != 1:
        problem = f"{len(found)} runs have an id that begins with" if found else "there is no run"
        raise NoSuchRun(f"{problem} {text!r}", run=text)
    return found[0]


def open_run(txn: ReadTransaction, run: bytes) -> RunRow:
    """A run that may use and produce versions.

    Raises:
        NoSuchRun: There is none of this id, or it was deleted.
        RunEnded: It has ended.
    """
    row = get_run(txn, run)
    if row is None or row.deleted_ms is not None:
        raise NoSuchRun(f"there is no run {run.hex()}, or it was deleted", run=run.hex())
    if not row.is_open:
        raise RunEnded(f"run {run.hex()} has {row.state} already", run=run.hex(), state=row.state)
    return row


def refuse_producer(txn: ReadTransaction, push: Push) -> None:
    """Refuse a push whose run could not be noted as the producer of what the push would make or find.

    Raises:
        NoSuchRun: There is no such run.
        RunEnded: It has ended.
        LineageCircle: The push would find a version of which the run came.
    """
    if push.run is None:
        return
    open_run(txn, push.run)
    name = first_name(txn, ArtifactName(push.project, push.name))
    artifact = get_artifact(txn, name)
    newest = None if artifact is None else live_version(txn, name, artifact.newest)
    if artifact is None or artifact.newest is None or newest is None:
        return
    found = version_node(name, artifact.newest)
    if newest.manifest.digest == push.manifest.digest and closes_circle(txn, run_node(push.run), found):
        raise LineageCircle(
            f"{name}:v{artifact.newest} holds the same already, and run {push.run.hex()} came of it",
            version=f"{name}:v{artifact.newest}",
            run=push.run.hex(),
        )


def kill_run(txn: WriteTransaction, run: bytes, time_ms: int) -> None:
    """Note that a run has given no sign of life since some time, as the state after a sweep says."""
    row = get_run(txn, run)
    if row is not None and row.state == RUNNING:
        put_run(txn, run, msgspec.structs.replace(row, state=KILLED, ended_ms=time_ms))


def _started(operation: RunStarted, cause: Cause) -> RunRow:
    return RunRow(
        project=operation.project,
        name=operation.name,
        job_type=operation.job_type,
        group=operation.group,
        tags=sorted(set(operation.tags)),
        config=operation.config,
        commit=operation.commit,
        host=operation.host,
        beats=operation.beats,
        state=RUNNING,
        started_ms=cause.time_ms,
        slot=cause.slot,
        member=cause.member,
        ended_ms=None,
        ended_slot=None,
        deleted_ms=None,
    )


def _updated(row: RunRow, operation: RunUpdated) -> RunRow:
    return msgspec.structs.replace(
        row,
        name=row.name if operation.name is None else operation.name,
        tags=row.tags if operation.tags is None else sorted(set(operation.tags)),
        config=row.config if operation.config is None else operation.config,
    )


def _ended(row: RunRow, state: str, cause: Cause) -> RunRow:
    assert state in {FINISHED, FAILED, KILLED}
    return msgspec.structs.replace(row, state=state, ended_ms=cause.time_ms, ended_slot=cause.slot)


def _forgotten(row: RunRow, cause: Cause) -> RunRow:
    """What is left of a run that was deleted: that there was one, and when."""
    running = row.state == RUNNING
    return msgspec.structs.replace(
        row,
        project="",
        name="",
        job_type="",
        group="",
        tags=[],
        config={},
        commit=None,
        host=None,
        state=KILLED if running else row.state,
        ended_ms=cause.time_ms if running else row.ended_ms,
        deleted_ms=cause.time_ms,
    )


def _used(txn: WriteTransaction, row: RunRow, operation: Used, cause: Cause) -> Outcome:
    name = first_name(txn, ArtifactName(operation.project, operation.name))
    if not row.is_open:
        return Outcome(operation.number, skipped=RUN_ENDED)
    if live_version(txn, name, operation.number) is None:
        return Outcome(operation.number, skipped=NO_VERSION)
    edge = EdgeRow(cause.slot, operation.role)
    made = put_edge(txn, version_node(name, operation.number), run_node(operation.run), edge)
    return Outcome(operation.number, skipped="" if made else CIRCLE)
