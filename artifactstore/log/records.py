"""Verifying and making single records: what a slot's bytes are worth, and the bytes for a slot.

A slot is void when its bytes fail format or signature, or name another store or slot: nothing is applied and the log
goes on. A verified signature over a root that doesn't match is `Damaged`: something before it was altered.
"""

from typing import NamedTuple

from artifactstore.clock import Randomness
from artifactstore.crypto.aead import SealBroken
from artifactstore.crypto.signing import SigningKey, verify
from artifactstore.crypto.suite import SALT_SIZE_BYTES, TAG_SIZE_BYTES
from artifactstore.errors import Damaged, NewerStore
from artifactstore.format.commitment import committed_by
from artifactstore.format.limits import FORMAT_VERSION, RECORD_BYTES_MAX, SUITE
from artifactstore.format.operations import Sealed, decode_sealed, encode_sealed
from artifactstore.format.pack import PackType
from artifactstore.format.record import (
    HEADER,
    MAGIC,
    SIGNATURE_BYTES,
    SIGNING_CONTEXT,
    Clear,
    Frame,
    RecordType,
    decode_frame,
    encode_associated,
    slot_name,
)
from artifactstore.keyring.keyring import Keyring, open_under_kek
from artifactstore.log.merkle import leaf_of, void_leaf
from artifactstore.log.signers import Signers

KNOWN_FEATURES: frozenset[str] = frozenset()
_RECORD_TYPES = frozenset(RecordType)
_PACK_TYPES = frozenset(PackType)
_SEAL_TYPE = "record"


class Opened(NamedTuple):
    """One slot, verified.

    Attributes:
        slot: Its number.
        clear: The clear part; None when the slot is void.
        sealed: The sealed part; None when the slot is void or it does not open.
        leaf: Its leaf in the Merkle tree.
        size: Its bytes.
    """

    slot: int
    clear: Clear | None
    sealed: Sealed | None
    leaf: bytes
    size: int


def examine(data: bytes, slot: int, signers: Signers) -> Frame | None:
    """Return a slot's verified frame, or None when the slot is void; its root is not checked yet.

    Raises:
        NewerStore: A verified record is of a type, feature or format that this release does not know.
    """
    where = slot_name(slot)
    _refuse_newer_format(data, where)
    try:
        frame = decode_frame(data, where)
    except Damaged:
        return None
    clear = frame.clear
    if clear.store_id != signers.store_id or clear.slot != slot or not signers.accepts(clear):
        return None
    try:
        verify(clear.certificate.public, frame.signature, SIGNING_CONTEXT + frame.signed)
    except SealBroken:
        return None
    unknown = [feature for feature in clear.features if feature not in KNOWN_FEATURES]
    if (
        unknown
        or clear.type not in _RECORD_TYPES
        or any(pack.type not in _PACK_TYPES for pack in clear.packs)
    ):
        raise NewerStore(
            f"{where} is of type {clear.type} and needs {', '.join(unknown) or 'a newer release'}",
            object=where,
            features=unknown,
        )
    return frame


def _refuse_newer_format(data: bytes, where: str) -> None:
    if where != slot_name(0) or len(data) < HEADER.size:
        return
    magic, version, suite, *_ = HEADER.unpack_from(data)
    if magic == MAGIC and (version > FORMAT_VERSION or (version == FORMAT_VERSION and suite > SUITE)):
        raise NewerStore(
            f"the store is of format {version} and suite {suite}; this release reads {FORMAT_VERSION} and {SUITE}",
            format=version,
            suite=suite,
        )


def open_slot(
    data: bytes, slot: int, root: bytes, generation: int, keyring: Keyring, signers: Signers
) -> Opened:
    """Verify a slot against what lies before it, and open its sealed part.

    A record of another generation than the keyring's stays sealed.

    Args:
        data: The slot's bytes.
        slot: Its number.
        root: Merkle root of everything before it.
        generation: The generation before it: only its key signs there (invariant 6).
        keyring: Opens the sealed part.
        signers: Whose records count.

    Raises:
        Damaged: The signature is good and the root is not: a record before this one was altered.
        NewerStore: The record needs a newer release.
    """
    where = slot_name(slot)
    frame = None if len(data) > RECORD_BYTES_MAX else examine(data, slot, signers)
    if frame is None or frame.clear.signer < generation:
        # A key that was handed on signs nothing any more, whatever it says of the records before.
        return Opened(slot, None, None, void_leaf(slot), len(data))
    if frame.clear.root != root:
        raise Damaged(
            f"{where} was signed over other records than those that lie before it",
            object=where,
            expected=frame.clear.root.hex(),
            found=root.hex(),
        )
    if frame.clear.signer != generation:
        return Opened(slot, None, None, void_leaf(slot), len(data))
    return Opened(slot, frame.clear, _unsealed(frame, where, keyring), leaf_of(data), len(data))


def unsealed(data: bytes, slot: int, keyring: Keyring) -> Sealed | None:
    """The sealed part of a record that is known to count, with its generation's keys; None where it stays sealed."""
    return _unsealed(decode_frame(data, slot_name(slot)), slot_name(slot), keyring)


def _unsealed(frame: Frame, where: str, keyring: Keyring) -> Sealed | None:
    """A record's sealed part; None of one that does not open, which applies nothing, for all readers alike."""
    if frame.clear.generation != keyring.generation:
        return None
    try:
        plain = open_under_kek(
            keyring.kek, keyring.store_id, keyring.generation, _SEAL_TYPE, frame.sealed, frame.associated
        )
        sealed = decode_sealed(plain, where)
    except (SealBroken, Damaged):
        return None
    fits = len(sealed.pack_keys) == len(frame.clear.packs)
    return sealed if fits and committed_by(sealed.operations) == frame.clear.committed else None


def make_record(
    clear: Clear, sealed: Sealed, keyring: Keyring, randomness: Randomness, signer: SigningKey
) -> bytes:
    """Seal and sign a record for the slot that `clear` names, with a fresh salt, and read it back.

    Args:
        clear: Its clear part.
        sealed: Its sealed part.
        keyring: Whose generation it is sealed for.
        randomness: Makes the salt.
        signer: The key that signs: of a sweep that of the generation before.

    Raises:
        Damaged: What was made does not open again, or exceeds the bound of a record.
        PermissionRefused: The member may only read.
    """
    plain = encode_sealed(sealed)
    associated = encode_associated(clear, SALT_SIZE_BYTES + len(plain) + TAG_SIZE_BYTES)
    signed = associated + keyring.seal_generation(_SEAL_TYPE, plain, associated, randomness)
    data = signed + signer.sign(SIGNING_CONTEXT + signed)
    if len(data) > RECORD_BYTES_MAX or len(data) != len(signed) + SIGNATURE_BYTES:
        raise Damaged(f"a record of {len(data)} bytes exceeds the bound of {RECORD_BYTES_MAX}")
    if not _reads_back(data, slot_name(clear.slot), sealed, keyring):
        raise Damaged("a record just made does not read back")
    return data


def _reads_back(data: bytes, where: str, sealed: Sealed, keyring: Keyring) -> bool:
    return _unsealed(decode_frame(data, where), where, keyring) == sealed
