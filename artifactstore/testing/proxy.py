"""A proxy on loopback that does to HTTP what networks do: cuts, delays, repeats, truncates, reorders and throttles.

It stands between a client and a real server, on threads and sockets of its own, and changes no byte that it lets
through: signatures of requests stay valid. Which requests are hit is decided by rules and a seed, in the order in
which requests arrive, and by nothing else.

Plain HTTP/1.1 only; requests are held in memory, answers are passed on as they come.
"""

import asyncio
import re
import threading
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from enum import StrEnum
from types import TracebackType
from typing import Any, Final, NamedTuple

import msgspec

from artifactstore.crypto.hashing import sha256

_HOST: Final = "127.0.0.1"
_HEAD_BYTES_MAX: Final = 64 << 10
# A pack is 64 MiB at most; what is longer than this is no request of this project.
_BODY_BYTES_MAX: Final = 256 << 20
_PIECE_BYTES: Final = 256 << 10
_HEAD_END: Final = b"\r\n\r\n"
_START_S: Final = 10.0
_PARTS: Final = 1 << 64
# What concerns one connection alone, and what the proxy has answered itself.
_HOP_BY_HOP: Final = re.compile(
    rb"\r\n(?:connection|keep-alive|expect|proxy-connection):[^\r\n]*", re.IGNORECASE
)
_LENGTH: Final = re.compile(rb"\r\ncontent-length:\s*(\d{1,18})\s*(?=\r\n)", re.IGNORECASE)
_CHUNKED: Final = re.compile(rb"\r\ntransfer-encoding:[^\r\n]*\bchunked\s*(?=\r\n)", re.IGNORECASE)
_EXPECTS: Final = re.compile(rb"\r\nexpect:\s*100-continue", re.IGNORECASE)


class Fault(StrEnum):
    """What happens to a request or to its answer."""

    CUT_BEFORE = "cut-before"
    """The connection ends before the server hears of the request."""
    CUT_AFTER = "cut-after"
    """The request takes effect, and the connection ends in place of the answer."""
    STRAY = "stray"
    """The connection ends at once, and the request takes effect a delay later: after its own repetition, say."""
    REPEAT = "repeat"
    """The server is sent the request twice, one after the other, and the second answer is passed on."""
    TRUNCATE = "truncate"
    """The connection ends in the middle of the answer's body."""
    HOLD = "hold"
    """The request reaches the server a delay later."""
    LATE = "late"
    """The request takes effect at once, and its answer comes a delay later, after those to later requests."""
    SLOW_DOWN = "slow-down"
    """The answer is 503 SlowDown, and the server hears nothing."""
    EXPIRED = "expired"
    """The answer is 400 ExpiredToken, as for credentials whose time is over, and the server hears nothing."""


# What S3 answers with, in place of the server.
_ANSWERS: Final = {
    Fault.SLOW_DOWN: ("503 Slow Down", "SlowDown", "Please reduce your request rate."),
    Fault.EXPIRED: ("400 Bad Request", "ExpiredToken", "The provided token has expired."),
}


class Rule(msgspec.Struct, frozen=True):
    """Which requests a fault hits. The first rule that hits decides.

    Attributes:
        fault: What happens.
        methods: The methods it is for; all when empty.
        path: A regular expression searched for in the request's path with its query.
        probability: How often a request that it is for is hit.
        skip: Requests that it is for and that pass first.
        count: Hits after which the rule is spent; no end when None.
        delay_s: The delay of `STRAY`, `HOLD` and `LATE`.
    """

    fault: Fault
    methods: frozenset[str] = frozenset()
    path: str = ""
    probability: float = 1.0
    skip: int = 0
    count: int | None = None
    delay_s: float = 0.0


class Request(NamedTuple):
    """One request, held whole.

    Attributes:
        method: Its method.
        path: Its path, with the query.
        head: Its first line and headers, as they came.
        body: Its body, as it came.
    """

    method: str
    path: str
    head: bytes
    body: bytes


class Chooser:
    """Decides which fault hits a request, if any. Thread-safe.

    Args:
        rules: In order of precedence.
        seed: Of the choice where a rule has a probability.
    """

    def __init__(self, rules: Sequence[Rule], seed: int) -> None:
        self._rules = [(rule, re.compile(rule.path)) for rule in rules]
        self._seed = seed
        self._asked = [0] * len(rules)
        self._hits = [0] * len(rules)
        self._lock = threading.Lock()

    def choose(self, method: str, path: str) -> Rule | None:
        """The rule that hits the next request."""
        with self._lock:
            for number, (rule, pattern) in enumerate(self._rules):
                if (rule.methods and method not in rule.methods) or not pattern.search(path):
                    continue
                if rule.count is not None and self._hits[number] >= rule.count:
                    continue
                self._asked[number] += 1
                if self._asked[number] > rule.skip and self._chance(number) < rule.probability:
                    self._hits[number] += 1
                    return rule
        return None

    def _chance(self, number: int) -> float:
        """A number from 0 to 1 that depends on the seed, the rule and how often it was asked."""
        digest = sha256(b"%d %d %d" % (self._seed, number, self._asked[number]))
        return int.from_bytes(digest[:8], "big") / _PARTS


class FaultProxy:
    """A proxy before one HTTP server; a context manager that listens from enter to exit.

    Args:
        upstream_port: The server's port on loopback.
        rules: What goes wrong; nothing when empty.
        seed: Of the choice where a rule has a probability.

    Attributes:
        port: Where it listens.
        requests: Requests that came.
        injected: Faults that were injected, by kind.

    Thread-safe.
    """

    def __init__(self, upstream_port: int, rules: Sequence[Rule] = (), *, seed: int = 0) -> None:
        self.port = 0
        self.requests = 0
        self.injected: Counter[Fault] = Counter()
        self._upstream_port = upstream_port
        self._seed = seed
        self._chooser = Chooser(rules, seed)
        self._connections: set[asyncio.Task[None]] = set()
        self._listening = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="fault-proxy", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens, as a URL."""
        return f"http://{_HOST}:{self.port}"

    def inject(self, *rules: Rule) -> None:
        """Replace the rules; each starts to count anew."""
        self._chooser = Chooser(rules, self._seed)

    def __enter__(self) -> "FaultProxy":
        self._thread.start()
        if not self._listening.wait(_START_S):
            raise RuntimeError("the proxy did not start to listen")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None and self._stop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    # --- on the proxy's own thread ------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.run(self._listen())

    async def _listen(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._accept, _HOST, 0, limit=_HEAD_BYTES_MAX)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._stop.wait()
        server.close()
        # Requests that stray or are held end with the proxy; so do connections that idle.
        for task in tuple(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._begin(self._serve(reader, writer))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection in turn, until either side ends it or a fault does."""
        try:
            with suppress(
                ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError
            ):
                while await self._answer(await _read_request(reader, writer), writer):
                    pass
        finally:
            writer.transport.abort()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Answer one request; return whether the connection may go on."""
        rule = self._chooser.choose(request.method, request.path)
        self.requests += 1
        if rule is None:
            return await self._relay(request, writer)
        self.injected[rule.fault] += 1
        goes_on = False
        match rule.fault:
            case Fault.CUT_BEFORE:
                pass
            case Fault.CUT_AFTER:
                await self._exchange(request)
            case Fault.STRAY:
                self._begin(self._stray(request, rule.delay_s))
            case Fault.REPEAT:
                await self._exchange(request)
                goes_on = await self._relay(request, writer)
            case Fault.TRUNCATE:
                head, body = await self._exchange(request)
                writer.write(head + body[: len(body) // 2])
                # What was written goes out before the end does.
                writer.close()
                await writer.wait_closed()
            case Fault.HOLD:
                await asyncio.sleep(rule.delay_s)
                goes_on = await self._relay(request, writer)
            case Fault.LATE:
                head, body = await self._exchange(request)
                await asyncio.sleep(rule.delay_s)
                writer.write(head + body)
                await writer.drain()
                goes_on = _framed(request, head)
            case Fault.SLOW_DOWN | Fault.EXPIRED:
                writer.write(_s3_error(*_ANSWERS[rule.fault], with_body=request.method != "HEAD"))
                await writer.drain()
                goes_on = True
        return goes_on

    async def _stray(self, request: Request, delay_s: float) -> None:
        await asyncio.sleep(delay_s)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._exchange(request)

    async def _exchange(self, request: Request) -> tuple[bytes, bytes]:
        """Let a request take effect; return the head and body of its answer."""
        reader, writer = await self._asked(request)
        try:
            head = await _read_head(reader)
            return head, await reader.read()
        finally:
            writer.transport.abort()

    async def _relay(self, request: Request, client: asyncio.StreamWriter) -> bool:
        """Pass a request on, and its answer back piece by piece; return whether the connection may go on."""
        reader, writer = await self._asked(request)
        try:
            head = await _read_head(reader)
            client.write(head)
            passed = 0
            while piece := await reader.read(_PIECE_BYTES):
                passed += len(piece)
                client.write(piece)
                await client.drain()
        finally:
            writer.transport.abort()
        length = _LENGTH.search(head)
        whole = request.method == "HEAD" or length is None or passed == int(length[1])
        return whole and _framed(request, head)

    async def _asked(self, request: Request) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Send a request on a connection of its own, which ends with the answer."""
        reader, writer = await asyncio.open_connection(_HOST, self._upstream_port, limit=_HEAD_BYTES_MAX)
        head = _HOP_BY_HOP.sub(b"", request.head).removesuffix(_HEAD_END)
        writer.write(head + b"\r\nConnection: close" + _HEAD_END + request.body)
        try:
            await writer.drain()
        except BaseException:
            writer.transport.abort()
            raise
        return reader, writer


def _s3_error(status: str, code: str, message: str, *, with_body: bool) -> bytes:
    """An answer of S3 that refuses a request."""
    body = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    )
    head = f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(body)}\r\n\r\n"
    return (head + body * with_body).encode()


def _framed(request: Request, head: bytes) -> bool:
    """Whether an answer says itself where it ends, so that another may follow it."""
    bodiless = request.method == "HEAD" or head.split(b" ", 2)[1] in {b"204", b"304"}
    return bodiless or bool(_LENGTH.search(head) or _CHUNKED.search(head))


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    """The head of an answer, without what was said of the connection that it came on."""
    return _HOP_BY_HOP.sub(b"", await reader.readuntil(_HEAD_END))


async def _read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Request:
    """The next request of a connection, whole.

    Raises:
        IncompleteReadError: The connection ended.
        ValueError: It is no request, or too large a one.
    """
    head = await reader.readuntil(_HEAD_END)
    method, path, _ = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
    if _EXPECTS.search(head):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    length = _LENGTH.search(head)
    if _CHUNKED.search(head):
        body = await _read_chunked(reader)
    else:
        size = int(length[1]) if length else 0
        if size > _BODY_BYTES_MAX:
            raise ValueError(f"a request of {size} bytes")
        body = await reader.readexactly(size)
    return Request(method, path, head, body)


async def _read_chunked(reader: asyncio.StreamReader) -> bytes:
    """A body in chunks, with their frames."""
    body = bytearray()
    while len(body) <= _BODY_BYTES_MAX:
        line = await reader.readuntil(b"\r\n")
        size = int(line.split(b";")[0], 16)
        if size > _BODY_BYTES_MAX:
            raise ValueError(f"a chunk of {size} bytes")
        body += line
        if not size:
            # Trailing headers, if any, up to an empty line.
            while line != b"\r\n":
                line = await reader.readuntil(b"\r\n")
                body += line
            return bytes(body)
        body += await reader.readexactly(size + 2)
    raise ValueError(f"a request of over {_BODY_BYTES_MAX} bytes")
