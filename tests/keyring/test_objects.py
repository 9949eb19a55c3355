"""`keys/` objects on a backend: what was stored and is not there in whole is damage, whoever took it."""

import pytest

from artifactstore.backend.memory import MemoryBackend
from artifactstore.errors import Damaged
from artifactstore.keyring.objects import store_keys

NAME = "keys/" + "0" * 64
DATA = bytes(range(200))


class Forgetful(MemoryBackend):
    """Says yes to what it is given and has something else afterwards."""

    def __init__(self, kept: bytes | None) -> None:
        super().__init__("forgetful")
        self._kept = kept

    def put(self, name: str, data: bytes | memoryview) -> None:
        """Store what it keeps of an object."""
        if self._kept is not None:
            super().put(name, self._kept)


@pytest.mark.parametrize("kept", [None, b"", DATA[:-1], DATA + b"\0", DATA[::-1]])
def test_what_does_not_read_back_whole_is_damaged(kept: bytes | None) -> None:
    """Gone, as when a sweep erased what no record named yet, cut, grown or altered."""
    with pytest.raises(Damaged, match="does not read back"):
        store_keys(Forgetful(kept), NAME, DATA)


def test_what_reads_back_is_there() -> None:
    """The bytes lie under their name."""
    backend = MemoryBackend("kept")
    store_keys(backend, NAME, DATA)
    assert backend.get(NAME, limit_bytes=len(DATA)) == DATA
