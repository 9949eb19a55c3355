"""A local file is known as a push would know it, and nothing is stored."""

import os
from pathlib import Path

import pytest
from blake3 import blake3

from artifactstore import Store
from artifactstore.errors import InvalidSource, NoSuchPath, SourceChanged
from artifactstore.executors import inline
from artifactstore.manifest.read import find_entry, spans
from artifactstore.progress import Quiet
from artifactstore.transfer import fingerprint as fingerprinting
from artifactstore.transfer.fingerprint import ChunkSample, Fingerprint, fingerprint
from artifactstore.transfer.ingest import SMALL_BYTES_MAX
from tests.stores import make_store, noise, state_of

pytestmark = pytest.mark.places("memory", "s3")


def known(store: Store, path: Path) -> Fingerprint:
    return fingerprint(str(path), store._parts.keyring, store._the_chunker(), inline(), Quiet())


@pytest.mark.parametrize("size", [0, 1, 70_000, SMALL_BYTES_MAX, 9_000_000])
def test_it_is_what_a_push_makes(tmp_path: Path, size: int) -> None:
    """Digest, size and chunks are those of the entry, for files of every way of reading."""
    (tmp_path / "file").write_bytes(noise(size))
    with make_store(tmp_path) as store:
        before = state_of(store)
        found = known(store, tmp_path / "file")
        assert state_of(store) == before
        store.push([tmp_path / "file"], "p/n")
        _, getter, manifest = store._resolved("p/n")
        entry = find_entry(getter, manifest, "file")
        assert entry is not None
        pushed: dict[bytes, int] = {}
        for span in spans(getter, entry.content):
            pushed[span.cid] = pushed.get(span.cid, 0) + span.length
        assert found == Fingerprint(blake3(noise(size)).digest(), size, pushed, 1)


def test_of_many_chunks_a_share_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never more than the bound, and the same ones in whatever order they come."""
    monkeypatch.setattr(fingerprinting, "CHUNKS_KEPT_MAX", 100)
    cids = [blake3(b"%d" % number).digest() for number in range(1000)]
    samples = [ChunkSample(), ChunkSample()]
    for sample, order in zip(samples, (cids, cids[::-1]), strict=True):
        for cid in order:
            sample.add(cid, 7)
            assert len(sample.chunks) <= 100
    assert samples[0].chunks == samples[1].chunks
    assert samples[0].sampled == samples[1].sampled >= 8
    assert len(samples[0].chunks) > 20


def test_what_is_no_file(tmp_path: Path) -> None:
    """Each has an error of its own; a FIFO does not keep anybody waiting."""
    os.mkfifo(tmp_path / "fifo")
    with make_store(tmp_path) as store:
        for name, error in (("nothing", NoSuchPath), (".", InvalidSource), ("fifo", InvalidSource)):
            with pytest.raises(error):
                known(store, tmp_path / name)


@pytest.mark.parametrize("change", [b"", b"x" * 100])
def test_a_file_that_changes_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: bytes
) -> None:
    """Cut or written on while it is read, it is refused: what was read is no file that ever was."""
    path = tmp_path / "file"
    path.write_bytes(noise(9_000_000))
    naming = fingerprinting._name

    def changing(*arguments: object) -> object:
        if not done:
            with path.open("ab" if change else "wb") as file:
                done.append(file.write(change))
        return naming(*arguments)

    done: list[int] = []
    monkeypatch.setattr(fingerprinting, "_name", changing)
    with make_store(tmp_path) as store, pytest.raises(SourceChanged):
        known(store, path)
