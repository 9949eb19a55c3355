"""What an artifact needs of the store that it is saved in, and what of it may be changed there."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Protocol

from artifactstore.client.referring import ReferenceReport
from artifactstore.client.results import PullSummary
from artifactstore.client.version import Version
from artifactstore.ids import ArtifactName
from artifactstore.manifest.read import Getter
from artifactstore.progress import Progress
from artifactstore.references.access import ReferenceAccess
from artifactstore.runs.run import RunInfo
from artifactstore.transfer.drafting import Content

_NS_PER_S = 1_000_000_000


class Proposed(Protocol):
    """A draft, as far as the store needs it that makes a version of it."""

    @property
    def type(self) -> str:
        """What it is: `dataset`, `model` ..."""
        ...

    @property
    def incremental(self) -> bool:
        """Whether it starts from what the newest version holds."""
        ...

    @property
    def base(self) -> Version | None:
        """The version that it was made from."""
        ...

    @property
    def removed(self) -> tuple[str, ...]:
        """What it removes of its base."""
        ...

    @property
    def edits(self) -> Edits:
        """What is said of it outside its digest."""
        ...

    def content_from(self, store: Keeper, base: Version | None, *, changed: bool = True) -> Content:
        """What it makes of a version."""
        ...


class Keeper(Protocol):
    """The store that an artifact is saved in, as far as the artifact needs it."""

    @property
    def id(self) -> str:
        """The store's id."""
        ...

    @property
    def url(self) -> str:
        """Where the store lies."""
        ...

    def getter_of(self, artifact: ArtifactName, number: int) -> Getter:
        """Reads pages of a version."""
        ...

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
        """Make a version of a draft."""
        ...

    def artifact(self, ref: str) -> Any:
        """A version as an `Artifact`."""
        ...

    def logged_by(self, ref: str) -> RunInfo | None:
        """The run that produced a version first."""
        ...

    def runs(self, *, used: str | None = None) -> list[RunInfo]:
        """Runs that used a version."""
        ...

    def save_changes(self, version: Version, edits: Edits) -> Version:
        """Write what was changed outside its digest."""
        ...

    def pull(
        self,
        ref: str,
        destination: str | os.PathLike[str],
        *,
        paths: Iterable[str] = (),
        overwrite: bool = False,
        references: bool = True,
        allow_missing_references: bool = False,
        access: ReferenceAccess | None = None,
    ) -> PullSummary:
        """Write a version's files into a folder."""
        ...

    def verify_references(self, ref: str, *, access: ReferenceAccess | None = None) -> ReferenceReport:
        """Ask the sources of a version's references."""
        ...

    def link(self, ref: str, collection: str, *, aliases: Iterable[str] = ()) -> Version:
        """Put a version into a collection."""
        ...

    def unlink(self, refs: Iterable[str], *, force: bool = False) -> list[Version]:
        """Take links out of collections."""
        ...

    def delete(self, refs: Iterable[str], *, force: bool = False) -> list[Version]:
        """Hide versions."""
        ...


class Edits:
    """What stands outside a version's digest and may be changed: what a user wants there.

    Attributes:
        description: Free text; None for what it has.
        metadata: A JSON object.
        aliases: All its aliases; `latest` counts for nothing.
        tags: All its tags.
        ttl: How long it lives from when it was made; None for ever.
    """

    def __init__(self, version: Version | None = None) -> None:
        self.description = None if version is None else version.description
        self.metadata: dict[str, Any] = {} if version is None else version.metadata
        self.aliases = [] if version is None else list(version.aliases)
        self.tags = [] if version is None else list(version.tags)
        self.ttl: timedelta | None = None
        if version is not None and version.expires_ns is not None:
            self.ttl = timedelta(seconds=(version.expires_ns - version.created_ns) // _NS_PER_S)
