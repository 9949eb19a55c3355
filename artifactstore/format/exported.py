"""The exported receipt: one canonical JSON text, so that there is one way only to write what a receipt says.

Binary values are lower-case hexadecimal, long ones base64 with padding. Parsing takes nothing but what encoding gives.
"""

import base64
import binascii
import json
from typing import Annotated, Any, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from artifactstore.errors import InvalidEvidence
from artifactstore.format.commitment import VERSION_FIELDS, field_hash, field_salt
from artifactstore.format.limits import FORMAT_VERSION, SLOT_MAX
from artifactstore.format.receipt import PURGE_FIELDS

RECEIPT_BYTES_MAX: Final = 256 << 20
RECEIPT_FORMAT: Final = "artifactstore receipt v1"
SIGNING_CONTEXT: Final = b"artifactstore receipt v1\0"
# Their values are text; those of the others are shown as hexadecimal.
TEXT_FIELDS: Final = frozenset({"project", "name", *PURGE_FIELDS})

Hex16: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9a-f]{32}\Z")]
Hex32: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Hex64: TypeAlias = Annotated[str, Meta(pattern=r"\A[0-9a-f]{128}\Z")]
_Slot = Annotated[int, Meta(ge=0, le=SLOT_MAX)]
_Count = Annotated[int, Meta(ge=0)]
_Proof = Annotated[list[Hex32], Meta(max_length=128)]

assert FORMAT_VERSION == 1


class Field(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A field of a commitment: shown by salt and value, or hidden behind what stands for it.

    Attributes:
        hash: What stands for it, where it is hidden.
        salt: Its salt, where it is shown.
        value: Its value: text, or hexadecimal of bytes.
    """

    hash: Hex32 | None = None
    salt: Hex32 | None = None
    value: str | None = None


class ProvedRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A record of the log, with the proofs that it belongs to the log of the checkpoint.

    Attributes:
        slot: Its slot.
        record: The whole record, in base64.
        inclusion: The path from its leaf to the checkpoint's root.
        consistency: What shows that the root it was signed over is the beginning of the checkpoint's.
    """

    slot: _Slot
    record: str
    inclusion: _Proof
    consistency: _Proof


class Records(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The records that a receipt stands on: of the push, the sweep, and that all it condemned was seen gone."""

    push: ProvedRecord
    sweep: ProvedRecord
    erased: ProvedRecord


class Handed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The certificate of a generation's signing key."""

    public: Hex32
    slot: _Slot
    signature: Annotated[str, Meta(pattern=r"\A(?:[0-9a-f]{128})?\Z")]


class Counted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many entries of the evidence are marked as what."""

    gone: _Count
    shared: _Count
    unread: _Count


class Exported(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A receipt that left its store.

    Attributes:
        format: Which format it is of.
        store: The store's id.
        id: The receipt's id.
        certificates: Of the signing keys of the generations, from 0 on.
        checkpoint: What the log was when the receipt was exported: a signed note.
        records: What it stands on.
        version: The fields of the version's commitment.
        purge: The fields of the purge's commitment.
        evidence: Which chunks the version held, and which are gone, in base64.
        counts: How many.
        signature: By the last of those keys, over everything else.
    """

    format: Literal["artifactstore receipt v1"]
    store: Hex32
    id: Hex16
    certificates: Annotated[list[Handed], Meta(min_length=1)]
    checkpoint: str
    records: Records
    version: dict[str, Field]
    purge: dict[str, Field]
    evidence: str
    counts: Counted
    signature: Hex64


def canonical(document: Any) -> bytes:
    """The one text of a JSON document: UTF-8, keys sorted, no white space, one line feed at the end."""
    text = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode() + b"\n"


def encode_receipt(receipt: Exported) -> bytes:
    """The bytes of an exported receipt."""
    return canonical(msgspec.to_builtins(receipt))


def signed_bytes(receipt: Exported) -> bytes:
    """What the signature of a receipt stands over."""
    document = msgspec.to_builtins(receipt)
    del document["signature"]
    return SIGNING_CONTEXT + canonical(document)


def decode_receipt(data: bytes) -> Exported:
    """Parse an exported receipt; nothing in it is verified yet.

    Raises:
        InvalidEvidence: It is cut, of another format, or not written in the one way.
    """
    if len(data) > RECEIPT_BYTES_MAX:
        raise InvalidEvidence(f"the receipt is longer than {RECEIPT_BYTES_MAX} bytes")
    try:
        receipt = msgspec.json.decode(data, type=Exported)
        again = encode_receipt(receipt)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise InvalidEvidence(f"this is no receipt, or it was cut or altered ({error})") from error
    if again != data:
        raise InvalidEvidence("the receipt was altered: it is not written in the one way that there is")
    for fields, names in ((receipt.version, VERSION_FIELDS), (receipt.purge, PURGE_FIELDS)):
        if set(fields) != set(names):
            raise InvalidEvidence(f"the receipt has other fields than {', '.join(names)}")
    return receipt


def from_base64(text: str, what: str) -> bytes:
    """The bytes of base64 that is written in the one way.

    Raises:
        InvalidEvidence: It is not.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidEvidence(f"{what} is not base64") from error
    if base64.b64encode(data).decode() != text:
        raise InvalidEvidence(f"{what} is not written in the one way that there is")
    return data


def shown(field: str, value: bytes, salt: bytes) -> Field:
    """A field with its value; `salt` is that of the whole commitment."""
    text = value.decode() if field in TEXT_FIELDS else value.hex()
    return Field(salt=field_salt(salt, field).hex(), value=text)


def hidden(field: str, value: bytes, salt: bytes) -> Field:
    """A field without its value."""
    return Field(hash=field_hash(field_salt(salt, field), value).hex())


def value_of(field: str, given: Field) -> bytes | None:
    """The value of a field that is shown, None of one that is hidden.

    Raises:
        InvalidEvidence: It is neither.
    """
    if given.salt is None and given.value is None and given.hash is not None:
        return None
    if given.salt is None or given.value is None or given.hash is not None:
        raise InvalidEvidence(f"field {field} is neither shown nor hidden")
    if field in TEXT_FIELDS:
        return given.value.encode()
    try:
        value = bytes.fromhex(given.value)
    except ValueError as error:
        raise InvalidEvidence(f"field {field} is not hexadecimal") from error
    if value.hex() != given.value:
        raise InvalidEvidence(f"field {field} is not written in the one way that there is")
    return value


def hash_of(field: str, given: Field) -> bytes:
    """What stands for a field, shown or hidden.

    Raises:
        InvalidEvidence: It is neither.
    """
    value = value_of(field, given)
    if value is None:
        return bytes.fromhex(given.hash or "")
    return field_hash(bytes.fromhex(given.salt or ""), value)
