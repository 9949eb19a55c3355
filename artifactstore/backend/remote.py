"""Any other URL through fsspec: S3, Google Cloud Storage, Azure and whatever else has a file system class.

The one module that imports fsspec, and itself imported only for a URL that needs it (`opening`). What fsspec and the
libraries below it raise leaves in this project's words (`classifying`); what a file system is made with is said in
`options`.
"""

import asyncio
import inspect
import os
import re
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any, TypeVar

from fsspec.core import url_to_fs

from artifactstore.backend.base import (
    PARALLEL_REQUESTS_MAX,
    Backend,
    Buffer,
    ObjectInfo,
    check_object_name,
    check_range,
    object_exists,
    object_missing,
    object_too_large,
    outcome_of,
    truncated_read,
)
from artifactstore.backend.classifying import classified, status_of, written
from artifactstore.backend.options import library_options
from artifactstore.backend.remains import Remains
from artifactstore.errors import (
    ArtifactStoreError,
    ConnectionLost,
    MissingExtra,
    ObjectMissing,
    PermissionRefused,
    TruncatedRead,
    Unsupported,
)

T = TypeVar("T")

# Takes the mode, and does not name it in its signature.
_MODE_BY_KEYWORD = "adlfs."
# Found by racing them: they ignore mode="create", or look before they write.
_NEVER_EXCLUSIVE = ("fsspec.", "obstore.", "sshfs.", "webdav4.")
# Objects lie in folders there, which must be made before what lies in them.
_WITH_FOLDERS = (
    *(f"fsspec.implementations.{kind}" for kind in ("sftp", "ftp", "smb")),
    "sshfs.",
    "webdav4.",
)
# paramiko's client waits for ever for an answer that another thread has read.
_ONE_AT_A_TIME = ("fsspec.implementations.sftp",)
# Which extra of this project holds the library for a scheme.
_EXTRAS = {
    **dict.fromkeys(("s3", "s3a"), "s3"),
    **dict.fromkeys(("gs", "gcs"), "gcs"),
    **dict.fromkeys(("az", "abfs", "abfss"), "azure"),
    **dict.fromkeys(("sftp", "ssh"), "sftp"),
}
_CONFLICT = 409
_PRECONDITION_FAILED = 412
_S3 = frozenset({"s3", "s3a"})
_MODIFIED_KEYS = ("LastModified", "last_modified", "updated", "mtime", "modified", "created")
_SECRET_PARTS = re.compile(r"(?<=://)[^/@]*@|[?#].*$")


_backends: "weakref.WeakSet[FsspecBackend]" = weakref.WeakSet()
# What a fork left of the parent's file systems, never to be freed: closing its sockets would take them out of the
# epoll object that the two processes share, and the parent would wait for answers until they time out.
_inherited: list[Any] = []


def _keep_inherited() -> None:
    _inherited.extend(backend._file_system for backend in _backends)  # noqa: SLF001 - of this module


os.register_at_fork(after_in_child=_keep_inherited)


class _OneAtATime:
    """A file system that several threads use in turn.

    Args:
        file_system: Of fsspec.
    """

    def __init__(self, file_system: Any) -> None:
        self._file_system = file_system
        self._lock = threading.RLock()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._file_system, name)

        def in_turn(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                return method(*args, **kwargs)

        return in_turn


class FsspecBackend(Backend):
    """Objects below a URL of any fsspec file system.

    The file system is made anew in a process that forked, without instance or listing caches, which would
    hide what other writers do.

    Args:
        url: What fsspec calls a URL.
        storage_options: Arguments of the file system class.

    Raises:
        MissingExtra: The library for this kind of URL is not installed.
        Unsupported: fsspec does not know this kind of URL.
        PermissionRefused, ConnectionLost, BackendError: The file system could not be made.
    """

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self.url = _SECRET_PARTS.sub("", url)
        self._full_url = url
        self._options = dict(storage_options or {})
        self._lock = threading.Lock()
        self._process = -1
        self._file_system: Any = None
        self._kind: type = object
        self._root = ""
        self._pool: ThreadPoolExecutor | None = None
        _backends.add(self)
        self._connected()

    @property
    def create_doubt(self) -> str:
        """Why this file system is known not to create exclusively."""
        method = self._pipe_method()
        if method.__module__.startswith(_NEVER_EXCLUSIVE):
            return f"{self._kind.__name__} does not create exclusively"
        if not self._knows_create_mode():
            return f"{self._kind.__name__} has no exclusive create"
        return ""

    @property
    def is_remote(self) -> bool:
        """Always."""
        return True

    def create(self, name: str, data: Buffer) -> None:
        """Make an object that must not exist yet."""
        path = self._path(name)
        # Only a single writer gets here without the mode: the probe refuses such file systems.
        exclusive = {"mode": "create"} if self._knows_create_mode() else {}
        if not exclusive and self.exists(name):
            raise object_exists(self.url, name)
        try:
            self._write(path, data, exclusive)
        except Exception as error:
            if status_of(error) == _PRECONDITION_FAILED or isinstance(error, FileExistsError):
                raise object_exists(self.url, name) from error
            if status_of(error) != _CONFLICT:
                raise written(error, self.url, name) from error
            conflict = error
        else:
            return
        # Another create was under way. It may have won or not: only what lies there tells.
        if self.exists(name):
            raise object_exists(self.url, name) from conflict
        raise ConnectionLost(
            f"{self.url} could not decide who creates {name}", object=name, url=self.url
        ) from conflict

    def put(self, name: str, data: Buffer) -> None:
        """Make or replace an object; atomic where the medium has whole objects, as object stores do."""
        path = self._path(name)
        try:
            self._write(path, data, {})
        except Exception as error:
            raise written(error, self.url, name) from error

    def get(self, name: str, *, limit_bytes: int) -> bytes:
        """Return a whole object of at most `limit_bytes`, in one request."""
        try:
            data = self._cat(name, 0, limit_bytes + 1)
        except TruncatedRead:
            # An empty object satisfies no range.
            if self.size(name):
                raise
            return b""
        if len(data) > limit_bytes:
            raise object_too_large(self.url, name, limit_bytes)
        return data

    def get_range(self, name: str, start: int, length: int) -> bytes:
        """Return exactly `length` bytes from offset `start`."""
        check_range(start, length)
        if not length:
            # No range of HTTP is empty.
            found = self.size(name)
            if found < start:
                raise truncated_read(self.url, name, expected=start, found=found)
            return b""
        data = self._cat(name, start, start + length)
        if len(data) != length:
            raise truncated_read(self.url, name, expected=length, found=len(data))
        return data

    def size(self, name: str) -> int:
        """Return an object's length in bytes."""
        path = self._path(name)
        try:
            with self._classifying(name):
                info = self._connected().info(path)
        except PermissionRefused as error:
            # s3fs lists where HEAD finds nothing, and that may be forbidden.
            if self.exists(name):
                raise
            raise object_missing(self.url, name) from error
        if info.get("type") != "file":
            raise object_missing(self.url, name)
        return int(info["size"])

    def exists(self, name: str) -> bool:
        """Say whether there is an object of that name: one request, and none that lists."""
        try:
            self._cat(name, 0, 1)
        except TruncatedRead:
            return True
        except ObjectMissing:
            return False
        return True

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Yield the objects whose name starts with `prefix`, sorted by name."""
        folder = prefix.rpartition("/")[0]
        with self._classifying(prefix, "list"):
            try:
                found = self._connected().find(f"{self._root}/{folder}".rstrip("/"), detail=True)
            except FileNotFoundError:
                found = {}
        skip = len(self._root.strip("/")) + 1
        infos = (
            ObjectInfo(path.lstrip("/")[skip:], int(info.get("size") or 0), _modified_ns(info))
            for path, info in found.items()
            # Emptied prefixes stay listed as folders on some servers.
            if info.get("type") == "file"
        )
        return iter(sorted(info for info in infos if info.name.startswith(prefix)))

    def delete(self, name: str) -> None:
        """Delete an object, alone: s3fs's bulk deletion swallows errors."""
        path = self._path(name)
        try:
            with self._classifying(name, "delete"):
                self._connected().rm_file(path)
        except ObjectMissing:
            return

    def erase(self, name: str) -> None:
        """Delete an object in every form that the backend keeps of it; on S3 that is every version."""
        with self._classifying(name, "erase"):
            done = self._is_s3 and Remains(self._connected().call_s3, self.url).erase(name, self._path(name))
        if not done:
            self.delete(name)

    def traces(self, name: str) -> bool:
        """Say whether anything is left of an object, in any form that the backend keeps."""
        with self._classifying(name, "erase"):
            found = (
                Remains(self._connected().call_s3, self.url).any(self._path(name)) if self._is_s3 else None
            )
        return self.exists(name) if found is None else found

    def together(self, calls: Sequence[Callable[[], T]]) -> Sequence[T | ArtifactStoreError]:
        """Make independent requests, at most `PARALLEL_REQUESTS_MAX` of them at once over all threads."""
        if len(calls) < 2:  # noqa: PLR2004 - one is not worth a thread
            return super().together(calls)
        self._connected()
        with self._lock:
            if self._pool is None:
                self._pool = ThreadPoolExecutor(PARALLEL_REQUESTS_MAX, "artifactstore-requests")
            pool = self._pool
        return list(pool.map(outcome_of, calls))

    def close(self) -> None:
        """Give back the threads of parallel requests."""
        if self._process != os.getpid():
            return
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)

    def _connected(self) -> Any:
        """The file system of this process."""
        if self._process != os.getpid():
            # Made under a lock of this process: an inherited one may be held by a thread that is not here.
            if self._process != -1:
                self._lock = threading.Lock()
            with self._lock:
                if self._process != os.getpid():
                    made, root = make_file_system(self._full_url, self.url, self._options)
                    self._kind = type(made)
                    alone = self._kind.__module__.startswith(_ONE_AT_A_TIME)
                    self._file_system = _OneAtATime(made) if alone else made
                    self._root = root.rstrip("/")
                    # The threads of a parent are not here.
                    self._pool = None
                    self._process = os.getpid()
        return self._file_system

    def _pipe_method(self) -> Any:
        self._connected()
        name = "_pipe_file" if getattr(self._kind, "async_impl", False) else "pipe_file"
        return getattr(self._kind, name)

    def _knows_create_mode(self) -> bool:
        method = self._pipe_method()
        return (
            method.__module__.startswith(_MODE_BY_KEYWORD) or "mode" in inspect.signature(method).parameters
        )

    @property
    def _is_s3(self) -> bool:
        return self._full_url.partition("://")[0].lower() in _S3

    @property
    def _has_folders(self) -> bool:
        return self._kind.__module__.startswith(_WITH_FOLDERS)

    def _write(self, path: str, data: Buffer, options: Mapping[str, Any]) -> None:
        """Write an object whole, and make its folder where the medium has such."""
        file_system = self._connected()
        try:
            file_system.pipe_file(path, bytes(data), **options)
        except FileNotFoundError:
            # On object stores it is the bucket that is missing, and nobody asked for one to be made.
            if not self._has_folders:
                raise
            with suppress(OSError):  # another thread has just made it
                file_system.makedirs(path.rpartition("/")[0], exist_ok=True)
            file_system.pipe_file(path, bytes(data), **options)

    def _path(self, name: str) -> str:
        return f"{self._root}/{check_object_name(name)}"

    def _cat(self, name: str, start: int, end: int) -> bytes:
        path = self._path(name)
        with self._classifying(name):
            try:
                return bytes(self._connected().cat_file(path, start=start, end=end))
            except OSError as error:
                if self._has_folders and self._connected().isdir(path):
                    raise object_missing(self.url, name) from error
                raise

    @contextmanager
    def _classifying(self, name: str, doing: str = "read") -> Iterator[None]:
        try:
            yield
        except ArtifactStoreError:
            raise
        except Exception as error:
            raise classified(error, self.url, name, doing) from error


def _modified_ns(info: Mapping[str, Any]) -> int:
    for key in _MODIFIED_KEYS:
        value = info.get(key)
        if isinstance(value, str):
            try:
                value = datetime.fromisoformat(value)
            except ValueError:
                continue
        if isinstance(value, datetime):
            value = value.timestamp()
        if isinstance(value, int | float):
            return int(value * 10**9)
    return 0


def make_file_system(full_url: str, url: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """The fsspec file system of a URL, and the path in it."""
    scheme = full_url.partition("://")[0].lower()
    try:
        file_system, root = url_to_fs(
            full_url,
            **{**library_options(scheme, options), "skip_instance_cache": True},
        )
    except ArtifactStoreError:
        raise
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        step = f"pip install 'artifactstore[{extra or 'fsspec'}]'" + (
            "" if extra else " and the library named"
        )
        raise MissingExtra(
            f"{url} needs a library that is not installed: {error}", next_step=step, url=url
        ) from error
    except ValueError as error:
        raise Unsupported(f"{url} can't be opened: {error}", next_step="check the URL", url=url) from error
    except Exception as error:
        raise classified(error, url, "") from error
    if scheme in _S3:
        # How often s3fs tries by itself (`options`, invariant 2).
        file_system.retries = 1
        file_system.close_session = _closer_in(os.getpid(), file_system.close_session)
    return file_system, str(root)


def _closer_in(process: int, close: Callable[..., None]) -> Callable[..., None]:
    """The closing of a session, as s3fs calls it at the end of any.

    In the process that made it alone, and in its own loop: garbage may be collected by a thread that runs another, and
    there s3fs would start what can only fail, and be told of by asyncio to whoever reads standard error.
    """

    def close_session(loop: Any, creator: Any) -> None:
        if os.getpid() != process:
            return
        try:
            here: Any = asyncio.get_running_loop()
        except RuntimeError:
            here = None
        if here is None or here is loop or loop is None or not loop.is_running():
            close(loop, creator)
        else:
            asyncio.run_coroutine_threadsafe(creator.__aexit__(None, None, None), loop)

    return close_session
