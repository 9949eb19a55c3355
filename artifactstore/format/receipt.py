"""Receipts as members keep them: a draft, and the evidence that it carries of which chunks a purged version held.

The evidence is the tree of the version's manifest without a word of paths: chunks by the first 16 bytes of their cids,
as in the clear trailers of packs, each marked as gone or shared. It gives the version's chunks root, to which the push
has committed; so the list is complete, as far as it goes. What lies below a shared node is shared and left out.
"""

import struct
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from hashlib import sha256
from itertools import compress
from typing import Annotated, Final, NamedTuple, Protocol

import msgspec
from msgspec import Meta

from artifactstore.errors import InvalidEvidence
from artifactstore.format.coding import Bytes16, Bytes32, Name, Number, Slot, TimeMs, decoder_of, encode
from artifactstore.format.commitment import hashes_of
from artifactstore.format.limits import (
    CID_PREFIX_BYTES,
    LIST_DEPTH_MAX,
    PAGE_LEVEL_MAX,
    REASON_CHARACTERS_MAX,
)
from artifactstore.format.operations import Manifest

RECEIPT_ID_BYTES: Final = 16
EVIDENCE_CHUNK_BYTES: Final = 1 << 20
PURGE_FIELDS: Final = ("number", "deleted", "reason", "requested-by")
_PURGE: Final = b"artifactstore purge v1\0"
_CHUNKS: Final = b"artifactstore chunks v1\0"
_COUNT: Final = struct.Struct(">I")
_ROOT_BYTES: Final = 32
# Of truth values as bytes: what they are in the base of two.
_DIGITS: Final = bytes.maketrans(b"\0\1", b"01")
_DEPTH_MAX: Final = PAGE_LEVEL_MAX + LIST_DEPTH_MAX + 2
_Text = Annotated[str, Meta(max_length=REASON_CHARACTERS_MAX)]

# What a node below is marked as.
SHARED: Final = 0
GONE: Final = 1
UNREAD: Final = 2


class Draft(msgspec.Struct, array_like=True, frozen=True):
    """What members need for a receipt, beside its evidence; the first chunk of a draft.

    Attributes:
        id: The receipt's, random.
        project: The project's name.
        name: The artifact's name.
        number: The version's.
        slot: Of the record that made the version.
        manifest: What the version held.
        version_salt: The salt of its push.
        salt: The salt of this purge.
        deleted_ms: When it was deleted, as the record says.
        reason: Why; may be empty.
        requested_by: Who asked for it; may be empty.
    """

    id: Bytes16
    project: Name
    name: Name
    number: Number
    slot: Slot
    manifest: Manifest
    version_salt: Bytes32
    salt: Bytes32
    deleted_ms: TimeMs
    reason: _Text
    requested_by: _Text


_decode_draft = decoder_of(Draft, "a receipt's draft")


def encode_draft(draft: Draft) -> bytes:
    """The bytes of a draft's first chunk."""
    return encode(draft)


def decode_draft(data: bytes, where: str) -> Draft:
    """Parse a draft's first chunk.

    Raises:
        Damaged: It is malformed.
    """
    return _decode_draft(data, where)


# --- the purge ------------------------------------------------------------------------------------------------


def purge_values(draft: Draft) -> dict[str, bytes]:
    """The fields of a purge's commitment."""
    return {
        "number": str(draft.number).encode(),
        "deleted": str(draft.deleted_ms).encode(),
        "reason": draft.reason.encode(),
        "requested-by": draft.requested_by.encode(),
    }


def purge_commitment(version: bytes, receipt_id: bytes, evidence: bytes, hashes: Sequence[bytes]) -> bytes:
    """What a sweep says in clear of a version that it purges.

    Args:
        version: The version's commitment.
        receipt_id: The receipt's id.
        evidence: SHA-256 of its evidence.
        hashes: What stands for each of `PURGE_FIELDS`.
    """
    return sha256(_PURGE + version + receipt_id + evidence + b"".join(hashes)).digest()


def purge_of(draft: Draft, version: bytes, evidence: bytes) -> bytes:
    """The commitment of a draft whose evidence has this SHA-256."""
    return purge_commitment(version, draft.id, evidence, hashes_of(purge_values(draft), draft.salt))


# --- evidence ---------------------------------------------------------------------------------------------------


class Below(NamedTuple):
    """A node of a manifest as the one above names it.

    Attributes:
        prefix: First 16 bytes of its cid.
        chunks: Its chunks root.
        open: Gives what it holds, where it is gone; None where it can't be read.
    """

    prefix: bytes
    chunks: bytes
    open: "Callable[[], Opened | None]"


class Opened(NamedTuple):
    """What a node holds.

    Attributes:
        prefixes: First 16 bytes of the cid of each data chunk.
        below: The nodes below it.
    """

    prefixes: Sequence[bytes]
    below: Sequence[Below]


class EvidenceReader(Protocol):
    """Told what evidence lists."""

    def gone(self, prefixes: Iterable[bytes]) -> None:
        """Chunks that only purged versions needed."""
        ...

    def shared(self, count: int) -> None:
        """So many chunks, or nodes with everything below, that others need too."""
        ...

    def unread(self) -> None:
        """A node that could not be read when its version was purged, so that what it holds is not listed."""
        ...


def evidence_of(node: Below, kept: Container[bytes], reader: EvidenceReader) -> Iterator[bytes]:
    """The evidence of a version in pieces, its root page first.

    Args:
        node: The root page.
        kept: Chunks that not only purged versions need, by the first 16 bytes of their cids.
        reader: Told what is listed.
    """
    if node.prefix in kept:
        reader.shared(1)
        yield node.prefix + bytes([SHARED]) + node.chunks
        return
    opened = node.open()
    if opened is None:
        reader.unread()
        yield node.prefix + bytes([UNREAD]) + node.chunks
        return
    gone = [prefix not in kept for prefix in opened.prefixes]
    # Bit 0 is the first one's; a page has hundreds, so that no loop goes over them.
    marks = int(bytes(reversed(gone)).translate(_DIGITS) or b"0", 2)
    reader.gone([node.prefix, *compress(opened.prefixes, gone)])
    reader.shared(gone.count(False))
    yield node.prefix + bytes([GONE]) + _COUNT.pack(len(gone)) + b"".join(opened.prefixes)
    yield marks.to_bytes(-(-len(gone) // 8), "little") + _COUNT.pack(len(opened.below))
    for one in opened.below:
        yield from evidence_of(one, kept, reader)


def read_evidence(data: bytes | memoryview, reader: EvidenceReader) -> bytes:
    """Parse evidence whole; return what the version's field `chunks` must be.

    Raises:
        InvalidEvidence: It is malformed.
    """
    parser = _Parser(memoryview(data), reader)
    prefix, root = parser.node(0)
    parser.end()
    return prefix + root


class _Parser:
    def __init__(self, data: memoryview, reader: EvidenceReader) -> None:
        self._data = data
        self._reader = reader
        self._at = 0

    def node(self, depth: int) -> tuple[bytes, bytes]:
        """The prefix and the chunks root of the next node."""
        if depth > _DEPTH_MAX:
            raise InvalidEvidence("the evidence is deeper than a manifest can be")
        prefix, mark = bytes(self._take(CID_PREFIX_BYTES)), self._take(1)[0]
        if mark in {SHARED, UNREAD}:
            if mark == SHARED:
                self._reader.shared(1)
            else:
                self._reader.unread()
            return prefix, bytes(self._take(_ROOT_BYTES))
        if mark != GONE:
            raise InvalidEvidence(f"the evidence has a node with mark {mark}")
        self._reader.gone([prefix])
        return prefix, self._opened(depth)

    def _opened(self, depth: int) -> bytes:
        (count,) = _COUNT.unpack(self._take(_COUNT.size))
        joined = bytes(self._take(count * CID_PREFIX_BYTES))
        marks = int.from_bytes(self._take(-(-count // 8)), "little")
        if marks >> count:
            raise InvalidEvidence("the evidence marks chunks that it does not list")
        starts = range(0, len(joined), CID_PREFIX_BYTES)
        self._reader.gone(joined[at : at + 16] for at in starts if marks >> at // CID_PREFIX_BYTES & 1)
        self._reader.shared(count - marks.bit_count())
        hashing = sha256(_CHUNKS + _COUNT.pack(count) + joined)
        for _ in range(_COUNT.unpack(self._take(_COUNT.size))[0]):
            prefix, root = self.node(depth + 1)
            hashing.update(prefix + root)
        return hashing.digest()

    def end(self) -> None:
        """Refuse bytes after the root."""
        if self._at != len(self._data):
            raise InvalidEvidence("the evidence has bytes beyond its end")

    def _take(self, size: int) -> memoryview:
        taken = self._data[self._at : self._at + size]
        if len(taken) != size:
            raise InvalidEvidence("the evidence was cut")
        self._at += size
        return taken
