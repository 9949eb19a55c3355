"""Pushing from a URL: as it comes over the line, whole or not at all."""

import base64
import gzip
import io
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from artifactstore import Store, push_from_url
from artifactstore.errors import (
    ArtifactStoreError,
    BackendError,
    BrokenSource,
    ConnectionLost,
    MissingExtra,
    NoSuchPath,
    PermissionRefused,
    SourceTooLarge,
    UsageError,
)
from tests.stores import make_store, noise, read_tree

DATA = noise(2_000_000)


def tar_gz() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        info = tarfile.TarInfo("a/b")
        info.size = len(DATA)
        archive.addfile(info, io.BytesIO(DATA))
    return gzip.compress(out.getvalue(), 1)


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("a/b", DATA)
    return out.getvalue()


CONTENTS = {"/d/data.bin": DATA, "/x.tar.gz": tar_gz(), "/x.zip": zipped(), "/small": b"few", "/empty": b""}


class Server(BaseHTTPRequestHandler):
    """Gives the contents, breaks off, refuses and redirects, as the path says."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path.startswith("/status/"):
            self.send_response(int(path.rpartition("/")[2]))
            self.end_headers()
            return
        if path == "/moved":
            self.send_response(302)
            self.send_header("Location", "/d/data.bin")
            self.end_headers()
            return
        asked = self.headers.get("Authorization")
        assert asked in {None, "Basic " + base64.b64encode(b"me:p@ss").decode()}
        data = CONTENTS[path.removeprefix("/cut").removeprefix("/unsized")]
        self.send_response(200)
        self.send_header("ETag", '"e1"')
        if not path.startswith("/unsized"):
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if path.startswith("/cut") else data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def url() -> Iterator[str]:
    """The server's address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    return make_store(tmp_path / "s")


@pytest.mark.parametrize(
    "path", ["/d/data.bin?secret=1", "/moved", "/small", "/empty", "/unsized/d/data.bin"]
)
def test_one_file(store: Store, url: str, path: str) -> None:
    """Its name is the last part of the URL; what the server told is metadata, and what is secret is not."""
    made = push_from_url(store, url.replace("//", "//me:p%40ss@") + path, "p/n", metadata={"mine": 1})
    name = path.partition("?")[0].rpartition("/")[2]
    content = DATA if name in {"data.bin", "moved"} else CONTENTS[f"/{name}"]
    with made.open(name) as stream:
        assert stream.read() == content
    size = None if path.startswith("/unsized") else len(content)
    said = made.metadata["source"]
    assert (said["url"], said["size"], said["etag"]) == (url + path.partition("?")[0], size, '"e1"')
    assert made.metadata["mine"] == 1


@pytest.mark.parametrize("path", ["/x.tar.gz", "/x.zip", "/unsized/x.zip"])
def test_an_archive(store: Store, url: str, tmp_path: Path, path: str) -> None:
    """Its members instead of itself."""
    push_from_url(store, url + path, "p/n", unpack=True)
    store.pull("p/n", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"a/b": DATA}


@pytest.mark.parametrize(
    ("path", "unpack", "error"),
    [
        ("/cut/d/data.bin", False, BrokenSource),
        ("/cut/x.tar.gz", True, BrokenSource),
        ("/cut/x.zip", True, BrokenSource),
        ("/d/data.bin", True, BrokenSource),
        ("/status/404", False, NoSuchPath),
        ("/status/403", False, PermissionRefused),
        ("/status/500", False, BackendError),
        ("/", False, UsageError),
    ],
)
def test_what_goes_wrong(
    store: Store, url: str, path: str, unpack: bool, error: type[ArtifactStoreError]
) -> None:
    """A server that breaks off, an archive that is none, answers that are refusals: no version."""
    with pytest.raises(error):
        push_from_url(store, url + path, "p/n", unpack=unpack)
    assert store.projects() == []


def test_bounds(store: Store, url: str) -> None:
    """By what the server announces, by what comes, by what it unpacks to."""
    for path, unpack in (("/d/data.bin", False), ("/unsized/d/data.bin", False), ("/x.tar.gz", True)):
        with pytest.raises(SourceTooLarge):
            push_from_url(store, url + path, "p/n", unpack=unpack, max_size_bytes=1_000_000)
    assert store.projects() == []


def test_through_fsspec(store: Store, tmp_path: Path) -> None:
    """Other URLs; what is not there, what nothing reads."""
    (tmp_path / "x.bin").write_bytes(DATA)
    made = push_from_url(store, f"file://{tmp_path}/x.bin", "p/n", path="in/x")
    with made.open("in/x") as stream:
        assert stream.read() == DATA
    with pytest.raises(NoSuchPath):
        push_from_url(store, f"file://{tmp_path}/none", "p/n")
    with pytest.raises((MissingExtra, UsageError)):
        push_from_url(store, "gopher://host/x", "p/n")


def test_bad_requests(store: Store, url: str) -> None:
    """No URL, nobody there, a path for many files."""
    with pytest.raises(UsageError):
        push_from_url(store, "data.bin", "p/n")
    with pytest.raises(UsageError):
        push_from_url(store, url + "/x.zip", "p/n", path="x", unpack=True)
    with pytest.raises(ConnectionLost):
        push_from_url(store, "http://127.0.0.1:1/x", "p/n")
