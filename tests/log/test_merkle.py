"""The Merkle tree, against the published vectors of RFC 6962 and against a definition written as the RFC writes it."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from artifactstore.log.merkle import (
    EMPTY_ROOT,
    append,
    leaf_of,
    root_of,
    subtree_root,
    void_leaf,
)

# The leaves and roots with which Certificate Transparency's implementations are tested.
LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def by_definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    left, right = by_definition(leaves[:split]), by_definition(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def test_the_published_roots_come_out() -> None:
    """Each prefix of the published leaves has the published root."""
    frontier: list[bytes] = []
    roots = []
    for size, leaf in enumerate(LEAVES):
        frontier = append(frontier, size, leaf_of(leaf))
        roots.append(root_of(frontier).hex())
    assert roots == ROOTS


def test_no_records_have_the_root_of_nothing() -> None:
    """The root of an empty tree is SHA-256 of no bytes."""
    assert root_of([]) == EMPTY_ROOT == hashlib.sha256(b"").digest()


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_the_frontier_stands_for_the_whole_tree(records: list[bytes]) -> None:
    """Appending one by one gives the root that the recursive definition gives."""
    leaves = [leaf_of(record) for record in records]
    assert subtree_root(leaves) == by_definition(leaves)


def test_appending_leaves_the_old_frontier_alone() -> None:
    """A frontier is a value: whoever holds the old one still has it."""
    old = [leaf_of(b"a")]
    append(old, 1, leaf_of(b"b"))
    assert old == [leaf_of(b"a")]


def test_a_void_leaf_depends_on_the_slot_alone() -> None:
    """Void leaves are of a domain of their own, so that no record can be taken for one."""
    assert void_leaf(7) == hashlib.sha256(b"\x02" + (7).to_bytes(8, "big")).digest()
    assert void_leaf(7) != void_leaf(8)
