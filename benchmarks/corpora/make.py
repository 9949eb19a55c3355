"""Make one corpus: `python -m benchmarks.corpora.make NAME FOLDER WORK SCALE` (run by `prepare`)."""

import importlib
import json
import shutil
import sys
from pathlib import Path

from benchmarks.corpora import MODULES, REVISION


def main() -> None:
    """Make the corpus in a sibling folder and move it into place, so that a cut run leaves no half corpus."""
    name, target, work, scale = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), float(sys.argv[4])
    module = importlib.import_module(f"benchmarks.corpora.{MODULES[name]}")
    making = target.with_name(target.name + ".making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    module.make(making, work, scale)
    versions = sorted(path.name for path in making.iterdir())
    files = [[path for path in (making / version).rglob("*") if path.is_file()] for version in versions]
    facts = {
        "revision": REVISION,
        "versions": versions,
        "sizes_bytes": [sum(path.stat().st_size for path in paths) for paths in files],
        "file_counts": [len(paths) for paths in files],
    }
    (making / "corpus.json").write_text(json.dumps(facts, indent=1))
    shutil.rmtree(target, ignore_errors=True)
    making.rename(target)


if __name__ == "__main__":
    main()
