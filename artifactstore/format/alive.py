"""A run's sign of life: an object of 40 bytes that say nothing; what counts is when they were written."""

import re
import struct
from typing import Final

from artifactstore.format.limits import FORMAT_VERSION, SUITE

ALIVE_PREFIX: Final = "runs/"
# `kind` and version, suite, a zero, store id.
_LAYOUT: Final = struct.Struct(">4sHBB32s")
_MAGIC: Final = b"ASTB"
_NAME: Final = re.compile(r"runs/([0-9a-f]{32})/alive", re.ASCII)


def alive_name(run: bytes) -> str:
    """The name of a run's sign of life."""
    return f"{ALIVE_PREFIX}{run.hex()}/alive"


def run_of_name(name: str) -> bytes | None:
    """The id of the run whose sign of life has this name; None for a name that none has."""
    found = _NAME.fullmatch(name)
    return None if found is None else bytes.fromhex(found[1])


def encode_alive(store_id: bytes) -> bytes:
    """The bytes of a sign of life."""
    return _LAYOUT.pack(_MAGIC, FORMAT_VERSION, SUITE, 0, store_id)
