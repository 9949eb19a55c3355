"""References: looking at what lies outside, listing it within a bound, and reading it as what was said of it."""

import io
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from artifactstore.errors import (
    ArtifactStoreError,
    ConnectionLost,
    InvalidSource,
    InvalidURL,
    NoSuchPath,
    PermissionRefused,
    ReferenceChanged,
    ReferenceGone,
    ReferenceRefused,
    Throttled,
    TooManyObjects,
)
from artifactstore.format.reference import Reference
from artifactstore.references.access import ReferenceAccess, refuse_private, refuse_unasked, scheme_of
from artifactstore.references.checked import CheckedStream
from artifactstore.references.referring import Sources, name_of
from tests.references.web_server import Site, serving
from tests.stores import write_tree

ASKED = Sources(ReferenceAccess(), asked=True)


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as served:
        yield served


def one(url: str, *, checksum: bool = True) -> Reference:
    ((path, reference),) = ASKED.refer(url, checksum=checksum)
    assert path == ""
    return reference


def read(reference: Reference, sources: Sources = ASKED) -> bytes:
    with sources.open(reference) as stream:
        return b"".join(iter(lambda: stream.read(1 << 16), b""))


# --- URLs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "https://user:secret@host/a",
        "https://token@host/a",
        "s3://key:secret@bucket/a",
        "https://bucket/a?X-Amz-Signature=abc&x=1",
        "https://host/a?sig=abc",
        "https://host/a?x=1&access_token=",
        "ftp://host/a",
        "file://host/a",
        "file:relative",
        "data/a",
        "s3://bucket/a b",
        "https://host/a#b",
        "zip://a::s3://bucket/b",
        "",
    ],
)
def test_urls_that_are_not_kept(url: str) -> None:
    """Secrets, unknown kinds, and what two readers could understand differently; the message repeats no secret."""
    with pytest.raises(InvalidURL) as refused:
        next(ASKED.refer(url))
    said = refused.value.message + str(refused.value.facts)
    assert not any(word in said for word in ("secret@", "token@", "abc"))


@pytest.mark.parametrize(
    ("url", "allow", "fine"),
    [
        ("s3://bucket/a", "", True),
        ("https://host/a", "", True),
        ("http://host/a", "", False),
        ("file:///data/a", "", False),
        ("file:///data/a", "file:///data/", True),
        ("file:///data/a", "file:///data", True),
        ("file:///database/a", "file:///data", False),
        ("file:///data/../etc/passwd", "file:///data/", False),
        ("file:///data/%2e%2e/etc/passwd", "file:///data/", False),
        ("file:///data/%2E./etc/passwd", "file:///data/", False),
        ("http://host.evil/a", "http://host", False),
        ("http://host/a", "http://host", True),
        ("http://host:80/a", "http://host", False),
        ("memory://a", "", False),
    ],
)
def test_what_a_pull_may_fetch(url: str, allow: str, fine: bool) -> None:
    """Local files and plain HTTP only where the user said how their URLs begin; nothing leads out of that."""
    access = ReferenceAccess(allow=(allow,) if allow else ())
    if fine:
        refuse_unasked(url, access)
        return
    with pytest.raises(ReferenceRefused):
        refuse_unasked(url, access)


@pytest.mark.parametrize(
    ("address", "fine"),
    [
        ("93.184.216.34", True),
        ("2606:2800:220:1:248:1893:25c8:1946", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::7f00:1", False),
    ],
)
def test_private_addresses(address: str, fine: bool) -> None:
    """What no stranger could reach is not fetched for one, in any spelling."""
    if fine:
        refuse_private(address, "https://host/", ReferenceAccess())
        return
    with pytest.raises(ReferenceRefused):
        refuse_private(address, "https://host/", ReferenceAccess())
    refuse_private(address, "https://host/a", ReferenceAccess(allow=("https://host/",)))


def test_names() -> None:
    """The last part of a URL, decoded; a URL without one needs a name."""
    assert name_of("s3://bucket/a/b%20c.csv") == "b c.csv"
    assert name_of("https://host/a/?x=1") == "a"
    with pytest.raises(InvalidURL):
        name_of("https://host/")
    assert scheme_of("gs://bucket/a@b") == "gs"


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_file(tmp_path: Path) -> None:
    """Known by size and BLAKE3; changed, gone and of another kind are each its own error."""
    file = tmp_path / "a b.bin"
    file.write_bytes(b"content")
    url = "file://" + str(file).replace(" ", "%20")
    reference = one(url)
    assert reference == Reference(url, 7, "blake3:" + blake3(b"content").hexdigest())
    assert read(reference) == b"content"
    ASKED.verify(reference)
    assert one(url, checksum=False) == Reference(url)
    assert read(Reference(url)) == b"content"
    for data in (b"CONTENT", b"content and more", b"less", b""):
        file.write_bytes(data)
        for act in (read, ASKED.verify):
            with pytest.raises(ReferenceChanged) as changed:
                act(reference)
            assert changed.value.facts["url"] == url
    file.unlink()
    with pytest.raises(ReferenceGone):
        ASKED.verify(reference)
    with pytest.raises(NoSuchPath):
        one(url)
    file.mkdir()
    with pytest.raises(InvalidSource):
        ASKED.verify(reference)


def test_a_folder(tmp_path: Path) -> None:
    """Its files by their paths, sorted, links to files among them; with a bound that is named."""
    write_tree(tmp_path / "d", {"b": b"2", "a/c": b"1", "link": "b", "loop": ".", "nowhere": "x", "e": None})
    url = f"file://{tmp_path}/d"
    found = dict(ASKED.refer(url + "/"))
    assert list(found) == ["b", "link", "a/c"]
    assert found["a/c"] == one(f"{url}/a/c")
    assert len(list(ASKED.refer(url, objects_max=3))) == 3
    with pytest.raises(TooManyObjects, match="2") as refused:
        list(ASKED.refer(url, objects_max=2))
    assert refused.value.facts == {"url": url, "objects_max": 2}


def test_devices_and_other_things(tmp_path: Path) -> None:
    """Nothing waits for a FIFO or reads a device for ever."""
    os.mkfifo(tmp_path / "fifo")
    for url in (f"file://{tmp_path}/fifo", "file:///dev/zero", "file:///a%00b"):
        with pytest.raises(InvalidSource):
            one(url)
        with pytest.raises(InvalidSource):
            read(Reference(url))


# --- HTTP ---


@pytest.mark.parametrize("tag", ['"v1"', 'W/"v1"'])
def test_a_page_with_an_entity_tag(site: Site, tag: str) -> None:
    """Looked at by HEAD alone; what the server calls otherwise is something else."""
    site.files["/a"] = (b"content", tag)
    reference = one(f"{site.url}/a")
    assert reference == Reference(f"{site.url}/a", 7, f"etag:{tag}")
    ASKED.verify(reference)
    assert [method for method, _, _ in site.asked] == ["HEAD", "HEAD"]
    assert read(reference) == b"content"
    for changed in ((b"content", '"v2"'), (b"longer than it was", tag), (b"content", "")):
        site.files["/a"] = changed
        for act in (read, ASKED.verify):
            with pytest.raises(ReferenceChanged):
                act(reference)
    del site.files["/a"]
    for act in (read, ASKED.verify):
        with pytest.raises(ReferenceGone):
            act(reference)


def test_a_page_without_one(site: Site) -> None:
    """Is read, and known by its BLAKE3, as is one without a length; no HEAD is no matter."""
    site.files["/a"] = (b"content", "")
    site.no_head = True
    known = "blake3:" + blake3(b"content").hexdigest()
    reference = one(f"{site.url}/a")
    assert reference == Reference(f"{site.url}/a", 7, known)
    site.files["/a"], site.no_length = (b"content", '"v1"'), True
    assert one(f"{site.url}/a").checksum == known
    ASKED.verify(reference)
    site.files["/a"] = (b"CONTENT", "")
    with pytest.raises(ReferenceChanged, match="checksum"):
        ASKED.verify(reference)
    assert one(f"{site.url}/a", checksum=False) == Reference(f"{site.url}/a")
    assert read(Reference(f"{site.url}/a")) == b"CONTENT"


def test_an_answer_that_breaks_off_goes_on(site: Site) -> None:
    """With a range, where the server vouches for the same bytes; else, or after too many, it is lost."""
    data = bytes(range(256)) * 1000
    site.files["/a"] = (data, '"v1"')
    reference = one(f"{site.url}/a")
    site.breaks["/a"] = [100_000, 200_000]
    assert read(reference) == data
    assert [asked for _, _, asked in site.asked if asked] == ["bytes=100000-", "bytes=200000-"]
    site.breaks["/a"] = [10, 20, 30, 40, 50, 60]
    with pytest.raises(ConnectionLost):
        read(reference)
    site.breaks["/a"] = [10]
    with pytest.raises(ConnectionLost):
        read(Reference(f"{site.url}/a"))


def test_redirections(site: Site) -> None:
    """Are followed, a few of them, for a URL that the user names; a pull looks at each."""
    site.files["/b"] = (b"content", '"v1"')
    site.redirects["/a"] = f"{site.url}/b"
    reference = one(f"{site.url}/a")
    assert reference.url == f"{site.url}/a"
    assert read(reference) == b"content"
    site.redirects["/loop"] = f"{site.url}/loop"
    with pytest.raises(ReferenceRefused):
        one(f"{site.url}/loop")
    site.redirects["/file"] = "file:///etc/passwd"
    with pytest.raises(ReferenceRefused):
        one(f"{site.url}/file")
    site.redirects["/elsewhere"] = site.url.replace("127.0.0.1", "localhost") + "/b"
    allowed = Sources(ReferenceAccess(allow=(f"{site.url}/",)))
    assert read(reference, allowed) == b"content"
    with pytest.raises(ReferenceRefused):
        read(Reference(f"{site.url}/elsewhere", 7, 'etag:"v1"'), allowed)
    with pytest.raises(ReferenceRefused):
        read(reference, Sources(ReferenceAccess()))


def test_nothing_is_sent_to_a_private_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the name says: the connection is looked at before a byte goes over it, a handshake included."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connect = socket.create_connection

        def here(_: object, *rest: Any, **more: Any) -> socket.socket:
            return connect(server.getsockname(), *rest, **more)

        monkeypatch.setattr("socket.create_connection", here)
        with pytest.raises(ReferenceRefused, match=r"127\.0\.0\.1"):
            Sources(ReferenceAccess()).verify(Reference("https://public.example/a", 7, 'etag:"a"'))
        server.settimeout(5)
        peer, _ = server.accept()
        with peer:
            assert peer.recv(10) == b""


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (404, ReferenceGone),
        (410, ReferenceGone),
        (401, PermissionRefused),
        (403, PermissionRefused),
        (429, Throttled),
        (503, Throttled),
        (500, ConnectionLost),
    ],
)
def test_what_servers_refuse(site: Site, status: int, error: type[ArtifactStoreError]) -> None:
    """Each has its own error, with the status among the facts."""
    site.files["/a"], site.statuses["/a"] = (b"", '"v1"'), status
    with pytest.raises(error) as refused:
        one(f"{site.url}/a")
    assert refused.value.facts["status"] == status


def test_nobody_answers() -> None:
    """A closed port is a lost connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionLost):
        one(f"http://127.0.0.1:{port}/a")


# --- checking ---


def test_what_cannot_be_checked_is_not_taken() -> None:
    """A checksum of a kind that this release does not know is refused, not passed over."""
    with pytest.raises(InvalidURL, match="sha1024"):
        ASKED.open(Reference("file:///etc/hostname", 5, "sha1024:abc"))


@pytest.mark.parametrize(
    ("checksum", "data", "fine"),
    [
        ("md5:9a0364b9e99bb480dd25e1f0284c8555", b"content", True),
        ("md5:9a0364b9e99bb480dd25e1f0284c8555", b"CONTENT", False),
        ("etag:x", b"CONTENT", True),
        ("etag:x", b"short", False),
        ("etag:x", b"much too long", False),
    ],
)
def test_checked_streams(checksum: str, data: bytes, fine: bool) -> None:
    """Bytes are held against size and hash while they are read."""
    stream = CheckedStream(io.BytesIO(data), Reference("s3://b/k", 7, checksum))
    if fine:
        assert stream.read() == data
    else:
        with pytest.raises(ReferenceChanged):
            stream.read()
