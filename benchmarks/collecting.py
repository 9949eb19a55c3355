"""Collection: taking half of a history away, beside what restic and borg do for it, and at a million chunks.

Two histories are taken to every tool: releases of a wheel, of which the first half goes, and many versions of a tree of
small files, of which every other one goes.
"""

import argparse
import json
import os
import random
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

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
_WORDS_BYTES_MAX = 8000


def main() -> None:
    """Measure both and print the tables."""
    options = parser(__doc__.splitlines()[0])
    add_corpus(options)
    add_peers(options)
    options.add_argument("--versions", type=int, default=10_000, help="versions of the large store [10000]")
    options.add_argument("--chunks", type=int, default=100, help="chunks that each adds to it [100]")
    options.add_argument("--many", type=int, default=300, help="versions of the history of small files [300]")
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


class _History(NamedTuple):
    """Versions of a tree, each to be stored before the next one is asked for, and which of them are to go."""

    name: str
    versions: Iterable[Path]
    gone: list[int]


def _beside_peers(arguments: argparse.Namespace) -> None:
    names = [name for name in arguments.peers.split(",") if name]
    install_missing(names)
    rows = []
    for history in _histories(arguments):
        work = arguments.work / "collecting" / history.name
        tools = [kind(work / kind.name) for kind in (*(PEERS[name] for name in names), ArtifactStore)]
        if not all(_kept(tool).exists() for tool in tools):
            _store(tools, history.versions, work)
        rows += [
            [history.name, str(repetition + 1), tool.name, *_forget(tool, history.gone, work)]
            for repetition in range(arguments.repeat)
            for tool in tools
        ]
    header = ["history", "run", "tool", "stored before", "freed", "wall s", "CPU s", "anonymous MiB"]
    print_table(header, rows)
    print()


def _histories(arguments: argparse.Namespace) -> Iterator[_History]:
    for name in arguments.corpus or ["wheels"]:
        versions = prepare(name, arguments.work, arguments.scale).versions
        yield _History(name, versions, list(range(len(versions) // 2)))
    if arguments.many:
        count = arguments.many
        name = f"many-{count}"
        folder = arguments.work / "collecting" / name / "tree"
        yield _History(name, _small_files(folder, count), list(range(0, count - 1, 2)))


def _small_files(folder: Path, versions: int) -> Iterator[Path]:
    """A tree of 3,000 files of words, of which each version has 40 others, half of them always the same ones."""
    dice = random.Random(1)
    vocabulary = [dice.randbytes(dice.randint(2, 6)).hex() for _ in range(5000)]
    files = [folder / f"{at // 100:02}" / f"{at:04}.txt" for at in range(3000)]

    def write(path: Path) -> None:
        words = " ".join(dice.choices(vocabulary, k=_WORDS_BYTES_MAX // 10))
        path.write_text(words[: dice.randint(500, _WORDS_BYTES_MAX)])

    remove(folder)
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path)
    for number in range(versions):
        for path in [*files[:20], *dice.sample(files, 20)] if number else []:
            write(path)
        yield folder


def _store(tools: list[Tool], versions: Iterable[Path], work: Path) -> None:
    """Push a history with every tool, side by side, which is not measured, and keep what each then has."""
    started_s = time.monotonic()
    for tool in tools:
        remove(tool.folder)
        tool.prepare()

    def push(tool: Tool, source: Path, label: str) -> None:
        step = tool.push(source, label)
        environment = {**os.environ, **tool.environment}
        subprocess.run(step.command, cwd=step.cwd, env=environment, check=True, capture_output=True)

    with ThreadPoolExecutor(len(tools)) as pool:
        for number, source in enumerate(versions):
            for _ in pool.map(push, tools, [source] * len(tools), [f"v{number}"] * len(tools)):
                pass
    for tool in tools:
        remove(_kept(tool))
        shutil.copytree(tool.folder, _kept(tool), symlinks=True)
    print(f"{work.name}: made in {time.monotonic() - started_s:.0f} s", file=sys.stderr)


def _kept(tool: Tool) -> Path:
    return tool.folder.with_name(f"{tool.name}-original")


def _forget(tool: Tool, gone: list[int], work: Path) -> list[str]:
    """Take versions away from what was kept, and measure that."""
    remove(tool.folder)
    shutil.copytree(_kept(tool), tool.folder, symlinks=True)
    log = work / f"{tool.name}.log"
    command = _forgetting(tool, gone)
    before = stored_bytes(tool.repository)
    cost = measure(["sh", "-ec", command], cwd=work, environment=tool.environment, log=log)
    if cost.returncode:
        raise RuntimeError(f"{tool.name} failed, see {log}")
    freed = before - stored_bytes(tool.repository)
    return [
        f"{before:,}",
        f"{freed:,}",
        f"{cost.wall_s:.2f}",
        f"{cost.cpu_s:.2f}",
        f"{cost.anonymous_bytes / (1 << 20):.0f}",
    ]


def _forgetting(tool: Tool, gone: list[int]) -> str:
    """The command line that takes these versions away and frees their space."""
    if isinstance(tool, Restic):
        listed = subprocess.run(
            ["restic", "snapshots", "--json"],
            env={**os.environ, **tool.environment},
            check=True,
            capture_output=True,
        )
        ids = {snapshot["tags"][0]: snapshot["id"] for snapshot in json.loads(listed.stdout)}
        return f"restic forget -q {' '.join(ids[f'v{number}'] for number in gone)} --prune --max-unused 0"
    if isinstance(tool, Borg):
        first, *others = (f"v{number}" for number in gone)
        return f"borg delete ::{first} {' '.join(others)} && borg compact"
    assert isinstance(tool, ArtifactStore)
    command = shlex.join(tool.command)
    references = " ".join(f"{_ARTIFACT}:v{number}" for number in gone)
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
                    None,
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
