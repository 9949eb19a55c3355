"""The lock file's text: a strict subset of TOML, of which each line stands by itself, so that git can merge it.

Every line of a block names the block's target. So no line is that of another block too: whatever two branches add to
one place of the file, the lines of both together are what both meant, in any order. What both changed differently
names one thing twice, and is refused with what it says. Targets are relative to the file's folder, and never lead out
of it: a lock file comes with somebody's repository.
"""

import contextlib
import errno
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Final

import msgspec

from artifactstore.errors import ArtifactStoreError, InvalidLock, NoSuchPath, PermissionRefused, StorageFull
from artifactstore.format.page import path_order
from artifactstore.ids import LATEST, check_alias, normalized, parse_artifact_name
from artifactstore.manifest.paths import fold, path_problem

LOCK_FILE: Final = "artifacts.lock"
LOCK_BYTES_MAX: Final = 8 << 20
TARGETS_MAX: Final = 10_000
FORMAT: Final = 1
NUMBER_MAX: Final = 999_999_999

_HEAD: Final = (
    "# Which versions belong into which folders: written by `artifactstore lock`, restored by"
    " `artifactstore pull --locked`.\n"
    f"format = {FORMAT}\n\n[target]\n"
)
_KEYS: Final = ("artifact", "follows", "version", "digest", "store")
_OPTIONAL: Final = frozenset({"follows"})
_LINE = re.compile(
    r'"((?:[^"\\\x00-\x1f]|\\["\\])*)"\.([a-z_]{1,32}) = (?:"([^"\\\x00-\x1f]*)"|([0-9]{1,9}))'
)
_FORMAT_LINE = re.compile(r"format = ([0-9]{1,9})")
_HEX = re.compile(r"[0-9a-f]{64}")
_CONFLICT: Final = ("<<<<<<<", "=======", ">>>>>>>", "|||||||")
_SHOWN_CHARACTERS: Final = 60


class LockedTarget(msgspec.Struct, frozen=True):
    """One block of a lock file: a folder, and the version that belongs into it.

    Attributes:
        target: The folder, relative to that of the lock file, in POSIX form.
        artifact: `project/name`.
        version: The version's number.
        digest: The version's digest, as hex.
        store: The id of its store, as hex.
        follows: The alias that an update goes by; None where a version was named by number or digest.
    """

    target: str
    artifact: str
    version: int
    digest: str
    store: str
    follows: str | None = None

    @property
    def reference(self) -> str:
        """`project/name:v3`."""
        return f"{self.artifact}:v{self.version}"


def find_lock_file(folder: Path | None = None) -> Path:
    """The nearest lock file from a folder upwards, no further than the top of a git repository.

    Args:
        folder: Where the search starts; the working folder when None.

    Returns:
        Its path; where there is none, the one that would be made in `folder`.
    """
    start = (folder or Path.cwd()).absolute()
    for each in (start, *start.parents):
        if (each / LOCK_FILE).is_file():
            return each / LOCK_FILE
        if (each / ".git").exists():
            break
    return start / LOCK_FILE


def read_lock_file(path: Path) -> tuple[LockedTarget, ...]:
    """The blocks of a lock file, in the order of their targets.

    Raises:
        NoSuchPath: There is none.
        PermissionRefused: It can't be read.
        InvalidLock: It is no lock file, or says what none may say.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        raise PermissionRefused(
            f"the lock file {path} can't be read: permission denied",
            next_step="make it readable for you",
            path=str(path),
        ) from error
    except OSError as error:
        raise NoSuchPath(
            f"there is no lock file {path}",
            next_step="make one with `artifactstore lock REF`, or name another with --file",
            path=str(path),
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)  # a folder's can't even be made a file object
        raise InvalidLock(
            f"{path} is not a file", next_step="move it away, or name another with --file", path=str(path)
        )
    with os.fdopen(descriptor, "rb") as file:
        raw = file.read(LOCK_BYTES_MAX + 1)
    if len(raw) > LOCK_BYTES_MAX:
        raise InvalidLock(f"the lock file {path} is longer than {LOCK_BYTES_MAX} bytes", path=str(path))
    return parse_lock(raw, str(path))


def write_lock_file(path: Path, targets: Iterable[LockedTarget]) -> None:
    """Write a lock file whole or not at all; it keeps the mode of the one that is there.

    Raises:
        PermissionRefused, StorageFull, NoSuchPath: The operating system refuses it.
    """
    data = render_lock(targets).encode()
    try:
        file, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(file, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).chmod(_mode_of(path))
            Path(temporary).replace(path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                Path(temporary).unlink()
            raise
    except OSError as error:
        raise _unwritable(path, error) from error


def render_lock(targets: Iterable[LockedTarget]) -> str:
    """The text of a lock file: the same blocks give the same text."""
    blocks = sorted(targets, key=lambda each: path_order(each.target))
    return _HEAD + "".join(_block(each) for each in blocks)


def parse_lock(raw: bytes, where: str) -> tuple[LockedTarget, ...]:
    """The blocks in the text of a lock file, in the order of their targets.

    Args:
        raw: The text.
        where: What it is called in messages.

    Raises:
        InvalidLock: It is none, or says what none may say.
    """
    try:
        lines = raw.decode().split("\n")
    except UnicodeDecodeError as error:
        raise InvalidLock(f"the lock file {where} is not UTF-8", path=where) from error
    found: dict[str, dict[str, str]] = {}
    seen_format = False
    for number, each in enumerate(lines, 1):
        line = each.rstrip("\r \t")
        if not line or line.startswith("#") or line == "[target]":
            continue
        said = _FORMAT_LINE.fullmatch(line)
        if said is not None:
            _refuse_newer(int(said[1]), where)
            seen_format = True
            continue
        _take(found, line, number, where)
    if not seen_format:
        raise InvalidLock(f"{where} is not a lock file: it has no line `format = {FORMAT}`", path=where)
    blocks = [_checked(target, block, where) for target, block in found.items()]
    return _apart(blocks, where)


def check_target(target: str, where: str) -> str:
    """Return a target if it may stand in a lock file.

    Raises:
        InvalidLock: It is absolute, leads out of the lock file's folder, or into git's own.
    """
    problem = path_problem(target)
    if not problem and ".git" in fold(target).split("/"):
        problem = "it is git's own"
    if problem:
        raise InvalidLock(
            f"{where}: the target {_shown(target)} is refused: {problem}",
            next_step="name a folder below that of the lock file",
            path=where,
            target=target,
        )
    return target


def _take(found: dict[str, dict[str, str]], line: str, number: int, where: str) -> None:
    """Take in one line of a block."""
    if line.startswith(_CONFLICT):
        raise InvalidLock(
            f"{where}, line {number}: git left a conflict in it",
            next_step="keep the blocks of both sides, and of a target that both changed one; see docs/lock.md",
            path=where,
            line=number,
        )
    match = _LINE.fullmatch(line)
    if match is None:
        raise _malformed(where, number, f"{_shown(line)} is no line of a lock file")
    target, key = json.loads(f'"{match[1]}"'), match[2]
    if key not in _KEYS:
        raise InvalidLock(
            f"{where}, line {number}: {key!r} is none of {', '.join(_KEYS)}",
            next_step="upgrade artifactstore, or take the line out",
            path=where,
            line=number,
        )
    if (match[4] is not None) != (key == "version"):
        raise _malformed(where, number, f"{key!r} is {'a number' if key == 'version' else 'text'}")
    value = match[3] if match[4] is None else match[4]
    block = found.setdefault(target, {})
    if len(found) > TARGETS_MAX:
        raise InvalidLock(f"the lock file {where} names more than {TARGETS_MAX:,} targets", path=where)
    if block.setdefault(key, value) != value:
        raise InvalidLock(
            f"{where}, line {number}: {_shown(target)} has two values of {key!r}, {block[key]} and {value}:"
            " two branches changed it",
            next_step="keep the block of one of them, or lock it again with `artifactstore lock REF --target DIR`",
            path=where,
            line=number,
            target=target,
        )


def _checked(target: str, block: dict[str, str], where: str) -> LockedTarget:
    """A block, with every value looked at."""
    check_target(target, where)
    missing = [key for key in _KEYS if key not in block and key not in _OPTIONAL]
    if missing:
        raise InvalidLock(
            f"{where}: the block of {_shown(target)} lacks {', '.join(missing)}",
            next_step="lock it again with `artifactstore lock REF --target DIR`",
            path=where,
            target=target,
        )
    follows = block.get("follows")
    try:
        artifact = str(parse_artifact_name(block["artifact"]))
        if follows not in {None, LATEST}:
            check_alias(str(follows))
    except ArtifactStoreError as error:
        raise InvalidLock(f"{where}: {_shown(target)}: {error.message}", path=where, target=target) from error
    for key in ("digest", "store"):
        if not _HEX.fullmatch(block[key]):
            raise InvalidLock(
                f"{where}: {_shown(target)}: {key!r} is not 64 hex digits", path=where, target=target
            )
    return LockedTarget(target, artifact, int(block["version"]), block["digest"], block["store"], follows)


def _apart(blocks: list[LockedTarget], where: str) -> tuple[LockedTarget, ...]:
    """The blocks in order, if no target lies in another or differs from it by case alone."""
    blocks.sort(key=lambda each: path_order(fold(each.target)))
    for before, after in pairwise(blocks):
        first, second = fold(before.target), fold(after.target)
        if first == second or second.startswith(first + "/"):
            raise InvalidLock(
                f"{where}: the targets {_shown(before.target)} and {_shown(after.target)} are one folder,"
                " or one lies in the other",
                next_step="give each version a folder of its own",
                path=where,
                targets=[before.target, after.target],
            )
    return tuple(sorted(blocks, key=lambda each: path_order(each.target)))


def refuse_overlaps(targets: Iterable[LockedTarget], where: str) -> tuple[LockedTarget, ...]:
    """The blocks in the order of their targets.

    Raises:
        InvalidLock: One target lies in another, or there are too many.
    """
    blocks = list(targets)
    if len(blocks) > TARGETS_MAX:
        raise InvalidLock(f"the lock file {where} would name more than {TARGETS_MAX:,} targets", path=where)
    return _apart(blocks, where)


def relative_target(target: str | os.PathLike[str], lock_file: Path) -> str:
    """A folder as a lock file names it.

    Raises:
        InvalidLock: It is not below the lock file's folder.
    """
    relative = os.path.relpath(os.path.abspath(target), os.path.abspath(lock_file.parent))
    name = normalized(relative.replace(os.sep, "/"))
    if name == "." or name.split("/")[0] == "..":
        raise InvalidLock(
            f"the target {os.fspath(target)!r} is not below {lock_file.parent}, the folder of the lock file",
            next_step="name a folder below it with --target, or another lock file with --file",
            path=str(lock_file),
            target=os.fspath(target),
        )
    return check_target(name, str(lock_file))


def _block(each: LockedTarget) -> str:
    name = json.dumps(each.target, ensure_ascii=False)
    values = {
        "artifact": json.dumps(each.artifact),
        "follows": None if each.follows is None else json.dumps(each.follows),
        "version": str(each.version),
        "digest": json.dumps(each.digest),
        "store": json.dumps(each.store),
    }
    return "\n" + "".join(f"{name}.{key} = {values[key]}\n" for key in _KEYS if values[key] is not None)


def _refuse_newer(number: int, where: str) -> None:
    if number != FORMAT:
        raise InvalidLock(
            f"the lock file {where} is of format {number}, and this release knows {FORMAT}",
            next_step="upgrade artifactstore",
            path=where,
            found=number,
            expected=FORMAT,
        )


def _malformed(where: str, number: int, why: str) -> InvalidLock:
    return InvalidLock(f"{where}, line {number}: {why}", path=where, line=number)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")


def _mode_of(path: Path) -> int:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        umask = os.umask(0o077)
        os.umask(umask)
        return 0o666 & ~umask


def _unwritable(path: Path, error: OSError) -> ArtifactStoreError:
    facts = {"path": str(path), "reason": error.strerror}
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFull(f"no space is left to write the lock file {path}", **facts)
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NoSuchPath(f"there is no folder {path.parent} for the lock file", **facts)
    return PermissionRefused(
        f"the lock file {path} can't be written: {error.strerror}",
        next_step="choose a folder that you may write to",
        **facts,
    )
