"""A lineage as users see it: versions and runs with what is known of each, and the edges between them."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from artifactstore import tracking
from artifactstore.catalog.edges import (
    is_run,
    is_version,
    node_purged,
    node_run,
    node_version,
    split_number,
    version_key,
)
from artifactstore.catalog.lineage import Walk
from artifactstore.catalog.names import shown_name
from artifactstore.catalog.rows import get_artifact, versions_by_key
from artifactstore.catalog.runs import RunRow, get_run
from artifactstore.catalog.signs import state_of
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import ReadTransaction
from artifactstore.notebook import listing

VERSION: Final = "version"
RUN: Final = "run"
USED: Final = "used"
PRODUCED: Final = "produced"
LINKED: Final = "linked"
LIVE: Final = "live"
DELETED: Final = "deleted"
PURGED: Final = "purged"
_HASH_DIGITS: Final = 12
# Nodes that a notebook shows.
_SHOWN_MAX: Final = 20
_NS_PER_MS: Final = 1_000_000


class LineageNode(msgspec.Struct, frozen=True, gc=False):
    """A version or a run.

    Attributes:
        id: `project/name:v3` of a version, `deleted-` and a hash of its artifact's name and `:v3` of one that was
            purged; 32 hexadecimal digits of a run.
        kind: `version` or `run`.
        name: What a run is called; `project/name:v3` of a version, empty of one that was purged.
        project: The project; empty of what was purged or deleted.
        type: The artifact's type; the job type of a run. May be empty.
        state: `live`, `deleted` or `purged` of a version; `running`, `finished`, `failed`, `killed` or `deleted` of a
            run.
        created_ns: When it was made or began, in nanoseconds since the Unix epoch; 0 of what was purged.
        ended_ns: When a run ended; None of others.
        digest: A version's digest as hex; empty of others.
        depth: How many edges from the start: 0 for the start itself, negative for what the start came of.
    """

    id: str
    kind: str
    name: str
    project: str
    type: str
    state: str
    created_ns: int
    ended_ns: int | None
    digest: str
    depth: int


class LineageEdge(msgspec.Struct, frozen=True, gc=False):
    """What came of what.

    Attributes:
        source: Id of the node that was there.
        target: Id of the node that came of it.
        kind: `used` where a run used a version, `produced` where it produced one, `linked` from a version to a link of
            it in a collection.
        role: What the run used the version for, in its own words; may be empty.
    """

    source: str
    target: str
    kind: str
    role: str


class Lineage(msgspec.Struct, frozen=True):
    """What a version or a run came of, and what came of it.

    Attributes:
        start: Id of the node that was asked for.
        direction: `up`, `down` or `both`.
        nodes: Every node, the nearest first.
        edges: Every edge between them that leads to or from the start.
        complete: Whether nothing lies beyond, at a greater depth.
        store: Id of the store.
    """

    start: str
    direction: str
    nodes: tuple[LineageNode, ...]
    edges: tuple[LineageEdge, ...]
    complete: bool
    store: str

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it: the same fields."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found

    def to_tree(self) -> str:
        """As text for people, one node a line, indented by how far it is."""
        return tracking.drawing.tree(self)

    def to_dot(self) -> str:
        """In the language of Graphviz."""
        return tracking.drawing.dot(self)

    def to_mermaid(self) -> str:
        """As a Mermaid flowchart."""
        return tracking.drawing.mermaid(self)

    def to_openlineage(self) -> list[dict[str, Any]]:
        """As OpenLineage events of its runs: one that says that the run began, and one that it ended if it has."""
        return tracking.openlineage.events(self)

    def _repr_html_(self) -> str:
        """What a notebook shows of it: the nearest nodes, and how many there are."""
        rows = [
            (f"{node.depth:+}" if node.depth else "", node.kind, node.name or node.id, node.type, node.state)
            for node in self.nodes[:_SHOWN_MAX]
        ]
        headings = ("", "", "name", "type", "state")
        more = len(self.nodes) - len(rows)
        return listing(f"lineage of {self.nodes[0].name or self.start}", headings, rows, more=more)


class Described:
    """Describes nodes of one walk.

    Args:
        txn: Reads the index.
        signs: Gives the signs of life of runs, asked for once and only where a state depends on them.
        now_ms: The time, in milliseconds since the Unix epoch.
    """

    def __init__(self, txn: ReadTransaction, signs: Callable[[], Mapping[bytes, int]], now_ms: int) -> None:
        self._txn = txn
        self._version_at = versions_by_key(txn)
        self._ask = signs
        self._signs: Mapping[bytes, int] | None = None
        self._now_ms = now_ms
        # By what nodes of its versions begin with, what an artifact is called now and its type.
        self._artifacts: dict[bytes, tuple[ArtifactName, str]] = {}

    def node(self, node: bytes, depth: int) -> LineageNode:
        """A node of a walk."""
        if is_version(node):
            return self._version(node, depth)
        run = node_run(node)
        return _purged(node, depth) if run is None else self._run(run, depth)

    def _version(self, node: bytes, depth: int) -> LineageNode:
        # Written for walks that meet a hundred thousand: names are taken apart once for each artifact.
        row = self._version_at(version_key(node))
        beginning, number = split_number(node)
        known = self._artifacts.get(beginning)
        if known is None:
            known = self._artifacts[beginning] = self._artifact(node)
        shown, kind = known
        label = f"{shown.project}/{shown.name}:v{number}"
        if row is None:
            return LineageNode(label, VERSION, label, shown.project, kind, PURGED, 0, None, "", depth)
        state = LIVE if row.deleted is None else DELETED
        digest, created_ns = row.manifest.digest.hex(), row.created_ms * _NS_PER_MS
        return LineageNode(label, VERSION, label, shown.project, kind, state, created_ns, None, digest, depth)

    def _artifact(self, node: bytes) -> tuple[ArtifactName, str]:
        version = node_version(node)
        assert version is not None
        name = version[0]
        artifact = get_artifact(self._txn, name)
        return shown_name(self._txn, name), "" if artifact is None else artifact.type

    def _run(self, run: bytes, depth: int) -> LineageNode:
        row = get_run(self._txn, run)
        if row is None:
            return LineageNode(run.hex(), RUN, "", "", "", DELETED, 0, None, "", depth)
        # Most have ended, and nobody need be asked how.
        known = row.ended_ms is not None and row.deleted_ms is None
        state, ended_ms = (row.state, row.ended_ms) if known else self._state(run, row)
        return LineageNode(
            run.hex(),
            RUN,
            row.name,
            row.project,
            row.job_type,
            state,
            row.started_ms * _NS_PER_MS,
            None if ended_ms is None else ended_ms * _NS_PER_MS,
            "",
            depth,
        )

    def _state(self, run: bytes, row: RunRow) -> tuple[str, int | None]:
        if row.deleted_ms is not None:
            return DELETED, row.ended_ms
        if row.beats and row.ended_ms is None and self._signs is None:
            self._signs = self._ask()
        return state_of(run, row, self._signs or {}, self._now_ms)


def lineage_of(walk: Walk, start: bytes, direction: str, store: str, described: Described) -> Lineage:
    """A walk with what is known of each node."""
    nodes = [described.node(node, depth) for node, depth in walk.depths.items()]
    ids = {node: shown.id for node, shown in zip(walk.depths, nodes, strict=True)}
    edges = []
    for edge in walk.edges:
        source, target = ids.get(edge.source), ids.get(edge.target)
        # A walk that stopped half-way knows edges to nodes that it does not show.
        if source is not None and target is not None:
            kind = PRODUCED if is_run(edge.source) else USED if is_run(edge.target) else LINKED
            edges.append(LineageEdge(source, target, kind, edge.row.role))
    return Lineage(ids[start], direction, tuple(nodes), tuple(edges), walk.complete, store)


def _purged(node: bytes, depth: int) -> LineageNode:
    found = node_purged(node)
    assert found is not None
    prefix, number = found
    name = f"deleted-{prefix.hex()[:_HASH_DIGITS]}:v{number}"
    return LineageNode(name, VERSION, "", "", "", PURGED, 0, None, "", depth)
