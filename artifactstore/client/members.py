"""Members of a store: its slot keys, who they belong to, adding more, taking some away, new keys.

A slot is added by a signed record that names the next `keys/` object, which holds every slot of the one before and
the new one. The object is stored and read back before the record is claimed (invariant 12); when another writer was
faster it is made anew on top of what that one left, so two who add at once both stay. Objects that lie in `keys/`
without a record count for nothing (invariant 19).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from artifactstore import maintenance
from artifactstore.catalog.rows import get_slot
from artifactstore.client.opening import Parts
from artifactstore.client.results import KeySlot
from artifactstore.clock import Randomness
from artifactstore.crypto.aead import SealBroken
from artifactstore.errors import PreconditionFailed, UsageError
from artifactstore.format.keys import (
    SLOT_KEYS_MAX,
    KeysObject,
    SlotKind,
    keys_object_name,
    slot_id_of,
)
from artifactstore.format.operations import SlotAdded
from artifactstore.ids import check_name
from artifactstore.index.tables import Position
from artifactstore.keyring.keyring import Member, with_member
from artifactstore.keyring.objects import current_keys, store_keys
from artifactstore.keyring.passphrase import MEMORY_KIB, passphrase_member
from artifactstore.keyring.phrase import new_phrase, pair_of_phrase
from artifactstore.keyring.request import parse_request

T = TypeVar("T")
_NS_PER_MS = 1_000_000
_DIGITS_MIN = 4


class Opened(Protocol):
    """An open store, as far as its members are concerned."""

    @property
    def parts(self) -> Parts:
        """Its parts, of the current generation."""
        ...

    def refresh(self) -> Position:
        """Follow the log to its head."""
        ...

    def across(self, act: Callable[[], T]) -> T:
        """Do something that commits, again when a sweep is met."""
        ...

    def before_writing(self) -> None:
        """Refuse who may only read, before anything is uploaded."""
        ...

    def resweep(self, members: maintenance.sweep.MemberChange) -> object:
        """Begin a generation with new secrets for other members."""
        ...

    def unlock_with(self, passphrase: str) -> None:
        """Unlock the generations to come by a passphrase."""
        ...


class Members:
    """The slot keys of an open store. Thread-safe.

    Args:
        store: The store.
        randomness: Makes keys and salts.
    """

    def __init__(self, store: Opened, randomness: Randomness) -> None:
        self._store = store
        self._randomness = randomness

    @property
    def _parts(self) -> Parts:
        return self._store.parts

    def slots(self) -> tuple[KeySlot, ...]:
        """All slot keys, in the order in which they were added."""
        position = self._store.refresh()
        keys = self._current(position)
        with self._parts.environment.read() as txn:
            rows = [get_slot(txn, slot.id) for slot in keys.slots]
        return tuple(
            KeySlot(
                slot.id.hex(),
                SlotKind(slot.kind).name.lower().replace("_", "-"),
                slot.read_only,
                name="" if row is None else row.name,
                added_ns=0 if row is None else row.added_ms * _NS_PER_MS,
                added_by="" if row is None else row.member.hex(),
            )
            for slot, row in zip(keys.slots, rows, strict=True)
        )

    @property
    def generation(self) -> int:
        """The generation of keys that this client has unlocked."""
        return self._parts.keyring.generation

    def refuse_read_only(self) -> None:
        """Return if this member may write.

        Raises:
            PermissionRefused: This member may only read.
        """
        self._parts.keyring.signer()

    def add(self, request: str, *, read_only: bool = False, name: str | None = None) -> KeySlot:
        """Add a colleague by the line that `artifactstore key request` printed.

        Args:
            request: The line.
            read_only: Give no signing key: the colleague reads everything and can make no valid record.
            name: What to call the colleague; the name in the line when None.

        Raises:
            UsageError: The line was cut or altered, or holds no key that can be sealed to.
            PermissionRefused: This member may only read.
            PreconditionFailed: The key has a slot already, or there is no room for more.
        """
        asked = parse_request(request)
        return self._added(Member(asked.public, SlotKind.PUBLIC_KEY, read_only), name or asked.name)

    def add_passphrase(
        self, passphrase: str, name: str, *, read_only: bool = False, memory_kib: int = MEMORY_KIB
    ) -> KeySlot:
        """Add a passphrase as a way of unlocking.

        Args:
            passphrase: At least 8 characters.
            name: Whose it is.
            read_only: As for `add`.
            memory_kib: What Argon2id takes, here and at each unlocking: 65,536 at least.

        Raises:
            UsageError: The passphrase is too short or too long.
            PermissionRefused: This member may only read.
            PreconditionFailed: There is no room for more slots.
        """
        check_name(name, "member")
        self.refuse_read_only()
        member = passphrase_member(
            passphrase,
            self._parts.keyring.store_id,
            self._randomness,
            read_only=read_only,
            memory_kib=memory_kib,
        )
        return self._added(member, name)

    def add_recovery(self, name: str = "recovery", *, read_only: bool = False) -> tuple[KeySlot, str]:
        """Add a recovery phrase; return its slot, and the phrase, which is kept nowhere.

        Raises:
            PermissionRefused: This member may only read.
            PreconditionFailed: There is no room for more slots.
        """
        phrase = new_phrase(self._randomness)
        pair = pair_of_phrase(phrase)
        assert pair is not None
        return self._added(Member(pair.public, SlotKind.RECOVERY, read_only), name), phrase

    def remove(self, slot: str) -> KeySlot:
        """Take a slot away, and give the store new keys that are not sealed to it; return what it was.

        It goes on reading what it could read before, in copies of the bucket that its owner has.

        Args:
            slot: Its id, or the first digits of it, at least 4.

        Raises:
            UsageError: No slot, or more than one, has such an id.
            PreconditionFailed: It is the caller's own, or the last one that may write.
            PermissionRefused: This member may only read.
        """
        found = self._named(slot)
        own = self._parts.keyring.slot_id
        if bytes.fromhex(found.id) == own:
            raise PreconditionFailed(
                f"slot {found.id} is the one that you unlock the store with",
                next_step="unlock it with another slot to remove this one",
                slot=found.id,
            )

        def without(members: Sequence[Member]) -> list[Member]:
            return [one for one in members if slot_id_of(one.public).hex() != found.id]

        self._store.resweep(maintenance.sweep.MemberChange(without, {bytes.fromhex(found.id): None}))
        return found

    def rotate(self) -> int:
        """Give the store new keys, sealed to the same slots; return the generation that they are of.

        Raises:
            PermissionRefused: This member may only read.
        """
        self._store.resweep(maintenance.sweep.MemberChange(list, {}))
        return self.generation

    def change_passphrase(
        self, passphrase: str, slot: str | None = None, *, memory_kib: int = MEMORY_KIB
    ) -> KeySlot:
        """Replace a passphrase by another, and give the store new keys that the old one does not open.

        Args:
            passphrase: The new one, at least 8 characters.
            slot: Id of the slot, or first digits of it; the caller's own when None, else the only passphrase there is.
            memory_kib: As for `add_passphrase`.

        Raises:
            UsageError: The passphrase is too short or too long, or it is not clear which slot is meant.
            PermissionRefused: This member may only read.
        """
        found = self._passphrase_slot(slot)
        old = bytes.fromhex(found.id)
        member = passphrase_member(
            passphrase,
            self._parts.keyring.store_id,
            self._randomness,
            read_only=found.read_only,
            memory_kib=memory_kib,
        )
        new = slot_id_of(member.public)

        def changed(members: Sequence[Member]) -> list[Member]:
            return [member if slot_id_of(one.public) == old else one for one in members]

        if old == self._parts.keyring.slot_id:
            self._store.unlock_with(passphrase)
        self._store.resweep(maintenance.sweep.MemberChange(changed, {old: new}))
        return next(one for one in self.slots() if one.id == new.hex())

    def _passphrase_slot(self, slot: str | None) -> KeySlot:
        if slot is not None:
            found = self._named(slot)
            if found.kind != "passphrase":
                raise UsageError(
                    f"slot {found.id} is no passphrase's, but a {found.kind}",
                    next_step="see which are with `artifactstore key list`",
                    slot=found.id,
                )
            return found
        those = [one for one in self.slots() if one.kind == "passphrase"]
        own = self._parts.keyring.slot_id.hex()
        for one in those:
            if one.id == own or len(those) == 1:
                return one
        raise UsageError(
            f"{len(those) or 'no'} slots take a passphrase",
            next_step="say which is meant, as `artifactstore key list` shows it",
        )

    def _named(self, slot: str) -> KeySlot:
        """The slot of an id or of its first digits."""
        found = [one for one in self.slots() if len(slot) >= _DIGITS_MIN and one.id.startswith(slot.lower())]
        if len(found) != 1:
            raise UsageError(
                f"{'no slot' if not found else 'more than one slot'} has an id that begins with {slot!r}",
                next_step="list the slots with `artifactstore key list`",
                slot=slot,
            )
        return found[0]

    def _added(self, member: Member, name: str) -> KeySlot:
        check_name(name, "member")
        self._store.before_writing()
        slot_id = slot_id_of(member.public)
        made: dict[tuple[bytes, ...], bytes] = {}

        def keys(position: Position) -> list[bytes]:
            before = tuple(position.keys)
            if before not in made:
                made[before] = self._stored(position, member)
            return [made[before]]

        self._store.across(lambda: self._parts.committer.commit([SlotAdded(slot_id, name)], keys=keys))
        return next(slot for slot in self.slots() if slot.id == slot_id.hex())

    def _stored(self, position: Position, member: Member) -> bytes:
        """Store the next `keys/` object and read it back; return its SHA-256."""
        current = self._current(position)
        slot_id = slot_id_of(member.public)
        if any(slot.id == slot_id for slot in current.slots):
            raise PreconditionFailed(
                f"key {slot_id.hex()} has a slot of this store already",
                next_step="list the slots with `artifactstore key list`",
                slot=slot_id.hex(),
            )
        if len(current.slots) >= SLOT_KEYS_MAX:
            raise PreconditionFailed(
                f"the store has {SLOT_KEYS_MAX} slots, and no room for more",
                next_step="remove one that is not needed: artifactstore key list, artifactstore key remove SLOT",
            )
        try:
            data = with_member(current, self._parts.keyring.secrets, member)
        except SealBroken:
            raise UsageError(
                "the line holds no key that can be sealed to",
                next_step="ask for another line: `artifactstore key request` prints it",
            ) from None
        name = keys_object_name(data)
        store_keys(self._parts.backend, name, data)
        return bytes.fromhex(name.removeprefix("keys/"))

    def _current(self, position: Position) -> KeysObject:
        return current_keys(self._parts.backend, self._parts.keyring.store_id, position.keys)
