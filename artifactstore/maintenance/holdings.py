"""What a log says should lie in the bucket, and what should not: gathered record by record from clear parts alone.

Memory grows with the packs that are live and the names that were ever condemned: some 400 bytes each, nothing with
their size.
"""

from artifactstore.errors import Damaged
from artifactstore.format.limits import DIGEST_BYTES
from artifactstore.format.record import Clear, PackAdded, slot_name
from artifactstore.pack.names import pack_name


class Holdings:
    """What should be there after the records taken in so far. Used by one thread.

    Attributes:
        live: Packs that are registered and not condemned, by their SHA-256.
        registered: Slots of the records that registered them.
        condemned: Names of objects given up for deletion, with the slot of the record that says so.
        erased: Slots of those records after which another says that what they condemned is gone.
        keys: SHA-256 of the current `keys/` objects.
        keys_named: SHA-256 of these and of those of earlier records.
        generation: The current generation.
        time_ms: When the last record was written, as its writer says.
    """

    def __init__(self) -> None:
        self.live: dict[bytes, PackAdded] = {}
        self.registered: dict[bytes, int] = {}
        self.condemned: dict[str, int] = {}
        self.erased: set[int] = set()
        self.keys: tuple[bytes, ...] = ()
        self.keys_named: set[bytes] = set()
        self.generation = 0
        self.time_ms = 0

    def add(self, clear: Clear) -> None:
        """Take in the next valid record.

        Raises:
            Damaged: It registers an object that was condemned before (invariant 2).
        """
        self.keys, self.generation, self.time_ms = tuple(clear.keys), clear.generation, clear.time_ms
        self.keys_named.update(clear.keys)
        again = [pack for pack in clear.packs if pack_name(pack.name) in self.condemned]
        for pack in clear.packs:
            if pack_name(pack.name) not in self.condemned and pack.name not in self.live:
                # One that is registered twice stays what it was.
                self.live[pack.name] = pack
                self.registered[pack.name] = clear.slot
        for name in clear.condemned:
            self.condemned.setdefault(name, clear.slot)
            digest = _digest_of(name)
            if digest is not None and name == pack_name(digest):
                self.live.pop(digest, None)
                self.registered.pop(digest, None)
        if clear.erased is not None:
            self.erased.add(clear.erased)
        if again:
            name = pack_name(again[0].name)
            raise Damaged(
                f"{slot_name(clear.slot)} registers {name}, which was condemned before it", object=name
            )

    def expects(self, name: str) -> bool:
        """Whether a `packs/` or `keys/` object of this name should be there."""
        digest = _digest_of(name)
        if digest is None or name in self.condemned:
            return False
        if name.startswith("keys/"):
            return digest in self.keys_named and name == f"keys/{digest.hex()}"
        return digest in self.live and name == pack_name(digest)


def _digest_of(name: str) -> bytes | None:
    """The SHA-256 that an object's name ends with, None where it does not."""
    text = name.rpartition("/")[2]
    try:
        digest = bytes.fromhex(text)
    except ValueError:
        return None
    return digest if len(digest) == DIGEST_BYTES and digest.hex() == text else None
