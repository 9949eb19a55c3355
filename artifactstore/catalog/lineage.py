"""Walking lineage: what a node came of and what came of it, over edges and breadth first."""

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import msgspec

from artifactstore.catalog.edges import DOWN, UP, EdgeRow, decode_edge
from artifactstore.index.environment import ReadTransaction
from artifactstore.index.tables import EDGES

_KNOWN_MAX: Final = 4096


class Edge(msgspec.Struct, frozen=True, gc=False):
    """One edge of a lineage. Python's collector of circles need not look at it: a walk makes hundreds of thousands.

    Attributes:
        source: What was there.
        target: What came of it.
        row: What is known of the edge.
    """

    source: bytes
    target: bytes
    row: EdgeRow


class Walk(NamedTuple):
    """What a walk met.

    Attributes:
        depths: Each node with its distance from the start, negative for what the start came of.
        edges: Every edge that was walked along.
        complete: Whether nothing lies beyond.
    """

    depths: dict[bytes, int]
    edges: list[Edge]
    complete: bool


def walk(
    txn: ReadTransaction, starts: Sequence[bytes], *, up: bool, down: bool, depth: int | None, most: int
) -> Walk:
    """Walk from nodes; from several in one direction only, as one may have come of another.

    Args:
        txn: Reads the index.
        starts: The nodes.
        up: Whether to go to what it came of.
        down: Whether to go to what came of it.
        depth: How many edges far; None for all the way.
        most: How many nodes at most.
    """
    depths = dict.fromkeys(starts, 0)
    edges: list[Edge] = []
    complete = True
    for wanted, direction in ((up, UP), (down, DOWN)):
        if wanted:
            complete = _one_way(txn, starts, direction, depth, most, depths, edges) and complete
    return Walk(depths, edges, complete)


def _one_way(
    txn: ReadTransaction,
    starts: Sequence[bytes],
    direction: bytes,
    depth: int | None,
    most: int,
    depths: dict[bytes, int],
    edges: list[Edge],
) -> bool:
    """Walk in one direction; return whether nothing lies beyond."""
    rows = txn.rows_after(EDGES)
    step = 1 if direction == DOWN else -1
    level, at = list(starts), 0
    # Edges that one record made are alike.
    known: dict[bytes, EdgeRow] = {}
    found = edges.append
    while level:
        if at == depth:
            return not any(_leads_on(rows, node + direction) for node in level)
        at += 1
        beyond: list[bytes] = []
        for node in level:
            for other, data in rows(node + direction):
                row = known.get(data)
                if row is None:
                    row = known[data] = decode_edge(data, "index")
                    if len(known) > _KNOWN_MAX:
                        known.clear()
                if other not in depths:
                    if len(depths) >= most:
                        return False
                    depths[other] = at * step
                    beyond.append(other)
                found(Edge(node, other, row) if step > 0 else Edge(other, node, row))
        level = beyond
    return True


def _leads_on(rows: Callable[[bytes], list[tuple[bytes, bytes]]], prefix: bytes) -> bool:
    return bool(rows(prefix))
