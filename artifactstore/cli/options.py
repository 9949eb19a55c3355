"""The options that every command has, and what options with a form of their own are parsed to."""

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

_RATE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)(b?)(?:/s)?", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_SECRETS = frozenset({"secret", "token", "password", "account_key", "connection_string", "sas_token"})
_AGE = re.compile(r"(\d{1,9})([smhdw]?)", re.ASCII)
_AGE_UNITS_S: dict[str, int] = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600, "w": 7 * 24 * 3600}
_NS_PER_S = 1_000_000_000
_PART = re.compile(r"([0-9]{1,9})/([0-9]{1,9})", re.ASCII)
_RANGE = re.compile(r"(-?[0-9]{1,19})?:(-?[0-9]{1,19})?", re.ASCII)


# The run that what a command pushes and pulls belongs to.
RUN_VARIABLE = "ARTIFACTSTORE_RUN"


class CommonOptions(NamedTuple):
    """What every command is told."""

    store: str | None
    key_file: Path | None
    password_command: str | None
    store_id: str | None
    single_writer: bool
    storage: Mapping[str, Any]
    as_json: bool
    quiet: bool
    verbose: bool

    def of_store(self, url: str | None) -> "CommonOptions":
        """The same where an argument may name the store, which is as good as --store.

        So what a file says of how its own store's server is reached is not for another one.

        Raises:
            click.UsageError: Both name one.
        """
        if url is not None and self.store is not None:
            raise click.UsageError("the store is named twice, as URL and with --store")
        return self._replace(store=url or self.store)


class Limits(NamedTuple):
    """Bytes a second that a command may move; None is no limit."""

    upload_bytes_per_s: int | None
    download_bytes_per_s: int | None


def example(*lines: str) -> str:
    """An epilog of examples, for `--help`."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in lines)


def parse_size(text: str) -> int:
    """Bytes of `500`, `10MB`, `10M`, `1.5 GiB` or `10MB/s`; M is a million, Mi is 2^20.

    Raises:
        click.BadParameter: It is none of these, or zero.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None or (match[3] and not match[2]):
        raise click.BadParameter(f"{text!r} is not a size such as 10MB, 500kB or 2MiB")
    size = int(float(match[1]) * (1024 if match[3] else 1000) ** _POWERS[match[2].lower()])
    if size < 1:
        raise click.BadParameter(f"{text!r} would move nothing")
    return size


def parse_age(text: str) -> int:
    """Seconds of `0`, `90s`, `15m`, `12h`, `30d` or `4w`.

    Raises:
        click.BadParameter: It is none of these.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is not an age such as 12h, 30d or 4w")
    return int(match[1]) * _AGE_UNITS_S[match[2] or "s"]


def moment(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    """Nanoseconds since the Unix epoch of `2026-01-31`, `2026-01-31T12:00+01:00`, or of so long ago as `30d` says.

    Raises:
        click.BadParameter: It is none of these.
    """
    if text is None:
        return None
    if _AGE.fullmatch(text.strip()) and not text.strip().isdigit():
        from artifactstore.clock import SystemClock

        return SystemClock().now_ns() - parse_age(text) * _NS_PER_S
    from datetime import UTC, datetime

    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not a time such as 2026-01-31, 2026-01-31T12:00 or 30d"
        ) from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()) * _NS_PER_S


def parse_part(text: str) -> tuple[int, int]:
    """`3/8`: part 3 of 8, which are numbered from 0.

    Raises:
        click.BadParameter: It is not of this form.
    """
    match = _PART.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is not I/N, for example 0/8 for the first of eight parts")
    return int(match[1]), int(match[2])


def part_of(_: click.Context, __: click.Parameter, text: str | None) -> tuple[int, int] | None:
    """Parse an option that names a part."""
    return None if text is None else parse_part(text)


def parse_range(text: str) -> tuple[int | None, int | None]:
    """The ends of `START:END`; both are optional, and negative ones count from the end.

    Raises:
        click.BadParameter: It is not of this form.
    """
    match = _RANGE.fullmatch(text)
    if match is None:
        raise click.BadParameter(f"{text!r} is not START:END, for example 0:1000, 5000: or -100:")
    return (
        int(match[1]) if match[1] is not None else None,
        int(match[2]) if match[2] is not None else None,
    )


def _rate(_: click.Context, __: click.Parameter, text: str | None) -> int | None:
    return None if text is None else parse_size(text)


def _key_file(_: click.Context, __: click.Parameter, text: str | None) -> Path | None:
    return None if text is None else Path(text).expanduser()


def storage_pairs(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, Any]:
    """`KEY=VALUE` as a mapping; a value that is a JSON object, `true` or `false` is taken as such."""
    found: dict[str, Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise click.BadParameter(f"{text!r} is not KEY=VALUE, for example endpoint=https://minio.example")
        if name.lower() in _SECRETS:
            raise click.BadParameter(
                f"{name} on a command line can be read by others; set it in the environment or a shared configuration"
            )
        found[name] = value
        if value in {"true", "false"} or value.startswith("{"):
            import json

            try:
                found[name] = json.loads(value)
            except ValueError as error:
                raise click.BadParameter(f"{text!r} is not JSON: {error}") from error
    return found


_COMMON = (
    # Of the type of paths so that a shell completes them.
    click.option(
        "--store", metavar="URL", type=click.Path(), help="The store: a folder, or any URL that fsspec opens."
    ),
    click.option(
        "--key-file",
        metavar="FILE",
        type=click.Path(),
        callback=_key_file,
        help="The key file that unlocks it.",
    ),
    click.option(
        "--password-command",
        metavar="COMMAND",
        help="Unlock it with the passphrase that COMMAND prints on its first line.",
    ),
    click.option("--store-id", metavar="ID", help="The id that the store must have."),
    click.option("--single-writer", is_flag=True, help="Accept a backend that can't keep two writers apart."),
    click.option(
        "--storage-option",
        "storage",
        metavar="KEY=VALUE",
        multiple=True,
        callback=storage_pairs,
        help="How the server is reached: endpoint, region, addressing, ca, profile, or what the library takes.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print JSON: sizes in bytes, times in UTC."),
    click.option("-q", "--quiet", is_flag=True, help="Print no progress, notices or summary."),
    click.option("-v", "--verbose", is_flag=True, help="Print more: settings, full digests, tracebacks."),
)
_VERSION = (
    click.option(
        "-t",
        "--type",
        "type_name",
        metavar="TYPE",
        default="dataset",
        show_default=True,
        help="What it is: dataset, model, ...",
    ),
    click.option(
        "-a", "--alias", "aliases", metavar="NAME", multiple=True, help="Point this alias at the version."
    ),
    click.option("--tag", "tags", metavar="LABEL", multiple=True, help="Put this label on the version."),
    click.option("--description", metavar="TEXT", help="A sentence about the version."),
    click.option(
        "--metadata",
        metavar="KEY=VALUE|@FILE",
        multiple=True,
        help="A value (JSON where it parses, else text), or a JSON file with several.",
    ),
)
_LIMITS = (
    click.option(
        "--limit-upload", metavar="SIZE", callback=_rate, help="Upload at most so much a second: 10MB, 2MiB."
    ),
    click.option(
        "--limit-download", metavar="SIZE", callback=_rate, help="Download at most so much a second."
    ),
)


def common_options(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Give a command the options of all commands; it receives them as its first argument."""

    @functools.wraps(function)
    def command(**given: Any) -> int | None:
        common = CommonOptions(**{name: given.pop(name) for name in CommonOptions._fields})
        return function(common, **given)

    decorated: Callable[..., int | None] = command
    for option in reversed(_COMMON):
        decorated = option(decorated)
    return decorated


def limit_options(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Give a command `--limit-upload` and `--limit-download`; it receives them as `limits`."""

    @functools.wraps(function)
    def command(
        *arguments: object, limit_upload: int | None, limit_download: int | None, **rest: object
    ) -> int | None:
        return function(*arguments, limits=Limits(limit_upload, limit_download), **rest)

    decorated: Callable[..., int | None] = command
    for option in reversed(_LIMITS):
        decorated = option(decorated)
    return decorated


def version_options(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Give a command what is said of the version that it makes: `type_name`, `aliases`, `tags` and so on."""
    for option in reversed(_VERSION):
        function = option(function)
    return function


def run_option(help_text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--run ID`, which the environment may say instead."""
    return click.option("--run", "run", metavar="ID", envvar=RUN_VARIABLE, help=help_text)
