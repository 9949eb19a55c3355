"""Importing an MLflow run, or the runs of an experiment, from the folders of MLflow's file store.

A run's artifacts become the version's files; its parameters, last metrics and tags become metadata.
"""

import math
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from artifactstore.exchange.incoming import Incoming, broken
from artifactstore.exchange.yaml_files import read_yaml
from artifactstore.transfer.scan import Sources

_META: Final = "meta.yaml"
_VALUES_MAX: Final = 100_000
_VALUE_BYTES_MAX: Final = 64 << 20
_STATES: Final = {1: "RUNNING", 2: "SCHEDULED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}


def is_mlflow(folder: Path) -> bool:
    """Whether a folder looks like a run or an experiment."""
    return (folder / _META).is_file()


def runs_of(folder: Path) -> list[Incoming]:
    """The run in a folder, or all runs of an experiment, by the time of their beginning.

    Raises:
        BrokenSource: It is neither, or a run lacks what belongs to it.
        MissingExtra: PyYAML is not installed.
    """
    if not is_mlflow(folder):
        raise broken(str(folder), f"it has no {_META}, which every run and experiment of MLflow has")
    if "run_id" in (meta := read_yaml(folder / _META)) or "run_uuid" in meta:
        return [_run(folder, meta)]
    runs = [
        (read_yaml(path / _META), path)
        for path in sorted(folder.iterdir())
        if (path / _META).is_file() and path.name not in {"models", "traces"}
    ]
    runs = [(meta, path) for meta, path in runs if "run_id" in meta or "run_uuid" in meta]
    if not runs:
        raise broken(str(folder), "it is an experiment without a run")
    return [_run(path, meta) for meta, path in sorted(runs, key=lambda run: (_start(run[0]), str(run[1])))]


def _run(folder: Path, meta: dict[str, Any]) -> Incoming:
    facts = {
        "run_id": str(meta.get("run_id") or meta["run_uuid"]),
        "run_name": meta.get("run_name"),
        "experiment_id": None if meta.get("experiment_id") is None else str(meta["experiment_id"]),
        "status": _STATES.get(meta.get("status", 0), str(meta.get("status"))),
        "start_time_ms": meta.get("start_time"),
        "end_time_ms": meta.get("end_time"),
        "params": _values(folder / "params"),
        "metrics": {name: _last(text, name) for name, text in _values(folder / "metrics").items()},
        "tags": _values(folder / "tags"),
    }
    where = f"the MLflow run {facts['run_id']}"
    return Incoming(Sources([str(_artifacts(folder, meta, where))]), {"mlflow": facts}, where)


def _artifacts(folder: Path, meta: dict[str, Any], where: str) -> Path:
    """Where a run's artifacts are: beside its meta.yaml, or where that says."""
    uri = urlsplit(str(meta.get("artifact_uri") or ""))
    candidates = [folder / "artifacts"]
    if uri.scheme in {"", "file"} and uri.path:
        candidates.append(Path(unquote(uri.path)))
    for candidate in candidates:
        if candidate.is_dir():
            return candidate
    raise broken(where, f"its artifacts are not there: {str(candidates[-1])!r}", path=str(folder))


def _values(folder: Path) -> dict[str, str]:
    """The text of each file below a folder, by its path; a slash in a name makes subfolders."""
    found: dict[str, str] = {}
    if not folder.is_dir():
        return found
    room = _VALUE_BYTES_MAX
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        room -= path.stat().st_size
        if len(found) >= _VALUES_MAX or room < 0:
            raise broken(str(folder), "it holds more than metadata can hold", path=str(folder))
        found[path.relative_to(folder).as_posix()] = path.read_text(encoding="utf-8", errors="replace")
    return found


def _last(text: str, name: str) -> float | str:
    """The last value of a metric, whose lines are time, value and step; text where JSON has no such number."""
    lines = text.split("\n")
    words = next((line.split() for line in reversed(lines) if line.strip()), [])
    try:
        value = float(words[1])
    except (IndexError, ValueError) as error:
        raise broken(f"the metric {name}", f"its last line is no time, value and step: {words}") from error
    return value if math.isfinite(value) else words[1]


def _start(meta: dict[str, Any]) -> int:
    start = meta.get("start_time")
    return start if isinstance(start, int) else 0
