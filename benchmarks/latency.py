"""Latency: what push and pull keep of their throughput when every answer comes 50 ms late."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from artifactstore import Store
from artifactstore.backend.base import Backend
from artifactstore.client.opening import access_to, open_parts
from artifactstore.clock import SystemClock, SystemRandomness
from artifactstore.executors import threads
from artifactstore.testing import DelayedBackend, MeteredBackend
from benchmarks.contention import Place, place
from benchmarks.options import describe_machine, parse, parser
from benchmarks.report import print_table

ARTIFACT = "bench/data"
_FILE_BYTES = 64 << 20
_SHARE_WANTED = 0.8


def main() -> None:
    """Push and pull in turn without and with the delay, on each kind of store, and print a table."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--size-mb", type=int, default=1024, help="MiB to push and pull [1024]")
    options.add_argument("--delay-ms", type=float, default=50, help="what each answer is late by [50]")
    options.add_argument("--kinds", default="folder,s3", help="kinds of stores [folder,s3]")
    arguments = parse(options)
    source = arguments.work / "latency-source"
    write_source(source, arguments.size_mb << 20)
    rows = []
    for kind in arguments.kinds.split(","):
        runs: list[dict[str, dict[str, float]]] = []
        for turn in range(arguments.repeat):
            folder = arguments.work / "latency"
            pair = {}
            # Each comes first in every second turn: a machine gets warmer, and fuller.
            delays_s = (0.0, arguments.delay_ms / 1e3)
            for delay_s in delays_s if turn % 2 else reversed(delays_s):
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                with place(kind, folder, arguments.work / "servers") as chosen:
                    pair["late" if delay_s else "at once"] = measure(chosen, folder, source, delay_s)
                shutil.rmtree(folder)
            print(f"{kind}, turn {turn + 1}: {json.dumps(pair)}", flush=True)
            runs.append(pair)
        rows += [
            row(kind, operation, runs, arguments.size_mb)
            for operation in ("push", "pull", "pull, new client")
        ]
    shutil.rmtree(source)
    print(f"\nmachine: {describe_machine()}\n")
    print_table(list(rows[0]), [[str(value) for value in one.values()] for one in rows])
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": describe_machine(), "rows": rows}, indent=1))


def write_source(folder: Path, size: int) -> None:
    """Files that nothing compresses: whatever they cost, packs of them are as large as can be."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number in range(0, size, _FILE_BYTES):
        (folder / f"{number // _FILE_BYTES:03}").write_bytes(os.urandom(min(_FILE_BYTES, size - number)))


def measure(chosen: Place, folder: Path, source: Path, delay_s: float) -> dict[str, float]:
    """Seconds and requests of a first push, and of pulls with and without an index, each with opening the store."""
    clock, randomness = SystemClock(), SystemRandomness()
    meters: list[MeteredBackend] = []

    def wrap(inner: Backend) -> Backend:
        # Both ways over the same threads, so that nothing but the delay tells them apart.
        meters.append(MeteredBackend(DelayedBackend(inner, delay_s, clock)))
        return meters[-1]

    places = {"key_file": folder / "key", "storage_options": chosen.options}

    def opened(cache: str) -> Store:
        access = access_to(chosen.url, cache_dir=folder / cache, **places)._replace(wrap_backend=wrap)
        parts, access = open_parts(access, clock, randomness, store_id=None)
        return Store(access, parts, clock=clock, randomness=randomness, make_executors=threads, progress=None)

    # Its backend is tested when a store is made, once for each client; that is no part of a push.
    Store.create(chosen.url, cache_dir=folder / "cache", **places).close()
    steps: dict[str, tuple[str, Callable[[Store], object]]] = {
        "push": ("cache", lambda store: store.push([source], ARTIFACT)),
        "pull": ("cache", lambda store: store.pull(ARTIFACT, folder / "out")),
        "pull, new client": ("newcomer", lambda store: store.pull(ARTIFACT, folder / "out")),
    }
    found: dict[str, float] = {}
    for name, (cache, step) in steps.items():
        shutil.rmtree(folder / "out", ignore_errors=True)
        os.sync()
        began_s = time.perf_counter()
        with opened(cache) as store:
            step(store)
            found[f"{name}_s"] = time.perf_counter() - began_s
        found[f"{name}_requests"] = len(meters[-1].asked)
    return found


def row(kind: str, operation: str, runs: list[dict[str, dict[str, float]]], size_mb: int) -> dict[str, Any]:
    """The medians of one operation, and what share of the throughput is kept, run for run."""
    key = f"{operation}_s"
    shares = sorted(pair["at once"][key] / pair["late"][key] for pair in runs)
    share = median(shares)
    return {
        "store": kind,
        "operation": operation,
        "MB/s at once": round(median(size_mb * 1.048576 / pair["at once"][key] for pair in runs)),
        "MB/s late": round(median(size_mb * 1.048576 / pair["late"][key] for pair in runs)),
        "requests": round(median(pair["late"][f"{operation}_requests"] for pair in runs)),
        "share kept (range)": f"{share:.2f} ({shares[0]:.2f}-{shares[-1]:.2f})",
        "wanted": f"≥ {_SHARE_WANTED}",
        "met": "yes" if share >= _SHARE_WANTED else "NO",
    }


if __name__ == "__main__":
    main()
