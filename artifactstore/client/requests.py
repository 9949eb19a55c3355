"""Checking what a user asks of a store before anything happens: sources, names, metadata, descriptions."""

import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO

from artifactstore.errors import InvalidMetadata, InvalidName
from artifactstore.format.limits import DESCRIPTION_BYTES_MAX, METADATA_BYTES_MAX
from artifactstore.format.operations import is_unicode, metadata_problem
from artifactstore.ids import LATEST, ArtifactName, check_alias, check_name
from artifactstore.transfer.request import Request
from artifactstore.transfer.scan import Apart, Found, Sources


class Describing(ABC):
    """What a push takes whole, because it says itself what it holds and what is said of it: a draft."""

    @property
    @abstractmethod
    def project(self) -> str:
        """The project that it is of; empty while it knows of none."""

    @property
    @abstractmethod
    def draft_name(self) -> str:
        """The artifact's name, without a version."""

    @property
    @abstractmethod
    def qualified_name(self) -> str:
        """`project/name:v3`; of a draft what there is of it."""

    @abstractmethod
    def is_draft(self) -> bool:
        """Whether it is not saved yet."""


def push_request(
    artifact: ArtifactName,
    type_name: str,
    aliases: Iterable[str],
    tags: Iterable[str],
    description: str | None,
    metadata: Mapping[str, Any] | None,
) -> Request:
    """What a push is to make of its files, checked.

    Raises:
        InvalidName: A name breaks the naming rules.
        InvalidMetadata: Metadata or description can't be kept.
    """
    return Request(
        artifact,
        check_name(type_name, "type"),
        [check_alias(alias) for alias in aliases if alias != LATEST],
        [check_name(tag, "tag") for tag in tags],
        checked_description(description),
        checked_metadata(metadata),
    )


def sources_of(
    paths: Iterable[str | os.PathLike[str]],
    exclude: Iterable[str],
    files: Iterable[str] | None,
    streams: Mapping[str, BinaryIO] | None,
    apart: Apart,
    references: Iterable[Found] = (),
) -> Sources:
    """What to push, as the scan takes it."""
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    names = [os.fspath(path) for path in paths]
    return Sources(names, list(files or ()), dict(streams or {}), list(references), list(exclude), apart)


def movable_alias(alias: str) -> str:
    """An alias that a user may move.

    Raises:
        InvalidName: It is `latest`, or breaks the naming rules.
    """
    if alias == LATEST:
        raise InvalidName(
            f"the alias {LATEST!r} follows the newest version by itself",
            next_step="choose another",
            name=alias,
        )
    return check_alias(alias)


def checked_metadata(metadata: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Metadata as JSON keeps it.

    Raises:
        InvalidMetadata: It is not a JSON object, or too large.
    """
    if metadata is None:
        return None
    if not isinstance(metadata, Mapping):
        raise InvalidMetadata(
            f"metadata is not a JSON object, but {metadata!r:.40}", next_step="write it as {'key': value}"
        )
    problem = metadata_problem(dict(metadata))
    if problem:
        raise InvalidMetadata(
            f"metadata {problem}", next_step="use text, numbers, booleans, lists and objects"
        )
    text = json.dumps(metadata)
    if len(text) > METADATA_BYTES_MAX:
        raise InvalidMetadata(f"metadata of {len(text)} bytes exceeds {METADATA_BYTES_MAX}")
    checked: dict[str, Any] = json.loads(text)
    return checked


def checked_description(description: str | None) -> str | None:
    """A description within its bound.

    Raises:
        InvalidMetadata: It is longer, or no text.
    """
    if description is not None and not isinstance(description, str):
        raise InvalidMetadata(f"a description is text, not {type(description).__name__}")
    if description is not None and not is_unicode(description):
        raise InvalidMetadata("a description holds text that is no Unicode")
    if description is not None and len(description.encode(errors="replace")) > DESCRIPTION_BYTES_MAX:
        raise InvalidMetadata(f"a description may have {DESCRIPTION_BYTES_MAX} bytes at most")
    return description
