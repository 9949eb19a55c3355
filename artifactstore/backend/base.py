"""The contract that every backend keeps: named bytes, created exclusively, durable on return.

Invariants, which `artifactstore.testing.conformance` tests on every backend:

1. `create` has one winner per name, whoever asks: threads, processes, machines.
2. An object is seen whole or not at all. No reader, `list` included, meets half an object.
3. What `create`, `put` or `delete` returned from has happened, and survives a power cut where the medium can.
4. After an error other than `ObjectExists`, `create` and `put` may have taken effect or not; never half.
   Where a backend can't tell (a lost answer), even `ObjectExists` may speak of the caller's own bytes.
5. Only the classes of `artifactstore.errors` leave a backend.
6. All methods may be called from several threads at once.
7. Requests asked for together (`together` and what is made of it) are independent: none waits for another's answer,
   each ends as it would alone, and where there is a network they share one round trip.
"""

import errno
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from artifactstore.errors import (
    ArtifactStoreError,
    BackendError,
    ConnectionLost,
    InvalidName,
    ObjectExists,
    ObjectMissing,
    ObjectTooLarge,
    PermissionRefused,
    StorageFull,
    TruncatedRead,
)

T = TypeVar("T")
Buffer: TypeAlias = bytes | bytearray | memoryview

# Requests that are under way at once, where there is a network: what one round trip holds.
PARALLEL_REQUESTS_MAX: Final = 64

NAME_CHARACTERS_MAX = 512
# Reserved for the unfinished files of a local folder, so that no backend's listing has to tell them apart.
TEMPORARY_FOLDER = "tmp"

_PART = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}"
_NAME = re.compile(rf"(?!{TEMPORARY_FOLDER}(?:/|$)){_PART}(?:/{_PART}){{0,7}}", re.ASCII)

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_REFUSED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
_ABSENT = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR})
_UNREACHABLE = frozenset(
    {
        errno.ECONNABORTED,
        errno.ECONNREFUSED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENOTCONN,
        errno.EPIPE,
        errno.ESTALE,
        errno.ETIMEDOUT,
    }
)


class ObjectInfo(NamedTuple):
    """What a listing says of one object.

    Attributes:
        name: Its name.
        size_bytes: Its length.
        modified_ns: When it was written, by the backend's clock, since the Unix epoch; 0 where unknown.
    """

    name: str
    size_bytes: int
    modified_ns: int


class ByteRange(NamedTuple):
    """A part of an object: `length` bytes from offset `start`."""

    name: str
    start: int
    length: int


class Backend(ABC):
    """Named bytes on some medium; the module's docstring lists what holds for all of them.

    Attributes:
        url: Where the objects lie, for messages; without credentials.
    """

    url: str

    @property
    def create_doubt(self) -> str:
        """Why `create` is known not to be exclusive here; empty where nothing speaks against it."""
        return ""

    @property
    def is_remote(self) -> bool:
        """Whether requests cross a network, where what fails once may pass the next time."""
        return False

    @abstractmethod
    def create(self, name: str, data: Buffer) -> None:
        """Make an object that must not exist yet, all or nothing, durable on return.

        Raises:
            ObjectExists: The name is taken; what lies there is unchanged.
        """

    @abstractmethod
    def put(self, name: str, data: Buffer) -> None:
        """Make or replace an object atomically, durable on return."""

    @abstractmethod
    def get(self, name: str, *, limit_bytes: int) -> bytes:
        """Return a whole object of at most `limit_bytes`.

        Raises:
            ObjectMissing: There is none.
            ObjectTooLarge: It is longer; at most one byte more than the limit was read.
        """

    @abstractmethod
    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from offset `start`; the caller has bounded `length`.

        Raises:
            ObjectMissing: There is no such object.
            TruncatedRead: The object ends before the range does.
        """

    @abstractmethod
    def size(self, name: str) -> int:
        """Return an object's length in bytes.

        Raises:
            ObjectMissing: There is no such object.
        """

    def exists(self, name: str) -> bool:
        """Say whether there is an object of that name."""
        try:
            self.size(name)
        except ObjectMissing:
            return False
        return True

    @abstractmethod
    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose name starts with `prefix`, sorted by name.

        What others put there shows too, under whatever name it has. An object that is made or deleted
        meanwhile may show or not.

        Args:
            prefix: A plain string such as `packs/`, `log/00` or the empty string.
        """

    @abstractmethod
    def delete(self, name: str) -> None:
        """Delete an object; one that does not exist is deleted already."""

    def erase(self, name: str) -> None:
        """Delete an object in every form that the backend keeps of it: versions, delete markers, unfinished uploads.

        Raises:
            ObjectLocked: The backend does not give it up yet.
        """
        self.delete(name)

    def erase_many(self, names: Sequence[str]) -> Sequence[ArtifactStoreError | None]:
        """For each name what `erase` returns or raises, asked for together."""
        return self.together([partial(self.erase, name) for name in names])

    def traces(self, name: str) -> bool:
        """Say whether anything is left of an object, in any form that the backend keeps."""
        return self.exists(name)

    def together(self, calls: Sequence[Callable[[], T]]) -> Sequence[T | ArtifactStoreError]:
        """Make independent requests, and return what each returned or the error that it raised, in order.

        Here one after another; a backend on a network has up to `PARALLEL_REQUESTS_MAX` of them under way at once.
        A wrapper passes the calls on, which ask the wrapper itself: what it does to one request it does to each.

        Args:
            calls: Each asks this backend, or one around it, for one thing, and asks for nothing together.
        """
        return [outcome_of(call) for call in calls]

    def get_many(self, names: Sequence[str], *, limit_bytes: int) -> Sequence[bytes | ArtifactStoreError]:
        """For each name what `get` returns or raises, asked for together."""
        return self.together([partial(self.get, name, limit_bytes=limit_bytes) for name in names])

    def get_ranges(self, ranges: Sequence[ByteRange]) -> Sequence[bytes | ArtifactStoreError]:
        """For each range what `get_range` returns or raises, asked for together."""
        return self.together([partial(self.get_range, *wanted) for wanted in ranges])

    def exist_many(self, names: Sequence[str]) -> Sequence[bool]:
        """For each name what `exists` says, asked for together; the first error is raised."""
        return [answer_of(found) for found in self.together([partial(self.exists, name) for name in names])]

    def close(self) -> None:  # noqa: B027 - most backends hold nothing
        """Give back connections; the backend is not used afterwards."""


def outcome_of(call: Callable[[], T]) -> T | ArtifactStoreError:
    """What a call returns, or the error of this project that it raises."""
    try:
        return call()
    except ArtifactStoreError as error:
        return error


def answer_of(outcome: T | ArtifactStoreError) -> T:
    """What one of the requests made together returned; raises what it raised."""
    if isinstance(outcome, ArtifactStoreError):
        raise outcome
    return outcome


def check_object_name(name: str) -> str:
    """Return `name` if it may name an object.

    Names are relative POSIX paths of at most 8 parts of letters, digits, `.`, `_` and `-`; no part starts
    with a dot.

    Raises:
        InvalidName: It may not.
    """
    if len(name) > NAME_CHARACTERS_MAX or not _NAME.fullmatch(name):
        raise InvalidName(
            f"{name[:NAME_CHARACTERS_MAX]!r} can't name an object", next_step="", what="object", name=name
        )
    return name


def check_range(start: int, length: int) -> None:
    """Refuse a range that no object can have.

    Raises:
        ValueError: `start` or `length` is negative.
    """
    if start < 0 or length < 0:
        raise ValueError(f"not a range: start {start}, length {length}")


def byte_view(data: Buffer) -> memoryview:
    """A flat view of `data` as bytes, without a copy."""
    return memoryview(data).cast("B")


def object_missing(url: str, name: str) -> ObjectMissing:
    """The error for a name without an object."""
    return ObjectMissing(f"no object {name} in {url}", object=name, url=url)


def object_exists(url: str, name: str) -> ObjectExists:
    """The error for a name that is taken."""
    return ObjectExists(f"object {name} exists already in {url}", object=name, url=url)


def object_too_large(url: str, name: str, limit_bytes: int) -> ObjectTooLarge:
    """The error for an object that is longer than its reader allows."""
    return ObjectTooLarge(
        f"object {name} in {url} is longer than {limit_bytes} bytes",
        object=name,
        url=url,
        limit_bytes=limit_bytes,
    )


def truncated_read(url: str, name: str, *, expected: int, found: int) -> TruncatedRead:
    """The error for a range that the object doesn't hold whole."""
    return TruncatedRead(
        f"object {name} in {url} was cut short: {expected} bytes asked for, {found} found",
        object=name,
        url=url,
        expected=expected,
        found=found,
    )


def from_os_error(error: OSError, url: str, name: str) -> ArtifactStoreError:
    """Put an error of the operating system into this project's words.

    Args:
        error: What the system said.
        url: The backend's URL.
        name: The object it was about; empty for the backend as a whole.
    """
    where = f"{name} in {url}" if name else url
    said = error.strerror or str(error) or type(error).__name__
    facts: dict[str, Any] = {"object": name, "url": url}
    if error.errno in _FULL:
        return StorageFull(f"no space left for {where}", **facts)
    if isinstance(error, PermissionError) or error.errno in _REFUSED:
        return PermissionRefused(
            f"access to {where} was refused: {said}",
            next_step="check who owns the place and whether it may be written to",
            **facts,
        )
    if isinstance(error, FileNotFoundError) or error.errno in _ABSENT:
        return object_missing(url, name)
    if isinstance(error, FileExistsError):
        return object_exists(url, name)
    if isinstance(error, ConnectionError | TimeoutError) or error.errno in _UNREACHABLE:
        return ConnectionLost(f"the connection to {url} failed at {name or 'its root'}: {said}", **facts)
    return BackendError(f"{where}: {said}", **facts)
