"""`Store.diff` and `Store.diff_folder`: versions against versions, and against what lies on disk."""

import math
import os
import stat
import struct
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from artifactstore import Change, FactChange, RenamedFolder, Store, TableDiff, TensorsDiff, VersionDiff
from artifactstore.clock import SystemRandomness
from artifactstore.errors import (
    Deleted,
    InvalidContent,
    InvalidSource,
    NoSuchPath,
    NoSuchVersion,
    SourceChanged,
    UsageError,
)
from artifactstore.manifest import changes
from artifactstore.transfer.ranges import StoredBytes
from tests.comparison.sources import tensors_file
from tests.stores import FakeClock, Tree, make_store, reopened, write_tree

pytestmark = pytest.mark.places("memory", "s3")

LARGE = SystemRandomness().token(9_000_000)


@pytest.fixture
def store(tmp_path: Path):
    with make_store(tmp_path) as made:
        yield made


def pushed(store: Store, folder: Path, tree: Tree, artifact: str = "p/n", **options) -> str:
    """A version of these files; the folder then lies there as it was pushed."""
    source = folder / f"source-{len(list(folder.glob('source-*')))}"
    return store.push([write_tree(source, tree)], artifact, **options).qualified_name


def brief(diff: VersionDiff) -> list[tuple[str, ...]]:
    """Status and paths of each change."""
    return [
        (one.status, *(entry.path for entry in (one.before, one.after) if entry is not None)) for one in diff
    ]


BEFORE: Tree = {
    "same": b"same", "gone": b"gone", "old/1": b"one", "old/2": b"two", "edited": b"x" * 10, "run": b"#!",
    "link": "same", "kind": b"file", "hollow": None,
}  # fmt: skip
AFTER: Tree = {
    "same": b"same", "come": b"new!", "new/1": b"one", "new/2": b"two", "edited": b"y" * 12, "run": b"#!",
    "link": "edited", "kind": "same", "hollow": None,
}  # fmt: skip


def test_everything_that_can_happen_to_a_path(store: Store, tmp_path: Path) -> None:
    """Added, removed, changed in bytes, kind, target and executable bit, renamed with its folder."""
    before = pushed(store, tmp_path, BEFORE)
    (tmp_path / "after").mkdir()
    source = write_tree(tmp_path / "after" / "source", AFTER)
    (source / "run").chmod(0o755)
    after = store.push([source], "q/other").qualified_name
    diff = store.diff(before, after)
    assert brief(diff) == [
        ("added", "come"),
        ("changed", "edited", "edited"),
        ("removed", "gone"),
        ("changed", "kind", "kind"),
        ("changed", "link", "link"),
        ("renamed", "old/1", "new/1"),
        ("renamed", "old/2", "new/2"),
        ("changed", "run", "run"),
    ]
    by_path = {one.path: one for one in diff}
    assert {path: one.new_bytes for path, one in by_path.items() if one.new_bytes} == {
        "come": 4,
        "edited": 12,
    }
    run = by_path["run"]
    assert (run.before and run.before.executable, run.after and run.after.executable) == (False, True)
    assert diff.renamed_folders == (RenamedFolder("old/", "new/", 2),)
    totals = diff.totals
    assert (totals.added, totals.removed, totals.changed, totals.renamed) == (1, 1, 4, 2)
    assert (totals.added_bytes, totals.removed_bytes, totals.renamed_bytes) == (4, 4, 6)
    assert (totals.changed_bytes_before, totals.changed_bytes, totals.new_bytes) == (16, 14, 16)
    assert not totals.estimated
    assert len(diff) == 8
    assert not diff.equal
    assert "4 changed" in repr(diff)
    assert brief(diff) == brief(diff)


def test_of_a_large_file_the_share_that_is_new_is_told(store: Store, tmp_path: Path) -> None:
    """By chunk: some bytes in the middle cost a chunk or two."""
    before = pushed(store, tmp_path, {"large": LARGE})
    edited = LARGE[:4_000_000] + b"edited" + LARGE[4_000_006:]
    after = pushed(store, tmp_path, {"large": edited})
    (change,) = store.diff(before, after)
    assert (change.status, change.path) == ("changed", "large")
    assert 6 < change.new_bytes < 1_000_000
    assert not change.estimated
    assert store.diff(after, after).equal


def test_what_is_said_of_versions_is_compared(store: Store, tmp_path: Path) -> None:
    """Description, tags, aliases and metadata, value by value; `latest` moves by itself and says nothing."""
    before = pushed(
        store, tmp_path, {"a": b"1"}, description="one", tags=["raw", "x"],
        metadata={"rows": 1, "split": {"train": 0.9, "seed": 1}, "old": None, "same": [1, {"a": 1, "b": 2}]},
    )  # fmt: skip
    after = pushed(
        store, tmp_path, {"a": b"2"}, description="two", tags=["raw", "y"], aliases=["best"],
        metadata={"rows": 1.0, "split": {"train": 0.8, "seed": 1}, "new": "", "same": [1, {"b": 2, "a": 1}]},
    )  # fmt: skip
    assert store.diff(before, after).facts == (
        FactChange("description", (), "changed", "one", "two"),
        FactChange("tags", (), "removed", "x", None),
        FactChange("tags", (), "added", None, "y"),
        FactChange("aliases", (), "added", None, "best"),
        FactChange("metadata", ("new",), "added", None, ""),
        FactChange("metadata", ("old",), "removed", None, None),
        FactChange("metadata", ("rows",), "changed", 1, 1.0),
        FactChange("metadata", ("split", "train"), "changed", 0.9, 0.8),
    )
    assert store.diff(before, before).facts == ()


def test_names_that_were_and_links_are_compared_too(store: Store, tmp_path: Path) -> None:
    """An artifact answers to its old name, and a version of a collection holds what it links to."""
    before, after = pushed(store, tmp_path, BEFORE), pushed(store, tmp_path, AFTER)
    expected = brief(store.diff(before, after))
    store.rename("p/n", "p/m")
    store.link("p/m:v0", "registry/c")
    assert brief(store.diff("p/n:v0", "p/m:v1")) == expected
    linked = store.diff("registry/c", "p/m")
    assert brief(linked) == expected
    assert (linked.name_before, linked.name_after) == ("registry/c:v0", "p/m:v1")
    assert brief(store.diff_folder("p/n:v0", tmp_path / "source-1")) == expected


def test_globs_choose_paths(store: Store, tmp_path: Path) -> None:
    """Renames too are looked for among the chosen ones only."""
    before, after = pushed(store, tmp_path, BEFORE), pushed(store, tmp_path, AFTER)
    assert brief(store.diff(before, after, paths=["new/", "edited"])) == [
        ("changed", "edited", "edited"),
        ("added", "new/1"),
        ("added", "new/2"),
    ]
    assert store.diff(before, after, paths=["nothing"]).equal
    with pytest.raises(UsageError):
        store.diff(before, after, paths=["!"])
    with pytest.raises(NoSuchVersion):
        store.diff(before, "p/n:v9")


def test_of_many_changes_only_some_are_kept(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are looked up again, with the same answer; what is too much for renames is said to be."""
    before, after = pushed(store, tmp_path, BEFORE), pushed(store, tmp_path, AFTER)
    expected, totals = list(store.diff(before, after)), store.diff(before, after).totals
    monkeypatch.setattr(changes, "_KEPT_MAX", 2)
    monkeypatch.setattr(changes, "_TOGETHER", 2)
    diff = store.diff(before, after)
    assert (list(diff), list(diff), diff.totals) == (expected, expected, totals)
    assert diff.all_renames
    monkeypatch.setattr(changes, "_CANDIDATES_MAX", 3)
    diff = store.diff(before, after)
    assert not diff.all_renames
    assert diff.totals.renamed < 2
    assert diff.totals.added - diff.totals.removed == 0


def test_a_sweep_in_between_changes_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it moved is looked up where it lies now; what it purged is said to be deleted."""
    monkeypatch.setattr(changes, "_KEPT_MAX", 2)
    before, after = pushed(store, tmp_path, BEFORE), pushed(store, tmp_path, AFTER)
    for number in range(3):
        pushed(store, tmp_path, {f"{number}": LARGE[: number * 1000 + 1]}, "p/other")
    diff = store.diff(before, after)
    expected = list(diff)
    with reopened(tmp_path, store, cache="other") as other:
        other.delete(["p/other:*"], now=True)
        other.gc(other.plan_gc(threshold=0.0))
    assert list(diff) == expected
    with reopened(tmp_path, store, cache="other") as other:
        other.delete([before], force=True, now=True)
        other.gc(other.plan_gc(threshold=0.0))
    with pytest.raises(Deleted):
        store.diff(before, after)


# --- a local folder -----------------------------------------------------------------------------------------------


def test_a_folder_is_compared_as_a_push_would_find_it(store: Store, tmp_path: Path) -> None:
    """The same changes as against the version that the push then makes; what is ignored counts for nothing."""
    before = pushed(store, tmp_path, {**BEFORE, "large": LARGE})
    folder = write_tree(tmp_path / "folder", {**AFTER, "large": LARGE[:5_000_000] + LARGE[5_000_100:]})
    write_tree(folder, {".artifactignore": b"*.tmp\n", "x.tmp": b"ignored", "sub/y.tmp": b"ignored"})
    (folder / "run").chmod(0o755)
    local = store.diff_folder(before, folder, exclude=["excluded"])
    assert local.after is None
    assert local.name_after == str(folder)
    after = store.push([folder], "p/n").qualified_name
    stored = store.diff(before, after)
    assert list(local) == list(stored)
    assert local.totals == stored.totals
    assert [one.path for one in store.diff_folder(before, folder, paths=["new/", "come"])] == [
        "come", "new/1", "new/2",
    ]  # fmt: skip
    assert store.diff_folder(after, folder).equal


class Told:
    """Counts what progress is told."""

    def __init__(self) -> None:
        self.bytes = 0

    def start(self, label: str, **totals: object) -> None:
        assert label == "compare"

    def advance(self, *, bytes: int = 0, **more: int) -> None:  # noqa: A002 - as in Progress
        self.bytes += bytes

    def total(self, **totals: object) -> None: ...
    def notice(self, text: str) -> None: ...
    def finish(self) -> None: ...


def test_files_that_have_not_changed_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither those that were pushed from there, nor those that an earlier comparison has read."""
    source = write_tree(tmp_path / "source", {"a": b"1", "b": b"2", "c/large": LARGE})
    # The stat cache trusts no file that was just written; by this clock a minute has passed.
    store = make_store(tmp_path, clock=FakeClock((tmp_path / "source").stat().st_mtime_ns + 60 * 10**9))
    version = store.push([source], "p/n").qualified_name
    copy = write_tree(tmp_path / "copy", {"a": b"1", "b": b"2", "c/large": LARGE + b"more", "d": b"new"})
    first = list(store.diff_folder(version, copy))
    assert [one.path for one in first] == ["c/large", "d"]
    opened: list[str] = []
    real = os.open

    def watched(path, *arguments, **options):
        if str(path).startswith((str(source), str(copy))):
            opened.append(Path(path).name)
        return real(path, *arguments, **options)

    monkeypatch.setattr(os, "open", watched)
    told = Told()
    assert store.diff_folder(version, source, progress=told).equal
    assert told.bytes == len(LARGE) + 2
    again = list(store.diff_folder(version, copy))
    assert opened == []
    assert [one.path for one in again] == ["c/large", "d"]
    # Its chunk list is in no store and, in a later process, in no memory.
    assert [(one.new_bytes, one.estimated) for one in again] == [(len(LARGE) + 4, True), (3, False)]
    (copy / "a").write_bytes(b"3")
    assert [one.path for one in store.diff_folder(version, copy)] == ["a", "c/large", "d"]
    assert opened == ["a"]


def test_a_client_without_an_index_compares_a_folder_too(store: Store, tmp_path: Path) -> None:
    """It looks pages up as it needs them."""
    version = pushed(store, tmp_path, {"a": b"1", "b": b"2"})
    with reopened(tmp_path, store, cache="other") as other:
        folder = write_tree(tmp_path / "folder", {"a": b"1", "b": b"3"})
        assert brief(other.diff_folder(version, folder)) == [("changed", "b", "b")]
        assert brief(other.diff(version, version)) == []


def test_what_is_no_folder_is_refused(store: Store, tmp_path: Path) -> None:
    """A file, a name that is not there, and a folder with something in it that no version holds."""
    version = pushed(store, tmp_path, {"a": b"1"})
    with pytest.raises(NoSuchPath):
        store.diff_folder(version, tmp_path / "missing")
    with pytest.raises(InvalidSource, match="no folder"):
        store.diff_folder(version, tmp_path / "source-0" / "a")
    os.mkfifo(tmp_path / "source-0" / "fifo")
    with pytest.raises(InvalidSource, match="FIFO"):
        store.diff_folder(version, tmp_path / "source-0")
    assert stat.S_ISFIFO((tmp_path / "source-0" / "fifo").stat().st_mode)


trees = st.dictionaries(
    st.sampled_from(["a", "b", "c/1", "c/2", "d/e/f", "d/e/g", "h"]), st.sampled_from([b"", b"1", b"2", b"3"])
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(trees, trees)
def test_a_diff_applied_to_the_first_gives_the_second(tmp_path_factory, before: Tree, after: Tree) -> None:
    """Renames included; the other way round it is the same diff reversed; and a folder gives what a version gives."""
    folder = tmp_path_factory.mktemp("trees")
    before, after = {**before, "z": b"x"}, {**after, "z": b"x"}
    with make_store(folder) as store:
        one, other = pushed(store, folder, before, "p/one"), pushed(store, folder, after, "p/other")
        diff = store.diff(one, other)
        files = {entry.path: entry.digest for entry in store.version(one).files()}
        for change in diff:
            if change.before is not None:
                assert files.pop(change.before.path) == change.before.digest
        for change in diff:
            if change.after is not None:
                files[change.after.path] = change.after.digest
        assert files == {entry.path: entry.digest for entry in store.version(other).files()}
        assert _reversed(store.diff(other, one)) == sorted(map(_key, diff))
        assert list(store.diff_folder(one, folder / "source-1")) == list(diff)


def _key(change: Change) -> tuple[str, ...]:
    return (
        change.status,
        change.before.path if change.before else "",
        change.after.path if change.after else "",
    )


def _reversed(diff: VersionDiff) -> list[tuple[str, ...]]:
    words = {"added": "removed", "removed": "added"}
    return sorted((words.get(status, status), new, old) for status, old, new in map(_key, diff))


# --- inside of files --------------------------------------------------------------------------------------------------


def tensors(**given: bytes) -> bytes:
    """A safetensors file of single-precision tensors."""
    header, data = {}, b""
    for name, content in given.items():
        offsets = [len(data), len(data) + len(content)]
        header[name] = {"dtype": "F32", "shape": [len(content) // 4], "data_offsets": offsets}
        data += content
    return tensors_file(header, data)


def test_of_tensors_only_what_may_differ_is_read(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunk lists say which tensors are equal, but for their ends; also when all lie elsewhere in the file."""
    pytest.importorskip("numpy")
    first, second = SystemRandomness().token(12_000_000), bytes(8_000_000)
    edited = second[:4_000_000] + struct.pack("<f", 2.5) + second[4_000_004:]
    before = pushed(store, tmp_path, {"m.safetensors": tensors(first=first, second=second)})
    after = pushed(store, tmp_path, {"m.safetensors": tensors(new=bytes(400), first=first, second=edited)})
    read: list[int] = []
    real = StoredBytes.read_at

    def watched(source: StoredBytes, offset: int, length: int) -> bytes:
        read.append(length)
        return real(source, offset, length)

    monkeypatch.setattr(StoredBytes, "read_at", watched)
    diff = store.diff(before, after)
    (change,) = diff
    found = diff.look_into(change)
    assert isinstance(found, TensorsDiff)
    assert [one.name for one in found.added] == ["new"]
    assert found.equal == 1
    assert [(one.name, one.max_abs, one.relative_l2) for one in found.changed] == [("second", 2.5, math.inf)]
    # Twice the second tensor, and the ends of the first: chunks of `weights` have 256 KiB on average.
    assert 16_000_000 < sum(read) < 22_000_000


def test_tables_are_looked_into(store: Store, tmp_path: Path) -> None:
    """Of versions and of a folder; other changes and other files have nothing to say."""
    before = pushed(
        store, tmp_path, {"t.csv": b"a,b\n1,2\n", "x": b"1", "gone.csv": b"a\n", "run.csv": b"a\n"}
    )
    folder = write_tree(
        tmp_path / "new", {"t.csv": b"a,b\n1,3\n", "x": b"2", "come.csv": b"b\n", "run.csv": b"a\n"}
    )
    (folder / "run.csv").chmod(0o755)
    local = store.diff_folder(before, folder)
    stored = store.diff(before, store.push([folder], "p/n").qualified_name)
    for diff in (local, stored):
        inside = {change.path: diff.look_into(change) for change in diff}
        assert set(inside) == {"t.csv", "x", "gone.csv", "come.csv", "run.csv"}
        table = inside.pop("t.csv")
        assert isinstance(table, TableDiff)
        assert [(column.name, column.rows_changed) for column in table.columns] == [("b", 1)]
        assert set(inside.values()) == {None}
    (folder / "t.csv").write_bytes(b"")
    change = next(one for one in local if one.path == "t.csv")
    with pytest.raises(SourceChanged):
        local.look_into(change)


def test_what_is_not_what_its_name_says_is_refused(store: Store, tmp_path: Path) -> None:
    """By an error that names the file."""
    before = pushed(store, tmp_path, {"m.safetensors": b"1234567890"})
    after = pushed(store, tmp_path, {"m.safetensors": tensors(a=bytes(4))})
    diff = store.diff(before, after)
    with pytest.raises(InvalidContent, match=r"p/n:v0 m\.safetensors"):
        diff.look_into(next(iter(diff)))
