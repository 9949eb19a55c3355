"""AES-256-GCM: known answers, and no altered, cut or extended byte ever opens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.crypto.aead import Aead, SealBroken, counter_nonce

KEY = bytes(range(32))


def test_known_answer() -> None:
    """The cipher is AES-256-GCM: the second and third cases of the GCM paper for 256-bit keys."""
    cipher = Aead(bytes(32))
    assert cipher.seal(bytes(12), b"", b"").hex() == "530f8afbc74536b9a963b4f1c4cb738b"
    sealed = cipher.seal(bytes(12), bytes(16), b"")
    assert sealed.hex() == "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"


@given(st.binary(max_size=300), st.binary(max_size=40), st.integers(0, 2**96 - 1))
def test_round_trip(data: bytes, aad: bytes, n: int) -> None:
    """What is sealed opens, whichever way it was sealed and whatever kind of buffer held it."""
    cipher, nonce = Aead(KEY), counter_nonce(n)
    sealed = cipher.seal(nonce, data, aad)
    out = bytearray(len(data) + 16 + 7)
    assert cipher.seal_into(nonce, memoryview(data), aad, memoryview(out)) == len(data) + 16
    assert (bytes(out[: len(sealed)]), bytes(out[len(sealed) :])) == (sealed, bytes(7))
    assert cipher.open(nonce, memoryview(sealed), aad) == data


@given(st.binary(max_size=100), st.data())
def test_any_change_breaks_the_seal(data: bytes, drawn: st.DataObject) -> None:
    """An altered, cut or extended seal raises and gives nothing."""
    cipher = Aead(KEY)
    sealed = cipher.seal(counter_nonce(1), data, b"aad")
    at = drawn.draw(st.integers(0, len(sealed) - 1))
    flip = drawn.draw(st.integers(1, 255))
    altered = sealed[:at] + bytes([sealed[at] ^ flip]) + sealed[at + 1 :]
    for bad in (altered, sealed[:at], sealed + b"\0"):
        with pytest.raises(SealBroken):
            cipher.open(counter_nonce(1), bad, b"aad")


def test_context_is_bound() -> None:
    """Another key, nonce or associated data does not open a seal."""
    sealed = Aead(KEY).seal(counter_nonce(1), b"data", b"aad")
    for key, n, aad in ((bytes(32), 1, b"aad"), (KEY, 2, b"aad"), (KEY, 1, b"aae"), (KEY, 1, b"")):
        with pytest.raises(SealBroken):
            Aead(key).open(counter_nonce(n), sealed, aad)


def test_counter_nonce_is_big_endian_and_bounded() -> None:
    """Nonces count up in the last byte and never wrap round to one used before."""
    assert counter_nonce(258) == bytes(10) + b"\x01\x02"
    assert counter_nonce(2**96 - 1) == b"\xff" * 12
    for n in (-1, 2**96):
        with pytest.raises(ValueError, match="out of range"):
            counter_nonce(n)


def test_sizes_are_checked() -> None:
    """A key of another length, or a buffer too short for the seal, is refused."""
    with pytest.raises(ValueError, match="32 bytes, not 16"):
        Aead(bytes(16))
    with pytest.raises(ValueError, match="21 bytes"):
        Aead(KEY).seal_into(bytes(12), b"hello", b"", memoryview(bytearray(20)))
