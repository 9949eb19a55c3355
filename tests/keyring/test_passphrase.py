"""Passphrase slots: the right words give the key, nothing else does, and no store makes a client take more memory."""

import unicodedata
from typing import Any

import msgspec
import pytest

from artifactstore.clock import SystemRandomness
from artifactstore.errors import Damaged, UsageError
from artifactstore.format.keys import (
    ARGON_MEMORY_KIB_MAX,
    ARGON_MEMORY_KIB_MIN,
    KeysObject,
    SlotKey,
    keys_object_name,
)
from artifactstore.format.keys import decode_keys as decode
from artifactstore.keyring import passphrase
from artifactstore.keyring.keyring import create_secrets, make_keys_object
from artifactstore.keyring.passphrase import checked_passphrase, pair_by_passphrase, passphrase_member

STORE = b"s" * 32
WORDS = "Gr\u00fc\u00dfe an alle"
MEMBER = passphrase_member(WORDS, STORE, SystemRandomness(), memory_kib=ARGON_MEMORY_KIB_MIN)


def slot() -> SlotKey:
    data = make_keys_object(STORE, 0, create_secrets(SystemRandomness()), [MEMBER])
    keys: KeysObject = decode(data, keys_object_name(data))
    return keys.slots[0]


def test_the_passphrase_gives_the_private_key() -> None:
    """However the keyboard composes its letters; and no other words do."""
    pair = pair_by_passphrase(slot(), STORE, WORDS)
    assert pair is not None
    assert pair.public == MEMBER.public
    assert pair_by_passphrase(slot(), STORE, unicodedata.normalize("NFD", WORDS)) == pair
    assert pair_by_passphrase(slot(), STORE, WORDS.lower()) is None


def test_a_wrapped_key_belongs_to_its_store_and_public_key() -> None:
    """Moved to another store or beside another public key it opens nothing, with the right words too."""
    other = passphrase_member("something else", STORE, SystemRandomness(), memory_kib=ARGON_MEMORY_KIB_MIN)
    assert pair_by_passphrase(slot(), b"o" * 32, WORDS) is None
    swapped = msgspec.structs.replace(slot(), public_key=other.public)
    assert pair_by_passphrase(swapped, STORE, WORDS) is None


@pytest.mark.parametrize(
    "change",
    [
        {"memory": ARGON_MEMORY_KIB_MIN - 1},
        {"memory": ARGON_MEMORY_KIB_MAX + 1},
        {"memory": 1 << 62},
        {"passes": 0},
        {"passes": 17},
        {"lanes": 0},
        {"lanes": 17},
        {"lanes": b"4"},
        {"salt": b"short"},
        {"salt": 16},
        {"commitment": b""},
        {"more": 1},
    ],
    ids=str,
)
def test_parameters_out_of_bounds_are_refused_before_memory_is_taken(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a floor nor a ceiling can be moved by who writes the store: nothing is derived."""
    monkeypatch.setattr(passphrase, "Argon2id", None)
    names = ("salt", "passes", "lanes", "memory", "commitment")
    parameters = {**dict(zip(names, MEMBER.parameters, strict=True)), **change}
    bad = msgspec.structs.replace(slot(), parameters=tuple(parameters.values()))
    with pytest.raises(Damaged, match="out of bounds"):
        pair_by_passphrase(bad, STORE, WORDS)


def test_a_commitment_that_does_not_fit_opens_nothing() -> None:
    """The commitment is compared first: a wrapped key that opens does not make up for it."""
    salt, passes, lanes, memory, commitment = MEMBER.parameters
    assert isinstance(commitment, bytes)
    other = bytes([commitment[0] ^ 1]) + commitment[1:]
    bad = msgspec.structs.replace(slot(), parameters=(salt, passes, lanes, memory, other))
    assert pair_by_passphrase(bad, STORE, WORDS) is None


@pytest.mark.parametrize("words", ["", "seven77", "x" * 5000])
def test_a_passphrase_that_protects_nothing_is_refused(words: str) -> None:
    """Too short to resist, or longer than a client would read."""
    with pytest.raises(UsageError):
        checked_passphrase(words)
    assert checked_passphrase("eight888") == "eight888"
