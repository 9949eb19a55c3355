"""The store at the other end of a copy: the options that name it and unlock it, and opening it."""

import functools
import sys
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import click

from artifactstore.cli.asking import ask_passphrase
from artifactstore.cli.options import Limits, storage_pairs
from artifactstore.errors import NewerStore
from artifactstore.store import Store


class OtherStore(NamedTuple):
    """How the other store is reached and unlocked."""

    url: str
    key_file: Path | None
    password_command: str | None
    store_id: str | None
    single_writer: bool
    storage: Mapping[str, Any]


_OPTIONS = (
    click.option(
        "--to-key-file",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="The key file that unlocks it; yours where nothing is said.",
    ),
    click.option(
        "--to-password-command",
        metavar="COMMAND",
        help="Unlock it with the passphrase that COMMAND prints on its first line.",
    ),
    click.option("--to-store-id", metavar="ID", help="The id that it must have."),
    click.option("--to-single-writer", is_flag=True, help="As --single-writer, of the other store."),
    click.option(
        "--to-storage-option",
        "to_storage",
        metavar="KEY=VALUE",
        multiple=True,
        callback=storage_pairs,
        help="As --storage-option, of the other store.",
    ),
)


def other_store_options(function: Callable[..., int | None]) -> Callable[..., int | None]:
    """Give a command the options that unlock the store it writes to; it receives them with `to` as `other`."""

    @functools.wraps(function)
    def command(*arguments: object, to: str, **given: Any) -> int | None:
        other = OtherStore(
            to,
            given.pop("to_key_file"),
            given.pop("to_password_command"),
            given.pop("to_store_id"),
            given.pop("to_single_writer"),
            given.pop("to_storage"),
        )
        return function(*arguments, other=other, **given)

    decorated: Callable[..., int | None] = command
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def open_other(other: OtherStore, limits: Limits, cache_dir: Path) -> "closing[Store]":
    """Open the store at the other end; it must be there.

    Raises:
        NoSuchStore: There is none.
        NewerStore: It is of a format that this release does not know.
    """
    try:
        store = Store.open(
            other.url,
            key_file=other.key_file,
            password_command=other.password_command,
            ask=ask_passphrase if sys.stdin.isatty() else None,
            store_id=other.store_id,
            # What reaches the one store says nothing of the other.
            storage_options=other.storage or None,
            single_writer=other.single_writer,
            cache_dir=cache_dir,
            upload_bytes_per_s=limits.upload_bytes_per_s,
        )
    except NewerStore as error:
        words = f"the store to copy to, {other.url}, is newer than this release: {error.message}"
        raise NewerStore(words, store=other.url) from error
    return closing(store)
