"""The part of the independent reader that unlocks: seals and keys, written from `docs/format/v1.md` alone too."""

import base64
import hashlib
import re
import unicodedata
from typing import Any

import msgpack  # type: ignore[import-untyped]
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hpke
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SUITE = b"\1"
PASSPHRASE = 1
KEYS_MAX = 1 << 20


class Refused(Exception):
    """Something is not what the format says it must be."""


def require(holds: object, what: str) -> None:
    """Refuse unless it holds."""
    if not holds:
        raise Refused(what)


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def derive(secret: bytes, salt: bytes, info: bytes) -> bytes:
    return HKDF(hashes.SHA256(), 32, salt, info).derive(secret)


def unpack(data: bytes) -> Any:
    """One MessagePack value, and nothing after it."""
    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=False)
    except (ValueError, msgpack.UnpackException) as error:
        raise Refused(f"not MessagePack: {error}") from error


def unseal(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes:
    try:
        return AESGCM(key).decrypt(nonce, sealed, associated)
    except (InvalidTag, ValueError) as error:
        raise Refused("a seal does not open") from error


def private_key(text: bytes) -> bytes:
    """The X25519 private key in a key file."""
    match = re.fullmatch(
        rb"(artifactstore key file, version 1\. [^\n]*\ncreated: [^\n]*\nkey: ([A-Za-z0-9+/]{43}=)\n)"
        rb"checksum: ([0-9a-f]{32})\n",
        text,
    )
    if match is None:
        raise Refused("not a key file")
    require(hashlib.sha256(match[1]).hexdigest()[:32].encode() == match[3], "the key file was altered")
    return base64.b64decode(match[2])


def private_by_passphrase(data: bytes, store_id: bytes, passphrase: str) -> bytes:
    """The X25519 private key that a passphrase unwraps from a keys object whose name was checked."""
    for _id, kind, public, parameters, wrapped, _read_only, _sealed in unpack(data[8:])[2]:
        if kind != PASSPHRASE:
            continue
        salt, passes, lanes, memory_kib, commitment = parameters
        require(len(salt) == 16 and 1 <= passes <= 16 and 1 <= lanes <= 16, "impossible parameters")
        require(
            64 << 10 <= memory_kib <= 1 << 20, "a passphrase slot that asks for too little or too much memory"
        )
        secret = unicodedata.normalize("NFC", passphrase).encode()
        argon = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory_kib)
        derived = argon.derive(secret)
        if derive(derived, b"", b"artifactstore passphrase commitment") == commitment:
            context = b"artifactstore passphrase slot" + SUITE + store_id + public
            return unseal(derive(derived, b"", b"artifactstore passphrase wrap"), bytes(12), wrapped, context)
    raise Refused("the passphrase opens no slot of this store")


def unlock(data: bytes, store_id: bytes, private: bytes, wanted: int) -> list[bytes]:
    """[store secret, KEK, signing key] of a generation from a keys object whose name was checked."""
    require(len(data) <= KEYS_MAX and data[:8] == b"ASTK\0\1\1\0", "not a keys object")
    found_id, generation, slots = unpack(data[8:])
    require(found_id == store_id and generation == wanted, "a keys object of another store or generation")
    key = X25519PrivateKey.from_private_bytes(private)
    public = key.public_key().public_bytes_raw()
    for slot_id, kind, slot_public, _parameters, _wrapped, read_only, sealed in slots:
        if slot_public != public:
            continue
        require(slot_id == sha256(public)[:16], "a slot key with another id")
        info = b"artifactstore slot" + SUITE + store_id + generation.to_bytes(8, "big") + slot_id
        info += bytes([kind, read_only])
        suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.AES_256_GCM)
        secrets: list[bytes] = unpack(suite.decrypt(sealed, key, info))
        return secrets
    raise Refused("the key opens no slot of this store")
