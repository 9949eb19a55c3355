"""Pages and round trips that a diff takes as versions grow: ten changes among 10,000 to 1,000,000 entries."""

import json
import sys
import time
from collections.abc import Iterator, Sequence

from blake3 import blake3

from artifactstore.format.operations import Manifest
from artifactstore.format.pack import PackType
from artifactstore.format.page import Content, Identity, Kind
from artifactstore.manifest.build import ListBuilder, ManifestBuilder
from artifactstore.manifest.diff import differing
from artifactstore.manifest.overlap import fresh_bytes
from benchmarks.options import describe_machine, parse, parser
from benchmarks.report import print_table

_ENTRIES = (10_000, 30_000, 100_000, 300_000, 1_000_000)
_CHANGES = 10
_FOLDERS = 100
_CHUNK_BYTES = 64 << 10


class Shelf:
    """Chunks in memory, which counts what is read of them."""

    def __init__(self) -> None:
        self._chunks: dict[bytes, bytes] = {}
        self.reads = self.bytes = self.round_trips = 0

    def put_one(self, kind: PackType, data: bytes) -> bytes:
        """Keep a chunk and return its name."""
        cid = blake3(bytes([kind]) + data).digest()
        self._chunks[cid] = data
        return cid

    def read(self, kind: PackType, cid: bytes) -> bytes:
        """Read one chunk."""
        return self.read_many(kind, [cid])[0]

    def read_many(self, kind: PackType, cids: Sequence[bytes]) -> list[bytes]:
        """Read some chunks together."""
        del kind
        self.round_trips += 1
        self.reads += len(cids)
        found = [self._chunks[cid] for cid in cids]
        self.bytes += sum(map(len, found))
        return found


def main() -> None:
    """Build manifests of each size, compare them, and print what was read."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--entries", type=int, action="append", help="entries of a version, may be repeated")
    arguments = parse(options)
    rows = [_entries(count) for count in arguments.entries or _ENTRIES]
    lists = [_file(size) for size in (10**8, 10**9, 2 * 10**9, 10**10)]
    for table in (rows, lists):
        print_table(list(table[0]), [[str(value) for value in row.values()] for row in table])
        print()
    if arguments.json:
        results = {"machine": describe_machine(), "entries": rows, "files": lists}
        arguments.json.write_text(json.dumps(results, indent=1))


def _entries(count: int) -> dict[str, object]:
    """Ten changed files, spread over the version."""
    shelf = Shelf()
    changed = {at * count // _CHANGES + count // 20 for at in range(_CHANGES)}
    print(f"{count:,} entries", file=sys.stderr, flush=True)
    before, after = _manifest(shelf, count, set()), _manifest(shelf, count, changed)
    began = time.process_time()
    found = sum(1 for _ in differing(shelf, before, after))
    spent = time.process_time() - began
    if found != _CHANGES:
        raise RuntimeError(f"{found} changes were found, not {_CHANGES}")
    return {
        "entries": f"{count:,}", "levels": before.level + 1, "pages read": shelf.reads,
        "kB of pages": f"{shelf.bytes / 1000:,.0f}", "round trips": shelf.round_trips,
        "CPU ms": f"{spent * 1000:.1f}",
    }  # fmt: skip


def _manifest(shelf: Shelf, count: int, changed: set[int]) -> Manifest:
    builder = ManifestBuilder(shelf)
    for identity, content in _files(count, changed):
        builder.add(identity, content)
    return builder.finish()


def _files(count: int, changed: set[int]) -> Iterator[tuple[Identity, Content]]:
    for number in range(count):
        data = b"%d %d" % (number, number in changed)
        digest = blake3(data).digest()
        path = f"part-{number * _FOLDERS // count:02}/image-{number:07}.png"
        yield (path, int(Kind.FILE), 1000, digest, 0), Content(0, digest, [1000])


def _file(size: int) -> dict[str, object]:
    """A file in the middle of which one chunk is another one."""
    shelf = Shelf()
    count = size // _CHUNK_BYTES
    before, after = (_listed(shelf, count, at) for at in (-1, count // 2))
    shelf.reads = shelf.round_trips = shelf.bytes = 0
    (fresh,) = fresh_bytes(shelf, [(before, after)])
    return {
        "MB of the file": f"{size // 10**6:,}", "chunks": f"{count:,}", "lists read": shelf.reads,
        "kB of lists": f"{shelf.bytes / 1000:,.0f}", "round trips": shelf.round_trips, "new bytes": fresh.size,
    }  # fmt: skip


def _listed(shelf: Shelf, count: int, changed: int) -> Content:
    builder = ListBuilder(shelf)
    for number in range(count):
        builder.add(blake3(b"%d %d" % (number, number == changed)).digest(), _CHUNK_BYTES)
    return builder.finish()


if __name__ == "__main__":
    main()
