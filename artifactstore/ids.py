"""Names and references: what users write to point at projects, artifacts and versions."""

import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

from artifactstore.errors import InvalidName, InvalidReference

LATEST = "latest"
ALL = "*"
# Where an alias may be expected that may be anywhere.
ANYWHERE = ALL
NAME_CHARACTERS_MAX = 128
DIGEST_PREFIX_MIN = 8
DIGEST_CHARACTERS = 64

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_VERSION = re.compile(r"v(0|[1-9][0-9]{0,8})", re.ASCII)
_DIGEST = re.compile(r"[0-9a-f]{8,64}", re.ASCII)


class ArtifactName(NamedTuple):
    """`project/name`.

    Attributes:
        project: The project.
        name: The artifact in it.
    """

    project: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}/{self.name}"


class Reference(NamedTuple):
    """`project/name` with at most one of number, alias or digest prefix; the alias `latest` by default."""

    artifact: ArtifactName
    number: int | None = None
    alias: str | None = None
    digest_prefix: str | None = None

    def __str__(self) -> str:
        if self.number is not None:
            return f"{self.artifact}:v{self.number}"
        if self.digest_prefix is not None:
            return f"{self.artifact}@{self.digest_prefix}"
        return f"{self.artifact}:{self.alias or LATEST}"


def _is_name(text: object) -> bool:
    """Whether this is text, and keeps the naming rules."""
    return isinstance(text, str) and _NAME.fullmatch(text) is not None and text not in {".", ".."}


def check_name(text: str, what: str) -> str:
    """Return `text` if it may name a project, artifact, type or tag.

    Raises:
        InvalidName: It breaks the naming rules.
    """
    if not _is_name(text):
        raise InvalidName(f"{what} {text!r} is not a valid name", what=what, name=text)
    return text


def check_alias(text: str) -> str:
    """Return `text` if it may be an alias: a valid name that does not look like a version number.

    Raises:
        InvalidName: It breaks the naming rules, or looks like `v3`.
    """
    check_name(text, "alias")
    if re.fullmatch(r"[vV][0-9]+", text, re.ASCII):
        raise InvalidName(
            f"alias {text!r} looks like a version number",
            next_step="choose an alias that is not 'v' and digits",
            what="alias",
            name=text,
        )
    return text


def parse_artifact_name(text: str) -> ArtifactName:
    """Parse `project/name`.

    Raises:
        InvalidReference: There is not exactly one slash.
        InvalidName: One of the parts breaks the naming rules.
    """
    project, slash, name = text.partition("/")
    if not slash or "/" in name:
        plain = not slash and _NAME.fullmatch(text)
        raise InvalidReference(
            f"{text!r} is not of the form project/name",
            next_step=f"write PROJECT/{text}, or set a default project in .artifactstore.toml"
            if plain
            else "write project/name",
            reference=text,
        )
    return ArtifactName(check_name(project, "project"), check_name(name, "artifact"))


def refuse_bad_names(artifact: str, type_name: str, aliases: Iterable[str], tags: Iterable[str]) -> None:
    """Look at all names that a push is given, before anything is done.

    Raises:
        InvalidReference, InvalidName: One of them is none.
    """
    parse_artifact_name(artifact)
    check_name(type_name, "type")
    for alias in aliases:
        check_alias(alias)
    for tag in tags:
        check_name(tag, "tag")


def parse_reference(text: str) -> Reference:
    """Parse `project/name[:vN | :alias | @digest prefix]`.

    Raises:
        InvalidReference: The form is wrong, or the digest prefix is shorter than 8 characters.
        InvalidName: A part breaks the naming rules.
    """
    head, at, digest = text.partition("@")
    if at:
        digest = digest.lower()
        if not _DIGEST.fullmatch(digest):
            raise InvalidReference(
                f"{digest!r} is not a digest prefix of {DIGEST_PREFIX_MIN} to {DIGEST_CHARACTERS} hex digits",
                reference=text,
            )
        return Reference(parse_artifact_name(head), digest_prefix=digest)
    head, colon, selector = text.partition(":")
    artifact = parse_artifact_name(head)
    if not colon:
        return Reference(artifact, alias=LATEST)
    number = version_number(selector)
    if number is not None:
        return Reference(artifact, number=number)
    if not _NAME.fullmatch(selector):
        raise InvalidReference(f"{selector!r} is neither a version nor an alias", reference=text)
    return Reference(artifact, alias=check_alias(selector))


def version_number(text: str) -> int | None:
    """The number that `v3` says; None of any other text."""
    return int(text[1:]) if _VERSION.fullmatch(text) else None


class Selection(NamedTuple):
    """What a command that destroys is to act on.

    Attributes:
        project: The project.
        name: The artifact; None for all of the project.
        reference: The one version; None for all.
    """

    project: str
    name: str | None = None
    reference: Reference | None = None


def parse_selection(text: str) -> Selection:
    """Parse `project/name:v3` (or an alias, or `@digest`), `project/name:*` or `project/*`; there is no default.

    Raises:
        InvalidReference: The form is wrong, or it does not say which versions are meant.
        InvalidName: A part breaks the naming rules.
    """
    project, slash, name = text.partition("/")
    if slash and name == ALL:
        return Selection(check_name(project, "project"))
    if text.endswith(f":{ALL}"):
        return Selection(*parse_artifact_name(text[: -len(ALL) - 1]))
    reference = parse_reference(text)
    if ":" not in text and "@" not in text:
        raise InvalidReference(
            f"{text!r} does not say which versions are meant",
            next_step=f"write {text}:v3, {text}:{ALL} for all its versions, {project}/{ALL} for all of the project",
            reference=text,
        )
    return Selection(*reference.artifact, reference)


def normalized(text: str) -> str:
    """The Unicode form (NFC) in which paths and names are kept."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)
