"""Proofs over the log's Merkle tree, as RFC 6962 defines them and RFC 9162 verifies them: inclusion and consistency.

Proofs are made from Merkle tiles where there are any, from the records else. Nothing that a tile says is believed:
whoever makes a proof verifies it before handing it on.
"""

from collections.abc import Sequence
from typing import Final

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX, Backend
from artifactstore.errors import ArtifactStoreError, Damaged, InvalidEvidence
from artifactstore.format.record import slot_name
from artifactstore.format.tile import HASH_BYTES, TILE_WIDTH, tile_name
from artifactstore.log.merkle import leaf_of, node_of, subtree_root, void_leaf
from artifactstore.log.records import examine
from artifactstore.log.signers import Signers
from artifactstore.log.slots import Slots

PROOF_HASHES_MAX: Final = 64
_TILE_BITS: Final = 8


class Prover:
    """Makes proofs over the first slots of a log. Used by one thread.

    Args:
        backend: Where the log lies.
        signers: Whose records count.
        size: How many slots the proofs are over.
        tiles: Whether to take hashes from tiles.
    """

    def __init__(self, backend: Backend, signers: Signers, size: int, *, tiles: bool = True) -> None:
        self._backend = backend
        self._slots = Slots(backend)
        self._signers = signers
        self._size = size
        self._use_tiles = tiles
        self._tiles: dict[tuple[int, int], list[bytes]] = {}

    def root(self, size: int) -> bytes:
        """The Merkle root over the first slots."""
        return self._over(0, size)

    def inclusion(self, slot: int, size: int) -> list[bytes]:
        """The path from a slot's leaf to the root over the first `size` slots."""
        return self._path(slot, 0, size)

    def consistency(self, before: int, size: int) -> list[bytes]:
        """What shows that the first `before` slots are the beginning of the first `size`."""
        return [] if before in {0, size} else self._subproof(before, 0, size, whole=True)

    def _path(self, slot: int, start: int, stop: int) -> list[bytes]:
        if stop - start == 1:
            return []
        middle = start + _split(stop - start)
        if slot < middle:
            return [*self._path(slot, start, middle), self._over(middle, stop)]
        return [*self._path(slot, middle, stop), self._over(start, middle)]

    def _subproof(self, before: int, start: int, stop: int, *, whole: bool) -> list[bytes]:
        if before == stop:
            return [] if whole else [self._over(start, stop)]
        middle = start + _split(stop - start)
        if before <= middle:
            return [*self._subproof(before, start, middle, whole=whole), self._over(middle, stop)]
        return [*self._subproof(before, middle, stop, whole=False), self._over(start, middle)]

    def _over(self, start: int, stop: int) -> bytes:
        """The root over some slots; a whole subtree of them is one that tiles know."""
        size = stop - start
        if not size:
            return subtree_root([])
        if size & (size - 1) == 0 and start % size == 0:
            level, bits = divmod(size.bit_length() - 1, _TILE_BITS)
            first = (start >> (level * _TILE_BITS)) % TILE_WIDTH
            tile = self._tile(level, start >> ((level + 1) * _TILE_BITS))
            return subtree_root(tile[first : first + (1 << bits)])
        middle = start + _split(size)
        return node_of(self._over(start, middle), self._over(middle, stop))

    def _tile(self, level: int, number: int) -> list[bytes]:
        """The hashes of a tile, as far as whole subtrees go."""
        known = self._tiles.get((level, number))
        if known is not None:
            return known
        width = 1 << (level * _TILE_BITS)
        count = min(TILE_WIDTH, self._size // width - number * TILE_WIDTH)
        found = self._stored(level, number) if count == TILE_WIDTH and self._use_tiles else None
        if found is None and level == 0:
            found = self._leaves(number * TILE_WIDTH, number * TILE_WIDTH + count)
        elif found is None:
            below = range(number * TILE_WIDTH, number * TILE_WIDTH + count)
            found = [subtree_root(self._tile(level - 1, one)) for one in below]
        self._tiles[level, number] = found
        return found

    def _stored(self, level: int, number: int) -> list[bytes] | None:
        try:
            data = self._backend.get(tile_name(level, number), limit_bytes=TILE_WIDTH * HASH_BYTES)
        except ArtifactStoreError:
            return None
        if len(data) != TILE_WIDTH * HASH_BYTES:
            return None
        return [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)]

    def _leaves(self, start: int, stop: int) -> list[bytes]:
        leaves: list[bytes] = []
        for first in range(start, stop, PARALLEL_REQUESTS_MAX):
            slots = range(first, min(stop, first + PARALLEL_REQUESTS_MAX))
            for slot, data in zip(slots, self._slots.read_many(slots), strict=True):
                if data is None:
                    raise Damaged(f"{slot_name(slot)} is missing", object=slot_name(slot))
                frame = examine(data, slot, self._signers)
                leaves.append(void_leaf(slot) if frame is None else leaf_of(data))
        return leaves


def _split(size: int) -> int:
    """The largest power of two below a size."""
    return 1 << ((size - 1).bit_length() - 1)


def verify_inclusion(leaf: bytes, slot: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Return if a leaf is that of a slot in the tree of so many slots (RFC 9162, 2.1.3.2).

    Raises:
        InvalidEvidence: It is not.
    """
    found, at, last = leaf, slot, size - 1
    good = 0 <= slot < size
    for one in proof:
        good = good and last > 0
        if at & 1 or at == last:
            found = node_of(one, found)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            found = node_of(found, one)
        at, last = at >> 1, last >> 1
    if not good or last or found != root:
        raise InvalidEvidence(f"the proof does not lead from {slot_name(slot)} to the checkpoint")


def verify_consistency(
    before: int, size: int, before_root: bytes, root: bytes, proof: Sequence[bytes]
) -> None:
    """Return if a tree of `before` slots is the beginning of one of `size` (RFC 9162, 2.1.4.2).

    Raises:
        InvalidEvidence: It is not.
    """
    if before in {0, size}:
        good = not proof and (before_root == (root if before == size else subtree_root([])))
    else:
        good = 0 < before < size and bool(proof) and _leads(before, size, before_root, root, list(proof))
    if not good:
        raise InvalidEvidence(f"the first {before} slots are not the beginning of the checkpoint's {size}")


def _leads(before: int, size: int, before_root: bytes, root: bytes, proof: list[bytes]) -> bool:
    if before & (before - 1) == 0:
        proof = [before_root, *proof]
    at, last = before - 1, size - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    old = new = proof[0]
    for one in proof[1:]:
        if not last:
            return False
        if at & 1 or at == last:
            old, new = node_of(one, old), node_of(one, new)
            while at and not at & 1:
                at, last = at >> 1, last >> 1
        else:
            new = node_of(new, one)
        at, last = at >> 1, last >> 1
    return not last and old == before_root and new == root
