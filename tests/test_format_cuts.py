"""Where `docs/format/v1.md` says that chunks, pages and lists end is where the code cuts them."""

import hashlib
from typing import Any

import pytest
from blake3 import blake3
from pyfastcdc.cy import FastCDC

from artifactstore.chunking.chunker import GENERAL, WEIGHTS
from artifactstore.crypto.hashing import keyed_blake3, sha256
from artifactstore.format import limits, pack, page
from artifactstore.format.coding import encode
from artifactstore.manifest.build import ListBuilder, ManifestBuilder
from tests.test_format_document import example, named, tables_after

# --- the chunker, as the text describes it ----------------------------------------------------------------------


def cuts_by_the_book(
    data: bytes, seed: int, sizes: tuple[int, int, int], masks: tuple[int, int]
) -> list[int]:
    """Lengths of chunks, by section 9 to the letter."""
    modulus = 1 << 64
    gear = [int.from_bytes(hashlib.md5(bytes([b]) * 64).digest()[:8], "big") ^ seed for b in range(256)]
    least, average, most = sizes
    lengths: list[int] = []
    at = 0
    while at < len(data):
        remaining = len(data) - at
        lengths.append(remaining)
        if remaining > least:
            center, end = min(average, remaining), min(most, remaining)
            lengths[-1] = end
            value, cut = 0, False
            for p in range(least, end // 2 * 2, 2):
                mask = masks[0] if p < center // 2 * 2 else masks[1]
                value = (value * 4 + gear[data[at + p]] * 2) % modulus
                cut = not value & (mask * 2)
                if cut:
                    lengths[-1] = p
                    break
                value = (value + gear[data[at + p + 1]]) % modulus
                cut = not value & mask
                if cut:
                    lengths[-1] = p + 1
                    break
        at += lengths[-1]
    return lengths


@pytest.mark.parametrize("profile", [GENERAL, WEIGHTS])
def test_chunker(profile: Any) -> None:
    """Cuts by the description are the library's, for seeded noise and for bytes that never cut."""
    rows = {row[0]: row[1:] for row in tables_after("Without a cut the chunk ends")}
    cells = rows[f"`{profile.name}`"]
    masks = int(cells[3].strip("`"), 16), int(cells[4].strip("`"), 16)
    sizes = profile.minimum, profile.average, profile.maximum
    noise = hashlib.shake_256(b"noise").digest(profile.maximum + 3 * profile.average + 1)
    for seed, data in ((named("subkeys")["seed"], noise), ("1", bytes(profile.maximum + 5))):
        cutter = FastCDC(
            profile.average,
            min_size=profile.minimum,
            max_size=profile.maximum,
            normalized_chunking=1,
            seed=int(seed, 16),
        )
        expected = [chunk.length for chunk in cutter.cut_buf(data)]
        assert cuts_by_the_book(data, int(seed, 16), sizes, masks) == expected
        assert len(expected) > 1


# --- the cuts of manifests and lists, as the text describes them ----------------------------------------------------


class Kept:
    """Keeps chunks by a cid, as a putter does."""

    def __init__(self) -> None:
        self.chunks: dict[bytes, bytes] = {}

    def put_one(self, kind: pack.PackType, data: bytes) -> bytes:
        cid = keyed_blake3(bytes(31) + bytes([kind]), data)
        self.chunks[cid] = data
        return cid


def runs_by_the_book(rows: list[tuple[str, int, bytes]], level: int) -> list[list[tuple[str, int, bytes]]]:
    """(path, bytes of path and target, identity) cut into pages, by section 10 to the letter."""
    runs: list[list[tuple[str, int, bytes]]] = [[]]
    for row in rows:
        if runs[-1] and sum(size for _, size, _ in runs[-1]) + row[1] > 262144:
            runs.append([])
        runs[-1].append(row)
        drawn = int.from_bytes(blake3(bytes([level]) + row[0].encode()).digest()[:4], "big") & 255
        if len(runs[-1]) >= 1024 or (len(runs[-1]) >= (2 if level else 32) and drawn == 0):
            runs.append([])
    if not runs[-1] and len(runs) > 1:
        runs.pop()
    if level and len(runs) > 1 and len(runs[-1]) == 1:
        runs[-2:] = [runs[-2] + runs[-1]]
    return runs


def digest_by_the_book(identities: list[page.Identity], sizes: list[int]) -> tuple[int, bytes]:
    """(level of the root, digest of the version)."""
    level = 0
    rows = [(one[0], size, encode(one)) for one, size in zip(identities, sizes, strict=True)]
    weights = [one[2] for one in identities]
    while True:
        runs = runs_by_the_book(rows, level)
        above, at, totals, digest = [], 0, [], b""
        for run in runs:
            array = b"\xdc" + len(run).to_bytes(2, "big") if len(run) > 15 else bytes([0x90 | len(run)])
            digest = blake3(array + b"".join(row for _, _, row in run)).digest()
            totals.append(sum(weights[at : at + len(run)]))
            at += len(run)
            first = run[0][0] if run else ""
            above.append((first, len(first.encode()), encode((first, 5, totals[-1], digest, 0))))
        if len(runs) == 1:
            return level, digest
        rows, weights, level = above, totals, level + 1


@pytest.mark.parametrize("count", [0, 1, 31, 32, 33, 400, 1024, 1025, 9000])
@pytest.mark.parametrize("kind", ["short", "long", "links", "none cut", "last cuts"])
def test_manifest_cuts(count: int, kind: str) -> None:
    """Pages end where the document says, so that every implementation comes to the same digest."""
    names = [f"{at:05d}" for at in range(count)]
    if kind == "long":
        names = [name + "x" * 1500 for name in names]
    if kind in {"none cut", "last cuts"}:
        quiet = (f"{at:06d}" for at in range(10**6))
        names = [
            next(name for name in quiet if blake3(b"\0" + name.encode()).digest()[3]) for _ in range(count)
        ]
    if kind == "last cuts" and names:
        names[-1] = next(
            name for at in range(10**6) if not blake3(b"\0" + (name := f"z{at}").encode()).digest()[3]
        )
    target = "t" * 3000 if kind == "links" else ""
    raw = target.encode()
    what = page.Kind.SYMLINK if target else page.Kind.FOLDER
    identities: list[page.Identity] = [(name, what, len(raw), blake3(raw).digest(), 0) for name in names]
    kept = Kept()
    builder = ManifestBuilder(kept)
    for identity in identities:
        builder.add(identity, page.Content(0, b"", [], target))
    manifest = builder.finish()
    sizes = [len(name.encode()) + len(raw) for name in names]
    assert (manifest.level, manifest.digest) == digest_by_the_book(identities, sizes)
    for data in kept.chunks.values():
        assert len(data) <= limits.BLOB_RAW_BYTES_MAX
        page.decode_page(data, "example")


@pytest.mark.parametrize("count", [0, 1, 64, 65, 300, 4097, 9000])
def test_list_cuts(count: int) -> None:
    """Up to 64 chunks lie in the entry; beyond, nodes end where the document says."""
    cids = [sha256(at.to_bytes(4, "big")) for at in range(count)]
    kept = Kept()
    builder = ListBuilder(kept)
    builder.extend((cid, 1) for cid in cids)
    content = builder.finish()
    if count <= 64:
        assert (content.depth, content.cids, kept.chunks) == (0, b"".join(cids), {})
        return
    level, sizes = 0, [1] * count
    while level == 0 or len(cids) > 1:
        nodes: list[tuple[list[bytes], list[int]]] = [([], [])]
        for cid, size in zip(cids, sizes, strict=True):
            nodes[-1][0].append(cid)
            nodes[-1][1].append(size)
            held = len(nodes[-1][0])
            if held == 4096 or (held >= 256 and int.from_bytes(cid[-4:], "big") & 1023 == 0):
                nodes.append(([], []))
        level += 1
        encoded = [encode(page.ListNode(level, b"".join(node), lengths)) for node, lengths in nodes if node]
        cids = [kept.put_one(pack.PackType.LIST, data) for data in encoded]
        sizes = [sum(lengths) for node, lengths in nodes if node]
    assert (content.depth, content.cids, content.sizes) == (level, cids[0], [count])


def test_gear() -> None:
    """The printed gear values are those of the rule."""
    for line in example("gear").splitlines():
        byte, value = line.split()
        assert hashlib.md5(bytes.fromhex(byte) * 64).hexdigest()[:16] == value
