"""What a pull and a push do with references: fetch them into a folder, or into the store."""

import os
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from hashlib import md5
from io import FileIO
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

from blake3 import blake3

from artifactstore.errors import (
    ConnectionLost,
    NotFoundError,
    PermissionRefused,
    ReferenceChanged,
    ReferenceRefused,
)
from artifactstore.executors import Executors
from artifactstore.format.page import Kind
from artifactstore.format.reference import Reference
from artifactstore.manifest.read import StoredEntry
from artifactstore.progress import Progress
from artifactstore.transfer.scan import Found, Given, reference_entry
from artifactstore.transfer.target import Target, write_at

_PIECE_BYTES: Final = 1 << 20
_TOGETHER_MAX: Final = 8
_MISSING: Final = (ConnectionLost, NotFoundError, PermissionRefused, ReferenceChanged, ReferenceRefused)


class Opener(Protocol):
    """What opens the bytes of a reference, checked as they are read."""

    def open(self, reference: Reference) -> BinaryIO:
        """Open them."""
        ...


class Fetching(NamedTuple):
    """How a pull treats references.

    Attributes:
        opener: Opens them; None leaves all of them out.
        missing_is_fine: Whether one that can't be had as it was is left out.
    """

    opener: Opener | None = None
    missing_is_fine: bool = False

    @property
    def label(self) -> str:
        """What tells the staging folder of such a pull from that of others; empty for one that fetches all."""
        return "-without" if self.opener is None else "-there" if self.missing_is_fine else ""


class ReferencePuller:
    """Fetches references into a target, a few at once. Used by one thread.

    Attributes:
        left: References that were left out.
        missing: Paths of those that could not be had, and may be missing.
        written_files: References that were fetched.
        written: Their bytes.

    Args:
        fetching: What opens them.
        target: Where they go.
        executors: `io` fetches.
        progress: Told of each.
    """

    def __init__(self, fetching: Fetching, target: Target, executors: Executors, progress: Progress) -> None:
        self._fetching = fetching
        self._target = target
        self._executors = executors
        self._progress = progress
        self._under_way: deque[tuple[str, Future[int]]] = deque()
        self.missing: set[str] = set()
        self.left = self.written_files = self.written = 0

    def fetch(self, entry: StoredEntry, mode: int) -> None:
        """Fetch one, once there is room for it.

        Raises:
            ReferenceRefused, ReferenceGone, ReferenceChanged: One before it can't be had as it was.
        """
        opener = self._fetching.opener
        assert opener is not None, "only what is to be fetched is"
        self._settle(_TOGETHER_MAX - 1)
        task = self._executors.io.submit(_fetch, opener, entry, self._target, mode, self._progress)
        self._under_way.append((entry.path, task))

    def leave(self, entry: StoredEntry) -> None:
        """Leave one out."""
        self._forget(entry.path)
        self.left += 1
        self._progress.advance(bytes=entry.size, files=1)

    def finish(self) -> None:
        """Wait for all of them."""
        self._settle(0)

    def abandon(self) -> None:
        """Wait for what is under way, whatever becomes of it."""
        for _, future in self._under_way:
            if not future.cancel():
                future.exception()

    def _settle(self, allowed: int) -> None:
        while len(self._under_way) > allowed:
            path, future = self._under_way.popleft()
            try:
                self.written += future.result()
            except _MISSING:
                if not self._fetching.missing_is_fine:
                    raise
                self._forget(path)
                self.left += 1
                self.missing.add(path)
            else:
                self.written_files += 1

    def _forget(self, path: str) -> None:
        """Remove what a pull that was cut had fetched: this one is without it."""
        handle = self._target.open_existing(path)
        if handle is not None:
            os.close(handle)
            self._target.remove(path)


def _fetch(opener: Opener, entry: StoredEntry, target: Target, mode: int, progress: Progress) -> int:
    """Write one reference's bytes; what turns out not to be them is removed again."""
    written = 0
    with opener.open(entry.reference) as stream:
        handle = target.open_file(entry.path, mode)
        try:
            # What a pull that was cut has left is no beginning to go on from.
            os.ftruncate(handle, 0)
            while data := stream.read(_PIECE_BYTES):
                write_at(handle, memoryview(data), written)
                written += len(data)
                progress.advance(bytes=len(data))
        except BaseException:
            target.remove(entry.path)
            raise
        finally:
            os.close(handle)
    progress.advance(files=1)
    return written


def is_as_referenced(file: FileIO, entry: StoredEntry) -> bool:
    """Whether an open file holds what a reference names, as far as its checksum tells by the bytes alone."""
    algorithm, _, value = entry.reference.checksum.partition(":")
    if algorithm not in {"blake3", "md5"} or os.fstat(file.fileno()).st_size != entry.size:
        return False
    hasher: Any = blake3() if algorithm == "blake3" else md5(usedforsecurity=False)
    while data := file.read(_PIECE_BYTES):
        hasher.update(data)
    return bool(hasher.hexdigest() == value)


def referring(found: Iterable[tuple[str, Reference]]) -> list[Found]:
    """References on their way into a version, by path."""
    return [
        Found(path, Kind.REFERENCE, reference.url, None, given=Given(known=reference_entry(path, reference)))
        for path, reference in found
    ]


def materializing(
    found: Iterable[tuple[str, Reference]], opening: Callable[[Reference], BinaryIO]
) -> list[Found]:
    """What references name, on its way into a version as files."""
    return [
        Found(
            path,
            Kind.FILE,
            reference.url,
            None,
            given=Given(
                size=reference.size_bytes if reference.checksum else None,
                open=lambda reference=reference: opening(reference),  # type: ignore[misc]
            ),
        )
        for path, reference in found
    ]
