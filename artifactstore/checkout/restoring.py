"""Making folders exactly what a lock file says: planned as a whole, refused as a whole, then written.

What this client wrote itself and nobody changed since may go: it is in the version that it came from. What is in no
version that the client knows of is somebody's work, and stays unless its owner says otherwise.
"""

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from artifactstore.backend.local import make_folders
from artifactstore.checkout.folder import Comparer, is_folder
from artifactstore.checkout.lockfile import LockedTarget
from artifactstore.checkout.referenced import note_fetched
from artifactstore.checkout.status import Counted, Difference, Different, differences
from artifactstore.client.pins import replace_file
from artifactstore.client.version import Version
from artifactstore.crypto.hashing import blake3
from artifactstore.errors import ArtifactStoreError, DestinationExists, LocalChanges
from artifactstore.format.page import Kind
from artifactstore.maintenance.findings import Names
from artifactstore.manifest.read import StoredEntry
from artifactstore.progress import Progress
from artifactstore.references.access import ReferenceAccess
from artifactstore.store.store import Store
from artifactstore.transfer.target import Target, named

_FOLDER: Final = "checkouts"
_MEMORY_BYTES_MAX: Final = 4096
# So many differing paths are asked for by name; of more, the whole version is held against the folder.
_NAMED_MAX: Final = 200
_GLOB_MARKS: Final = str.maketrans({mark: "\\" + mark for mark in "\\*?[]!# "})


class RestorePlan(msgspec.Struct, frozen=True):
    """What making a target as the lock says takes.

    Attributes:
        locked: The block of the lock file.
        folder: Where the target lies.
        present: Whether there is a folder.
        write: Paths to write: missing ones, and those that hold something else.
        remove: Paths to remove.
        changed: Those to write over what is in no version that this client knows of: they take `overwrite`.
        extra: Those to remove likewise: they take `clean`.
    """

    locked: LockedTarget
    folder: Path
    present: bool
    write: Names
    remove: Names
    changed: Names
    extra: Names


class Restored(msgspec.Struct, frozen=True):
    """What became of one target.

    Attributes:
        locked: The block of the lock file.
        folder: Where the target lies.
        written: Entries that were written.
        removed: Entries that were removed.
        bytes_written: Bytes that were fetched and written.
    """

    locked: LockedTarget
    folder: Path
    written: int
    removed: int
    bytes_written: int


class Restoration:
    """One target, from a look at its folder to the folder as it should be.

    Args:
        store: Holds the version.
        locked: The block of the lock file.
        version: The version it names.
        folder: The target on this machine.
        references: Whether what references name belongs into it.
    """

    def __init__(
        self, store: Store, locked: LockedTarget, version: Version, folder: str, *, references: bool
    ) -> None:
        self._store = store
        self._locked = locked
        self._version = version
        self._folder = folder
        self._references = references
        self._referenced: list[StoredEntry] = []
        self._present = os.path.lexists(folder)
        self._write: list[str] = []
        self._remove: list[str] = []
        self._in_the_way: list[str] = []
        self._standing: set[str] = set()
        self._changed, self._extra = Counted(), Counted()

    def look(self, comparer: Comparer) -> RestorePlan:
        """See what there is to do; nothing is written.

        Raises:
            DestinationExists: Something else than a folder is there.
        """
        if self._present and not is_folder(self._folder):
            raise DestinationExists(
                f"{self._folder!r} exists and is not a folder",
                next_step="move it away, or lock the version to another target",
                path=self._folder,
            )
        if self._present:
            before = _remembered(self._store, self._folder, self._version)
            found = differences(
                self._version, before, self._folder, comparer, self._standing, references=self._references
            )
            for each in found:
                self._take(each)
        return RestorePlan(
            self._locked,
            Path(self._folder),
            self._present,
            _names(self._write),
            _names(self._remove),
            self._changed.names(),
            self._extra.names(),
        )

    def act(self, access: ReferenceAccess | None, progress: Progress | None) -> Restored:
        """Make it so.

        Raises:
            ReferenceRefused, ReferenceGone, ReferenceChanged: A reference may not be fetched, or is not what it was.
        """
        written = fetched = 0
        if self._remove or self._in_the_way:
            self._removed()
        if not self._present or self._write:
            globs = _globs(self._write)
            done = self._store.pull(
                self._version.qualified_name,
                self._folder,
                paths=globs,
                overwrite=True,
                references=self._references,
                access=access,
                progress=progress,
            )
            if self._references:
                note_fetched(
                    self._store.parts.environment,
                    self._folder,
                    self._referenced if globs else _references_of(self._version),
                )
            written, fetched = done.files_written, done.bytes_written
        _remember(self._store, self._folder, self._version)
        return Restored(self._locked, Path(self._folder), written, len(self._remove), fetched)

    def _take(self, each: Different) -> None:
        path, local = each.side.path, each.side.local
        if each.how is Difference.EXTRA:
            self._remove.append(path)
            if not each.mine:
                self._extra.add(path)
            return
        self._write.append(path)
        if each.side.wanted is not None and each.side.wanted.kind == Kind.REFERENCE:
            self._referenced.append(each.side.wanted)
        if each.how is Difference.MODIFIED:
            if not each.mine:
                self._changed.add(path)
            wanted = each.side.wanted
            if local is not None and wanted is not None and Kind.FOLDER in {local.kind, wanted.kind}:
                # Neither takes the other's place by a rename.
                self._in_the_way.append(path)

    def _removed(self) -> None:
        """Remove what is not to be there, and folders that are empty without it."""
        target = Target(self._folder)
        try:
            for path in [*self._in_the_way, *self._remove]:
                target.remove_anything(path)
            for path in reversed(self._remove):
                self._remove_emptied(target, path)
        except OSError as error:
            raise named(error, self._folder) from error
        finally:
            target.close()

    def _remove_emptied(self, target: Target, path: str) -> None:
        """Remove the folders above a path that was removed, as long as they are empty and not there for that."""
        folder = path.rpartition("/")[0]
        while folder and folder not in self._standing and target.remove_folder(folder):
            folder = folder.rpartition("/")[0]


def refuse_losses(plans: list[RestorePlan], *, overwrite: bool, clean: bool) -> None:
    """Refuse what would destroy somebody's work, before anything is written.

    Raises:
        LocalChanges: Paths hold what is in no version, and nobody has said that they may go.
    """
    changed = [] if overwrite else [plan for plan in plans if plan.changed.total]
    extra = [] if clean else [plan for plan in plans if plan.extra.total]
    if not changed and not extra:
        return
    parts = [_losses(plan.locked.target, plan.changed, "changed") for plan in changed]
    parts += [_losses(plan.locked.target, plan.extra, "not in the version") for plan in extra]
    options = " and ".join(
        [
            *(["--overwrite to replace what was changed"] if changed else []),
            *(["--clean to remove what is extra"] if extra else []),
        ]
    )
    raise LocalChanges(
        "; ".join(parts),
        next_step=f"push or move what you want to keep, then pass {options}",
        changed=[f"{plan.locked.target}/{path}" for plan in changed for path in plan.changed.shown],
        extra=[f"{plan.locked.target}/{path}" for plan in extra for path in plan.extra.shown],
    )


def _losses(target: str, paths: Names, what: str) -> str:
    first = ", ".join(repr(path) for path in paths.shown[:3])
    more = "" if paths.total <= 3 else f" and {paths.total - 3:,} more"  # noqa: PLR2004 - as many as are named
    return f"in {target!r}, {first}{more} {'is' if paths.total == 1 else 'are'} {what}"


def _references_of(version: Version) -> Iterator[StoredEntry]:
    return (entry for entry in version.stored() if entry.kind == Kind.REFERENCE)


def _names(paths: list[str]) -> Names:
    counted = Counted()
    for path in paths:
        counted.add(path)
    return counted.names()


def _globs(paths: list[str]) -> list[str]:
    """Patterns of gitignore's language that name these very paths; none where they are too many, or can't be named."""
    if len(paths) > _NAMED_MAX or any(path[-1].isspace() for path in paths):
        return []
    return ["/" + path.translate(_GLOB_MARKS) for path in paths]


def _memory(store: Store, folder: str) -> Path:
    return store.cache_dir / _FOLDER / blake3(os.fsencode(os.path.realpath(folder))).hex()[:32]


def _remember(store: Store, folder: str, version: Version) -> None:
    """Note what a folder was made; a cache that can't be written notes nothing."""
    said = {
        "store": store.id,
        "artifact": version.artifact,
        "version": version.number,
        "digest": version.digest,
    }
    path = _memory(store, folder)
    with contextlib.suppress(OSError):
        make_folders(path.parent, mode=0o700)
        replace_file(path, json.dumps(said).encode())


def _remembered(store: Store, folder: str, wanted: Version) -> Version | None:
    """The version that this client made a folder last, where it is another one and still to be had."""
    try:
        with _memory(store, folder).open("rb") as file:
            said = json.loads(file.read(_MEMORY_BYTES_MAX))
        if said["store"] != store.id or said["digest"] == wanted.digest:
            return None
        version = store.version(f"{said['artifact']}:v{said['version']}")
    except (OSError, ValueError, KeyError, TypeError, ArtifactStoreError):
        return None
    return version if version.digest == said["digest"] else None
