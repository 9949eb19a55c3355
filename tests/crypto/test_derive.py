"""HKDF-SHA256: the answers of RFC 5869, and purposes that stay apart."""

from artifactstore.crypto.derive import hkdf_sha256


def test_rfc_5869() -> None:
    """Test cases 1 and 3 of the RFC, with and without a salt."""
    secret = b"\x0b" * 22
    with_salt = hkdf_sha256(secret, salt=bytes(range(13)), info=bytes(range(0xF0, 0xFA)), size=42)
    assert with_salt.hex() == (
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"
    )
    without = hkdf_sha256(secret, salt=b"", info=b"", size=42)
    assert without.hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    )


def test_every_input_matters() -> None:
    """Secret, salt and purpose each give another key of 32 bytes."""
    keys = {
        hkdf_sha256(b"a" * 32, salt=b"", info=b"x"),
        hkdf_sha256(b"b" * 32, salt=b"", info=b"x"),
        hkdf_sha256(b"a" * 32, salt=b"s", info=b"x"),
        hkdf_sha256(b"a" * 32, salt=b"", info=b"y"),
    }
    assert {len(key) for key in keys} == {32}
    assert len(keys) == 4
