"""The options that all benchmarks share, and what they say of the machine they ran on."""

import argparse
import os
import platform
import tempfile
from pathlib import Path

from benchmarks.corpora import MODULES
from benchmarks.tools import PEERS, use_artifactstore_command


def parser(description: str) -> argparse.ArgumentParser:
    """Return a parser with the shared options."""
    options = argparse.ArgumentParser(description=description)
    default_work = Path(tempfile.gettempdir()) / "artifactstore-benchmarks"
    options.add_argument(
        "--work",
        type=Path,
        default=default_work,
        help=f"folder for corpora and repositories [{default_work}]",
    )
    options.add_argument("--scale", type=float, default=1.0, help="share of the full corpora, for quick runs")
    options.add_argument("--repeat", type=int, default=3, help="repetitions [3]")
    options.add_argument(
        "--artifactstore", metavar="CMD", help="command line to measure in place of this tree's"
    )
    options.add_argument("--json", type=Path, help="where to write the results")
    return options


def add_corpus(options: argparse.ArgumentParser) -> None:
    """Add `--corpus`."""
    options.add_argument(
        "--corpus", action="append", choices=list(MODULES), help="only this corpus; may be repeated [all]"
    )


def add_peers(options: argparse.ArgumentParser) -> None:
    """Add `--peers`."""
    options.add_argument(
        "--peers", default=",".join(PEERS), help="comma-separated; empty for none [restic,borg]"
    )


def parse(options: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse, make the work folder, and take over `--artifactstore`."""
    arguments = options.parse_args()
    arguments.work = arguments.work.resolve()
    arguments.work.mkdir(parents=True, exist_ok=True)
    if arguments.artifactstore:
        use_artifactstore_command(arguments.artifactstore)
    return arguments


def describe_machine() -> str:
    """Say in one line what the numbers were measured on."""
    model = platform.processor() or platform.machine()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next(
            (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model
        )
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    system = f"{platform.system()} {platform.release()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores ({model}), {memory_bytes / 2**30:.0f} GiB, {system}"
