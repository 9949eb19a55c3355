"""The part of the independent reader that follows renames, written from the document alone."""

from collections.abc import Collection
from typing import Any


class Names:
    """Names that lead to others, by the keys of their rows."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def first(self, project: str, name: str) -> bytes:
        """The key under which the rows of an artifact lie, by any name that it ever had."""
        first = self._project(project) + b"\0" + name.encode()
        return self.rows.get(b"a" + first, first)

    def rename(self, fields: list[Any], artifacts: Collection[bytes]) -> bytes | None:
        """Give an artifact or a project another name; return the key of an artifact that was renamed."""
        project, name, to_project, to_name = fields[:4]
        first = self._project(project)
        if name is None:
            if self.rows.setdefault(b"p" + to_project.encode(), first) == first:
                self.rows[b"P" + first] = to_project.encode()
            return None
        key = self.first(project, name)
        inside = self._project(to_project) + b"\0" + to_name.encode()
        if key not in artifacts or inside in artifacts or self.rows.setdefault(b"a" + inside, key) != key:
            return None
        self.rows[b"A" + key] = inside
        return key

    def _project(self, name: str) -> bytes:
        return self.rows.get(b"p" + name.encode(), name.encode())
