"""Collection: taking half of a history away, beside what restic and borg do for it, and at a million chunks."""

import argparse
import shlex
import shutil
import sys
import time
from pathlib import Path

from artifactstore import Store
from artifactstore.clock import SystemRandomness
from artifactstore.content.put import ChunkWriter
from artifactstore.crypto.hashing import blake3
from artifactstore.executors import inline
from artifactstore.format.operations import Delete, Push
from artifactstore.format.pack import PackType
from artifactstore.format.page import Content, Kind
from artifactstore.manifest.build import ManifestBuilder
from benchmarks.corpora import prepare
from benchmarks.measure import measure, remove, stored_bytes
from benchmarks.options import add_corpus, add_peers, describe_machine, parse, parser
from benchmarks.report import print_table
from benchmarks.tools import PEERS, ArtifactStore, Borg, Restic, Tool, artifactstore_works, install_missing

_ARTIFACT = "bench/data"
_PUSHES_PER_RECORD = 50


def main() -> None:
    """Measure both and print the tables."""
    options = parser(__doc__.splitlines()[0])
    add_corpus(options)
    add_peers(options)
    options.add_argument("--versions", type=int, default=10_000, help="versions of the large store [10000]")
    options.add_argument("--chunks", type=int, default=100, help="chunks that each adds to it [100]")
    options.add_argument("--only", choices=["peers", "large"], help="only one of the two")
    arguments = parse(options)
    if not artifactstore_works():
        sys.exit("artifactstore's command line does not start")
    print(f"machine: {describe_machine()}\n")
    if arguments.only != "large":
        _beside_peers(arguments)
    if arguments.only != "peers":
        _at_scale(arguments)


# --- beside the peers ---------------------------------------------------------------------------------------------


def _beside_peers(arguments: argparse.Namespace) -> None:
    names = [name for name in arguments.peers.split(",") if name]
    install_missing(names)
    tools = [*(PEERS[name] for name in names), ArtifactStore]
    rows = []
    for name in arguments.corpus or ["wheels", "tables"]:
        corpus = prepare(name, arguments.work, arguments.scale)
        for repetition in range(arguments.repeat):
            rows += [
                [name, str(repetition + 1), *_forget(kind, corpus.versions, arguments.work)] for kind in tools
            ]
    header = ["corpus", "run", "tool", "stored before", "freed", "wall s", "CPU s", "anonymous MiB"]
    print_table(header, rows)
    print()


def _forget(kind: type[Tool], versions: list[Path], work: Path) -> list[str]:
    """Push a history, then take the first half of it away, which is what is measured."""
    tool = kind(work / "collecting" / kind.name)
    remove(tool.folder)
    tool.prepare()
    log = work / "collecting" / f"{kind.name}.log"
    labels = [f"v{number}" for number in range(len(versions))]
    for label, source in zip(labels, versions, strict=True):
        step = tool.push(source, label)
        if measure(step.command, cwd=step.cwd, environment=tool.environment, log=log).returncode:
            raise RuntimeError(f"{kind.name} failed, see {log}")
    before = stored_bytes(tool.repository)
    command = _forgetting(tool, labels[: len(labels) // 2], len(labels))
    cost = measure(["sh", "-ec", command], cwd=work, environment=tool.environment, log=log)
    if cost.returncode:
        raise RuntimeError(f"{kind.name} failed, see {log}")
    freed = before - stored_bytes(tool.repository)
    return [
        kind.name,
        f"{before:,}",
        f"{freed:,}",
        f"{cost.wall_s:.2f}",
        f"{cost.cpu_s:.2f}",
        f"{cost.anonymous_bytes / (1 << 20):.0f}",
    ]


def _forgetting(tool: Tool, labels: list[str], total: int) -> str:
    if isinstance(tool, Restic):
        keep = total - len(labels)
        return f"restic forget -q --group-by '' --keep-last {keep} --prune --max-unused 0"
    if isinstance(tool, Borg):
        return f"borg delete {' '.join(f'::{label}' for label in labels[:1])} {' '.join(labels[1:])} && borg compact"
    assert isinstance(tool, ArtifactStore)
    command = shlex.join(tool.command)
    references = " ".join(f"{_ARTIFACT}:{label}" for label in labels)
    return f"{command} delete {references} --yes --now --force -q && {command} gc --yes -q"


# --- a million chunks -----------------------------------------------------------------------------------------------


def _at_scale(arguments: argparse.Namespace) -> None:
    """Plan and sweep a store of many versions, of which every other one is deleted."""
    tool = ArtifactStore(arguments.work / "collecting" / f"large-{arguments.versions}-{arguments.chunks}")
    log = arguments.work / "collecting" / "large.log"
    original = tool.folder.with_name(tool.folder.name + "-original")
    if not original.exists():
        making = original.with_name("making")
        shutil.rmtree(making, ignore_errors=True)
        _generate(ArtifactStore(making), arguments.versions, arguments.chunks)
        making.rename(original)
    remove(tool.folder)
    shutil.copytree(original, tool.folder)
    rows = []
    for name, words in {
        "index rebuild": ["index", "rebuild", "-q"],
        "gc --dry-run": ["gc", "--dry-run", "--json"],
        "gc": ["gc", "--yes", "-q"],
        "gc again": ["gc", "--dry-run", "--json"],
    }.items():
        before = stored_bytes(tool.repository)
        cost = measure([*tool.command, *words], cwd=arguments.work, environment=tool.environment, log=log)
        if cost.returncode not in {0, 1}:
            raise RuntimeError(f"{name} failed, see {log}")
        freed = before - stored_bytes(tool.repository)
        rows.append(
            [
                name,
                f"{cost.wall_s:.2f}",
                f"{cost.cpu_s:.2f}",
                f"{cost.anonymous_bytes / (1 << 20):.0f}",
                f"{cost.rss_bytes / (1 << 20):.0f}",
                f"{freed:,}",
            ]
        )
    print(f"{arguments.versions:,} versions, {arguments.versions * arguments.chunks:,} chunks of 2 KiB\n")
    print_table(["step", "wall s", "CPU s", "anonymous MiB", "RSS MiB", "freed"], rows)


def _generate(tool: ArtifactStore, versions: int, chunks: int) -> None:
    """A store of versions that each add chunks and share a base of as many; every other one is deleted, and due."""
    tool.prepare()
    randomness = SystemRandomness()
    started_s = time.monotonic()
    with Store.open(tool.repository, key_file=tool.folder / "key", cache_dir=tool.folder / "cache") as store:
        parts = store.parts
        writer = ChunkWriter(parts.backend, parts.environment, parts.keyring, inline(), randomness, level=1)
        shared = [_file(writer, f"base/{at:06}", randomness.token(2048)) for at in range(chunks)]
        pushes: list[Push] = []
        for number in range(versions):
            builder = ManifestBuilder(writer)
            for entry in shared:
                builder.add(*entry)
            for at in range(chunks):
                builder.add(*_file(writer, f"own/{at:06}", randomness.token(2048)))
            pushes.append(
                Push(
                    "bench",
                    "large",
                    "dataset",
                    builder.finish(),
                    None,
                    None,
                    [],
                    [],
                    0,
                    0,
                    [],
                    randomness.token(32),
                )
            )
            if len(pushes) == _PUSHES_PER_RECORD or number == versions - 1:
                packs = writer.drain()
                parts.committer.commit(pushes, packs)
                writer.registered(packs)
                pushes = []
                print(f"{number + 1:,} versions, {time.monotonic() - started_s:.0f} s", file=sys.stderr)
        numbers = list(range(0, versions - 1, 2))
        parts.committer.commit([Delete("bench", "large", numbers, True, True, "", "")])


def _file(writer: ChunkWriter, path: str, data: bytes) -> tuple[tuple[str, int, int, bytes, int], Content]:
    cid = writer.put_one(PackType.DATA, data)
    return (path, int(Kind.FILE), len(data), blake3(data), 0), Content(0, cid, [len(data)])


if __name__ == "__main__":
    main()
