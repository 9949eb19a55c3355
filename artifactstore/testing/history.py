"""Clients that note what they do to a store while they do it, and what the store's log says that they did.

A journal holds one client's operations, each noted before it is asked for and again when it has its result, so that of
a client that was killed everything is known but the outcome of its last one. Times are of the system's monotonic
clock, which all processes of a machine share and nobody can set.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from artifactstore.client.opening import Parts
from artifactstore.errors import (
    AliasMoved,
    ArtifactStoreError,
    NoSuchArtifact,
    NotFoundError,
    PreconditionFailed,
)
from artifactstore.format.operations import Alias, Sealed, Tag
from artifactstore.format.operations import Delete as LoggedDelete
from artifactstore.format.operations import Push as LoggedPush
from artifactstore.format.operations import Undelete as LoggedUndelete
from artifactstore.ids import ANYWHERE, LATEST
from artifactstore.index.tables import Position
from artifactstore.keyring.keyring import Keyring
from artifactstore.log.log import Applier
from artifactstore.log.records import unsealed
from artifactstore.store.store import Store
from artifactstore.testing.linearizability import (
    Action,
    Delete,
    Event,
    Found,
    Landed,
    Mark,
    Move,
    Push,
    Resolve,
    Undelete,
    Write,
)
from artifactstore.testing.simulation import SeededRandomness

R = TypeVar("R")
_Logged: TypeAlias = LoggedPush | Alias | Tag | LoggedDelete | LoggedUndelete

_LABEL_FILE: Final = "label"
_DATA_FILE: Final = "data"


class Noted(msgspec.Struct, frozen=True):
    """One line of a journal.

    Attributes:
        event: The operation; without an end when it has just been asked for.
        tries: Records that were made for slots, those that lost their slot included.
        seconds: How long it took, as its client's own clock has it.
        error: The kind of the error that it failed with; empty otherwise.
    """

    event: Event
    tries: int = 0
    seconds: float = 0.0
    error: str = ""


class Recorder:
    """Does things to a store for one client and notes them. Not thread-safe.

    Contents are made from labels: a version labelled `x` holds `x`, and bytes that follow from it, so that whoever
    pulls it knows whether it is whole.

    Args:
        store: The client's store.
        client: Its name.
        journal: The file to note in; it is made, or added to.
        scratch: A folder for what is pushed and pulled.
    """

    def __init__(self, store: Store, client: str, journal: Path, scratch: Path) -> None:
        self._store = store
        self._client = client
        self._scratch = scratch
        scratch.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._slots: list[int] = []
        self._tries = 0
        self._note_claims()
        self._note_renewals()

    def close(self) -> None:
        """Close the journal."""
        os.close(self._descriptor)

    def push(
        self, artifact: str, label: str, size_bytes: int, *, aliases: Sequence[str] = (), tagged: bool = True
    ) -> Landed | None:
        """Push the content of a label; None when it failed. What is `tagged` carries the label as a tag too."""
        tags = (label,) if tagged else ()
        folder = self._scratch / "source"
        folder.mkdir(exist_ok=True)
        (folder / _LABEL_FILE).write_text(label, encoding="utf-8")
        (folder / _DATA_FILE).write_bytes(content_of(label, size_bytes))

        def act() -> Landed:
            version = self._store.push([folder], artifact, aliases=aliases, tags=tags)
            assert version.push is not None
            return Landed(version.number, version.push.created)

        return self._noted(artifact, Push(label, tuple(aliases), tags), act)

    def move(
        self, artifact: str, number: int, aliases: Sequence[str], *, expected: str | None = ANYWHERE
    ) -> bool | None:
        """Point aliases at a version, False when one is not where it is expected; None when it failed."""

        def act() -> bool:
            try:
                self._store.add_aliases(f"{artifact}:v{number}", aliases, expected=expected)
            except AliasMoved:
                return False
            return True

        standing = None if expected == ANYWHERE else () if expected is None else (int(expected[1:]),)
        return self._noted(artifact, Move(number, tuple(aliases), standing), act, absent=False)

    def mark(self, artifact: str, number: int, add: Sequence[str], remove: Sequence[str] = ()) -> bool | None:
        """Put labels on a version or, where none are to be added, take them off; None when it failed."""

        def act() -> bool:
            reference = f"{artifact}:v{number}"
            if add:
                self._store.add_tags(reference, add)
            else:
                self._store.remove_tags(reference, remove)
            return True

        return self._noted(
            artifact, Mark(number, tuple(add), () if add else tuple(remove)), act, absent=False
        )

    def delete(self, artifact: str, number: int, *, force: bool = False) -> bool | None:
        """Delete a version; None when it failed."""

        def act() -> bool:
            try:
                self._store.delete([f"{artifact}:v{number}"], force=force)
            except PreconditionFailed:
                return False
            return True

        return self._noted(artifact, Delete((number,), force), act, absent=False)

    def undelete(self, artifact: str, number: int) -> bool | None:
        """Bring a deleted version back; None when it failed."""

        def act() -> bool:
            try:
                self._store.undelete([f"{artifact}:v{number}"])
            except PreconditionFailed:
                return False
            return True

        return self._noted(artifact, Undelete((number,)), act, absent=False)

    def pull(self, artifact: str, name: str = LATEST) -> Found | None:
        """Pull what an alias or `vN` names and look at every byte; None when it failed or names nothing."""
        target = self._scratch / "pulled"

        def act() -> Found:
            try:
                version = self._store.pull(f"{artifact}:{name}", target).version
                return Found(version.number, _label_of(target), tuple(sorted(version.tags)))
            finally:
                for file in (_LABEL_FILE, _DATA_FILE):
                    (target / file).unlink(missing_ok=True)
                with suppress(FileNotFoundError):
                    target.rmdir()

        return self._noted(artifact, Resolve(name), act, absent=None)

    def _noted(
        self, artifact: str, action: Action, act: Callable[[], R], *, absent: R | None = None
    ) -> R | None:
        """Do something between two notes; what names nothing returns `absent`."""
        self._slots.clear()
        self._tries = 0
        event = Event(self._client, artifact, action, _now_s(), None)
        self._write(Noted(event))
        started_s = event.begin_s
        result: R | None
        try:
            result = act()
        except NotFoundError as error:
            if self._slots and not isinstance(error, NoSuchArtifact):
                # What it was done to is gone again: what it would have been told nobody knows.
                self._write(Noted(event, self._tries, _now_s() - started_s, error.kind))
                return None
            result = absent
        except ArtifactStoreError as error:
            self._write(Noted(event, self._tries, _now_s() - started_s, error.kind))
            return None
        end_s = _now_s()
        told: Any = result
        slot = self._slots[-1] if self._slots else None
        event = msgspec.structs.replace(event, end_s=end_s, result=told, slot=slot)
        self._write(Noted(event, self._tries, end_s - started_s))
        return result

    def _note_claims(self) -> None:
        """Let the log tell which slots are claimed through it, and when a record is made for one."""
        log = parts_of(self._store).log
        if "claim" in vars(log):
            return
        inner = log.claim

        def claim(applier: Applier, make: Callable[[Position], bytes]) -> int:
            def making(position: Position) -> bytes:
                self._tries += 1
                return make(position)

            self._slots.append(inner(applier, making))
            return self._slots[-1]

        vars(log)["claim"] = claim

    def _note_renewals(self) -> None:
        """After a sweep the store has another log, in the middle of an operation too."""
        inner = self._store._renew  # noqa: SLF001 - tests own every part

        def renew(before: Parts) -> None:
            inner(before)
            self._note_claims()

        vars(self._store)["_renew"] = renew

    def _write(self, noted: Noted) -> None:
        os.write(self._descriptor, msgspec.json.encode(noted) + b"\n")


def read_journal(path: Path) -> list[Noted]:
    """What a client has noted: one line for each operation, the last that it wrote of it."""
    noted: list[Noted] = []
    open_ended = False
    for line in path.read_bytes().splitlines():
        one = msgspec.json.decode(line, type=Noted)
        begins = one.event.end_s is None and not one.error
        if open_ended and not begins:
            noted[-1] = one
        else:
            noted.append(one)
        open_ended = begins
    return noted


def read_log(store: Store, former: Mapping[int, Keyring] | None = None) -> list[Write]:
    """The catalog operations in a store's log, in order, with contents as their labels.

    A content whose label no push has put into the log as a tag goes by its digest.

    Args:
        store: The store.
        former: Keys of the generations before sweeps, which open their records; those of others are left out.
    """
    operations = [
        (slot, operation)
        for slot, sealed in _opened(store, former or {})
        for operation in sealed.operations
        if isinstance(operation, _Logged)
    ]
    labels = {
        operation.manifest.digest: operation.tags[0]
        for _, operation in operations
        if isinstance(operation, LoggedPush) and operation.tags
    }
    return [
        Write(slot, f"{operation.project}/{operation.name}", _action_of(operation, labels))
        for slot, operation in operations
    ]


def _opened(store: Store, former: Mapping[int, Keyring]) -> Iterator[tuple[int, Sealed]]:
    """Every record that can be opened."""
    parts = parts_of(store)
    end = parts.log.follow(parts.catalog).next_slot
    for record in parts.log.reread(0, end):
        sealed = record.sealed
        if sealed is None and record.clear is not None and record.clear.generation in former:
            data = parts.log.read(record.slot)
            assert data is not None
            sealed = unsealed(data, record.slot, former[record.clear.generation])
        if sealed is not None:
            yield record.slot, sealed


def content_of(label: str, size_bytes: int) -> bytes:
    """The bytes that go with a label, behind their own length."""
    body = SeededRandomness(int.from_bytes(label.encode(), "big")).token(size_bytes)
    return size_bytes.to_bytes(8, "big") + body


def parts_of(store: Store) -> Parts:
    """The parts of an open store."""
    return store._parts  # noqa: SLF001 - tests own every part


def _label_of(folder: Path) -> str:
    """The label of a pulled version, every byte of which is what the label says."""
    label = (folder / _LABEL_FILE).read_text(encoding="utf-8")
    data = (folder / _DATA_FILE).read_bytes()
    assert data == content_of(label, int.from_bytes(data[:8], "big")), f"wrong bytes under {label}"
    return label


def _action_of(operation: _Logged, labels: Mapping[bytes, str]) -> Action:
    match operation:
        case LoggedPush():
            digest = operation.manifest.digest
            return Push(labels.get(digest, digest.hex()), tuple(operation.aliases), tuple(operation.tags))
        case Alias():
            standing = None if operation.expected is None else tuple(operation.expected)
            return Move(operation.number, tuple(operation.aliases), standing)
        case Tag():
            return Mark(operation.number, tuple(operation.add), tuple(operation.remove))
        case LoggedDelete():
            return Delete(tuple(operation.numbers), operation.force)
        case LoggedUndelete():
            return Undelete(tuple(operation.numbers))


def _now_s() -> float:
    return time.monotonic()
