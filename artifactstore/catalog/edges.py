"""Edges of lineage: which run used which version, and which version came of what.

An edge leads from what was there to what came of it: from a version to a run that used it, from a run to a version that
it produced. Each is kept in both directions, so that either is a range of keys. There is no way round in a circle: an
edge that would close one is not made.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from artifactstore.format.coding import decoder_of, encode
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import ReadTransaction, WriteTransaction
from artifactstore.index.tables import EDGES

DOWN: Final = b">"
UP: Final = b"<"
_RUN, _VERSION, _PURGED = b"r", b"v", b"x"
_NUMBER_BYTES: Final = 8


class EdgeRow(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One edge.

    Attributes:
        slot: The first record that said so.
        role: What the run used the version for, in its own words; empty of other edges.
    """

    slot: int
    role: str


decode_edge = decoder_of(EdgeRow, "an edge")


def run_node(run: bytes) -> bytes:
    """How edges name a run."""
    return _RUN + run


def version_node(name: ArtifactName, number: int) -> bytes:
    """How edges name a version that was not purged."""
    return _VERSION + f"{name.project}\0{name.name}\0".encode() + number.to_bytes(_NUMBER_BYTES, "big")


def purged_node(prefix: bytes, number: int) -> bytes:
    """How edges name a version that was purged: by a hash of its artifact's name, and its number."""
    return _PURGED + prefix + number.to_bytes(_NUMBER_BYTES, "big")


def node_run(node: bytes) -> bytes | None:
    """The id of the run that a node is; None of a version."""
    return node[1:] if node.startswith(_RUN) else None


def node_version(node: bytes) -> tuple[ArtifactName, int] | None:
    """The version that a node is; None of a run and of a version that was purged."""
    if not node.startswith(_VERSION):
        return None
    project, _, name = node[1 : -_NUMBER_BYTES - 1].decode().partition("\0")
    return ArtifactName(project, name), int.from_bytes(node[-_NUMBER_BYTES:], "big")


def is_run(node: bytes) -> bool:
    """Whether a node is a run."""
    return node[:1] == _RUN


def is_version(node: bytes) -> bool:
    """Whether a node is a version that was not purged."""
    return node[:1] == _VERSION


def split_number(node: bytes) -> tuple[bytes, int]:
    """(What the nodes of all versions of its artifact begin with, its number) of a node that is a version."""
    return node[:-_NUMBER_BYTES], int.from_bytes(node[-_NUMBER_BYTES:], "big")


def version_key(node: bytes) -> bytes:
    """The key of the row of the version that a node is: rows and edges go by the first name of an artifact alike."""
    return node[1:]


def node_purged(node: bytes) -> tuple[bytes, int] | None:
    """(Hash of the artifact's name, number) of a version that was purged; None of other nodes."""
    if not node.startswith(_PURGED):
        return None
    return node[1:-_NUMBER_BYTES], int.from_bytes(node[-_NUMBER_BYTES:], "big")


def get_edge(txn: ReadTransaction, source: bytes, target: bytes) -> EdgeRow | None:
    """One edge, or None."""
    data = txn.get(EDGES, source + DOWN + target)
    return None if data is None else decode_edge(data, "index")


def edges(txn: ReadTransaction, node: bytes, direction: bytes) -> Iterator[tuple[bytes, EdgeRow]]:
    """(The other node, the edge) of each edge of a node, `DOWN` to what came of it or `UP` to what it came of."""
    size = len(node) + 1
    for key, data in txn.scan(EDGES, node + direction):
        yield key[size:], decode_edge(data, "index")


def neighbours(txn: ReadTransaction, node: bytes, direction: bytes) -> list[bytes]:
    """The other node of each edge of a node."""
    size = len(node) + 1
    return [key[size:] for key, _ in txn.scan(EDGES, node + direction)]


def put_edge(txn: WriteTransaction, source: bytes, target: bytes, edge: EdgeRow) -> bool:
    """Add an edge; one that is known stays as it is.

    Returns:
        Whether it is there now: one that would close a circle is not.
    """
    if get_edge(txn, source, target) is not None:
        return True
    if closes_circle(txn, source, target):
        return False
    _put(txn, source, target, encode(edge))
    return True


def closes_circle(txn: ReadTransaction, source: bytes, target: bytes) -> bool:
    """Whether an edge would close a circle: whether its source came of its target.

    The search goes from both ends, where fewer nodes are to be looked at first: what a run has produced lately, nothing
    came of, and then one look is enough.
    """
    if source == target:
        return True
    down, up = {target}, {source}
    next_down, next_up = [target], [source]
    while next_down and next_up:
        if len(next_down) <= len(next_up):
            next_down = _step(txn, next_down, DOWN, down)
            met = not up.isdisjoint(next_down)
        else:
            next_up = _step(txn, next_up, UP, up)
            met = not down.isdisjoint(next_up)
        if met:
            return True
    return False


def _step(txn: ReadTransaction, nodes: list[bytes], direction: bytes, seen: set[bytes]) -> list[bytes]:
    """What lies one edge further and was not seen."""
    found: list[bytes] = []
    for node in nodes:
        for other in neighbours(txn, node, direction):
            if other not in seen:
                seen.add(other)
                found.append(other)
    return found


def hide_version(txn: WriteTransaction, name: ArtifactName, number: int, prefix: bytes) -> None:
    """Let the edges of a version that is purged name it by a hash of its artifact's name."""
    node, hidden = version_node(name, number), purged_node(prefix, number)
    for other, edge in list(edges(txn, node, DOWN)):
        _drop(txn, node, other)
        _put(txn, hidden, other, encode(edge))
    for other, edge in list(edges(txn, node, UP)):
        _drop(txn, other, node)
        _put(txn, other, hidden, encode(edge))


def _put(txn: WriteTransaction, source: bytes, target: bytes, edge: bytes) -> None:
    txn.put(EDGES, source + DOWN + target, edge)
    txn.put(EDGES, target + UP + source, edge)


def _drop(txn: WriteTransaction, source: bytes, target: bytes) -> None:
    txn.delete(EDGES, source + DOWN + target)
    txn.delete(EDGES, target + UP + source)
