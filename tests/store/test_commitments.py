"""What pushes commit to: every chunk of the version, at no cost for what is unchanged, and nothing but the truth."""

from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.catalog import commit
from artifactstore.errors import NoSuchProject
from artifactstore.format.cids import split_cids
from artifactstore.format.commitment import commitment_of
from artifactstore.format.pack import PackType
from artifactstore.format.page import chunks_root, decode_list, decode_page
from artifactstore.format.record import decode_frame, slot_name
from tests.stores import make_store, noise, reopened, write_tree

pytestmark = pytest.mark.places("memory", "s3")


def committed(store: Store, slot: int) -> list[bytes]:
    data = store._parts.backend.get(slot_name(slot), limit_bytes=1 << 24)
    return decode_frame(data, "record").clear.committed


def root_of_page(store: Store, cid: bytes) -> bytes:
    """The chunks root of a page, from the chunks below it alone."""
    page = decode_page(store._parts.reader.read(PackType.PAGE, cid), "page")
    if page.level:
        return chunks_root(b"", [(one.cids, root_of_page(store, one.cids)) for one in page.contents])
    plain = b"".join(one.cids for one in page.contents if not one.depth)
    lists = [
        (one.cids, root_of_list(store, one.cids, one.depth, one.sizes[0]))
        for one in page.contents
        if one.depth
    ]
    return chunks_root(plain, lists)


def root_of_list(store: Store, cid: bytes, level: int, size: int) -> bytes:
    node = decode_list(store._parts.reader.read(PackType.LIST, cid), level, size, "list")
    if level == 1:
        return chunks_root(node.cids)
    below = zip(split_cids(node.cids), node.sizes, strict=True)
    return chunks_root(b"", [(one, root_of_list(store, one, level - 1, length)) for one, length in below])


def test_a_version_stands_for_every_chunk_below_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files, a file with a list, many pages; what did not change is taken over without reading it."""
    tree = {f"many/{number:04}": b"%d" % number for number in range(1500)}
    source = write_tree(tmp_path / "in", tree | {"large": noise(8_000_000), "empty": b""})
    monkeypatch.setattr("artifactstore.index.statcache._SETTLED_NS", -(10**18))
    with make_store(tmp_path) as store:
        store.push([source], "p/n")
        (source / "many" / "0007").write_bytes(b"changed")
        read: list[PackType] = []
        original = type(store._parts.reader).read
        monkeypatch.setattr(
            type(store._parts.reader),
            "read",
            lambda self, kind, cid: read.append(kind) or original(self, kind, cid),
        )
        second = store.push([source], "p/n")
        assert (second.push.files_read, read) == (1, [])  # neither a page nor a list
        for slot in (1, 2):
            row = store.version(f"p/n:v{slot - 1}")._row
            assert row.manifest.level == 1
            assert row.manifest.chunks == root_of_page(store, row.manifest.cid)
            assert committed(store, slot) == [commitment_of("p", "n", row.manifest, row.salt)]
        assert store.version("p/n:v0")._row.salt != store.version("p/n:v1")._row.salt


def test_other_records_commit_to_nothing(tmp_path: Path) -> None:
    """A tag is no push; an equal push that edits is one, and makes no version."""
    with make_store(tmp_path) as store:
        write_tree(tmp_path / "in", {"a": b"1"})
        first = store.push([tmp_path / "in"], "p/n")
        store.add_tags("p/n", ["x"])
        store.push([tmp_path / "in"], "p/n", tags=["y"])
        assert [len(committed(store, slot)) for slot in range(4)] == [0, 1, 0, 1]
        assert store.version("p/n")._row.salt == first._row.salt


def test_a_record_that_commits_to_something_else_applies_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member can't say in clear what the sealed part does not say."""
    from artifactstore.log import records

    with make_store(tmp_path) as store:
        write_tree(tmp_path / "in", {"a": b"1"})
        monkeypatch.setattr(commit, "committed_by", lambda _: [bytes(32)])
        monkeypatch.setattr(records, "committed_by", lambda _: [bytes(32)])
        store.push([tmp_path / "in"], "p/n")
        monkeypatch.undo()
        with reopened(tmp_path, store, cache="other") as other, pytest.raises(NoSuchProject):
            other.version("p/n")
