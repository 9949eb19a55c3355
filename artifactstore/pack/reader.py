"""Opening packs: blobs at known places, and the footer of a pack that is not in the index.

Invariant 15: wrong type, store, codec or position fails to open. Whoever opens a chunk recomputes its cid.
"""

from collections.abc import Iterable
from functools import partial
from typing import Final, NamedTuple

from artifactstore.backend.base import Backend, ByteRange, answer_of, outcome_of
from artifactstore.compression import CodecError, decompress
from artifactstore.crypto.aead import Aead, SealBroken, counter_nonce
from artifactstore.crypto.hashing import sha256
from artifactstore.errors import (
    ArtifactStoreError,
    Damaged,
    ObjectMissing,
    ObjectTooLarge,
    TruncatedRead,
)
from artifactstore.format.limits import (
    BLOB_RAW_BYTES_MAX,
    CID_BYTES,
    CID_PREFIX_BYTES,
    PACK_BYTES_MAX,
    TAG_BYTES,
)
from artifactstore.format.pack import (
    END,
    FOOTER_NONCE,
    FOOTER_ORDINAL,
    HEADER,
    PackedBlob,
    PackedChunk,
    PackType,
    blob_aad,
    check_header,
    decode_footer,
    trailer_fits,
    trailer_length,
)
from artifactstore.pack.names import pack_name

# What MessagePack takes at most of a footer and trailer: a chunk's prefix in the trailer, its cid and length, and a
# blob of its own; and once, the heads of the arrays, the tag and the trailer's end.
_TAIL_BYTES_PER_CHUNK: Final = CID_PREFIX_BYTES + (CID_BYTES + 5) + (1 + 5 + 5 + 2 + 5)
_TAIL_BYTES: Final = 1 + 5 + 5 + 5 + TAG_BYTES + END.size


class PackRef(NamedTuple):
    """A registered pack and the key that opens it."""

    sha256: bytes
    type: PackType
    size: int
    key: bytes

    @property
    def name(self) -> str:
        """The object's name on the backend."""
        return pack_name(self.sha256)


class BlobOpener:
    """Opens the blobs of one pack.

    Thread-safe.
    """

    def __init__(self, store_id: bytes, pack: PackRef) -> None:
        self._store_id = store_id
        self._pack = pack
        self._aead = Aead(pack.key)

    def open(self, sealed: bytes | memoryview, ordinal: int, codec: int, raw_length: int) -> bytes:
        """Return the raw bytes of one blob.

        Raises:
            Damaged: It was altered, or is not the blob that the index says.
        """
        payload = self.unseal(sealed, ordinal, codec, raw_length)
        try:
            return decompress(codec, payload, raw_length)
        except CodecError as error:
            raise self._altered(ordinal) from error

    def unseal(self, sealed: bytes | memoryview, ordinal: int, codec: int, raw_length: int) -> bytes:
        """Return the bytes of one blob compressed as they were sealed.

        Raises:
            Damaged: It was altered, or is not the blob that the index says.
        """
        if raw_length > BLOB_RAW_BYTES_MAX:
            # A writer with the key can seal a bomb: an index row's length is bounded by nothing else.
            name = self._pack.name
            raise Damaged(f"{name}: blob {ordinal} declares {raw_length} bytes", object=name, blob=ordinal)
        aad = blob_aad(self._store_id, self._pack.type, ordinal, codec, raw_length)
        try:
            return self._aead.open(counter_nonce(ordinal), sealed, aad)
        except SealBroken as error:
            raise self._altered(ordinal) from error

    def _altered(self, ordinal: int) -> Damaged:
        name = self._pack.name
        return Damaged(f"{name}: blob {ordinal} was altered or swapped", object=name, blob=ordinal)


def read_contents(backend: Backend, store_id: bytes, pack: PackRef) -> list[PackedChunk]:
    """Read a pack's footer and trailer in two requests and return its chunks.

    Raises:
        Damaged: The pack is missing, cut, altered or of another store.
    """
    name = pack.name
    try:
        end = backend.get_range(name, pack.size - END.size, END.size)
        trailer_bytes, footer_bytes = trailer_length(end, name)
        tail_bytes = trailer_bytes + footer_bytes
        if tail_bytes + HEADER.size > pack.size:
            raise Damaged(f"{name} declares a footer longer than itself", object=name)
        tail = backend.get_range(name, pack.size - tail_bytes, tail_bytes)
    except (ObjectMissing, TruncatedRead) as error:
        raise Damaged(f"{name} is missing or was cut short", object=name) from error
    return open_contents(tail[:footer_bytes], tail[footer_bytes:], store_id, pack)


def open_contents(
    footer: bytes | memoryview, trailer: bytes | memoryview, store_id: bytes, pack: PackRef
) -> list[PackedChunk]:
    """Open a sealed footer, hold it against the trailer (invariant 10), and return the pack's chunks.

    Raises:
        Damaged: Either was altered, or they disagree.
    """
    return _chunks(_open_footer(footer, trailer, store_id, pack))


def _open_footer(
    footer: bytes | memoryview, trailer: bytes | memoryview, store_id: bytes, pack: PackRef
) -> list[PackedBlob]:
    """The same, blob by blob."""
    name = pack.name
    aad = blob_aad(store_id, pack.type, FOOTER_ORDINAL, 0, len(footer) - TAG_BYTES)
    try:
        plain = Aead(pack.key).open(FOOTER_NONCE, footer, aad)
    except SealBroken as error:
        raise Damaged(f"{name}: the footer was altered", object=name) from error
    blobs = decode_footer(plain, pack.size - len(footer) - len(trailer), name)
    if not trailer_fits(trailer, b"".join([blob.cids for blob in blobs]), name):
        raise Damaged(f"{name}: trailer and footer disagree", object=name)
    return blobs


def _chunks(blobs: Iterable[PackedBlob]) -> list[PackedChunk]:
    return [chunk for blob in blobs for chunk in blob.chunks()]


def read_whole(backend: Backend, store_id: bytes, pack: PackRef) -> tuple[memoryview, list[PackedChunk]]:
    """Read a whole pack, verify its name, header, trailer and footer, and return (bytes, chunks).

    Raises:
        Damaged: It is missing, cut, altered or of another store.
    """
    return open_whole(outcome_of(partial(backend.get, pack.name, limit_bytes=PACK_BYTES_MAX)), store_id, pack)


def open_whole(
    fetched: bytes | ArtifactStoreError, store_id: bytes, pack: PackRef
) -> tuple[memoryview, list[PackedChunk]]:
    """Verify a pack that was asked for together with others, and return (bytes, chunks).

    Args:
        fetched: Its bytes, or the error that came instead.
        store_id: The store's id.
        pack: What it should be.

    Raises:
        Damaged: It is missing, cut, altered or of another store.
    """
    name = pack.name
    if isinstance(fetched, ObjectMissing | ObjectTooLarge | TruncatedRead):
        raise Damaged(f"{name} is missing or too large for a pack", object=name) from fetched
    data = memoryview(answer_of(fetched))
    if len(data) != pack.size or sha256(data) != pack.sha256:
        raise Damaged(
            f"{name} was cut or altered: its bytes do not hash to its name",
            object=name,
            expected=pack.size,
            found=len(data),
        )
    check_header(data, store_id, pack.type, name)
    return data, _chunks(_open_end(data, store_id, pack))


def tail_range(pack: PackRef, count: int, extra: int = 0) -> ByteRange:
    """The range at a pack's end that holds footer and trailer of `count` chunks, however they lie in blobs.

    Args:
        pack: The pack.
        count: Its chunks, as registered.
        extra: Bytes before the footer that are wanted too.
    """
    length = _TAIL_BYTES + count * _TAIL_BYTES_PER_CHUNK + extra
    start = max(0, pack.size - length)
    return ByteRange(pack.name, start, pack.size - start)


def open_tail(
    fetched: bytes | ArtifactStoreError, store_id: bytes, pack: PackRef
) -> tuple[memoryview, list[PackedChunk]]:
    """Open the footer in what `tail_range` fetched, and return (the bytes, the pack's chunks).

    Raises:
        Damaged: The pack is missing, cut or altered, or its footer is longer than any writer makes it.
    """
    tail = arrived(fetched, pack)
    return tail, _chunks(_open_end(tail, store_id, pack))


def open_blobs(fetched: bytes | ArtifactStoreError, store_id: bytes, pack: PackRef) -> list[PackedBlob]:
    """The same blob by blob, for who looks at few chunks one by one.

    Raises:
        Damaged: As `open_tail`.
    """
    return _open_end(arrived(fetched, pack), store_id, pack)


def arrived(fetched: bytes | ArtifactStoreError, pack: PackRef) -> memoryview:
    """A range of a pack that was asked for together with others.

    Raises:
        Damaged: The pack is missing or was cut short.
    """
    if isinstance(fetched, ObjectMissing | TruncatedRead):
        raise Damaged(f"{pack.name} is missing or was cut short", object=pack.name) from fetched
    return memoryview(answer_of(fetched))


def _open_end(data: memoryview, store_id: bytes, pack: PackRef) -> list[PackedBlob]:
    """Open footer and trailer at the end of `data`, which is a pack or the last part of one."""
    name = pack.name
    trailer_bytes, footer_bytes = trailer_length(data[-END.size :], name)
    at = len(data) - trailer_bytes
    if at < footer_bytes:
        raise Damaged(f"{name} declares a footer longer than its chunks need", object=name)
    return _open_footer(data[at - footer_bytes : at], data[at:], store_id, pack)
