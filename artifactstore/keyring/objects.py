"""Reading `keys/` objects: only those that a valid record names count, and only whole ones."""

from collections.abc import Iterable
from typing import Final

from artifactstore.backend.base import Backend
from artifactstore.errors import Damaged, ObjectMissing, ObjectTooLarge
from artifactstore.format.keys import KEYS_BYTES_MAX, KeysObject
from artifactstore.keyring.keyring import checked_keys

RESTORE_KEYS: Final = (
    "put it back from a copy of the bucket; a client that has opened the store before keeps copies of keys/"
    " in its cache directory"
)


def read_keys(backend: Backend, store_id: bytes, digest: bytes) -> tuple[str, KeysObject]:
    """One `keys/` object that a valid record names, with its name.

    Raises:
        Damaged: It is missing, altered or another store's.
        NewerStore: A later format or another suite made it.
    """
    name = f"keys/{digest.hex()}"
    try:
        data = backend.get(name, limit_bytes=KEYS_BYTES_MAX)
    except (ObjectMissing, ObjectTooLarge):
        raise Damaged(f"{name} is missing or too large", next_step=RESTORE_KEYS, object=name) from None
    return name, checked_keys(data, store_id, name)


def current_keys(backend: Backend, store_id: bytes, digests: Iterable[bytes]) -> KeysObject:
    """The first `keys/` object that is whole of those that the last valid record names.

    Raises:
        Damaged: None is.
        NewerStore: A later format or another suite made it.
    """
    failure: Damaged | None = None
    for digest in digests:
        try:
            return read_keys(backend, store_id, digest)[1]
        except Damaged as error:
            failure = error
    raise failure or Damaged("the log names no keys/ object")


def store_keys(backend: Backend, name: str, data: bytes) -> None:
    """Store a `keys/` object and read it back: it may be the only copy of its secrets (invariant 12).

    Raises:
        Damaged: It does not read back as it was written, or is gone: a sweep erases what no record names.
    """
    backend.put(name, data)
    try:
        found = backend.get(name, limit_bytes=len(data))
    except (ObjectMissing, ObjectTooLarge):
        found = b""
    if found != data:
        raise Damaged(f"{name} does not read back as it was written", object=name)
