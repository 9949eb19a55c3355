"""Ed25519: the RFC's answer, and no altered signature, message or key verifies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.clock import SystemRandomness
from artifactstore.crypto.aead import SealBroken
from artifactstore.crypto.signing import SigningKey, verify


def test_rfc_8032() -> None:
    """The second test of RFC 8032, section 7.1."""
    key = SigningKey.from_bytes(
        bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    )
    assert key.public_bytes.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    assert key.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


@given(st.binary(max_size=100), st.data())
def test_any_change_is_refused(message: bytes, drawn: st.DataObject) -> None:
    """A signature verifies for its message and key only."""
    key = SigningKey.from_bytes(bytes(range(32)))
    signature = key.sign(message)
    verify(key.public_bytes, signature, message)
    at = drawn.draw(st.integers(0, 63))
    flip = drawn.draw(st.integers(1, 255))
    altered = signature[:at] + bytes([signature[at] ^ flip]) + signature[at + 1 :]
    other = SigningKey.generate(SystemRandomness())
    for public, bad, text in (
        (key.public_bytes, altered, message),
        (key.public_bytes, signature[:at], message),
        (key.public_bytes, signature + b"\0", message),
        (key.public_bytes, signature, message + b"\0"),
        (other.public_bytes, signature, message),
        (key.public_bytes[:31], signature, message),
    ):
        with pytest.raises(SealBroken):
            verify(public, bad, text)


def test_keys_keep_their_secret() -> None:
    """A key survives its bytes, is refused at another length and never shows its private half."""
    key = SigningKey.generate(SystemRandomness())
    assert SigningKey.from_bytes(key.private_bytes).public_bytes == key.public_bytes
    assert key.private_bytes.hex() not in repr(key)
    with pytest.raises(ValueError):
        SigningKey.from_bytes(bytes(31))
