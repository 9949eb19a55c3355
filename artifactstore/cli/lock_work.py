"""What the commands about lock files do with a store and the file."""

from pathlib import Path

from artifactstore.checkout import Lock, find_lock_file
from artifactstore.cli import lock_rendering as shown
from artifactstore.cli.options import CommonOptions, Limits
from artifactstore.cli.reference_options import Fetched
from artifactstore.cli.session import Session

_ATTRIBUTES = ".gitattributes"


class LockWork:
    """One command on one lock file.

    Args:
        options: Of the command.
        lock_file: The file; the nearest one when None.
    """

    def __init__(self, options: CommonOptions, lock_file: Path | None) -> None:
        self.session = Session(options)
        self.path = find_lock_file() if lock_file is None else lock_file

    def add(self, references: tuple[str, ...], target: str | None, *, dry_run: bool) -> int:
        """Lock versions into folders."""
        new = not self.path.exists()
        lock = Lock(self.path) if new else Lock.load(self.path)
        with self.session.open_store() as store:
            added = [lock.add(store, self.session.qualified(ref), target) for ref in references]
        if not dry_run:
            lock.save()
        self._tell(
            {"locked": [shown.locked_shape(each) for each in added]},
            shown.locked_lines(added),
            dry_run=dry_run,
        )
        if new and not dry_run:
            self._tell_of_merging()
        return 0

    def update(self, names: tuple[str, ...], *, dry_run: bool) -> int:
        """Move blocks to the versions that their aliases are on now."""
        lock = Lock.load(self.path)
        with self.session.open_store() as store:
            moves = lock.update(store, self._names(lock, names))
        if not dry_run and any(move.moved for move in moves):
            lock.save()
        self._tell(
            {"updates": [shown.move_shape(move) for move in moves]}, shown.move_lines(moves), dry_run=dry_run
        )
        return 0

    def remove(self, names: tuple[str, ...], *, dry_run: bool) -> int:
        """Take blocks out."""
        lock = Lock.load(self.path)
        gone = lock.remove(self._names(lock, names))
        if not dry_run:
            lock.save()
        lines = [f"{each.target} is not locked any more" for each in gone]
        self._tell({"removed": [shown.locked_shape(each) for each in gone]}, lines, dry_run=dry_run)
        return 0

    def check(self, names: tuple[str, ...]) -> int:
        """Say whether blocks can be restored."""
        lock = Lock.load(self.path)
        with self.session.open_store() as store:
            checks = lock.check(store, self._names(lock, names))
        ok = not any(each.problem for each in checks)
        document = {"lock_file": str(self.path), "ok": ok, "targets": [shown.check_shape(c) for c in checks]}
        self.session.result(document, shown.check_lines(checks))
        return 0 if ok else 1

    def status(self, names: tuple[str, ...], *, references: bool) -> int:
        """Hold folders against the file."""
        lock = Lock.load(self.path)
        session = self.session
        with session.open_store() as store:
            found = lock.status(
                store, self._names(lock, names), references=references, progress=session.progress
            )
        clean = all(each.state == "clean" for each in found)
        document = {
            "lock_file": str(self.path),
            "clean": clean,
            "targets": [shown.status_shape(each) for each in found],
        }
        session.result(document, shown.status_lines(found))
        return 0 if clean else 1

    def restore(
        self,
        limits: Limits,
        fetched: Fetched,
        *,
        overwrite: bool,
        clean: bool,
        run: str | None,
        dry_run: bool,
    ) -> None:
        """Make folders exactly what the file says."""
        lock = Lock.load(self.path)
        session = self.session
        with session.open_store(limits) as store:
            if dry_run:
                plans = lock.plan_restore(
                    store, references=not fetched.no_references, progress=session.progress
                )
                document = {
                    "lock_file": str(self.path),
                    "plan": [shown.restore_plan_shape(plan) for plan in plans],
                }
                session.result(document, shown.restore_plan_lines(plans))
                return
            done = lock.restore(
                store,
                overwrite=overwrite,
                clean=clean,
                run=run or None,
                references=not fetched.no_references,
                access=fetched.access,
                progress=session.progress,
            )
        document = {"lock_file": str(self.path), "restored": [shown.restored_shape(each) for each in done]}
        session.summary(document, shown.restored_lines(done))

    def _names(self, lock: Lock, names: tuple[str, ...]) -> list[str]:
        """Names as the file has them: targets as they are, artifacts with the configured project in front."""
        targets = {each.target for each in lock.targets}
        return [
            name if name.rstrip("/").removeprefix("./") in targets else self.session.qualified(name)
            for name in names
        ]

    def _tell(self, document: dict[str, object], lines: list[str], *, dry_run: bool) -> None:
        self.session.summary({"lock_file": str(self.path), "dry_run": dry_run, **document}, lines)

    def _tell_of_merging(self) -> None:
        """Say once how git merges the file, where it is in a repository that does not know yet."""
        folder = self.path.absolute().parent
        top = next((each for each in (folder, *folder.parents) if (each / ".git").exists()), None)
        if top is None:
            return
        try:
            known = self.path.name in (top / _ATTRIBUTES).read_text(encoding="utf-8", errors="replace")
        except OSError:
            known = False
        if not known:
            self.session.notice(
                f"for git to merge {self.path.name} by itself, put this line into {_ATTRIBUTES}:"
                f" {self.path.name} merge=union"
            )
