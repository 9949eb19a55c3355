"""What can still be read from one pack: blob by blob, whatever has become of the rest of it.

A pack that is not whole may have lost its footer with its end; then the client index says where its blobs are. What
comes out is verified chunk by chunk, as on every read: never wrong bytes.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from artifactstore.backend.base import Backend
from artifactstore.content.packs import ref_of
from artifactstore.crypto.hashing import keyed_blake3
from artifactstore.errors import Damaged, ObjectMissing, ObjectTooLarge
from artifactstore.format.limits import CID_PREFIX_BYTES, PACK_BYTES_MAX
from artifactstore.format.pack import END, trailer_length
from artifactstore.format.segment import Location
from artifactstore.index.environment import Environment
from artifactstore.index.tables import StoredPack, rows_in
from artifactstore.keyring.keyring import Keyring
from artifactstore.pack.reader import BlobOpener, PackRef, open_contents


class FoundBlob(NamedTuple):
    """One blob of a pack.

    Attributes:
        ordinal: Its ordinal.
        chunks: The chunks in it, verified: cid and bytes; none where the blob does not open or holds others.
    """

    ordinal: int
    chunks: list[tuple[bytes, memoryview]]


def blobs_of(
    backend: Backend, keyring: Keyring, environment: Environment, pack: StoredPack
) -> Iterator[FoundBlob]:
    """Every blob that a pack should have, with what can be read of it; none where the pack is missing.

    Args:
        backend: Where it lies.
        keyring: Opens it.
        environment: The client index, asked where its footer is gone.
        pack: The pack.
    """
    ref = ref_of(pack)
    data = _bytes_of(backend, ref)
    if data is None:
        return
    opener = BlobOpener(keyring.store_id, ref)
    key = keyring.cid_key(ref.type.name.lower())
    places = _places(data, keyring, environment, pack, ref)
    for ordinal, group in groupby(places, key=lambda row: row[1].ordinal):
        yield FoundBlob(ordinal, _opened(data, opener, key, list(group)))


def _bytes_of(backend: Backend, ref: PackRef) -> memoryview | None:
    try:
        return memoryview(backend.get(ref.name, limit_bytes=PACK_BYTES_MAX))
    except ObjectMissing:
        return None
    except ObjectTooLarge:
        return memoryview(backend.get_range(ref.name, 0, ref.size))


def _places(
    data: memoryview, keyring: Keyring, environment: Environment, pack: StoredPack, ref: PackRef
) -> list[tuple[bytes, Location]]:
    """Where each chunk lies, by its cid or what is known of it; in the order of the blobs."""
    try:
        trailer_bytes, footer_bytes = trailer_length(data[-END.size :], ref.name)
        at = len(data) - trailer_bytes
        chunks = open_contents(data[at - footer_bytes : at], data[at:], keyring.store_id, ref)
    except Damaged:
        with environment.read() as txn:
            return sorted(rows_in(txn, pack.number), key=lambda row: (row[1].ordinal, row[1].start))
    return [(one.cid, Location(pack.number, one.ordinal, *one.blob, one.start, one.length)) for one in chunks]


def _opened(
    data: memoryview, opener: BlobOpener, key: bytes, rows: Sequence[tuple[bytes, Location]]
) -> list[tuple[bytes, memoryview]]:
    """The chunks of a blob; none unless all of them are what their cids name."""
    at = rows[0][1]
    try:
        raw = memoryview(
            opener.open(data[at.offset : at.offset + at.length], at.ordinal, at.codec, at.raw_length)
        )
    except Damaged:
        return []
    found = []
    for known, place in rows:
        chunk = raw[place.start : place.start + place.span]
        cid = keyed_blake3(key, chunk)
        if cid[: len(known)] != known[: len(cid)] or len(known) < CID_PREFIX_BYTES:
            return []
        found.append((cid, chunk))
    return found
