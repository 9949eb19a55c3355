"""A client's copies of `keys/` objects, so that opening a store that was opened before doesn't fetch them.

Such an object never changes and its name is its hash, so a copy is as good as the object; one that is not, or can't
be read, counts as none. It holds nothing that the backend doesn't show to whoever reads there.
"""

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from artifactstore.backend.base import Backend
from artifactstore.backend.local import make_folders
from artifactstore.backend.wrapping import WrapperBackend
from artifactstore.client.pins import replace_file
from artifactstore.crypto.hashing import sha256

_FOLDER: Final = "keys"
_KEYS_NAME: Final = re.compile(r"keys/([0-9a-f]{64})")
_NAMES_BYTES_MAX: Final = 64 * 65


class KeptKeys(WrapperBackend):
    """Gives `keys/` objects from the client's copies where it has them, and keeps those that it fetches.

    Args:
        inner: Where the store lies.
        cache_dir: The client's cache directory; one that can't be written keeps nothing.
    """

    def __init__(self, inner: Backend, cache_dir: Path) -> None:
        super().__init__(inner)
        self._folder = cache_dir / _FOLDER
        self._fetched: dict[str, bytes] = {}

    def get(self, name: str, *, limit_bytes: int) -> bytes:
        """Return a whole object of at most `limit_bytes`."""
        named = _KEYS_NAME.fullmatch(name)
        if named is None:
            return self.inner.get(name, limit_bytes=limit_bytes)
        fetched = self._fetched.get(name)
        if fetched is not None and len(fetched) <= limit_bytes:
            return fetched
        path, digest = self._folder / named[1], bytes.fromhex(named[1])
        with contextlib.suppress(OSError):
            with path.open("rb") as file:
                data = file.read(limit_bytes + 1)
            if len(data) <= limit_bytes and sha256(data) == digest:
                return data
        data = self.inner.get(name, limit_bytes=limit_bytes)
        if sha256(data) == digest:
            self._fetched[name] = data
            with contextlib.suppress(OSError):
                make_folders(path.parent, mode=0o700)
                replace_file(path, data)
        return data

    def current(self, store_id: bytes) -> list[bytes]:
        """Names of the `keys/` objects that this client unlocked last, if they were not those of record 0."""
        try:
            with self._current(store_id).open("rb") as file:
                words = file.read(_NAMES_BYTES_MAX).decode("ascii").split()
            return [bytes.fromhex(word) for word in words]
        except (OSError, ValueError):
            return []

    def keep_only(self, store_id: bytes, digests: Sequence[bytes], before: Sequence[bytes]) -> None:
        """Remember which `keys/` objects are current, and drop the copies of those before: their secrets end here."""
        with contextlib.suppress(OSError):
            make_folders(self._folder, mode=0o700)
            replace_file(self._current(store_id), " ".join(digest.hex() for digest in digests).encode())
        for digest in before:
            if digest not in digests:
                with contextlib.suppress(OSError):
                    (self._folder / digest.hex()).unlink()

    def _current(self, store_id: bytes) -> Path:
        return self._folder / f"{store_id.hex()}.current"
