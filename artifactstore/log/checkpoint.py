"""Checkpoints: what a log was at some length, as a C2SP signed note that any witness of transparency logs can read.

The note's text is that of a tlog-checkpoint: origin, number of slots, Merkle root. It is signed by the store's signing
key, which a checker knows from the log. A text without signatures is a checkpoint too: it says what its reader has seen
by itself, and is worth as much as the place where it was kept.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from typing import Final, NamedTuple

from artifactstore.crypto.aead import SealBroken
from artifactstore.crypto.hashing import sha256
from artifactstore.crypto.signing import SigningKey, verify
from artifactstore.errors import InvalidEvidence
from artifactstore.format.limits import SLOT_MAX

NOTE_BYTES_MAX: Final = 64 << 10
_SIGNATURES_MAX: Final = 16
_ORIGIN: Final = "artifactstore/"
_ED25519: Final = b"\x01"
_ID_BYTES: Final = 4
_TEXT: Final = re.compile(
    rf"{_ORIGIN}(?P<store>[0-9a-f]{{64}})\n(?P<slots>0|[1-9][0-9]{{0,16}})\n(?P<root>[A-Za-z0-9+/]{{43}}=)\n"
)
_SIGNATURE: Final = re.compile(r"— (?P<name>[^\s+]+) (?P<signature>[A-Za-z0-9+/]+={0,2})")


class Checkpoint(NamedTuple):
    """A log at one length.

    Attributes:
        store_id: Whose log.
        slots: How many slots it had.
        root: Merkle root over them.
    """

    store_id: bytes
    slots: int
    root: bytes

    @property
    def origin(self) -> str:
        """What names the log in notes; also the name of the keys that sign them."""
        return _ORIGIN + self.store_id.hex()

    @property
    def text(self) -> str:
        """The text of the note, which is what is signed."""
        return f"{self.origin}\n{self.slots}\n{base64.b64encode(self.root).decode()}\n"


class Note(NamedTuple):
    """A checkpoint as it came.

    Attributes:
        checkpoint: What it says.
        signatures: Key id and signature of each line that names the log's own key; none of a bare text.
    """

    checkpoint: Checkpoint
    signatures: tuple[tuple[bytes, bytes], ...]


def sign_note(checkpoint: Checkpoint, key: SigningKey) -> str:
    """The signed note of a checkpoint."""
    text = checkpoint.text
    signature = _key_id(checkpoint, key.public_bytes) + key.sign(text.encode())
    return f"{text}\n— {checkpoint.origin} {base64.b64encode(signature).decode()}\n"


def read_note(text: str, where: str) -> Note:
    """Take a signed note apart, or the bare text of one; nothing is verified yet.

    Args:
        text: The note.
        where: What to call it in errors.

    Raises:
        InvalidEvidence: It is neither.
    """
    body, blank, rest = text.rpartition("\n\n")
    body = body + "\n" if blank else text
    found = _TEXT.fullmatch(body)
    lines = rest.splitlines() if blank else []
    if len(text) > NOTE_BYTES_MAX or found is None or (blank and not rest.endswith("\n")):
        raise InvalidEvidence(f"{where} is not a checkpoint of a store", object=where)
    slots = int(found["slots"])
    if slots > SLOT_MAX or len(lines) > _SIGNATURES_MAX or (blank and not lines):
        raise InvalidEvidence(f"{where} is not a checkpoint of a store", object=where)
    checkpoint = Checkpoint(bytes.fromhex(found["store"]), slots, base64.b64decode(found["root"]))
    return Note(checkpoint, tuple(_signatures(lines, checkpoint.origin, where)))


def verify_note(note: Note, publics: Iterable[bytes], where: str) -> None:
    """Return if one of these keys has signed a note.

    Args:
        note: The note.
        publics: Ed25519 keys that the store has had.
        where: What to call it in errors.

    Raises:
        InvalidEvidence: None has.
    """
    message = note.checkpoint.text.encode()
    for public in publics:
        key_id = _key_id(note.checkpoint, public)
        for found_id, signature in note.signatures:
            if found_id == key_id:
                try:
                    verify(public, signature, message)
                except SealBroken:
                    continue
                return
    raise InvalidEvidence(f"{where} is not signed by a key of the store", object=where)


def _signatures(lines: Iterable[str], origin: str, where: str) -> Iterable[tuple[bytes, bytes]]:
    """Of the signature lines those of the log itself; witnesses may have added theirs."""
    for line in lines:
        found = _SIGNATURE.fullmatch(line)
        try:
            data = base64.b64decode(found["signature"], validate=True) if found else b""
        except binascii.Error:
            data = b""
        if found is None or len(data) <= _ID_BYTES:
            raise InvalidEvidence(f"{where} has a line that is no signature", object=where)
        if found["name"] == origin:
            yield data[:_ID_BYTES], data[_ID_BYTES:]


def _key_id(checkpoint: Checkpoint, public: bytes) -> bytes:
    return sha256(checkpoint.origin.encode() + b"\n" + _ED25519 + public)[:_ID_BYTES]
