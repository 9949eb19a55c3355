"""The digest of a version that is not made yet: files are read and hashed, and nothing is stored."""

import os
import stat as stat_bits
from collections.abc import Iterable
from io import FileIO
from typing import Final

from blake3 import blake3

from artifactstore.errors import InvalidSource
from artifactstore.format.pack import PackType
from artifactstore.format.page import Content as EntryContent
from artifactstore.format.page import Identity, Kind
from artifactstore.manifest.build import ManifestBuilder
from artifactstore.transfer.drafting import unchanged
from artifactstore.transfer.ingest import (
    executable_flag,
    flags_of,
    open_given,
    open_source,
    refuse_other_bytes,
)
from artifactstore.transfer.pull import blake3_of
from artifactstore.transfer.scan import Found, without_reading

_READ_BYTES: Final = 1 << 20
# So many digests of files are kept for the next time; a draft of more is read again.
_KEPT_MAX: Final = 1 << 20
_CID: Final = bytes(32)


class Digester:
    """Computes digests of a draft, and reads no file twice that has not changed. Not thread-safe."""

    def __init__(self) -> None:
        # By source, inode, size and mtime.
        self._known: dict[tuple[str, int, int, int], bytes] = {}

    def digest(self, found: Iterable[Found]) -> bytes:
        """The digest that a version of these entries has.

        Args:
            found: The entries in path order, and pages that stay as they are.

        Raises:
            SourceChanged: A file is not what it was when it was added.
            NoSuchPath, PermissionRefused: It can't be read.
        """
        builder = ManifestBuilder(_Nowhere())
        for one in found:
            given = one.given
            if given is not None and given.pages is not None:
                given.pages.add_to(builder)
                continue
            known = without_reading(one)
            identity, content = (
                (self._read(unchanged(one)), EntryContent(0, b"", [])) if known is None else known
            )
            builder.add(identity, content)
        return builder.finish().digest

    def _read(self, found: Found) -> Identity:
        if found.given is not None:
            size, digest = _hashed_given(found)
            return found.path, int(Kind.FILE), size, digest, flags_of(found, None)
        stat = found.stat
        if stat is None or not stat_bits.S_ISREG(stat.st_mode):
            raise InvalidSource(f"{found.source!r} is no file that can be read twice", path=found.path)
        key = found.source, stat.st_ino, stat.st_size, stat.st_mtime_ns
        digest_known = self._known.get(key)
        if digest_known is None:
            with open_source(found) as file:
                assert isinstance(file, FileIO), "a source is opened unbuffered"
                digest_known = blake3_of(file)
            unchanged(found)
            if len(self._known) < _KEPT_MAX:
                self._known[key] = digest_known
        # The executable bit may change until the draft is saved.
        return found.path, int(Kind.FILE), stat.st_size, digest_known, executable_flag(os.lstat(found.source))


def _hashed_given(found: Found) -> tuple[int, bytes]:
    size, hasher = 0, blake3()
    with open_given(found) as stream:
        while data := stream.read(_READ_BYTES):
            size += len(data)
            hasher.update(data)
    digest = hasher.digest()
    refuse_other_bytes(found, size, digest)
    return size, digest


class _Nowhere:
    """Names pages that are not stored: a digest stands over what the entries say, and over no name of a chunk."""

    def put_one(self, kind: PackType, data: bytes) -> bytes:  # noqa: ARG002 - as a putter has it
        return _CID
