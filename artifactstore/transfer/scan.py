"""Finding what to push: sources walked depth first, in the order of a manifest, without reading a file.

Symlinks are kept as symlinks and never followed. What can't be an entry (a device, a name that is not UTF-8, two names
that differ by case only) is an error that names it.
"""

import os
import stat as stat_bits
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from heapq import merge
from operator import attrgetter
from typing import BinaryIO, Final, NamedTuple

from artifactstore.crypto.hashing import blake3
from artifactstore.errors import (
    InvalidSource,
    InvalidURL,
    NoSuchPath,
    PathCollision,
    PermissionRefused,
    UsageError,
)
from artifactstore.format.page import EMPTY, Content, Identity, Kind, path_order
from artifactstore.format.reference import Reference, reference_digest, reference_problem, reference_text
from artifactstore.ids import normalized
from artifactstore.index.statcache import file_key, folder_key
from artifactstore.manifest.paths import are_plain, fold, path_problem
from artifactstore.manifest.splice import Spliced
from artifactstore.transfer.ignore import IGNORE_FILE, IgnoreRules, NoRules, load_rules

# Far below the bound on paths: a path of plain names that is shorter needs no look.
_PLAIN_PATH_MAX: Final = 1024
_SPECIAL: Final = (
    (stat_bits.S_ISFIFO, "a FIFO"),
    (stat_bits.S_ISSOCK, "a socket"),
    (stat_bits.S_ISCHR, "a character device"),
    (stat_bits.S_ISBLK, "a block device"),
)


class Given(NamedTuple):
    """What a program says of an entry whose bytes do not lie in a file of this machine.

    Attributes:
        size: Bytes of the file, where they are known; other bytes are refused.
        executable: Whether it has its executable bit.
        open: Opens its bytes; called once, in the order in which entries were given. None for what has none.
        digest: Plain BLAKE3 that the bytes must have; None where nobody said.
        known: The whole entry, where its chunks are in the store already; then nothing is read.
        same_as: The path of an entry given before, whose bytes it shares; of entries in any order only.
        pages: Instead of one entry: a page of another version, in path order.
        at_once: Whether its bytes are gone once the next entry is asked for.
    """

    size: int | None = None
    executable: bool = False
    open: Callable[[], BinaryIO] | None = None
    digest: bytes | None = None
    known: tuple[Identity, Content] | None = None
    same_as: str = ""
    pages: Spliced | None = None
    at_once: bool = False


class Found(NamedTuple):
    """Something to push.

    Attributes:
        path: Its path in the version.
        kind: File, symlink, empty folder or reference.
        source: Where it lies; for streams, where its bytes come from, for messages; for references, their URL.
        stat: Of the source; None for streams and references.
        key: What the stat cache knows it by.
        target: A symlink's target.
        stream: Bytes that are not a file's.
        given: Of an entry that a program gives: what it says of it.
        pinned: Whether a file must be what its stat says when it is read; else it may have changed since it was found.
    """

    path: str
    kind: Kind
    source: str
    stat: os.stat_result | None
    key: bytes = b""
    target: str = ""
    stream: BinaryIO | None = None
    given: Given | None = None
    pinned: bool = False

    @property
    def size_bytes(self) -> int | None:
        """Bytes that it is said to have; None where only reading tells."""
        if self.stat is not None:
            return self.stat.st_size
        return None if self.given is None else self.given.size


def without_reading(item: Found) -> tuple[Identity, Content] | None:
    """The entry of what has no bytes to read: a symlink, a folder, what is known; None of a file that is to be read."""
    given = item.given
    if given is not None and given.known is not None:
        return given.known
    if given is not None and given.same_as:
        return (item.path, int(Kind.FILE), 0, b"", 0), Content(0, b"", [], given.same_as)
    if item.kind is Kind.FILE:
        return None
    if item.kind is Kind.SYMLINK:
        target = item.target.encode(errors="strict")
        identity: Identity = (item.path, int(Kind.SYMLINK), len(target), blake3(target), 0)
        return identity, Content(0, b"", [], os.fsdecode(target))
    return (item.path, int(Kind.FOLDER), 0, blake3(b""), 0), EMPTY


class Program(NamedTuple):
    """Entries that a program gives, instead of files.

    Attributes:
        entries: Makes them, from the first on, each time that it is called; their paths are such as a version may hold.
        ordered: Whether they come in manifest order without collisions. Others are sorted when all are read.
        again: Whether `entries` may be called again.
        keeps: Whether what is stored of them is registered when they are cut short, for who gives them again.
    """

    entries: Callable[[], Iterable[Found]]
    ordered: bool = True
    again: bool = True
    keeps: bool = True


class Apart(NamedTuple):
    """What no push takes: the store itself and its index, which change while they are read.

    Attributes:
        folders: Real paths of folders.
        notice: Told of each that is met.
    """

    folders: Sequence[str] = ()
    notice: Callable[[str], object] = str


class Sources(NamedTuple):
    """What a push was asked to take.

    Attributes:
        paths: Files and folders; a folder's contents go to the root of the version, a file to its name.
        files: Single files, at the relative path they were given by.
        streams: Path in the version to open binary stream.
        references: References, or what they name.
        exclude: Patterns in gitignore's language, against paths in the version.
        apart: What is left out wherever it is met.
        program: Entries that a program gives; then nothing else is taken.
    """

    paths: Sequence[str] = ()
    files: Sequence[str] = ()
    streams: Mapping[str, BinaryIO] = {}
    references: Sequence[Found] = ()
    exclude: Sequence[str] = ()
    apart: Apart = Apart()
    program: Program | None = None

    @property
    def rereads(self) -> bool:
        """Whether all of it can be read again."""
        return not self.streams and (self.program is None or self.program.again)

    @property
    def keeps(self) -> bool:
        """Whether a push that is cut short is taken up by another one."""
        return self.program is None or self.program.keeps

    @property
    def ordered(self) -> bool:
        """Whether a scan yields manifest order."""
        return self.program is None or self.program.ordered


def scan(sources: Sources) -> Iterator[Found]:
    """Yield everything to push, in manifest order unless a program gives it in another.

    Raises:
        NoSuchPath: A source does not exist.
        PermissionRefused: A folder can't be listed.
        InvalidSource: Something can't be an entry.
        PathCollision: Two sources would be one path, or differ by case or Unicode form only.
    """
    if sources.program is not None:
        return iter(sources.program.entries())
    rules: IgnoreRules | NoRules = load_rules(sources.exclude)
    streams = [_source(path, rules, sources.apart) for path in sources.paths]
    if sources.files:
        streams.append(_exact(sources.files))
    if sources.streams:
        streams.append(iter(sorted(_streams(sources.streams), key=_order)))
    if sources.references:
        streams.append(iter(sorted(map(_referred, sources.references), key=_order)))
    if not streams:
        raise UsageError("there is nothing to push", next_step="name a file or folder")
    if len(streams) == 1 and len(sources.paths) == 1:
        return streams[0]
    return _without_collisions(merge(*streams, key=_order))


def found_at(source: str, path: str) -> Found:
    """A file as a program names it, to be kept under a path.

    Raises:
        NoSuchPath: There is none.
        InvalidSource: It is no file, or the path is none that a version may hold.
    """
    try:
        stat = os.stat(source)
    except OSError as error:
        raise unreadable(source, error) from error
    if stat_bits.S_ISDIR(stat.st_mode):
        raise InvalidSource(f"{source!r} is a folder", next_step="add it with add_dir", path=source)
    _refuse_problem(path, path)
    folder, name = os.path.split(source)
    return _found(path, source, stat, file_key(folder_key(folder), name))


def found_in(folder: str, prefix: str, exclude: Sequence[str], apart: Apart) -> Iterator[Found]:
    """What a folder holds, as for a push, with a prefix before each path; it is in path order.

    Raises:
        InvalidSource: Something can't be an entry.
        PathCollision: Two names differ by case or Unicode form only.
    """
    for found in _source(folder, load_rules(exclude), apart):
        path = prefix + found.path
        if prefix:
            _refuse_problem(path, found.source)
        yield found._replace(path=path)


def _order(found: Found) -> str:
    return path_order(found.path)


def _source(path: str, rules: IgnoreRules | NoRules, apart: Apart) -> Iterator[Found]:
    source = os.path.abspath(path)
    try:
        # A source that is named is followed; links inside it are not.
        stat = os.stat(source)
    except OSError as error:
        raise unreadable(path, error) from error
    real = os.path.realpath(source)
    if any(real == folder or real.startswith(folder + os.sep) for folder in apart.folders):
        raise InvalidSource(
            f"{path!r} is the store itself, or its index", next_step="name another source", path=path
        )
    if stat_bits.S_ISDIR(stat.st_mode):
        return _walk(source, rules, apart)
    name = normalized(os.path.basename(source))
    return iter([_alone(name, source, stat)])


def _walk(root: str, rules: IgnoreRules | NoRules, apart: Apart) -> Iterator[Found]:
    """Yield a folder's contents depth first, with a stack of listings instead of nested generators."""
    names_apart = {os.path.basename(folder) for folder in apart.folders}
    stack = [_listed(root, "", rules)]
    while stack:
        listing = stack[-1]
        entry = next(listing.entries, None)
        if entry is None:
            stack.pop()
            continue
        name = entry.name
        path = listing.prefix + (name if listing.plain else normalized(name))
        if not listing.plain or len(path) > _PLAIN_PATH_MAX:
            _refuse_problem(path, entry.path)
        if not entry.is_dir(follow_symlinks=False):
            try:
                stat = entry.stat(follow_symlinks=False)
            except OSError as error:
                raise unreadable(entry.path, error) from error
            yield _found(path, entry.path, stat, file_key(listing.key, name))
            continue
        if entry.name in names_apart and os.path.realpath(entry.path) in apart.folders:
            apart.notice(f"{entry.path} is left out: it is the store itself, or its index")
            continue
        below = _listed(entry.path, path + "/", listing.rules)
        if below.empty:
            yield Found(path, Kind.FOLDER, entry.path, None)
        else:
            stack.append(below)


class _Listing(NamedTuple):
    """One folder on the stack.

    Attributes:
        prefix: Its path in the version, with a slash.
        entries: What is left of it, sorted.
        rules: The rules inside it.
        empty: Whether there is nothing in it, rules or not.
        plain: Whether all its names are such as every version may hold; then none is looked at by itself.
        key: What the stat cache's keys of its files begin with.
    """

    prefix: str
    entries: Iterator[os.DirEntry[str]]
    rules: IgnoreRules | NoRules
    empty: bool
    plain: bool
    key: bytes


def _listed(folder: str, prefix: str, rules: IgnoreRules | NoRules) -> _Listing:
    try:
        with os.scandir(folder) as listing:
            entries = list(listing)
    except OSError as error:
        raise unreadable(folder, error) from error
    empty = not entries
    names = [entry.name for entry in entries]
    if IGNORE_FILE in names:
        rules = rules.entered(prefix, folder)
    if rules.active:
        entries = [one for one in entries if not rules.ignores(prefix + _name(one), folder=_is_folder(one))]
        names = [entry.name for entry in entries]
    plain = are_plain(names)
    if not plain or len(set("/".join(names).lower().split("/"))) != len(names):
        _refuse_siblings(entries)
    entries.sort(key=attrgetter("name") if plain else _name)
    return _Listing(prefix, iter(entries), rules, empty, plain, folder_key(folder))


def _name(entry: os.DirEntry[str]) -> str:
    return normalized(entry.name)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _refuse_problem(path: str, source: str) -> None:
    problem = path_problem(path)
    if problem:
        raise InvalidSource(f"{source!r} can't be kept: {problem}", path=source)


def _alone(path: str, source: str, stat: os.stat_result) -> Found:
    _refuse_problem(path, source)
    folder, name = os.path.split(source)
    return _found(path, source, stat, file_key(folder_key(folder), name))


def _found(path: str, source: str, stat: os.stat_result, key: bytes) -> Found:
    mode = stat.st_mode
    if stat_bits.S_ISREG(mode):
        return Found(path, Kind.FILE, source, stat, key)
    if stat_bits.S_ISLNK(mode):
        return Found(path, Kind.SYMLINK, source, stat, target=_target(source))
    what = next((words for test, words in _SPECIAL if test(mode)), "not a file")
    raise InvalidSource(f"{source!r} can't be kept: it is {what}", path=source)


def _target(source: str) -> str:
    try:
        target = os.readlink(source)
        target.encode()
    except OSError as error:
        raise unreadable(source, error) from error
    except UnicodeEncodeError as error:
        raise InvalidSource(f"{source!r} can't be kept: its target is not UTF-8", path=source) from error
    return target


def _refuse_siblings(entries: Sequence[os.DirEntry[str]]) -> None:
    """Refuse names in one folder that differ by case or Unicode form only; checked part by part, that is all."""
    if len({fold(entry.name) for entry in entries}) == len(entries):
        return
    seen: dict[str, str] = {}
    for entry in sorted(entries, key=lambda one: one.name):
        other = seen.setdefault(fold(entry.name), entry.path)
        if other != entry.path:
            raise _collision(other, entry.path)


def _without_collisions(found: Iterable[Found]) -> Iterator[Found]:
    """Refuse collisions between several sources: by path, by case, as file and folder."""
    files: dict[str, str] = {}
    folders: dict[str, tuple[str, str]] = {}
    for item in found:
        folded = fold(item.path)
        if files.get(folded) == item.source:
            continue  # named twice, as overlapping globs of a shell do
        clash = files.setdefault(folded, item.source)
        if clash != item.source or folded in folders:
            raise _collision(clash if clash != item.source else folders[folded][1], item.source)
        parts = item.path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            spelled, source = folders.setdefault(fold(folder), (folder, item.source))
            if spelled != folder or fold(folder) in files:
                raise _collision(files.get(fold(folder), source), item.source)
        yield item


def _exact(files: Sequence[str]) -> Iterator[Found]:
    found = []
    for name in dict.fromkeys(files):
        path = normalized(os.path.normpath(name))
        try:
            stat = os.lstat(name)
        except OSError as error:
            raise unreadable(name, error) from error
        if stat_bits.S_ISDIR(stat.st_mode):
            raise InvalidSource(f"{name!r} is a folder; a list of files names files", path=name)
        found.append(_alone(path, os.path.abspath(name), stat))
    return iter(sorted(found, key=_order))


def _streams(streams: Mapping[str, BinaryIO]) -> Iterator[Found]:
    for name, stream in streams.items():
        yield found_stream(name, f"stream {name}", stream)


def found_stream(name: str, source: str, stream: BinaryIO) -> Found:
    """A stream as something to push.

    Args:
        name: Its path in the version.
        source: What it is, for messages.
        stream: Gives its bytes.

    Raises:
        InvalidSource: There is no such path.
    """
    return Found(_path_for(name), Kind.FILE, source, None, stream=stream)


def _referred(found: Found) -> Found:
    _path_for(found.path)
    return found


def reference_entry(path: str, reference: Reference) -> tuple[Identity, Content]:
    """The entry of a reference.

    Raises:
        InvalidURL: It can't be kept.
    """
    problem = reference_problem(reference)
    if problem:
        raise InvalidURL(f"{path!r} can't be a reference: {problem}", path=path)
    text = reference_text(reference)
    identity = (path, int(Kind.REFERENCE), reference.size_bytes, reference_digest(text), 0)
    return identity, Content(0, b"", [], text)


def _path_for(name: str) -> str:
    path = normalized(name)
    problem = path_problem(path)
    if problem:
        raise InvalidSource(f"{name!r} can't be a path in a version: {problem}", path=name)
    return path


def _collision(one: str, other: str) -> PathCollision:
    return PathCollision(
        f"{one!r} and {other!r} would be one path, or differ by case or Unicode form only", paths=[one, other]
    )


def unreadable(path: str, error: OSError) -> NoSuchPath | PermissionRefused | InvalidSource:
    """Put an error of the operating system about a source into this project's words."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return NoSuchPath(f"{path!r} does not exist", path=path)
    if isinstance(error, PermissionError):
        return PermissionRefused(
            f"{path!r} can't be read: permission denied",
            next_step="change its mode, or exclude it",
            path=path,
        )
    return InvalidSource(f"{path!r} can't be read: {error.strerror}", path=path)
