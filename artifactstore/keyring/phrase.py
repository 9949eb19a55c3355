"""Recovery phrases: 160 random bits to be printed and put away, from which a slot key follows.

The text is 36 characters in six groups, in Crockford's base32 (no I, L, O, U; case and what separates the groups don't
matter; I and L are read as 1, O as 0): 32 characters of secret, then 4 of a checksum, so that a slip of the pen is told
from a phrase of another store before anything is tried. Nobody can guess 160 bits, so the private key is derived with
HKDF and needs neither Argon2's memory nor anything kept in the store. Base32 rather than a list of words: no list in
one language to be kept the same for ever, and half the length on paper.
"""

import re
from typing import Final

from artifactstore.clock import Randomness
from artifactstore.crypto.derive import hkdf_sha256
from artifactstore.crypto.hashing import sha256
from artifactstore.keyring.keyfile import KeyPair, pair_of

SECRET_BYTES: Final = 20
CHECKSUM_BITS: Final = 20
GROUP_CHARACTERS: Final = 6

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_BITS: Final = 5
_CHARACTERS: Final = (SECRET_BYTES * 8 + CHECKSUM_BITS) // _BITS
_READ_AS: Final = str.maketrans("ILO", "110")
_TEXT_CHARACTERS_MAX: Final = 256
_INFO: Final = b"artifactstore recovery key"


def new_phrase(randomness: Randomness) -> str:
    """A phrase that nobody has seen before."""
    secret = randomness.token(SECRET_BYTES)
    number = int.from_bytes(secret, "big") << CHECKSUM_BITS | _checksum(secret)
    text = "".join(_ALPHABET[number >> _BITS * at & 31] for at in reversed(range(_CHARACTERS)))
    return "-".join(text[at : at + GROUP_CHARACTERS] for at in range(0, _CHARACTERS, GROUP_CHARACTERS))


def looks_like_phrase(text: str) -> bool:
    """Whether somebody who typed `text` may have meant a phrase, rightly copied or not."""
    return _bare(text) is not None


def pair_of_phrase(text: str) -> KeyPair | None:
    """The slot key of a phrase, or None when `text` is none or was copied wrongly."""
    bare = _bare(text)
    if bare is None:
        return None
    number = 0
    for character in bare:
        number = number << _BITS | _ALPHABET.index(character)
    secret = (number >> CHECKSUM_BITS).to_bytes(SECRET_BYTES, "big")
    if number & (1 << CHECKSUM_BITS) - 1 != _checksum(secret):
        return None
    return pair_of(hkdf_sha256(secret, salt=b"", info=_INFO))


def _bare(text: str) -> str | None:
    if len(text) > _TEXT_CHARACTERS_MAX:
        return None
    bare = re.sub(r"[\s-]", "", text).upper().translate(_READ_AS)
    return bare if len(bare) == _CHARACTERS and all(each in _ALPHABET for each in bare) else None


def _checksum(secret: bytes) -> int:
    return int.from_bytes(sha256(_INFO + secret)[:4], "big") >> 32 - CHECKSUM_BITS
