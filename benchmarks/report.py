"""Tables out of a results file: what each tool cost, and how this project stands against its targets.

`python -m benchmarks.report RESULTS.json` prints them again. MB are 10^6 bytes, MiB 2^20. Speeds are logical
bytes over the median of the repetitions; the spread is slowest over fastest repetition, less one.
"""

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

OURS, BARE = "artifactstore", "bare"
# Group of steps -> (action, least ratio to the faster peer, least share of the bare components where less).
GROUPS = {
    "push v0": ("push", 2.0, 0.6),
    "push later": ("push", 2.0, 0.6),
    "pull last": ("pull", 1.5, 0.7),
    "pull v0": ("pull", 1.5, 0.7),
}
ANONYMOUS_BYTES_MAX = 256 << 20
STORED_RATIO_MAX = {"weights": 1.02}  # others: 1.0 of restic's bytes

Rows = list[dict[str, Any]]


def print_report(results: dict[str, Any]) -> None:
    """Print all tables of one results file."""
    print(f"\nmachine: {results['machine']}")
    for name, version in results["tools"].items():
        print(f"{name}: {version}")
    for corpus in dict.fromkeys(row["corpus"] for row in results["steps"]):
        rows = [row for row in results["steps"] if row["corpus"] == corpus]
        print(f"\n## {corpus} ({_describe(rows)}, scale {results['scale']:g})\n")
        _print_costs(rows)
        if any(row["tool"] == OURS for row in rows):
            print()
            _print_targets(corpus, rows)


def _describe(rows: Rows) -> str:
    sizes = {row["version"]: row["logical_bytes"] for row in rows}
    repetitions = len({row["repetition"] for row in rows})
    return f"{len(sizes)} versions, {sum(sizes.values()) / 1e6:.0f} MB, {repetitions} repetitions"


def _print_costs(rows: Rows) -> None:
    header = ["tool", *(f"{group} MB/s" for group in GROUPS), "spread v0 %", "CPU s/GB v0", "CPU s/GB pull"]
    header += ["stored MB", "v0 MB", "ratio", "RSS MiB", "anonymous MiB", "failed"]
    table = [_cost_row(tool, [row for row in rows if row["tool"] == tool]) for tool in _tools(rows)]
    print_table(header, table)


def _cost_row(tool: str, rows: Rows) -> list[str]:
    walls = [walls_s(rows, group) for group in GROUPS]
    speeds = [_speed(rows, group) for group in GROUPS]
    spread = f"{100 * (max(walls[0]) / min(walls[0]) - 1):.0f}" if len(walls[0]) > 1 else "-"
    pushes = [row for row in rows if row["action"] == "push"]
    stored = [row["stored_bytes"] for row in pushes if row["version"] == max(r["version"] for r in pushes)]
    first = [row["stored_bytes"] for row in pushes if row["version"] == 0]
    logical = sum({row["version"]: row["logical_bytes"] for row in pushes}.values())
    total = sum({row["version"]: row["stored_bytes"] for row in pushes}.values()) if tool == BARE else None
    stored_bytes = total or median(stored)
    failed = sum(not row["ok"] for row in rows)
    return [
        tool, *speeds, spread, _cpu(rows, "push v0"), _cpu(rows, "pull last"), f"{stored_bytes / 1e6:.1f}",
        f"{median(first) / 1e6:.1f}", f"{stored_bytes / logical:.3f}", _peak(rows, "rss_bytes"),
        _peak(rows, "anonymous_bytes"), str(failed) if failed else "",
    ]  # fmt: skip


def _print_targets(corpus: str, rows: Rows) -> None:
    by_tool = {tool: [row for row in rows if row["tool"] == tool] for tool in _tools(rows)}
    peers = [tool for tool in by_tool if tool not in {OURS, BARE}]
    table = []
    for group, (_, ratio_min, share_min) in GROUPS.items():
        ours = walls_s(by_tool[OURS], group)
        bare = median(walls_s(by_tool[BARE], group)) if BARE in by_tool else None
        if not ours:
            continue
        share = bare / median(ours) if bare else None
        ratios = _ratios(ours, {peer: walls_s(by_tool[peer], group) for peer in peers})
        met = (bool(ratios) and median(ratios) >= ratio_min) or (share is not None and share >= share_min)
        met = met and all(row["ok"] for row in _of_group(by_tool[OURS], group))
        shown = f"{median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})" if ratios else "-"
        target = f"≥ {ratio_min:g}x, or ≥ {share_min:g} of bare"
        table.append([group, shown, f"{share:.2f}" if share else "-", target, "yes" if met else "NO"])
    table += _stored_target(corpus, by_tool)
    anonymous = max(row["anonymous_bytes"] for row in by_tool[OURS])
    met = "yes" if anonymous <= ANONYMOUS_BYTES_MAX else "NO"
    table.append(["anonymous memory", f"{anonymous / 2**20:.0f} MiB", "-", "≤ 256 MiB", met])
    print_table(["target", "to the faster peer (range)", "share of bare", "wanted", "met"], table)


def _stored_target(corpus: str, by_tool: dict[str, Rows]) -> list[list[str]]:
    if "restic" not in by_tool:
        return []
    ours, restic = (by_tool[tool] for tool in (OURS, "restic"))
    last = max(row["version"] for row in ours)
    ours_bytes, restic_bytes = (
        median(row["stored_bytes"] for row in rows if row["action"] == "push" and row["version"] == last)
        for rows in (ours, restic)
    )
    ratio, limit = ours_bytes / restic_bytes, STORED_RATIO_MAX.get(corpus, 1.0)
    wanted = f"≤ {limit:g} of restic's"
    return [["stored", f"{ratio:.3f} of restic's", "-", wanted, "yes" if ratio <= limit else "NO"]]


def _ratios(ours: Sequence[float], peers: dict[str, list[float]]) -> list[float]:
    """Return, for each repetition, the wall time of the faster peer over ours."""
    complete = [walls for walls in peers.values() if len(walls) == len(ours)]
    return [min(times) / own for own, times in zip(ours, zip(*complete, strict=True), strict=False)]


def walls_s(rows: Rows, group: str) -> list[float]:
    """Return the wall seconds of a group of steps, one number for each repetition."""
    chosen = _of_group(rows, group)
    repetitions = sorted({row["repetition"] for row in chosen})
    return [sum(row["wall_s"] for row in chosen if row["repetition"] == number) for number in repetitions]


def _of_group(rows: Rows, group: str) -> Rows:
    action = GROUPS[group][0]
    chosen = [row for row in rows if row["action"] == action]
    last = max((row["version"] for row in chosen), default=0)
    if group == "push later":
        return [row for row in chosen if row["version"] > 0]
    return [row for row in chosen if row["version"] == (last if group == "pull last" else 0)]


def _speed(rows: Rows, group: str) -> str:
    chosen = _of_group(rows, group)
    if not chosen:
        return "-"
    logical = sum({row["version"]: row["logical_bytes"] for row in chosen}.values())
    return f"{logical / median(walls_s(rows, group)) / 1e6:.0f}"


def _cpu(rows: Rows, group: str) -> str:
    chosen = [row for row in _of_group(rows, group) if "cpu_s" in row or "pipeline_cpu_s" in row]
    costs = [row.get("cpu_s", row.get("pipeline_cpu_s")) / row["logical_bytes"] * 1e9 for row in chosen]
    return f"{median(costs):.1f}" if costs else "-"


def _peak(rows: Rows, field: str) -> str:
    values = [row[field] for row in rows if field in row]
    return f"{max(values) / 2**20:.0f}" if values else "-"


def _tools(rows: Rows) -> list[str]:
    return list(dict.fromkeys(row["tool"] for row in rows))


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table with aligned columns."""
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for number, line in enumerate(lines):
        cells = [f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)]
        print("| " + " | ".join(cells) + " |")
        if number == 0:
            print("|" + "|".join("-" * (width + 2) for width in widths) + "|")


if __name__ == "__main__":
    print_report(json.loads(Path(sys.argv[1]).read_text()))
