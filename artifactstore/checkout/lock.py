"""The class `Lock`: a lock file beside a store, from adding a version to making folders so."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from artifactstore.checkout.folder import Comparer
from artifactstore.checkout.lockfile import (
    LockedTarget,
    read_lock_file,
    refuse_overlaps,
    relative_target,
    write_lock_file,
)
from artifactstore.checkout.restoring import Restoration, Restored, RestorePlan, refuse_losses
from artifactstore.checkout.status import TargetStatus, folder_of, status_of
from artifactstore.client.version import Version
from artifactstore.errors import LockMismatch, NotFoundError, NotLocked
from artifactstore.ids import LATEST, parse_reference
from artifactstore.progress import Progress, Quiet
from artifactstore.references.access import ReferenceAccess
from artifactstore.store.store import Store


class LockMove(msgspec.Struct, frozen=True):
    """What an update does to one block.

    Attributes:
        before: The block as it was.
        after: The block as it is: the same where there was nothing newer, or where it follows no alias.
    """

    before: LockedTarget
    after: LockedTarget

    @property
    def moved(self) -> bool:
        """Whether it names another version now."""
        return self.before != self.after


class LockCheck(msgspec.Struct, frozen=True):
    """Whether one block can be restored.

    Attributes:
        locked: The block.
        problem: Why it can't; empty where it can.
        next_step: What to do about that.
        newest: The number of the version that the alias it follows is on now; None where it follows none.
    """

    locked: LockedTarget
    problem: str
    next_step: str
    newest: int | None

    @property
    def behind(self) -> bool:
        """Whether the alias it follows is on another version by now."""
        return self.newest is not None and self.newest != self.locked.version


class Lock:
    """A lock file: which version of which artifact belongs into which folder.

    Changes are kept in memory until `save`. Not thread-safe.

    Attributes:
        path: Where the file is, or will be.
        targets: Its blocks, in the order of their targets.
    """

    def __init__(self, path: str | os.PathLike[str], targets: Iterable[LockedTarget] = ()) -> None:
        self.path = Path(path)
        self.targets = refuse_overlaps(targets, str(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Lock":
        """Read a lock file.

        Raises:
            NoSuchPath: There is none.
            InvalidLock: It is no lock file, or says what none may say.
        """
        return cls(path, read_lock_file(Path(path)))

    def save(self) -> None:
        """Write the file, whole or not at all.

        Raises:
            PermissionRefused, StorageFull, NoSuchPath: The operating system refuses it.
        """
        write_lock_file(self.path, self.targets)

    def add(self, store: Store, ref: str, target: str | os.PathLike[str] | None = None) -> LockedTarget:
        """Lock a version into a folder; a block of the same target is replaced.

        Args:
            store: Holds it.
            ref: The version; where it names an alias, or none, updates follow that alias or `latest`.
            target: The folder; when None the artifact's own, or its name beside the lock file.

        Raises:
            InvalidLock: The folder is not below that of the lock file, or lies in another target.
        """
        version = store.version(ref)
        alias = parse_reference(ref).alias
        if target is not None:
            name = relative_target(target, self.path)
        else:
            same = [each.target for each in self.targets if each.artifact == version.artifact]
            name = (
                same[0]
                if len(same) == 1
                else relative_target(self.path.parent / version.artifact.partition("/")[2], self.path)
            )
        locked = _locked(store, name, version, alias)
        self.targets = refuse_overlaps(
            [*(each for each in self.targets if each.target != name), locked], str(self.path)
        )
        return locked

    def remove(self, names: Sequence[str]) -> list[LockedTarget]:
        """Take blocks out, by target or artifact; folders stay as they are.

        Raises:
            NotLocked: There is none of that name.
        """
        gone = self.selected(names)
        self.targets = tuple(each for each in self.targets if each not in gone)
        return gone

    def update(self, store: Store, names: Sequence[str] = ()) -> list[LockMove]:
        """Move blocks to the versions that their aliases are on now.

        Args:
            store: Holds them.
            names: Targets or artifacts; all when empty.

        Raises:
            NotLocked: There is no block of that name.
            LockMismatch: A block is of another store.
        """
        moves = []
        for before in self.selected(names):
            _refuse_other_store(store, before, self.path)
            after = before
            if before.follows is not None:
                version = store.version(f"{before.artifact}:{before.follows}")
                after = _locked(store, before.target, version, before.follows)
            moves.append(LockMove(before, after))
        changed = {move.before.target: move.after for move in moves}
        self.targets = tuple(changed.get(each.target, each) for each in self.targets)
        return moves

    def check(self, store: Store, names: Sequence[str] = ()) -> list[LockCheck]:
        """Say of each block whether it can be restored, and whether its alias has moved on."""
        return [self._checked(store, each) for each in self.selected(names)]

    def status(
        self,
        store: Store,
        names: Sequence[str] = (),
        *,
        references: bool = True,
        progress: Progress | None = None,
    ) -> list[TargetStatus]:
        """Hold folders against their blocks; files that have not changed since they were read are not read.

        Args:
            store: Holds the versions.
            names: Targets or artifacts; all when empty.
            references: Whether what references name belongs into the folders; else nothing is said of their paths.
            progress: Told of what has to be read.

        Raises:
            NotLocked: There is no block of that name.
            LockMismatch: A block is of another store, or its digest is not that of its version.
            InvalidLock: A target leads through a symlink.
        """
        comparer = Comparer(store.parts.environment, store.clock, progress or Quiet())
        try:
            return [
                status_of(
                    each,
                    folder_of(self.path, each.target),
                    self._version(store, each),
                    comparer,
                    references=references,
                )
                for each in self.selected(names)
            ]
        finally:
            comparer.close()

    def plan_restore(
        self,
        store: Store,
        names: Sequence[str] = (),
        *,
        references: bool = True,
        progress: Progress | None = None,
    ) -> list[RestorePlan]:
        """Say what `restore` would write and remove, and what that takes; nothing is changed."""
        return [plan for _, plan in self._looked(store, names, progress, references=references)]

    def restore(
        self,
        store: Store,
        names: Sequence[str] = (),
        *,
        overwrite: bool = False,
        clean: bool = False,
        run: str | None = None,
        references: bool = True,
        access: ReferenceAccess | None = None,
        progress: Progress | None = None,
    ) -> list[Restored]:
        """Make folders exactly what their blocks say.

        Files that this client wrote there and nobody changed since are replaced and removed as the version wants it.
        All folders are looked at before one is touched.

        Args:
            store: Holds the versions.
            names: Targets or artifacts; all when empty.
            overwrite: Replace files that were changed.
            clean: Remove files that are not in the version.
            run: Id of the run that uses the versions, which is noted before a folder is touched.
            references: Fetch what references name, each held against what it was; else they are left out, and nothing
                is said of their paths.
            access: How references are reached, as for `Store.pull`.
            progress: Told what happens.

        Raises:
            NoSuchRun, RunEnded: There is no such run, or it has ended.
            LineageCircle: One of the versions came of the run.
            LocalChanges: A folder holds what would be lost.
            ReferenceRefused, ReferenceGone, ReferenceChanged: A reference may not be fetched, or is not what it was:
                nothing is written into its folder.
            NotLocked: There is no block of that name.
            LockMismatch: A block is of another store, or its digest is not that of its version.
            InvalidLock: A target leads through a symlink.
            DestinationExists: Something else than a folder is in the place of a target.
        """
        looked = self._looked(store, names, progress, references=references)
        refuse_losses([plan for _, plan in looked], overwrite=overwrite, clean=clean)
        if run is not None:
            for ref in dict.fromkeys(plan.locked.reference for _, plan in looked):
                store.use_in_run(run, ref)
        return [restoration.act(access, progress) for restoration, _ in looked]

    def selected(self, names: Sequence[str]) -> list[LockedTarget]:
        """Blocks by target or artifact; all when there are no names.

        Raises:
            NotLocked: There is none of a name.
        """
        if not names:
            return list(self.targets)
        wanted = []
        for name in names:
            plain = name.rstrip("/").removeprefix("./")
            found = [each for each in self.targets if plain in {each.target, each.artifact}]
            if not found:
                raise NotLocked(
                    f"{self.path} names no target or artifact {name!r}", path=str(self.path), name=name
                )
            wanted += found
        return [each for each in self.targets if each in wanted]

    def _looked(
        self, store: Store, names: Sequence[str], progress: Progress | None, *, references: bool
    ) -> list[tuple[Restoration, RestorePlan]]:
        comparer = Comparer(store.parts.environment, store.clock, progress or Quiet())
        looked = []
        try:
            for each in self.selected(names):
                folder = folder_of(self.path, each.target)
                restoration = Restoration(
                    store, each, self._version(store, each), folder, references=references
                )
                looked.append((restoration, restoration.look(comparer)))
        finally:
            comparer.close()
        return looked

    def _version(self, store: Store, locked: LockedTarget) -> Version:
        """The version that a block names.

        Raises:
            LockMismatch: It is another one than the block says.
        """
        _refuse_other_store(store, locked, self.path)
        version = store.version(locked.reference)
        if version.digest != locked.digest:
            raise LockMismatch(
                f"{self.path} says that {locked.reference} has the digest {locked.digest[:12]}…, and it is"
                f" {version.digest[:12]}…: the lock was altered, or merged wrongly",
                next_step=f"look at its history in git, or lock it anew: artifactstore lock {locked.reference}"
                f" --target {locked.target}",
                path=str(self.path),
                target=locked.target,
                expected=locked.digest,
                found=version.digest,
            )
        return version

    def _checked(self, store: Store, locked: LockedTarget) -> LockCheck:
        newest = None
        try:
            self._version(store, locked)
            if locked.follows is not None:
                newest = self._followed(store, locked)
        except (NotFoundError, LockMismatch) as error:
            return LockCheck(locked, error.message, error.next_step, newest)
        return LockCheck(locked, "", "", newest)

    def _followed(self, store: Store, locked: LockedTarget) -> int | None:
        try:
            return store.version(f"{locked.artifact}:{locked.follows or LATEST}").number
        except NotFoundError:  # an alias may go; the version is there
            return None


def _locked(store: Store, target: str, version: Version, alias: str | None) -> LockedTarget:
    return LockedTarget(target, version.artifact, version.number, version.digest, store.id, alias)


def _refuse_other_store(store: Store, locked: LockedTarget, path: Path) -> None:
    if locked.store != store.id:
        raise LockMismatch(
            f"{path} locks {locked.reference} of the store {locked.store[:12]}…, and {store.url} is {store.id[:12]}…",
            next_step="name the store of the lock with --store",
            path=str(path),
            target=locked.target,
            expected=locked.store,
            found=store.id,
        )
