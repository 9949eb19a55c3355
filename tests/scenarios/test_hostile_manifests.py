"""Versions made by somebody with the key and no good intentions: refused before anything is written outside."""

import resource
from pathlib import Path

import pytest
import zstandard
from blake3 import blake3

from artifactstore import Store
from artifactstore.clock import SystemRandomness
from artifactstore.errors import ArtifactStoreError, Damaged, HostileManifest
from artifactstore.format.limits import KEY_BYTES, PACK_BYTES_TARGET, TAG_BYTES
from artifactstore.format.pack import PackType
from artifactstore.format.page import EMPTY, Content, Kind, path_order
from artifactstore.pack.writer import OpenPack
from tests.stores import RudeWriter, make_store, read_tree, write_tree

pytestmark = pytest.mark.places("memory", "s3")

DATA = b"0123456789"
FILE, SYMLINK, FOLDER = int(Kind.FILE), int(Kind.SYMLINK), int(Kind.FOLDER)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Where a pull is done, with something beside it that must stay as it is."""
    write_tree(tmp_path / "work", {"victim": b"theirs", "folder/file": b"theirs"})
    return tmp_path / "work"


@pytest.fixture
def store(tmp_path: Path):
    with make_store(tmp_path) as made:
        yield made


def file_entry(path: str, cid: bytes, size: int = len(DATA), sizes: list[int] | None = None):
    sizes = [size] if sizes is None else sizes
    return (path, FILE, size, blake3(DATA).digest(), 0), Content(0, cid * len(sizes), sizes)


def link_entry(path: str, target: str):
    identity = (path, SYMLINK, len(target.encode()), blake3(target.encode()).digest(), 0)
    return identity, Content(0, b"", [], target)


def refused(store: Store, place: Path, *, error: type[ArtifactStoreError] = Damaged) -> ArtifactStoreError:
    """Every way to use the version is refused, and nothing at all was made or changed around the destination."""
    before = read_tree(place)
    for overwrite in False, True:
        with pytest.raises(error) as caught:
            store.pull("p/rude", place / "out", overwrite=overwrite)
        assert caught.value.exit_code == 6
        after = {
            path: data
            for path, data in read_tree(place).items()
            if not path.split("/")[0].endswith(".partial")
        }
        assert after == before
    with pytest.raises(error):
        list(store.version("p/rude").files())
    assert not store.check().ok
    return caught.value


@pytest.mark.parametrize(
    "path",
    [
        "../victim",
        "../out2/x",
        "/tmp/absolute-of-a-hostile-manifest",
        "a/../../victim",
        "..",
        ".",
        "a//b",
        "a/./b",
        "nul",
        "COM1.txt",
        "C:/victim",
        "a\\..\\victim",
        "line\nbreak",
        "bell\x07",
        "e\u0301",
        "x" * 300,
    ],
)
@pytest.mark.parametrize("kind", ["file", "symlink", "folder"])
def test_a_path_that_leaves_the_tree(store: Store, place: Path, path: str, kind: str) -> None:
    """Relative, absolute, device or otherwise: `HostileManifest`, naming the path, whatever it is of."""
    rude = RudeWriter(store)
    entry = {
        "file": lambda: file_entry(path, rude.put(DATA)),
        "symlink": lambda: link_entry(path, "target"),
        "folder": lambda: ((path, FOLDER, 0, blake3(b"").digest(), 0), EMPTY),
    }[kind]()
    rude.push("p/rude", [entry])
    error = refused(store, place, error=HostileManifest)
    assert error.facts["path"] == path
    assert not Path("/tmp/absolute-of-a-hostile-manifest").exists()
    assert list(place.glob(".*partial")) == []


def test_a_path_with_a_nul(store: Store, place: Path) -> None:
    """The one character that would end the name for the system."""
    rude = RudeWriter(store)
    rude.push("p/rude", [file_entry("a\0b", rude.put(DATA))])
    refused(store, place)


def test_a_symlink_that_is_a_folder_as_well(store: Store, place: Path) -> None:
    """A link to `..` followed by a file behind it is the classic way out."""
    rude = RudeWriter(store)
    rude.push("p/rude", [link_entry("link", ".."), file_entry("link/victim", rude.put(DATA))])
    refused(store, place, error=HostileManifest)


def test_a_file_that_is_a_folder_as_well(store: Store, place: Path) -> None:
    """No file system can hold both."""
    rude = RudeWriter(store)
    cid = rude.put(DATA)
    rude.push("p/rude", [file_entry("a", cid), file_entry("a/b", cid)])
    refused(store, place, error=HostileManifest)


@pytest.mark.parametrize(
    "paths",
    [
        ("Read", "a", "read"),
        ("a/B", "a/c/x", "a/b"),
        ("A/x", "a/y"),
        ("A", "a/x"),
        ("d/A/x", "d/a/y"),
        ("straße", "STRASSE"),
        ("\u212a", "k"),
    ],
)
def test_names_that_differ_by_case_or_form_only(store: Store, place: Path, paths: tuple[str, ...]) -> None:
    """Files, or folders on the way to them: on a file system that knows no case one would overwrite the other."""
    rude = RudeWriter(store)
    cid = rude.put(DATA)
    rude.push("p/rude", [file_entry(path, cid) for path in sorted(paths, key=path_order)])
    refused(store, place, error=HostileManifest)
    assert list(place.glob(".*partial")) == []


def test_the_same_names_in_other_folders_are_none_of_these(store: Store, place: Path) -> None:
    """Neither are they after a folder was left."""
    rude = RudeWriter(store)
    cid = rude.put(DATA)
    paths = ["a/X", "a/b/X", "b/X", "b/x.txt", "c/a/b/x", "x"]
    rude.push("p/rude", [file_entry(path, cid) for path in paths])
    store.pull("p/rude", place / "out")
    assert sorted(read_tree(place / "out")) == paths


def test_memory_for_names_is_bounded(store: Store, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names far apart in a folder larger than the bound are not compared; those near each other are."""
    monkeypatch.setattr("artifactstore.manifest.read._FOLDED_NAMES_MAX", 4)
    rude = RudeWriter(store)
    cid = rude.put(DATA)
    far = ["A", *(f"N{number}" for number in range(4)), "a"]
    rude.push("p/rude", [file_entry(path, cid) for path in far])
    store.pull("p/rude", place / "out")
    rude.push("p/rude", [file_entry(path, cid) for path in [*far, "d/B", "d/b"]])
    with pytest.raises(HostileManifest):
        store.pull("p/rude", place / "out2")


@pytest.mark.parametrize("paths", [("b", "a"), ("a", "a")])
def test_paths_out_of_order(store: Store, place: Path, paths: tuple[str, str]) -> None:
    """Order is what the other checks rest on."""
    rude = RudeWriter(store)
    cid = rude.put(DATA)
    rude.push("p/rude", [file_entry(path, cid) for path in paths])
    refused(store, place)


def test_a_symlink_may_point_anywhere_and_is_not_followed(store: Store, place: Path) -> None:
    """Links out of the tree are content: they are made, last, and nothing goes through them."""
    rude = RudeWriter(store)
    cid = rude.put(DATA)
    rude.push(
        "p/rude",
        [
            link_entry("a", "../victim"),
            link_entry("b", "/etc/passwd"),
            link_entry("c", "c"),
            file_entry("d", cid),
        ],
    )
    for _ in range(2):
        store.pull("p/rude", place / "out", overwrite=True)
    assert read_tree(place / "out") == {"a": "../victim", "b": "/etc/passwd", "c": "c", "d": DATA}
    assert (place / "victim").read_bytes() == b"theirs"


def test_a_link_of_one_version_is_no_way_out_for_the_next(store: Store, place: Path) -> None:
    """First a version with a link where the next one has a folder, then --overwrite."""
    rude = RudeWriter(store)
    cid = rude.put(DATA)
    rude.push("p/one", [link_entry("sub", "../folder")])
    rude.push("p/two", [file_entry("sub/file", cid)])
    store.pull("p/one", place / "out")
    with pytest.raises(ArtifactStoreError):
        store.pull("p/two", place / "out", overwrite=True)
    assert (place / "folder/file").read_bytes() == b"theirs"


@pytest.mark.parametrize("size", [0, 9, 11, 4 << 20, 10_000_000_000])
def test_a_size_that_the_chunk_does_not_have(store: Store, place: Path, size: int) -> None:
    """10 GB declared for 10 bytes: nothing of that size is made, asked for or promised."""
    rude = RudeWriter(store)
    rude.push("p/rude", [file_entry("a", rude.put(DATA), size)])
    with pytest.raises(Damaged):
        store.pull("p/rude", place / "out")
    assert not (place / "out").exists()
    assert sum(path.lstat().st_blocks for path in place.rglob("*")) < 200
    with pytest.raises(Damaged):
        store.version("p/rude").open("a").read()
    assert not store.check().ok


def test_a_size_that_another_file_gives_rightly(store: Store, place: Path) -> None:
    """The same chunk, once with its own size and once with another, in either order."""
    rude = RudeWriter(store)
    cid = rude.put(DATA)
    for number, sizes in enumerate([(10, 1000), (1000, 10)]):
        name = f"p/rude{number}"
        rude.push(name, [file_entry(path, cid, size) for path, size in zip("ab", sizes, strict=True)])
        with pytest.raises(HostileManifest, match=r"another size|bytes for a chunk"):
            store.pull(name, place / "out")
        assert not (place / "out").exists()


def test_a_size_that_the_parts_do_not_add_up_to(store: Store, place: Path) -> None:
    """The entry says one thing and its chunks another."""
    rude = RudeWriter(store)
    rude.push("p/rude", [file_entry("a", rude.put(DATA), 10_000_000_000, [10])])
    refused(store, place)


@pytest.mark.parametrize("honest_frame", [True, False])
def test_a_decompression_bomb(
    store: Store, place: Path, honest_frame: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gigabyte of zeros in a small frame, with the row and the seal to match: refused without the memory for it."""
    bomb_bytes = 1 << 30
    compressor = zstandard.ZstdCompressor(level=3).compressobj(size=bomb_bytes)
    block = bytes(1 << 20)
    frame = b"".join([compressor.compress(block) for _ in range(bomb_bytes >> 20)] + [compressor.flush()])
    declared = bomb_bytes if honest_frame else 1 << 20
    rude = RudeWriter(store)
    cid = rude.writer.cid_of(PackType.DATA, b"bomb")
    pack = OpenPack(
        rude.parts.keyring.store_id, PackType.DATA, SystemRandomness().token(KEY_BYTES), PACK_BYTES_TARGET
    )
    at = pack.reserve(len(frame) + TAG_BYTES, declared, 1, cid, [declared])
    assert at is not None
    pack.seal(at, frame, 1, declared)
    monkeypatch.setattr(OpenPack, "_read_back", lambda *_: None)
    finished = pack.close()
    monkeypatch.undo()
    assert finished.data is not None
    rude.parts.backend.put(finished.name, finished.data)
    with pytest.MonkeyPatch.context() as patch:
        # Our own writer would refuse what it can't read back; a rude one doesn't look.
        patch.setattr("artifactstore.log.records._reads_back", lambda *_: True)
        rude.parts.committer.commit([], [finished])
    rude.push("p/rude", [file_entry("a", cid, 1 << 20)])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(Damaged):
        store.pull("p/rude", place / "out")
    with pytest.raises(Damaged):
        store.version("p/rude").open("a").read()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000
    assert not (place / "out").exists()
    assert not store.check(read_data=True).ok


@pytest.mark.parametrize("kind", [0, 4, 5, 6, 255])
def test_a_kind_that_nobody_knows(store: Store, place: Path, kind: int) -> None:
    """An entry that is neither file, symlink nor folder is not guessed at."""
    rude = RudeWriter(store)
    rude.push("p/rude", [(("a", kind, 0, blake3(b"").digest(), 0), EMPTY)])
    refused(store, place)


@pytest.mark.parametrize("target", ["", "a\0b", "x" * 5000])
def test_a_symlink_that_can_not_be_made(store: Store, place: Path, target: str) -> None:
    """An empty target, one with a NUL or one longer than a path may be."""
    rude = RudeWriter(store)
    rude.push("p/rude", [link_entry("a", target)])
    refused(store, place)


def test_good_files_before_the_bad_one_are_not_published(store: Store, place: Path) -> None:
    """What was gathered before the bad entry came to light appears nowhere."""
    rude = RudeWriter(store)
    cid = rude.put(DATA)
    rude.push("p/rude", [file_entry("-good", cid), file_entry("../victim", cid)])
    refused(store, place, error=HostileManifest)


def test_other_versions_are_as_good_as_before(tmp_path: Path, store: Store, place: Path) -> None:
    """A hostile version harms who pulls it, not the store."""
    store.push([write_tree(tmp_path / "in", {"a": b"fine"})], "p/good")
    rude = RudeWriter(store)
    rude.push("p/rude", [file_entry("../victim", rude.put(DATA))])
    store.pull("p/good", place / "out")
    assert read_tree(place / "out") == {"a": b"fine"}
    assert [problem.object for problem in store.check(read_data=True).problems] == ["p/rude:v0"]
