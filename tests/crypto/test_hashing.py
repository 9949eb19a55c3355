"""Hashes: published answers, keyed and plain, whole and in steps."""

from artifactstore.crypto.hashing import Blake3, Sha256, blake3, keyed_blake3, sha256


def test_sha256_known_answer() -> None:
    """FIPS 180 says what `abc` hashes to."""
    assert sha256(b"abc").hex() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_blake3_known_answers() -> None:
    """The answers of BLAKE3's own test vectors for 1,025 bytes, plain and keyed."""
    data = bytes(i % 251 for i in range(1025))
    assert blake3(data).hex() == "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"
    keyed = keyed_blake3(b"whats the Elvish word for friend", data)
    assert keyed.hex() == "357dc55de0c7e382c900fd6e320acc04146be01db6a8ce7210b7189bd664ea69"


def test_steps_equal_the_whole() -> None:
    """Hashing in steps gives what hashing at once gives, for every kind of buffer."""
    data = bytes(range(256)) * 40
    stepped, also = Blake3(), Sha256()
    for at in range(0, len(data), 1000):
        stepped.update(data[at : at + 1000])
        also.update(data[at : at + 1000])
    assert (stepped.digest(), also.digest()) == (blake3(memoryview(data)), sha256(bytearray(data)))
