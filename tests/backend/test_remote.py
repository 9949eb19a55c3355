"""The fsspec adapter: conformance over an honest file system, liars refused, every error in our words."""

import errno
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from artifactstore import executors
from artifactstore.backend.base import Backend
from artifactstore.backend.classifying import classified
from artifactstore.backend.probe import probe
from artifactstore.backend.remote import FsspecBackend
from artifactstore.clock import SystemRandomness
from artifactstore.errors import (
    ArtifactStoreError,
    BackendError,
    ConnectionLost,
    NoSuchStore,
    ObjectExists,
    ObjectMissing,
    ObjectTooLarge,
    PermissionRefused,
    StorageFull,
    Throttled,
    TruncatedRead,
    UntrustedBackend,
    UntrustedServer,
)
from artifactstore.testing.conformance import BackendConformance

_numbers = count()
_lock = threading.Lock()


class HonestFileSystem(MemoryFileSystem):
    """fsspec's memory with what an object store adds: creates that exclude each other, and whole objects."""

    protocol = "honest"
    store: dict[str, Any] = {}  # noqa: RUF012 - fsspec keeps it on the class
    pseudo_dirs: list[str] = [""]  # noqa: RUF012
    failure: BaseException | None = None

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.removeprefix("honest://"))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        self._fail()
        with _lock:
            if mode == "create" and self.exists(path):
                raise FileExistsError(path)
            self.open(path, "wb", data=value)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        self._fail()
        with _lock:
            return bytes(super().cat_file(path, start=start, end=end))

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        self._fail()
        return dict(super().info(path, **kwargs))

    def find(self, path: str, **kwargs: Any) -> dict[str, Any]:
        self._fail()
        with _lock:
            root = self._strip_protocol(path).rstrip("/") + "/"
            return {
                name: {"name": name, "size": file.size, "type": "file", "created": file.created}
                for name, file in self.store.items()
                if name.startswith(root)
            }

    def rm_file(self, path: str) -> None:
        self._fail()
        with _lock:
            if self.store.pop(self._strip_protocol(path), None) is None:
                raise FileNotFoundError(path)

    def _fail(self) -> None:
        if self.failure is not None:
            raise self.failure


class ModelessFileSystem(MemoryFileSystem):
    """A file system of somebody else that knows no exclusive mode."""

    protocol = "modeless"

    def pipe_file(self, path: str, value: bytes) -> None:
        self.open(path, "wb", data=value)


class IgnoringFileSystem(HonestFileSystem):
    """A server that takes the condition and ignores it."""

    protocol = "ignoring"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return MemoryFileSystem._strip_protocol(path.removeprefix("ignoring://"))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        super().pipe_file(path, value)


for _class in (HonestFileSystem, ModelessFileSystem, IgnoringFileSystem):
    fsspec.register_implementation(_class.protocol, _class, clobber=True)


class TestFsspecConformance(BackendConformance):
    def make_backend(self) -> Backend:
        return FsspecBackend(f"honest://store-{next(_numbers)}/prefix")

    def make_other(self, backend: Backend) -> Backend:
        return FsspecBackend(backend.url)


@pytest.fixture
def backend() -> FsspecBackend:
    return FsspecBackend(f"honest://store-{next(_numbers)}/prefix")


def file_system(backend: FsspecBackend) -> HonestFileSystem:
    connected = backend._connected()
    assert isinstance(connected, HonestFileSystem)
    return connected


# --- which creates are trusted ---


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: FsspecBackend(f"memory://probe-{next(_numbers)}"),
        lambda folder: FsspecBackend(f"file://{folder}"),
        lambda folder: FsspecBackend("modeless://x"),
        lambda folder: FsspecBackend(f"ignoring://x-{next(_numbers)}"),
        lambda folder: FsspecBackend("dir://", {"path": str(folder), "target_protocol": "file"}),
        pytest.param(
            lambda folder: FsspecBackend("http://127.0.0.1:9/x"),
            marks=pytest.mark.skipif(find_spec("aiohttp") is None, reason="fsspec's http needs aiohttp"),
        ),
    ],
)
def test_file_systems_without_exclusive_create_are_refused(
    make: Callable[[Path], FsspecBackend], tmp_path: Path
) -> None:
    """fsspec's own file systems, and any that ignore the mode, look before they write: no store on them."""
    with executors.threads(width=1, io_width=8) as pools, pytest.raises(UntrustedBackend):
        probe(make(tmp_path), SystemRandomness(), pools)


def test_an_exclusive_file_system_passes(backend: FsspecBackend) -> None:
    """A file system that keeps the promise passes the probe and is left clean."""
    with executors.threads(width=1, io_width=8) as pools:
        probe(backend, SystemRandomness(), pools)
    assert list(backend.list("")) == []


def test_a_single_writer_gets_by_without_the_mode() -> None:
    """On a file system without exclusive create, one writer still can't overwrite by create."""
    backend = FsspecBackend(f"modeless://single-{next(_numbers)}")
    backend.create("log/0", b"first")
    with pytest.raises(ObjectExists):
        backend.create("log/0", b"second")
    assert backend.get("log/0", limit_bytes=10) == b"first"
    assert [info.name for info in backend.list("log/")] == ["log/0"]


def test_local_files_through_fsspec_work_for_a_single_writer(tmp_path: Path) -> None:
    """The generic paths of fsspec, ranges and listings, do what the contract says."""
    backend = FsspecBackend(f"file://{tmp_path}/store", {"auto_mkdir": True})
    backend.create("packs/aa/x", bytes(range(100)))
    assert backend.get("packs/aa/x", limit_bytes=100) == bytes(range(100))
    assert backend.get_range("packs/aa/x", 10, 5) == bytes(range(10, 15))
    with pytest.raises(TruncatedRead):
        backend.get_range("packs/aa/x", 99, 2)
    with pytest.raises(ObjectTooLarge):
        backend.get("packs/aa/x", limit_bytes=99)
    with pytest.raises(ObjectMissing):
        backend.get("packs/aa", limit_bytes=99)
    (info,) = backend.list("packs/")
    assert info[:2] == ("packs/aa/x", 100)
    assert info.modified_ns == pytest.approx((tmp_path / "store/packs/aa/x").stat().st_mtime_ns, abs=10**6)


# --- errors ---


class ClientError(Exception):
    """botocore's, as it is shaped."""

    def __init__(self, status: int) -> None:
        super().__init__(f"an error occurred: {status}")
        self.response = {"Error": {"Code": "Any"}, "ResponseMetadata": {"HTTPStatusCode": status}}


class HttpError(Exception):
    """gcsfs's, as it is shaped."""

    def __init__(self, code: int | str) -> None:
        super().__init__("an error")
        self.code = code


def of_module(module: str, name: str) -> Exception:
    made = type(name, (Exception,), {"__module__": module})
    return made("the library's words")


def caused(error: Exception, cause: BaseException) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ClientError(401), PermissionRefused),
        (ClientError(403), PermissionRefused),
        (caused(PermissionError("Forbidden"), ClientError(403)), PermissionRefused),
        (ClientError(404), ObjectMissing),
        (caused(OSError(errno.EINVAL, "x"), ClientError(412)), ObjectExists),
        (caused(OSError(errno.EINVAL, "x"), ClientError(416)), TruncatedRead),
        (caused(OSError(errno.EBUSY, "SlowDown"), ClientError(503)), Throttled),
        (HttpError(429), Throttled),
        (HttpError("429"), Throttled),
        (caused(OSError(errno.EREMOTEIO, "x"), ClientError(500)), ConnectionLost),
        (ClientError(507), StorageFull),
        (ClientError(418), BackendError),
        (HttpError(5), BackendError),
        (of_module("botocore.exceptions", "EndpointConnectionError"), ConnectionLost),
        (of_module("botocore.exceptions", "SSLError"), UntrustedServer),
        (of_module("botocore.exceptions", "NoCredentialsError"), PermissionRefused),
        (of_module("aiohttp.client_exceptions", "ServerDisconnectedError"), ConnectionLost),
        (caused(OSError(errno.EIO, "x"), of_module("aiohttp", "ClientError")), ConnectionLost),
        (TimeoutError(), ConnectionLost),
        (ConnectionResetError(), ConnectionLost),
        (OSError(errno.ENOSPC, "full"), StorageFull),
        (FileNotFoundError("x"), ObjectMissing),
        (PermissionError("x"), PermissionRefused),
        (RuntimeError("odd"), BackendError),
    ],
    ids=repr,
)
def test_every_error_is_put_into_our_words(error: Exception, expected: type[ArtifactStoreError]) -> None:
    """What libraries raise is told by status, module or errno, with the object and place as facts."""
    found = classified(error, "s3://bucket", "log/0")
    assert type(found) is expected
    assert found.facts["object"] == "log/0"
    assert found.facts["url"] == "s3://bucket"


@pytest.mark.parametrize(
    ("code", "status", "expected", "word"),
    [
        ("ExpiredToken", 400, PermissionRefused, "expired"),
        ("RequestTimeTooSkewed", 403, PermissionRefused, "clock"),
        ("SlowDown", 503, Throttled, "fewer"),
        ("Throttling", 400, Throttled, "fewer"),
        ("NoSuchBucket", 404, NoSuchStore, "bucket"),
        ("RequestTimeout", 400, ConnectionLost, "lost"),
    ],
)
def test_a_code_says_more_than_a_status(
    code: str, status: int, expected: type[ArtifactStoreError], word: str
) -> None:
    """Services give one status for much that is to be told apart."""
    error = ClientError(status)
    error.response["Error"]["Code"] = code
    found = classified(caused(OSError(errno.EINVAL, "x"), error), "s3://bucket", "log/0")
    assert type(found) is expected
    assert word in found.message


@pytest.mark.parametrize(
    ("url", "doing", "needs"),
    [
        ("s3://b/x", "read", "s3:GetObject"),
        ("s3://b/x", "write", "s3:PutObject"),
        ("s3://b/x", "list", "s3:ListBucket"),
        ("gs://b/x", "delete", "storage.objects.delete"),
        ("az://c/x", "write", "permission for writing"),
    ],
)
def test_a_refusal_names_the_permission(url: str, doing: str, needs: str) -> None:
    """In the words of the service's own settings."""
    found = classified(ClientError(403), url, "log/0", doing)
    assert type(found) is PermissionRefused
    assert found.facts["needs"] == needs
    assert needs in found.next_step


def test_what_an_earlier_request_was_answered_is_no_cause() -> None:
    """A lost connection in the handling of a refusal is a lost connection, however Python chains the two."""
    lost = of_module("botocore.exceptions", "ConnectionClosedError")
    lost.__context__ = classified(
        caused(OSError(errno.EINVAL, "x"), ClientError(412)), "s3://bucket", "log/0"
    )
    assert type(lost.__context__) is ObjectExists
    assert type(classified(lost, "s3://bucket", "log/0")) is ConnectionLost


def test_endless_causes_end() -> None:
    """A circle of causes, which careless libraries make, is followed for a bounded while only."""
    one, two = RuntimeError("one"), RuntimeError("two")
    one.__context__, two.__context__ = two, one
    assert type(classified(one, "u", "n")) is BackendError


@pytest.mark.parametrize(
    "failure", [ClientError(503), of_module("botocore.exceptions", "EndpointConnectionError"), TimeoutError()]
)
def test_every_method_speaks_in_our_words(backend: FsspecBackend, failure: Exception) -> None:
    """No method lets an exception of a library through."""
    backend.create("a", b"data")
    file_system(backend).failure = failure
    calls: tuple[Callable[[], object], ...] = (
        lambda: backend.create("b", b""),
        lambda: backend.put("b", b""),
        lambda: backend.get("a", limit_bytes=10),
        lambda: backend.get_range("a", 0, 1),
        lambda: backend.get_range("a", 0, 0),
        lambda: backend.size("a"),
        lambda: backend.exists("a"),
        lambda: list(backend.list("")),
        lambda: backend.delete("a"),
    )
    for call in calls:
        with pytest.raises((Throttled, ConnectionLost)):
            call()


@pytest.mark.parametrize("status", [409, 412])
def test_refused_conditions_are_objects_that_exist(backend: FsspecBackend, status: int) -> None:
    """Servers that answer 412 or 409 without FileExistsError are understood, where the object is there."""
    backend.create("a", b"data")
    connected = file_system(backend)

    def refuse(*_: object, **__: object) -> None:
        raise caused(OSError(errno.EINVAL, "x"), ClientError(status))

    connected.pipe_file = refuse  # type: ignore[method-assign]
    with pytest.raises(ObjectExists):
        backend.create("a", b"mine")


def test_a_conflict_without_an_object_is_an_open_question(backend: FsspecBackend) -> None:
    """409 says that others were at it too; where nothing is there, nobody may have won."""

    def refuse(*_: object, **__: object) -> None:
        raise caused(OSError(errno.EBUSY, "x"), ClientError(409))

    file_system(backend).pipe_file = refuse  # type: ignore[method-assign]
    with pytest.raises(ConnectionLost):
        backend.create("a", b"mine")


@pytest.mark.parametrize("method", ["create", "put"])
def test_a_missing_bucket_is_not_a_missing_object(backend: FsspecBackend, method: str) -> None:
    """Writing where there is no bucket is a failure of its own, with advice."""
    file_system(backend).failure = FileNotFoundError("The specified bucket does not exist")
    with pytest.raises(NoSuchStore, match="bucket"):
        getattr(backend, method)("a", b"data")


def test_unsatisfiable_ranges_of_empty_objects_are_empty(backend: FsspecBackend) -> None:
    """Object stores answer 416 to any range of an empty object; it is read as what it is."""
    backend.create("empty", b"")
    backend.create("full", b"data")

    def refuse(*_: object, **__: object) -> bytes:
        raise caused(OSError(errno.EINVAL, "x"), ClientError(416))

    file_system(backend).cat_file = refuse  # type: ignore[method-assign]
    assert backend.get("empty", limit_bytes=10) == b""
    for read in (lambda: backend.get("full", limit_bytes=10), lambda: backend.get_range("full", 9, 1)):
        with pytest.raises(TruncatedRead):
            read()


# --- what else a listing or URL may hold ---


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("LastModified", datetime(2026, 1, 2, tzinfo=UTC)),
        ("updated", "2026-01-02T00:00:00.000Z"),
        ("mtime", 1767312000.0),
        ("created", 1767312000),
    ],
)
def test_times_of_every_file_system_are_understood(backend: FsspecBackend, key: str, value: object) -> None:
    """Each library names and writes the time of an object in its own way."""
    root = backend._root
    listing = {
        f"{root}/a": {"type": "file", "size": 1, key: value},
        f"{root}/b": {"type": "directory", "size": 0},
    }
    file_system(backend).find = lambda *_, **__: listing  # type: ignore[method-assign]
    assert [tuple(info) for info in backend.list("")] == [("a", 1, 1767312000 * 10**9)]


@pytest.mark.parametrize("info", [{}, {"updated": "yesterday"}, {"mtime": None}])
def test_unknown_times_are_zero(backend: FsspecBackend, info: dict[str, object]) -> None:
    """Where nothing says when, the time is 0 and never a guess."""
    listing = {f"{backend._root}/a": {"type": "file", "size": 1, **info}}
    file_system(backend).find = lambda *_, **__: listing  # type: ignore[method-assign]
    assert [entry.modified_ns for entry in backend.list("")] == [0]


def test_a_place_that_does_not_exist_is_empty(backend: FsspecBackend) -> None:
    """Some libraries raise where there is nothing to list."""
    file_system(backend).failure = FileNotFoundError("x")
    assert list(backend.list("packs/")) == []


def test_urls_show_no_credentials() -> None:
    """What stands before an @ or behind a question mark is for the library, not for messages."""
    backend = FsspecBackend("honest://user:secret@store/prefix?token=secret")
    assert backend.url == "honest://store/prefix"


@pytest.fixture
def child_status() -> Callable[[Callable[[], bool]], int]:
    def run(work: Callable[[], bool]) -> int:
        child = os.fork()
        if not child:
            status = 2
            try:
                status = 0 if work() else 1
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    return run


def test_a_forked_child_makes_its_own_file_system(
    backend: FsspecBackend, child_status: Callable[[Callable[[], bool]], int]
) -> None:
    """An inherited file system, whose threads stayed behind, is not used; a lock held then doesn't matter."""
    before = backend._connected()

    def work() -> bool:
        backend.create("child", b"data")
        return backend._connected() is not before and backend.get("child", limit_bytes=4) == b"data"

    with backend._lock:
        assert child_status(work) == 0
    assert backend._connected() is before


def test_a_forked_child_has_threads_of_its_own_for_requests_made_together(
    backend: FsspecBackend, child_status: Callable[[Callable[[], bool]], int]
) -> None:
    """The pool of the parent, whose threads stayed behind, is not waited for; closing gives the child's back."""
    assert backend.exist_many(["a", "b"]) == [False, False]
    pool = backend._pool

    def work() -> bool:
        answered = backend.exist_many(["a", "b"]) == [False, False] and backend._pool is not pool
        backend.close()
        return answered and backend._pool is None

    assert child_status(work) == 0
    backend.close()
    assert backend._pool is None
