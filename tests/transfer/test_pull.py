"""Pulling: every byte back, destinations that are there, pulls that were cut, and what a symlink may not do."""

import os
import stat
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.errors import ConnectionLost, Damaged, DestinationExists, NoSuchEntry, NoSuchVersion
from artifactstore.testing import FaultyBackend
from artifactstore.transfer import pull as pull_module
from artifactstore.transfer.staging import staging_of
from tests.stores import Tree, make_store, noise, read_tree, write_tree

pytestmark = pytest.mark.places("memory", "s3")

BIG = noise(3 << 20, seed=7)
TREE: Tree = {
    "a.txt": b"small",
    "big.bin": BIG,
    "empty": None,
    "nothing": b"",
    "same": b"small",
    "sub/deep/er/x": b"deep",
    "sub/link": "../a.txt",
    "sub/out": "../../outside",
    "loop": "loop",
    "ünï": b"name",
}


@pytest.fixture
def store(tmp_path: Path):
    write_tree(tmp_path / "in", TREE)
    (tmp_path / "in/a.txt").chmod(0o755)
    with make_store(tmp_path) as made:
        made.push([tmp_path / "in"], "p/n")
        yield made


def staged(tmp_path: Path) -> list[str]:
    return [path.name for path in tmp_path.rglob("*.partial")]


def test_everything_comes_back(tmp_path: Path, store: Store) -> None:
    """Bytes, symlinks as they are, empty folders and the executable bit; no staging folder stays."""
    done = store.pull("p/n", tmp_path / "out")
    assert read_tree(tmp_path / "out") == dict(TREE)
    assert stat.S_IMODE((tmp_path / "out/a.txt").stat().st_mode) & 0o100
    assert not stat.S_IMODE((tmp_path / "out/same").stat().st_mode) & 0o100
    assert (done.files, done.files_written, done.bytes_kept) == (10, 10, 0)
    assert (
        done.bytes_written == done.logical_bytes == sum(len(x) for x in TREE.values() if isinstance(x, bytes))
    )
    assert staged(tmp_path) == []


def test_modes_follow_the_umask(tmp_path: Path, store: Store) -> None:
    """What the user's umask takes away is taken away, folders included."""
    old = os.umask(0o027)
    try:
        store.pull("p/n", tmp_path / "out")
    finally:
        os.umask(old)
    modes = {
        name: stat.S_IMODE((tmp_path / "out" / name).stat().st_mode) for name in ("", "sub", "a.txt", "same")
    }
    assert modes == {"": 0o750, "sub": 0o750, "a.txt": 0o750, "same": 0o640}


@pytest.mark.parametrize(
    ("globs", "kept"),
    [
        (["*.txt"], {"a.txt"}),
        (["sub"], {"sub/deep/er/x", "sub/link", "sub/out"}),
        (["sub/deep/"], {"sub/deep/er/x"}),
        (["*/link", "same"], {"sub/link", "same"}),
        (["absent", "same"], {"same"}),
    ],
)
def test_globs_select(tmp_path: Path, store: Store, globs: list[str], kept: set[str]) -> None:
    """A glob selects paths and everything below the folders that it matches."""
    store.pull("p/n", tmp_path / "out", paths=globs)
    assert set(read_tree(tmp_path / "out")) == kept


def test_globs_that_select_nothing_are_an_error(tmp_path: Path, store: Store) -> None:
    """An empty folder would look like a success; nothing is left behind, by the dry run neither."""
    for pull in (store.plan_pull, store.pull):
        with pytest.raises(NoSuchEntry) as caught:
            pull("p/n", tmp_path / "out", paths=["absent", "*.nothing"])
        assert caught.value.facts == {"globs": ["absent", "*.nothing"]}
    assert not (tmp_path / "out").exists()
    assert staged(tmp_path) == []


# --- destinations ------------------------------------------------------------------------------------------


def test_a_destination_that_holds_something_is_refused(tmp_path: Path, store: Store) -> None:
    """Nothing is overwritten without --overwrite, and nothing is fetched before that is known."""
    write_tree(tmp_path / "out", {"a.txt": b"mine", "other": b"mine too"})
    with pytest.raises(DestinationExists, match="not empty") as caught:
        store.pull("p/n", tmp_path / "out")
    assert "--overwrite" in caught.value.next_step
    assert read_tree(tmp_path / "out") == {"a.txt": b"mine", "other": b"mine too"}
    assert staged(tmp_path) == []


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("what", ["file", "dangling symlink"])
def test_a_destination_that_is_no_folder_is_refused(
    tmp_path: Path, store: Store, what: str, overwrite: bool
) -> None:
    """A file is never replaced by a folder."""
    write_tree(tmp_path, {"out": b"mine" if what == "file" else "nowhere"})
    with pytest.raises(DestinationExists, match="not a folder"):
        store.pull("p/n", tmp_path / "out", overwrite=overwrite)


def test_an_empty_folder_is_filled(tmp_path: Path, store: Store) -> None:
    """The folder itself stays, so that it may be a mount point or somebody's working directory."""
    (tmp_path / "out").mkdir()
    inode = (tmp_path / "out").stat().st_ino
    store.pull("p/n", tmp_path / "out")
    assert read_tree(tmp_path / "out") == dict(TREE)
    assert (tmp_path / "out").stat().st_ino == inode
    assert staged(tmp_path) == []


def test_overwriting_writes_what_differs_and_leaves_the_rest(tmp_path: Path, store: Store) -> None:
    """Equal files are not fetched, others are replaced, files of other names stay."""
    store.pull("p/n", tmp_path / "out")
    write_tree(tmp_path / "out", {"a.txt": b"SMALL", "mine": b"mine"})
    (tmp_path / "out/same").unlink()
    done = store.pull("p/n", tmp_path / "out", overwrite=True)
    assert read_tree(tmp_path / "out") == {**TREE, "mine": b"mine"}
    assert done.bytes_written == len(b"small" * 2)
    assert done.bytes_kept == done.logical_bytes - done.bytes_written


def test_overwriting_restores_the_executable_bit(tmp_path: Path, store: Store) -> None:
    """A file of the right bytes and the wrong bit is not the right file."""
    store.pull("p/n", tmp_path / "out")
    (tmp_path / "out/a.txt").chmod(0o644)
    store.pull("p/n", tmp_path / "out", overwrite=True)
    assert (tmp_path / "out/a.txt").stat().st_mode & 0o100


@pytest.mark.parametrize("planted", ["sub", "sub/deep"])
def test_a_planted_folder_symlink_is_never_followed(tmp_path: Path, store: Store, planted: str) -> None:
    """An --overwrite into a folder with a symlink in the place of a folder writes nothing behind the link."""
    outside = write_tree(tmp_path / "outside", {"deep/er/x": b"theirs", "er/x": b"theirs", "link": b"theirs"})
    before = read_tree(outside)
    write_tree(tmp_path / "out", {planted: str(outside)})
    with pytest.raises(DestinationExists, match="another kind"):
        store.pull("p/n", tmp_path / "out", overwrite=True)
    assert read_tree(outside) == before


def test_a_planted_file_symlink_is_replaced(tmp_path: Path, store: Store) -> None:
    """A symlink in the place of a file gives way; what it points at stays as it is."""
    write_tree(tmp_path, {"outside": b"theirs", "out/a.txt": "../outside", "out/big.bin": "nowhere"})
    store.pull("p/n", tmp_path / "out", overwrite=True)
    assert read_tree(tmp_path / "out") == dict(TREE)
    assert (tmp_path / "outside").read_bytes() == b"theirs"


def test_a_folder_in_the_place_of_a_file_is_refused(tmp_path: Path, store: Store) -> None:
    """Whole folders are not removed for a file's sake."""
    write_tree(tmp_path / "out", {"a.txt/mine": b"mine"})
    with pytest.raises(DestinationExists):
        store.pull("p/n", tmp_path / "out", overwrite=True)
    assert (tmp_path / "out/a.txt/mine").read_bytes() == b"mine"


def test_a_pull_into_a_symlinked_destination_goes_where_the_user_says(tmp_path: Path, store: Store) -> None:
    """The destination itself may be a symlink: the user named it."""
    (tmp_path / "real").mkdir()
    (tmp_path / "out").symlink_to("real")
    store.pull("p/n", tmp_path / "out")
    assert read_tree(tmp_path / "real") == dict(TREE)


def test_a_long_name_leaves_room_for_the_staging_folder(tmp_path: Path, store: Store) -> None:
    """A destination whose name is as long as names may be can be pulled to."""
    store.pull("p/n", tmp_path / ("x" * 255))
    assert read_tree(tmp_path / ("x" * 255)) == dict(TREE)


def test_an_unknown_version_makes_no_folder(tmp_path: Path, store: Store) -> None:
    """What can't be resolved touches no disk."""
    with pytest.raises(NoSuchVersion):
        store.pull("p/n:v7", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert staged(tmp_path) == []


# --- pulls that were cut --------------------------------------------------------------------------------------


def cut(store: Store, destination: Path, *, after: int, **options: object) -> int:
    """Pull with a backend that fails for good after some range reads; return how many there were."""
    reader = store._parts.reader
    backend = FaultyBackend(reader._backend)
    backend.fail(at=after, forever=True, error=ConnectionLost)
    reader._backend = backend
    try:
        with pytest.raises(ConnectionLost):
            store.pull("p/n", destination, **options)  # type: ignore[arg-type]
    finally:
        reader._backend = backend.inner
    return len(backend.operations)


@pytest.fixture
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many small requests, so that a pull can be cut in the middle of a file."""
    from artifactstore.content import get as get_module
    from artifactstore.pack import ranges

    monkeypatch.setattr(
        get_module, "coalesce", lambda blobs: ranges.coalesce(blobs, gap_max=0, range_max=64 << 10)
    )


@pytest.mark.usefixtures("small_ranges")
@pytest.mark.parametrize("after", [0, 1, 3, 6])
def test_a_cut_pull_is_taken_up_where_it_stood(tmp_path: Path, store: Store, after: int) -> None:
    """What was written is kept, once its hash is right; the destination is not there before it is whole."""
    cut(store, tmp_path / "out", after=after)
    assert not (tmp_path / "out").exists()
    done = store.pull("p/n", tmp_path / "out")
    assert read_tree(tmp_path / "out") == dict(TREE)
    assert done.bytes_kept + done.bytes_written == done.logical_bytes
    assert done.bytes_kept > 0 or after < 3
    assert staged(tmp_path) == []


@pytest.mark.usefixtures("small_ranges")
def test_a_half_written_file_is_not_trusted(tmp_path: Path, store: Store) -> None:
    """After a crash a staged file may have its size and hold zeros, be cut, too long or someone's edit."""
    cut(store, tmp_path / "out", after=6)
    (name,) = staged(tmp_path)
    staging = tmp_path / name
    (staging / "sub/deep/er").mkdir(parents=True, exist_ok=True)
    (staging / "big.bin").write_bytes(bytes(len(BIG)))
    (staging / "a.txt").write_bytes(b"smaLL")
    (staging / "same").write_bytes(b"small and much more")
    (staging / "sub/deep/er/x").write_bytes(b"de")
    (staging / "nothing").write_bytes(b"something")
    done = store.pull("p/n", tmp_path / "out")
    assert read_tree(tmp_path / "out") == dict(TREE)
    assert done.bytes_kept < 100


@pytest.mark.usefixtures("small_ranges")
def test_another_selection_does_not_publish_what_was_cut(tmp_path: Path, store: Store) -> None:
    """What a cut pull left half written is no part of a pull of other paths."""
    cut(store, tmp_path / "out", after=5)
    store.pull("p/n", tmp_path / "out", paths=["a.txt"])
    assert read_tree(tmp_path / "out") == {"a.txt": b"small"}


@pytest.mark.usefixtures("small_ranges")
def test_a_cut_overwrite_leaves_the_destination_as_it_was(tmp_path: Path, store: Store) -> None:
    """Files are moved into place when all are there."""
    write_tree(tmp_path / "out", {"a.txt": b"mine"})
    cut(store, tmp_path / "out", after=5, overwrite=True)
    assert read_tree(tmp_path / "out") == {"a.txt": b"mine"}
    store.pull("p/n", tmp_path / "out", overwrite=True)
    assert read_tree(tmp_path / "out") == dict(TREE)


def test_a_planted_staging_folder_is_refused(tmp_path: Path, store: Store) -> None:
    """The staging folder's name can be guessed; a symlink there would lead the whole pull elsewhere."""
    outside = write_tree(tmp_path / "outside", {"a.txt": b"theirs"})
    _, _, manifest = store._resolved("p/n")
    Path(staging_of(str(tmp_path / "out"), manifest, [])).symlink_to(outside)
    with pytest.raises(DestinationExists):
        store.pull("p/n", tmp_path / "out")
    assert read_tree(outside) == {"a.txt": b"theirs"}


def test_symlinks_of_a_cut_pull_lead_nowhere(tmp_path: Path, store: Store) -> None:
    """A symlink in a staging folder, in the place of a file or a folder, is not written through."""
    outside = write_tree(tmp_path / "outside", {"x": b"theirs", "er/x": b"theirs"})
    _, _, manifest = store._resolved("p/n")
    staging = Path(staging_of(str(tmp_path / "out"), manifest, []))
    write_tree(staging, {"sub/deep": str(outside)})
    with pytest.raises(DestinationExists):
        store.pull("p/n", tmp_path / "out")
    assert read_tree(outside) == {"x": b"theirs", "er/x": b"theirs"}


def test_no_worker_outlives_a_pull_that_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Descriptors are closed after the last write through them, not before: numbers are given out again."""
    import threading

    from artifactstore.transfer.target import Target

    write_tree(tmp_path / "in", {f"f{number:03}": noise(15_000, number) for number in range(200)})
    closed, late = threading.Event(), []
    close, write = Target.close, Target.write_file

    def noting_close(self: Target) -> None:
        closed.set()
        close(self)

    def slow_write(self: Target, path: str, data: memoryview, mode: int) -> None:
        if path == "f001":
            raise OSError(5, "Input/output error")
        closed.wait(0.001)
        late.append(closed.is_set())
        write(self, path, data, mode)

    with make_store(tmp_path) as store:
        store.push([tmp_path / "in"], "p/n")
        monkeypatch.setattr(Target, "close", noting_close)
        monkeypatch.setattr(Target, "write_file", slow_write)
        monkeypatch.setattr("artifactstore.content.get.coalesce", _one_by_one)
        with pytest.raises(Exception, match="Input/output"):
            store.pull("p/n", tmp_path / "out")
    assert not any(late)


def _one_by_one(blobs):
    from artifactstore.pack.ranges import Range

    return [Range(start, length, ((start, length),)) for start, length in sorted(set(blobs))]


def test_many_equal_files_are_fetched_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Places are counted, not chunks: a million copies of one file do not gather in memory."""
    monkeypatch.setattr(pull_module, "_WINDOW_CHUNKS_MAX", 10)
    write_tree(tmp_path / "in", {f"{number:03}": b"same" for number in range(100)})
    most = []
    fetch = pull_module._Puller._fetch_window

    def noting(self: pull_module._Puller) -> None:
        most.append(sum(map(len, self._places.values())))
        fetch(self)

    monkeypatch.setattr(pull_module._Puller, "_fetch_window", noting)
    with make_store(tmp_path) as store:
        store.push([tmp_path / "in"], "p/n")
        store.pull("p/n", tmp_path / "out")
    assert max(most) <= 10
    assert len(read_tree(tmp_path / "out")) == 100


def test_a_damaged_pack_stops_the_pull_and_names_itself(tmp_path: Path, store: Store) -> None:
    """Nothing is published, and what is whole stays for the next try."""
    backend = store._parts.backend
    for info in list(backend.list("packs/")):
        data = backend.get(info.name, limit_bytes=1 << 30)
        if info.size_bytes > 1 << 20:
            backend.put(info.name, data[:1000] + bytes([data[1000] ^ 1]) + data[1001:])
    with pytest.raises(Damaged) as caught:
        store.pull("p/n", tmp_path / "out")
    assert str(caught.value.facts["object"]).startswith("packs/")
    assert not (tmp_path / "out").exists()
