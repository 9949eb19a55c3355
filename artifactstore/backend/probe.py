"""The test of a backend's promise that `create` has one winner; a vendor's name proves nothing.

It can refute the promise, not prove it: a race that is lost once in a million goes through. Backends that are
known not to keep it say so themselves (`Backend.create_doubt`), and are refused before any race.
"""

from concurrent.futures import wait

from artifactstore.backend.base import Backend
from artifactstore.clock import Randomness
from artifactstore.errors import (
    AccessError,
    BackendError,
    ConnectionLost,
    ObjectExists,
    ObjectMissing,
    UntrustedBackend,
)
from artifactstore.executors import Executors

PROBE_PREFIX = "probe/"
# fsspec's memory file system let 3 of 20 threads win, its local one 19; servers that ignore the condition
# let all of them. Eight on three keys finds the latter surely, and costs a server that stalls losers little.
_RACERS = 8
_RACES = 3
_LIMIT_BYTES = 1024
_TRIES = 5


def probe(backend: Backend, randomness: Randomness, executors: Executors) -> None:
    """Create unique names twice, then by several threads at once, and demand one winner of each.

    Args:
        backend: What to test; it must be writable. Objects under `probe/` are made and deleted again.
        randomness: Makes the names and bytes.
        executors: `io` runs the race; inline executors make it a sequence, which the liars of note lose too.

    Raises:
        UntrustedBackend: Two creates of one name succeeded, or a refused one changed the object.
        BackendError, PermissionRefused: The backend failed at something else.
    """
    if backend.create_doubt:
        raise _untrusted(backend, backend.create_doubt)
    names = [PROBE_PREFIX + randomness.token(16).hex() for _ in range(1 + _RACES)]
    try:
        _create_twice(backend, names[0], randomness)
        _race(backend, names[1:], randomness, executors)
    finally:
        for name in names:
            _clean(backend, name)


def _create_twice(backend: Backend, name: str, randomness: Randomness) -> None:
    first = randomness.token(32)
    _create_surely(backend, name, first)
    for attempt in range(1, _TRIES + 1):
        try:
            backend.create(name, randomness.token(32))
        except ObjectExists:
            break
        except ConnectionLost:
            if attempt == _TRIES:
                raise
        else:
            raise _untrusted(backend, "a second create of one name succeeded")
    if backend.get(name, limit_bytes=_LIMIT_BYTES) != first:
        raise _untrusted(backend, "a refused create changed the object")


def _create_surely(backend: Backend, name: str, data: bytes) -> None:
    """Create an object that only this call can have made, whatever answers are lost."""
    for attempt in range(1, _TRIES + 1):
        try:
            backend.create(name, data)
        except (ObjectExists, ConnectionLost) as error:
            try:
                if backend.get(name, limit_bytes=_LIMIT_BYTES) == data:
                    return
            except ObjectMissing:
                if attempt < _TRIES:
                    continue
            raise error from None
        else:
            return


def _race(backend: Backend, names: list[str], randomness: Randomness, executors: Executors) -> None:
    """Race for all names at once: a server that stalls losers does so once."""
    offers = {name: [randomness.token(32) for _ in range(_RACERS)] for name in names}
    futures = {
        name: [executors.io.submit(_wins, backend, name, offer) for offer in offers[name]] for name in names
    }
    wait([future for racing in futures.values() for future in racing])
    for name in names:
        pairs = zip(offers[name], futures[name], strict=True)
        winners = [offer for offer, future in pairs if future.result()]
        if len(winners) > 1:
            raise _untrusted(backend, f"{len(winners)} of {_RACERS} creates of one name succeeded")
        kept = backend.get(name, limit_bytes=_LIMIT_BYTES)
        # None won by its own account where the winner's answer was lost and its repetition refused.
        if kept not in (winners or offers[name]):
            raise _untrusted(backend, "the bytes kept are not those of the create that succeeded")


def _wins(backend: Backend, name: str, offer: bytes) -> bool:
    try:
        backend.create(name, offer)
    except (ObjectExists, ConnectionLost):
        # After a lost answer nobody says who won; what is kept then has to be one of the offers.
        return False
    return True


def _clean(backend: Backend, name: str) -> None:
    """Delete what the probe made; where that is forbidden it stays, and harms nobody."""
    try:
        backend.delete(name)
    except (BackendError, AccessError):
        return


def _untrusted(backend: Backend, reason: str) -> UntrustedBackend:
    return UntrustedBackend(f"{backend.url} can't hold a store: {reason}", url=backend.url, reason=reason)
