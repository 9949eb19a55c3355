"""Chunks in a dictionary, and manifests built into it, for tests of what stands over chunks."""

from collections.abc import Iterable

from blake3 import blake3

from artifactstore.errors import Damaged
from artifactstore.format.coding import encode
from artifactstore.format.operations import Manifest
from artifactstore.format.pack import PackType
from artifactstore.format.page import (
    EMPTY,
    Content,
    Identity,
    Kind,
    Page,
    decode_page,
    page_chunks,
    page_digest,
    path_order,
)
from artifactstore.manifest.build import ManifestBuilder


class Shelf:
    """Puts and gets chunks by a hash that depends on the shelf, as cids depend on the store."""

    def __init__(self, secret: bytes = bytes(32)) -> None:
        self.secret = secret
        self.chunks: dict[bytes, bytes] = {}
        self.puts = self.gets = 0

    def put_one(self, kind: PackType, data: bytes) -> bytes:
        """Store one chunk."""
        self.puts += 1
        cid = blake3(bytes([kind]) + data, key=self.secret).digest()
        self.chunks[cid] = data
        return cid

    def read(self, kind: PackType, cid: bytes) -> bytes:
        """Read one chunk."""
        self.gets += 1
        if cid not in self.chunks:
            raise Damaged(f"chunk {cid.hex()} has no location left")
        return self.chunks[cid]

    def read_many(self, kind: PackType, cids: Iterable[bytes]) -> list[bytes]:
        """Read several chunks."""
        return [self.read(kind, cid) for cid in cids]


def file_identity(path: str, data: bytes = b"", flags: int = 0) -> Identity:
    """The identity of a file."""
    return (path, int(Kind.FILE), len(data), blake3(data).digest(), flags)


def file_content(data: bytes = b"") -> Content:
    """The content of a file of one chunk, which nobody stored."""
    return Content(0, blake3(b"chunk" + data).digest(), [len(data)]) if data else EMPTY


def built(shelf: Shelf, paths: Iterable[str], data: bytes = b"") -> Manifest:
    """A manifest of files that all hold `data`."""
    builder = ManifestBuilder(shelf)
    for path in sorted(paths, key=path_order):
        builder.add(file_identity(path, data), file_content(data))
    return builder.finish()


def pages(shelf: Shelf, manifest: Manifest) -> list[tuple[bytes, Page]]:
    """Every page of a manifest, root first."""
    found = [(manifest.cid, decode_page(shelf.chunks[manifest.cid], "page"))]
    for _, page in found:
        if page.level:
            found += [(one.cids, decode_page(shelf.chunks[one.cids], "page")) for one in page.contents]
    return found


def rude_page(shelf: Shelf, entries: list[tuple[Identity, Content]], level: int = 0) -> Manifest:
    """A page as it is told to be, and the manifest of which it is the root."""
    identities = [identity for identity, _ in entries]
    cid = shelf.put_one(PackType.PAGE, encode(Page(level, identities, [content for _, content in entries])))
    count = len(entries) if level == 0 else sum(content.sizes[0] for _, content in entries)
    chunks = page_chunks([content for _, content in entries])
    return Manifest(cid, level, page_digest(identities), sum(one[2] for one in identities), count, chunks)
