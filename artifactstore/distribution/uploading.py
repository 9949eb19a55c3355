"""Pushing what arrives in pieces: from iterators, event loops and clients that may hang up.

An upload runs its push on a thread of its own; what is written goes to it through a pipe with a bound, so that a fast
client waits for a slow store and memory stays the same. Nothing is left of an upload that was given up: no version, and
nothing registered.
"""

import queue
import threading
from collections.abc import AsyncIterable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, BinaryIO, Final, Self, TypeAlias, cast

from artifactstore.client.observed import operation
from artifactstore.client.pushing import Pushing
from artifactstore.client.requests import push_request
from artifactstore.client.version import Version
from artifactstore.errors import SourceStalled, UploadAborted
from artifactstore.ids import parse_artifact_name
from artifactstore.progress import Progress
from artifactstore.transfer.pipe import PIPE_BYTES, IteratedStream, Pipe
from artifactstore.transfer.request import Request
from artifactstore.transfer.scan import Found, Program, Sources, found_stream

ByteSource: TypeAlias = bytes | BinaryIO | Iterable[bytes]
_READ_BYTES: Final = 256 << 10


class Upload:
    """A version in the making, whose files are written one after the other; made by `Store.upload`.

    A context manager, in a thread (`with`) and on an event loop (`async with`). Leaving the block makes the version;
    leaving it by an exception, `CancelledError` included, makes none and leaves nothing behind. Used by one thread or
    task at a time.

    Attributes:
        version: The version, once the block was left; its `push` says what was done.
    """

    def __init__(self, push: Callable[[Iterator[Found]], Version], *, stall_s: float | None) -> None:
        self._push = push
        self._stall_s = stall_s
        self._files: queue.SimpleQueue[Found | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="artifactstore-upload", daemon=True)
        self._lock = threading.Lock()
        self._pipe: Pipe | None = None
        self._failure: BaseException | None = None
        self._over = False
        self._on_over: Callable[[], None] | None = None
        self._count = 0
        self.version: Version | None = None

    def write(self, path: str, source: ByteSource) -> int:
        """Write one file, and wait where the store is slower than the source.

        Args:
            path: Its path in the version.
            source: Its bytes, a binary stream that is read to its end, or an iterable of bytes.

        Returns:
            Its bytes.

        Raises:
            InvalidSource: There is no such path.
            UploadAborted: The upload was given up before. Whatever ended its push is raised here too.
        """
        pipe = self._begin(path)
        with _Half(self, pipe):
            size = 0
            for piece in _pieces(source):
                pipe.give(piece)
                size += len(piece)
            pipe.end()
        return size

    async def write_async(self, path: str, source: AsyncIterable[bytes]) -> int:
        """The same from an asynchronous iterable, without holding up the event loop."""
        pipe = self._begin(path)
        with _Half(self, pipe):
            size = 0
            async for piece in source:
                await pipe.give_soon(piece)
                size += len(piece)
            await pipe.end_soon()
        return size

    def abort(self, reason: BaseException | None = None) -> None:
        """Give the upload up: its push ends soon, without a version. Leaving the block waits until it has.

        Args:
            reason: What ended it.
        """
        failure = UploadAborted("the upload was given up")
        failure.__cause__ = reason
        with self._lock:
            self._failure = self._failure or failure
            pipe = self._pipe
        if pipe is not None:
            pipe.fail(failure)
        self._files.put(None)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave(error)
        self._thread.join()
        self._result(error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import asyncio

        self._leave(error)
        loop = asyncio.get_running_loop()
        ended = loop.create_future()

        def settle() -> None:
            if not ended.done():
                ended.set_result(None)

        def tell() -> None:
            # The loop may be closed by then.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(settle)

        with self._lock:
            over, self._on_over = self._over, tell
        if not over:
            try:
                await ended
            except asyncio.CancelledError as cancelled:
                self.abort(cancelled)
                raise
        self._thread.join()  # it has said that it is over, and has only to end
        self._result(error)

    # --- inside -----------------------------------------------------------------------------------------------

    def _begin(self, path: str) -> Pipe:
        """Hand the push a file that comes through a pipe."""
        self._count += 1
        what = f"file {self._count} of the upload, {path!r},"
        pipe = Pipe(what, bound_bytes=PIPE_BYTES, patience_s=self._stall_s)
        found = found_stream(path, what, cast("BinaryIO", pipe))
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._over or not self._thread.is_alive():
                raise UploadAborted("an upload is written to within its `with` block only")
            self._pipe = pipe
        self._files.put(found)
        return pipe

    def _leave(self, error: BaseException | None) -> None:
        if error is not None:
            self.abort(error)
        self._files.put(None)

    def _result(self, error: BaseException | None) -> None:
        if error is None and self.version is None:
            assert self._failure is not None
            raise self._failure

    def _run(self) -> None:
        """On the upload's thread: push what arrives."""
        try:
            self.version = self._push(self._arriving())
        except BaseException as failure:  # noqa: BLE001 - it is raised where the upload is written or left
            with self._lock:
                self._failure = self._failure or failure
        finally:
            with self._lock:
                self._over = True
                pipe, ended_by, tell = self._pipe, self._failure, self._on_over
            if pipe is not None and ended_by is not None:
                pipe.fail(ended_by)
            if tell is not None:
                tell()

    def _arriving(self) -> Iterator[Found]:
        while True:
            try:
                found = self._files.get(timeout=self._stall_s)
            except queue.Empty:
                raise SourceStalled(
                    f"no file of the upload came for {self._stall_s:g} s", patience_s=self._stall_s
                ) from None
            with self._lock:
                failure = self._failure
            if failure is not None:
                raise failure
            if found is None:
                return
            yield found


class _Half:
    """A file that is being written: where its source raises, the upload is given up, as half a file is none."""

    def __init__(self, upload: Upload, pipe: Pipe) -> None:
        self._upload = upload
        self._pipe = pipe

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._upload.abort(error)


class Uploading(Pushing):
    """The part of a store that takes what arrives in pieces."""

    def upload(
        self,
        artifact: str,
        *,
        type: str = "dataset",  # noqa: A002 - the word users know
        aliases: Iterable[str] = (),
        tags: Iterable[str] = (),
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        stall_s: float | None = None,
        progress: Progress | None = None,
    ) -> Upload:
        """Begin a version whose files are written one by one, in any order, from threads or an event loop.

        Args:
            artifact: As for `push`, and so are type, aliases, tags, description, metadata and progress.
            type: The artifact's type, when this is its first version.
            aliases: Aliases to point at the version.
            tags: Labels to put on it.
            description: Free text.
            metadata: A JSON object.
            stall_s: Seconds without a byte after which the upload is given up; it waits for ever when None.
            progress: Told what happens; the store's own when None.

        Returns:
            The upload, to be used in a `with` or `async with` block.

        Raises:
            InvalidName, InvalidMetadata: As for `push`.
            PermissionRefused: This member may only read.
        """
        self._parts.keyring.signer()
        request = push_request(parse_artifact_name(artifact), type, aliases, tags, description, metadata)

        def push(found: Iterator[Found]) -> Version:
            with self.watched("upload"):
                return self._push_arriving(found, request, progress)

        return Upload(push, stall_s=stall_s)

    @operation
    def push_stream(
        self,
        source: ByteSource,
        artifact: str,
        *,
        path: str,
        type: str = "dataset",  # noqa: A002 - the word users know
        aliases: Iterable[str] = (),
        tags: Iterable[str] = (),
        description: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        progress: Progress | None = None,
    ) -> Version:
        """Make a version of one file, of a length that need not be known, from bytes, a stream or an iterable.

        The source is asked for a piece when the one before is read. When it raises, there is no version, and nothing
        of what it gave is registered.

        Args:
            source: Bytes, a binary stream that is read to its end, or an iterable of bytes.
            artifact: `project/name`.
            path: The file's path in the version.
            type: As for `push`, and so are aliases, tags, description, metadata and progress.
            aliases: Aliases to point at the version.
            tags: Labels to put on it.
            description: Free text.
            metadata: A JSON object.
            progress: Told what happens; the store's own when None.

        Raises:
            InvalidSource: There is no such path.
            InvalidName, InvalidMetadata: As for `push`.
            PermissionRefused: This member may only read.
        """
        self._parts.keyring.signer()
        request = push_request(parse_artifact_name(artifact), type, aliases, tags, description, metadata)
        stream = IteratedStream(_pieces(source))
        found = found_stream(path, "the stream", cast("BinaryIO", stream))
        return self._push_arriving([found], request, progress)

    def _push_arriving(self, found: Iterable[Found], request: Request, progress: Progress | None) -> Version:
        program = Program(lambda: found, ordered=False, again=False, keeps=False)
        return self.push_sources(Sources(program=program), request, progress)


def _pieces(source: ByteSource) -> Iterable[bytes]:
    if isinstance(source, bytes | bytearray | memoryview):
        return [bytes(source)]
    if hasattr(source, "read"):
        return iter(lambda: source.read(_READ_BYTES), b"")
    return source
