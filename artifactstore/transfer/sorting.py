"""Entries that come in any order, sorted on their way into a manifest.

They wait in a database of SQLite without a name, which keeps a few megabytes in memory and the rest in a file that
nobody else can open: memory stays bounded however many there are (invariant 18).
"""

import sqlite3
from typing import Final

import msgspec

from artifactstore.errors import HostileManifest, InvalidSource, PathCollision, StorageFull
from artifactstore.format.operations import Manifest
from artifactstore.format.page import Content, Identity, Kind, path_order
from artifactstore.manifest.build import ManifestBuilder
from artifactstore.manifest.read import PathGuard

_LINKS_DEEP_MAX: Final = 40
_Row = tuple[Identity, Content]


class SortedBuilder:
    """A `ManifestBuilder` that takes entries in any order. Used by one thread.

    An entry without a digest is a link: it shares the bytes of the entry at its `target`. A folder that turns out not
    to be empty is left out, as everywhere.

    Args:
        builder: Gets them in order at the end.
    """

    def __init__(self, builder: ManifestBuilder) -> None:
        self._builder = builder
        self._rows = sqlite3.connect("")
        self._rows.execute("CREATE TABLE entries (place BLOB PRIMARY KEY, row BLOB) WITHOUT ROWID")

    def add(self, identity: Identity, content: Content) -> None:
        """Take an entry.

        Raises:
            PathCollision: There is one of that path, and not both are folders.
        """
        row = msgspec.msgpack.encode((identity, content))
        place = _place(identity[0])
        try:
            self._rows.execute("INSERT INTO entries VALUES (?, ?)", (place, row))
        except sqlite3.IntegrityError:
            if not identity[1] == self._at(place)[0][1] == Kind.FOLDER:
                raise PathCollision(f"{identity[0]!r} is there twice", paths=[identity[0]]) from None
        except sqlite3.OperationalError as error:
            raise StorageFull(f"the entries can't be sorted: {error}") from error

    def finish(self) -> Manifest:
        """Sort, and return the root.

        Raises:
            PathCollision: Two paths differ by case or Unicode form only, or one is a file and a folder.
            InvalidSource: A link leads nowhere.
        """
        guard = PathGuard()
        folder: _Row | None = None
        for (raw,) in self._rows.execute("SELECT row FROM entries ORDER BY place"):
            identity, content = self._resolved(_decoded(raw))
            if folder is not None and not identity[0].startswith(folder[0][0] + "/"):
                self._put(guard, *folder)
            folder = (identity, content) if identity[1] == Kind.FOLDER else None
            if folder is None:
                self._put(guard, identity, content)
        if folder is not None:
            self._put(guard, *folder)
        self._rows.close()
        return self._builder.finish()

    def _put(self, guard: PathGuard, identity: Identity, content: Content) -> None:
        try:
            guard.check(identity)
        except HostileManifest as error:
            raise PathCollision(error.message.replace("the manifest holds", "the source holds")) from error
        self._builder.add(identity, content)

    def _resolved(self, row: _Row) -> _Row:
        """What a link shares, under its own path."""
        (path, *_), content = row
        for _ in range(_LINKS_DEEP_MAX):
            if row[0][3]:
                return (path, *row[0][1:]), row[1]
            row = self._at(_place(row[1].target))
        raise InvalidSource(f"{path!r} is a link to {content.target!r}, which leads nowhere", path=path)

    def _at(self, place: bytes) -> _Row:
        found = self._rows.execute("SELECT row FROM entries WHERE place = ?", (place,)).fetchone()
        return _NOTHING if found is None else _decoded(found[0])


_NOTHING: Final[_Row] = (("", 0, 0, b"", 0), Content(0, b"", []))


def _place(path: str) -> bytes:
    return path_order(path).encode()


def _decoded(raw: bytes) -> _Row:
    return msgspec.msgpack.decode(raw, type=_Row)
