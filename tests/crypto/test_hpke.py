"""HPKE: an independent reading of RFC 9180, its own key derivation answer, and no altered byte opens."""

import pytest
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.clock import SystemRandomness
from artifactstore.crypto.aead import SealBroken
from artifactstore.crypto.hpke import generate_pair, open_with, public_of, seal_to

PRIVATE = bytes(range(1, 33))
PUBLIC = public_of(PRIVATE)


def _hmac(key: bytes, data: bytes) -> bytes:
    mac = hmac.HMAC(key or bytes(32), hashes.SHA256())
    mac.update(data)
    return mac.finalize()


def _expand(key: bytes, info: bytes, size: int) -> bytes:
    out, block, n = b"", b"", 1
    while len(out) < size:
        block = _hmac(key, block + info + bytes([n]))
        out += block
        n += 1
    return out[:size]


def _labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    return _hmac(salt, b"HPKE-v1" + suite + label + ikm)


def _labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, size: int) -> bytes:
    return _expand(prk, size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info, size)


def open_by_the_book(
    private: bytes, sealed: bytes, info: bytes, *, aead: int, key_size: int, aad: bytes = b""
) -> bytes:
    """RFC 9180, sections 4.1, 5.1 and 5.2, base mode, first message, written from the text."""
    enc, ciphertext = sealed[:32], sealed[32:]
    kem = b"KEM" + (0x20).to_bytes(2, "big")
    secret = X25519PrivateKey.from_private_bytes(private)
    dh = secret.exchange(X25519PublicKey.from_public_bytes(enc))
    eae = _labeled_extract(kem, b"", b"eae_prk", dh)
    shared = _labeled_expand(kem, eae, b"shared_secret", enc + secret.public_key().public_bytes_raw(), 32)
    suite = b"HPKE" + b"".join(i.to_bytes(2, "big") for i in (0x20, 0x01, aead))
    psk_id = _labeled_extract(suite, b"", b"psk_id_hash", b"")
    context = b"\0" + psk_id + _labeled_extract(suite, b"", b"info_hash", info)
    key_secret = _labeled_extract(suite, shared, b"secret", b"")
    key = _labeled_expand(suite, key_secret, b"key", context, key_size)
    nonce = _labeled_expand(suite, key_secret, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, ciphertext, aad)


def test_rfc_9180_key_pair() -> None:
    """Appendix A.1: the recipient's private key has the public key that the RFC prints."""
    private = bytes.fromhex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8")
    public = "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d"
    assert public_of(private).hex() == public


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_seals_are_what_the_rfc_says(plaintext: bytes, info: bytes) -> None:
    """What is sealed here opens for a reader written from the RFC alone, and here."""
    sealed = seal_to(PUBLIC, plaintext, info)
    assert open_by_the_book(PRIVATE, sealed, info, aead=0x02, key_size=32) == plaintext
    assert open_with(PRIVATE, sealed, info) == plaintext


def test_the_reader_opens_the_vector_of_the_rfc() -> None:
    """The reader above opens the first message of appendix A.1.1, so it reads HPKE as the RFC means it.

    The RFC has no vector for X25519 with AES-256-GCM; A.1 differs from our suite in the AEAD alone.
    """
    sealed = bytes.fromhex(
        "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"
        "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a9"
        "6d8770ac83d07bea87e13c512a"
    )
    private = bytes.fromhex("4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8")
    info = bytes.fromhex("4f6465206f6e2061204772656369616e2055726e")
    opened = open_by_the_book(private, sealed, info, aead=0x01, key_size=16, aad=b"Count-0")
    assert opened == b"Beauty is truth, truth beauty"


@given(st.binary(max_size=40), st.data())
def test_any_change_breaks_the_seal(plaintext: bytes, drawn: st.DataObject) -> None:
    """An altered, cut or extended seal, another key or another context opens nothing."""
    sealed = seal_to(PUBLIC, plaintext, b"info")
    at = drawn.draw(st.integers(0, len(sealed) - 1))
    # The top bit of an X25519 public key is ignored by its definition, but the key schedule hashes all of it.
    flip = drawn.draw(st.integers(1, 255))
    altered = sealed[:at] + bytes([sealed[at] ^ flip]) + sealed[at + 1 :]
    other, _ = generate_pair(SystemRandomness())
    for private, bad, info in (
        (PRIVATE, altered, b"info"),
        (PRIVATE, sealed[:at], b"info"),
        (PRIVATE, sealed + b"\0", b"info"),
        (PRIVATE, sealed, b"inf"),
        (other, sealed, b"info"),
    ):
        with pytest.raises(SealBroken):
            open_with(private, bad, info)


def test_bad_public_keys_are_refused() -> None:
    """A key of small order, which would let anybody read, or of another length can't be sealed to."""
    for public in (bytes(32), b"\x01" + bytes(31), bytes(31)):
        with pytest.raises(SealBroken):
            seal_to(public, b"secret", b"")
