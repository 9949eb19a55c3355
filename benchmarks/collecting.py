"""Collection: taking half of a history away, beside what restic and borg do for it, up to a million chunks.

Three kinds of history are taken to the tools: releases of a wheel, of which the first half goes, many versions of a
tree of small files, and versions by the thousand that each add a hundred chunks; of both every other one goes. restic,
which takes most of a second for each snapshot, is left out of the largest.
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
from artifactstore.content.put import Chunk, ChunkWriter
from artifactstore.crypto.hashing import blake3
from artifactstore.executors import inline
from artifactstore.format.operations import Push
from artifactstore.format.pack import PackType
from artifactstore.format.page import Content, Kind
from artifactstore.manifest.build import ManifestBuilder
from benchmarks.corpora import prepare
from benchmarks.large_history import files_of
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
    options.add_argument(
        "--versions",
        type=int,
        nargs="*",
        default=[1_000, 10_000],
        help="versions of large histories [1000 10000]",
    )
    options.add_argument("--chunks", type=int, default=100, help="chunks that each adds to them [100]")
    options.add_argument(
        "--restic-max", type=int, default=1_000, help="largest history that restic gets [1000]"
    )
    options.add_argument("--many", type=int, default=300, help="versions of the history of small files [300]")
    options.add_argument("--only", choices=["peers", "large"], help="only one of the two")
    arguments = parse(options)
    if not artifactstore_works():
        sys.exit("artifactstore's command line does not start")
    print(f"machine: {describe_machine()}\n")
    names = [name for name in arguments.peers.split(",") if name]
    install_missing(names)
    rows = [] if arguments.only == "large" else _beside_peers(arguments, names)
    for versions in [] if arguments.only == "peers" else arguments.versions:
        rows += _large(arguments, names, versions)
    print_table(
        ["history", "run", "tool", "stored before", "freed", "wall s", "CPU s", "anonymous MiB"], rows
    )
    print()
    for versions in [] if arguments.only == "peers" else arguments.versions:
        _step_by_step(arguments, versions)


# --- beside the peers ---------------------------------------------------------------------------------------------


class _History(NamedTuple):
    """Versions of a tree, each to be stored before the next one is asked for, and which of them are to go."""

    name: str
    versions: Iterable[Path]
    gone: list[int]


def _beside_peers(arguments: argparse.Namespace, names: list[str]) -> list[list[str]]:
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
    return rows


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
        _keep(tool)
    print(f"{work.name}: made in {time.monotonic() - started_s:.0f} s", file=sys.stderr)


def _kept(tool: Tool) -> Path:
    return tool.folder.with_name(f"{tool.name}-original")


def _keep(tool: Tool) -> None:
    """Keep what a tool has now, to take it up again for each run."""
    remove(_kept(tool))
    shutil.copytree(tool.folder, _kept(tool), symlinks=True)


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


# --- up to a million chunks -----------------------------------------------------------------------------------------


def _large(arguments: argparse.Namespace, names: list[str], versions: int) -> list[list[str]]:
    """Take every other one of many versions away with each tool."""
    name = f"large-{versions}-{arguments.chunks}"
    work = arguments.work / "collecting" / name
    kinds = [PEERS[peer] for peer in names if peer != "restic" or versions <= arguments.restic_max]
    tools = [kind(work / kind.name) for kind in (*kinds, ArtifactStore)]
    for tool in tools:
        if not _kept(tool).exists():
            remove(tool.folder)
            tool.prepare()
            _MAKERS[tool.name](tool, versions, arguments.chunks)
            _keep(tool)
    gone = _gone(versions)
    return [
        [name, str(repetition + 1), tool.name, *_forget(tool, gone, work)]
        for repetition in range(arguments.repeat)
        for tool in tools
    ]


def _gone(versions: int) -> list[int]:
    return list(range(0, versions - 1, 2))


def _step_by_step(arguments: argparse.Namespace, versions: int) -> None:
    """The steps of a collection, each measured for itself."""
    tool = ArtifactStore(
        arguments.work / "collecting" / f"large-{versions}-{arguments.chunks}" / ArtifactStore.name
    )
    log = arguments.work / "collecting" / "large.log"
    remove(tool.folder)
    shutil.copytree(_kept(tool), tool.folder, symlinks=True)
    references = [f"{_ARTIFACT}:v{number}" for number in _gone(versions)]
    rows = []
    for name, words in {
        "index rebuild": ["index", "rebuild", "-q"],
        "delete": ["delete", *references, "--yes", "--now", "--force", "-q"],
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
    print(f"{versions:,} versions, {versions * arguments.chunks:,} chunks of 2 KiB\n")
    print_table(["step", "wall s", "CPU s", "anonymous MiB", "RSS MiB", "freed"], rows)
    print()


def _fill(tool: Tool, versions: int, chunks: int) -> None:
    """Versions in a store, through the parts that a push runs through; many in each record."""
    randomness = SystemRandomness()
    with Store.open(tool.repository, key_file=tool.folder / "key", cache_dir=tool.folder / "cache") as store:
        parts = store.parts
        writer = ChunkWriter(parts.backend, parts.environment, parts.keyring, inline(), randomness, level=1)
        pushes: list[Push] = []
        for number in range(versions):
            builder = ManifestBuilder(writer)
            files = [
                (path, writer.cid_of(PackType.DATA, data), data) for path, data in files_of(number, chunks)
            ]
            # As a push does, so that neighbours share a blob.
            writer.put(PackType.DATA, [Chunk(cid, data) for _, cid, data in files])
            for path, cid, data in files:
                identity = (path, int(Kind.FILE), len(data), blake3(data), 0)
                builder.add(identity, Content(0, cid, [len(data)]))
            manifest, salt = builder.finish(), randomness.token(32)
            pushes.append(
                Push("bench", "data", "dataset", manifest, None, None, [], [], 0, 0, [], salt, None)
            )
            if len(pushes) == _PUSHES_PER_RECORD or number == versions - 1:
                packs = writer.drain()
                parts.committer.commit(pushes, packs)
                writer.registered(packs)
                pushes = []
    print(f"artifactstore: {versions:,} versions", file=sys.stderr)


def _fill_borg(tool: Tool, versions: int, chunks: int) -> None:
    """Archives in a repository, made through borg's own modules."""
    script = Path(__file__).with_name("borg_history.py")
    interpreter = Path(shutil.which("borg") or "borg").read_text().splitlines()[0].removeprefix("#!").strip()
    command = [interpreter, str(script), tool.environment["BORG_REPO"], str(versions), str(chunks)]
    subprocess.run(command, env={**os.environ, **tool.environment}, check=True)


def _fill_restic(tool: Tool, versions: int, chunks: int) -> None:
    """Snapshots in a repository, one after another."""
    tree = tool.folder / "tree"
    for number in range(versions):
        for path, data in files_of(number, chunks):
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(data)
        step = tool.push(tree, f"v{number}")
        environment = {**os.environ, **tool.environment}
        subprocess.run(step.command, cwd=step.cwd, env=environment, check=True, capture_output=True)
    remove(tree)
    print(f"restic: {versions:,} snapshots", file=sys.stderr)


_MAKERS = {"artifactstore": _fill, "borg": _fill_borg, "restic": _fill_restic}


if __name__ == "__main__":
    main()
