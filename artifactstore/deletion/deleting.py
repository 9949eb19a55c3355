"""Deleting versions and bringing them back.

A deletion hides at once, for everybody who reads the log up to its record. The bytes stay where they are, so it can be
taken back.
"""

from collections.abc import Callable, Iterable, Sequence

from artifactstore.catalog.denied import deny_list, refuse_denied
from artifactstore.catalog.links import links_of
from artifactstore.catalog.rows import artifacts, get_version
from artifactstore.client import listing
from artifactstore.client.naming import Naming
from artifactstore.client.observed import operation
from artifactstore.client.results import DeletionPlan
from artifactstore.client.version import Version
from artifactstore.errors import InvalidMetadata, PreconditionFailed, StillLinked
from artifactstore.format.limits import NUMBERS_PER_OPERATION_MAX, REASON_CHARACTERS_MAX
from artifactstore.format.operations import Delete, Undelete, is_unicode
from artifactstore.ids import LATEST, ArtifactName, Selection, parse_artifact_name, parse_selection
from artifactstore.index.environment import ReadTransaction


class Deleting(Naming):
    """The part of a store that hides versions and shows them again."""

    def deleted_versions(self, artifact: str) -> list[Version]:
        """The versions of an artifact that are deleted and can be brought back, oldest first.

        Raises:
            NoSuchProject, NoSuchArtifact: There is none.
        """
        self.refresh()
        with self._parts.environment.read() as txn:
            return listing.versions_of(self, txn, parse_artifact_name(artifact), deleted=True)

    def plan_delete(self, refs: Iterable[str]) -> DeletionPlan:
        """Say what `delete` would hide; nothing is changed.

        Args:
            refs: As for `delete`.

        Raises:
            InvalidReference: One of them does not say which versions are meant.
            NoSuchProject, NoSuchArtifact, NoSuchVersion, Deleted: There is nothing to delete.
        """
        versions = self._selected(refs, deleted=False)
        held = tuple(
            f"{version.artifact}:{alias}"
            for version in versions
            for alias in version.aliases
            if alias != LATEST
        )
        selected = {version.qualified_name for version in versions}
        links = sorted({link for version in versions for link in version.linked} - selected)
        return DeletionPlan(
            tuple(versions), held, sum(version.size_bytes for version in versions), tuple(links)
        )

    @operation
    def delete(
        self,
        refs: Iterable[str],
        *,
        force: bool = False,
        now: bool = False,
        reason: str = "",
        requested_by: str = "",
    ) -> list[Version]:
        """Hide versions; return them as they were.

        Args:
            refs: `project/name:v3`, `project/name:alias`, `project/name@digest`, `project/name:*` or `project/*`;
                a name alone is refused.
            force: Delete also what an alias other than `latest` points at, and the alias; and what is linked into a
                collection, where the link stays with all that it holds.
            now: Let the next `gc` purge them, without the store's grace period.
            reason: Why, kept sealed in the log.
            requested_by: Who asked for it, kept sealed in the log.

        Raises:
            InvalidReference: One of them does not say which versions are meant.
            NoSuchProject, NoSuchArtifact, NoSuchVersion, Deleted: There is nothing to delete.
            PreconditionFailed: An alias points at one of them, and `force` is not set.
            StillLinked: One of them is linked into a collection, and `force` is not set.
            InvalidMetadata: `reason` or `requested_by` is too long.
        """
        refuse_long(reason, requested_by)
        plan = self.plan_delete(refs)
        if plan.aliases and not force:
            raise PreconditionFailed(
                f"the alias {plan.aliases[0]} points at a version that would be deleted",
                next_step="move the alias first, or pass --force (force=True) to delete it too",
                aliases=list(plan.aliases),
            )
        if not force:
            _refuse_linked(plan.links)

        def refuse(txn: ReadTransaction) -> None:
            gone = {(version.first_name, version.number) for version in plan.versions}
            links = {link for one in gone for link in links_of(txn, *one)} - gone
            if not force:
                _refuse_linked(sorted(listing.called(txn, *link) for link in links))

        # Links first: they may be of versions that go with them.
        ordered = sorted(plan.versions, key=lambda version: version.link is None)
        self._change(
            [
                Delete(name.project, name.name, numbers, force, now, reason, requested_by)
                for name, numbers in _by_artifact(ordered)
            ],
            refuse,
        )
        return list(plan.versions)

    @operation
    def undelete(self, refs: Iterable[str]) -> list[Version]:
        """Show deleted versions again; aliases that they had do not come back, but `latest` does.

        Args:
            refs: As for `delete`, without aliases.

        Raises:
            InvalidReference: One of them does not say which versions are meant.
            NoSuchProject, NoSuchArtifact, NoSuchVersion: None of them is deleted.
            Denied: One of them holds a file that was taken down.
        """
        versions = self._selected(refs, deleted=True)
        allowed: set[bytes] = set()

        def refuse(txn: ReadTransaction) -> None:
            rules = deny_list(txn, self._parts.keyring.deny_key())
            # What a sweep has purged meanwhile can't be read any more, and does not come back.
            manifests = [
                (version.qualified_name, version.manifest)
                for version in versions
                if get_version(txn, version.first_name, version.number) is not None
            ]
            refuse_denied(self._parts.reader, rules.beyond(allowed), manifests)
            allowed.update(rules)

        self._change(
            [Undelete(name.project, name.name, numbers) for name, numbers in _by_artifact(versions)], refuse
        )
        return [self._now(version) for version in versions]

    def _selected(self, refs: Iterable[str], *, deleted: bool) -> list[Version]:
        """The versions that references select, each once, by artifact and number."""
        selections = [parse_selection(ref) for ref in refs]
        self.refresh()
        found: dict[tuple[str, int], Version] = {}
        with self._parts.environment.read() as txn:
            for selection in selections:
                for version in self._matching(txn, selection, deleted=deleted):
                    found[version.artifact, version.number] = version
        return [found[key] for key in sorted(found)]

    def _matching(self, txn: ReadTransaction, selection: Selection, *, deleted: bool) -> list[Version]:
        reference = selection.reference
        if reference is not None and not deleted:
            return [listing.resolve(self, txn, reference)]
        if selection.name is None:
            listing.refuse_unknown_project(txn, selection.project)
            names = [name for name, _ in artifacts(txn, selection.project)]
        else:
            names = [ArtifactName(selection.project, selection.name)]
        versions = [one for name in names for one in listing.versions_of(self, txn, name, deleted=deleted)]
        if reference is not None:
            versions = [one for one in versions if listing.names(reference, one)]
        if not versions:
            raise listing.none_selected(selection, deleted=deleted)
        return versions

    def _change(
        self,
        operations: Sequence[Delete | Undelete],
        precondition: Callable[[ReadTransaction], None] | None = None,
    ) -> None:
        skipped = self._commit(operations, precondition)
        if skipped:
            raise PreconditionFailed(
                f"not everything was changed, since another writer was faster: {skipped}",
                next_step="look at what is there now with `artifactstore ls`, then try again",
            )


def _refuse_linked(links: Sequence[str]) -> None:
    if links:
        raise StillLinked(f"{links[0]} is a link of a version that would be deleted", links=list(links))


def refuse_long(reason: str, requested_by: str) -> None:
    """Refuse a reason that no record could hold.

    Raises:
        InvalidMetadata: It is too long.
    """
    for text in (reason, requested_by):
        if not is_unicode(text):
            raise InvalidMetadata("a reason holds text that is no Unicode")
        if len(text) > REASON_CHARACTERS_MAX:
            raise InvalidMetadata(
                f"a reason may have {REASON_CHARACTERS_MAX} characters at most, and this one has {len(text)}",
                next_step="shorten it; a longer text can be pushed as a file",
            )


def _by_artifact(versions: Sequence[Version]) -> list[tuple[ArtifactName, list[int]]]:
    """Numbers by artifact, as many at a time as an operation may name."""
    grouped: dict[str, list[int]] = {}
    for version in versions:
        grouped.setdefault(version.artifact, []).append(version.number)
    return [
        (parse_artifact_name(name), numbers[start : start + NUMBERS_PER_OPERATION_MAX])
        for name, numbers in grouped.items()
        for start in range(0, len(numbers), NUMBERS_PER_OPERATION_MAX)
    ]
