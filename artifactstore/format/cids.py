"""Taking apart cids that stand one after another, as pages, lists and footers hold them."""

from itertools import chain
from struct import Struct
from typing import Final

from artifactstore.format.limits import CID_BYTES, CID_PREFIX_BYTES

_PREFIXES: Final = Struct(f"{CID_PREFIX_BYTES}s{CID_BYTES - CID_PREFIX_BYTES}x" * 64)


def split_cids(joined: bytes) -> list[bytes]:
    """Cut concatenated cids apart."""
    return [joined[at : at + CID_BYTES] for at in range(0, len(joined), CID_BYTES)]


def cid_prefixes(joined: bytes) -> list[bytes]:
    """The first 16 bytes of each of some concatenated cids."""
    # 64 at a time: a third of the time of slices.
    whole = len(joined) - len(joined) % _PREFIXES.size
    found = list(chain.from_iterable(_PREFIXES.iter_unpack(joined[:whole])))
    found += [joined[at : at + CID_PREFIX_BYTES] for at in range(whole, len(joined), CID_BYTES)]
    return found
