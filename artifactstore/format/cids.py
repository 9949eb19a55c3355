"""Taking apart cids that stand one after another, as pages, lists and footers hold them."""

from itertools import chain
from struct import Struct
from typing import Final

from artifactstore.format.limits import CID_BYTES, CID_PREFIX_BYTES

# 64 at a time: a third of the time of slices.
_CIDS: Final = Struct(f"{CID_BYTES}s" * 64)
_FIRST_PARTS: Final = Struct(f"{CID_PREFIX_BYTES}s{CID_BYTES - CID_PREFIX_BYTES}x" * 64)
_PREFIXES: Final = Struct(f"{CID_PREFIX_BYTES}s" * 64)


def split_cids(joined: bytes) -> list[bytes]:
    """Cut concatenated cids apart."""
    return _taken(joined, _CIDS, CID_BYTES, CID_BYTES)


def cid_prefixes(joined: bytes) -> list[bytes]:
    """The first 16 bytes of each of some concatenated cids."""
    return _taken(joined, _FIRST_PARTS, CID_BYTES, CID_PREFIX_BYTES)


def prefixes_in(joined: bytes) -> list[bytes]:
    """Cut concatenated first 16 bytes of cids apart."""
    return _taken(joined, _PREFIXES, CID_PREFIX_BYTES, CID_PREFIX_BYTES)


def _taken(joined: bytes, many: Struct, step: int, size: int) -> list[bytes]:
    whole = len(joined) - len(joined) % many.size
    found = list(chain.from_iterable(many.iter_unpack(joined[:whole])))
    found += [joined[at : at + size] for at in range(whole, len(joined), step)]
    return found
