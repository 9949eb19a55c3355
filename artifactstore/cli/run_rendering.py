"""What commands on runs and lineage print: lines for people, and the documented JSON shapes."""

from collections.abc import Iterator, Sequence
from typing import Any

from artifactstore.cli.rendering import count_text, iso_time, printable, table, time_text
from artifactstore.cli.shapes import Shape
from artifactstore.store import Lineage, LineageNode, RunInfo

_ID_DIGITS = 8
_NAMES_SHOWN = 8


def run_shape(run: RunInfo) -> Shape:
    """One run."""
    return {
        "id": run.id,
        "project": run.project,
        "name": run.name,
        "job_type": run.job_type,
        "group": run.group,
        "tags": list(run.tags),
        "config": run.config,
        "commit": run.commit,
        "host": run.host,
        "state": run.state,
        "started": iso_time(run.started_ns),
        "ended": None if run.ended_ns is None else iso_time(run.ended_ns),
        "member": run.member,
    }


def run_details_shape(run: RunInfo, around: Lineage) -> Shape:
    """One run with what it used and produced."""
    return {
        "run": run_shape(run),
        "used": [{"version": edge.source, "role": edge.role} for edge in around.edges if edge.kind == "used"],
        "produced": [edge.target for edge in around.edges if edge.kind == "produced"],
    }


def runs_lines(runs: Sequence[RunInfo]) -> Iterator[str]:
    """Runs, the newest first."""
    if not runs:
        yield "there is no such run"
        return
    yield from table(
        ("id", "project", "name", "job type", "state", "started"),
        [
            (run.id[:_ID_DIGITS], run.project, run.name, run.job_type, run.state, time_text(run.started_ns))
            for run in runs
        ],
    )


def run_lines(run: RunInfo, around: Lineage) -> Iterator[str]:
    """One run with what it used and produced."""
    facts: list[tuple[str, Any]] = [
        ("run", run.id),
        ("project", run.project),
        ("name", run.name),
        ("job type", run.job_type),
        ("group", run.group),
        ("tags", " ".join(run.tags)),
        ("state", run.state),
        ("started", time_text(run.started_ns)),
        ("ended", "" if run.ended_ns is None else time_text(run.ended_ns)),
        ("commit", run.commit),
        *((f"config {key}", value) for key, value in run.config.items()),
        *((f"host {key}", value) for key, value in (run.host or {}).items()),
    ]
    facts += [
        ("used", f"{edge.source}{f' as {edge.role}' if edge.role else ''}")
        for edge in around.edges
        if edge.kind == "used"
    ]
    facts += [("produced", edge.target) for edge in around.edges if edge.kind == "produced"]
    for name, value in facts:
        if value not in {"", None}:
            yield f"{printable(name):<12} {printable(str(value))}"


def lineage_shape(found: Lineage) -> Shape:
    """A lineage."""
    return {
        "start": found.start,
        "direction": found.direction,
        "complete": found.complete,
        "store": found.store,
        "nodes": [_node_shape(node) for node in found.nodes],
        "edges": [
            {"source": edge.source, "target": edge.target, "kind": edge.kind, "role": edge.role}
            for edge in found.edges
        ],
    }


def _node_shape(node: LineageNode) -> Shape:
    return {
        "id": node.id,
        "kind": node.kind,
        "name": node.name,
        "project": node.project,
        "type": node.type,
        "state": node.state,
        "created": iso_time(node.created_ns) if node.created_ns else None,
        "ended": None if node.ended_ns is None else iso_time(node.ended_ns),
        "digest": node.digest,
        "depth": node.depth,
    }


def downstream_shape(found: Lineage | None) -> Shape:
    """What came of some versions; None of none."""
    if found is None:
        return {"runs": [], "versions": [], "complete": True}
    return {
        "runs": [node.id for node in _of(found, "run")],
        "versions": [node.id for node in _of(found, "version")],
        "complete": found.complete,
    }


def downstream_lines(found: Lineage | None) -> Iterator[str]:
    """What came of some versions; nothing where nothing did."""
    if found is None:
        return
    runs, versions = _of(found, "run"), _of(found, "version")
    if not runs and not versions:
        return
    more = "" if found.complete else ", and more"
    yield f"downstream: {count_text(len(runs), 'run')}, {count_text(len(versions), 'version')}{more}"
    for node in [*runs[:_NAMES_SHOWN], *versions[:_NAMES_SHOWN]]:
        what = f"run {node.id[:_ID_DIGITS]} {node.name}" if node.kind == "run" else node.id
        yield f"  {printable(what.strip())} {node.state}"
    if len(runs) > _NAMES_SHOWN or len(versions) > _NAMES_SHOWN:
        yield "  and more; `artifactstore lineage REF --direction down` shows all"


def _of(found: Lineage, kind: str) -> list[LineageNode]:
    """Nodes of one kind that are no start."""
    return [node for node in found.nodes if node.kind == kind and node.depth]
