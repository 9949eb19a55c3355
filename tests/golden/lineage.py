"""The part of the independent reader that follows runs and edges, written from the document alone."""

from typing import Any

Rows = dict[bytes, list[Any]]


class Lineage:
    """Runs by id, and edges in both directions by their keys."""

    def __init__(self) -> None:
        self.runs: Rows = {}
        self.edges: Rows = {}

    def operate(self, tag: str, slot: int, time_ms: int, member: bytes, fields: list[Any]) -> None:
        """Apply an operation of a run, other than that it used something."""
        row = self.runs.get(fields[0])
        if tag == "run-started":
            run, project, name, job_type, group, tags, config, commit, host, beats = fields[:10]
            about = [project, name, job_type, group, sorted(set(tags)), config, commit, host, beats]
            since = ["running", time_ms, slot, member, None, None, None]
            self.runs.setdefault(run, [*about, *since])
        elif row is None or row[15] is not None:
            return
        elif tag == "run-updated":
            name, tags, config = fields[1:4]
            row[1] = row[1] if name is None else name
            row[4] = row[4] if tags is None else sorted(set(tags))
            row[5] = row[5] if config is None else config
        elif tag == "run-finished" and row[9] in {"running", "killed"}:
            row[9], row[13], row[14] = fields[1], time_ms, slot
        elif tag == "run-deleted":
            row[:8] = ["", "", "", "", [], {}, None, None]
            if row[9] == "running":
                row[9], row[13] = "killed", time_ms
            row[15] = time_ms

    def use(self, slot: int, fields: list[Any]) -> None:
        """A run uses a version that is shown."""
        run, project, name, number, role = fields[:5]
        version = f"{project}\0{name}\0".encode() + number.to_bytes(8, "big")
        if self._is_open(run):
            self._add(b"v" + version, b"r" + run, [slot, role])

    def produce(self, slot: int, run: bytes | None, version: bytes) -> None:
        """A push that names a run made or found a version."""
        if run is not None and self._is_open(run):
            self._add(b"r" + run, b"v" + version, [slot, ""])

    def link(self, slot: int, version: bytes, link: bytes) -> None:
        """A link was made of a version."""
        self._add(b"v" + version, b"v" + link, [slot, ""])

    def succeed(self, version: bytes, successor: bytes) -> None:
        """A successor came of what the version came of that it replaces."""
        for key, edge in list(self.edges.items()):
            if key.startswith(b"v" + version + b"<"):
                self._add(key[len(version) + 2 :], b"v" + successor, edge)

    def _is_open(self, run: bytes) -> bool:
        row = self.runs.get(run)
        return row is not None and row[15] is None and row[9] in {"running", "killed"}

    def _add(self, source: bytes, target: bytes, edge: list[Any]) -> None:
        if source not in self._below(target):
            self.edges.setdefault(source + b">" + target, edge)
            self.edges.setdefault(target + b"<" + source, edge)

    def _below(self, node: bytes) -> set[bytes]:
        """A node and all that came of it."""
        found, waiting = {node}, [node]
        while waiting:
            start = waiting.pop() + b">"
            for key in self.edges:
                if key.startswith(start) and key[len(start) :] not in found:
                    found.add(key[len(start) :])
                    waiting.append(key[len(start) :])
        return found
