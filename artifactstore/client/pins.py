"""Which store this client saw at a URL, and what its last audit saw of the log.

So another store, or an older copy, does not take its place without a word.

A pin is replaced whole or not at all and is durable before the store is used: a crash leaves the pin before it. What
is not an id counts as no pin.
"""

import contextlib
import os
import re
import tempfile
from pathlib import Path
from typing import Final

from artifactstore.backend.local import make_folders, sync_file, sync_folder
from artifactstore.crypto.hashing import blake3
from artifactstore.errors import RolledBack, UsageError

_FOLDER: Final = "pins"
_CHECKPOINT: Final = ".checkpoint"
_STORE_ID = re.compile(r"[0-9a-f]{64}")


def pinned(cache_dir: Path, url: str) -> bytes | None:
    """The store id that this client saw at the URL before."""
    try:
        text = _path(cache_dir, url).read_text(encoding="ascii")
    except (OSError, ValueError):
        return None
    return bytes.fromhex(text) if _STORE_ID.fullmatch(text) else None


def expected_id(store_id: str | None, known: bytes | None) -> bytes | None:
    """The id that a store must have: the one that the caller names, else the one that was seen there; None for any.

    Raises:
        UsageError: What the caller names is no id.
    """
    if not store_id:
        return known
    if not _STORE_ID.fullmatch(store_id.lower()):
        raise UsageError(
            f"{store_id!r} is no store's id, which has 64 hex digits",
            next_step="copy it whole from what `artifactstore init` or `artifactstore info` printed",
            store_id=store_id,
        )
    return bytes.fromhex(store_id)


def refuse_other_id(url: str, expected: bytes | None, found: bytes, *, named: bool) -> None:
    """Refuse a store that is another one than was expected at the URL.

    Raises:
        RolledBack: It is.
    """
    if expected is None or expected == found:
        return
    than = "was asked for" if named else "this client saw there before"
    raise RolledBack(
        f"another store lies at {url} than {than}: {found.hex()[:12]}…, not {expected.hex()[:12]}…",
        next_step="if it is the right one, open it with its id: --store-id or store_id=",
        expected=expected.hex(),
        found=found.hex(),
    )


def pin(cache_dir: Path, url: str, store_id: bytes) -> None:
    """Remember which store lies at the URL; a cache that can't be written remembers nothing."""
    path = _path(cache_dir, url)
    if pinned(cache_dir, url) == store_id:
        return
    with contextlib.suppress(OSError):
        make_folders(path.parent, mode=0o700)
        replace_file(path, store_id.hex().encode())
        sync_folder(str(path.parent))


def seen(cache_dir: Path, url: str) -> str | None:
    """The text of the checkpoint that this client's last audit of the URL left."""
    try:
        return _path(cache_dir, url).with_suffix(_CHECKPOINT).read_text(encoding="ascii")
    except (OSError, ValueError):
        return None


def remember_seen(cache_dir: Path, url: str, checkpoint: str) -> None:
    """Remember what an audit saw; a cache that can't be written remembers nothing."""
    path = _path(cache_dir, url).with_suffix(_CHECKPOINT)
    if seen(cache_dir, url) == checkpoint:
        return
    with contextlib.suppress(OSError):
        make_folders(path.parent, mode=0o700)
        replace_file(path, checkpoint.encode())
        sync_folder(str(path.parent))


def replace_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, durable before it has its name.

    Raises:
        OSError: It can't be written; what was there is unchanged.
    """
    file, temporary = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=path.parent)
    try:
        try:
            os.write(file, data)
            sync_file(file)
        finally:
            os.close(file)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink()
        raise


def _path(cache_dir: Path, url: str) -> Path:
    location = url if "://" in url else os.path.realpath(url)
    return cache_dir / _FOLDER / blake3(location.encode(errors="surrogateescape")).hex()[:32]
