"""Tiles: objects derived from the log that make reading much of it cheap.

A Merkle tile holds 256 hashes, a data tile the bytes of 64 records. Both are written by whoever fills their last slot,
as well as can be: one that is missing or wrong costs time and nothing else, since what a tile says is verified as the
records are.
"""

from collections.abc import Sequence
from functools import partial

from artifactstore.backend.base import Backend, answer_of
from artifactstore.errors import ArtifactStoreError, Damaged
from artifactstore.format.limits import DATA_TILE_BYTES_MAX
from artifactstore.format.record import slot_name
from artifactstore.format.tile import (
    DATA_TILE_WIDTH,
    HASH_BYTES,
    TILE_WIDTH,
    data_tile_name,
    decode_data_tile,
    encode_data_tile,
    tile_name,
)
from artifactstore.log.merkle import leaf_of, subtree_root, void_leaf
from artifactstore.log.records import examine
from artifactstore.log.signers import Signers
from artifactstore.log.slots import Slots


class Tiles:
    """The tiles of one log.

    Args:
        backend: Where they lie.
        signers: Whose records count.

    Thread-safe: it keeps no state of its own.
    """

    def __init__(self, backend: Backend, signers: Signers) -> None:
        self._backend = backend
        self._slots = Slots(backend)
        self._signers = signers

    def read_data(self, number: int) -> list[bytes]:
        """What a data tile says of its slots; nothing where it can't be had."""
        try:
            return decode_data_tile(
                self._backend.get(data_tile_name(number), limit_bytes=DATA_TILE_BYTES_MAX)
            )
        except ArtifactStoreError:
            return []

    def read_many_data(self, numbers: Sequence[int]) -> list[list[bytes]]:
        """What several data tiles say, asked for together."""
        return list(
            map(answer_of, self._backend.together([partial(self.read_data, number) for number in numbers]))
        )

    def read_hashes(self, places: Sequence[tuple[int, int]]) -> list[list[bytes]]:
        """What Merkle tiles say, asked for together; nothing of one that can't be had.

        Args:
            places: (Level, number) of each.
        """
        names = [tile_name(*place) for place in places]
        answers = self._backend.get_many(names, limit_bytes=TILE_WIDTH * HASH_BYTES)
        return [[] if isinstance(answer, ArtifactStoreError) else _hashes(answer) for answer in answers]

    def is_valid(self, data: bytes, slot: int) -> bool:
        """Whether a slot's bytes are a valid record."""
        return examine(data, slot, self._signers) is not None

    def write(self, name: str) -> None:
        """Write a tile anew, from the records or from the tiles below it.

        Raises:
            Damaged: A record that it is made from is missing.
        """
        _, level, number = name.split("/")
        if level == "data":
            self._write_data(int(number))
        else:
            self._write_hashes(int(level), int(number))

    def write_completed(self, slot: int) -> None:
        """Write the tiles that a slot, which this client has just filled, completes."""
        try:
            if (slot + 1) % DATA_TILE_WIDTH == 0:
                self._write_data((slot + 1) // DATA_TILE_WIDTH - 1)
            size, level = slot + 1, 0
            while size % TILE_WIDTH == 0:
                self._write_hashes(level, size // TILE_WIDTH - 1)
                size //= TILE_WIDTH
                level += 1
        except ArtifactStoreError:
            # The record stands; whoever reads it does without the tile.
            return

    def _write_data(self, number: int) -> None:
        tile = encode_data_tile(self._valid(range(number * DATA_TILE_WIDTH, (number + 1) * DATA_TILE_WIDTH)))
        if tile is not None:
            self._backend.put(data_tile_name(number), tile)

    def _write_hashes(self, level: int, number: int) -> None:
        hashes = self._leaves(number) if level == 0 else self._roots(level, number)
        self._backend.put(tile_name(level, number), b"".join(hashes))

    def _leaves(self, number: int) -> list[bytes]:
        slots = range(number * TILE_WIDTH, (number + 1) * TILE_WIDTH)
        return [
            void_leaf(slot) if data is None else leaf_of(data)
            for slot, data in zip(slots, self._valid(slots), strict=True)
        ]

    def _roots(self, level: int, number: int) -> list[bytes]:
        """The roots of the tiles below one; a missing one raises."""
        names = [tile_name(level - 1, number * TILE_WIDTH + child) for child in range(TILE_WIDTH)]
        tiles = map(answer_of, self._backend.get_many(names, limit_bytes=TILE_WIDTH * HASH_BYTES))
        return [
            subtree_root([tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)])
            for tile in tiles
        ]

    def _valid(self, slots: Sequence[int]) -> list[bytes | None]:
        """The records of some slots, None for void ones; an absent one raises."""
        found: list[bytes | None] = []
        for slot, data in zip(slots, self._slots.read_many(slots), strict=True):
            if data is None:
                raise Damaged(f"{slot_name(slot)} is missing", object=slot_name(slot))
            found.append(data if self.is_valid(data, slot) else None)
        return found


def _hashes(tile: bytes) -> list[bytes]:
    """The hashes of a tile; none when it is cut."""
    found = [tile[at : at + HASH_BYTES] for at in range(0, len(tile), HASH_BYTES)]
    return found if len(tile) == TILE_WIDTH * HASH_BYTES else []
