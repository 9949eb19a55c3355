"""OpenLineage events of a lineage, by version 2-0-2 of its specification.

A run is a run of the job that its job type, or else its name, says; a version is a dataset with a version facet. The
ids of runs are UUIDs in both worlds. What was purged has no name here either.
"""

import uuid
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any, Final

from artifactstore.tracking.graph import PURGED, RUN, Lineage, LineageNode

PRODUCER: Final = "https://pypi.org/project/artifactstore/"
SCHEMA: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS: Final = "https://openlineage.io/spec/facets/"
_VERSION_FACET: Final = f"{_FACETS}1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet"
_JOB_TYPE_FACET: Final = f"{_FACETS}2-0-4/JobTypeJobFacet.json#/$defs/JobTypeJobFacet"
_LIFECYCLE_FACET: Final = (
    f"{_FACETS}1-0-1/LifecycleStateChangeDatasetFacet.json#/$defs/LifecycleStateChangeDatasetFacet"
)
_ENDS: Final = {"finished": "COMPLETE", "failed": "FAIL", "killed": "ABORT"}
_NS_PER_US: Final = 1000


def events(lineage: Lineage) -> list[dict[str, Any]]:
    """The events of all runs of a lineage, in order of time."""
    nodes = {node.id: node for node in lineage.nodes}
    namespace = f"artifactstore://{lineage.store}"
    inputs, outputs = defaultdict(list), defaultdict(list)
    for edge in lineage.edges:
        source, target = nodes[edge.source], nodes[edge.target]
        if target.kind == RUN:
            inputs[target.id].append(_dataset(source, namespace))
        elif source.kind == RUN:
            outputs[source.id].append(_dataset(target, namespace))
    found: list[tuple[int, dict[str, Any]]] = []
    for run in (node for node in lineage.nodes if node.kind == RUN):
        about = {
            "run": {"runId": str(uuid.UUID(hex=run.id)), "facets": {}},
            "job": _job(run, namespace),
            "inputs": inputs[run.id],
            "outputs": outputs[run.id],
            "producer": PRODUCER,
            "schemaURL": SCHEMA,
        }
        found.append((run.created_ns, {"eventType": "START", "eventTime": _time(run.created_ns), **about}))
        if run.ended_ns is not None:
            how = _ENDS.get(run.state, "OTHER")
            found.append((run.ended_ns, {"eventType": how, "eventTime": _time(run.ended_ns), **about}))
    found.sort(key=lambda event: event[0])
    return [event for _, event in found]


def _job(run: LineageNode, namespace: str) -> dict[str, Any]:
    what = run.type or run.name or "run"
    facet = {
        "_producer": PRODUCER,
        "_schemaURL": _JOB_TYPE_FACET,
        "processingType": "BATCH",
        "integration": "ARTIFACTSTORE",
        "jobType": "RUN",
    }
    return {
        "namespace": namespace,
        "name": f"{run.project}/{what}" if run.project else run.id,
        "facets": {"jobType": facet},
    }


def _dataset(version: LineageNode, namespace: str) -> dict[str, Any]:
    name, _, number = version.id.rpartition(":")
    facets: dict[str, Any] = {
        "version": {"_producer": PRODUCER, "_schemaURL": _VERSION_FACET, "datasetVersion": number}
    }
    if version.state == PURGED:
        facets["lifecycleStateChange"] = {
            "_producer": PRODUCER,
            "_schemaURL": _LIFECYCLE_FACET,
            "lifecycleStateChange": "DROP",
        }
    return {"namespace": namespace, "name": name, "facets": facets}


def _time(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // _NS_PER_US / 1e6, tz=UTC).isoformat(timespec="milliseconds")
