"""Recovery phrases: what is printed reads back however it is copied, and a slip is told from another phrase."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.clock import SystemRandomness
from artifactstore.keyring.phrase import looks_like_phrase, new_phrase, pair_of_phrase

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def test_a_phrase_reads_back_as_people_copy_it() -> None:
    """Case, spaces and hyphens don't matter, nor do the letters that are taken for digits."""
    phrase = new_phrase(SystemRandomness())
    pair = pair_of_phrase(phrase)
    assert pair is not None
    copies = [phrase.lower(), phrase.replace("-", ""), f"  {phrase.replace('-', ' ')}\n"]
    copies += [phrase.replace("0", "O").replace("1", "l"), phrase.replace("0", "o").replace("1", "I")]
    assert [pair_of_phrase(copy) for copy in copies] == [pair] * len(copies)


def test_no_two_are_alike() -> None:
    """Each phrase is 160 fresh bits."""
    phrases = {new_phrase(SystemRandomness()) for _ in range(100)}
    assert len(phrases) == 100
    assert {len(phrase) for phrase in phrases} == {41}


@given(st.integers(0, 35), st.sampled_from(ALPHABET))
def test_a_wrong_character_is_found(at: int, character: str) -> None:
    """The checksum refuses a slip of the pen (one in a million slips by), and it still looks like a phrase."""
    bare = "000G40R40M30E209185GR38E1W8124GK1RAA"
    copy = bare[:at] + character + bare[at + 1 :]
    assert (pair_of_phrase(copy) is not None) == (copy == bare)
    assert looks_like_phrase(copy)


@pytest.mark.parametrize(
    "text", ["", "correct horse battery staple", "0" * 35, "0" * 37, "U" * 36, "0" * 100_000]
)
def test_what_is_no_phrase(text: str) -> None:
    """A passphrase is not mistaken for one."""
    assert not looks_like_phrase(text)
    assert pair_of_phrase(text) is None
