"""Versions and their names: asking for them, aliases, tags."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from artifactstore import content
from artifactstore.catalog.rows import get_alias, get_version, packs_named
from artifactstore.client import listing
from artifactstore.client.opened import OpenStore
from artifactstore.client.opening import Parts
from artifactstore.client.requests import movable_alias
from artifactstore.client.results import ProjectInfo
from artifactstore.client.version import Version
from artifactstore.content.get import ChunkReader
from artifactstore.errors import AliasMoved, InvalidReference, NoSuchArtifact, NotFoundError
from artifactstore.format.operations import Alias, Describe, Manifest, Tag
from artifactstore.ids import (
    ANYWHERE,
    ArtifactName,
    Reference,
    check_name,
    parse_artifact_name,
    parse_reference,
    version_number,
)
from artifactstore.index.environment import ReadTransaction
from artifactstore.index.partial import unloaded


class _Guess(NamedTuple):
    """A version that a reference seems to name, and what is asked for on its behalf."""

    parts: Parts
    number: int
    ahead: content.ahead.Ahead


class Naming(OpenStore):
    """The part of a store that knows what versions are called."""

    def version(self, ref: str) -> Version:
        """The version that a reference names.

        Raises:
            NoSuchProject, NoSuchArtifact, NoSuchVersion: There is none.
        """
        self.refresh()
        with self._parts.environment.read() as txn:
            return listing.resolve(self, txn, parse_reference(ref))

    def projects(self) -> list[ProjectInfo]:
        """All projects, by name."""
        self.refresh()
        with self._parts.environment.read() as txn:
            return listing.projects(txn)

    def add_aliases(self, ref: str, names: Iterable[str], *, expected: str | None = ANYWHERE) -> Version:
        """Point aliases at a version, away from those they are on, all of them or none.

        Args:
            ref: The version.
            names: The aliases.
            expected: Where each of them must be until then: `v3`, or None for nowhere; `*` for wherever. Of several
                clients that move an alias from one place at the same time, one does.

        Raises:
            AliasMoved: One of them is elsewhere.
        """
        wanted = [movable_alias(name) for name in names]
        standing = _expected(expected)
        version = self.version(ref)
        artifact = parse_artifact_name(version.artifact)
        operation = Alias(artifact.project, artifact.name, version.number, wanted, standing)
        self._edit(operation, _standing(operation))
        return self._now(version)

    def remove_aliases(self, artifact: str, names: Iterable[str], *, expected: str | None = ANYWHERE) -> None:
        """Remove aliases of an artifact; `artifact` may be a reference to any of its versions.

        Args:
            artifact: The artifact.
            names: The aliases.
            expected: As for `add_aliases`.

        Raises:
            NoSuchVersion: One of them points at nothing.
            AliasMoved: One of them is elsewhere.
        """
        reference = parse_reference(artifact)
        wanted = [movable_alias(name) for name in names]
        standing = _expected(expected)
        self.refresh()
        with self._parts.environment.read() as txn:
            for name in wanted:
                listing.resolve(self, txn, reference._replace(alias=name, number=None, digest_prefix=None))
        operation = Alias(reference.artifact.project, reference.artifact.name, None, wanted, standing)
        self._edit(operation, _standing(operation))

    def add_tags(self, ref: str, labels: Iterable[str]) -> Version:
        """Put labels on a version."""
        return self._tag(ref, [check_name(label, "tag") for label in labels], [])

    def remove_tags(self, ref: str, labels: Iterable[str]) -> Version:
        """Take labels off a version."""
        return self._tag(ref, [], [check_name(label, "tag") for label in labels])

    def _resolved(self, ref: str) -> tuple[Version, ChunkReader, Manifest]:
        """The version that a reference names, what reads its pages, and its root."""
        self.refresh()
        return self._found(parse_reference(ref))

    def _resolved_ahead(self, ref: str) -> tuple[Version, ChunkReader, Manifest]:
        """The same for a pull of all of it: what that needs first is fetched beside the look at the log."""
        reference = parse_reference(ref)
        guess: _Guess | None = None

        def guessed() -> Sequence[Callable[[], object]]:
            nonlocal guess
            before = guess
            if before is not None and before.parts is self._parts:
                before.ahead.take()
            guess = self._guess(reference)
            if guess is None or (before is not None and guess.number == before.number):
                return ()
            return guess.ahead.requests

        self.refresh(guessed)
        if guess is not None and guess.parts is self._parts:
            guess.ahead.take()
        if guess is None or guess.number != self._number(reference):
            # The look at the log has found another version than was to be expected.
            now = self._guess(reference)
            if now is not None:
                now.parts.backend.together(now.ahead.requests)
                now.ahead.take()
        return self._found(reference)

    def _found(self, reference: Reference) -> tuple[Version, ChunkReader, Manifest]:
        name = reference.artifact
        with self._parts.environment.read() as txn:
            version = listing.resolve(self, txn, reference)
            row = get_version(txn, name, version.number)
        assert row is not None
        return version, self.reader_of(name, version.number), row.manifest

    def _number(self, reference: Reference) -> int | None:
        """The version that a reference names as far as is known here."""
        with self._parts.environment.read() as txn:
            try:
                return listing.resolve(self, txn, reference).number
            except NotFoundError:
                return None

    def _guess(self, reference: Reference) -> _Guess | None:
        """What a pull of that version would ask for first."""
        parts = self._parts
        number = self._number(reference)
        if number is None:
            return None
        with parts.environment.read() as txn:
            row = get_version(txn, reference.artifact, number)
            likely = packs_named(txn, reference.artifact, number) if unloaded(txn) else ()
        if row is None:
            return None
        ahead = content.ahead.Ahead(parts.backend, parts.locator, parts.reader, row.packs, likely)
        return _Guess(parts, number, ahead)

    def _tag(self, ref: str, add: list[str], remove: list[str]) -> Version:
        version = self.version(ref)
        artifact = parse_artifact_name(version.artifact)
        self._edit(Tag(artifact.project, artifact.name, version.number, add, remove))
        return self._now(version)

    def _now(self, version: Version) -> Version:
        """A version as this client's own record left it: what came behind that is no answer to who asked for it."""
        with self._parts.environment.read() as txn:
            return listing.version_of(self, txn, parse_artifact_name(version.artifact), version.number)

    def _edit(
        self,
        operation: Alias | Tag | Describe,
        precondition: Callable[[ReadTransaction], None] | None = None,
    ) -> None:
        skipped = self._commit([operation], precondition)
        if skipped:
            raise NoSuchArtifact(f"nothing was changed: {skipped}")


def _expected(text: str | None) -> list[int] | None:
    """Where aliases are expected, as a record says it.

    Raises:
        InvalidReference: It is no number of a version.
    """
    if text == ANYWHERE:
        return None
    if text is None:
        return []
    number = version_number(text)
    if number is None:
        raise InvalidReference(
            f"{text!r} is not the number of a version, so no alias can be expected there",
            next_step="write it like v3",
            reference=text,
        )
    return [number]


def _standing(operation: Alias) -> Callable[[ReadTransaction], None]:
    """Asks whether aliases are where they are expected."""
    name, expected = ArtifactName(operation.project, operation.name), operation.expected

    def refuse(txn: ReadTransaction) -> None:
        if expected is None:
            return
        wanted = expected[0] if expected else None
        for alias in operation.aliases:
            found = get_alias(txn, name, alias)
            if found != wanted:
                raise AliasMoved(
                    f"the alias {alias!r} of {name} is {_place(found)}, not {_place(wanted)}",
                    alias=alias,
                    expected=None if wanted is None else f"v{wanted}",
                    found=None if found is None else f"v{found}",
                )

    return refuse


def _place(number: int | None) -> str:
    return "nowhere" if number is None else f"on v{number}"
