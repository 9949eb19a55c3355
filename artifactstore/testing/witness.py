"""A witness of everything that reaches the objects of a simulated store: each change is judged as it happens.

It opens every record itself, with a key of its own, and trusts no client's index. What it objects to is `Broken`, with
the number of the invariant.
"""

from typing import Final, NamedTuple

from artifactstore.backend.base import Backend
from artifactstore.clock import Randomness
from artifactstore.crypto.hashing import sha256
from artifactstore.crypto.signing import SigningKey
from artifactstore.errors import ArtifactStoreError
from artifactstore.format.pack import PackType
from artifactstore.format.record import Clear, RecordType, decode_frame, slot_name
from artifactstore.keyring.keyfile import KeyPair
from artifactstore.keyring.keyring import Keyring, checked_keys, unlock
from artifactstore.log.merkle import append, root_of
from artifactstore.log.records import Opened, open_slot
from artifactstore.log.signers import Signers
from artifactstore.pack.names import pack_name
from artifactstore.testing.forging import forged_record
from artifactstore.testing.scheduler import Author, Broken

LOG: Final = "log/"
KEYS: Final = "keys/"
PACKS: Final = "packs/"
# Only what a record has condemned may go.
_GUARDED: Final = (PACKS, KEYS, "runs/")
# What every name, path and text that a simulated user writes begins with.
MARKER: Final = b"plaintext"
_COPIES_MAX: Final = 2
_BYTES_MAX: Final = 1 << 20


class Witnessed(NamedTuple):
    """A record as it came to lie in its slot.

    Attributes:
        author: Who asked for it; None for what lay there at the start.
        opened: The record.
        time_ns: When it came, by the backend's time.
    """

    author: Author | None
    opened: Opened
    time_ns: int


class Witness:
    """Watches one store.

    Args:
        objects: The store's objects, as they are.
        pair: A slot key of the store.
        colleague: The public key of somebody who may become a member.

    Attributes:
        records: Every record, in its slot.
        condemned: Name of every object that a record has condemned, with the record's slot.
        joined: Whether the colleague is a member, at every head from 0 on.
    """

    def __init__(self, objects: Backend, pair: KeyPair, colleague: bytes) -> None:
        self._objects = objects
        self._pair = pair
        self._colleague = colleague
        self._keys: list[bytes] = []
        self._keyring: Keyring | None = None
        self._signers = Signers(b"")
        self._frontier: list[bytes] = []
        self._operations: dict[bytes, int] = {}
        # By key-encryption key: the objects that seal it.
        self._keks: dict[bytes, set[str]] = {}
        # The keys of the generations so far.
        self._begun: set[bytes] = set()
        # Names of states and keys that records have named so far.
        self._secret: set[str] = set()
        # When each client saw each object absent last, counted in changes and looks.
        self._ticks = 0
        # Signing keys of the generations so far, and what a stranger has made of one.
        self._former: list[SigningKey] = []
        self._forged: set[bytes] = set()
        self._absent: dict[tuple[int, str], int] = {}
        self._swept: dict[int, int] = {}
        self.records: list[Witnessed] = []
        self.condemned: dict[str, int] = {}
        self.joined = [False]
        for info in list(objects.list(LOG)):
            self._record(None, objects.get(info.name, limit_bytes=info.size_bytes))

    @property
    def head(self) -> int:
        """The lowest absent slot."""
        return len(self.records)

    def forge(self, randomness: Randomness) -> tuple[str, bytes] | None:
        """The name and bytes of a stranger's record for the head; None in the first generation."""
        last = self._last()
        if not last.generation:
            return None
        former = self._former[last.generation - 1]
        data = forged_record(last, self.head, root_of(self._frontier), former, randomness)
        self._forged.add(data)
        return slot_name(self.head), data

    def created(self, author: Author, name: str, data: bytes) -> None:
        """An object was made that did not exist."""
        if not name.startswith(LOG):
            self.stored(name, data)
            return
        _demand(name == f"log/{self.head:016d}", 4, f"{name} was filled, and the head is {self.head}")
        _demand(MARKER not in data, 8, f"{name} holds a name in clear")
        self._record(author, data)

    def stored(self, name: str, data: bytes) -> None:
        """An object was made or replaced."""
        _demand(not name.startswith(LOG), 4, f"{name} was overwritten")
        _demand(MARKER not in data, 8, f"{name} holds a name in clear")
        if name.startswith(PACKS):
            _demand(name.endswith(sha256(data).hex()), 10, f"{name} is not the hash of its bytes")
        if name.startswith(KEYS):
            kek = self._unlocked(name, data).kek
            sealing = self._keks.setdefault(kek, set())
            sealing.add(name)
            # Whoever adds a member seals the key of the generation once more, and that may arrive after its end.
            _demand(
                kek in self._begun or len(sealing) <= _COPIES_MAX,
                11,
                f"{len(sealing)} objects seal one key: attempts share it",
            )

    def deleting(self, name: str) -> None:
        """An object is about to be deleted."""
        _demand(not name.startswith(LOG), 4, f"{name} was deleted")
        if name.startswith(_GUARDED):
            _demand(name in self.condemned, 3, f"{name} was deleted, and no record condemns it")

    def seen_absent(self, author: Author, name: str) -> None:
        """A client was told that there is no such object."""
        self._ticks += 1
        self._absent[author.client, name] = self._ticks

    def _record(self, author: Author | None, data: bytes) -> None:
        slot = self.head
        try:
            keyring = self._keys_for(data, slot)
            generation = 0 if slot == 0 else self._last().generation
            opened = open_slot(data, slot, root_of(self._frontier), generation, keyring, self._signers)
        except ArtifactStoreError as error:
            raise Broken(f"invariant 7: record {slot}: {error.message}") from error
        clear = opened.clear
        time_ns = max(info.modified_ns for info in self._objects.list(slot_name(slot)))
        if data in self._forged:
            _demand(clear is None, 7, f"record {slot} is a stranger's, and counts")
            self._frontier = append(self._frontier, slot, opened.leaf)
            self.records.append(Witnessed(author, opened, time_ns))
            self.joined.append(self.joined[-1])
            return
        if clear is None or opened.sealed is None:
            raise Broken(f"invariant 4: record {slot} is void, or does not open")
        self._signers.learn_from(clear)
        self._frontier = append(self._frontier, slot, opened.leaf)
        self._judge(slot, clear, author)
        self.records.append(Witnessed(author, opened, time_ns))
        self.joined.append(self._is_member(clear))

    def _keys_for(self, data: bytes, slot: int) -> Keyring:
        """The keys that open a record: those of the generation that a sweep begins are its own."""
        clear = decode_frame(data, f"record {slot}").clear
        if self._keyring is None:
            self._signers = Signers(clear.store_id)
        if self._keyring is None or clear.type == RecordType.SWEEP:
            name = f"{KEYS}{clear.keys[0].hex()}"
            self._keyring = self._unlocked(name, self._objects.get(name, limit_bytes=_BYTES_MAX))
            self._keks.setdefault(self._keyring.kek, set()).add(name)
            self._begun.add(self._keyring.kek)
            self._former.append(self._keyring.signer())
        return self._keyring

    def _unlocked(self, name: str, data: bytes) -> Keyring:
        return unlock(data, self._signers.store_id, self._pair, name=name)

    def _is_member(self, clear: Clear) -> bool:
        """Whether the keys that a record names are sealed to the colleague too."""
        if clear.keys == self._keys:
            return self.joined[-1]
        self._keys = clear.keys
        name = f"{KEYS}{clear.keys[0].hex()}"
        keys = checked_keys(self._objects.get(name, limit_bytes=_BYTES_MAX), self._signers.store_id, name)
        return any(slot.public_key == self._colleague for slot in keys.slots)

    def _judge(self, slot: int, clear: Clear, author: Author | None) -> None:
        """What a record's clear part says of objects must be so when it takes effect."""
        known = self._operations.setdefault(clear.operation, slot)
        _demand(known == slot, 4, f"records {known} and {slot} are one operation")
        sweep = clear.type == RecordType.SWEEP
        current = 0 if slot == 0 else self._last().generation
        _demand(
            clear.generation == current + sweep, 6, f"record {slot} is of {clear.generation}, after {current}"
        )
        for name in clear.condemned:
            self.condemned.setdefault(name, slot)
        keys = {f"{KEYS}{digest.hex()}" for digest in clear.keys}
        packs = {pack_name(pack.name): pack for pack in clear.packs}
        for name in (*packs, *keys):
            _demand(name not in self.condemned, 2, f"record {slot} adds {name}, which is condemned")
            size = self._size(name)
            _demand(size is not None, 12, f"record {slot} names {name}, which is not stored")
            _demand(
                name not in packs or packs[name].size == size,
                12,
                f"record {slot} says another size of {name}",
            )
        if sweep:
            left = sorted(self._secret - self.condemned.keys())
            _demand(not left, 11, f"the sweep {slot} leaves {left}, which opens under earlier keys")
            _demand(len(keys) == _COPIES_MAX, 12, f"the sweep {slot} names {len(keys)} keys objects")
            self._ticks += 1
            self._swept[slot] = self._ticks
        if clear.erased is not None:
            self._judge_erased(slot, clear.erased, author)
        self._secret |= keys
        self._secret.update(name for name, pack in packs.items() if pack.type == PackType.STATE)

    def _judge_erased(self, slot: int, sweep: int, author: Author | None) -> None:
        assert author is not None
        for name, at in self.condemned.items():
            if at == sweep:
                seen = self._absent.get((author.client, name), 0)
                _demand(
                    seen > self._swept[sweep], 9, f"record {slot} calls {name} erased, and nobody had looked"
                )

    def _last(self) -> Clear:
        """The clear part of the last valid record."""
        return next(one.opened.clear for one in reversed(self.records) if one.opened.clear is not None)

    def _size(self, name: str) -> int | None:
        try:
            return self._objects.size(name)
        except ArtifactStoreError:
            return None


def _demand(holds: bool, invariant: int, otherwise: str) -> None:
    if not holds:
        raise Broken(f"invariant {invariant}: {otherwise}")
