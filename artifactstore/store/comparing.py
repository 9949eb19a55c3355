"""Comparing versions with each other, and a version with a local folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from artifactstore import comparison, manifest, store, transfer
from artifactstore.client import listing
from artifactstore.client.naming import Naming
from artifactstore.client.requests import sources_of
from artifactstore.client.version import file_in
from artifactstore.errors import Damaged, InvalidSource, NoSuchPath
from artifactstore.ids import parse_artifact_name, parse_reference
from artifactstore.progress import Progress, Quiet
from artifactstore.transfer.ignore import parse_patterns
from artifactstore.transfer.scan import scan


class Comparing(Naming):
    """The part of a store that compares."""

    def diff(self, before: str, after: str, *, paths: Iterable[str] = ()) -> store.VersionDiff:
        """Say how a version differs from another one, of the same artifact or not.

        Only pages and chunk lists that differ are read, so that it takes as long as there are changes, however large
        the versions are.

        Args:
            before: A reference to the first version.
            after: A reference to the second.
            paths: Globs of the paths to compare, as for `pull`; all when empty.

        Raises:
            NoSuchProject, NoSuchArtifact, NoSuchVersion, Deleted: There is no such version.
            UsageError: A glob is not of gitignore's language.
            Damaged: A page or chunk list can't be read.
        """
        references = parse_reference(before), parse_reference(after)
        chosen = _chosen(paths)
        self.refresh()
        with self._parts.environment.read() as txn:
            one, other = (listing.resolve(self, txn, reference) for reference in references)
        getter = self.getter_of_all(
            [(parse_artifact_name(each.artifact), each.number) for each in (one, other)]
        )
        changes = manifest.changes.Changes(
            lambda: chosen(manifest.diff.differing(getter, one.manifest, other.manifest)),
            manifest.changes.measured_by(getter),
        )

        def look(change: store.Change) -> comparison.results.FileDiff | None:
            format_name = comparison.formats.format_of(change.path)
            if format_name is None:
                return None
            sources = [
                transfer.ranges.StoredBytes(
                    getter,
                    file_in(getter, each.manifest, change.path, each.qualified_name),
                    f"{each.qualified_name} {change.path}",
                )
                for each in (one, other)
            ]
            apart = transfer.ranges.chunks_apart(getter, sources[0].entry, sources[1].entry)
            return comparison.formats.compare_files(format_name, sources[0], sources[1], apart)

        return store.VersionDiff(one, other, other.qualified_name, changes, look)

    def diff_folder(
        self,
        ref: str,
        folder: str | os.PathLike[str],
        *,
        paths: Iterable[str] = (),
        exclude: Iterable[str] = (),
        progress: Progress | None = None,
    ) -> store.VersionDiff:
        """Say how a local folder differs from a version: what a push of the folder would change.

        Files are found as by a push, with its rules of what is left out. Those that have not changed since this client
        last read them are not read, and what is read is remembered.

        Args:
            ref: A reference to the version.
            folder: The folder.
            paths: As for `diff`.
            exclude: What to leave out, in gitignore's language.
            progress: Told what is read; the store's own when None.

        Raises:
            NoSuchPath: There is no such folder.
            InvalidSource: It is no folder, or something in it can't be an entry.
            SourceChanged: A file changed while it was read.
            NoSuchProject, NoSuchArtifact, NoSuchVersion, Deleted, UsageError, Damaged: As `diff`.
        """
        place = Path(os.path.abspath(folder))  # noqa: PTH100 - `resolve` would follow a link in the name
        if not place.is_dir():
            if not place.exists():
                raise NoSuchPath(f"{os.fspath(folder)!r} does not exist", path=str(place))
            raise InvalidSource(
                f"{os.fspath(folder)!r} is no folder", next_step="name a folder", path=str(place)
            )
        chosen = _chosen(paths)
        sources = sources_of([place], exclude, None, None, self._apart())
        version = self.version(ref)
        getter = self.getter_of(parse_artifact_name(version.artifact), version.number)
        lists = transfer.local.LocalLists(self._parts.keyring, getter)
        watcher = [progress or self._progress]
        chunker = self._the_chunker()

        def pairs() -> Iterator[manifest.diff.Pair]:
            # Only the first walk is told: what a later one looks at was looked at.
            told = watcher.pop() if watcher else Quiet()
            with self._make_executors() as executors:
                parts = transfer.local.LocalParts(
                    lists, self._parts.environment, chunker, executors, self._clock, told
                )
                told.start("compare")
                yield from chosen(
                    manifest.diff.differing_from(
                        getter, version.manifest, transfer.local.local_entries(parts, scan(sources))
                    )
                )
                told.finish()

        def look(change: store.Change) -> comparison.results.FileDiff | None:
            format_name = comparison.formats.format_of(change.path)
            if format_name is None or change.after is None:
                return None
            entry = file_in(getter, version.manifest, change.path, version.qualified_name)
            stored = transfer.ranges.StoredBytes(getter, entry, f"{version.qualified_name} {change.path}")
            local = transfer.local.LocalBytes(str(place / change.path), change.after.size_bytes)
            return comparison.formats.compare_files(format_name, stored, local, comparison.formats.everything)

        return store.VersionDiff(
            version, None, os.fspath(folder), manifest.changes.Changes(pairs, _measured_locally(lists)), look
        )


def _chosen(paths: Iterable[str]) -> Callable[[Iterable[manifest.diff.Pair]], Iterator[manifest.diff.Pair]]:
    """What chooses pairs by globs."""
    globs = list(paths)
    wanted = parse_patterns(globs, "--path") if globs else None
    return lambda pairs: (pair for pair in pairs if wanted is None or wanted.match_file(pair.path))


def _measured_locally(
    lists: transfer.local.LocalLists,
) -> Callable[[list[manifest.diff.Pair]], list[manifest.overlap.Fresh]]:
    """The same as `measured_by`; of a file whose chunk list is not at hand, all is taken for new."""
    measure = manifest.changes.measured_by(lists)

    def measured(pairs: list[manifest.diff.Pair]) -> list[manifest.overlap.Fresh]:
        try:
            return measure(pairs)
        except Damaged:
            if len(pairs) > 1:
                return [found for pair in pairs for found in measured([pair])]
        after = pairs[0].after
        return [manifest.overlap.Fresh(0 if after is None else after.size, exact=False)]

    return measured
