"""What an import makes versions of, whatever tool kept it, and the bounds that hold for all of them."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from artifactstore.errors import BrokenSource, InvalidSource, SourceTooLarge
from artifactstore.exchange.sidecar import decode_references
from artifactstore.format.page import Kind
from artifactstore.format.reference import reference_problem
from artifactstore.ids import normalized
from artifactstore.manifest.paths import path_problem
from artifactstore.transfer.scan import Found, Given, Sources, reference_entry

# What nobody means to import in one piece; `--max-size` sets another bound.
SIZE_BYTES_MAX: Final = 1 << 44
_MEMBERS_MAX: Final = 20_000_000
# Deflate gives a thousandfold at most, and what other compressors give beyond that is a bomb.
_RATIO_MAX: Final = 1_000
_RATIO_FREE_BYTES: Final = 1 << 30


class Incoming(NamedTuple):
    """One version that is to be made.

    Attributes:
        sources: Its files.
        metadata: What the tool that kept it says of it.
        where: What it is there, for people.
        type: The artifact's type, where it is known.
        description: Free text, where there is some.
        aliases: Aliases, where they are known.
        tags: Labels, likewise.
        close: Called when it was read, or given up.
    """

    sources: Sources
    metadata: dict[str, Any]
    where: str
    type: str | None = None
    description: str | None = None
    aliases: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    close: Callable[[], object] = bool


class Budget:
    """Counts what one source unpacks to, and stops it in time.

    Args:
        where: What is read, for messages.
        size_max: Bytes that all files together may have.
    """

    def __init__(self, where: str, size_max: int | None) -> None:
        self._where = where
        self._size_max = SIZE_BYTES_MAX if size_max is None else size_max
        self._size = 0
        self._members = 0

    def take(self, size: int) -> None:
        """Count a member of so many bytes.

        Raises:
            SourceTooLarge: It is one too many, or too large.
        """
        self._members += 1
        self._size += size
        if self._members > _MEMBERS_MAX:
            raise SourceTooLarge(f"{self._where} has more than {_MEMBERS_MAX} members", next_step="split it")
        if self._size > self._size_max:
            raise SourceTooLarge(
                f"the files in {self._where} have more than {self._size_max} bytes",
                limit_bytes=self._size_max,
            )

    def inflate(self, packed: int, unpacked: int) -> None:
        """Hold what was unpacked against what it was unpacked from.

        Raises:
            SourceTooLarge: The one is more than a thousand times the other, and more than a gibibyte.
        """
        if unpacked > _RATIO_FREE_BYTES + _RATIO_MAX * packed:
            raise SourceTooLarge(
                f"{self._where} unpacks to more than {_RATIO_MAX} times its size",
                next_step="unpack it where you can watch it, and push the folder",
            )


def listed_references(data: bytes, where: str) -> list[Found] | None:
    """The references that a member lists, as entries; None when it is some other file.

    Raises:
        InvalidSource: One of them can't be kept.
    """
    found = decode_references(data)
    if found is None:
        return None
    for path, reference in found:
        problem = reference_problem(reference)
        if problem:
            raise InvalidSource(f"{path!r} in {where} can't be a reference: {problem}", path=path)
    made = [(reference, reference_entry(checked_path(path, where), reference)) for path, reference in found]
    return [
        Found(known[0][0], Kind.REFERENCE, reference.url, None, given=Given(known=known))
        for reference, known in made
    ]


def checked_path(path: str, where: str) -> str:
    """A member's path as a version may hold it, without `./` in front.

    Raises:
        InvalidSource: A version may not hold it.
    """
    while path.startswith("./"):
        path = path[2:].lstrip("/")
    path = normalized(path)
    problem = path_problem(path)
    if problem:
        raise InvalidSource(
            f"{where} holds {path!r}: {problem}", next_step="make it again without that member", path=path
        )
    return path


def broken(where: str, why: object, path: str | None = None) -> BrokenSource:
    """The error for a source that is cut, altered or not what it should be; `path` is what of it."""
    facts = {} if path is None else {"path": path}
    return BrokenSource(f"{where} is broken: {why}", next_step=None, source=where, **facts)
