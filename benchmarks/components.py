"""Bare component throughput on the corpora, without tools: the mark that the targets are relative to."""

import json
from pathlib import Path
from statistics import median

from benchmarks.comparison import Row, run_bare
from benchmarks.corpora import MODULES, Corpus, prepare
from benchmarks.measure import empty_trash, set_aside, warm
from benchmarks.options import add_corpus, describe_machine, parse, parser
from benchmarks.report import print_table

HEADER = [
    "version", "MB", "new MB", "stored MB", "pipeline MB/s", "pipeline CPU s", "writing packs MB/s",
    "writing s", "creating files MB/s", "files/s",
]  # fmt: skip


def main() -> None:
    """Measure every version of the corpora and print one table for each."""
    options = parser(__doc__.splitlines()[0])
    add_corpus(options)
    arguments = parse(options)
    print(f"machine: {describe_machine()}")
    results: dict[str, list[list[Row]]] = {}
    for name in arguments.corpus or MODULES:
        corpus = prepare(name, arguments.work, arguments.scale)
        scratch = arguments.work / "scratch-components"
        runs = []
        for _ in range(arguments.repeat):
            set_aside(scratch, arguments.work)
            scratch.mkdir()
            runs.append([_measure(corpus, version, scratch) for version in range(len(corpus.versions))])
        set_aside(scratch, arguments.work)
        results[name] = runs
        print(f"\n## {name}\n")
        print_table(HEADER, [_line(corpus, version, runs) for version in range(len(corpus.versions))])
    empty_trash(arguments.work)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


def _measure(corpus: Corpus, version: int, scratch: Path) -> Row:
    source = corpus.versions[version]
    warm(source)
    push = run_bare("push", source, scratch / "bare", scratch / "seen")
    pull = run_bare("pull", source, scratch / f"pulled-{version}", scratch / "seen")
    return push | {"create_s": pull["wall_s"]}


def _line(corpus: Corpus, version: int, runs: list[list[Row]]) -> list[str]:
    def middle(field: str) -> float:
        return median(run[version][field] for run in runs)

    logical, stored = corpus.sizes_bytes[version], middle("stored_bytes")
    return [
        f"v{version}", f"{logical / 1e6:.0f}", f"{middle('new_bytes') / 1e6:.0f}", f"{stored / 1e6:.0f}",
        f"{logical / middle('pipeline_s') / 1e6:.0f}", f"{middle('pipeline_cpu_s'):.2f}",
        f"{stored / middle('write_s') / 1e6:.0f}", f"{middle('write_s'):.2f}",
        f"{logical / middle('create_s') / 1e6:.0f}",
        f"{corpus.file_counts[version] / middle('create_s'):.0f}",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
