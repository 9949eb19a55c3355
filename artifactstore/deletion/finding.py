"""Finding files by their content, whatever they are called and wherever they lie."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

from artifactstore import maintenance
from artifactstore.client.naming import Naming
from artifactstore.client.observed import operation
from artifactstore.client.version import file_in
from artifactstore.errors import InvalidReference, NoSuchPath
from artifactstore.executors import Executors
from artifactstore.ids import DIGEST_CHARACTERS
from artifactstore.progress import Progress
from artifactstore.transfer.fingerprint import fingerprint

_DIGEST = re.compile(rf"[0-9a-fA-F]{{{DIGEST_CHARACTERS}}}", re.ASCII)
_DIGITS = re.compile(r"[0-9a-fA-F]{8,}", re.ASCII)


class Finding(Naming):
    """The part of a store that looks for content."""

    @operation
    def find(
        self,
        files: Iterable[str | os.PathLike[str]],
        *,
        within: str | None = None,
        references: bool = False,
        progress: Progress | None = None,
    ) -> maintenance.find.FindReport:
        """Say in which artifacts, versions and paths files lie, whole or in part; no data is downloaded.

        References whose checksum is the BLAKE3 of a file are named beside the places where it is kept.

        Args:
            files: Local files, or digests as 64 hex digits; with `within`, paths of that version.
            within: A reference to a version.
            references: Search all versions for references, also where the store holds nothing of the files.
            progress: Told what happens; the store's own when None.

        Raises:
            NoSuchPath: There is no such file.
            InvalidSource: It is no file.
            NoSuchEntry: The version has no such file.
            NoSuchProject, NoSuchArtifact, NoSuchVersion, Deleted: There is no such version.
        """
        watcher = progress or self._progress
        known = self._known(files, within, watcher)
        while True:
            before = self._parts
            report = self._finder(watcher, references=references).run(known)
            if report.unread.total:
                # What a sweep moved meanwhile is not damage.
                self.refresh()
            if self._parts is before:
                break
        watcher.finish()
        return report

    def _finder(self, progress: Progress, *, references: bool = False) -> maintenance.find.Finder:
        parts = self._parts
        return maintenance.find.Finder(
            parts.reader, parts.environment, parts.locator, progress, references=references
        )

    def _known(
        self, files: Iterable[str | os.PathLike[str]], within: str | None, progress: Progress
    ) -> list[maintenance.find.Known]:
        """What is known of files that are named as for `find`; the log is followed."""
        wanted = [os.fspath(file) for file in files]
        if within is not None:
            return [self._known_within(within, path) for path in wanted]
        self.refresh()
        with self._make_executors() as executors:
            return [self._known_locally(path, executors, progress) for path in wanted]

    def _known_locally(self, path: str, executors: Executors, progress: Progress) -> maintenance.find.Known:
        """A local file, or a digest; of a name that is both, the file."""
        if not os.path.lexists(path):
            if _DIGEST.fullmatch(path):
                return maintenance.find.Known(path, bytes.fromhex(path), None)
            if _DIGITS.fullmatch(path):
                raise InvalidReference(
                    f"{path!r} is no file, and a digest has {DIGEST_CHARACTERS} digits",
                    next_step="`artifactstore files REF --verbose` prints digests in full, and so does b3sum",
                )
            raise NoSuchPath(f"{path!r} does not exist", path=path)
        found = fingerprint(path, self._parts.keyring, self._the_chunker(), executors, progress)
        return maintenance.find.Known(path, found.digest, found)

    def _known_within(self, ref: str, path: str) -> maintenance.find.Known:
        version, getter, manifest = self._resolved(ref)
        entry = file_in(getter, manifest, path, version.qualified_name)
        return maintenance.find.Known(
            f"{version.qualified_name} {path}", entry.digest, maintenance.find.fingerprint_of(getter, entry)
        )
