"""What a log says should lie in the bucket, and what should not: gathered record by record from clear parts alone.

Memory grows with the packs that are live and the names that were ever condemned: some 400 bytes each, nothing with
their size.
"""

from artifactstore.errors import Damaged
from artifactstore.format.record import Clear, PackAdded, slot_name
from artifactstore.pack.names import pack_name


class Holdings:
    """What should be there after the records taken in so far. Used by one thread.

    Attributes:
        live: Packs that are registered and not condemned, by their SHA-256.
        condemned: Names of objects given up for deletion, with the slot of the record that says so.
        erased: Slots of those records after which another says that what they condemned is gone.
        keys: SHA-256 of the current `keys/` objects.
        keys_named: SHA-256 of these and of those of earlier records.
        generation: The current generation.
        time_ms: When the last record was written, as its writer says.
    """

    def __init__(self) -> None:
        self.live: dict[bytes, PackAdded] = {}
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
            if pack_name(pack.name) not in self.condemned:
                # One that is registered twice stays what it was.
                self.live.setdefault(pack.name, pack)
        for name in clear.condemned:
            self.condemned.setdefault(name, clear.slot)
            if name.startswith("packs/"):
                self.live.pop(bytes.fromhex(name.rpartition("/")[2]), None)
        if again:
            name = pack_name(again[0].name)
            raise Damaged(
                f"{slot_name(clear.slot)} registers {name}, which was condemned before it", object=name
            )

    def expects(self, name: str) -> bool:
        """Whether a `packs/` or `keys/` object of this name should be there."""
        folder, _, digest = name.rpartition("/")
        try:
            sha256 = bytes.fromhex(digest)
        except ValueError:
            return False
        if folder == "keys":
            return name not in self.condemned and sha256 in self.keys_named
        pack = self.live.get(sha256)
        return pack is not None and pack_name(sha256) == name
