"""What a push leaves out: `--exclude` patterns and `.artifactignore` files, in gitignore's language.

The rules of a folder's own file apply below it, and the last rule that matches decides, as git does it.
"""

import os
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from artifactstore.errors import UsageError

IGNORE_FILE: Final = ".artifactignore"


class Decision(Protocol):
    """What a rule says of a path: in, out, or nothing."""

    @property
    def include(self) -> bool | None:
        """Whether a pattern matches, and None when none has a say."""
        ...


class Patterns(Protocol):
    """Patterns in gitignore's language."""

    def check_file(self, file: str) -> Decision:
        """What the last pattern that has a say decides."""
        ...

    def match_file(self, file: str) -> bool:
        """Whether they match a path, or a folder above it."""
        ...


class NoRules:
    """Nothing is ignored, until a folder brings rules of its own."""

    active = False

    def ignores(self, path: str, *, folder: bool) -> bool:
        """Say no."""
        del path, folder
        return False

    def entered(self, prefix: str, folder: str) -> "IgnoreRules":
        """The rules inside a folder that has a file of its own."""
        return IgnoreRules(()).entered(prefix, folder)


class _Scope(NamedTuple):
    prefix: str
    spec: Patterns


class IgnoreRules:
    """Rules by folder, the innermost last.

    Args:
        scopes: Folder prefix and its rules, outermost first.
    """

    active = True

    def __init__(self, scopes: Sequence[_Scope]) -> None:
        self._scopes = tuple(scopes)

    def ignores(self, path: str, *, folder: bool) -> bool:
        """Whether `path` is left out; a folder that is left out is not entered."""
        for scope in reversed(self._scopes):
            inner = path[len(scope.prefix) :] + ("/" if folder else "")
            decided = scope.spec.check_file(inner).include
            if decided is not None:
                return decided
        return False

    def entered(self, prefix: str, folder: str) -> "IgnoreRules":
        """The rules inside a folder that has a file of its own."""
        return IgnoreRules((*self._scopes, _Scope(prefix, _read(os.path.join(folder, IGNORE_FILE)))))


def load_rules(exclude: Sequence[str]) -> IgnoreRules | NoRules:
    """The rules at the root of a source."""
    return IgnoreRules([_Scope("", parse_patterns(exclude, "--exclude"))]) if exclude else NoRules()


def _read(path: str) -> Patterns:
    try:
        with open(path, encoding="utf-8") as file:
            return parse_patterns(file.read().splitlines(), path)
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{path} can't be read: {error}",
            next_step="make it a text file of patterns in UTF-8 that you may read, or remove it",
            path=path,
        ) from error


def parse_patterns(patterns: Sequence[str], where: str) -> Patterns:
    """Patterns in gitignore's language, ready to match.

    Raises:
        UsageError: One of them is not; `where` says whose they are.
    """
    from pathspec import GitIgnoreSpec  # noqa: PLC0415 - 10 ms that most pushes and pulls don't need

    try:
        return GitIgnoreSpec.from_lines(patterns)
    except ValueError as error:
        raise UsageError(f"{where}: {error}", next_step="patterns follow gitignore's rules") from error
