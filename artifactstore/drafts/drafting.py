"""Saving drafts, and what is changed of saved artifacts."""

import os
from collections.abc import Iterable, Iterator
from typing import cast

from artifactstore.client import listing
from artifactstore.client.naming import Naming
from artifactstore.client.pushing import Pushing
from artifactstore.client.requests import checked_description, checked_metadata, push_request
from artifactstore.client.version import Version
from artifactstore.drafts.artifact import Artifact
from artifactstore.drafts.keeper import Edits, Keeper, Proposed
from artifactstore.errors import NoSuchVersion, UsageError
from artifactstore.format.limits import TIME_MS_MAX
from artifactstore.format.operations import Alias, Describe, Expire, Operation, Tag
from artifactstore.ids import LATEST, ArtifactName, Reference, check_alias, check_name, parse_artifact_name
from artifactstore.progress import Progress
from artifactstore.transfer.drafting import Content, refuse_unknown, unchanged
from artifactstore.transfer.request import Follows, newest_number
from artifactstore.transfer.scan import Found, Program, Sources

_NS_PER_MS = 1_000_000
_MS_PER_S = 1000


class Drafting(Pushing, Naming):
    """The part of a store that knows artifacts as objects."""

    def artifact(self, ref: str) -> Artifact:
        """The version that a reference names, as an `Artifact`.

        Raises:
            NoSuchProject, NoSuchArtifact, NoSuchVersion, Deleted: There is none.
        """
        return Artifact._of(cast("Keeper", self), self.version(ref))  # noqa: SLF001 - its maker

    def push_artifact(
        self,
        draft: Artifact,
        artifact: ArtifactName,
        *,
        aliases: Iterable[str] = (),
        tags: Iterable[str] = (),
        run: str | None = None,
        progress: Progress | None = None,
    ) -> Version:
        """Save a draft as a version of an artifact that is named; `Store.push` says the rest.

        Raises:
            UsageError: The draft has another name.
        """
        if draft.is_draft() and draft.name != artifact.name:
            raise UsageError(
                f"the draft is of {draft.name!r}, and {str(artifact)!r} is named",
                next_step=f"push it to {artifact.project}/{draft.name}",
            )
        draft.save(
            cast("Keeper", self), artifact.project, aliases=aliases, tags=tags, run=run, progress=progress
        )
        return draft.as_version

    def save_draft(
        self,
        draft: Proposed,
        artifact: str,
        *,
        aliases: Iterable[str] = (),
        tags: Iterable[str] = (),
        run: str | None = None,
        progress: Progress | None = None,
    ) -> Version:
        """Make a version of what a draft holds; `Artifact.save` is the way to it.

        Args:
            draft: The draft; it is not marked as saved here.
            artifact: `project/name`.
            aliases: Aliases for the version, besides the draft's.
            tags: Labels for it, besides the draft's.
            run: Id of the run that produces it.
            progress: Told what happens; the store's own when None.

        Raises:
            As `Artifact.save`.
        """
        name = parse_artifact_name(artifact)
        said = draft.edits
        request = push_request(
            name,
            draft.type,
            [*dict.fromkeys([*said.aliases, *aliases])],
            [*dict.fromkeys([*said.tags, *tags])],
            said.description,
            said.metadata or None,
        )
        follows = Follows() if draft.base is None and draft.incremental else None
        request = request._replace(follows=follows)
        if run is not None:
            self.refresh()
            request = request._replace(run=self._open_run(run))

        def found() -> Iterator[Found]:
            base = self._base_of(draft, name, follows)
            yield from map(unchanged, filter(self._belongs, self._content_of(draft, base).found()))

        version = self.push_sources(Sources(program=Program(found)), request, progress)
        if said.ttl is not None:
            self._commit([_expiry(version, said)])
            version = self._now(version)
        return version

    def _belongs(self, found: Found) -> bool:
        """Whether something that was added is none of the store's own files, nor of its index."""
        apart = self._apart()
        for folder in apart.folders:
            if found.source.startswith(folder + os.sep):
                apart.notice(f"{folder} is left out: it is the store itself, or its index")
                return False
        return True

    def _base_of(self, draft: Proposed, name: ArtifactName, follows: Follows | None) -> Version | None:
        """The version that a draft starts from, which is shown now; so it holds nothing that is denied now."""
        with self._parts.environment.read() as txn:
            if draft.base is not None:
                return listing.resolve(
                    self,
                    txn,
                    Reference(parse_artifact_name(draft.base.artifact), number=draft.base.number),
                )
            if follows is None:
                return None
            follows.number = newest_number(txn, name)
            if follows.number is None:
                return None
            return listing.version_of(self, txn, name, follows.number)

    def _content_of(self, draft: Proposed, base: Version | None) -> Content:
        content = draft.content_from(cast("Keeper", self), base)
        for path in draft.removed:
            refuse_unknown(draft.content_from(cast("Keeper", self), base, changed=False), path)
        return content

    def save_changes(self, version: Version, edits: Edits) -> Version:
        """Write what was changed of what stands outside a version's digest, in one record; return it as it is then.

        Raises:
            InvalidName, InvalidMetadata: Something of it can't be kept.
            Deleted: The version was deleted.
        """
        name = parse_artifact_name(version.artifact)
        wanted = {check_alias(alias) for alias in edits.aliases} - {LATEST}
        there = set(version.aliases) - {LATEST}
        labels, before = {check_name(tag, "tag") for tag in edits.tags}, set(version.tags)
        at = (name.project, name.name, version.number)
        operations: list[Operation] = []
        description, metadata = checked_description(edits.description), checked_metadata(edits.metadata)
        if description != version.description or metadata != version.metadata:
            operations.append(Describe(*at, description, metadata or {}, [], replace=True))
        if wanted - there:
            operations.append(Alias(*at, sorted(wanted - there)))
        if there - wanted:
            operations.append(Alias(name.project, name.name, None, sorted(there - wanted)))
        if labels != before:
            operations.append(Tag(*at, sorted(labels - before), sorted(before - labels)))
        if edits.ttl != Edits(version).ttl:
            operations.append(_expiry(version, edits))
        if operations:
            skipped = self._commit(operations)
            if skipped:
                raise NoSuchVersion(f"nothing was changed: {skipped}")
        return self._now(version)


def _expiry(version: Version, edits: Edits) -> Expire:
    name = parse_artifact_name(version.artifact)
    expires_ms = None
    if edits.ttl is not None:
        expires_ms = version.created_ns // _NS_PER_MS + int(edits.ttl.total_seconds() * _MS_PER_S)
        if expires_ms > TIME_MS_MAX:
            raise UsageError("a time to live ends before the year 10000")
    return Expire(name.project, name.name, version.number, expires_ms)
