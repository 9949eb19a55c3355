"""Going on after a sweep: unlocking its generation, and starting an index of it from the state that it left.

Nobody applies a sweep. What the secrets of the generation before sealed opens with none of today's, so the index of
each generation is one of its own, and the one before goes with the names that were purged.
"""

from pathlib import Path
from typing import Final

from artifactstore.client.kept import KeptKeys
from artifactstore.client.opening import Access, Parts, wire
from artifactstore.clock import Clock, Randomness
from artifactstore.errors import ArtifactStoreError, Damaged, WrongKey
from artifactstore.format.record import Clear
from artifactstore.index.environment import Environment, IndexBroken, destroy
from artifactstore.index.places import earlier_folders
from artifactstore.index.tables import META, STAT, TABLES, read_position
from artifactstore.keyring.keyfile import KeyPair
from artifactstore.keyring.objects import read_keys
from artifactstore.keyring.unlocking import unlock_by
from artifactstore.log.head import find_end, glance
from artifactstore.log.signers import Signers
from artifactstore.log.slots import Slots

PROBED: Final = b"probed"
_ROWS_PER_TRANSACTION: Final = 50_000
# While a client unlocks one generation, so many more may begin.
_SWEEPS_MAX: Final = 16


def renewed(access: Access, parts: Parts, clock: Clock, randomness: Randomness) -> tuple[Parts, KeyPair]:
    """The same store with the secrets of its current generation, and the slot key that opened them.

    Raises:
        WrongKey: A sweep removed the slot key.
        Damaged: The generation's `keys/` objects are missing or altered.
    """
    store_id, signers = parts.keyring.store_id, parts.log.signers
    kept = KeptKeys(parts.backend, access.cache_dir)
    clear = _last_valid(parts)
    for _ in range(_SWEEPS_MAX):
        try:
            keyring, pair = unlock_by(
                access.ways, (read_keys(kept, store_id, digest) for digest in clear.keys), parts.backend.url
            )
            break
        except WrongKey as error:
            error.next_step = "ask a member who has access to add your key again: `artifactstore key request`"
            raise
        except Damaged:
            # Another sweep may have taken them away since they were named.
            clear, named = _last_valid(parts), clear.keys
            if clear.keys == named:
                raise
    else:
        raise Damaged(f"{_SWEEPS_MAX} sweeps came one after the other while their keys were looked for")
    made = wire(
        access,
        parts.backend,
        keyring,
        clock,
        randomness,
        notices=parts.notices,
        rejected=signers.rejected,
        remembered=signers.known,
    )
    _take_over(made.environment)
    before = [digest for digest in kept.current(store_id) if digest not in clear.keys]
    before.append(bytes.fromhex(parts.keyring.keys_object.removeprefix("keys/")))
    kept.keep_only(store_id, clear.keys, before)
    return made, pair


def _last_valid(parts: Parts) -> Clear:
    """The clear part of the log's last valid record.

    Several generations may have passed: the chain is held against what is known once the state has told it.
    """
    slots = Slots(parts.backend)
    signers = Signers(parts.keyring.store_id, rejected=parts.log.signers.rejected)
    clear = find_end(slots, glance(slots), signers).clear
    if clear is None:
        raise Damaged("the log holds no valid record")
    return clear


def drop_earlier(folder: Path) -> None:
    """Delete the indexes of earlier generations beside one; who has one open keeps working on what was deleted."""
    for earlier in earlier_folders(folder):
        try:
            destroy(earlier)
        except ArtifactStoreError:
            continue  # the next one who gets here tries again


def _take_over(environment: Environment) -> None:
    """Copy from the last generation's index what does not depend on it: read files, and what the backend promised."""
    with environment.read() as txn:
        if read_position(txn).next_slot or txn.count(STAT):
            return
    earlier = earlier_folders(environment.path)
    if not earlier:
        return
    try:
        with Environment.open(earlier[-1], tables=TABLES) as before, before.read() as source:
            said = source.get(META, PROBED)
            rows: list[tuple[bytes, bytes]] = []
            for key, value in source.scan(STAT):
                rows.append((bytes(key), bytes(value)))
                if len(rows) >= _ROWS_PER_TRANSACTION:
                    _put(environment, rows)
                    rows = []
            _put(environment, rows)
        if said is not None:
            with environment.write() as txn:
                txn.put(META, PROBED, bytes(said))
    except IndexBroken:
        return


def _put(environment: Environment, rows: list[tuple[bytes, bytes]]) -> None:
    if rows:
        with environment.write() as txn:
            txn.put_many(STAT, rows)
