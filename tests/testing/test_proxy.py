"""The proxy between a real HTTP client and a real HTTP server: each fault does what it says, and nothing else."""

import http.client
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from artifactstore.testing.proxy import Chooser, Fault, FaultProxy, Rule

DELAY_S = 0.3


class Server(ThreadingHTTPServer):
    """Objects in a dictionary: PUT makes one that must not exist yet, GET returns it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.objects: dict[str, bytes] = {}
        self.heard: list[tuple[str, str]] = []
        self.lock = threading.Lock()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_PUT(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.lock:
            self.server.heard.append(("PUT", self.path))
            taken = self.path in self.server.objects
            self.server.objects.setdefault(self.path, body)
        self.answer(412 if taken else 200, b"taken" if taken else b"made")

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.heard.append((self.command, self.path))
            body = self.server.objects.get(self.path)
        self.answer(404 if body is None else 200, body or b"")

    do_HEAD = do_GET  # noqa: N815 - the name that the base class looks for

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        if self.path.startswith("/endless"):
            self.send_header("Connection", "close")
        elif self.path.startswith("/chunked"):
            self.send_header("Transfer-Encoding", "chunked")
            body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.shutdown()
        thread.join()


@pytest.fixture
def proxy(server: Server) -> Iterator[FaultProxy]:
    with FaultProxy(server.server_port) as made:
        yield made


class Client:
    """One connection that is kept as long as the other side keeps it."""

    def __init__(self, proxy: FaultProxy) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def ask(self, method: str, path: str, body: bytes | Iterator[bytes] | None = None) -> tuple[int, bytes]:
        self.connection.request(method, path, body)
        with self.connection.getresponse() as answer:
            return answer.status, answer.read()


@pytest.fixture
def client(proxy: FaultProxy) -> Iterator[Client]:
    with Client(proxy) as made:
        yield made


def lost(client: Client, method: str, path: str, body: bytes | None = None) -> None:
    """Ask, and demand that the connection ends in place of an answer."""
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        client.ask(method, path, body)
    client.connection.close()


def test_without_rules_everything_passes(server: Server, proxy: FaultProxy, client: Client) -> None:
    """Requests and answers of every framing pass unchanged, many on one connection."""
    body = bytes(range(256)) * 4000
    for path in ("/a", "/chunked", "/endless"):
        assert client.ask("PUT", path, body) == (200, b"made")
        assert client.ask("GET", path) == (200, body)
        assert client.ask("HEAD", path) == (200, b"")
        assert client.ask("PUT", path, b"other") == (412, b"taken")
    assert client.ask("PUT", "/pieces", iter([b"one", b"two"])) == (200, b"made")
    assert client.ask("GET", "/pieces?a=b") == (404, b"")
    assert server.objects["/pieces"] == b"onetwo"
    assert (proxy.requests, proxy.injected) == (14, Counter())


def test_a_client_that_waits_to_be_told_to_go_on_is_told(server: Server, proxy: FaultProxy) -> None:
    """`Expect: 100-continue` is answered by the proxy, and the server gets the body at once."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
        connection.sendall(b"PUT /a HTTP/1.1\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"data")
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
    assert server.objects == {"/a": b"data"}


def test_cut_before_has_no_effect(server: Server, proxy: FaultProxy, client: Client) -> None:
    """The server never hears of the request, and the next one passes."""
    proxy.inject(Rule(Fault.CUT_BEFORE, count=1))
    lost(client, "PUT", "/a", b"data")
    assert server.heard == []
    assert client.ask("PUT", "/a", b"data") == (200, b"made")
    assert proxy.injected == {Fault.CUT_BEFORE: 1}


def test_cut_after_has_an_effect(server: Server, proxy: FaultProxy, client: Client) -> None:
    """The request happened and only its answer is lost: asking again meets its own effect."""
    proxy.inject(Rule(Fault.CUT_AFTER, methods=frozenset({"PUT"}), count=1))
    lost(client, "PUT", "/a", b"data")
    assert server.objects == {"/a": b"data"}
    assert client.ask("PUT", "/a", b"data") == (412, b"taken")


def test_repeat_asks_twice(server: Server, proxy: FaultProxy, client: Client) -> None:
    """The client is told what the second of two equal requests was answered."""
    proxy.inject(Rule(Fault.REPEAT, path="^/a", count=1))
    assert client.ask("PUT", "/b", b"data") == (200, b"made")
    assert client.ask("PUT", "/a", b"data") == (412, b"taken")
    assert server.heard == [("PUT", "/b"), ("PUT", "/a"), ("PUT", "/a")]


def test_truncate_ends_in_the_middle_of_a_body(server: Server, proxy: FaultProxy, client: Client) -> None:
    """Half of the body comes under a head that promises all of it."""
    server.objects["/a"] = bytes(1000)
    proxy.inject(Rule(Fault.TRUNCATE, count=1))
    with pytest.raises(http.client.IncompleteRead) as caught:
        client.ask("GET", "/a")
    assert (len(caught.value.partial), caught.value.expected) == (500, 500)
    client.connection.close()
    assert client.ask("GET", "/a") == (200, bytes(1000))


def test_slow_down_is_an_answer_of_the_proxy(server: Server, proxy: FaultProxy, client: Client) -> None:
    """A storm of 503 lasts as long as its count, on one connection, and the server hears nothing of it."""
    proxy.inject(Rule(Fault.SLOW_DOWN, count=3))
    assert client.ask("HEAD", "/a") == (503, b"")
    for _ in range(2):
        status, body = client.ask("PUT", "/a", b"data")
        assert status == 503
        assert b"<Code>SlowDown</Code>" in body
    assert client.ask("PUT", "/a", b"data") == (200, b"made")
    assert server.heard == [("PUT", "/a")]


def test_expired_is_an_answer_of_the_proxy(server: Server, proxy: FaultProxy, client: Client) -> None:
    """As S3 says it, and the server hears nothing."""
    proxy.inject(Rule(Fault.EXPIRED, count=1))
    status, body = client.ask("PUT", "/a", b"data")
    assert status == 400
    assert b"<Code>ExpiredToken</Code>" in body
    assert server.heard == []


def test_a_stray_request_takes_effect_after_all(server: Server, proxy: FaultProxy, client: Client) -> None:
    """The connection ends at once; the request arrives behind one that was sent after it."""
    proxy.inject(Rule(Fault.STRAY, count=1, delay_s=DELAY_S))
    lost(client, "PUT", "/a", b"first")
    assert client.ask("PUT", "/a", b"second") == (200, b"made")
    while len(server.heard) < 2:
        time.sleep(0.01)
    assert server.heard == [("PUT", "/a")] * 2
    assert server.objects == {"/a": b"second"}


@pytest.mark.parametrize(("fault", "found"), [(Fault.HOLD, b"other"), (Fault.LATE, b"slow")])
def test_requests_and_answers_overtake_each_other(
    server: Server, proxy: FaultProxy, fault: Fault, found: bytes
) -> None:
    """A held request takes effect after a later one; one with a late answer before it."""
    proxy.inject(Rule(fault, count=1, delay_s=DELAY_S))
    ended = []

    def put(number: int) -> tuple[int, bytes]:
        with Client(proxy) as client:
            answer = client.ask("PUT", "/a", [b"slow", b"other"][number])
            ended.append(number)
            return answer

    with ThreadPoolExecutor(2) as threads:
        slow = threads.submit(put, 0)
        while not proxy.injected:
            time.sleep(0.01)
        other = threads.submit(put, 1)
        answers = {b"slow": slow.result(), b"other": other.result()}
    assert ended == [1, 0]
    assert server.objects == {"/a": found}
    assert {name: answer[0] for name, answer in answers.items()} == {
        b"slow": 200 if found == b"slow" else 412,
        b"other": 200 if found == b"other" else 412,
    }


def test_what_is_no_request_ends_its_connection_alone(proxy: FaultProxy, client: Client) -> None:
    """Nonsense, bodies beyond the bound and a server that is gone end a connection; the proxy goes on."""
    for nonsense in (b"nonsense\r\n\r\n", b"PUT /a HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n"):
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=10) as connection:
            connection.sendall(nonsense)
            with suppress(ConnectionResetError):
                assert connection.recv(100) == b""
    assert client.ask("GET", "/a") == (404, b"")
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with FaultProxy(unused.getsockname()[1]) as dead, Client(dead) as other:
            lost(other, "GET", "/a")


def test_leaving_ends_what_is_held(proxy: FaultProxy) -> None:
    """A proxy that is left waits for no request that it holds."""
    with (
        FaultProxy(proxy.port, [Rule(Fault.HOLD, delay_s=3600)]) as holding,
        socket.create_connection(("127.0.0.1", holding.port)) as connection,
    ):
        connection.sendall(b"GET /a HTTP/1.1\r\n\r\n")
        while not holding.injected:
            time.sleep(0.01)
    assert holding.injected == {Fault.HOLD: 1}


def test_the_choice_is_the_seeds() -> None:
    """One seed hits the same requests every time, another one others, and about as many as the rule says."""

    def hits(seed: int) -> list[int]:
        chooser = Chooser([Rule(Fault.CUT_AFTER, probability=0.2)], seed)
        return [number for number in range(1000) if chooser.choose("GET", "/")]

    assert hits(1) == hits(1) != hits(2)
    assert 150 < len(hits(1)) < 250


def test_rules_are_tried_in_order() -> None:
    """A rule passes over what it is not for, what it skips, and all once it is spent; then the next one decides."""
    chooser = Chooser(
        [
            Rule(Fault.CUT_BEFORE, methods=frozenset({"PUT"}), path=r"/log/\d+$", skip=1, count=1),
            Rule(Fault.LATE, path="^/log/"),
        ],
        seed=0,
    )
    asked = [("GET", "/log/1"), ("PUT", "/log/1"), ("PUT", "/packs/1"), ("PUT", "/log/2"), ("PUT", "/log/3")]
    chosen = [chooser.choose(*request) for request in asked]
    assert [rule and rule.fault for rule in chosen] == [
        Fault.LATE,
        Fault.LATE,
        None,
        Fault.CUT_BEFORE,
        Fault.LATE,
    ]
