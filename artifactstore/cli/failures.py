"""How failures are told: one sentence and the next step on standard error, or one line of JSON."""

import errno
import sys
from collections.abc import Sequence

import click

from artifactstore.cli.rendering import json_line, printable
from artifactstore.errors import (
    ArtifactStoreError,
    BackendError,
    InvalidQuery,
    NoSuchPath,
    PermissionRefused,
    StorageFull,
    UsageError,
)

EXIT_INTERNAL = 70
EXIT_INTERRUPTED = 130

_OPTIONS_WITH_NO_VALUE = frozenset("qv")


class Interrupted(ArtifactStoreError):
    """The user pressed Ctrl-C."""

    kind = "interrupted"
    exit_code = EXIT_INTERRUPTED
    advice = "repeat the command when you like; what was already uploaded is not uploaded twice"


class InternalError(ArtifactStoreError):
    """An error that nobody foresaw."""

    kind = "internal"
    exit_code = EXIT_INTERNAL
    advice = "this is a fault of artifactstore: repeat with -v and report what it prints"


def report(error: BaseException, words: Sequence[str]) -> int:
    """Tell what went wrong and return the exit code.

    Args:
        error: What ended the command.
        words: The arguments of the command; they tell how it is to be told.
    """
    if _is_help(error):
        sys.stderr.write(error.ctx.get_help() + "\n")  # type: ignore[attr-defined] # only that class has a context
        return UsageError.exit_code
    failure = classified(error)
    before_separator = words[: words.index("--")] if "--" in words else words
    if isinstance(failure, InternalError) and _asks_for_detail(before_separator):
        import traceback

        traceback.print_exception(error)
    if "--json" in before_separator:
        sys.stderr.write(json_line(failure_shape(failure)))
    else:
        step = f"\n  next: {printable(failure.next_step)}" if failure.next_step else ""
        # The lines that point at a character of an expression stand below each other.
        lines = failure.message.splitlines() if isinstance(failure, InvalidQuery) else [failure.message]
        message = "\n".join(map(printable, lines))
        sys.stderr.write(f"artifactstore: {message}{step}\n")
    return failure.exit_code


def failure_shape(failure: ArtifactStoreError) -> dict[str, object]:
    """What `--json` prints for an error."""
    return {
        "error": {
            "kind": failure.kind,
            "message": failure.message,
            "next_step": failure.next_step,
            "facts": failure.facts,
        }
    }


def classified(error: BaseException) -> ArtifactStoreError:
    """The error of ours that says what `error` says."""
    if isinstance(error, ArtifactStoreError):
        return error
    if isinstance(error, KeyboardInterrupt | click.Abort):
        return Interrupted("interrupted; the store is whole")
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "artifactstore"
        step = f"see `{command} --help`"
        if isinstance(error, click.NoSuchOption) and context is not None and context.parent is None:
            step = f"options stand behind the command, as in `artifactstore ls --json`; {step}"
        return UsageError(_sentence(error.format_message()), next_step=step)
    if isinstance(error, OSError):
        return _of_the_system(error)
    return InternalError(f"{type(error).__name__}: {error}", error=type(error).__name__)


def _of_the_system(error: OSError) -> ArtifactStoreError:
    """An error of the operating system that no layer below has named."""
    path = str(error.filename) if error.filename is not None else ""
    reason = (error.strerror or str(error)).lower()
    message = f"{path}: {reason}" if path else reason
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFull(message, path=path)
    if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
        return PermissionRefused(message, path=path)
    if error.errno in {errno.ENOENT, errno.ENOTDIR}:
        return NoSuchPath(message, path=path)
    return BackendError(message, next_step="try again", path=path)


def _sentence(text: str) -> str:
    """Click's messages begin with a capital and end with a full stop; ours do neither."""
    text = " ".join(text.split()).removesuffix(".")
    return text[:1].lower() + text[1:] if text[1:2].islower() else text


def _is_help(error: BaseException) -> bool:
    """A group was called without a command; click says so from release 8.2 on."""
    return type(error).__name__ == "NoArgsIsHelpError"


def _asks_for_detail(words: Sequence[str]) -> bool:
    """Whether -v stands among `words`, alone or joined with -q."""
    return any(
        word == "--verbose"
        or (word[:1] == "-" and "v" in word[1:] and set(word[1:]) <= _OPTIONS_WITH_NO_VALUE)
        for word in words
    )
