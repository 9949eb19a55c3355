"""A stranger who kept the signing key of the last generation, and hands over with it to a key of his own.

His record is well made in every other way. It says nothing that anybody may believe: the store's own handover of that
generation is known, so the slot is void.
"""

from typing import Final

import msgspec

from artifactstore.clock import Randomness
from artifactstore.crypto.signing import SigningKey
from artifactstore.crypto.suite import KEY_SIZE_BYTES, SALT_SIZE_BYTES, TAG_SIZE_BYTES
from artifactstore.format.limits import OPERATION_BYTES
from artifactstore.format.record import (
    SIGNING_CONTEXT,
    Certificate,
    Clear,
    RecordType,
    encode_associated,
    handover_message,
)

_SEALED_BYTES: Final = SALT_SIZE_BYTES + TAG_SIZE_BYTES + 100


def forged_record(last: Clear, slot: int, root: bytes, former: SigningKey, randomness: Randomness) -> bytes:
    """A record for the head of a log, signed by a key to which the last generation's hands over a second time.

    Args:
        last: The clear part of the last valid record.
        slot: The head.
        root: Merkle root over what lies before it.
        former: The signing key of the generation before the current one.
        randomness: Makes the stranger's key.
    """
    own = SigningKey(randomness.token(KEY_SIZE_BYTES))
    message = handover_message(last.store_id, last.generation, slot - 1, own.public_bytes)
    clear = msgspec.structs.replace(
        last,
        slot=slot,
        root=root,
        operation=randomness.token(OPERATION_BYTES),
        type=RecordType.COMMIT,
        certificate=Certificate(own.public_bytes, slot - 1, former.sign(message)),
        packs=[],
        condemned=[],
        committed=[],
        purged=[],
        state=None,
        handover=None,
        erased=None,
    )
    signed = encode_associated(clear, _SEALED_BYTES) + randomness.token(_SEALED_BYTES)
    return signed + own.sign(SIGNING_CONTEXT + signed)
