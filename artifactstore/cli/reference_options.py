"""Options about references: adding them, fetching what they name, and what of that is allowed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

if TYPE_CHECKING:
    from artifactstore import ReferenceAccess

F = TypeVar("F", bound=Callable[..., Any])

_PUSHING: Final = (
    click.option(
        "--reference",
        "references",
        metavar="URL[=PATH]",
        multiple=True,
        help="Refer to this URL instead of keeping its bytes, under PATH or its own name.",
    ),
    click.option("--materialize", is_flag=True, help="Keep what the references name after all."),
    click.option(
        "--max-objects",
        type=click.IntRange(min=1),
        metavar="COUNT",
        help="How many objects a referenced folder or prefix may hold (10000).",
    ),
)
_ALLOWING: Final = click.option(
    "--allow-references",
    "allowed",
    metavar="URL",
    multiple=True,
    help="Fetch also local files and private addresses whose URL begins like this.",
)
_PULLING: Final = (
    click.option("--no-references", is_flag=True, help="Leave out what is only referred to."),
    click.option("--allow-missing", is_flag=True, help="Leave out references that are gone or changed."),
    _ALLOWING,
)


class Elsewhere(NamedTuple):
    """What a push was told of references: the arguments of `Store.push`."""

    references: dict[str, str]
    materialize: bool
    max_objects: int | None

    @property
    def arguments(self) -> dict[str, Any]:
        """What `Store.push` takes of them."""
        return self._asdict() if self.references else {}

    def refuse_dry_run(self) -> None:
        """Refuse to say what a push would read of what is looked at when it is pushed.

        Raises:
            click.UsageError: There are references.
        """
        if self.references:
            raise click.UsageError(
                "--reference has no --dry-run: what is elsewhere is looked at when it is pushed"
            )


class Fetched(NamedTuple):
    """What a pull was told of references."""

    no_references: bool
    allow_missing: bool
    allowed: tuple[str, ...]

    @property
    def arguments(self) -> dict[str, Any]:
        """What `Store.pull` takes of them."""
        return {
            "references": not self.no_references,
            "allow_missing_references": self.allow_missing,
            "access": self.access,
        }

    @property
    def access(self) -> ReferenceAccess | None:
        """What may be fetched; None for what a pull may fetch by itself."""
        return access_to(self.allowed) if self.allowed else None


def pushing_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that adds references; it gets them as `elsewhere`."""

    @wraps(command)
    def called(
        *args: Any, references: tuple[str, ...], materialize: bool, max_objects: int | None, **others: Any
    ) -> Any:
        if (materialize or max_objects is not None) and not references:
            raise click.UsageError("--materialize and --max-objects go with --reference")
        elsewhere = Elsewhere(parse_references(references), materialize, max_objects)
        return command(*args, elsewhere=elsewhere, **others)

    return _with(called, _PUSHING)


def pulling_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that fetches references; it gets them as `fetched`."""

    @wraps(command)
    def called(
        *args: Any, no_references: bool, allow_missing: bool, allowed: tuple[str, ...], **others: Any
    ) -> Any:
        return command(*args, fetched=Fetched(no_references, allow_missing, allowed), **others)

    return _with(called, _PULLING)


def allowing_option(command: F) -> F:
    """The option that says what may be fetched."""
    return _with(command, (_ALLOWING,))


def _with(command: F, options: Sequence[Callable[[F], F]]) -> F:
    for option in reversed(options):
        command = option(command)
    return command


def parse_references(texts: Sequence[str]) -> dict[str, str]:
    """Path in the version to URL, of URL[=PATH]; where the URL has a query, all of it is the URL.

    Raises:
        click.UsageError: Two have one path.
    """
    found: dict[str, str] = {}
    for text in texts:
        url, equals, path = text.rpartition("=")
        if not equals or "?" in url:
            url, path = text, ""
        if not path and not url.endswith("/"):
            from artifactstore.references.referring import name_of

            path = name_of(url)
        if path in found:
            raise click.UsageError(
                f"two references have the path {path or '/'!r}: give one another, as URL=PATH"
            )
        found[path] = url
    return found


def access_to(allowed: Sequence[str]) -> ReferenceAccess:
    """How references are reached: keys come from the environment, as the object stores' own libraries find them."""
    from artifactstore import ReferenceAccess

    return ReferenceAccess(allow=tuple(allowed))
