"""Key files: the private half of a slot key, as a small text file that only its owner can read.

Whoever holds the file reads the store, and without it nobody does: it is created whole or not at all, never
overwritten, and any altered, cut or added byte is found. The text::

    artifactstore key file, version 1. Keep it secret, and keep a copy of it elsewhere.
    created: 2026-01-31T12:00:00Z
    key: <44 characters of base64>
    checksum: <32 hex digits of the SHA-256 of all lines above>
"""

import base64
import binascii
import contextlib
import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from artifactstore.clock import Clock, Randomness
from artifactstore.crypto.hashing import sha256
from artifactstore.crypto.hpke import generate_pair, public_of
from artifactstore.errors import (
    ArtifactStoreError,
    BackendError,
    DestinationExists,
    KeyDamaged,
    KeyExposed,
    KeyMissing,
    PermissionRefused,
    StorageFull,
)
from artifactstore.format.keys import slot_id_of

KEY_FILE_BYTES_MAX = 4096
CHECKSUM_HEX_DIGITS = 32
TITLE = "artifactstore key file, version 1. Keep it secret, and keep a copy of it elsewhere."

_TEXT = re.compile(
    rb"(?P<signed>" + re.escape(TITLE.encode()) + rb"\n"
    rb"created: (?P<created>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)\n"
    rb"key: (?P<key>[A-Za-z0-9+/]{43}=)\n)"
    rb"checksum: (?P<checksum>[0-9a-f]{32})\n"
)
# What a file system answers that has no hard links, such as the FAT of a memory stick.
_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


class KeyPair(NamedTuple):
    """An X25519 pair that unlocks stores.

    Attributes:
        slot_id: The first 16 bytes of the SHA-256 of the public key.
        private: The private key, 32 bytes.
        public: The public key, 32 bytes.
    """

    slot_id: bytes
    private: bytes
    public: bytes

    def __repr__(self) -> str:
        """Without the private key: representations end up in logs."""
        return f"KeyPair(slot_id={self.slot_id.hex()})"


def pair_of(private: bytes) -> KeyPair:
    """The pair of a private key of 32 bytes."""
    public = public_of(private)
    return KeyPair(slot_id_of(public), private, public)


def create_key_file(path: str | os.PathLike[str], *, randomness: Randomness, clock: Clock) -> KeyPair:
    """Make a new key and write it to `path`, durably, with mode 0600; folders that are missing get 0700.

    Raises:
        DestinationExists: There is something at `path`; it is left as it is.
        StorageFull: No space is left; nothing is left behind.
        PermissionRefused: The folder can't be written.
    """
    private, _ = generate_pair(randomness)
    target = Path(path)
    _publish(target, _text_of(private, clock.now_ns()), randomness)
    return pair_of(private)


def load_key_file(path: str | os.PathLike[str]) -> KeyPair:
    """Read the key file at `path`.

    Raises:
        KeyMissing: There is no file.
        KeyExposed: Users other than its owner have access to it.
        KeyDamaged: It is no key file, or was altered.
        PermissionRefused: It can't be read.
    """
    target = Path(path)
    data, mode = _read(target)
    if mode & 0o077:
        raise KeyExposed(
            f"key file {target} is open to other users (mode {mode & 0o777:04o})",
            path=str(target),
            expected="0600",
            found=f"{mode & 0o777:04o}",
        )
    return _parse(data, target)


def load_or_create_key_file(
    path: str | os.PathLike[str], *, randomness: Randomness, clock: Clock
) -> tuple[KeyPair, bool]:
    """Read the key file at `path`, made first if there is none; two processes that race get one key.

    Returns:
        The pair, and whether this call made it, so that its owner can be told to back it up.
    """
    try:
        pair = load_key_file(path)
    except KeyMissing:
        try:
            return create_key_file(path, randomness=randomness, clock=clock), True
        except DestinationExists:
            pair = load_key_file(path)
    _settle(Path(path))
    return pair, False


def backup_key_file(
    path: str | os.PathLike[str], destination: str | os.PathLike[str], *, randomness: Randomness
) -> KeyPair:
    """Copy the key file to `destination`, durably; a copy of the same key that is there already will do.

    Raises:
        DestinationExists: Something else is there; it is left as it is.
        KeyMissing, KeyExposed, KeyDamaged: As `load_key_file`.
        StorageFull: No space is left.
    """
    pair = load_key_file(path)
    data, _ = _read(Path(path))
    _publish_unless_same(Path(destination), data, pair, randomness)
    return pair


def restore_key_file(
    backup: str | os.PathLike[str], path: str | os.PathLike[str], *, randomness: Randomness
) -> KeyPair:
    """Copy a backup to `path`, durably, with mode 0600.

    A file at `path` that is damaged is kept beside it under the ending `.damaged`. Who else can read the
    backup is not asked: it may lie on a medium that knows no owners.

    Raises:
        DestinationExists: There is another key at `path`; it is left as it is.
        KeyMissing: There is no backup.
        KeyDamaged: The backup is no key file, or was altered.
        StorageFull: No space is left.
    """
    source, target = Path(backup), Path(path)
    try:
        data, _ = _read(source)
        pair = _parse(data, source)
    except (KeyMissing, KeyDamaged) as error:
        error.next_step = (
            "name another copy of it; without any, another member or a recovery phrase opens the store"
        )
        raise
    with contextlib.suppress(KeyMissing):
        found, _ = _read(target)
        try:
            _parse(found, target)
        except KeyDamaged:
            _set_aside(target)
    _publish_unless_same(target, data, pair, randomness)
    return pair


def _text_of(private: bytes, now_ns: int) -> bytes:
    created = datetime.fromtimestamp(now_ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    lines = f"{TITLE}\ncreated: {created}\nkey: {base64.b64encode(private).decode()}\n"
    return lines.encode() + b"checksum: " + _checksum(lines.encode()) + b"\n"


def _checksum(signed: bytes) -> bytes:
    return sha256(signed).hex()[:CHECKSUM_HEX_DIGITS].encode()


def _parse(data: bytes, path: Path) -> KeyPair:
    match = _TEXT.fullmatch(data)
    if match is None:
        raise KeyDamaged(f"{path} is not a key file, or was cut or altered", path=str(path))
    if _checksum(match["signed"]) != match["checksum"]:
        raise KeyDamaged(f"key file {path} was altered: its checksum does not match", path=str(path))
    try:
        return pair_of(base64.b64decode(match["key"], validate=True))
    except (binascii.Error, ValueError):
        raise KeyDamaged(f"key file {path} holds no key", path=str(path)) from None


def _read(path: Path) -> tuple[bytes, int]:
    """The bytes and the mode of a regular file; at most one byte more than a key file may have."""
    try:
        # Without O_NONBLOCK a FIFO in its place would hang the program.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise KeyMissing(f"there is no key file at {path}", path=str(path)) from None
    except OSError as error:
        raise _error_of(error, path, "read") from error
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise KeyDamaged(f"{path} is not a file", path=str(path))
        return os.read(descriptor, KEY_FILE_BYTES_MAX + 1), mode
    except OSError as error:
        raise _error_of(error, path, "read") from error
    finally:
        os.close(descriptor)


def _publish_unless_same(path: Path, data: bytes, pair: KeyPair, randomness: Randomness) -> None:
    try:
        _publish(path, data, randomness)
    except DestinationExists:
        try:
            found = _parse(_read(path)[0], path)
        except KeyDamaged:
            found = None
        if found != pair:
            raise


def _publish(path: Path, data: bytes, randomness: Randomness) -> None:
    """Make `path` with these bytes, all or nothing, durable, mode 0600, never over anything that is there."""
    temporary = path.with_name(f".{path.name}.{randomness.token(8).hex()}.tmp")
    with _errors_named(path):
        _make_folders(path.parent)
        try:
            _write_new(temporary, data)
            try:
                os.link(temporary, path)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                _write_new(path, data)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
        _sync_folder(path.parent)
    # Whoever made the folders may have been killed before they were durable too.
    _settle(path.parent)


def _write_new(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        path.unlink()
        raise


def _make_folders(folder: Path) -> None:
    """Make `folder` and what is missing above it with mode 0700; those that exist are left as they are."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(each.parent)


def _settle(path: Path) -> None:
    """Make a name durable whose maker may have been killed before it was: no store may outlive its key."""
    with _errors_named(path):
        for folder in path.parents:
            # Those above one's home may not be readable, and are not new.
            with contextlib.suppress(PermissionError):
                _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Some file systems can't sync a folder and say so; there is nothing more to do on them.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:
            raise
    finally:
        os.close(descriptor)


def _set_aside(path: Path) -> None:
    """Rename what is at `path` to the first free name that ends in `.damaged`."""
    with _errors_named(path):
        for number in range(100):
            aside = path.with_name(f"{path.name}.damaged{number or ''}")
            if not os.path.lexists(aside):
                path.rename(aside)
                return
    raise DestinationExists(f"there are too many damaged key files beside {path}", path=str(path))


@contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _error_of(error, path, "write") from error


def _error_of(error: OSError, path: Path, action: str) -> ArtifactStoreError:
    facts = {"path": str(path), "reason": error.strerror}
    if error.errno == errno.EEXIST:
        return DestinationExists(
            f"there is something at {path}, and a key file is never overwritten",
            next_step="move it away first if it is not needed",
            **facts,
        )
    if error.errno in _NO_SPACE:
        return StorageFull(f"no space is left to write key file {path}", next_step="free some space", **facts)
    if error.errno in _REFUSED:
        return PermissionRefused(f"key file {path}: no permission to {action} it", **facts)
    return BackendError(f"key file {path}: can't {action} it: {error.strerror}", **facts)
