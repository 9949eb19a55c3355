"""Objects in this process's memory: `memory://NAME`, shared by all who name it.

A fork copies them: what a child writes its parent never sees.
"""

import os
import threading
from collections.abc import Iterator
from typing import NamedTuple

from artifactstore.backend.base import (
    Backend,
    Buffer,
    ObjectInfo,
    check_object_name,
    check_range,
    object_exists,
    object_missing,
    object_too_large,
    truncated_read,
)
from artifactstore.clock import Clock, SystemClock


class _Object(NamedTuple):
    data: bytes
    modified_ns: int


class _Folder:
    """The objects of one name and the lock that makes `create` exclusive."""

    __slots__ = ("lock", "objects")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.objects: dict[str, _Object] = {}


_folders: dict[str, _Folder] = {}


def _renew_locks() -> None:
    """A lock that another thread held at the moment of a fork would stay shut in the child for ever."""
    for folder in _folders.values():
        folder.lock = threading.Lock()


os.register_at_fork(after_in_child=_renew_locks)


class MemoryBackend(Backend):
    """The objects of `memory://NAME`, which live as long as the process or until `clear`.

    Args:
        name: Backends of the same name share their objects.
        clock: Dates the objects.
    """

    def __init__(self, name: str = "", *, clock: Clock | None = None) -> None:
        self.url = f"memory://{name}"
        self._clock = clock or SystemClock()
        self._folder = _folders.setdefault(name, _Folder())

    def create(self, name: str, data: Buffer) -> None:
        """Make an object that must not exist yet."""
        made = _Object(bytes(data), self._clock.now_ns())
        with self._folder.lock:
            if self._folder.objects.setdefault(check_object_name(name), made) is not made:
                raise object_exists(self.url, name)

    def put(self, name: str, data: Buffer) -> None:
        """Make or replace an object."""
        made = _Object(bytes(data), self._clock.now_ns())
        with self._folder.lock:
            self._folder.objects[check_object_name(name)] = made

    def get(self, name: str, *, limit_bytes: int) -> bytes:
        """Return a whole object of at most `limit_bytes`."""
        data = self._find(name)
        if len(data) > limit_bytes:
            raise object_too_large(self.url, name, limit_bytes)
        return data

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from offset `start`."""
        check_range(start, length)
        part = self._find(name)[start : start + length]
        if len(part) != length:
            raise truncated_read(self.url, name, expected=length, found=len(part))
        return part

    def size(self, name: str) -> int:
        """Return an object's length in bytes."""
        return len(self._find(name))

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose name starts with `prefix`, sorted by name, as they were at the call."""
        with self._folder.lock:
            found = [item for item in self._folder.objects.items() if item[0].startswith(prefix)]
        found.sort()
        return (ObjectInfo(name, len(kept.data), kept.modified_ns) for name, kept in found)

    def delete(self, name: str) -> None:
        """Delete an object; one that does not exist is deleted already."""
        with self._folder.lock:
            self._folder.objects.pop(check_object_name(name), None)

    def clear(self) -> None:
        """Delete all objects at once."""
        with self._folder.lock:
            self._folder.objects.clear()

    def _find(self, name: str) -> bytes:
        with self._folder.lock:
            kept = self._folder.objects.get(check_object_name(name))
        if kept is None:
            raise object_missing(self.url, name)
        return kept.data
