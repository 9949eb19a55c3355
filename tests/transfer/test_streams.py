"""Files of a version one after another: the bytes of each, and no more in memory than a few windows."""

from pathlib import Path

import pytest

from artifactstore.errors import Damaged
from artifactstore.executors import threads
from artifactstore.format.page import Kind
from artifactstore.ids import ArtifactName
from artifactstore.manifest.read import Getter, entries
from artifactstore.transfer import streams
from artifactstore.transfer.streams import ReadAhead
from tests.stores import make_store, noise, write_tree


def test_every_file_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small, large and equal ones, announced all at first or one by one."""
    monkeypatch.setattr(streams, "_WINDOW_BYTES", 200_000)
    tree = {f"f{at:03}": noise(size, at) for at, size in enumerate([1, 70_000, 0, 900_000, 5, 900_000])}
    tree["f900"] = tree["f003"]
    with make_store(tmp_path) as store, threads() as executors:
        version = store.push([write_tree(tmp_path / "tree", tree)], "p/n")
        getter = store.getter_of(ArtifactName("p", "n"), 0)
        found = [one for one in entries(getter, version.manifest) if one.kind == Kind.FILE]
        for together in (1, len(found)):
            ahead = ReadAhead(getter, executors.io)
            read = {}
            for start in range(0, len(found), together):
                opened = [(one.path, ahead.expect(one)) for one in found[start : start + together]]
                for path, opening in opened:
                    with opening() as stream:
                        read[path] = b"".join(iter(lambda: stream.read(1234), b""))
            assert read == tree


class Counting:
    """Counts what is asked of a getter."""

    def __init__(self, inner: Getter) -> None:
        self.inner = inner
        self.asked = 0

    def read(self, kind: object, cid: bytes) -> bytes:
        return self.inner.read(kind, cid)  # type: ignore[arg-type]

    def read_many(self, kind: object, cids: object) -> list[bytes]:
        self.asked += len(cids)  # type: ignore[arg-type]
        return self.inner.read_many(kind, cids)  # type: ignore[arg-type]


def test_no_more_than_a_few_windows_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who reads one byte has not fetched the rest of a large file."""
    monkeypatch.setattr(streams, "_WINDOW_CHUNKS_MAX", 4)
    with make_store(tmp_path) as store, threads() as executors:
        version = store.push([write_tree(tmp_path / "tree", {"big": noise(8_000_000)})], "p/n")
        getter = Counting(store.getter_of(ArtifactName("p", "n"), 0))
        ahead = ReadAhead(getter, executors.io)
        (entry,) = entries(getter, version.manifest)
        getter.asked = 0
        with ahead.expect(entry)() as stream:
            assert len(stream.read(1)) == 1
        assert 0 < getter.asked <= 4 * 4 + entry.content.depth


def test_a_lost_pack(tmp_path: Path) -> None:
    """What can't be read back is an error of whoever reads."""
    with make_store(tmp_path) as store, threads() as executors:
        version = store.push([write_tree(tmp_path / "tree", {"big": noise(2_000_000)})], "p/n")
        getter = store.getter_of(ArtifactName("p", "n"), 0)
        (entry,) = entries(getter, version.manifest)
        largest = max(store.parts.backend.list("packs/"), key=lambda info: info.size_bytes)
        store.parts.backend.delete(largest.name)
        with pytest.raises(Damaged), ReadAhead(getter, executors.io).expect(entry)() as stream:
            stream.read()
