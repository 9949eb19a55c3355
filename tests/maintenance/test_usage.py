"""What versions take is counted, and what deleting them frees is what the next sweep then frees."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from artifactstore import Store, UsageRow
from artifactstore.content.packs import INDEXED_TYPES
from artifactstore.errors import Deleted, InvalidReference, NoSuchArtifact, NoSuchVersion
from tests.stores import make_store, noise, write_tree

pytestmark = pytest.mark.places("memory", "folder", "s3")

KIB = 1024
# Of an object that a sweep writes anew: header, sealed footer, trailer.
PER_PACK = 2 * KIB


def packs_bytes(store: Store) -> int:
    """Bytes of the packs of data, pages and lists that the backend really holds."""
    backend = store._parts.backend
    store.refresh()
    with store._parts.environment.read() as txn:
        known = {
            f"packs/{pack.added.name.hex()[:2]}/{pack.added.name.hex()}"
            for pack in store._parts.packs.all(txn)
            if pack.added.type in INDEXED_TYPES
        }
    return sum(info.size_bytes for info in backend.list("packs/") if info.name in known)


@pytest.fixture
def store(tmp_path: Path):
    """`p/a` v0 and v1 share 200 kB, v1 has 100 kB of its own; `p/b` has 100 kB, 50 of which `p/a` v0 has too."""
    common, other = noise(200 * KIB, 1), noise(50 * KIB, 2)
    with make_store(tmp_path) as store:
        store.push([write_tree(tmp_path / "a0", {"common": common, "other": other})], "p/a")
        store.push([write_tree(tmp_path / "a1", {"common": common, "mine": noise(100 * KIB, 3)})], "p/a")
        store.push([write_tree(tmp_path / "b", {"other": other, "own": noise(50 * KIB, 4)})], "p/b")
        yield store


def near(size: int, expected: int, slack: int = 4 * KIB) -> bool:
    """Whether it is so many bytes, but for pages and seals."""
    return expected <= size <= expected + slack


def row(store: Store, ref: str) -> UsageRow:
    (found,) = store.du([ref])
    return found


def test_what_versions_take(store: Store) -> None:
    """Shared chunks count for each that has them, and are nobody's alone."""
    first = row(store, "p/a:v0")
    assert (first.versions, first.logical_bytes) == (1, 250 * KIB)
    assert near(first.stored_bytes, 250 * KIB)
    assert near(first.unique_bytes, 0)
    assert first.shared_bytes == first.stored_bytes - first.unique_bytes
    assert near(row(store, "p/a").unique_bytes, 100 * KIB)
    both = row(store, "p/a:*")
    assert (both.versions, both.logical_bytes) == (2, 550 * KIB)
    assert near(both.stored_bytes, 350 * KIB)
    assert near(both.unique_bytes, 300 * KIB)


def test_each_artifact_and_all_together(store: Store) -> None:
    """Without references there is a row for each artifact, and one for everything."""
    rows = store.du()
    assert [(one.name, one.versions) for one in rows] == [("p/a", 2), ("p/b", 1), ("total", 3)]
    assert near(rows[2].stored_bytes, 400 * KIB, 8 * KIB)
    assert rows[2].stored_bytes == rows[2].unique_bytes
    assert near(rows[1].unique_bytes, 50 * KIB)


def test_references_that_overlap(store: Store) -> None:
    """Each is what it would be alone, and the total counts nothing twice."""
    refs = ["p/a:v0", "p/a:*", "p/*"]
    rows = store.du(refs)
    assert [one.name for one in rows] == [*refs, "total"]
    for ref, found in zip(refs, rows, strict=False):
        assert row(store, ref) == found
    assert rows[3].versions == 3


@pytest.mark.parametrize(
    "refs", [["p/a:v0"], ["p/a:v1"], ["p/a:*"], ["p/b:v0"], ["p/a:v0", "p/b:v0"], ["p/*"]]
)
def test_the_sweep_frees_what_was_said(store: Store, refs: list[str]) -> None:
    """Bytes of packs on the backend, before and after: within what a pack that is written anew needs of its own."""
    said = store.du(refs)[-1].frees_bytes
    before = packs_bytes(store)
    store.delete(refs, now=True, force=True)
    plan = store.plan_gc().plan
    store.gc()
    freed = before - packs_bytes(store)
    assert abs(freed - said) <= PER_PACK * (1 + len(plan.rewrite))


contents = st.dictionaries(
    st.sampled_from("abcd"), st.tuples(st.integers(0, 5), st.integers(1, 60)), min_size=1, max_size=4
)


@given(st.lists(contents, min_size=2, max_size=5), st.data())
@settings(max_examples=8)
def test_any_choice_of_versions(
    tmp_path_factory: pytest.TempPathFactory, history: list[dict[str, tuple[int, int]]], data: st.DataObject
) -> None:
    """Files that share chunks at random, some deleted before; in the end the books agree with the backend."""
    folder = tmp_path_factory.mktemp("usage")
    with make_store(folder) as store:
        for number, tree in enumerate(history):
            files = {path: noise(size * KIB, seed) for path, (seed, size) in tree.items()}
            store.push([write_tree(folder / str(number), files)], f"p/{number % 2}")
        refs = [one.qualified_name for name in ("p/0", "p/1") for one in store.versions(name)]
        hidden = data.draw(st.sets(st.sampled_from(refs[1:]), max_size=1))
        if hidden:
            store.delete(hidden)
        left = sorted(set(refs) - hidden)
        chosen = data.draw(st.lists(st.sampled_from(left), min_size=1, unique=True))
        said = store.du(chosen)[-1].frees_bytes
        held = packs_bytes(store)
        store.delete(chosen, now=True)
        plan = store.plan_gc().plan
        store.gc()
        assert abs(held - packs_bytes(store) - said) <= PER_PACK * (1 + len(plan.rewrite))
        assert store.check(read_data=True).ok


def test_garbage_and_who_holds_it(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleted versions hold it until their grace is over, running pushes as long as they run; then a sweep frees it."""
    empty = store.garbage()
    assert (empty.deleted_versions, empty.deleted_bytes, empty.running_pushes, empty.refused) == (0, 0, 0, "")
    said = row(store, "p/a:v1").frees_bytes
    store.delete(["p/a:v1"])
    waiting = store.garbage()
    assert (waiting.deleted_versions, waiting.deleted_bytes) == (1, said)
    assert waiting.deleted_until_ns is not None
    assert waiting.deleted_until_ns > store._clock.now_ns()
    store.undelete(["p/a:v1"])
    store.delete(["p/a:v1"], now=True)
    due = store.garbage()
    assert (due.deleted_versions, due.deleted_until_ns) == (0, None)
    assert due.freed_bytes >= empty.freed_bytes + said
    store.gc()
    assert store.garbage().freed_bytes < due.freed_bytes

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    folder = write_tree(tmp_path / "cut", {"big": noise(2_000_000, 9)})
    with monkeypatch.context() as patch:
        patch.setattr("artifactstore.transfer.push.PENDING_BYTES", 1)
        patch.setattr("artifactstore.content.put.PACK_BYTES_TARGET", 1 << 20)
        patch.setattr("artifactstore.transfer.push.ManifestBuilder.finish", cut)
        with pytest.raises(KeyboardInterrupt):
            store.push([folder], "p/cut")
    running = store.garbage()
    # A pack that the next blob does not fit into is closed before it is full.
    assert (running.running_pushes, running.running_bytes > 700_000) == (1, True)


@pytest.mark.parametrize(
    ("ref", "error"),
    [("p", InvalidReference), ("p/x", NoSuchArtifact), ("p/a:v9", NoSuchVersion), ("p/b:v0", Deleted)],
)
def test_what_is_not_there(store: Store, ref: str, error: type[Exception]) -> None:
    """Each has an error of its own."""
    store.delete(["p/b:v0"])
    with pytest.raises(error):
        store.du([ref])
