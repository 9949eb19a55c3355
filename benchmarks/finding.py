"""Finding one large file in a store of many versions, taking it down, and what versions take."""

import os
import shutil
import sys
import time
from pathlib import Path

from artifactstore import Store
from artifactstore.clock import SystemRandomness
from artifactstore.content.put import ChunkWriter
from artifactstore.crypto.hashing import blake3
from artifactstore.executors import inline
from artifactstore.format.operations import Push
from artifactstore.format.pack import PackType
from artifactstore.format.page import Content, Identity, Kind
from artifactstore.manifest.build import ManifestBuilder
from artifactstore.manifest.read import find_entry
from benchmarks.measure import measure, remove
from benchmarks.options import describe_machine, parse, parser
from benchmarks.report import print_table
from benchmarks.tools import ArtifactStore

_HELD_BY_EVERY = 100
_BLOCK_BYTES = 1 << 24


def main() -> None:
    """Make the store once, then measure commands on copies of it."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--versions", type=int, default=10_000, help="versions of the store [10000]")
    options.add_argument("--files", type=int, default=1000, help="files of each version [1000]")
    options.add_argument("--changed", type=int, default=100, help="files that each version changes [100]")
    options.add_argument("--bytes", type=int, default=10**9, help="bytes of the large file [10^9]")
    arguments = parse(options)
    name = f"{arguments.versions}-{arguments.files}-{arguments.changed}-{arguments.bytes}"
    folder = arguments.work / "finding"
    original, large = folder / f"{name}-original", folder / f"{name}.bin"
    if not original.exists():
        making = folder / "making"
        shutil.rmtree(making, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        _write_noise(large, arguments.bytes)
        _generate(ArtifactStore(making), large, arguments.versions, arguments.files, arguments.changed)
        making.rename(original)
    tool = ArtifactStore(folder / name)
    rows = []
    for words in (
        ["find", str(large), "--json"],
        ["du", "bench/many:v5", "--json"],
        ["takedown", str(large), "--rewrite", "--dry-run", "--json"],
        ["takedown", str(large), "--rewrite", "--yes", "--json"],
    ):
        remove(tool.folder)
        shutil.copytree(original, tool.folder)
        log = folder / "finding.log"
        cost = measure([*tool.command, *words], cwd=folder, environment=tool.environment, log=log)
        if cost.returncode:
            raise RuntimeError(f"{words[0]} failed, see {log}")
        told = " ".join(word for word in words if word not in {str(large), "--json"})
        anonymous = f"{cost.anonymous_bytes / (1 << 20):.0f}"
        rows.append([told, f"{cost.wall_s:.2f}", f"{cost.cpu_s:.2f}", anonymous])
    remove(tool.folder)
    print(f"machine: {describe_machine()}\n")
    print(
        f"{arguments.versions:,} versions of {arguments.files:,} files, a file of {arguments.bytes:,} bytes\n"
    )
    print_table(["command", "wall s", "CPU s", "anonymous MiB"], rows)


def _write_noise(path: Path, size: int) -> None:
    with path.open("wb") as file:
        for start in range(0, size, _BLOCK_BYTES):
            file.write(os.urandom(min(_BLOCK_BYTES, size - start)))


def _generate(tool: ArtifactStore, large: Path, versions: int, files: int, changed: int) -> None:
    """A store of versions that each change some files; every hundredth holds the large one."""
    tool.prepare()
    randomness = SystemRandomness()
    started_s = time.monotonic()
    with Store.open(tool.repository, key_file=tool.folder / "key", cache_dir=tool.folder / "cache") as store:
        parts = store.parts
        entry = find_entry(parts.reader, store.push([large], "bench/large").manifest, large.name)
        assert entry is not None
        writer = ChunkWriter(parts.backend, parts.environment, parts.keyring, inline(), randomness, level=1)
        tree = [_file(writer, at, 0) for at in range(files)]
        for number in range(versions):
            for at in range(changed):
                place = (number * 37 + at) % files
                tree[place] = _file(writer, place, number)
            builder = ManifestBuilder(writer)
            for one in tree:
                builder.add(*one)
            if number % _HELD_BY_EVERY == 0:
                builder.add(("zz/large", *entry.identity[1:]), entry.content)
            manifest, salt = builder.finish(), randomness.token(32)
            push = Push("bench", "many", "dataset", manifest, None, None, [], [], 0, 0, [], salt, None)
            packs = writer.drain()
            parts.committer.commit([push], packs)
            writer.registered(packs)
            if number % 500 == 0:
                print(f"{number:,} versions, {time.monotonic() - started_s:.0f} s", file=sys.stderr)


def _file(writer: ChunkWriter, place: int, number: int) -> tuple[Identity, Content]:
    data = b"%d %d " % (place, number) * 10
    cid = writer.put_one(PackType.DATA, data)
    path = f"{place // 100:03}/{place:06}.txt"
    return (path, int(Kind.FILE), len(data), blake3(data), 0), Content(0, cid, [len(data)])


if __name__ == "__main__":
    main()
