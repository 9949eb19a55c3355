"""Which chunk locations an index has not loaded yet, and where on the backend they can be looked up one by one.

A client starts from the packs and the catalog of a state; the index packs that hold its chunk locations are noted as
*unloaded*. An index without unloaded packs is complete: a chunk that it does not know is not in the store. Rows that
are looked up meanwhile are kept, and the packs whose footer was read are noted, so that nothing is fetched twice.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from artifactstore.format.coding import decoder_of, encode
from artifactstore.index.environment import ReadTransaction, WriteTransaction
from artifactstore.index.tables import FOOTERS, META

_UNLOADED: Final = b"unloaded"


class SegmentPlace(NamedTuple):
    """One segment of an unloaded index pack.

    Attributes:
        first: First prefix in it.
        cid: Its cid.
        ordinal: Its blob's position in the pack.
        offset: The sealed blob's first byte in the pack.
        length: The sealed blob's bytes.
        raw_length: The opened blob's bytes.
        codec: How the blob is compressed.
        start: The segment's first byte in the opened blob.
        span: The segment's bytes.
        loaded: Whether its rows are in the index.
    """

    first: bytes
    cid: bytes
    ordinal: int
    offset: int
    length: int
    raw_length: int
    codec: int
    start: int
    span: int
    loaded: bool = False


_decode_names = decoder_of(list[bytes], "the unloaded index packs")
_decode_places = decoder_of(list[SegmentPlace], "the segments of an index pack")


def unloaded(txn: ReadTransaction) -> list[bytes]:
    """Names of the index packs whose rows are not all in the index; none when it is complete."""
    data = txn.get(META, _UNLOADED)
    return [] if data is None else _decode_names(data, "index")


def set_unloaded(txn: WriteTransaction, names: Sequence[bytes]) -> None:
    """Say which index packs are not loaded; with the last of them, what was noted of footers goes too."""
    if names:
        txn.put(META, _UNLOADED, encode(list(names)))
    elif txn.delete(META, _UNLOADED):
        txn.clear(FOOTERS)


def loaded(txn: WriteTransaction, name: bytes) -> None:
    """Note that all rows of an index pack are in the index."""
    names = unloaded(txn)
    if name in names:
        txn.delete(FOOTERS, name)
        set_unloaded(txn, [other for other in names if other != name])


def footer_read(txn: ReadTransaction, name: bytes) -> bool:
    """Whether the footer of a pack was read since the index began."""
    return txn.get(FOOTERS, name) is not None


def note_footer(txn: WriteTransaction, name: bytes, places: Iterable[SegmentPlace] = ()) -> None:
    """Note that a pack's footer was read; of an index pack, where its segments lie."""
    txn.put(FOOTERS, name, encode(list(places)))


def segment_places(txn: ReadTransaction, name: bytes) -> list[SegmentPlace]:
    """Where the segments of an index pack lie; empty as long as its footer was not read."""
    data = txn.get(FOOTERS, name)
    return [] if data is None else _decode_places(data, "index")
