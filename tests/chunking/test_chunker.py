"""Cutting by content: bounds, stability under edits, and buffers that end anywhere."""

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.chunking.chunker import GENERAL, WEIGHTS, Chunker, Profile, profile_of
from artifactstore.errors import Unsupported
from tests.stores import noise

DATA = noise(6 << 20, seed=1)
SEED = 0x1234_5678_9ABC_DEF0 & ((1 << 63) - 1)


def cut_whole(data: bytes, profile: Profile, seed: int = SEED) -> list[bytes]:
    return [data[start:end] for start, end in Chunker(seed).cut(data, profile, last=True)]


@pytest.mark.parametrize("profile", [GENERAL, WEIGHTS], ids=lambda profile: profile.name)
def test_chunks_keep_the_bounds_and_every_byte(profile: Profile) -> None:
    """No chunk is longer than the maximum, none but the last shorter than the minimum, and nothing is lost."""
    chunks = cut_whole(DATA, profile)
    assert b"".join(chunks) == DATA
    assert all(profile.minimum <= len(chunk) <= profile.maximum for chunk in chunks[:-1])
    assert profile.average / 2 < len(DATA) / len(chunks) < profile.average * 2


def test_an_inserted_byte_moves_few_cuts() -> None:
    """Cuts follow content, so that an insertion costs a few chunks and not the rest of the file."""
    edited = DATA[: 2 << 20] + b"!" + DATA[2 << 20 :]
    old, new = set(cut_whole(DATA, GENERAL)), cut_whole(edited, GENERAL)
    assert len([chunk for chunk in new if chunk not in old]) <= 4


def test_another_seed_cuts_elsewhere() -> None:
    """Cuts don't tell an observer which known file this is: they depend on the store's secret."""
    ends = {end for _, end in Chunker(SEED).cut(DATA, GENERAL, last=True)}
    others = {end for _, end in Chunker(SEED ^ 2).cut(DATA, GENERAL, last=True)}
    assert len(ends & others) < len(ends) / 4


def test_zeros_are_cut_at_the_maximum() -> None:
    """Data without features is cut in equal pieces, so that holes deduplicate against each other."""
    chunks = cut_whole(bytes(4 << 20), GENERAL)
    assert len({len(chunk) for chunk in chunks[:-1]}) == 1


def test_nothing_has_no_chunks() -> None:
    """An empty file needs no chunk."""
    assert Chunker(SEED).cut(b"", GENERAL, last=True) == []


@given(st.lists(st.integers(GENERAL.maximum + 1, 2 << 20), min_size=1, max_size=4))
def test_cuts_do_not_depend_on_how_a_file_was_read(sizes: list[int]) -> None:
    """Whatever the buffers, the chunks are those of the file as a whole."""
    chunker, chunks, carried, at = Chunker(SEED), [], b"", 0
    data = DATA[: 4 << 20]
    for size in [*sizes, len(data)]:
        fresh = data[at : at + size]
        at += len(fresh)
        buffer, last = carried + fresh, at >= len(data)
        cuts = chunker.cut(buffer, GENERAL, last=last)
        chunks += [buffer[start:end] for start, end in cuts]
        carried = buffer[cuts[-1][1] if cuts else 0 :]
        if last:
            break
    assert carried == b""
    assert chunks == cut_whole(data, GENERAL)


@pytest.mark.parametrize(
    ("head", "profile"),
    [
        (b"", GENERAL),
        (b"a,b\n1,2\n", GENERAL),
        (b"PAR1", GENERAL),
        (b"PK\x03\x04" + bytes(26) + b"word/document.xml", GENERAL),
        (b"GGUF\x03\0\0\0", WEIGHTS),
        (b"\x93NUMPY\x01\x00", WEIGHTS),
        (b"\x89HDF\r\n\x1a\n", WEIGHTS),
        ((1000).to_bytes(8, "little") + b'{"__metadata__":', WEIGHTS),
        (b"PK\x03\x04" + bytes(26) + b"archive/data.pkl", WEIGHTS),
    ],
)
def test_the_profile_follows_the_magic_bytes(head: bytes, profile: Profile) -> None:
    """Tensor files get large chunks, everything else small ones; names and sizes don't count."""
    assert profile_of(head) is profile


def test_a_missing_compiled_module_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the compiled cutter a push would take a hundred times as long: refused, with the way out."""
    monkeypatch.setitem(sys.modules, "pyfastcdc.cy", None)
    with pytest.raises(Unsupported, match="compiled") as caught:
        Chunker(SEED)
    assert "install" in caught.value.next_step
