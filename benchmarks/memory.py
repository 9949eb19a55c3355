"""Peak memory of push and pull on one file of 20 GB and on 500,000 files, both made on the fly.

The large file has a stretch of random bytes in every tenth of its mebibytes and holes between them, so that
neither it nor its store needs 20 GB of disk; a pull writes the zeros out, so it is left out for the file
unless `--pull-file` says that there is room.
"""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

from benchmarks.measure import Measurement, measure, remove, stored_bytes
from benchmarks.options import describe_machine, parse, parser
from benchmarks.report import ANONYMOUS_BYTES_MAX, print_table
from benchmarks.tools import ArtifactStore

SEED = 20_09
FILE_BYTES = 20 * 10**9
FILE_COUNT = 500_000
_MIB = 1 << 20
_FILES_PER_FOLDER = 500
_POLL_S = 0.05


def main() -> None:
    """Make each input, push and pull it, and print peaks."""
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--file-bytes", type=int, default=FILE_BYTES, help=f"0 for none [{FILE_BYTES}]")
    options.add_argument("--random-share", type=float, default=0.1, help="share of the file not holes [0.1]")
    options.add_argument("--files", type=int, default=FILE_COUNT, help=f"0 for none [{FILE_COUNT}]")
    options.add_argument("--pull-file", action="store_true", help="pull the large file too")
    arguments = parse(options)
    scratch = arguments.work / "scratch-memory"
    remove(scratch)
    cases: list[tuple[str, Callable[[Path], None], bool]] = []
    if arguments.file_bytes:
        share = arguments.random_share
        make_file = lambda folder: _make_file(folder, arguments.file_bytes, share)  # noqa: E731
        cases.append((f"one file of {arguments.file_bytes / 1e9:g} GB", make_file, arguments.pull_file))
    if arguments.files:
        make_files = lambda folder: _make_files(folder, arguments.files)  # noqa: E731
        cases.append((f"{arguments.files:,} files", make_files, True))
    rows = []
    for name, make, pulls in cases:
        rows += _measure_case(name, make, scratch, pulls=pulls)
        remove(scratch)
    print(f"machine: {describe_machine()}\n")
    header = ["input", "step", "s", "CPU s", "stored MB", "anonymous MiB", "RSS MiB", "≤ 256 MiB anonymous"]
    print_table(header, [_line(row) for row in rows])
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": describe_machine(), "steps": rows}, indent=1))


def _measure_case(
    name: str, make: Callable[[Path], None], scratch: Path, *, pulls: bool
) -> list[dict[str, object]]:
    tool = ArtifactStore(scratch)
    tool.prepare()
    source = scratch / "source"
    source.mkdir()
    make(source)
    push = tool.push(source, "v0")
    log = scratch / "step.log"
    steps = {"push": push, "push again, unchanged": push}
    if pulls:
        steps["pull"] = tool.pull("v0", scratch / "pulled")
    rows = []
    for action, step in steps.items():
        cost = measure(step.command, cwd=step.cwd, environment=tool.environment, log=log, poll_s=_POLL_S)
        _check(cost, action, log)
        rows.append({"input": name, "action": action, **cost._asdict()})
        rows[-1]["stored_bytes"] = stored_bytes(tool.repository)
    return rows


def _check(cost: Measurement, action: str, log: Path) -> None:
    if cost.returncode != 0:
        raise SystemExit(f"{action} failed: {log.read_text(errors='replace')[-2000:]}")


def _line(row: dict[str, object]) -> list[str]:
    anonymous = row["anonymous_bytes"]
    return [
        row["input"], row["action"], f"{row['wall_s']:.1f}", f"{row['cpu_s']:.1f}",
        f"{row['stored_bytes'] / 1e6:.0f}", f"{anonymous / _MIB:.0f}", f"{row['rss_bytes'] / _MIB:.0f}",
        "yes" if anonymous <= ANONYMOUS_BYTES_MAX else "NO",
    ]  # fmt: skip


def _make_file(folder: Path, size_bytes: int, random_share: float) -> None:
    rng = random.Random(SEED)
    step = max(_MIB, round(_MIB / random_share)) if random_share else size_bytes
    with (folder / "large.bin").open("wb", buffering=0) as out:
        for offset in range(0, size_bytes - _MIB, step):
            out.seek(offset)
            out.write(rng.randbytes(_MIB))
        out.truncate(size_bytes)


def _make_files(folder: Path, count: int) -> None:
    """Files of 20 to 1,000 bytes, each its own content."""
    rng = random.Random(SEED)
    for number in range(count):
        if number % _FILES_PER_FOLDER == 0:
            place = folder / f"part_{number // _FILES_PER_FOLDER:04d}"
            place.mkdir()
        descriptor = os.open(f"{place}/record_{number:07d}.txt", os.O_CREAT | os.O_WRONLY, 0o644)
        os.write(
            descriptor, f"record {number}\n".encode() + rng.randbytes(rng.randrange(4, 490)).hex().encode()
        )
        os.close(descriptor)


if __name__ == "__main__":
    main()
