"""Contention: what a commit costs while others commit too, in requests, lost slots and time."""

import json
import multiprocessing
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from artifactstore import Store
from artifactstore.client.opening import access_to, open_parts
from artifactstore.clock import SystemClock, SystemRandomness
from artifactstore.executors import threads
from artifactstore.testing import MeteredBackend
from benchmarks.options import describe_machine, parse, parser
from benchmarks.report import print_table
from tests.servers import BUCKET, served

ARTIFACT = "bench/data"


class Place(NamedTuple):
    """Where the store of one measurement lies, and how it is reached."""

    name: str
    url: str
    options: dict[str, Any] | None


class Cost(NamedTuple):
    """What one writer paid, all its commits together."""

    commits: int
    times_s: list[float]
    requests: Counter[str]
    creates: int
    cpu_s: float


def main() -> None:
    """Measure each number of writers on each kind of store and print a table."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--commits", type=int, default=25, help="commits of each writer [25]")
    options.add_argument("--writers", default="1,2,4,8", help="numbers of writers [1,2,4,8]")
    arguments = parse(options)
    rows = []
    for kind in ("folder", "s3"):
        for writers in map(int, arguments.writers.split(",")):
            folder = arguments.work / "contention"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            with place(kind, folder, arguments.work / "servers") as chosen:
                started_s = time.monotonic()
                costs = measure(chosen, folder, writers, arguments.commits)
                rows.append(row(kind, writers, costs, time.monotonic() - started_s))
            shutil.rmtree(folder)
    print(f"machine: {describe_machine()}\n")
    print_table(list(rows[0]), [[str(value) for value in one.values()] for one in rows])
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": describe_machine(), "rows": rows}, indent=1))


@contextmanager
def place(kind: str, folder: Path, servers: Path) -> Iterator[Place]:
    """A place for a store; the server runs as long as it is used."""
    if kind == "folder":
        yield Place(kind, str(folder / "store"), None)
        return
    with served("seaweedfs", servers) as server:
        yield Place(kind, f"s3://{BUCKET}/contention-{time.time_ns()}", server.options())


def measure(chosen: Place, folder: Path, writers: int, commits: int) -> list[Cost]:
    """Let so many processes commit at once."""
    source = folder / "source"
    source.mkdir()
    (source / "file").write_bytes(b"content")
    places = {"key_file": folder / "key", "storage_options": chosen.options}
    with Store.create(chosen.url, cache_dir=folder / "cache", **places) as store:
        store.push([source], ARTIFACT)
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(writers)
    with context.Pool(writers, initializer=_remember, initargs=(barrier,)) as pool:
        works = [(chosen, folder, number, commits) for number in range(writers)]
        costs = pool.starmap(write, works, chunksize=1)
    with Store.open(chosen.url, cache_dir=folder / "cache", **places) as store:
        assert len(store.version(ARTIFACT).tags) == writers * commits
    return costs


_barrier: list[Barrier] = []


def _remember(barrier: Barrier) -> None:
    _barrier.append(barrier)


def write(chosen: Place, folder: Path, number: int, commits: int) -> Cost:
    """Commit one record after another, each of one label, beside the other writers."""
    access = access_to(
        chosen.url,
        key_file=folder / "key",
        cache_dir=folder / f"cache-{number}",
        storage_options=chosen.options,
    )
    metered: list[MeteredBackend] = []

    def wrap(inner: Any) -> MeteredBackend:
        metered.append(MeteredBackend(inner))
        return metered[-1]

    clock, randomness = SystemClock(), SystemRandomness()
    parts = open_parts(access._replace(wrap_backend=wrap), clock, randomness, store_id=None)
    store = Store(access, parts, clock=clock, randomness=randomness, make_executors=threads, progress=None)
    with store:
        store.add_tags(f"{ARTIFACT}:v0", ["warm"])
        store.remove_tags(f"{ARTIFACT}:v0", ["warm"])
        _barrier[0].wait()
        metered[0].reset()
        times_s = []
        cpu_s = time.process_time()
        for commit in range(commits):
            began_s = time.monotonic()
            store.add_tags(f"{ARTIFACT}:v0", [f"{number}-{commit}"])
            times_s.append(time.monotonic() - began_s)
        cpu_s = time.process_time() - cpu_s
    requests = Counter(metered[0].requests)
    return Cost(commits, times_s, requests, requests["create"], cpu_s)


def row(kind: str, writers: int, costs: list[Cost], seconds: float) -> dict[str, Any]:
    """The figures of one measurement, each per commit."""
    commits = sum(cost.commits for cost in costs)
    times_ms = sorted(1e3 * one for cost in costs for one in cost.times_s)
    requests = sum(sum(cost.requests.values()) for cost in costs)
    creates = sum(cost.creates for cost in costs)
    return {
        "store": kind,
        "writers": writers,
        "commits": commits,
        "requests per commit": f"{requests / commits:.1f}",
        "slots lost per commit": f"{(creates - commits) / commits:.2f}",
        "requests per slot tried": f"{requests / creates:.1f}",
        "ms, median": f"{median(times_ms):.0f}",
        "ms, 95 of 100": f"{times_ms[int(0.95 * (len(times_ms) - 1))]:.0f}",
        "CPU ms": f"{1e3 * sum(cost.cpu_s for cost in costs) / commits:.1f}",
        "s in all": f"{seconds:.1f}",
    }


if __name__ == "__main__":
    main()
