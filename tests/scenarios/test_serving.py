"""The ASGI example serves and takes files under load, in bounded memory, and forgets clients that hang up."""

import http.client
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from artifactstore import Store
from artifactstore.errors import NotFoundError
from tests.stores import make_store, noise, reopened

EXAMPLES = Path(__file__).resolve().parents[2] / "docs" / "examples"
BIG = noise(24_000_000)
CLIENTS = 64
# Of the server's anonymous memory, interpreter and libraries included.
MEMORY_BYTES_MAX = 256 << 20
# Standard streams, the event loop's, the index's, the socket that listens, and two connections.
FILES_MAX = 5 + 5 + 3 + 1 + 2

UVICORN = [
    *(sys.executable, "-m", "uvicorn", "serving:application"),
    *("--app-dir", str(EXAMPLES), "--log-level", "warning"),
]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Server(NamedTuple):
    """A running server: its address, its process, and its store, opened beside it."""

    port: int
    pid: int
    store: Store

    def ask(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """One request: status, headers, body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, sent)
        answer = connection.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        connection.close()
        return found

    def raw(self, head: str) -> socket.socket:
        """A connection on which a request has begun, with a small window."""
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        made.settimeout(60)
        made.connect(("127.0.0.1", self.port))
        made.sendall(head.encode())
        return made

    def anonymous_bytes(self) -> int:
        """Memory of the server that no file stands behind."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) << 10
        raise AssertionError("no RssAnon")

    def threads(self) -> int:
        """Threads of the server."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def files(self) -> list[str]:
        """Files and sockets that the server has open."""
        return sorted(
            str(one.readlink()) for one in Path(f"/proc/{self.pid}/fd").iterdir() if one.is_symlink()
        )

    def running(self) -> dict[str, float]:
        """Operations under way, as the server says."""
        numbers = json.loads(self.ask("GET", "/metrics")[2])
        return {name: count for name, count in numbers.items() if name.startswith("running.") and count}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """uvicorn with the example, over a store in a folder that holds one large file."""
    folder = tmp_path_factory.mktemp("serving")
    made = make_store(folder, folder / "store")
    made.push_stream(BIG, "media/films", path="reel one/film.bin", aliases=["shown"])
    made.close()
    environment = os.environ | {
        "ARTIFACTSTORE_STORE": str(folder / "store"),
        "ARTIFACTSTORE_KEY_FILE": str(folder / "key"),
        "ARTIFACTSTORE_CACHE_DIR": str(folder / "server-cache"),
        "MALLOC_ARENA_MAX": "2",
        "PYTHONPATH": str(EXAMPLES.parents[1]),
    }
    with socket.socket() as listening, (folder / "log").open("wb") as log:
        listening.bind(("127.0.0.1", 0))
        listening.listen(256)
        process = subprocess.Popen(
            [*UVICORN, "--fd", str(listening.fileno())],
            env=environment,
            pass_fds=[listening.fileno()],
            stdout=log,
            stderr=log,
        )
        with reopened(folder, folder / "store", cache="beside") as store:
            yield Server(listening.getsockname()[1], process.pid, store)
        process.send_signal(signal.SIGTERM)
        status = process.wait(30)
    said = (folder / "log").read_text()
    assert (status, said) in {(0, ""), (-signal.SIGTERM, "")}, said


FILM = "/files/media/films/v0/reel%20one/film.bin"


def test_a_file_is_served_whole_and_by_ranges(server: Server) -> None:
    """Status, length, range and tag as HTTP has them; the tag is the file's digest."""
    digest = server.store.version("media/films").entry("reel one/film.bin").digest
    status, headers, body = server.ask("GET", "/files/media/films/shown/reel%20one/film.bin")
    assert (status, body == BIG, headers["etag"], headers["accept-ranges"]) == (
        200,
        True,
        f'"{digest}"',
        "bytes",
    )
    status, headers, body = server.ask("HEAD", FILM)
    assert (status, body, headers["content-length"]) == (200, b"", str(len(BIG)))
    status, headers, body = server.ask("GET", FILM, Range="bytes=1000000-1000999")
    assert (status, body == BIG[1_000_000:1_001_000]) == (206, True)
    assert headers["content-range"] == f"bytes 1000000-1000999/{len(BIG)}"
    assert server.ask("GET", FILM, Range="bytes=-5")[2] == BIG[-5:]
    assert server.ask("GET", FILM, Range="bytes=23999990-")[2] == BIG[-10:]
    assert server.ask("HEAD", FILM, Range="bytes=0-9")[0] == 206
    status, headers, body = server.ask("GET", FILM, Range="bytes=24000000-")
    assert (status, body, headers["content-range"]) == (416, b"", f"bytes */{len(BIG)}")
    assert server.ask("GET", FILM, If_None_Match=f'"{digest}"')[0] == 304
    assert server.ask("GET", FILM, Range="bytes=0-9", If_Range='"other"')[0] == 200
    assert server.ask("GET", FILM, Range="bytes=0-9", If_Range=f'"{digest}"')[0] == 206


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bytes=0-0", (0, 1, 206)),
        ("bytes=0-", (0, 10, 206)),
        ("bytes=3-100", (3, 10, 206)),
        ("bytes=-3", (7, 10, 206)),
        ("bytes=-100", (0, 10, 206)),
        ("bytes=-0", (0, 0, 416)),
        ("bytes=10-", (0, 0, 416)),
        ("bytes=5-4", (0, 10, 200)),
        ("bytes=0-1,3-4", (0, 10, 200)),
        ("bytes=-", (0, 10, 200)),
        ("lines=0-1", (0, 10, 200)),
    ],
)
def test_ranges_are_read_as_http_has_them(text: str, expected: tuple[int, int, int]) -> None:
    """What is no single range is answered with the whole file, what lies behind its end with 416."""
    spec = importlib.util.spec_from_file_location("serving", EXAMPLES / "serving.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.ranged(text, 10) == expected


def test_what_is_not_there_or_not_allowed_has_its_status(server: Server) -> None:
    """Kinds of errors become statuses, and the body says which."""
    for method, path, status in (
        ("GET", "/files/media/films/v7/x", 404),
        ("GET", "/files/none/none/v0/x", 404),
        ("GET", "/files/media/films/v0/none", 404),
        ("GET", "/files/media/films/v0/reel%20one", 404),
        ("GET", "/elsewhere", 404),
        ("DELETE", FILM, 405),
        ("PUT", "/files/media/films/..%2Fx", 409),
        ("PUT", "/files/me%20dia/films/x", 400),
    ):
        assert server.ask(method, path, b"" if method == "PUT" else None)[0] == status, path
    assert json.loads(server.ask("GET", "/files/media/films/v7/x")[2])["error"] == "no-such-version"


def test_an_upload_becomes_a_version(server: Server) -> None:
    """Of known length or in chunks; equal content makes no other one."""
    data = noise(3_000_000, 7)
    status, _, body = server.ask("PUT", "/files/inbox/letters/may/1.bin", data)
    said = json.loads(body)
    assert (status, said["version"], said["size_bytes"]) == (201, "inbox/letters:v0", 3_000_000)
    assert b"".join(server.store.version("inbox/letters").stream("may/1.bin")) == data
    chunked = (data[at : at + 100_000] for at in range(0, len(data), 100_000))
    status, _, body = server.ask("PUT", "/files/inbox/letters/may/1.bin", chunked)
    assert (status, json.loads(body)["version"]) == (200, "inbox/letters:v0")


def client(server: Server, number: int) -> None:
    """An upload, ranges of the film, and the upload again."""
    own = noise(600_000, number)
    path = f"/files/load/client{number}/data.bin"
    assert server.ask("PUT", path, own)[0] == 201
    for turn in range(3):
        start = (number * 370_001 + turn * 7_000_003) % (len(BIG) - 500_000)
        status, _, body = server.ask("GET", FILM, Range=f"bytes={start}-{start + 499_999}")
        assert status == 206
        assert body == BIG[start : start + 500_000]
    status, _, body = server.ask("GET", f"/files/load/client{number}/v0/data.bin")
    assert (status, body == own) == (200, True)


def settled(server: Server) -> None:
    """Wait until nothing is under way, and nobody is connected but who asks."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        left = server.running(), len(server.files()) > FILES_MAX
        if not any(left):
            return
        time.sleep(0.05)
    raise AssertionError((left, server.files()))


def hang_up_in_a_download(server: Server, number: int) -> int:
    """Ask for all of the film and take a little of it."""
    with server.raw(f"GET {FILM} HTTP/1.1\r\nHost: x\r\n\r\n") as one:
        return len(one.recv(1000 + number))


def hang_up_in_an_upload(server: Server, number: int) -> None:
    """Send a third of what was announced."""
    head = f"PUT /files/half/client{number}/x HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n"
    with server.raw(head) as one:
        one.sendall(noise(1_000_000, 1000 + number))


def test_64_clients_in_bounded_memory_and_those_that_hang_up(server: Server) -> None:
    """All get what is theirs; slow readers hold the server up to a piece each; who hung up leaves nothing at all."""
    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(lambda number: client(server, number), range(CLIENTS)))
    most = server.anonymous_bytes()
    slow = [server.raw(f"GET {FILM} HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(CLIENTS)]
    for one in slow:
        assert one.recv(10_000).startswith(b"HTTP/1.1 200 OK")
    for _ in range(10):
        time.sleep(0.05)
        most = max(most, server.anonymous_bytes())
    for one in slow:
        one.close()
    before = server.store.info().versions
    with ThreadPoolExecutor(CLIENTS) as pool:
        uploads = [pool.submit(hang_up_in_an_upload, server, number) for number in range(CLIENTS // 2)]
        downloads = [pool.submit(hang_up_in_a_download, server, number) for number in range(CLIENTS // 2)]
        assert all(done.result() for done in downloads)
        for done in uploads:
            done.result()
    settled(server)
    # The loop's own, and those of computing and of the backend: an upload's are gone.
    assert server.threads() <= 1 + 16 + len(os.sched_getaffinity(0)) + 16
    most = max(most, server.anonymous_bytes())
    print(f"the server held {most >> 20} MiB at most")
    assert most < MEMORY_BYTES_MAX
    assert server.store.info().versions == before
    with pytest.raises(NotFoundError):
        server.store.versions("half/client0")
    assert server.store.garbage().running_bytes == 0
    report = server.store.check(read_data=True)
    assert report.ok
    assert report.orphans.names.total == 0
