"""Unlocking: secrets reach the members they were sealed to, and nothing opens out of its context."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore.clock import SystemRandomness
from artifactstore.crypto.aead import SealBroken
from artifactstore.crypto.derive import hkdf_sha256
from artifactstore.crypto.hpke import seal_to
from artifactstore.crypto.signing import verify
from artifactstore.errors import ArtifactStoreError, Damaged, PermissionRefused, WrongKey
from artifactstore.format.keys import SlotKind, decode_keys, encode_keys, keys_object_name
from artifactstore.keyring.keyfile import pair_of
from artifactstore.keyring.keyring import (
    Member,
    Secrets,
    create_secrets,
    make_keys_object,
    open_under_kek,
    sealed_under_kek,
    unlock,
)

STORE = bytes(range(32))
RANDOM = SystemRandomness()
WRITER, READER, STRANGER = (pair_of(RANDOM.token(32)) for _ in range(3))
SECRETS = create_secrets(RANDOM)
MEMBERS = [Member(WRITER.public), Member(READER.public, SlotKind.PUBLIC_KEY, read_only=True)]
OBJECT = make_keys_object(STORE, 3, SECRETS, MEMBERS)


def test_a_writer_gets_everything() -> None:
    """A member unlocks the secrets that were sealed and signs with the generation's key."""
    keyring = unlock(OBJECT, STORE, WRITER, name=keys_object_name(OBJECT))
    assert keyring.secrets == SECRETS
    assert (keyring.store_id, keyring.generation, keyring.kek) == (STORE, 3, SECRETS.kek)
    assert keyring.slot_id == WRITER.slot_id
    assert keyring.signing_key is not None
    verify(keyring.signing_key.public_bytes, keyring.sign(b"message"), b"message")


def test_a_reader_gets_no_signing_key() -> None:
    """A read-only member reads everything, and is refused to sign."""
    keyring = unlock(OBJECT, STORE, READER)
    assert keyring.kek == SECRETS.kek
    assert keyring.secrets.signing_private == b""
    assert keyring.signing_key is None
    with pytest.raises(PermissionRefused):
        keyring.sign(b"message")


def test_slots_are_listed() -> None:
    """Any member sees who else can unlock the store."""
    slots = unlock(OBJECT, STORE, READER).slots
    assert [(slot.id, slot.kind, slot.read_only) for slot in slots] == [
        (WRITER.slot_id, SlotKind.KEY_FILE, False),
        (READER.slot_id, SlotKind.PUBLIC_KEY, True),
    ]


def test_a_stranger_gets_nothing() -> None:
    """A key without a slot is the wrong key; the error names it and those that would do."""
    with pytest.raises(WrongKey) as caught:
        unlock(OBJECT, STORE, STRANGER)
    assert caught.value.facts["found"] == STRANGER.slot_id.hex()
    assert caught.value.facts["expected"] == [WRITER.slot_id.hex(), READER.slot_id.hex()]


def test_another_stores_keys() -> None:
    """A keys object of another store is damage here, not a way in."""
    with pytest.raises(Damaged) as caught:
        unlock(OBJECT, bytes(32), WRITER)
    assert (caught.value.facts["expected"], caught.value.facts["found"]) == (bytes(32).hex(), STORE.hex())


def test_two_objects_hold_the_same() -> None:
    """Sealing twice gives two names with one content, as a sweep needs."""
    second = make_keys_object(STORE, 3, SECRETS, MEMBERS)
    assert keys_object_name(second) != keys_object_name(OBJECT)
    assert unlock(second, STORE, WRITER).secrets == SECRETS


@given(st.data())
def test_any_change_is_an_error_of_ours(drawn: st.DataObject) -> None:
    """An altered, cut or extended object is damage under its name, and harmless or an error without."""
    at = drawn.draw(st.integers(0, len(OBJECT) - 1))
    flip = drawn.draw(st.integers(1, 255))
    altered = OBJECT[:at] + bytes([OBJECT[at] ^ flip]) + OBJECT[at + 1 :]
    for bad in (altered, OBJECT[:at], OBJECT + b"\0"):
        with pytest.raises(Damaged):
            unlock(bad, STORE, WRITER, name=keys_object_name(OBJECT))
        try:
            keyring = unlock(bad, STORE, WRITER)
        except ArtifactStoreError:
            continue
        assert keyring.secrets == SECRETS


def test_a_slot_is_bound_to_its_context() -> None:
    """Sealed secrets moved to another store, generation or role do not open."""
    keys = decode_keys(OBJECT, keys_object_name(OBJECT))
    moved = [
        msgspec.structs.replace(keys, store_id=bytes(32)),
        msgspec.structs.replace(keys, generation=4),
        msgspec.structs.replace(
            keys, slots=(msgspec.structs.replace(keys.slots[0], read_only=True), keys.slots[1])
        ),
        msgspec.structs.replace(
            keys, slots=(msgspec.structs.replace(keys.slots[0], kind=SlotKind.PUBLIC_KEY), keys.slots[1])
        ),
    ]
    for each in moved:
        with pytest.raises(Damaged, match="does not open"):
            unlock(encode_keys(each), each.store_id, WRITER)


@pytest.mark.parametrize("content", [b"", b"\xc0", b"\x93" * 100, b"\x93\xc4\x01a\xc4\x01b\xc4\x00"])
def test_what_is_sealed_is_checked_too(content: bytes) -> None:
    """Sealed bytes that are no secrets are damage: anybody can seal to a public key."""
    keys = decode_keys(OBJECT, keys_object_name(OBJECT))
    info = b"artifactstore slot\x01" + STORE + (3).to_bytes(8, "big") + WRITER.slot_id + b"\x00\x00"
    slot = msgspec.structs.replace(keys.slots[0], sealed_secrets=seal_to(WRITER.public, content, info))
    with pytest.raises(Damaged, match="malformed"):
        unlock(encode_keys(msgspec.structs.replace(keys, slots=(slot,))), STORE, WRITER)


def test_a_writers_slot_must_hold_a_signing_key() -> None:
    """A slot that promises a signing key and holds none is damage."""
    keys = decode_keys(OBJECT, keys_object_name(OBJECT))
    info = b"artifactstore slot\x01" + STORE + (3).to_bytes(8, "big") + WRITER.slot_id + b"\x00\x00"
    bare = msgspec.msgpack.encode(msgspec.structs.replace(SECRETS, signing_private=b""))
    slot = msgspec.structs.replace(keys.slots[0], sealed_secrets=seal_to(WRITER.public, bare, info))
    with pytest.raises(Damaged, match="malformed"):
        unlock(encode_keys(msgspec.structs.replace(keys, slots=(slot,))), STORE, WRITER)


def test_subkeys_are_distinct_and_as_documented() -> None:
    """Each purpose has its own key, the same for every member and in every generation."""
    keyring = unlock(OBJECT, STORE, WRITER)
    later = make_keys_object(STORE, 4, Secrets(SECRETS.store_secret, RANDOM.token(32), b"k" * 32), MEMBERS)
    other = unlock(later, STORE, READER)
    assert keyring.cid_key("data") == hkdf_sha256(
        SECRETS.store_secret, salt=b"", info=b"artifactstore cid data"
    )
    keys = [keyring.cid_key("data"), keyring.cid_key("page"), keyring.name_key()]
    assert len(set(keys)) == 3
    assert [other.cid_key("data"), other.cid_key("page"), other.name_key()] == keys
    assert other.chunker_seed() == keyring.chunker_seed()
    assert 0 < keyring.chunker_seed() < 2**63


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_sealing_under_the_kek(plaintext: bytes, aad: bytes) -> None:
    """What is sealed opens in its context; a second sealing of the same has another salt throughout."""
    keyring = unlock(OBJECT, STORE, WRITER)
    first = keyring.seal_generation("record", plaintext, aad, RANDOM)
    second = keyring.seal_generation("record", plaintext, aad, RANDOM)
    assert first[:32] != second[:32]
    assert len(first) == 32 + len(plaintext) + 16
    assert open_under_kek(SECRETS.kek, STORE, 3, "record", first, aad) == plaintext


@given(st.data())
def test_sealing_is_bound_to_its_context(drawn: st.DataObject) -> None:
    """Wrong key, store, generation, type or associated data, or any changed byte: nothing opens."""
    kek = SECRETS.kek
    sealed = sealed_under_kek(kek, STORE, 3, "record", b"plain", b"aad", RANDOM)
    at = drawn.draw(st.integers(0, len(sealed) - 1))
    flip = drawn.draw(st.integers(1, 255))
    altered = sealed[:at] + bytes([sealed[at] ^ flip]) + sealed[at + 1 :]
    for arguments in (
        (bytes(32), STORE, 3, "record", sealed, b"aad"),
        (kek, bytes(32), 3, "record", sealed, b"aad"),
        (kek, STORE, 4, "record", sealed, b"aad"),
        (kek, STORE, 3, "state", sealed, b"aad"),
        (kek, STORE, 3, "record", sealed, b"aaa"),
        (kek, STORE, 3, "record", altered, b"aad"),
        (kek, STORE, 3, "record", sealed[:at], b"aad"),
        (kek, STORE, 3, "record", sealed + b"\0", b"aad"),
    ):
        with pytest.raises(SealBroken):
            open_under_kek(*arguments)


def test_secrets_are_not_shown() -> None:
    """Representations, which end up in logs, hold no secret."""
    shown = repr(SECRETS) + repr(unlock(OBJECT, STORE, WRITER))
    for secret in (SECRETS.store_secret, SECRETS.kek, SECRETS.signing_private):
        assert secret.hex() not in shown
        assert repr(secret) not in shown
