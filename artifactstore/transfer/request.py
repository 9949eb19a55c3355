"""What a push is to make of its files, a version or a part of a distributed one, and what it did."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from artifactstore import catalog
from artifactstore.catalog.outcome import Outcome
from artifactstore.catalog.rows import get_artifact, live_version
from artifactstore.content.put import Stored
from artifactstore.errors import PreconditionFailed, PushEnded
from artifactstore.format.operations import Manifest, Operation, Part, Push
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import ReadTransaction


class Wanted(Protocol):
    """What a push is to make."""

    @property
    def push_id(self) -> bytes:
        """The id under which it registers packs; empty for a random one."""
        ...

    def unchanged(self, txn: ReadTransaction, manifest: Manifest) -> int | None:
        """The number of what is there already, when the push would change nothing at all."""
        ...

    def operation(self, manifest: Manifest, stored: Stored, packs: list[bytes], salt: bytes) -> Operation:
        """What the record says."""
        ...

    def refuse(self, txn: ReadTransaction) -> None:
        """Refuse what it can't stand on, before the very slot of its record."""
        ...

    def made(self, outcome: Outcome) -> tuple[int, bool]:
        """The number of what the record made or found, and whether it made it."""
        ...


class WantedVersion(Wanted, Protocol):
    """A version that a push is to make."""

    @property
    def artifact(self) -> ArtifactName:
        """Of which artifact."""
        ...


class Request(NamedTuple):
    """What a push is to make of its files.

    Attributes:
        artifact: The artifact.
        type: Its type, when this is its first version.
        aliases: Aliases for the version.
        tags: Labels for the version.
        description: Free text, or None to keep an equal version's.
        metadata: A JSON object, or None likewise.
        run: Id of the run that produces the version, or None.
        follows: Which version it has to be made from, when it is made from the newest.
    """

    artifact: ArtifactName
    type: str
    aliases: list[str]
    tags: list[str]
    description: str | None
    metadata: dict[str, Any] | None
    run: bytes | None = None
    follows: Follows | None = None

    @property
    def push_id(self) -> bytes:
        """A random one."""
        return b""

    def unchanged(self, txn: ReadTransaction, manifest: Manifest) -> int | None:
        """The newest version, when it is equal and nothing is said of it."""
        said = (self.description, self.metadata, self.run)
        if self.aliases or self.tags or any(one is not None for one in said):
            return None
        artifact = get_artifact(txn, self.artifact)
        newest = None if artifact is None else live_version(txn, self.artifact, artifact.newest)
        if artifact is None or newest is None or newest.manifest.digest != manifest.digest:
            return None
        return artifact.newest

    def operation(self, manifest: Manifest, stored: Stored, packs: list[bytes], salt: bytes) -> Operation:
        """The push."""
        return Push(
            project=self.artifact.project,
            name=self.artifact.name,
            type=self.type,
            manifest=manifest,
            description=self.description,
            metadata=self.metadata,
            aliases=self.aliases,
            tags=self.tags,
            new_bytes=stored.raw_bytes,
            stored_bytes=stored.pack_bytes,
            packs=packs,
            salt=salt,
            run=self.run,
        )

    def refuse(self, txn: ReadTransaction) -> None:
        """Refuse that the version from which it was made is not the newest any more.

        Raises:
            PreconditionFailed: Somebody made another one meanwhile.
        """
        if self.follows is not None:
            newest = newest_number(txn, self.artifact)
            if newest != self.follows.number:
                raise PreconditionFailed(
                    f"{self.artifact} has another newest version than the one that this draft starts from",
                    next_step="save it again",
                )

    def made(self, outcome: Outcome) -> tuple[int, bool]:
        """The version."""
        assert outcome.number is not None
        return outcome.number, outcome.created


class Follows:
    """The newest version as a push has found it when it began to read.

    Attributes:
        number: Its number; None for none.
    """

    def __init__(self) -> None:
        self.number: int | None = None


def newest_number(txn: ReadTransaction, name: ArtifactName) -> int | None:
    """The number of the newest version of an artifact that is shown; None for none."""
    artifact = get_artifact(txn, name)
    return None if artifact is None else artifact.newest


class PartRequest(NamedTuple):
    """A part of a distributed push.

    Attributes:
        push: The push's id.
        part: The part's number.
    """

    push: bytes
    part: int

    @property
    def push_id(self) -> bytes:
        """Whoever makes the part again goes on with what was registered for it."""
        return catalog.begun.attempt_id(self.push, self.part)

    def unchanged(self, txn: ReadTransaction, manifest: Manifest) -> int | None:
        """The part, when it is finished with the same entries and nothing waits for its end."""
        row = catalog.begun.get_part(txn, self.push, self.part)
        same = (
            row is not None
            and row.manifest == manifest
            and not any(catalog.pending.pending(txn, self.push_id))
        )
        return self.part if same else None

    def operation(self, manifest: Manifest, stored: Stored, packs: list[bytes], salt: bytes) -> Operation:  # noqa: ARG002 - a part has no commitment
        """The finished part."""
        return Part(self.push, self.part, manifest, stored.raw_bytes, stored.pack_bytes, packs)

    def refuse(self, txn: ReadTransaction) -> None:
        """It stands on nothing."""

    def made(self, outcome: Outcome) -> tuple[int, bool]:
        """The part."""
        return self.part, not outcome.skipped


def refuse_ended(txn: ReadTransaction, push: bytes) -> None:
    """Refuse to go on with a distributed push that is not open.

    Raises:
        PushEnded: It is not.
    """
    row = catalog.begun.get_begun(txn, push)
    if row is None:
        raise PushEnded(
            "the distributed push is not there any more: a sweep found that nobody went on with it"
        )
    if row.ended_slot is not None:
        how = "was committed" if row.committed else "was given up"
        raise PushEnded(
            f"the distributed push to {row.project}/{row.name} {how} by record {row.ended_slot}",
            record=row.ended_slot,
            committed=row.committed,
        )


class Pushed(NamedTuple):
    """What a push did.

    Attributes:
        number: The version it made, or the equal one it found.
        created: Whether it made one.
        files: Entries in the version.
        logical_bytes: Bytes of its files.
        files_read: Files that had to be read.
        bytes_read: Their bytes.
        new_bytes: Raw bytes of chunks that were new to the store.
        stored_bytes: Bytes of packs that were added.
        packs: Packs that were added.
    """

    number: int
    created: bool
    files: int
    logical_bytes: int
    files_read: int
    bytes_read: int
    new_bytes: int
    stored_bytes: int
    packs: int
