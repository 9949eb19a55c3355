"""What durability costs: a push to a folder beside a push to memory and the bare writing of the same packs.

Wanted: the durable push takes at most 15 % more than the slower of the other two, so that fsyncs do not
serialise the pipeline. The pushes go through the library and time themselves, without the start of Python.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from benchmarks.bare import write_packs
from benchmarks.corpora import MODULES, PROJECT_ROOT, prepare
from benchmarks.measure import remove, stored_bytes, warm
from benchmarks.options import add_corpus, describe_machine, parse, parser
from benchmarks.report import print_table

FACTOR_MAX = 1.15

_PUSH = """
import sys
import time
from pathlib import Path
from artifactstore import Store
url, scratch, source = sys.argv[1:]
scratch = Path(scratch)
with Store.create(url, key_file=scratch / "key", cache_dir=scratch / "cache") as store:
    started = time.perf_counter()
    store.push([source], "bench/data")
    print(time.perf_counter() - started)
"""


def main() -> None:
    """Measure the three in turn on the first version of each corpus."""
    options = parser(__doc__.splitlines()[0])
    add_corpus(options)
    arguments = parse(options)
    scratch = arguments.work / "scratch-durability"
    results, table = {}, []
    for name in arguments.corpus or MODULES:
        source = prepare(name, arguments.work, arguments.scale).versions[0]
        runs = [_measure(source, scratch) for _ in range(arguments.repeat)]
        results[name] = runs
        durable_s, memory_s, writing_s = (median(values) for values in zip(*runs, strict=True))
        factor = durable_s / max(memory_s, writing_s)
        seconds = [f"{value:.2f}" for value in (durable_s, memory_s, writing_s)]
        table.append([name, *seconds, f"{factor:.2f}", "yes" if factor <= FACTOR_MAX else "NO"])
    print(f"machine: {describe_machine()}\n")
    print_table(["corpus", "folder s", "memory s", "bare writing s", "factor", "≤ 1.15"], table)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": describe_machine(), "seconds": results}, indent=1))


def _measure(source: Path, scratch: Path) -> tuple[float, float, float]:
    warm(source)
    memory_s = _push("memory://benchmark", source, scratch)
    store = scratch / "store"
    durable_s = _push(str(store), source, scratch)
    packs_bytes = stored_bytes(store / "packs")
    os.sync()
    writing_s = write_packs(packs_bytes, scratch / "bare")
    remove(scratch)
    return durable_s, memory_s, writing_s


def _push(url: str, source: Path, scratch: Path) -> float:
    remove(scratch)
    scratch.mkdir()
    os.sync()
    command = [sys.executable, "-c", _PUSH, url, str(scratch), str(source)]
    result = subprocess.run(command, cwd=PROJECT_ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return float(result.stdout)


if __name__ == "__main__":
    main()
