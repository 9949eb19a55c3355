"""What a push is given: sources, lists of files, standard input and metadata, parsed and checked."""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import click
import msgspec

from artifactstore.errors import InvalidMetadata, InvalidSource, NoSuchPath, PermissionRefused

STANDARD_INPUT = "-"
METADATA_FILE_BYTES_MAX = 16 << 20
LISTED_PATH_BYTES_MAX = 64 << 10
_SPAN_BYTES = 1 << 16


class Sources(NamedTuple):
    """Everything that one push reads; `close` it afterwards."""

    paths: tuple[str, ...]
    files: Iterator[str] | None
    streams: dict[str, BinaryIO]
    listing: BinaryIO | None = None

    def close(self) -> None:
        """Close the list of files, whether it was read or not; standard input stays open."""
        if self.listing is not None and self.listing is not sys.stdin.buffer:
            self.listing.close()


def gather(
    paths: tuple[str, ...], *, as_path: str | None, files_from: str | None, may_be_none: bool = False
) -> Sources:
    """Settle what a push reads.

    Args:
        paths: Files, folders and at most one `-`.
        as_path: The path in the version of what standard input holds.
        files_from: A list of files, or `-` for a list on standard input.
        may_be_none: Whether there may be none of them, since there is something else to push.

    Raises:
        click.UsageError: They don't fit together.
        NoSuchPath: The list does not exist.
    """
    from_stdin = paths.count(STANDARD_INPUT)
    if from_stdin > 1:
        raise click.UsageError("standard input (-) can be pushed once only")
    if from_stdin and as_path is None:
        raise click.UsageError("pushing standard input (-) needs --as PATH, its path in the version")
    if as_path is not None and not from_stdin:
        raise click.UsageError("--as names the path of standard input, but no - is pushed")
    if from_stdin and files_from == STANDARD_INPUT:
        raise click.UsageError("standard input can't be both a file and the list of --files-from")
    if not paths and files_from is None and not may_be_none:
        raise click.UsageError("nothing to push: name files or folders before PROJECT/NAME")
    listing = None if files_from is None else open_list(files_from)
    return Sources(
        tuple(path for path in paths if path != STANDARD_INPUT),
        None if listing is None else listed_files(listing),
        {as_path: sys.stdin.buffer} if as_path is not None else {},
        listing,
    )


def refuse_lone_word(name: str, paths: tuple[str, ...], files_from: str | None) -> None:
    """Tell somebody who named what to push, and not where to, which of the two the word was taken for.

    Raises:
        click.UsageError: There is nothing but a word without a slash.
    """
    if not ("/" in name or paths or files_from is not None):
        raise click.UsageError(
            f"nothing to push: {name!r} is taken for PROJECT/NAME, and no PATH stands before it"
        )


def refuse_missing(paths: Iterable[str]) -> None:
    """Look whether the sources exist, so that a slip of the pen makes no store and no key file.

    Raises:
        NoSuchPath: One does not.
    """
    for path in paths:
        if path != STANDARD_INPUT and not os.path.lexists(path):
            raise NoSuchPath(f"{path!r} does not exist", path=path)


def open_list(files_from: str) -> BinaryIO:
    """Open a list of files, or standard input for `-`.

    Raises:
        NoSuchPath: It does not exist.
        PermissionRefused: It can't be read.
    """
    if files_from == STANDARD_INPUT:
        return sys.stdin.buffer
    return _open(Path(files_from), "the list of files")


def listed_files(stream: BinaryIO) -> Iterator[str]:
    """The paths in a list, one on a line, or ended by NUL where its beginning holds one.

    Raises:
        InvalidSource: A path is longer than any system allows.
    """
    first = span = stream.read(_SPAN_BYTES)
    separator = b"\0" if b"\0" in first else b"\n"
    rest = b""
    while span:
        *whole, rest = (rest + span).split(separator)
        yield from (os.fsdecode(path) for path in whole if path)
        if len(rest) > LISTED_PATH_BYTES_MAX:
            raise InvalidSource(
                f"the list of files holds a path longer than {LISTED_PATH_BYTES_MAX} bytes",
                next_step="put one path on each line",
            )
        span = stream.read(_SPAN_BYTES)
    if rest:
        yield os.fsdecode(rest)


def parse_metadata(texts: Iterable[str]) -> dict[str, object]:
    """The metadata in `KEY=VALUE`, `@FILE` and `FILE.json`; what comes later wins.

    A value is JSON where it parses as JSON, else text: `epochs=3` is a number, `note=ok` is text.

    Raises:
        InvalidMetadata: It is none of these, or a file is not a JSON object.
        NoSuchPath: A file does not exist.
    """
    metadata: dict[str, object] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if text.startswith("@"):
            metadata.update(_metadata_file(Path(text[1:])))
        elif equals and key:
            metadata[key] = _value(value)
        elif text.endswith(".json") and not equals:
            metadata.update(_metadata_file(Path(text)))
        else:
            raise InvalidMetadata(
                f"{text!r} is neither KEY=VALUE nor a JSON file",
                next_step="write --metadata KEY=VALUE or --metadata @FILE",
                metadata=text,
            )
    return metadata


def _value(text: str) -> object:
    try:
        value: object = msgspec.json.decode(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError):
        return text
    return value


def _metadata_file(path: Path) -> dict[str, object]:
    with _open(path, "the metadata file") as stream:
        raw = stream.read(METADATA_FILE_BYTES_MAX + 1)
    if len(raw) > METADATA_FILE_BYTES_MAX:
        raise InvalidMetadata(
            f"the metadata file {path} is longer than {METADATA_FILE_BYTES_MAX} bytes",
            next_step="push it as a file of the version",
            path=str(path),
        )
    try:
        return msgspec.json.decode(raw, type=dict[str, object])
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidMetadata(
            f"the metadata file {path} is not a JSON object: {error}",
            next_step='write an object, such as {"epochs": 3}',
            path=str(path),
        ) from error


def _open(path: Path, what: str) -> BinaryIO:
    try:
        return path.expanduser().open("rb")
    except PermissionError as error:
        raise PermissionRefused(
            f"{what} {path} can't be read: permission denied",
            next_step="make it readable for you",
            path=str(path),
        ) from error
    except OSError as error:
        raise NoSuchPath(f"{what} {path} can't be read: {error.strerror}", path=str(path)) from error
