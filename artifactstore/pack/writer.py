"""Open packs: many threads seal blobs into one buffer, and the last one out closes it.

Invariant 14: every pack has its own random key, and a blob's nonce is its ordinal, which is given under the pack's
lock. An open pack is dropped on fork, crash or retry; it is never resumed.
"""

import contextlib
import hashlib
import mmap as mmap_module
import os
import threading
from collections.abc import Callable, Sequence
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import NamedTuple

from artifactstore.crypto.aead import Aead, counter_nonce
from artifactstore.crypto.hashing import sha256
from artifactstore.errors import Damaged
from artifactstore.format.cids import cid_prefixes
from artifactstore.format.limits import PACK_BYTES_MAX, PACK_CHUNKS_TARGET, TAG_BYTES
from artifactstore.format.pack import (
    END,
    FOOTER_NONCE,
    FOOTER_ORDINAL,
    HEADER,
    PackType,
    blob_aad,
    decode_footer,
    encode_footer,
    encode_header,
    encode_trailer,
    trailer_fits,
)
from artifactstore.format.record import PackAdded
from artifactstore.format.segment import ROW_BLOB, ROW_SPAN
from artifactstore.pack.names import pack_name

# Footer, trailer and one last blob may stand beyond the target; the buffer has room for them.
_FOOTER_BYTES_PER_CHUNK = 64
_FOOTER_BYTES_PER_BLOB = 32
# The end of a push waits for the hash of its last pack, so what is sealed is hashed while the rest comes.
_HASHED_AHEAD_BYTES = 2 << 20
_PRIVATE = MAP_PRIVATE | MAP_ANONYMOUS
_HUGE: int | None = getattr(mmap_module, "MADV_HUGEPAGE", None)


class FinishedPack(NamedTuple):
    """A closed pack: what the record says of it, its key, its bytes and its index rows.

    Attributes:
        added: Name, type, size, count and trailer hash.
        key: The pack's own key; goes into the sealed part of the record.
        data: The pack's bytes, or None once they are stored.
        rows: Rows of 45 bytes with pack number 0, sorted by cid, one after another: a sweep keeps a million.
    """

    added: PackAdded
    key: bytes
    data: memoryview | None
    rows: bytes

    @property
    def name(self) -> str:
        """The object's name on the backend."""
        return pack_name(self.added.name)


def _refuse_child(process: int) -> None:
    """Refuse what belongs to another process, from which this one was forked.

    Raises:
        RuntimeError: It does.
    """
    if os.getpid() != process:
        raise RuntimeError("this process was forked in the middle of a push: begin it anew in the child")


class _Reserved(NamedTuple):
    ordinal: int
    offset: int


class OpenPack:
    """One buffer that blobs are sealed into.

    Args:
        store_id: The store's id.
        pack_type: What the chunks are.
        key: A fresh random key of 32 bytes.
        target_bytes: Size at which the pack is full.
    """

    def __init__(self, store_id: bytes, pack_type: PackType, key: bytes, target_bytes: int) -> None:
        self._store_id = store_id
        self._type = pack_type
        self._key = key
        self._aead = Aead(key)
        self._process = os.getpid()
        self._target = target_bytes
        self._view = _mapped(min(PACK_BYTES_MAX, target_bytes + target_bytes // 2 + (4 << 20)))
        header = encode_header(store_id, pack_type)
        self._view[: len(header)] = header
        self._end = len(header)
        self._blobs: list[tuple[int, int, int, int]] = []
        self._cids: list[bytes] = []
        self._lengths: list[int] = []
        self._hash = hashlib.sha256()
        self._hashed = 0
        self._hashing = threading.Lock()
        self._sealed = {0: len(header)}
        self.sealing = 0
        self.full = False

    def reserve(
        self, length: int, raw_length: int, codec: int, cids: bytes, lengths: Sequence[int]
    ) -> _Reserved | None:
        """Give out the next ordinal and room for `length` sealed bytes, or None when the pack is full.

        Args:
            length: Bytes of the sealed blob.
            raw_length: Bytes of the opened one.
            codec: How it is compressed.
            cids: Those of its chunks, one after another.
            lengths: Their bytes.

        Raises:
            RuntimeError: The pack is the parent's, which gives the same ordinals to other bytes (invariant 14).
        """
        _refuse_child(self._process)
        count = len(self._lengths) + len(lengths)
        overhead = _FOOTER_BYTES_PER_CHUNK * count
        overhead += _FOOTER_BYTES_PER_BLOB * (len(self._blobs) + 1) + END.size + TAG_BYTES
        if self._blobs and (self._end + length + overhead > self._target or count > PACK_CHUNKS_TARGET):
            return None
        ordinal, offset = len(self._blobs), self._end
        self._blobs.append((length, raw_length, codec, len(lengths)))
        self._cids.append(cids)
        self._lengths += lengths
        self._end += length
        return _Reserved(ordinal, offset)

    def seal(
        self, at: _Reserved, payload: bytes | bytearray | memoryview, codec: int, raw_length: int
    ) -> None:
        """Seal one blob into its reserved place; several threads may do so at once."""
        aad = blob_aad(self._store_id, self._type, at.ordinal, codec, raw_length)
        room = self._view[at.offset : at.offset + len(payload) + TAG_BYTES]
        self._aead.seal_into(counter_nonce(at.ordinal), payload, aad, room)
        self._sealed[at.offset] = at.offset + len(room)
        self._hash_ahead()

    def _hash_ahead(self) -> None:
        """Hash what is sealed without a gap, once it is worth it and unless another thread is at it."""
        if self._end - self._hashed < _HASHED_AHEAD_BYTES or not self._hashing.acquire(blocking=False):
            return
        try:
            end = start = self._hashed
            while (stop := self._sealed.pop(end, None)) is not None:
                end = stop
            if end > start:
                self._hash.update(self._view[start:end])
                self._hashed = end
        finally:
            self._hashing.release()

    def close(self) -> FinishedPack:
        """Seal the footer, add the trailer, read both back, and name the pack by its hash.

        Raises:
            RuntimeError: The pack is the parent's, which seals another footer under the same nonce (invariant 14).
        """
        _refuse_child(self._process)
        cids = b"".join(self._cids)
        plain = encode_footer(self._blobs, cids, self._lengths)
        footer = self._aead.seal(
            FOOTER_NONCE, plain, blob_aad(self._store_id, self._type, FOOTER_ORDINAL, 0, len(plain))
        )
        trailer = encode_trailer(cids, len(footer))
        blobs_end, size = self._end, self._end + len(footer) + len(trailer)
        if size > len(self._view):
            raise Damaged(f"a pack of {size} bytes outgrew its buffer of {len(self._view)}")
        self._view[blobs_end : blobs_end + len(footer)] = footer
        self._view[blobs_end + len(footer) : size] = trailer
        self._read_back(blobs_end, footer, trailer, len(plain))
        self._hash.update(self._view[self._hashed : size])
        name = self._hash.digest()
        added = PackAdded(name, self._type, size, len(self._lengths), sha256(trailer))
        return FinishedPack(added, self._key, self._view[:size], self._rows())

    def _rows(self) -> bytes:
        """The pack's index rows, sorted."""
        rows: list[bytes] = []
        offset, rest, pair = HEADER.size, iter(self._lengths), ROW_SPAN.pack
        for ordinal, ((length, raw_length, codec, _), cids) in enumerate(
            zip(self._blobs, self._cids, strict=True)
        ):
            blob = ROW_BLOB.pack(0, ordinal, offset, length, raw_length, codec)
            start = 0
            for prefix, span in zip(cid_prefixes(cids), rest, strict=False):
                rows.append(prefix + blob + pair(start, span))
                start += span
            offset += length
        rows.sort()
        return b"".join(rows)

    def _read_back(self, blobs_end: int, footer: bytes, trailer: bytes, plain_length: int) -> None:
        """Decode what was just encoded before it leaves memory (invariant 10)."""
        aad = blob_aad(self._store_id, self._type, FOOTER_ORDINAL, 0, plain_length)
        blobs = decode_footer(self._aead.open(FOOTER_NONCE, footer, aad), blobs_end, "a pack just made")
        if not trailer_fits(trailer, b"".join([blob.cids for blob in blobs]), "a pack just made"):
            raise Damaged("the trailer of a pack just made differs from its footer")
        assert self._end >= HEADER.size


def _mapped(size: int) -> memoryview:
    """Fresh memory for a pack.

    Mapped, not allocated: a bytearray of this size is zeroed whole (31 ms a pack), a mapping page by page as it is
    touched, and it goes back to the system as soon as the pack is stored. In huge pages sealing and hashing a pack take
    two thirds of the time.
    """
    memory = mmap(-1, size, flags=_PRIVATE)
    if _HUGE is not None:
        with contextlib.suppress(OSError):
            memory.madvise(_HUGE)
    return memoryview(memory)


class PackSink:
    """Takes blobs of one type from many threads and hands over finished packs.

    Args:
        store_id: The store's id.
        pack_type: What the chunks are.
        new_key: Gives a fresh random key for each pack.
        finished: Called with each pack that is full, on the thread that closed it.
        target_bytes: Size at which a pack is full.
        packs_max: So many packs are in memory at most; who needs one more waits until `let_go` is called.

    Thread-safe.
    """

    def __init__(
        self,
        store_id: bytes,
        pack_type: PackType,
        *,
        new_key: Callable[[], bytes],
        finished: Callable[[FinishedPack], None],
        target_bytes: int,
        packs_max: int,
    ) -> None:
        self._store_id = store_id
        self._type = pack_type
        self._new_key = new_key
        self._finished = finished
        self._target = target_bytes
        self._packs_max = packs_max
        self._packs = 0
        self._process = os.getpid()
        # Waiting gives the lock away: whoever still seals into a full pack must get on.
        self._room = threading.Condition()
        self._open: OpenPack | None = None

    def add(
        self,
        payload: bytes | bytearray | memoryview,
        raw_length: int,
        codec: int,
        cids: bytes,
        lengths: Sequence[int],
    ) -> None:
        """Seal one blob into the open pack; closes the pack when this was the last thread in a full one.

        Raises:
            RuntimeError: The sink is the parent's.
        """
        pack, at = self._place(len(payload) + TAG_BYTES, raw_length, codec, cids, lengths)
        pack.seal(at, payload, codec, raw_length)
        with self._room:
            pack.sealing -= 1
            done = pack.full and pack.sealing == 0
        if done:
            self._close(pack)

    def flush(self) -> None:
        """Close the open pack, if there is one, and hand it over. No other thread may be inside `add`."""
        with self._room:
            pack, self._open = self._open, None
        if pack is not None:
            assert pack.sealing == 0
            self._close(pack)

    def let_go(self) -> None:
        """Make room: a pack that was handed over is needed no more."""
        with self._room:
            self._packs -= 1
            self._room.notify_all()

    def _place(
        self, length: int, raw_length: int, codec: int, cids: bytes, lengths: Sequence[int]
    ) -> tuple[OpenPack, _Reserved]:
        """A place in the open pack, or in the next one when that is full."""
        while True:
            with self._room:
                pack = self._open or self._fresh()
                at = pack.reserve(length, raw_length, codec, cids, lengths)
                if at is not None:
                    pack.sealing += 1
                    return pack, at
                pack.full = True
                self._open = None
                retired = pack.sealing == 0
            # Before waiting for room: this may be what makes it.
            if retired:
                self._close(pack)

    def _close(self, pack: OpenPack) -> None:
        try:
            finished = pack.close()
        except BaseException:
            self.let_go()
            raise
        self._finished(finished)

    def _fresh(self) -> OpenPack:
        """The pack that is open once there is room for one; the lock is held."""
        while self._packs >= self._packs_max and self._open is None:
            _refuse_child(self._process)
            self._room.wait()
        if self._open is None:
            self._open = OpenPack(self._store_id, self._type, self._new_key(), self._target)
            self._packs += 1
            # Whoever waited for room takes a place in this one.
            self._room.notify_all()
        return self._open
