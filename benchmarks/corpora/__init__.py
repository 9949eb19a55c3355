"""The five corpora: made once under the work folder from pinned wheels and fixed seeds, then reused.

Making them needs numpy and pyarrow, which the project itself does not, so it happens in another process
in a virtual environment of its own; this module stays light, because the harness that forks the measured
commands imports it.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

PROJECT_ROOT = Path(__file__).resolve().parents[2]

# Corpus name -> module that makes it.
MODULES = {
    "wheels": "wheels",
    "weights": "weights",
    "tables": "tables",
    "sources": "sources",
    "random": "random_bytes",
}

# Raised when a generator changes what it makes, so that a cached corpus of another kind is not used.
REVISION = 1


class Corpus(NamedTuple):
    """Successive versions of one tree of files."""

    name: str
    versions: list[Path]
    sizes_bytes: list[int]
    file_counts: list[int]


def prepare(name: str, work: Path, scale: float = 1.0) -> Corpus:
    """Return the corpus, making it first if the work folder does not hold it yet.

    Args:
        name: One of `MODULES`.
        work: The work folder; corpora, wheels and the generators' environment lie below it.
        scale: Share of the full size, for quick runs.
    """
    folder = work / "corpora" / f"{name}-{scale:g}"
    stamp = folder / "corpus.json"
    if not _is_current(stamp):
        print(f"making corpus {name} at scale {scale:g} in {folder}", file=sys.stderr, flush=True)
        python = generator_python(work)
        command = [str(python), "-m", "benchmarks.corpora.make", name, str(folder), str(work), repr(scale)]
        subprocess.run(command, cwd=PROJECT_ROOT, check=True)
    facts = json.loads(stamp.read_text())
    versions = [folder / version for version in facts["versions"]]
    return Corpus(name, versions, facts["sizes_bytes"], facts["file_counts"])


def generator_python(work: Path) -> Path:
    """Return the interpreter of the environment that holds numpy and pyarrow, making it when missing."""
    venv = work / "venv"
    python = venv / "bin" / "python"
    requirements = PROJECT_ROOT / "benchmarks" / "requirements.txt"
    installed = venv / "installed.txt"
    if not installed.exists() or installed.read_text() != requirements.read_text():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", "-r", str(requirements)], check=True)
        installed.write_text(requirements.read_text())
    return python


def _is_current(stamp: Path) -> bool:
    return stamp.exists() and json.loads(stamp.read_text()).get("revision") == REVISION
