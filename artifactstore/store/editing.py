"""Changing what versions, artifacts and projects are called and what is said of them.

Each change is one record. What it depends on is looked at in the index as of the very slot of that record, so that of
several clients who ask for the same thing one gets it and the others are told.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from artifactstore.catalog.describing import metadata_after
from artifactstore.catalog.names import first_name, first_project, shown_name, shown_project
from artifactstore.catalog.renaming import NAME_PURGED, rename_refusal
from artifactstore.catalog.rows import live_version
from artifactstore.client import listing
from artifactstore.client.requests import (
    checked_description,
    checked_metadata,
)
from artifactstore.client.version import Version
from artifactstore.errors import (
    InvalidMetadata,
    InvalidReference,
    NameTaken,
    UsageError,
)
from artifactstore.format.limits import METADATA_BYTES_MAX
from artifactstore.format.operations import Describe, Rename
from artifactstore.ids import check_name, parse_artifact_name
from artifactstore.index.environment import ReadTransaction
from artifactstore.store.linking import Linking

# As many as a push names.
_PACKS_NAMED_MAX: Final = 1024


class Editing(Linking):
    """The part of a store that renames and describes."""

    def describe(
        self,
        ref: str,
        *,
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        remove_metadata: Iterable[str] = (),
        replace: bool = False,
    ) -> Version:
        """Change the description and the metadata of a version; return it.

        Args:
            ref: The version.
            description: Free text; None keeps it.
            metadata: What to say under these keys; the others stay.
            remove_metadata: Keys to take away; those that are not there are passed over.
            replace: Take all other keys away.

        Raises:
            NoSuchProject, NoSuchArtifact, NoSuchVersion, Deleted: There is none.
            InvalidMetadata: It is not JSON, nested too deep, or the version's would be larger than it may be.
            UsageError: There is nothing to change.
        """
        keys, gone = checked_metadata(metadata) or {}, list(remove_metadata)
        if description is None and not keys and not gone and not replace:
            raise UsageError(
                "there is nothing to change", next_step="give a description, metadata, or keys to take away"
            )
        text = checked_description(description)
        version = self.version(ref)
        name = version.first_name
        operation = Describe(
            *parse_artifact_name(version.artifact), version.number, text, keys, gone, replace
        )

        def refuse(txn: ReadTransaction) -> None:
            row = live_version(txn, name, version.number)
            if row is not None:
                size = len(json.dumps(metadata_after(row, operation)))
                if size > METADATA_BYTES_MAX:
                    raise InvalidMetadata(
                        f"metadata of {version.qualified_name} would have {size} bytes,"
                        f" more than {METADATA_BYTES_MAX}",
                        size_bytes=size,
                    )

        self._edit(operation, refuse)
        return self._now(version)

    def rename(self, old: str, new: str) -> str:
        """Give an artifact or a project another name; return it.

        Every name that it had goes on answering, for whoever pushes too. It may get one of those back, and nobody
        else does.

        Args:
            old: `project/name`, or `project`.
            new: The same of what it is to be called; an artifact may go to another project.

        Raises:
            NoSuchProject, NoSuchArtifact: There is nothing of that name.
            NameTaken: Something has, or had, the new name.
            InvalidReference: One is an artifact, and the other a project.
        """
        if ("/" in old) != ("/" in new):
            raise InvalidReference(
                "an artifact is renamed to an artifact, and a project to a project",
                next_step=f"write both as {'project/name' if '/' in old else 'project'}",
                reference=new,
            )
        operation = _rename(old, new)
        self.refresh()
        with self._parts.environment.read() as txn:
            if operation.name is None:
                listing.refuse_unknown_project(txn, old)
                current = shown_project(txn, first_project(txn, old))
            else:
                listing.artifact_row(self, txn, parse_artifact_name(old))
                current = str(shown_name(txn, first_name(txn, parse_artifact_name(old))))
        if current == new:
            return new

        def refuse(txn: ReadTransaction) -> None:
            why = rename_refusal(txn, operation, self._parts.keyring.name_key())
            if why:
                raise NameTaken(f"{old} can't be called {new}: {_reason(txn, new, why)}", old=old, new=new)

        skipped = self._commit([operation], refuse)
        if skipped:
            raise NameTaken(f"{old} was not renamed: {skipped}", old=old, new=new)
        return new


def _rename(old: str, new: str) -> Rename:
    if "/" not in old:
        return Rename(check_name(old, "project"), None, check_name(new, "project"), None)
    return Rename(*parse_artifact_name(old), *parse_artifact_name(new))


def _reason(txn: ReadTransaction, new: str, why: str) -> str:
    """Why a name is not to be had: what has it, as far as that can be told."""
    if why == NAME_PURGED:
        return why
    if "/" not in new:
        shown = shown_project(txn, first_project(txn, new))
        return f"there is a project {shown!r}" + ("" if shown == new else f", which was called {new!r}")
    shown = str(shown_name(txn, first_name(txn, parse_artifact_name(new))))
    return f"there is an artifact {shown}" + ("" if shown == new else f", which was called {new}")
