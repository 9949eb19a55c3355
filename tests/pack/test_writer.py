"""Writing packs: what is sealed opens again, threads share one pack, and no nonce is given twice."""

import hashlib
import itertools
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from artifactstore.backend.memory import MemoryBackend
from artifactstore.crypto.aead import Aead
from artifactstore.errors import Damaged
from artifactstore.format.limits import CID_PREFIX_BYTES
from artifactstore.format.pack import PackType
from artifactstore.format.segment import ROW
from artifactstore.pack.names import pack_name
from artifactstore.pack.reader import BlobOpener, PackRef, read_contents, read_whole
from artifactstore.pack.writer import FinishedPack, OpenPack, PackSink
from tests.stores import memory_url, noise

STORE_ID = bytes(range(32))
KEY = bytes(32)


def cid_of(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def packed(blobs: list[list[bytes]], kind: PackType = PackType.DATA) -> FinishedPack:
    """One pack with a blob for each list of chunks."""
    pack = OpenPack(STORE_ID, kind, KEY, 1 << 20)
    for chunks in blobs:
        payload = b"".join(chunks)
        cids = b"".join(map(cid_of, chunks))
        at = pack.reserve(len(payload) + 16, len(payload), 0, cids, list(map(len, chunks)))
        assert at is not None
        pack.seal(at, payload, 0, len(payload))
    return pack.close()


def stored(pack: FinishedPack) -> tuple[MemoryBackend, PackRef]:
    backend = MemoryBackend(memory_url())
    assert pack.data is not None
    backend.put(pack.name, pack.data)
    return backend, PackRef(pack.added.name, PackType(pack.added.type), pack.added.size, pack.key)


def test_a_pack_is_named_by_the_hash_of_its_bytes() -> None:
    """`sha256sum` is a scrubber."""
    pack = packed([[b"a", b"b"]])
    assert pack.data is not None
    assert pack.name == pack_name(hashlib.sha256(pack.data).digest())
    assert pack.name == f"packs/{pack.added.name.hex()[:2]}/{pack.added.name.hex()}"
    assert (pack.added.size, pack.added.count) == (len(pack.data), 2)


def test_every_chunk_comes_back_from_its_row() -> None:
    """The index row of a chunk says all that is needed to read it."""
    chunks = [noise(1000, seed) for seed in range(20)]
    pack = packed([chunks[:7], chunks[7:8], chunks[8:]])
    backend, ref = stored(pack)
    opener = BlobOpener(STORE_ID, ref)
    found = {}
    for prefix, _, ordinal, offset, length, raw, codec, start, span in ROW.iter_unpack(pack.rows):
        blob = opener.open(backend.get_range(ref.name, offset, length), ordinal, codec, raw)
        found[prefix] = blob[start : start + span]
    assert found == {cid_of(chunk)[:CID_PREFIX_BYTES]: chunk for chunk in chunks}
    rows = list(ROW.iter_unpack(pack.rows))
    assert rows == sorted(rows)


def test_footer_and_trailer_agree_with_what_was_put() -> None:
    """Both ways of reading a pack's contents give the chunks in order (invariant 10)."""
    chunks = [noise(100, seed) for seed in range(5)]
    backend, ref = stored(packed([chunks[:2], chunks[2:]]))
    contents = read_contents(backend, STORE_ID, ref)
    assert [chunk.cid for chunk in contents] == [cid_of(chunk) for chunk in chunks]
    assert read_whole(backend, STORE_ID, ref)[1] == contents


def test_a_full_pack_gives_out_no_more_room() -> None:
    """A pack ends at its target size."""
    pack = OpenPack(STORE_ID, PackType.DATA, KEY, 4096)
    given = 0
    while pack.reserve(500, 484, 0, bytes(32), [484]) is not None:
        given += 1
    assert 4 <= given <= 7


def test_a_first_blob_always_fits() -> None:
    """A blob larger than the target gets a pack of its own."""
    pack = OpenPack(STORE_ID, PackType.DATA, KEY, 4096)
    assert pack.reserve(1 << 20, (1 << 20) - 16, 0, bytes(32), [1]) is not None


def test_what_does_not_read_back_is_never_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of memory or code between sealing and closing is found before the pack leaves memory."""
    monkeypatch.setattr(
        "artifactstore.pack.writer.encode_trailer",
        lambda cids, length: (
            b"\0" * 16 * len(cids) + len(cids).to_bytes(4, "big") + length.to_bytes(4, "big") + b"PTSA"
        ),
    )
    with pytest.raises(Damaged, match="trailer"):
        packed([[b"a"]])


def test_threads_fill_packs_together_and_lose_nothing() -> None:
    """Eight threads seal into shared packs; every chunk is in exactly one of them, whole, and keys never recur."""
    finished: list[FinishedPack] = []
    keys = (number.to_bytes(32, "big") for number in itertools.count())
    sink = PackSink(
        STORE_ID,
        PackType.DATA,
        new_key=lambda: next(keys),
        finished=finished.append,
        target_bytes=64 << 10,
        packs_max=1000,
    )
    chunks = [noise(1500, seed) for seed in range(400)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda chunk: sink.add(chunk, len(chunk), 0, cid_of(chunk), [len(chunk)]), chunks))
    sink.flush()
    found = []
    for pack in finished:
        backend, ref = stored(pack)
        data, contents = read_whole(backend, STORE_ID, ref)
        opener = BlobOpener(STORE_ID, ref)
        for one in contents:
            sealed = data[one.blob.offset : one.blob.offset + one.blob.length]
            found.append(opener.open(sealed, one.ordinal, one.blob.codec, one.blob.raw_length))
    assert sorted(found) == sorted(chunks)
    assert len({pack.key for pack in finished}) == len(finished) > 8


def test_packs_in_memory_are_bounded_however_many_threads_fill_them() -> None:
    """Sixteen threads and a backend that takes one pack at a time: the threads wait, and no pack is lost."""
    held, most, stored_packs = set(), [0], []
    lock = threading.Lock()
    wanted: queue.SimpleQueue[FinishedPack | None] = queue.SimpleQueue()
    opened = OpenPack.__init__

    def noting(self: OpenPack, *args: object) -> None:
        opened(self, *args)  # type: ignore[arg-type]
        with lock:
            held.add(self._key)
            most[0] = max(most[0], len(held))

    keys = (number.to_bytes(32, "big") for number in itertools.count())
    sink = PackSink(
        STORE_ID,
        PackType.DATA,
        new_key=lambda: next(keys),
        finished=wanted.put,
        target_bytes=16 << 10,
        packs_max=3,
    )

    def store() -> None:
        while (pack := wanted.get()) is not None:
            stored_packs.append(pack)
            with lock:
                held.remove(pack.key)
            sink.let_go()

    backend = threading.Thread(target=store)
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(16) as pool:
        patch.setattr(OpenPack, "__init__", noting)
        backend.start()
        chunks = [noise(1500, seed) for seed in range(600)]
        list(pool.map(lambda chunk: sink.add(chunk, len(chunk), 0, cid_of(chunk), [len(chunk)]), chunks))
        sink.flush()
        wanted.put(None)
        backend.join()
    assert most[0] == 3
    assert sum(pack.added.count for pack in stored_packs) == len(chunks)


def test_a_pack_that_can_not_be_closed_makes_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fails must not keep those waiting who would report it."""

    def failing(_: OpenPack) -> FinishedPack:
        raise Damaged("a fault of memory")

    sink = PackSink(
        STORE_ID,
        PackType.DATA,
        new_key=lambda: KEY,
        finished=lambda _: None,
        target_bytes=4096,
        packs_max=1,
    )
    monkeypatch.setattr(OpenPack, "close", failing)
    for seed in range(3):
        sink.add(noise(1500, seed), 1500, 0, cid_of(b"a"), [1500])
        with pytest.raises(Damaged, match="memory"):
            sink.flush()


def test_no_nonce_is_used_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Within one key every blob and the footer have a nonce of their own (invariant 14)."""
    used: list[bytes] = []
    seal_into, seal = Aead.seal_into, Aead.seal

    def noting_into(self: Aead, nonce: bytes, *rest: object) -> int:
        used.append(nonce)
        return seal_into(self, nonce, *rest)  # type: ignore[arg-type]

    def noting(self: Aead, nonce: bytes, *rest: object) -> bytes:
        used.append(nonce)
        return seal(self, nonce, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Aead, "seal_into", noting_into)
    monkeypatch.setattr(Aead, "seal", noting)
    packed([[b"a"], [b"b"], [b"c", b"d"]])
    assert len(used) == len(set(used)) == 4


def test_a_forked_child_neither_fills_nor_closes_the_pack_of_its_parent() -> None:
    """Each would seal other bytes under a nonce that the parent uses too (invariant 14)."""
    pack = OpenPack(bytes(32), PackType.DATA, bytes(32), 1 << 20)
    at = pack.reserve(3 + 16, 3, 0, cid_of(b"abc"), [3])
    assert at is not None
    pack.seal(at, b"abc", 0, 3)
    pack._process += 1
    with pytest.raises(RuntimeError, match="forked"):
        pack.reserve(3 + 16, 3, 0, cid_of(b"def"), [3])
    with pytest.raises(RuntimeError, match="forked"):
        pack.close()
