"""Links: putting versions into collections, which have numbers and aliases of their own, and taking them out."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from artifactstore.catalog.links import NO_COLLECTION, NO_SOURCE, OTHER_TYPE, first_source, link_refusal
from artifactstore.catalog.outcome import Outcome
from artifactstore.catalog.rows import get_artifact, packs_named
from artifactstore.client import listing
from artifactstore.client.requests import checked_description, checked_metadata, movable_alias
from artifactstore.client.version import PushSummary, Version
from artifactstore.deletion.deleting import Deleting
from artifactstore.errors import ArtifactStoreError, NoSuchVersion, NotACollection, TypeMismatch
from artifactstore.format.commitment import SALT_BYTES
from artifactstore.format.operations import Push, Source
from artifactstore.ids import ArtifactName, check_name, parse_artifact_name
from artifactstore.index.environment import ReadTransaction

# As many as a push names.
_PACKS_NAMED_MAX: Final = 1024


class Linking(Deleting):
    """The part of a store that links."""

    def link(
        self,
        ref: str,
        collection: str,
        *,
        aliases: Iterable[str] = (),
        tags: Iterable[str] = (),
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Version:
        """Put a version into a collection; return the link.

        A link is a version of the collection, with a number, aliases and tags of its own, and holds what the version
        holds for as long as the link is there. The first link makes the collection. A version that is linked there
        already keeps its link, which gets what is given.

        Args:
            ref: The version; of a link, the version that it is of.
            collection: `project/name`.
            aliases: Aliases to point at the link, away from those they are on.
            tags: Labels to put on it.
            description: Free text; that of the version when None.
            metadata: A JSON object; that of the version when None.

        Returns:
            The link, whose `push` says whether it was made.

        Raises:
            NoSuchProject, NoSuchArtifact, NoSuchVersion, Deleted: There is no such version.
            NotACollection: The artifact holds versions of its own.
            TypeMismatch: The collection is of another type.
            InvalidName, InvalidMetadata: Something breaks the rules.
        """
        name = parse_artifact_name(collection)
        wanted = [movable_alias(alias) for alias in aliases]
        labels = [check_name(tag, "tag") for tag in tags]
        text, said = checked_description(description), checked_metadata(metadata)
        version = self.version(ref)
        if version.link is not None:
            version = self.version(version.link.version)
        source = Source(*version.first_name, version.number)
        with self._parts.environment.read() as txn:
            packs = packs_named(txn, version.first_name, version.number)[:_PACKS_NAMED_MAX]
        salt = self._randomness.token(SALT_BYTES)
        operation = Push(
            *name, version.type, version.manifest, text, said, wanted, labels, 0, 0, packs, salt, None, source
        )
        started = self._clock.monotonic_s()
        outcome = self._linked(operation, source, version, name)
        seconds = self._clock.monotonic_s() - started
        summary = PushSummary(outcome.created, version.file_count, version.size_bytes, 0, 0, 0, 0, 0, seconds)
        assert outcome.number is not None
        with self._parts.environment.read() as txn:
            return listing.version_of(self, txn, name, outcome.number, summary)

    def _linked(self, operation: Push, source: Source, version: Version, collection: ArtifactName) -> Outcome:
        """Commit a link; what stands in the way is looked for at the very slot."""

        def refuse(txn: ReadTransaction) -> None:
            why = link_refusal(txn, operation, first_source(txn, source))
            if why:
                raise _link_error(txn, why, version, collection)

        self.before_writing()
        committed = self.across(lambda: self._parts.committer.commit([operation], precondition=refuse))
        (outcome,) = committed.outcomes
        if outcome.number is None:
            raise NoSuchVersion(f"nothing was linked: {outcome.skipped}", version=version.qualified_name)
        return outcome

    def unlink(self, refs: Iterable[str], *, force: bool = False, reason: str = "") -> list[Version]:
        """Take links out of collections; return them as they were. The versions that they are of stay.

        It is a deletion of the links: it can be taken back with `undelete` until a sweep purges them.

        Args:
            refs: As for `delete`.
            force: Unlink also what an alias other than `latest` points at; the alias goes too.
            reason: Why, kept sealed in the log.

        Raises:
            NotACollection: One of them is no link.
            InvalidReference, NoSuchArtifact, NoSuchVersion, Deleted, PreconditionFailed: As for `delete`.
        """
        given = list(refs)
        for version in self.plan_delete(given).versions:
            if version.link is None:
                raise NotACollection(
                    f"{version.qualified_name} is no link",
                    next_step=f"to delete it, say so: artifactstore delete {version.qualified_name}",
                    version=version.qualified_name,
                )
        return self.delete(given, force=force, reason=reason)


def _link_error(
    txn: ReadTransaction, why: str, version: Version, collection: ArtifactName
) -> ArtifactStoreError:
    facts = {"version": version.qualified_name, "collection": str(collection)}
    if why == OTHER_TYPE:
        row = get_artifact(txn, collection)
        found = version.type if row is None else row.type
        return TypeMismatch(
            f"{version.qualified_name} is a {version.type}, and the collection {collection} of type {found}",
            expected=found,
            found=version.type,
            **facts,
        )
    if why == NO_COLLECTION:
        return NotACollection(
            f"{collection} holds versions of its own, so nothing can be linked into it", **facts
        )
    assert why == NO_SOURCE
    return NoSuchVersion(f"{version.qualified_name} was deleted meanwhile, so it was not linked", **facts)
