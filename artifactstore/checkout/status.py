"""A folder against its version: what is changed, missing or there without being in it, path by path."""

import os
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from artifactstore.checkout.folder import Comparer, Local, Side, is_folder, side_by_side, walk
from artifactstore.checkout.lockfile import LockedTarget
from artifactstore.client.version import Version
from artifactstore.errors import InvalidLock
from artifactstore.format.page import Kind
from artifactstore.maintenance.findings import Names
from artifactstore.manifest.read import StoredEntry

# Paths that a result names; it counts all of them.
SHOWN_MAX: Final = 20


class Difference(Enum):
    """In what a path of a folder differs from the version."""

    MODIFIED = "modified"
    MISSING = "missing"
    EXTRA = "extra"


class TargetStatus(msgspec.Struct, frozen=True):
    """One target of a lock file beside what the lock says.

    Attributes:
        locked: The block of the lock file.
        folder: Where the target lies.
        present: Whether there is a folder.
        modified: Paths that hold something else than the version does.
        missing: Paths of the version that are not there.
        extra: Paths that are there and not in the version.
        files_read: Files that had to be read, as the stat cache did not know them.
        bytes_read: Their bytes.
    """

    locked: LockedTarget
    folder: Path
    present: bool
    modified: Names
    missing: Names
    extra: Names
    files_read: int
    bytes_read: int

    @property
    def state(self) -> str:
        """`clean`, `different`, or `absent` where there is no folder."""
        if not self.present:
            return "absent"
        return "different" if self.modified.total or self.missing.total or self.extra.total else "clean"


class Counted:
    """Counts paths and keeps the first of them."""

    def __init__(self) -> None:
        self.total = 0
        self.shown: list[str] = []

    def add(self, path: str) -> None:
        """Count one."""
        self.total += 1
        if len(self.shown) < SHOWN_MAX:
            self.shown.append(path)

    def names(self) -> Names:
        """What was counted."""
        return Names(tuple(self.shown), self.total)


class Different(NamedTuple):
    """One path at which a folder is not what the version says.

    Attributes:
        side: The path, and what lies on each side.
        how: In what it differs.
        mine: Whether what lies there is in the version before, so that nothing is lost with it.
    """

    side: Side
    how: Difference
    mine: bool


def folder_of(lock_file: Path, target: str) -> str:
    """Where a target lies.

    Raises:
        InvalidLock: A symlink below the lock file's folder is on the way: it could lead anywhere.
    """
    folder = os.path.abspath(lock_file.parent)
    for part in target.split("/"):
        folder = os.path.join(folder, part)
        if os.path.islink(folder):
            raise InvalidLock(
                f"the target {target!r} of {lock_file} leads through the symlink {folder}",
                next_step="put a folder in its place; what lies behind a symlink is not the lock file's",
                path=str(lock_file),
                target=target,
            )
    return folder


def differences(
    wanted: Version,
    before: Version | None,
    folder: str,
    comparer: Comparer,
    standing: set[str] | None = None,
    *,
    references: bool = True,
) -> Iterator[Different]:
    """Yield the paths at which a folder is not what a version says, in the order of the manifest.

    Args:
        wanted: What it should be.
        before: What this client made it last, where that is known.
        folder: The folder.
        comparer: Compares.
        standing: Gets the empty folders of the version that are there with something in them.
        references: Whether what references name belongs into the folder; else nothing is said of their paths.
    """
    earlier: Iterator[StoredEntry] = iter(()) if before is None else before.stored()
    waiting: Different | None = None
    for side in side_by_side(wanted.stored(), earlier, walk(folder)):
        # An empty folder in which a file is missing is not there without a reason.
        if waiting is not None and not (
            side.wanted is not None and side.path.startswith(waiting.side.path + "/")
        ):
            yield waiting
        waiting = None
        found = _different(side, folder, comparer.same, references=references)
        if standing is not None and found is None and side.wanted is not None and side.local is None:
            standing.add(side.path)
        if found is not None and found.how is Difference.EXTRA and _is_empty_folder(found.side.local):
            waiting = found
        elif found is not None:
            yield found
    if waiting is not None:
        yield waiting


def status_of(
    locked: LockedTarget, folder: str, version: Version, comparer: Comparer, *, references: bool
) -> TargetStatus:
    """What a target is beside what its block says."""
    counts = {how: Counted() for how in Difference}
    present = is_folder(folder)
    read_before = comparer.files_read, comparer.bytes_read
    if present:
        for each in differences(version, None, folder, comparer, references=references):
            counts[each.how].add(each.side.path)
    return TargetStatus(
        locked,
        Path(folder),
        present,
        counts[Difference.MODIFIED].names(),
        counts[Difference.MISSING].names(),
        counts[Difference.EXTRA].names(),
        comparer.files_read - read_before[0],
        comparer.bytes_read - read_before[1],
    )


def _different(
    side: Side, folder: str, same: Callable[[StoredEntry, Local], bool], *, references: bool
) -> Different | None:
    """How one path differs, or None where it does not."""
    _, wanted, before, local = side
    if wanted is not None and wanted.kind == Kind.REFERENCE and not references:
        return None
    if wanted is not None and local is None:
        return None if _needs_nothing(wanted, folder) else Different(side, Difference.MISSING, mine=True)
    if local is None:
        return None
    if wanted is not None and same(wanted, local):
        return None
    mine = before is not None and same(before, local)
    return Different(side, Difference.EXTRA if wanted is None else Difference.MODIFIED, mine)


def _needs_nothing(wanted: StoredEntry, folder: str) -> bool:
    """Whether an entry without something local is none that a pull writes: a folder with contents."""
    return wanted.kind == Kind.FOLDER and is_folder(os.path.join(folder, wanted.path))


def _is_empty_folder(local: Local | None) -> bool:
    return local is not None and local.kind == Kind.FOLDER
