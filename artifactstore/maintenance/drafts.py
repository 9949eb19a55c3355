"""Drafts of receipts, made by a sweep while what it purges can still be read.

Only pages and chunk lists are read, and of those only what is gone: memory is that of one pack and a few pages.
"""

from collections.abc import Container, Iterable, Iterator, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import NamedTuple

from artifactstore.catalog.receipts import DraftPlace, FinishedDraft
from artifactstore.catalog.rows import VersionRow
from artifactstore.clock import Randomness
from artifactstore.content.packs import pack_up
from artifactstore.errors import Damaged
from artifactstore.format.cids import cid_prefixes, prefixes_in, split_cids
from artifactstore.format.commitment import SALT_BYTES, commitment_of
from artifactstore.format.limits import CID_BYTES, CID_PREFIX_BYTES, DIGEST_BYTES
from artifactstore.format.pack import PackType
from artifactstore.format.page import Content, chunks_root, chunks_root_of, decode_list, glance_contents
from artifactstore.format.receipt import (
    EVIDENCE_CHUNK_BYTES,
    RECEIPT_ID_BYTES,
    Below,
    Draft,
    Opened,
    encode_draft,
    evidence_of,
    purge_of,
)
from artifactstore.ids import ArtifactName
from artifactstore.keyring.keyring import Keyring
from artifactstore.manifest.read import Getter, root_node
from artifactstore.pack.writer import FinishedPack


class PurgedVersion(NamedTuple):
    """A version that a sweep purges."""

    artifact: ArtifactName
    number: int
    row: VersionRow

    @property
    def said(self) -> ArtifactName:
        """What its push called the artifact, and its commitment does."""
        return self.artifact if self.row.said is None else ArtifactName(*self.row.said)


class Counts:
    """Counts what evidence lists."""

    def __init__(self) -> None:
        self.of_gone = self.of_shared = self.of_unread = 0

    def gone(self, prefixes: Iterable[bytes]) -> None:
        """Chunks that only purged versions needed."""
        self.of_gone += len(list(prefixes))

    def shared(self, count: int) -> None:
        """Chunks that others need too."""
        self.of_shared += count

    def unread(self) -> None:
        """A node that could not be read."""
        self.of_unread += 1

    @property
    def all(self) -> tuple[int, int, int]:
        """Gone, shared, unread."""
        return self.of_gone, self.of_shared, self.of_unread


class DraftWriter:
    """Makes the drafts of one sweep. Used once, by one thread.

    Args:
        getter: Reads pages and lists.
        keyring: Gives store id and keys.
        kept: Chunks that are not gone with the versions, by the first 16 bytes of their cids.
        randomness: Makes ids, salts and pack keys.
        pages: What pages name that were read already, as of a `Mark`.

    Attributes:
        drafts: Of each version, in order, once all packs were taken.
    """

    def __init__(
        self,
        getter: Getter,
        keyring: Keyring,
        kept: Container[bytes],
        randomness: Randomness,
        pages: Mapping[bytes, bytes] = MappingProxyType({}),
    ) -> None:
        self._getter = getter
        self._keyring = keyring
        self._kept = kept
        self._randomness = randomness
        self._pages = pages
        self._begun: list[tuple[FinishedDraft, int, int]] = []
        self.drafts: list[FinishedDraft] = []

    def packs(self, purged: Iterable[PurgedVersion]) -> Iterator[FinishedPack]:
        """Yield packs that hold the drafts; the sweep stores and registers them."""
        places: list[tuple[bytes, int]] = []
        for pack in pack_up(
            self._keyring, PackType.RECEIPT, self._chunks(purged), self._randomness, level=None
        ):
            places.append((pack.added.name, pack.added.count))
            yield pack
        self.drafts = [
            draft._replace(places=list(_places(places, start, stop))) for draft, start, stop in self._begun
        ]

    def _chunks(self, purged: Iterable[PurgedVersion]) -> Iterator[bytes]:
        """The chunks of all drafts: of each what members need, then its evidence."""
        made = 0
        for version in purged:
            start = made
            draft = self._draft(version)
            yield encode_draft(draft)
            made += 1
            hashing, counts = sha256(), Counts()
            root = root_node(version.row.manifest)
            evidence = evidence_of(self._page(root.cid, root.level, root.chunks), self._kept, counts)
            for chunk in _joined(evidence):
                hashing.update(chunk)
                yield chunk
                made += 1
            commitment = commitment_of(*version.said, version.row.manifest, version.row.salt)
            purge = purge_of(draft, commitment, hashing.digest())
            self._begun.append(
                (
                    FinishedDraft(draft.id, version.said, version.number, purge, counts.all, []),
                    start,
                    made,
                )
            )

    def _draft(self, version: PurgedVersion) -> Draft:
        row = version.row
        assert row.deleted is not None
        return Draft(
            id=self._randomness.token(RECEIPT_ID_BYTES),
            project=version.said.project,
            name=version.said.name,
            number=version.number,
            slot=row.slot,
            manifest=row.manifest,
            version_salt=row.salt,
            salt=self._randomness.token(SALT_BYTES),
            deleted_ms=row.deleted.time_ms,
            reason=row.deleted.reason,
            requested_by=row.deleted.requested_by,
        )

    def _page(self, cid: bytes, level: int, chunks: bytes) -> Below:
        def opened() -> Opened | None:
            try:
                plain, nodes = self._contents(cid, level, chunks)
            except Damaged:
                return None
            if level:
                return Opened(plain, [self._page(one.cids, level - 1, one.chunks) for one in nodes])
            lists = [self._list(one.cids, one.depth, one.sizes[0], one.chunks) for one in nodes]
            return Opened(plain, lists)

        return Below(cid[:CID_PREFIX_BYTES], chunks, opened)

    def _contents(self, cid: bytes, level: int, chunks: bytes) -> tuple[list[bytes], list[Content]]:
        """The data chunks that a page names, by the first 16 bytes of their cids, and the nodes.

        Both are held against what its parent says of them.

        No more of it goes into evidence.
        """
        where = f"page {cid.hex()[:16]}…"
        known = None if level else self._pages.get(cid)
        prefixes, nodes = self._read(cid, level, where) if known is None else (prefixes_in(known), [])
        if chunks_root_of(prefixes, [(one.cids, one.chunks) for one in nodes]) != chunks:
            raise Damaged(f"{where} contradicts what stands above it", object=where)
        return prefixes, nodes

    def _read(self, cid: bytes, level: int, where: str) -> tuple[list[bytes], list[Content]]:
        contents = glance_contents(self._getter.read(PackType.PAGE, cid), level, where)
        plain = b"".join([one.cids for one in contents if not one.chunks])
        nodes = [one for one in contents if one.chunks]
        if len(plain) % CID_BYTES or any(
            (len(one.cids), len(one.chunks), len(one.sizes)) != (CID_BYTES, DIGEST_BYTES, 1) for one in nodes
        ):
            raise Damaged(f"{where} contradicts what stands above it", object=where)
        return cid_prefixes(plain), nodes

    def _list(self, cid: bytes, level: int, size: int, chunks: bytes) -> Below:
        def opened() -> Opened | None:
            try:
                node = decode_list(self._getter.read(PackType.LIST, cid), level, size, "a chunk list")
                if level == 1:
                    return Opened(cid_prefixes(node.cids), [])
                below = zip(split_cids(node.cids), node.sizes, strict=True)
                return Opened(
                    [],
                    [
                        self._list(one, level - 1, length, self._root_of(one, level - 1, length))
                        for one, length in below
                    ],
                )
            except Damaged:
                return None

        return Below(cid[:CID_PREFIX_BYTES], chunks, opened)

    def _root_of(self, cid: bytes, level: int, size: int) -> bytes:
        """The chunks root of a list node, which nothing above it says."""
        node = decode_list(self._getter.read(PackType.LIST, cid), level, size, "a chunk list")
        if level == 1:
            return chunks_root(node.cids)
        below = zip(split_cids(node.cids), node.sizes, strict=True)
        return chunks_root(b"", [(one, self._root_of(one, level - 1, length)) for one, length in below])


def _joined(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces of evidence, as chunks of about one size."""
    waiting: list[bytes] = []
    size = 0
    for piece in pieces:
        waiting.append(piece)
        size += len(piece)
        if size >= EVIDENCE_CHUNK_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _places(packs: Iterable[tuple[bytes, int]], start: int, stop: int) -> Iterator[DraftPlace]:
    """Where chunks from one number to another lie, in packs of so many each."""
    first = 0
    for name, count in packs:
        begin, end = max(start, first), min(stop, first + count)
        if begin < end:
            yield DraftPlace(name, begin - first, end - begin)
        first += count
