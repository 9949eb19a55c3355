"""A store behind HTTP: files of any version by ranges, and uploads. A plain ASGI application, in no framework.

    GET, HEAD  /files/PROJECT/NAME/VERSION/PATH    VERSION is v3 or an alias; one range, If-None-Match, If-Range
    PUT        /files/PROJECT/NAME/PATH            the body becomes a version of one file
    GET        /metrics                            what was done so far, as JSON

Run it with any ASGI server, such as `ARTIFACTSTORE_STORE=… uvicorn serving:application`. It asks nobody who they are:
put that before it.
"""

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import unquote

from artifactstore import ArtifactStoreError, Counters, Entry, Store, Version, Workers
from artifactstore.errors import InvalidReference, NoSuchEntry, PoolExhausted

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

# By the exit code of the error's class: usage, not found, conflict, access, damaged, backend.
STATUS = {2: 400, 3: 404, 4: 409, 5: 403, 6: 500, 7: 502}
RANGE = re.compile(r"bytes=(\d*)-(\d*)")
# Threads that wait for the store on behalf of the event loop.
THREADS = 16
# A client that sends nothing for so long is given up.
STALL_S = 30


class HungUp(Exception):
    """The client is gone."""


class Application:
    """The ASGI application; its store is opened when the server starts and closed when it stops."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.workers = Workers(operations=2, wait_s=60)
        self.store: Store | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.live(receive, send)
        elif scope["type"] == "http":
            try:
                await self.respond(scope, receive, send)
            except HungUp:
                return
            except ArtifactStoreError as error:
                status = 503 if isinstance(error, PoolExhausted) else STATUS.get(error.exit_code, 500)
                await answer(send, status, {"error": error.kind, "message": error.message})

    async def live(self, receive: Receive, send: Send) -> None:
        """Open at start-up, close at shutdown."""
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS))
                self.store = await asyncio.to_thread(self.open)
                await send({"type": "lifespan.startup.complete"})
            else:
                if self.store is not None:
                    await asyncio.to_thread(self.store.close)
                await asyncio.to_thread(self.workers.close)
                await send({"type": "lifespan.shutdown.complete"})
                return

    def open(self) -> Store:
        """The one store, from the environment."""
        return Store.open(
            os.environ["ARTIFACTSTORE_STORE"], observer=self.counters, make_executors=self.workers
        )

    async def respond(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        assert self.store is not None
        method = scope["method"]
        route = [unquote(part) for part in scope["raw_path"].decode("ascii").split("/")[1:]]
        if route == ["metrics"] and method == "GET":
            await answer(send, 200, self.counters.snapshot())
        elif route[0] != "files" or len(route) < 4:  # noqa: PLR2004 - files, project, name, path
            await answer(send, 404, {"error": "no-such-page"})
        elif method in {"GET", "HEAD"}:
            reference, path = f"{route[1]}/{route[2]}:{route[3]}", "/".join(route[4:])
            version = await asyncio.to_thread(self.store.version, reference)
            entry = await asyncio.to_thread(version.entry, path)
            if entry.kind != "file":
                raise NoSuchEntry(f"{path!r} is a {entry.kind}", path=path)
            await send_file(scope, receive, send, version, entry)
        elif method == "PUT":
            await take_file(self.store, f"{route[1]}/{route[2]}", "/".join(route[3:]), receive, send)
        else:
            await answer(send, 405, {"error": "method"})


async def send_file(scope: Scope, receive: Receive, send: Send, version: Version, entry: Entry) -> None:
    """A file or a range of it, as fast as the client takes it and no faster."""
    asked = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    tag = f'"{entry.digest}"'
    headers = {"etag": tag, "accept-ranges": "bytes", "content-type": "application/octet-stream"}
    if tag in asked.get("if-none-match", ""):
        await answer(send, 304, None, headers)
        return
    start, end, status = 0, entry.size_bytes, 200
    if "range" in asked and asked.get("if-range", tag) == tag:
        start, end, status = ranged(asked["range"], entry.size_bytes)
    if status == 416:  # noqa: PLR2004 - range not satisfiable
        await answer(send, 416, None, headers | {"content-range": f"bytes */{entry.size_bytes}"})
        return
    if status == 206:  # noqa: PLR2004 - partial content
        headers["content-range"] = f"bytes {start}-{end - 1}/{entry.size_bytes}"
    await begin(send, status, headers | {"content-length": str(end - start)})
    if scope["method"] == "HEAD":
        await send({"type": "http.response.body"})
        return
    pieces = version.stream(entry.path, start, end)
    gone = asyncio.ensure_future(hung_up(receive))
    try:
        while piece := await asyncio.to_thread(next, pieces, b""):
            if gone.done():
                raise HungUp
            # Returns when the client has taken enough of it: the next piece is not read before.
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body"})
    finally:
        gone.cancel()


def ranged(text: str, size: int) -> tuple[int, int, int]:
    """The one range that is asked for, as first byte, byte behind the last, and status; several are answered whole."""
    match = RANGE.fullmatch(text.strip())
    if match is None or not (match[1] or match[2]):
        return 0, size, 200
    if not match[1]:
        start, end = max(0, size - int(match[2])), size
    else:
        start, end = int(match[1]), min(size, int(match[2]) + 1 if match[2] else size)
    if match[1] and match[2] and int(match[2]) < int(match[1]):
        return 0, size, 200
    return (start, end, 206) if start < end else (0, 0, 416)


async def hung_up(receive: Receive) -> None:
    """Return when the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def take_file(store: Store, artifact: str, path: str, receive: Receive, send: Send) -> None:
    """The body of a request as a version; there is none when the client hangs up before its end."""
    if not path:
        raise InvalidReference(f"no path in {artifact} is named")
    async with store.upload(artifact, stall_s=STALL_S) as upload:
        size = await upload.write_async(path, body(receive))
    version = upload.version
    assert version is not None
    assert version.push is not None
    said = {"version": version.qualified_name, "digest": version.digest, "size_bytes": size}
    await answer(send, 201 if version.push.created else 200, said)


async def body(receive: Receive) -> AsyncIterator[bytes]:
    """The pieces of a request's body; a server reads on when one is taken."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise HungUp
        yield message.get("body", b"")
        if not message.get("more_body"):
            return


async def begin(send: Send, status: int, headers: dict[str, str]) -> None:
    """Status and headers."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})


async def answer(send: Send, status: int, said: object, headers: dict[str, str] | None = None) -> None:
    """A whole response, with JSON in it or nothing."""
    data = b"" if said is None else json.dumps(said).encode()
    kind = {} if said is None else {"content-type": "application/json"}
    await begin(send, status, (headers or {}) | kind | {"content-length": str(len(data))})
    await send({"type": "http.response.body", "body": data})


application = Application()
