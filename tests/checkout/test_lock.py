"""Locks beside a store: adding, moving, holding folders against them, and making folders so."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore import Artifact, Lock, ReferenceAccess, Store
from artifactstore.checkout.lockfile import LOCK_FILE, LockedTarget
from artifactstore.checkout.restoring import _globs
from artifactstore.errors import (
    Deleted,
    DestinationExists,
    InvalidLock,
    LocalChanges,
    LockMismatch,
    NoSuchVersion,
    NotLocked,
    ReferenceChanged,
    ReferenceGone,
    ReferenceRefused,
    StorageFull,
)
from artifactstore.format.reference import Reference
from artifactstore.transfer.ignore import parse_patterns
from artifactstore.transfer.target import Target
from tests.references.web_server import Site, serving
from tests.stores import Tree, make_store, read_tree, settle, write_tree

pytestmark = pytest.mark.places("memory", "s3")

FIRST: Tree = {"a.txt": b"a", "sub/b.txt": b"b" * 5000, "sub/old.txt": b"old", "link": "a.txt", "empty": None}
SECOND: Tree = {
    "a.txt": b"A",
    "sub/b.txt": b"b" * 5000,
    "new/c.txt": b"c",
    "link": "sub/b.txt",
    "empty": None,
}


class Desk(NamedTuple):
    """A store with two versions of one artifact, and a repository with a lock file."""

    store: Store
    lock: Lock
    folder: Path

    def relocked(self, ref: str, target: str = "data/x") -> Lock:
        """The lock file with this version in it."""
        lock = Lock.load(self.lock.path)
        lock.add(self.store, ref, self.folder.parent.parent / target)
        lock.save()
        return lock


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk with v0 locked into `data/x`, which is not there yet."""
    repository = tmp_path / "repository"
    repository.mkdir()
    with make_store(tmp_path) as store:
        store.push([write_tree(tmp_path / "first", FIRST)], "team/x", aliases=["good"])
        store.push([write_tree(tmp_path / "second", SECOND)], "team/x")
        lock = Lock(repository / LOCK_FILE)
        lock.add(store, "team/x:v0", repository / "data/x")
        lock.save()
        yield Desk(store, lock, repository / "data" / "x")


def test_a_block_says_what_an_update_goes_by(desk: Desk) -> None:
    """An alias, `latest` where nothing is named, nothing where a number or a digest is."""
    digest = desk.store.version("team/x:v1").digest
    for ref, follows in (
        ("team/x", "latest"), ("team/x:good", "good"), ("team/x:v1", None), (f"team/x@{digest[:10]}", None),
    ):  # fmt: skip
        locked = desk.lock.add(desk.store, ref, desk.folder)
        assert (locked.follows, locked.target, locked.store) == (follows, "data/x", desk.store.id)
    assert desk.lock.targets == (locked,)
    assert (locked.version, locked.digest) == (1, digest)


def test_without_a_target_the_artifact_keeps_its_own(desk: Desk) -> None:
    """Locking again moves the block that is there; a new artifact goes beside the file under its name."""
    assert desk.lock.add(desk.store, "team/x:v1").target == "data/x"
    fresh = Lock(desk.lock.path)
    assert fresh.add(desk.store, "team/x").target == "x"
    with pytest.raises(InvalidLock, match="one lies in the other"):
        fresh.add(desk.store, "team/x", desk.lock.path.parent / "x" / "y")
    assert [each.target for each in fresh.targets] == ["x"]


def test_a_folder_is_made_exactly_so(desk: Desk) -> None:
    """Files, links, empty folders; again changes nothing, and the folder is clean."""
    (done,) = desk.lock.restore(desk.store)
    assert read_tree(desk.folder) == FIRST
    assert (done.written, done.removed) == (5, 0)
    inode = (desk.folder / "a.txt").stat().st_ino
    (again,) = desk.lock.restore(desk.store)
    assert (again.written, again.removed, again.bytes_written) == (0, 0, 0)
    assert (desk.folder / "a.txt").stat().st_ino == inode
    assert [each.state for each in desk.lock.status(desk.store)] == ["clean"]


def test_a_folder_follows_the_lock_from_version_to_version(desk: Desk) -> None:
    """What this client wrote and nobody changed goes without asking, in both directions."""
    desk.lock.restore(desk.store)
    for ref, tree in (("team/x:v1", SECOND), ("team/x:v0", FIRST)):
        lock = desk.relocked(ref)
        lock.restore(desk.store)
        assert read_tree(desk.folder) == tree
        assert lock.status(desk.store)[0].state == "clean"


def test_what_is_missing_comes_back(desk: Desk) -> None:
    """A file that was removed is nobody's work."""
    desk.lock.restore(desk.store)
    (desk.folder / "a.txt").unlink()
    (desk.folder / "empty").rmdir()
    (status,) = desk.lock.status(desk.store)
    assert (status.state, status.missing.shown) == ("different", ("a.txt", "empty"))
    desk.lock.restore(desk.store)
    assert read_tree(desk.folder) == FIRST


def test_changes_are_not_destroyed(desk: Desk) -> None:
    """A changed and an extra file stay, byte for byte, until their owner says otherwise for each."""
    desk.lock.restore(desk.store)
    (desk.folder / "a.txt").write_bytes(b"mine")
    (desk.folder / "sub" / "mine.txt").write_bytes(b"mine too")
    for lock in (desk.lock, desk.relocked("team/x:v1")):
        for options in ({}, {"overwrite": True}, {"clean": True}):
            with pytest.raises(LocalChanges) as caught:
                lock.restore(desk.store, **options)
            assert ("data/x/a.txt" in caught.value.facts["changed"]) == ("overwrite" not in options)
            assert ("data/x/sub/mine.txt" in caught.value.facts["extra"]) == ("clean" not in options)
            assert read_tree(desk.folder) == {**FIRST, "a.txt": b"mine", "sub/mine.txt": b"mine too"}
    lock.restore(desk.store, overwrite=True, clean=True)
    assert read_tree(desk.folder) == SECOND


def test_a_folder_that_this_client_did_not_make_is_somebodys(desk: Desk, tmp_path: Path) -> None:
    """Without a memory of what was there, files of another version count as changed; equal ones as they are."""
    write_tree(desk.folder, FIRST)
    lock = desk.relocked("team/x:v1")
    with pytest.raises(LocalChanges) as caught:
        lock.restore(desk.store)
    assert caught.value.facts == {
        "changed": ["data/x/a.txt", "data/x/link"], "extra": ["data/x/sub/old.txt"],
    }  # fmt: skip
    desk.relocked("team/x:v0").restore(desk.store)
    # That was so already; from now on this client knows.
    desk.relocked("team/x:v1").restore(desk.store)
    assert read_tree(desk.folder) == SECOND


def test_all_targets_are_looked_at_before_one_is_written(desk: Desk) -> None:
    """A refusal for one folder leaves the others as they were."""
    lock = desk.relocked("team/x:v1", "other")
    write_tree(lock.path.parent / "other", {"mine": b"1"})
    with pytest.raises(LocalChanges):
        lock.restore(desk.store)
    assert not desk.folder.exists()
    lock.restore(desk.store, ["data/x"])
    assert read_tree(desk.folder) == FIRST


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"p": b"file"}, {"p/q": b"below"}),
        ({"p": b"file"}, {"p": None}),
        ({"p": None}, {"p": b"file"}),
        ({"p": "elsewhere"}, {"p/q": b"below"}),
        ({"p/q": b"below"}, {"p": "elsewhere"}),
        ({"p/q/r": b"1", "p/s": b"2"}, {"p": b"file"}),
        ({"p": b"#!", "r": b""}, {"p": "#!", "r": None}),
        ({}, {"deep/er/file": b"1", "deep/link": "/etc/passwd"}),
    ],
)
def test_what_changes_its_kind(tmp_path: Path, before: Tree, after: Tree) -> None:
    """A file becomes a folder, a link a file, and back."""
    with make_store(tmp_path) as store:
        write_tree(tmp_path / "before", before)
        write_tree(tmp_path / "after", after)
        for name in ("before", "after", "before"):
            store.push([tmp_path / name], "team/x")
        lock = Lock(tmp_path / LOCK_FILE)
        for number, tree in enumerate((before, after, before)):
            lock.add(store, f"team/x:v{number}", tmp_path / "target")
            lock.restore(store)
            assert read_tree(tmp_path / "target") == tree
        # Also where nothing is known of the folder.
        write_tree(tmp_path / "other", before)
        lock = Lock(tmp_path / LOCK_FILE)
        lock.add(store, "team/x:v1", tmp_path / "other")
        lock.restore(store, overwrite=True, clean=True)
        assert read_tree(tmp_path / "other") == after


def test_executable_bits_are_part_of_a_folder(desk: Desk) -> None:
    """A file that lost or got its bit is another file."""
    desk.lock.restore(desk.store)
    (desk.folder / "a.txt").chmod(0o755)
    (status,) = desk.lock.status(desk.store)
    assert status.modified.shown == ("a.txt",)
    desk.lock.restore(desk.store, overwrite=True)
    assert not (desk.folder / "a.txt").stat().st_mode & 0o111


def test_status_names_what_differs(desk: Desk) -> None:
    """Changed, missing and extra paths, a FIFO among them, and no more than it should name."""
    (absent,) = desk.lock.status(desk.store)
    assert (absent.state, absent.present) == ("absent", False)
    desk.lock.restore(desk.store)
    (desk.folder / "a.txt").write_bytes(b"x")
    (desk.folder / "sub" / "old.txt").unlink()
    os.mkfifo(desk.folder / "sub" / "pipe")
    (desk.folder / "bare").mkdir()
    for number in range(30):
        (desk.folder / "bare" / f"{number:02}").touch()
    (status,) = desk.lock.status(desk.store)
    assert (status.modified.shown, status.missing.shown) == (("a.txt",), ("sub/old.txt",))
    assert (status.extra.total, len(status.extra.shown)) == (31, 20)
    assert status.extra.shown[:2] == ("bare/00", "bare/01")


def test_an_empty_folder_in_which_files_are_missing_is_not_extra(desk: Desk) -> None:
    """What a pull would make anyway is no difference; an empty folder that no version has is one."""
    desk.lock.restore(desk.store)
    for path in (desk.folder / "sub").iterdir():
        path.unlink()
    (desk.folder / "tail").mkdir()
    (desk.folder / "empty" / "more").mkdir()
    (status,) = desk.lock.status(desk.store)
    assert status.missing.shown == ("sub/b.txt", "sub/old.txt")
    assert status.extra.shown == ("empty/more", "tail")
    desk.lock.restore(desk.store, clean=True)
    assert read_tree(desk.folder) == FIRST


def test_unchanged_files_are_not_read(desk: Desk) -> None:
    """The first look reads files whose times have settled, the next reads none, and a push reads none either."""
    desk.lock.restore(desk.store)
    settle(desk.folder)
    # Inode times can't be set back: the clock of this store is ahead instead.
    desk.store._clock = type("Later", (), {"now_ns": lambda _: 2 * 10**18, "monotonic_s": lambda _: 0.0})()
    (first,) = desk.lock.status(desk.store)
    (second,) = desk.lock.status(desk.store)
    assert (first.files_read, first.bytes_read) == (3, 5004)
    assert (second.files_read, second.bytes_read, second.state) == (0, 0, "clean")
    assert desk.store.plan_push([desk.folder], "team/x").files_to_read == 0
    (desk.folder / "a.txt").write_bytes(b"Z")
    (third,) = desk.lock.status(desk.store)
    assert (third.files_read, third.modified.shown) == (1, ("a.txt",))


def test_updates_follow_their_alias(desk: Desk) -> None:
    """`latest` and other aliases move a block, a number does not, and names choose."""
    root = desk.lock.path.parent
    lock = Lock(desk.lock.path)
    lock.add(desk.store, "team/x:good", root / "good")
    lock.add(desk.store, "team/x:latest", root / "newest")
    lock.add(desk.store, "team/x:v0", root / "pinned")
    desk.store.push([write_tree(root.parent / "third", {"t": b"3"})], "team/x")
    desk.store.add_aliases("team/x:v1", ["good"])
    assert [check.behind for check in lock.check(desk.store)] == [True, True, False]
    (only,) = lock.update(desk.store, ["newest"])
    assert (only.moved, only.before.version, only.after.version) == (True, 1, 2)
    moves = lock.update(desk.store)
    assert [(move.after.target, move.after.version, move.moved) for move in moves] == [
        ("good", 1, True), ("newest", 2, False), ("pinned", 0, False),
    ]  # fmt: skip
    assert [each.version for each in lock.targets] == [1, 2, 0]
    with pytest.raises(NotLocked, match="names no target or artifact 'nothing'"):
        lock.update(desk.store, ["nothing"])


def test_blocks_are_removed_and_folders_stay(desk: Desk) -> None:
    """Taking a block out touches no file."""
    desk.lock.restore(desk.store)
    assert [each.target for each in desk.lock.remove(["team/x"])] == ["data/x"]
    assert (desk.lock.targets, read_tree(desk.folder)) == ((), FIRST)


def altered(desk: Desk, **changes: object) -> Lock:
    """The lock file with its one block changed by somebody."""
    (locked,) = desk.lock.targets
    values = {name: getattr(locked, name) for name in LockedTarget.__struct_fields__}
    return Lock(desk.lock.path, [LockedTarget(**{**values, **changes})])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"digest": "ab" * 32}, LockMismatch),
        ({"version": 1}, LockMismatch),
        ({"store": "cd" * 32}, LockMismatch),
        ({"version": 7}, NoSuchVersion),
    ],
)
def test_a_lock_that_does_not_fit_the_store_writes_nothing(
    desk: Desk, changes: dict[str, object], error: type[Exception]
) -> None:
    """Another digest, another store or no such version: its own error for every command, and no folder."""
    lock = altered(desk, **changes)
    for act in (lock.restore, lock.status, lock.plan_restore):
        with pytest.raises(error) as caught:
            act(desk.store)
        assert caught.value.next_step  # type: ignore[attr-defined]
    assert not desk.folder.exists()
    (check,) = lock.check(desk.store)
    assert check.problem
    assert check.next_step


def test_a_deleted_version_is_told(desk: Desk) -> None:
    """`check` says so without ending there; restoring is the store's own error."""
    desk.store.delete(["team/x:v0"], force=True)
    with pytest.raises(Deleted):
        desk.lock.restore(desk.store)
    assert "was deleted" in desk.lock.check(desk.store)[0].problem


def test_a_symlink_on_the_way_is_refused(desk: Desk, tmp_path: Path) -> None:
    """A repository can hold a link to anywhere: nothing is read, written or removed behind it."""
    home = write_tree(tmp_path / "home", {"x/precious": b"1", "precious": b"2"})
    for link in (desk.folder.parent, desk.folder):
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(home)
        for act in (desk.lock.status, desk.lock.plan_restore):
            with pytest.raises(InvalidLock, match="leads through the symlink"):
                act(desk.store)
        with pytest.raises(InvalidLock, match="leads through the symlink"):
            desk.lock.restore(desk.store, overwrite=True, clean=True)
        link.unlink()
    assert read_tree(home) == {"x/precious": b"1", "precious": b"2"}


def test_a_file_in_the_place_of_a_target(desk: Desk) -> None:
    """It is not replaced, whatever is said."""
    write_tree(desk.folder.parent, {"x": b"file"})
    assert desk.lock.status(desk.store)[0].state == "absent"
    with pytest.raises(DestinationExists, match="is not a folder"):
        desk.lock.restore(desk.store, overwrite=True, clean=True)
    assert desk.folder.read_bytes() == b"file"


def test_many_differences_are_pulled_as_a_whole(tmp_path: Path) -> None:
    """More differing paths than can be named one by one end the same."""
    trees: list[Tree] = [{f"f{number}": f"{mark}{number}".encode() for number in range(300)} for mark in "ab"]
    with make_store(tmp_path) as store:
        lock = Lock(tmp_path / LOCK_FILE)
        for number, tree in enumerate(trees):
            store.push([write_tree(tmp_path / f"source{number}", tree)], "team/x")
            lock.add(store, "team/x", tmp_path / "target")
            lock.restore(store)
            assert read_tree(tmp_path / "target") == tree


@given(
    st.text(st.characters(exclude_categories=["Cc", "Cs"], exclude_characters="\\/"), min_size=1, max_size=20)
)
def test_a_glob_names_its_path_alone(name: str) -> None:
    """Marks of the pattern language in a name stand for themselves."""
    globs = _globs([f"folder/{name}"])
    if not globs:  # all is pulled then
        assert name[-1].isspace()
        return
    spec = parse_patterns(globs, "x")
    assert spec.match_file(f"folder/{name}")
    assert not spec.match_file(f"folder/{name}x")
    assert not spec.match_file(f"other/{name}")


@pytest.mark.parametrize("again", ["same", "back"])
def test_a_restore_that_is_cut_anywhere_is_repeated(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, again: str
) -> None:
    """At each removal and at the pull: nobody is asked the next time, whichever version is wanted then."""
    cuts = 0
    while True:
        lock = desk.relocked("team/x:v0")
        lock.restore(desk.store, overwrite=True, clean=True)
        lock = desk.relocked("team/x:v1")
        left = [cuts]

        def cut(
            _: object, *words: object, left: list[int] = left, real: object = None, **more: object
        ) -> object:
            if not left[0]:
                raise OSError(28, "No space left on device")
            left[0] -= 1
            return real(_, *words, **more)  # type: ignore[operator]

        with monkeypatch.context() as patch:
            for owner, name in ((Target, "remove_anything"), (Target, "remove_folder"), (Store, "pull")):
                real = getattr(owner, name)
                patch.setattr(owner, name, lambda *words, real=real, **more: cut(*words, real=real, **more))
            try:
                lock.restore(desk.store)
            except (StorageFull, OSError):
                pass
            else:
                break
        cuts += 1
        assert lock.status(desk.store)[0].state == "different"
        wanted, tree = ("team/x:v1", SECOND) if again == "same" else ("team/x:v0", FIRST)
        desk.relocked(wanted).restore(desk.store)
        assert read_tree(desk.folder) == tree
    assert cuts == 3


def test_references_can_be_left_out(desk: Desk) -> None:
    """Then they are neither missing nor compared, and what lies at their paths is its owner's."""
    reference = Reference("https://example.org/x")
    desk.store.push(
        [write_tree(desk.folder.parents[2] / "with", {"a": b"1"})], "team/r", references={"x/y": reference}
    )
    desk.store.push([desk.folder.parents[2] / "with"], "team/r")
    lock, folder = desk.relocked("team/r:v0", "r"), desk.lock.path.parent / "r"
    lock.restore(desk.store, ["r"], references=False)
    assert read_tree(folder) == {"a": b"1"}
    for tree in ({"a": b"1"}, {"a": b"1", "x/y": b"mine"}):
        write_tree(folder, tree)
        assert lock.status(desk.store, ["r"], references=False)[0].state == "clean"
        assert lock.plan_restore(desk.store, ["r"], references=False)[0].write.total == 0
    (status,) = lock.status(desk.store, ["r"])
    assert status.modified.shown == ("x/y",)
    # The version before had a reference there, and never these bytes: they are not removed unasked.
    for references in (True, False):
        with pytest.raises(LocalChanges):
            desk.relocked("team/r:v1", "r").restore(desk.store, ["r"], references=references)
    assert read_tree(folder) == {"a": b"1", "x/y": b"mine"}


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as served:
        served.files["/tagged"] = (b"tagged", '"v1"')
        yield served


def referring(desk: Desk, site: Site, outside: Path) -> ReferenceAccess:
    """`team/far:v0` has a file, a reference that is known by its hash, by an entity tag, and by nothing."""
    draft = Artifact("far", "dataset")
    draft.add_reference(f"file://{outside}", "near")
    draft.add_reference(f"{site.url}/tagged", "tagged")
    draft.add_reference(f"{site.url}/tagged", "blind", checksum=False)
    with draft.new_file("own") as file:
        file.write("own")
    draft.save(desk.store, "team")
    return ReferenceAccess(allow=(f"{site.url}/", f"file://{outside}/"))


FAR: Tree = {"own": b"own", "near/one": b"one", "tagged": b"tagged", "blind": b"tagged"}


def test_references_are_part_of_a_folder(desk: Desk, site: Site, tmp_path: Path) -> None:
    """They are fetched, known again, missed, and seen when they are changed; only what differs is fetched again."""
    outside = write_tree(tmp_path / "outside", {"one": b"one"})
    access = referring(desk, site, outside)
    lock, folder = desk.relocked("team/far", "far"), desk.lock.path.parent / "far"
    assert lock.status(desk.store, ["far"])[0].state == "absent"
    lock.restore(desk.store, ["far"], access=access)
    assert read_tree(folder) == FAR
    assert lock.status(desk.store, ["far"])[0].state == "clean"
    (again,) = lock.restore(desk.store, ["far"])  # fetches nothing: it would not be allowed to
    assert (again.written, again.bytes_written) == (0, 0)
    for path, data in {"near/one": b"ONE", "tagged": b"TAGGED", "blind": b"TAGGED"}.items():
        (folder / path).write_bytes(data)  # of the same size
        (status,) = lock.status(desk.store, ["far"])
        assert (status.state, status.modified.shown) == ("different", (path,))
        with pytest.raises(LocalChanges):
            lock.restore(desk.store, ["far"], access=access)
        (done,) = lock.restore(desk.store, ["far"], access=access, overwrite=True)
        assert (done.written, read_tree(folder)) == (1, FAR)
        (folder / path).unlink()
        assert lock.status(desk.store, ["far"])[0].missing.shown == (path,)
        lock.restore(desk.store, ["far"], access=access)
        assert read_tree(folder) == FAR
        assert lock.status(desk.store, ["far"])[0].state == "clean"


def test_a_push_does_not_take_a_fetched_file_for_its_reference(
    desk: Desk, site: Site, tmp_path: Path
) -> None:
    """What is noted of fetched files is no chunk of the store: pushed, they are files with their bytes."""
    access = referring(desk, site, write_tree(tmp_path / "outside", {"one": b"one"}))
    lock, folder = desk.relocked("team/far", "far"), desk.lock.path.parent / "far"
    lock.restore(desk.store, ["far"], access=access)
    lock.status(desk.store, ["far"])
    desk.store.push([folder], "team/copy")
    desk.store.pull("team/copy", tmp_path / "copy")
    assert read_tree(tmp_path / "copy") == FAR


def test_what_was_fetched_goes_with_its_version(desk: Desk, site: Site, tmp_path: Path) -> None:
    """The next version has none of it: it is removed without asking, as this client wrote it."""
    access = referring(desk, site, write_tree(tmp_path / "outside", {"one": b"one"}))
    desk.relocked("team/far", "far").restore(desk.store, ["far"], access=access)
    desk.store.push([write_tree(tmp_path / "next", {"own": b"own"})], "team/far")
    lock = desk.relocked("team/far", "far")
    (done,) = lock.restore(desk.store, ["far"])
    assert (done.removed, read_tree(desk.lock.path.parent / "far")) == (3, {"own": b"own"})


@pytest.mark.parametrize("how", ["changed", "gone", "not allowed"])
def test_a_reference_that_can_not_be_had_writes_nothing(
    desk: Desk, site: Site, tmp_path: Path, how: str
) -> None:
    """Its own error, for a folder that is not there and for one that is; a repeated restore goes on."""
    access = referring(desk, site, write_tree(tmp_path / "outside", {"one": b"one"}))
    lock, folder = desk.relocked("team/far", "far"), desk.lock.path.parent / "far"
    served = dict(site.files)
    if how == "changed":
        site.files["/tagged"] = (b"TAGGED", '"v2"')
    elif how == "gone":
        del site.files["/tagged"]
    error = {"changed": ReferenceChanged, "gone": ReferenceGone, "not allowed": ReferenceRefused}[how]
    before: Tree
    for before in ({}, {"own": b"own"}):
        if before:
            write_tree(folder, before)
        with pytest.raises(error) as caught:
            lock.restore(desk.store, ["far"], access=None if how == "not allowed" else access)
        assert caught.value.facts["url"]
        assert caught.value.next_step
        assert (read_tree(folder) if folder.exists() else {}) == before
    site.files.update(served)
    lock.restore(desk.store, ["far"], access=access)
    assert read_tree(folder) == FAR
