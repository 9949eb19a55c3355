"""Finding a file: in which artifacts, versions and paths it lies, whole or in part, deleted or shown."""

from pathlib import Path

import pytest
from blake3 import blake3

from artifactstore import FindReport, Store
from artifactstore.content.packs import ref_of
from artifactstore.errors import (
    InvalidReference,
    InvalidSource,
    NoSuchEntry,
    NoSuchPath,
    NoSuchVersion,
)
from artifactstore.format.pack import PackType
from artifactstore.maintenance import find as finding
from artifactstore.testing.metered import MeteredBackend
from artifactstore.testing.simulation import World
from tests.stores import make_store, noise, reopened, write_tree

pytestmark = pytest.mark.places("memory", "folder", "s3")

LARGE = noise(6_000_000)
EDITED = LARGE[:2_000_000] + noise(50_000, 1) + LARGE[2_000_000:4_000_000]
SMALL = b"name,mail\nada,a@b.c\n"


@pytest.fixture
def store(tmp_path: Path):
    """`p/n` v0 to v2 hold the file, v1 at two paths and v2 deleted; `q/m` an edited copy; `q/other` nothing of it."""
    with make_store(tmp_path) as store:
        for number, tree in enumerate(
            [
                {"large": LARGE, "a/small": SMALL},
                {"large": LARGE, "a/small": SMALL, "b/copy": SMALL},
                {"moved": LARGE},
            ]
        ):
            store.push([write_tree(tmp_path / f"n{number}", tree)], "p/n")
        store.push([write_tree(tmp_path / "m", {"edited": EDITED})], "q/m")
        store.push([write_tree(tmp_path / "other", {"other": noise(100_000, 2), "empty": b""})], "q/other")
        store.delete(["p/n:v2"])
        yield store


def places(
    report: FindReport, number: int = 0
) -> list[tuple[str, str, bool, tuple[int, ...], tuple[int, ...]]]:
    return [
        (place.artifact, place.path, place.whole, place.versions, place.deleted)
        for place in report.files[number].places
    ]


WHOLE = [("p/n", "large", True, (0, 1), ()), ("p/n", "moved", True, (), (2,))]
SMALL_PLACES = [("p/n", "a/small", True, (0, 1), ()), ("p/n", "b/copy", True, (1,), ())]


def test_local_files(tmp_path: Path, store: Store) -> None:
    """Whole at each path, in part where an edited copy shares chunks, several files in one search."""
    write_tree(tmp_path / "mine", {"x": LARGE, "y": SMALL, "z": noise(5000, 9)})
    report = store.find([tmp_path / "mine" / name for name in "xyz"])
    assert places(report) == [*WHOLE, ("q/m", "edited", False, (0,), ())]
    assert places(report, 1) == SMALL_PLACES
    assert places(report, 2) == []
    edited = report.files[0].places[2]
    assert 3_500_000 < edited.shared_bytes < 4_000_000
    assert [file.size_bytes for file in report.files] == [len(LARGE), len(SMALL), 5000]
    assert (report.versions, report.unread.total) == (5, 0)
    assert [file.unused_bytes for file in report.files] == [0, 0, 0]


def test_by_digest(store: Store) -> None:
    """A digest alone finds the same, since an entry tells its chunks; one that is nowhere finds nothing."""
    report = store.find([blake3(LARGE).hexdigest().upper(), "ab" * 32])
    assert places(report) == [*WHOLE, ("q/m", "edited", False, (0,), ())]
    assert report.files[0].size_bytes == len(LARGE)
    assert (report.files[1].size_bytes, report.files[1].places) == (None, ())


def test_by_a_path_in_a_version(store: Store) -> None:
    """`within` takes the file from the store itself."""
    report = store.find(["edited"], within="q/m:v0")
    assert report.files[0].name == "q/m:v0 edited"
    assert places(report)[0] == ("q/m", "edited", True, (0,), ())
    assert {place.path for place in report.files[0].places} == {"edited", "large", "moved"}


def test_an_empty_file_is_found_by_its_digest(tmp_path: Path, store: Store) -> None:
    """It has no chunks, and no empty folder is taken for it."""
    write_tree(tmp_path / "folders", {"empty": None, "file": b"1"})
    store.push([tmp_path / "folders"], "p/folders")
    (tmp_path / "nothing").write_bytes(b"")
    assert places(store.find([tmp_path / "nothing"])) == [("q/other", "empty", True, (0,), ())]


def test_what_is_nowhere_costs_no_page(tmp_path: Path, store: Store) -> None:
    """When none of its chunks is stored, no version can hold it."""
    (tmp_path / "new").write_bytes(noise(300_000, 77))
    report = store.find([tmp_path / "new"])
    assert (report.pages, report.versions, report.files[0].places) == (0, 0, ())


def test_what_a_cut_push_left_is_told(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its chunks are stored and registered, and in no version."""
    fresh = noise(3_000_000, 5)
    folder = write_tree(tmp_path / "cut", {"a": fresh})

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("artifactstore.transfer.push.PENDING_BYTES", 1)
        patch.setattr("artifactstore.content.put.PACK_BYTES_TARGET", 1 << 20)
        patch.setattr("artifactstore.transfer.push.ManifestBuilder.finish", cut)
        with pytest.raises(KeyboardInterrupt):
            store.push([folder], "p/cut")
    report = store.find([folder / "a"])
    assert report.files[0].places == ()
    assert 0 < report.files[0].unused_bytes <= len(fresh)


def test_another_client_without_an_index_finds_the_same(tmp_path: Path, store: Store) -> None:
    """The index is made complete first, so that nothing is missed."""
    digest = blake3(LARGE).hexdigest()
    with reopened(tmp_path, store, cache="another") as other:
        assert other.find([digest]) == store.find([digest])


def test_places_are_bounded(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond is counted."""
    monkeypatch.setattr(finding, "PLACES_MAX", 1)
    found = store.find([blake3(SMALL).hexdigest()]).files[0]
    assert (len(found.places), found.more) == (1, 1)
    monkeypatch.setattr(finding, "FINDS_MAX", 1)
    found = store.find([blake3(SMALL).hexdigest()]).files[0]
    assert (found.places[0].versions, found.more) == ((0,), 2)


def test_a_lost_page_is_told(tmp_path: Path, store: Store) -> None:
    """The search goes on, and says of which versions it has not seen all."""
    with store._parts.environment.read() as txn:
        pages = [
            pack
            for pack in store._parts.packs.all(txn)
            if pack.added.type == PackType.PAGE and pack.slot == 2
        ]
    (lost,) = pages
    store._parts.backend.delete(ref_of(lost).name)
    report = store.find([blake3(SMALL).hexdigest()])
    assert report.unread.shown == ("p/n:v1",)
    assert places(report) == [("p/n", "a/small", True, (0,), ())]


@pytest.mark.parametrize(
    ("asked", "within", "error"),
    [
        ("nowhere", None, NoSuchPath),
        ("abcdef0123", None, InvalidReference),
        (".", None, InvalidSource),
        ("large", "p/n:v9", NoSuchVersion),
        ("a", "p/n:v0", NoSuchEntry),
        ("nowhere", "p/n:v0", NoSuchEntry),
    ],
)
def test_what_is_not_there(store: Store, asked: str, within: str | None, error: type[Exception]) -> None:
    """A file, a digest in full, a version, a path: each has its own error."""
    with pytest.raises(error):
        store.find([asked], within=within)


def test_no_data_is_read(tmp_path: Path) -> None:
    """Of a store on another machine no data pack is asked for, and 40 versions cost no more round trips than one."""
    (tmp_path / "world").mkdir()
    world = World(tmp_path / "world")
    with world.create() as store:
        for number in range(40):
            tree = {"file": noise(200_000, number), "common": SMALL}
            store.push([write_tree(tmp_path / f"in{number}", tree)], "p/n")
    metered: list[MeteredBackend] = []
    with world.open("new", wrap=lambda inner: metered.append(MeteredBackend(inner)) or metered[0]) as store:
        store.index_info()
        store._parts.locator.complete()
        with store._parts.environment.read() as txn:
            data = {
                ref_of(pack).name for pack in store._parts.packs.all(txn) if pack.added.type == PackType.DATA
            }
        metered[0].reset()
        report = store.find([blake3(SMALL).hexdigest()])
    assert places(report) == [("p/n", "common", True, tuple(range(40)), ())]
    packs = {asked.name for asked in metered[0].asked if asked.name.startswith("packs/")}
    assert (bool(packs), packs & data) == (True, set())
    assert metered[0].round_trips <= 6
