"""Opening packs: any altered bit, cut or swap is `Damaged`, and a blob opens only as what it was sealed as."""

import pytest
import zstandard

from artifactstore.compression import compress
from artifactstore.crypto.aead import Aead, counter_nonce
from artifactstore.errors import Damaged
from artifactstore.format.limits import BLOB_RAW_BYTES_MAX
from artifactstore.format.pack import PackType, blob_aad
from artifactstore.pack.reader import BlobOpener, PackRef, read_contents, read_whole
from tests.pack.test_writer import KEY, STORE_ID, cid_of, packed, stored
from tests.stores import noise

BLOB = noise(500)


@pytest.fixture
def pack():
    return packed([[BLOB], [b"second"], [b"third", b"fourth"]])


def test_every_altered_byte_is_found(pack) -> None:
    """Reading a pack whole finds any single bit that differs."""
    backend, ref = stored(pack)
    good = bytes(pack.data)
    for at in range(len(good)):
        backend.put(ref.name, good[:at] + bytes([good[at] ^ 0x40]) + good[at + 1 :])
        with pytest.raises(Damaged):
            read_whole(backend, STORE_ID, ref)


def test_every_altered_byte_of_the_end_is_found_without_reading_it_all(pack) -> None:
    """Footer and trailer verify themselves: a client without an index trusts nothing else."""
    backend, ref = stored(pack)
    good = bytes(pack.data)
    blobs_end = read_contents(backend, STORE_ID, ref)[-1].blob
    for at in range(blobs_end.offset + blobs_end.length, len(good)):
        backend.put(ref.name, good[:at] + bytes([good[at] ^ 0x01]) + good[at + 1 :])
        with pytest.raises(Damaged):
            read_contents(backend, STORE_ID, ref)


@pytest.mark.parametrize("kept", [0, 5, 47, 48, 100, -1])
def test_a_pack_cut_short_is_damaged(pack, kept: int) -> None:
    """However little is left, the error is ours and names the pack."""
    backend, ref = stored(pack)
    backend.put(ref.name, bytes(pack.data)[:kept])
    for read in (read_contents, read_whole):
        with pytest.raises(Damaged) as caught:
            read(backend, STORE_ID, ref)
        assert caught.value.facts["object"] == ref.name


def test_a_missing_pack_is_damaged(pack) -> None:
    """A registered pack that isn't there is damage, not a mere missing object."""
    backend, ref = stored(pack)
    backend.delete(ref.name)
    for read in (read_contents, read_whole):
        with pytest.raises(Damaged, match="missing"):
            read(backend, STORE_ID, ref)


def test_another_pack_of_the_same_store_is_damaged(pack) -> None:
    """A pack swapped for another has the wrong name, and its footer opens under no other key."""
    backend, ref = stored(pack)
    other = packed([[BLOB], [b"secund"], [b"third", b"fourth"]])
    assert other.data is not None
    backend.put(ref.name, other.data)
    for read in (read_contents, read_whole):
        with pytest.raises(Damaged):
            read(backend, STORE_ID, ref._replace(key=bytes([1]) * 32))
    with pytest.raises(Damaged, match="do not hash"):
        read_whole(backend, STORE_ID, ref)


@pytest.mark.parametrize("wrong", ["store", "type", "ordinal", "codec", "raw length", "key", "nonce"])
def test_a_blob_opens_only_as_what_it_is(wrong: str) -> None:
    """Wrong type, store, codec or position fails to open (invariant 15)."""
    ordinal, codec = 3, 0
    sealed = Aead(KEY).seal(
        counter_nonce(ordinal), BLOB, blob_aad(STORE_ID, PackType.DATA, ordinal, codec, len(BLOB))
    )
    store = bytes(32) if wrong == "store" else STORE_ID
    ref = PackRef(
        bytes(32),
        PackType.PAGE if wrong == "type" else PackType.DATA,
        1000,
        bytes([1]) * 32 if wrong == "key" else KEY,
    )
    right = BlobOpener(STORE_ID, PackRef(bytes(32), PackType.DATA, 1000, KEY))
    assert right.open(sealed, ordinal, codec, len(BLOB)) == BLOB
    with pytest.raises(Damaged, match="altered or swapped"):
        BlobOpener(store, ref).open(
            sealed,
            4 if wrong in {"ordinal", "nonce"} else ordinal,
            1 if wrong == "codec" else codec,
            len(BLOB) + 1 if wrong == "raw length" else len(BLOB),
        )


def test_a_bomb_with_the_right_key_is_refused_unopened() -> None:
    """A blob that declares more than any blob may hold is refused before memory is given to it."""
    raw_length = BLOB_RAW_BYTES_MAX * 64
    frame = zstandard.ZstdCompressor(level=1).compress(bytes(raw_length))
    sealed = Aead(KEY).seal(counter_nonce(0), frame, blob_aad(STORE_ID, PackType.DATA, 0, 1, raw_length))
    opener = BlobOpener(STORE_ID, PackRef(bytes(32), PackType.DATA, 1000, KEY))
    with pytest.raises(Damaged, match="declares"):
        opener.open(sealed, 0, 1, raw_length)


def test_the_largest_blob_opens() -> None:
    """The bound itself is allowed."""
    raw = bytes(BLOB_RAW_BYTES_MAX)
    codec, frame = compress(raw, 1)
    sealed = Aead(KEY).seal(counter_nonce(0), frame, blob_aad(STORE_ID, PackType.DATA, 0, codec, len(raw)))
    opener = BlobOpener(STORE_ID, PackRef(bytes(32), PackType.DATA, 1000, KEY))
    assert opener.open(sealed, 0, codec, len(raw)) == raw


def test_a_footer_of_another_pack_with_the_same_key_is_refused(pack) -> None:
    """Even a writer's own key does not make one pack's end fit another's blobs."""
    backend, ref = stored(pack)
    other = packed([[noise(510)], [b"second"], [b"third", b"fourth"]])
    assert other.data is not None
    mixed = bytes(pack.data)[:-200] + bytes(other.data)[-200:]
    backend.put(ref.name, mixed)
    with pytest.raises(Damaged):
        read_contents(backend, STORE_ID, ref)
    assert cid_of(b"second") != cid_of(b"third")
