"""Checking tiles: each is held against the records that it is derived from, as these are read one after another.

A wrong tile is damage, though no reader trusts it; one that is missing only costs readers time. A repair writes both
anew. What is kept of the log is one tile a level, and of tiles that are looked at together 16 MiB.
"""

from functools import partial
from typing import Final

from artifactstore.backend.base import PARALLEL_REQUESTS_MAX, Backend
from artifactstore.crypto.hashing import sha256
from artifactstore.errors import ArtifactStoreError, Damaged, ObjectMissing, ObjectTooLarge
from artifactstore.format.limits import DATA_TILE_BYTES_MAX
from artifactstore.format.tile import (
    DATA_TILE_WIDTH,
    TILE_WIDTH,
    data_tile_name,
    encode_data_tile,
    tile_name,
)
from artifactstore.log.merkle import subtree_root
from artifactstore.maintenance.findings import Problem, problem_of

_TOGETHER_BYTES: Final = 16 << 20


class TileCheck:
    """One check of all tiles. Used once.

    Attributes:
        to_write: Names of tiles that are wrong or missing, lower levels first.
        problems: Those that are wrong; both are complete after `finish`.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._hashes: list[list[bytes]] = [[]]
        self._records: list[bytes | None] = []
        self._record_bytes = 0
        # Name, length and SHA-256 of tiles to be looked at.
        self._waiting: list[tuple[str, int, bytes]] = []
        self._waiting_bytes = 0
        self.to_write: list[str] = []
        self.problems: list[Problem] = []

    def add(self, slot: int, leaf: bytes, record: bytes | None) -> None:
        """Take in the next slot; tiles that end with it are looked at, some of them together.

        Args:
            slot: Its number.
            leaf: Its leaf.
            record: Its bytes; None when it is void.
        """
        self._add_record(slot, record)
        self._add_leaf(slot, leaf)

    def _add_record(self, slot: int, record: bytes | None) -> None:
        self._record_bytes += len(record or b"")
        # There is no tile over so many bytes, so they need not be kept.
        self._records.append(record if self._record_bytes <= DATA_TILE_BYTES_MAX else None)
        if len(self._records) < DATA_TILE_WIDTH:
            return
        if self._record_bytes <= DATA_TILE_BYTES_MAX:
            tile = encode_data_tile(self._records)
            if tile is not None:
                self._compare(data_tile_name(slot // DATA_TILE_WIDTH), tile)
        self._records, self._record_bytes = [], 0

    def _add_leaf(self, slot: int, leaf: bytes) -> None:
        level, digest, number = 0, leaf, slot
        while True:
            if level == len(self._hashes):
                self._hashes.append([])
            tile = self._hashes[level]
            tile.append(digest)
            if len(tile) < TILE_WIDTH:
                return
            number //= TILE_WIDTH
            self._compare(tile_name(level, number), b"".join(tile))
            digest = subtree_root(tile)
            self._hashes[level] = []
            level += 1

    def finish(self) -> None:
        """Look at the tiles that were not looked at yet; to be called after the last slot."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        answers = self._backend.together(
            [partial(self._backend.get, name, limit_bytes=length) for name, length, _ in waiting]
        )
        for (name, _, digest), answer in zip(waiting, answers, strict=True):
            if isinstance(answer, ObjectMissing):
                self.to_write.append(name)
            elif isinstance(answer, ArtifactStoreError) and not isinstance(answer, ObjectTooLarge):
                raise answer
            elif isinstance(answer, ObjectTooLarge) or sha256(answer) != digest:
                self.to_write.append(name)
                error = Damaged(
                    f"{name} is not what the log gives", next_step="artifactstore repair", object=name
                )
                self.problems.append(problem_of(error, name, "tile"))

    def _compare(self, name: str, expected: bytes) -> None:
        """Note what a tile must be; tiles are asked for together."""
        self._waiting.append((name, len(expected), sha256(expected)))
        self._waiting_bytes += len(expected)
        if len(self._waiting) == PARALLEL_REQUESTS_MAX or self._waiting_bytes >= _TOGETHER_BYTES:
            self.finish()
