"""Cids that stand one after another are taken apart where each begins."""

from hypothesis import given
from hypothesis import strategies as st

from artifactstore.format.cids import cid_prefixes, prefixes_in, split_cids


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=200))
def test_each_comes_back_whole_and_by_its_beginning(cids: list[bytes]) -> None:
    """Also where there are more than are taken apart at a time."""
    joined = b"".join(cids)
    assert split_cids(joined) == cids
    assert cid_prefixes(joined) == [cid[:16] for cid in cids]
    assert prefixes_in(b"".join(cid_prefixes(joined))) == cid_prefixes(joined)
