"""Start-up: `--help` beside `python -c pass`, and `show` on a store with a thousand versions."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.corpora import PROJECT_ROOT
from benchmarks.measure import remove
from benchmarks.options import describe_machine, parse, parser
from benchmarks.report import print_table
from benchmarks.tools import ArtifactStore

HELP_FACTOR_MAX, HELP_EXTRA_S_MAX, SHOW_EXTRA_S_MAX = 2.5, 0.040, 0.150

# Through the library in one process: a thousand command lines would take minutes.
_FILL = """
import sys
from pathlib import Path
from artifactstore import Store
url, key, cache, folder, count = sys.argv[1:]
source = Path(folder)
source.mkdir()
with Store.open(url, key_file=Path(key), cache_dir=Path(cache)) as store:
    for number in range(int(count)):
        (source / "part.txt").write_text(f"version {number}")
        store.push([str(source)], "bench/data")
"""


def main() -> None:
    """Time the commands in turn and print medians."""
    options = parser(__doc__.splitlines()[0])
    options.set_defaults(repeat=20)
    options.add_argument("--versions", type=int, default=1000, help="versions in the store [1000]")
    arguments = parse(options)
    scratch = arguments.work / "scratch-startup"
    remove(scratch)
    tool = ArtifactStore(scratch)
    tool.prepare()
    filled_s = _fill(tool, scratch, arguments.versions)
    commands = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "--help": [*tool.command, "--help"],
        "show": [*tool.command, "show", "bench/data:v7"],
    }
    times = {name: [] for name in commands}
    for _ in range(arguments.repeat + 1):  # the first round warms up
        for name, command in commands.items():
            times[name].append(_time(command, tool.environment))
    remove(scratch)
    results = {name: median(values[1:]) for name, values in times.items()}
    _print(results, filled_s, arguments.versions)
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": describe_machine(), "times_s": times}, indent=1))


def _fill(tool: ArtifactStore, scratch: Path, versions: int) -> float:
    script = [sys.executable, "-c", _FILL, str(tool.repository), str(scratch / "key"), str(scratch / "cache")]
    started = time.perf_counter()
    environment = {**os.environ, **tool.environment}
    command = [*script, str(scratch / "source"), str(versions)]
    subprocess.run(command, check=True, cwd=PROJECT_ROOT, env=environment)
    return time.perf_counter() - started


def _time(command: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, env={**os.environ, **environment}, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _print(results: dict[str, float], filled_s: float, versions: int) -> None:
    bare, shown_help, show = results.values()
    help_limit = HELP_FACTOR_MAX * bare + HELP_EXTRA_S_MAX
    # "0.15 s more than that": than the allowance for --help.
    show_limit = help_limit + SHOW_EXTRA_S_MAX
    print(f"machine: {describe_machine()}\n{versions} versions were pushed in {filled_s:.1f} s\n")
    rows = [
        ["python -c pass", f"{bare * 1e3:.0f}", "", ""],
        ["--help", f"{shown_help * 1e3:.0f}", f"{help_limit * 1e3:.0f}", _met(shown_help, help_limit)],
        ["show", f"{show * 1e3:.0f}", f"{show_limit * 1e3:.0f}", _met(show, show_limit)],
    ]
    print_table(["command", "median ms", "allowed ms", "met"], rows)


def _met(value: float, limit: float) -> str:
    return "yes" if value <= limit else "NO"


if __name__ == "__main__":
    main()
