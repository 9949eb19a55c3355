"""What sweeps leave in the catalog: signing keys handed over, objects condemned, numbers of purged versions, settings.

Purged versions leave nothing that can be read: a number that is never given again, under a hash of the artifact's name
that only members can make, and the sweep that purged it.
"""

import hashlib
import hmac
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from artifactstore.format.coding import decoder_of, encode
from artifactstore.format.record import Certificate
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import ReadTransaction, WriteTransaction
from artifactstore.index.tables import CONDEMNED, HANDOVERS, PURGED, SETTINGS

GRACE_MS_DEFAULT: Final = 7 * 24 * 3600 * 1000
_GRACE: Final = b"grace"
_NUMBER_BYTES: Final = 8

_decode_certificate = decoder_of(Certificate, "a certificate")


class Purged(NamedTuple):
    """That a version was purged.

    Attributes:
        slot: The sweep that purged it.
        time_ms: Advisory time of that sweep.
    """

    slot: int
    time_ms: int


_decode_purged = decoder_of(Purged, "a row of a purged version")


def certificate_of(txn: ReadTransaction, generation: int) -> Certificate | None:
    """The certificate of a generation's signing key, None where the index has none."""
    data = txn.get(HANDOVERS, generation.to_bytes(_NUMBER_BYTES, "big"))
    return None if data is None else _decode_certificate(data, "index")


def put_certificate(txn: WriteTransaction, generation: int, certificate: Certificate) -> None:
    """Write the certificate of a generation's signing key."""
    txn.put(HANDOVERS, generation.to_bytes(_NUMBER_BYTES, "big"), encode(certificate))


def decode_certificate(data: bytes, where: str) -> Certificate:
    """Parse the row of a certificate.

    Raises:
        Damaged: It is malformed.
    """
    return _decode_certificate(data, where)


def note_condemned(txn: WriteTransaction, names: Iterable[str], slot: int) -> None:
    """Note that the sweep at `slot` gave objects up for deletion."""
    at = slot.to_bytes(_NUMBER_BYTES, "big")
    txn.put_many(CONDEMNED, [(name.encode(), at) for name in sorted(names)])


def condemned(txn: ReadTransaction) -> Iterator[tuple[str, int]]:
    """(Name, slot of the sweep) of every object that is condemned and was not seen gone by a record yet."""
    for name, slot in txn.scan(CONDEMNED):
        yield bytes(name).decode(), int.from_bytes(slot, "big")


def note_erased(txn: WriteTransaction, slot: int) -> None:
    """Forget the objects that the sweep at `slot` condemned: they were seen gone."""
    txn.delete_many(CONDEMNED, [name.encode() for name, at in list(condemned(txn)) if at == slot])


def purged_prefix(name_key: bytes, name: ArtifactName) -> bytes:
    """Under which the numbers of an artifact's purged versions lie: HMAC-SHA256 of its name."""
    return hmac.digest(name_key, f"{name.project}\0{name.name}".encode(), hashlib.sha256)


def note_purged(txn: WriteTransaction, prefix: bytes, number: int, purged: Purged) -> None:
    """Note that a version was purged."""
    txn.put(PURGED, prefix + number.to_bytes(_NUMBER_BYTES, "big"), encode(purged))


def purged_version(txn: ReadTransaction, prefix: bytes, number: int) -> Purged | None:
    """How a version of this number was purged; None where it was not."""
    data = txn.get(PURGED, prefix + number.to_bytes(_NUMBER_BYTES, "big"))
    return None if data is None else _decode_purged(data, "index")


def purged_numbers(txn: ReadTransaction, prefix: bytes) -> Iterator[tuple[int, Purged]]:
    """The numbers that were purged, each with how."""
    for key, data in txn.scan(PURGED, prefix):
        yield int.from_bytes(key[-_NUMBER_BYTES:], "big"), _decode_purged(data, "index")


def number_after_purged(txn: ReadTransaction, prefix: bytes) -> int:
    """The number after the highest that was purged; 0 where none was."""
    for key, _ in txn.scan(PURGED, prefix, reverse=True):
        return int.from_bytes(key[-_NUMBER_BYTES:], "big") + 1
    return 0


def grace_ms(txn: ReadTransaction) -> int:
    """How long a deleted version can be brought back at least, in milliseconds."""
    data = txn.get(SETTINGS, _GRACE)
    return GRACE_MS_DEFAULT if data is None else int.from_bytes(data, "big")


def put_grace_ms(txn: WriteTransaction, value: int) -> None:
    """Set how long a deleted version can be brought back at least."""
    txn.put(SETTINGS, _GRACE, value.to_bytes(_NUMBER_BYTES, "big"))
