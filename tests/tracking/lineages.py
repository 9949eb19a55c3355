"""Lineages made by hand, for what only shows them."""

from artifactstore.tracking.graph import PRODUCED, RUN, USED, VERSION, Lineage, LineageEdge, LineageNode

STORE = "ab" * 32


def version(name: str, depth: int, *, state: str = "live", kind: str = "dataset") -> LineageNode:
    project = name.partition("/")[0]
    return LineageNode(name, VERSION, name, project, kind, state, 1_000_000_000, None, "ab" * 32, depth)


def run(
    digit: str, depth: int, *, name: str = "", job_type: str = "", state: str = "finished"
) -> LineageNode:
    ended_ns = None if state == "running" else 3_500_000_000
    return LineageNode(digit * 32, RUN, name, "p", job_type, state, 2_000_000_000, ended_ns, "", depth)


def lineage(*nodes: LineageNode, edges: list[tuple[int, int, str]], complete: bool = True) -> Lineage:
    """A lineage of these nodes, the first of which is the start."""
    made = [
        LineageEdge(nodes[source].id, nodes[target].id, USED if nodes[target].kind == RUN else PRODUCED, role)
        for source, target, role in edges
    ]
    return Lineage(nodes[0].id, "both", nodes, tuple(made), complete, STORE)


PURGED = LineageNode("deleted-0123456789ab:v0", VERSION, "", "", "", "purged", 0, None, "", -2)
# A model that a run made of two versions, one of them purged, and that another run used.
MODEL = lineage(
    version("p/model:v1", 0, kind="model"),
    run("1", -1, name="train", job_type="fit"),
    version("p/data:v0", -2, state="deleted"),
    PURGED,
    run("2", 1, state="running"),
    edges=[(1, 0, ""), (2, 1, "training"), (3, 1, ""), (0, 4, "")],
)
