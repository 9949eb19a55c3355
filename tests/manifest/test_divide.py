"""Dividing a version: every entry in one part, neighbours together, shares about equal, little read."""

from typing import Any

import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from artifactstore.format.operations import Manifest
from artifactstore.format.page import EMPTY, Content, Kind
from artifactstore.manifest.build import ManifestBuilder
from artifactstore.manifest.divide import ENTRY_WEIGHT, Division, divided, entries_of
from artifactstore.manifest.read import entries


class Stored:
    """Chunks by their hash, with a count of the pages that are read."""

    def __init__(self) -> None:
        self.data: dict[bytes, bytes] = {}
        self.pages = 0

    def put_one(self, kind: Any, data: bytes) -> bytes:
        cid = blake3(data).digest()
        self.data[cid] = data
        return cid

    def read(self, kind: Any, cid: bytes) -> bytes:
        self.pages += 1
        return self.data[cid]

    def read_many(self, kind: Any, cids: Any) -> list[bytes]:
        return [self.read(kind, cid) for cid in cids]


def built(stored: Stored, sizes: list[int]) -> Manifest:
    builder = ManifestBuilder(stored)
    for number, size in enumerate(sizes):
        identity = (f"d{number // 100:06}/f{number:08}", int(Kind.FILE), size, bytes(32), 0)
        builder.add(identity, Content(0, bytes(32), [size]) if size else EMPTY)
    return builder.finish()


@settings(max_examples=60)
@given(st.lists(st.integers(0, 100_000), max_size=700), st.integers(1, 40))
def test_every_entry_is_in_one_part(sizes: list[int], parts: int) -> None:
    """The parts one after another are the version, and none is heavier than its share and one entry."""
    stored = Stored()
    manifest = built(stored, sizes)
    found = [list(divided(stored, manifest, Division(part, parts))) for part in range(parts)]
    assert [one for part in found for one in part] == list(entries(stored, manifest))
    share = (sum(sizes) + ENTRY_WEIGHT * len(sizes)) / parts
    heaviest = max(sizes, default=0) + ENTRY_WEIGHT
    assert all(sum(one.size + ENTRY_WEIGHT for one in part) <= share + heaviest + 1 for part in found)


@pytest.mark.parametrize("size", [0, 10])
def test_a_part_reads_its_own_pages(size: int) -> None:
    """Of many pages it reads those of its share, and the few that lie above them or at its ends."""
    stored = Stored()
    manifest = built(stored, [size] * 60_000)
    list(entries(stored, manifest))
    whole, stored.pages = stored.pages, 0
    assert len(list(divided(stored, manifest, Division(3, 16)))) == pytest.approx(60_000 / 16, abs=1)
    assert whole > 150
    assert stored.pages <= whole / 16 + 6


def test_without_a_division_it_is_the_whole() -> None:
    """As `entries`."""
    stored = Stored()
    manifest = built(stored, [1, 2, 3])
    assert list(entries_of(stored, manifest, None)) == list(entries(stored, manifest))
