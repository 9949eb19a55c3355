"""The options of a push that takes what a URL gives, and what may not stand beside them."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import click

from artifactstore.cli.options import parse_size


class FromUrl(NamedTuple):
    """What is to be pushed from elsewhere; `url` is None for files of this machine."""

    url: str | None
    unpack: bool
    max_size_bytes: int | None

    @property
    def named(self) -> tuple[str, ...]:
        """The URL, where there is one."""
        return () if self.url is None else (self.url,)

    def refuse_beside(self, *others: object) -> None:
        """Refuse what does not go together.

        Args:
            others: What is said of files of this machine and of references; empty or None where nothing is.

        Raises:
            click.UsageError: It does not.
        """
        if self.url is None and (self.unpack or self.max_size_bytes is not None):
            raise click.UsageError(
                "--unpack and --max-size belong to --from-url; `import` unpacks a local archive"
            )
        if self.url is not None and any(others):
            raise click.UsageError("--from-url takes what the URL gives, and no files of this machine")


def max_size(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """Bytes of `--max-size`."""
    return None if text is None else parse_size(text)


_OPTIONS = (
    click.option(
        "--from-url", metavar="URL", help="Push what this URL gives: https, s3, or what fsspec opens."
    ),
    click.option("--unpack", is_flag=True, help="With --from-url: the members of the archive that it is."),
    click.option(
        "--max-size",
        metavar="SIZE",
        callback=max_size,
        help="With --from-url: refuse more than this: 500GB, 2TiB.",
    ),
)


def url_options(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Give a command `--from-url` and what belongs to it; it receives them as `from_url`."""

    @functools.wraps(function)
    def command(
        *arguments: object, from_url: str | None, unpack: bool, max_size: int | None, **rest: Any
    ) -> int | None:
        return function(*arguments, from_url=FromUrl(from_url, unpack, max_size), **rest)

    decorated: Callable[..., int | None] = command
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
