"""Proofs over the log: made from tiles and from records alike, and false for anything but what they say."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.crypto.hashing import sha256
from artifactstore.errors import InvalidEvidence
from artifactstore.format.record import slot_name
from artifactstore.format.tile import tile_name
from artifactstore.log.merkle import leaf_of, node_of, subtree_root, void_leaf
from artifactstore.log.proofs import Prover, verify_consistency, verify_inclusion
from artifactstore.log.slots import Slots
from tests.stores import make_store


class GivenLeaves(Prover):
    """Over leaves that are given, without a log."""

    def __init__(self, leaves: list[bytes]) -> None:
        self._size = len(leaves)
        self._use_tiles = False
        self._tiles = {}
        self._given = leaves

    def _leaves(self, start: int, stop: int) -> list[bytes]:
        return self._given[start:stop]


LEAVES = [sha256(bytes([number])) for number in range(70)]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 33, 64, 70])
def test_every_slot_is_proved_in_trees_of_every_shape(size: int) -> None:
    """And no other slot, size, leaf or root by the same proof; nor by one that is altered, shorter or longer."""
    prover = GivenLeaves(LEAVES[:size])
    root = subtree_root(LEAVES[:size])
    assert prover.root(size) == root
    for slot in range(size):
        proof = prover.inclusion(slot, size)
        verify_inclusion(LEAVES[slot], slot, size, proof, root)
        wrong = [
            (LEAVES[slot - 1] if size > 1 else bytes(32), slot, size, proof, root),
            (LEAVES[slot], slot, size, proof, bytes(32)),
            (LEAVES[slot], slot, size, [*proof, root], root),
            (LEAVES[slot], size, size, proof, root),
        ]
        if proof:
            wrong += [
                (LEAVES[slot], slot, size, proof[:-1], root),
                (LEAVES[slot], slot, size, [bytes(32), *proof[1:]], root),
                (LEAVES[slot], slot ^ 1, size, proof, root),
            ]
        for one in wrong:
            with pytest.raises(InvalidEvidence):
                verify_inclusion(*one)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 33, 64, 70])
def test_every_prefix_is_the_beginning_of_the_whole(size: int) -> None:
    """And nothing else is."""
    prover = GivenLeaves(LEAVES[:size])
    root = subtree_root(LEAVES[:size])
    for before in range(size + 1):
        old, proof = subtree_root(LEAVES[:before]), prover.consistency(before, size)
        verify_consistency(before, size, old, root, proof)
        wrong = [
            (before, size, bytes(32), root, proof),
            (before, size, old, root, [*proof, root]),
            (before + 1, size, old, root, proof),
        ]
        if 0 < before < size:
            wrong += [
                (before, size, old, bytes(32), proof),
                (before, size, old, root, proof[:-1]),
                (before, size, old, root, []),
                (before, size, old, root, [node_of(proof[0], proof[0]), *proof[1:]]),
            ]
        for one in wrong:
            with pytest.raises(InvalidEvidence):
                verify_consistency(*one)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A log of 300 slots, one of them void: one full tile and a part."""
    with make_store(tmp_path_factory.mktemp("proofs")) as made:
        backend = made._parts.backend
        for slot in range(1, 300):
            if slot == 7:
                backend.create(slot_name(slot), b"void")
            else:
                made._commit([])
        yield made


@pytest.mark.parametrize("tiles", ["whole", "missing", "unused"])
def test_proofs_of_a_log(store: Store, tiles: str, tmp_path: Path) -> None:
    """From tiles where there are any, else from the records; a void slot has its leaf too."""
    parts = store._parts
    name = tile_name(0, 0)
    kept = parts.backend.get(name, limit_bytes=1 << 20)
    if tiles == "missing":
        parts.backend.delete(name)
    prover = Prover(parts.backend, parts.log.signers, 300, tiles=tiles != "unused")
    slots = Slots(parts.backend).read_many(range(300))
    leaves = [leaf_of(data or b"") for data in slots]
    leaves[7] = void_leaf(7)
    root = subtree_root(leaves)
    for slot in (0, 7, 8, 255, 256, 299):
        verify_inclusion(leaves[slot], slot, 300, prover.inclusion(slot, 300), root)
        verify_consistency(slot, 300, subtree_root(leaves[:slot]), root, prover.consistency(slot, 300))
    parts.backend.put(name, kept)


def test_a_wrong_tile_gives_a_proof_that_fails(store: Store) -> None:
    """Who makes one verifies it, and makes it from the records then."""
    parts = store._parts
    name = tile_name(0, 0)
    kept = parts.backend.get(name, limit_bytes=1 << 20)
    parts.backend.put(name, bytes(len(kept)))
    leaf = leaf_of(parts.backend.get(slot_name(3), limit_bytes=1 << 20))
    proofs = [
        Prover(parts.backend, parts.log.signers, 300, tiles=tiles).inclusion(3, 300)
        for tiles in (True, False)
    ]
    parts.backend.put(name, kept)
    root = Prover(parts.backend, parts.log.signers, 300).root(300)
    with pytest.raises(InvalidEvidence):
        verify_inclusion(leaf, 3, 300, proofs[0], root)
    verify_inclusion(leaf, 3, 300, proofs[1], root)
