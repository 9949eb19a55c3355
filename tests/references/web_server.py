"""An HTTP server on loopback that does what a test tells it: entity tags, ranges, redirections, broken answers."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Site:
    """What the server serves, and what it was asked.

    Attributes:
        url: Where it is.
        files: Path to (bytes, entity tag; empty for none).
        redirects: Path to where it leads.
        statuses: Path to a status other than 200.
        breaks: Path to after how many bytes an answer breaks off, once for each in the list.
        asked: Method, path and range of each request.
        no_head: Whether HEAD is refused.
        no_length: Whether answers say how long they are.
    """

    def __init__(self) -> None:
        self.url = ""
        self.files: dict[str, tuple[bytes, str]] = {}
        self.redirects: dict[str, str] = {}
        self.statuses: dict[str, int] = {}
        self.breaks: dict[str, list[int]] = {}
        self.asked: list[tuple[str, str, str]] = []
        self.no_head = False
        self.no_length = False


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, *, body: bool) -> None:
        site = self.site
        wanted = self.headers.get("Range", "")
        site.asked.append((self.command, self.path, wanted))
        self.close_connection = True
        if self.path in site.redirects:
            self.send_response(302)
            self.send_header("Location", site.redirects[self.path])
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        known = site.files.get(self.path)
        status = 405 if site.no_head and not body else site.statuses.get(self.path, 200 if known else 404)
        if known is None or status != 200:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        data, tag = known
        start = 0
        if wanted and self.headers.get("If-Range", tag) == tag:
            start = int(wanted.removeprefix("bytes=").rstrip("-"))
        self.send_response(206 if start else 200)
        if tag:
            self.send_header("ETag", tag)
        if not site.no_length:
            self.send_header("Content-Length", str(len(data) - start))
        self.end_headers()
        if body:
            breaks = site.breaks.get(self.path) or []
            end = breaks.pop(0) if breaks else len(data)
            self.wfile.write(data[start:end])

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as its base has it
        pass


@contextmanager
def serving() -> Iterator[Site]:
    """A site that is served for the length of a block."""
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
