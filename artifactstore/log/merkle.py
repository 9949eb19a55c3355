"""The Merkle tree of RFC 6962 over records, with SHA-256, kept as a frontier of whole subtrees.

A leaf is SHA-256(0x00 ‖ record); that of a void slot n is SHA-256(0x02 ‖ n as 8 bytes), whatever lies there.
"""

from artifactstore.crypto.hashing import sha256

EMPTY_ROOT = sha256(b"")
_LEAF = b"\x00"
_NODE = b"\x01"
_VOID = b"\x02"


def leaf_of(record: bytes) -> bytes:
    """The leaf of a valid record: over the whole object, as it came."""
    return sha256(_LEAF + record)


def void_leaf(slot: int) -> bytes:
    """The leaf of a void slot."""
    return sha256(_VOID + slot.to_bytes(8, "big"))


def node_of(left: bytes, right: bytes) -> bytes:
    """An inner node."""
    return sha256(_NODE + left + right)


def append(frontier: list[bytes], size: int, leaf: bytes) -> list[bytes]:
    """Return the frontier after one more leaf.

    Args:
        frontier: Roots of the whole subtrees over the first `size` leaves, largest first.
        size: How many leaves it covers.
        leaf: The next leaf.
    """
    grown = list(frontier)
    while size & 1:
        leaf = node_of(grown.pop(), leaf)
        size >>= 1
    grown.append(leaf)
    return grown


def root_of(frontier: list[bytes]) -> bytes:
    """The Merkle root that a frontier stands for."""
    if not frontier:
        return EMPTY_ROOT
    root = frontier[-1]
    for subtree in reversed(frontier[:-1]):
        root = node_of(subtree, root)
    return root


def subtree_root(leaves: list[bytes]) -> bytes:
    """The root over any number of leaves."""
    frontier: list[bytes] = []
    for size, leaf in enumerate(leaves):
        frontier = append(frontier, size, leaf)
    return root_of(frontier)
