"""Making a version of what a URL gives: one file, or the members of an archive, as they come over the line.

`http` and `https` need nothing but Python; other URLs (`s3://`, `gs://` …) go through fsspec, an extra. What the server
says of the file (its size, its ETag) is kept as metadata; a URL's user, password, query and fragment are not.
"""

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from http.client import HTTPException, HTTPResponse
from pathlib import PurePosixPath
from tempfile import TemporaryFile
from typing import Any, BinaryIO, Final, NamedTuple, cast
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit
from urllib.request import Request as HttpRequest
from urllib.request import urlopen

from artifactstore.client.requests import push_request
from artifactstore.errors import (
    ArtifactStoreError,
    BackendError,
    ConnectionLost,
    MissingExtra,
    NoSuchPath,
    PermissionRefused,
    SourceTooLarge,
    UsageError,
)
from artifactstore.exchange.importing import tar_stream, with_sidecar
from artifactstore.exchange.incoming import SIZE_BYTES_MAX, Incoming, broken, checked_path
from artifactstore.exchange.source_streams import SourceStream
from artifactstore.exchange.zip_reader import zip_of
from artifactstore.format.page import Kind
from artifactstore.ids import parse_artifact_name
from artifactstore.progress import Progress
from artifactstore.store import Store, Version
from artifactstore.transfer.scan import Found, Given, Program, Sources

_TIMEOUT_S: Final = 60
_COPY_BYTES: Final = 1 << 20
_HTTP: Final = ("http", "https")
_NOT_FOUND: Final = frozenset({404, 410})
_REFUSED: Final = frozenset({401, 403})


class Remote(NamedTuple):
    """An open URL.

    Attributes:
        stream: Its bytes, which end with an error where the server breaks off.
        shown: The URL as it may be shown and kept.
        size: Bytes that the server announced; None where it did not.
        facts: What it says of them: `etag`, `last_modified`, where it does.
    """

    stream: BinaryIO
    shown: str
    size: int | None
    facts: dict[str, str]


def push_from_url(
    store: Store,
    url: str,
    artifact: str,
    *,
    path: str | None = None,
    unpack: bool = False,
    type: str = "dataset",  # noqa: A002 - the word users know
    aliases: Iterable[str] = (),
    tags: Iterable[str] = (),
    description: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    max_size_bytes: int | None = None,
    run: str | None = None,
    progress: Progress | None = None,
) -> Version:
    """Make a version of what a URL gives, streamed from there.

    Args:
        store: Where the version goes.
        url: `http`, `https`, or what fsspec opens.
        artifact: `project/name`.
        path: The file's path in the version; the last part of the URL when None.
        unpack: Take the members of the tar or zip archive that it is, instead of the archive.
        type: The artifact's type, when this is its first version.
        aliases: Aliases for the version.
        tags: Labels for it.
        description: Free text.
        metadata: A JSON object, beside `source`: the URL, and the size, ETag and date that the server told.
        storage_options: What fsspec's file system takes.
        max_size_bytes: Bytes that the version's files may have; 16 TiB when None.
        run: The run that produces it, by 8 digits of its id or more.
        progress: Told what happens; the store's own when None.

    Raises:
        NoSuchPath: The server has no such thing.
        PermissionRefused: It wants to know who asks.
        ConnectionLost: It can't be reached.
        BrokenSource: It broke off, or the archive is broken; no version is made.
        SourceTooLarge: It is, or unpacks to, more than it may.
        MissingExtra: fsspec, or its library for such URLs, is not installed.
        NoSuchRun, RunEnded: The run is not one that may still produce versions.
        UsageError: The URL is none, or both `path` and `unpack` are given.
    """
    if path is not None and unpack:
        raise UsageError("a path is for one file, and an archive is unpacked to the paths of its members")
    name = parse_artifact_name(artifact)
    inside = "" if unpack else path or _name_of(url)
    remote = open_url(url, storage_options)
    with closing(remote.stream):
        found = _incoming(remote, inside, max_size_bytes, unpack=unpack)
        told = {"url": remote.shown, "size": remote.size, **remote.facts}
        request = push_request(
            name,
            type,
            [*found.aliases, *aliases],
            [*found.tags, *tags],
            found.description if description is None else description,
            {"source": told, **found.metadata, **(metadata or {})},
        )
        try:
            if run is not None:
                request = request._replace(run=store.run_to_produce(run))
            return store.push_sources(found.sources, request, progress, "push")
        finally:
            found.close()


def open_url(url: str, storage_options: Mapping[str, Any] | None = None) -> Remote:
    """Open a URL for reading once.

    Raises:
        NoSuchPath, PermissionRefused, ConnectionLost, BackendError: It can't be read.
        MissingExtra: What reads such URLs is not installed.
        UsageError: It is no URL.
    """
    parts = urlsplit(url)
    if not parts.scheme or not (parts.netloc or parts.path.strip("/")):
        raise UsageError(f"{url!r} is no URL", next_step="write https://HOST/PATH, or push a path as it is")
    shown = _shown(parts)
    if parts.scheme in _HTTP:
        return _http(parts, shown)
    return _by_fsspec(url, shown, storage_options or {})


def _shown(parts: SplitResult) -> str:
    """A URL without what may be secret: user, password, query, fragment."""
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _http(parts: SplitResult, shown: str) -> Remote:
    url = urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, parts.query, ""))
    asked = HttpRequest(url, headers={"Accept-Encoding": "identity", "User-Agent": "artifactstore"})  # noqa: S310 - http alone
    user = parts.netloc.rpartition("@")[0]
    if user:
        # Not handed on to where the server may redirect to.
        basic = b64encode(unquote(user).encode()).decode()
        asked.add_unredirected_header("Authorization", f"Basic {basic}")
    try:
        answer: HTTPResponse = urlopen(asked, timeout=_TIMEOUT_S)  # noqa: S310 - the scheme was looked at
    except HTTPError as error:
        error.close()
        raise _refused(shown, error.code, error.reason) from error
    except (URLError, HTTPException, OSError) as error:
        raise ConnectionLost(f"{shown} can't be reached: {error}", url=shown) from error
    announced = answer.headers.get("Content-Length")
    size = int(announced) if announced is not None and announced.isdecimal() else None
    facts = {
        name: value
        for name, header in (("etag", "ETag"), ("last_modified", "Last-Modified"))
        if (value := answer.headers.get(header))
    }
    return Remote(_whole(_Http(answer, shown), shown, size), shown, size, facts)


class _Http:
    """An answer, whose errors are those of a lost connection."""

    def __init__(self, answer: HTTPResponse, shown: str) -> None:
        self._answer = answer
        self._shown = shown

    def read(self, size: int) -> bytes:
        """Read on."""
        try:
            return self._answer.read(size)
        except (HTTPException, OSError) as error:
            raise ConnectionLost(f"{self._shown} broke off: {error}", url=self._shown) from error

    def close(self) -> None:
        """Hang up."""
        self._answer.close()


def _refused(shown: str, code: int, reason: str) -> ArtifactStoreError:
    words = f"{shown} can't be read: {code} {reason}"
    if code in _NOT_FOUND:
        return NoSuchPath(words, url=shown, status=code)
    if code in _REFUSED:
        return PermissionRefused(words, next_step="see that the URL is one that you may read", url=shown)
    return BackendError(words, url=shown, status=code)


def _by_fsspec(url: str, shown: str, options: Mapping[str, Any]) -> Remote:
    try:
        from fsspec.core import url_to_fs  # noqa: PLC0415 - an extra

        files, place = url_to_fs(url, **options)
    except ImportError as error:
        raise MissingExtra(
            f"{shown} needs fsspec and its library for such URLs: {error}",
            next_step="pip install 'artifactstore[s3]', [gcs], [azure] or [fsspec]",
        ) from error
    except ValueError as error:
        raise UsageError(f"{shown} is of no kind that fsspec knows: {error}") from error
    try:
        info = files.info(place)
        stream = files.open(place, "rb")
    except FileNotFoundError as error:
        raise NoSuchPath(f"{shown} does not exist", url=shown) from error
    except PermissionError as error:
        raise PermissionRefused(f"{shown} can't be read: {error}", url=shown) from error
    except Exception as error:
        raise ConnectionLost(f"{shown} can't be read: {error}", url=shown) from error
    size = info.get("size") if isinstance(info.get("size"), int) else None
    facts = {"etag": str(info["ETag"])} if info.get("ETag") else {}
    return Remote(_whole(stream, shown, size), shown, size, facts)


def _whole(inner: object, shown: str, size: int | None) -> BinaryIO:
    """A stream that must have the size that was announced."""

    def at_end() -> None:
        if size is not None and stream.size != size:
            raise broken(shown, f"it ended after {stream.size} of {size} bytes")

    stream = SourceStream(cast("BinaryIO", inner), shown, at_end)
    return cast("BinaryIO", stream)


def _name_of(url: str) -> str:
    parts = urlsplit(url)
    name = PurePosixPath(unquote(parts.path)).name
    if not name:
        raise UsageError(f"{_shown(parts)} names no file", next_step="say its path in the version: --as PATH")
    return name


def _incoming(remote: Remote, path: str, size_max: int | None, *, unpack: bool) -> Incoming:
    bound = SIZE_BYTES_MAX if size_max is None else size_max
    if remote.size is not None and remote.size > bound:
        raise SourceTooLarge(f"{remote.shown} has {remote.size} bytes, more than {bound}", limit_bytes=bound)
    if not unpack:
        inside = checked_path(path, remote.shown)
        entries = _one_file(remote, inside, bound)
        return Incoming(Sources(program=Program(entries, again=False)), {}, remote.shown)
    return _archive(remote, size_max)


def _one_file(remote: Remote, path: str, bound: int) -> Callable[[], Iterator[Found]]:
    def watch(_: bytes) -> None:
        if stream.size > bound:
            raise SourceTooLarge(f"{remote.shown} has more than {bound} bytes", limit_bytes=bound)

    stream = SourceStream(remote.stream, remote.shown, watch=watch)

    def entries() -> Iterator[Found]:
        given = Given(remote.size, open=lambda: cast("BinaryIO", stream), at_once=True)
        yield Found(path, Kind.FILE, remote.shown, None, given=given)

    return entries


def _archive(remote: Remote, size_max: int | None) -> Incoming:
    """The members of an archive: a tar as it comes, a zip, which is read from its end, from a temporary file."""
    start = b""
    while len(start) < 4:  # noqa: PLR2004 - the magic of a zip
        part = remote.stream.read(4 - len(start))
        if not part:
            break
        start += part
    stream = _Joined(start, remote.stream)
    if not start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return tar_stream(cast("BinaryIO", stream), remote.shown, size_max)
    bound = SIZE_BYTES_MAX if size_max is None else size_max
    spool = cast("BinaryIO", TemporaryFile())  # noqa: SIM115 - `close` of what is returned
    try:
        while piece := stream.read(_COPY_BYTES):
            spool.write(piece)
            if spool.tell() > bound:
                raise SourceTooLarge(  # noqa: TRY301 - the same clean-up holds for it
                    f"{remote.shown} has more than {bound} bytes", limit_bytes=bound
                )
        said, entries = zip_of(lambda: cast("BinaryIO", _Kept(spool)), remote.shown, size_max)
    except BaseException:
        spool.close()
        raise
    sources = Sources(program=Program(entries, ordered=False))
    return with_sidecar(sources, said, remote.shown)._replace(close=spool.close)


class _Joined:
    """Bytes that were read already, and the rest of their stream."""

    def __init__(self, start: bytes, rest: BinaryIO) -> None:
        self._start = start
        self._rest = rest

    def read(self, size: int) -> bytes:
        """Read on."""
        if self._start:
            part, self._start = self._start[:size], self._start[size:]
            return part
        return self._rest.read(size)

    def close(self) -> None:
        """Close the stream."""
        self._rest.close()


class _Kept:
    """A seekable file that stays open when its reader closes it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.seek(0)
        self.seek, self.tell, self.read = file.seek, file.tell, file.read

    def seekable(self) -> bool:
        """It is."""
        return True

    def close(self) -> None:
        """Leave it open."""

    def __enter__(self) -> "_Kept":
        return self

    def __exit__(self, *_: object) -> None:
        pass
