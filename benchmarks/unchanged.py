"""A push of 50,000 files of which none changed, beside `os.scandir` and `stat` of them."""

import json
import os
import time
from pathlib import Path
from statistics import median

from benchmarks.corpora import prepare
from benchmarks.measure import measure, remove, warm
from benchmarks.options import describe_machine, parse, parser
from benchmarks.report import print_table
from benchmarks.tools import ArtifactStore

FACTOR_MAX, EXTRA_S_MAX = 2.0, 0.5
# The stat cache trusts times that are at least 2 s older than the read.
_SETTLE_S = 3.0


def main() -> None:
    """Push the small source files once, then again and again, and print the medians."""
    arguments = parse(parser(__doc__.splitlines()[0]))
    source = prepare("sources", arguments.work, arguments.scale).versions[0]
    scratch = arguments.work / "scratch-unchanged"
    remove(scratch)
    tool = ArtifactStore(scratch)
    tool.prepare()
    warm(source)
    pushed_s = _push(tool, source, scratch)
    time.sleep(_SETTLE_S)
    scans, pushes = [], []
    for _ in range(arguments.repeat + 1):  # the first round warms up
        scans.append(_scan(source))
        pushes.append(_push(tool, source, scratch))
    remove(scratch)
    scan_s, push_s = median(scans[1:]), median(pushes[1:])
    limit_s = FACTOR_MAX * scan_s + EXTRA_S_MAX
    print(f"machine: {describe_machine()}\n")
    rows = [
        ["first push", f"{pushed_s:.2f}", "", ""],
        ["scandir and stat", f"{scan_s:.2f}", "", ""],
        ["unchanged push", f"{push_s:.2f}", f"{limit_s:.2f}", "yes" if push_s <= limit_s else "NO"],
    ]
    print_table(["what", "median s", "allowed s", "met"], rows)
    if arguments.json:
        facts = {"machine": describe_machine(), "scan_s": scans, "push_s": pushes, "first_push_s": pushed_s}
        arguments.json.write_text(json.dumps(facts, indent=1))


def _push(tool: ArtifactStore, source: Path, scratch: Path) -> float:
    step = tool.push(source, "v0")
    log = scratch / "push.log"
    cost = measure(step.command, cwd=step.cwd, environment=tool.environment, log=log)
    if cost.returncode != 0:
        raise SystemExit(f"push failed: {log.read_text(errors='replace')}")
    return cost.wall_s


def _scan(folder: Path) -> float:
    """Return the seconds that listing the tree and a stat of each entry takes."""
    started = time.perf_counter()
    folders = [os.fspath(folder)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
