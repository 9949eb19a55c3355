"""Compare this project with restic and borg: `python -m benchmarks` (see README.md)."""

import json
import sys
import time
from pathlib import Path

from benchmarks.comparison import Comparison
from benchmarks.corpora import MODULES, prepare
from benchmarks.measure import empty_trash
from benchmarks.options import add_corpus, add_peers, describe_machine, parse, parser
from benchmarks.report import print_report
from benchmarks.tools import PEERS, ArtifactStore, Borg, artifactstore_works, install_missing


def main() -> None:
    """Make what is missing, run all steps, print the tables and write the JSON."""
    options = parser(__doc__.splitlines()[0])
    add_corpus(options)
    add_peers(options)
    options.add_argument("--without-artifactstore", action="store_true", help="measure the peers alone")
    options.add_argument("--without-bare", action="store_true", help="leave out the bare components")
    options.add_argument("--borg-encryption", default=Borg.encryption, help=f"[{Borg.encryption}]")
    arguments = parse(options)
    Borg.encryption = arguments.borg_encryption
    peers = [name for name in arguments.peers.split(",") if name]
    install_missing(peers)
    tools = [PEERS[name] for name in peers]
    if not arguments.without_artifactstore:
        if not artifactstore_works():
            sys.exit(
                "artifactstore's command line does not start; --without-artifactstore measures the peers"
            )
        tools.append(ArtifactStore)
    results = {
        "machine": describe_machine(),
        "tools": {tool.name: tool(arguments.work).version() for tool in tools},
        "scale": arguments.scale,
        "steps": [],
    }
    target = arguments.json or _results_path(arguments.work)
    for name in arguments.corpus or MODULES:
        corpus = prepare(name, arguments.work, arguments.scale)
        run = Comparison(corpus, tools, arguments.work, bare=not arguments.without_bare)
        for repetition in range(arguments.repeat):
            print(f"{name}, repetition {repetition + 1} of {arguments.repeat}", file=sys.stderr, flush=True)
            run.run(repetition)
            # Written after each repetition, so that a run that is cut still leaves its numbers.
            target.write_text(json.dumps({**results, "steps": results["steps"] + run.rows}, indent=1))
        results["steps"] += run.rows
    empty_trash(arguments.work)
    print_report(results)
    print(f"\nresults: {target}")


def _results_path(work: Path) -> Path:
    folder = work / "results"
    folder.mkdir(exist_ok=True)
    return folder / time.strftime("%Y%m%d-%H%M%S.json")


if __name__ == "__main__":
    main()
