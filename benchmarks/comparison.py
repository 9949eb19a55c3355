"""The comparison itself: every tool pushes every version in turn, then pulls the last and the first.

Tools are interleaved version by version and their order rotates, so that a slow minute of the machine hits
all of them. Before each step its inputs are read once and the disks are synced. In the first repetition every
pulled tree is compared with its source, byte for byte.
"""

import filecmp
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.corpora import PROJECT_ROOT, Corpus
from benchmarks.measure import measure, set_aside, stored_bytes, walk_files, warm
from benchmarks.tools import Tool

BARE = "bare"

Row = dict[str, Any]


class Comparison:
    """Runs repetitions over one corpus and collects a row for each measured step."""

    def __init__(self, corpus: Corpus, tools: Sequence[type[Tool]], work: Path, *, bare: bool) -> None:
        self._corpus = corpus
        self._tool_classes = tools
        self._work = work
        self._scratch = work / "scratch"
        self._bare = bare
        self.rows: list[Row] = []

    def run(self, repetition: int) -> None:
        """Measure all steps once with fresh repositories, which are set aside at the end."""
        set_aside(self._scratch, self._work)
        self._scratch.mkdir(parents=True)
        tools = [tool(self._scratch / tool.name) for tool in self._tool_classes]
        for tool in tools:
            tool.prepare()
        count = len(self._corpus.versions)
        for version in range(count):
            for tool in _rotated(tools, repetition + version):
                self._push(tool, version, repetition)
            if self._bare:
                self._measure_bare("push", version, repetition)
        for version in dict.fromkeys([count - 1, 0]):
            for tool in _rotated(tools, repetition + version):
                self._pull(tool, version, repetition)
            if self._bare:
                self._measure_bare("pull", version, repetition)
        set_aside(self._scratch, self._work)

    def _push(self, tool: Tool, version: int, repetition: int) -> None:
        source = self._corpus.versions[version]
        warm(source)
        step = tool.push(source, f"v{version}")
        log = self._scratch / f"{tool.name}-push-v{version}.log"
        cost = measure(step.command, cwd=step.cwd, environment=tool.environment, log=log)
        row = self._row(tool.name, "push", version, repetition)
        row |= {**cost._asdict(), "stored_bytes": stored_bytes(tool.repository)}
        self._add(row, log, ok=cost.returncode == 0)

    def _pull(self, tool: Tool, version: int, repetition: int) -> None:
        source = self._corpus.versions[version]
        destination = self._scratch / "pulled"
        warm(tool.repository)
        step = tool.pull(f"v{version}", destination)
        log = self._scratch / f"{tool.name}-pull-v{version}.log"
        cost = measure(step.command, cwd=step.cwd, environment=tool.environment, log=log)
        ok = cost.returncode == 0
        if ok and repetition == 0:
            ok = same_files(source, destination)
        set_aside(destination, self._work)
        self._add(self._row(tool.name, "pull", version, repetition) | cost._asdict(), log, ok=ok)

    def _measure_bare(self, action: str, version: int, repetition: int) -> None:
        source = self._corpus.versions[version]
        warm(source)
        scratch = self._scratch / "bare"
        facts = run_bare(action, source, scratch, self._scratch / "bare-seen")
        set_aside(scratch, self._work)
        self._add(self._row(BARE, action, version, repetition) | facts, None, ok=True)

    def _row(self, tool: str, action: str, version: int, repetition: int) -> Row:
        return {
            "corpus": self._corpus.name,
            "tool": tool,
            "action": action,
            "version": version,
            "repetition": repetition,
            "logical_bytes": self._corpus.sizes_bytes[version],
        }

    def _add(self, row: Row, log: Path | None, *, ok: bool) -> None:
        row["ok"] = ok
        self.rows.append(row)
        speed = row["logical_bytes"] / row["wall_s"] / 1e6
        words = f"{row['corpus']} {row['action']} v{row['version']} {row['tool']}"
        print(f"  {words}: {row['wall_s']:.2f} s, {speed:.0f} MB/s", file=sys.stderr, flush=True)
        if not ok and log is not None:
            print(f"  FAILED: {log.read_text(errors='replace')[-2000:]}", file=sys.stderr, flush=True)


def run_bare(action: str, version: Path, scratch: Path, seen: Path) -> Row:
    """Measure the bare components on one version in a process of their own.

    Args:
        action: "push" or "pull".
        version: The folder with the version's files.
        scratch: A folder to make; a pull leaves its files there.
        seen: The file that keeps the ids of the chunks pushed before.
    """
    command = [sys.executable, "-m", "benchmarks.bare", action, str(version)]
    command += ["--scratch", str(scratch), "--seen", str(seen)]
    result = subprocess.run(command, cwd=PROJECT_ROOT, check=True, capture_output=True, text=True)
    return json.loads(result.stdout)


def same_files(source: Path, pulled: Path) -> bool:
    """Whether `pulled` holds the same regular files with the same bytes as `source`."""
    expected = {path.removeprefix(str(source)) for path in walk_files(source)}
    actual = {path.removeprefix(str(pulled)) for path in walk_files(pulled)}
    if expected != actual:
        print(f"  files differ: {sorted(expected ^ actual)[:5]}", file=sys.stderr, flush=True)
        return False
    return all(filecmp.cmp(f"{source}{path}", f"{pulled}{path}", shallow=False) for path in expected)


def _rotated(tools: list[Tool], by: int) -> list[Tool]:
    by %= max(1, len(tools))
    return tools[by:] + tools[:by]
