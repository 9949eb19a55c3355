"""References in a store: added, pulled with verification or left out, verified, copied in; and hostile ones."""

import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from artifactstore import Artifact, Reference, ReferenceAccess, Store, copy_versions, export_version
from artifactstore.errors import (
    ConnectionLost,
    ContentsDiffer,
    InvalidURL,
    NoSuchEntry,
    PathCollision,
    ReferenceChanged,
    ReferenceGone,
    ReferenceRefused,
    TooManyObjects,
)
from artifactstore.exchange.sidecar import REFERENCES_PATH
from tests.references.web_server import Site, serving
from tests.stores import make_store, noise, objects_of, read_tree, reopened, write_tree

pytestmark = pytest.mark.places("memory", "s3")

DATA = noise(300_000)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with make_store(tmp_path) as made:
        yield made


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as served:
        served.files["/a.bin"] = (DATA, '"v1"')
        yield served


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "outside", {"one.bin": DATA, "sub/two.txt": b"two"})


def allowing(*starts: object) -> ReferenceAccess:
    return ReferenceAccess(allow=tuple(f"{start}/" for start in starts))


def referring(site: Site, outside: Path) -> Artifact:
    draft = Artifact("far", "dataset")
    draft.add_reference(f"file://{outside}", "near")
    draft.add_reference(f"{site.url}/a.bin")
    with draft.new_file("own.txt") as file:
        file.write("own")
    return draft


def test_they_are_kept_without_their_bytes(store: Store, site: Site, outside: Path, tmp_path: Path) -> None:
    """The version says where they are, how large, and how to know them; pulled, they are the files."""
    draft = referring(site, outside)
    assert draft.size == 2 * len(DATA) + 3 + 3
    artifact = draft.save(store, "p")
    stored = sum(len(data) for data in objects_of(store).values())
    assert stored < len(DATA) // 4
    entry = artifact.get_entry("near/one.bin")
    assert (entry.kind, entry.size, entry.ref) == ("reference", len(DATA), f"file://{outside}/one.bin")
    assert entry.extra == {"checksum": "blake3:" + blake3(DATA).hexdigest()}
    assert artifact.get_entry("a.bin").ref_target() == f"{site.url}/a.bin"
    assert artifact.get_entry("own.txt").ref is None
    access = allowing(site.url, f"file://{outside}")
    done = store.pull("p/far", tmp_path / "out", access=access)
    assert (done.files, done.files_written, done.references_left) == (4, 4, 0)
    assert done.bytes_written == done.logical_bytes == artifact.size
    assert read_tree(tmp_path / "out") == {
        "a.bin": DATA,
        "near/one.bin": DATA,
        "near/sub/two.txt": b"two",
        "own.txt": b"own",
    }
    artifact.verify(tmp_path / "out", access=access)
    assert store.check(read_data=True).ok
    again = store.pull("p/far", tmp_path / "out", overwrite=True, access=access)
    # An entity tag does not tell whether the bytes that are here are those.
    assert (again.bytes_kept, again.files_written) == (len(DATA) + 3 + 3, 1)


def test_they_can_be_left_out(store: Store, site: Site, outside: Path, tmp_path: Path) -> None:
    """Nothing is asked of their sources then, and the summary says how many there are."""
    referring(site, outside).save(store, "p")
    site.asked.clear()
    done = store.pull("p/far", tmp_path / "out", references=False)
    assert (done.files, done.files_written, done.references_left, site.asked) == (4, 1, 3, [])
    assert read_tree(tmp_path / "out") == {"own.txt": b"own"}
    plan = store.plan_pull("p/far", tmp_path / "planned")
    assert plan.files == 4


def test_what_nobody_allowed_is_not_fetched(store: Store, site: Site, outside: Path, tmp_path: Path) -> None:
    """A version decides on its own about neither this machine's files nor its network."""
    referring(site, outside).save(store, "p")
    site.asked.clear()
    for access in (
        None,
        allowing(f"file://{outside}"),
        allowing(site.url),
        allowing(f"file://{outside}/sub"),
    ):
        with pytest.raises(ReferenceRefused):
            store.pull("p/far", tmp_path / "out", access=access)
        assert not (tmp_path / "out").exists()
    done = store.pull("p/far", tmp_path / "out", allow_missing_references=True)
    assert (done.references_left, site.asked[1:]) == (3, [])
    assert read_tree(tmp_path / "out") == {"own.txt": b"own"}


@pytest.mark.parametrize("change", ["tag", "bytes", "size", "gone"])
def test_what_changed_at_its_source(
    store: Store, site: Site, outside: Path, tmp_path: Path, change: str
) -> None:
    """Is its own error, for a pull and to verify; what is not the bytes that were referred to is never published."""
    artifact = referring(site, outside).save(store, "p")
    access = allowing(site.url, f"file://{outside}")
    expected: dict[str, Any] = {
        "tag": "a.bin",
        "bytes": "near/one.bin",
        "size": "near/sub/two.txt",
        "gone": "a.bin",
    }
    if change == "tag":
        site.files["/a.bin"] = (DATA, '"v2"')
    elif change == "bytes":
        (outside / "one.bin").write_bytes(DATA[::-1])
    elif change == "size":
        (outside / "sub/two.txt").write_bytes(b"longer")
    else:
        del site.files["/a.bin"]
    error = ReferenceGone if change == "gone" else ReferenceChanged
    with pytest.raises(error):
        store.pull("p/far", tmp_path / "out", access=access)
    assert not (tmp_path / "out").exists()
    report = store.verify_references("p/far", access=access)
    assert (report.references, report.good, report.unknown, report.ok) == (3, 2, 0, False)
    assert [(one.path, one.kind) for one in report.problems] == [(expected[change], error.kind)]
    done = store.pull("p/far", tmp_path / "out", access=access, allow_missing_references=True)
    assert done.references_left == 1
    assert expected[change] not in read_tree(tmp_path / "out")
    with pytest.raises(ContentsDiffer, match=expected[change]):
        artifact.verify(tmp_path / "out", access=access)


def test_a_pull_that_was_cut_goes_on(store: Store, site: Site, outside: Path, tmp_path: Path) -> None:
    """What a broken source left is fetched again, whole."""
    referring(site, outside).save(store, "p")
    access = allowing(site.url, f"file://{outside}")
    site.breaks["/a.bin"] = [100_000, 0, 0, 0, 0, 0]
    with pytest.raises(ConnectionLost):
        store.pull("p/far", tmp_path / "out", access=access)
    site.breaks["/a.bin"] = []
    store.pull("p/far", tmp_path / "out", access=access)
    assert read_tree(tmp_path / "out")["a.bin"] == DATA


def test_they_can_be_taken_into_the_store(store: Store, site: Site, outside: Path, tmp_path: Path) -> None:
    """As files, with the digests of files; changed since it was added is an error then too."""
    draft = Artifact("far", "dataset")
    draft.add_reference(f"{site.url}/a.bin", materialize=True)
    draft.add_reference(f"file://{outside}", "near", materialize=True)
    artifact = draft.save(store, "p")
    assert artifact.get_entry("a.bin").digest == blake3(DATA).hexdigest()
    pushed = store.push(
        [],
        "p/pushed",
        references={"a.bin": f"{site.url}/a.bin", "near": f"file://{outside}"},
        materialize=True,
    )
    assert pushed.digest == artifact.digest
    site.files.clear()
    store.pull("p/far", tmp_path / "out")
    assert read_tree(tmp_path / "out")["a.bin"] == DATA
    draft = artifact.new_draft()
    draft.add_reference(f"file://{outside}/one.bin", "late", materialize=True)
    (outside / "one.bin").write_bytes(DATA[::-1])
    with pytest.raises(ReferenceChanged, match=r"one\.bin"):
        draft.save()
    assert len(store.versions("p/far")) == 1


def test_pushed_by_url_or_as_known(store: Store, site: Site, outside: Path) -> None:
    """A push looks at URLs, and takes what a program knows of a reference as it is."""
    known = Reference("s3://bucket/key", 5, "etag:x", "v1")
    version = store.push(
        [outside / "sub"],
        "p/n",
        references={"far/a.bin": f"{site.url}/a.bin", "k": known, "d": f"file://{outside}"},
    )
    assert [entry.path for entry in version.files()] == [
        "d/one.bin",
        "d/sub/two.txt",
        "far/a.bin",
        "k",
        "two.txt",
    ]
    assert version.entry("k").reference == known
    assert version.entry("far/a.bin").size_bytes == len(DATA)
    assert (
        store.push([], "p/k", references={"k": known}).digest
        == store.push([], "p/k", references={"k": known}).digest
    )
    with pytest.raises(InvalidURL):
        store.push([], "p/n", references={"x": "https://user:secret@host/a"})
    with pytest.raises(InvalidURL):
        store.push([], "p/n", references={"x": Reference("https://user:secret@host/a")})
    with pytest.raises(PathCollision):
        store.push([outside], "p/n", references={"one.bin": f"{site.url}/a.bin"})


def test_bounds_and_names(store: Store, outside: Path, site: Site) -> None:
    """A folder that holds too much is refused with its bound, whole; names come from URLs."""
    draft = Artifact("far", "dataset")
    with pytest.raises(TooManyObjects) as refused:
        draft.add_reference(f"file://{outside}", max_objects=1)
    assert refused.value.facts["objects_max"] == 1
    assert list(draft.files()) == []
    (entry,) = draft.add_reference(f"{site.url}/a.bin", checksum=False)
    assert (entry.path, entry.size, entry.extra) == ("a.bin", 0, {})
    draft.add_reference(f"{site.url}/a.bin", checksum=False)
    with pytest.raises(PathCollision):
        draft.add_reference(f"file://{outside}/one.bin", "a.bin")
    draft.add_reference(f"file://{outside}/one.bin", "a.bin", overwrite=True)
    with pytest.raises(PathCollision):
        draft.add_reference(f"file://{outside}/one.bin", "a.bin/x")
    artifact = draft.save(store, "p")
    other = Artifact("other", "dataset")
    (copied,) = other.add_reference(artifact.get_entry("a.bin"), "again")
    assert copied.reference == artifact.get_entry("a.bin").reference
    with pytest.raises(NoSuchEntry, match="reference"):
        store.version("p/far").open("a.bin")


def test_one_without_a_checksum_is_fetched_as_it_is(store: Store, site: Site, tmp_path: Path) -> None:
    """Nothing is known of it but where it is: verifying says so, and a pull takes what is there."""
    draft = Artifact("far", "dataset")
    draft.add_reference(f"{site.url}/a.bin", checksum=False)
    draft.save(store, "p")
    access = allowing(site.url)
    assert store.verify_references("p/far", access=access).unknown == 1
    store.pull("p/far", tmp_path / "out", access=access)
    assert read_tree(tmp_path / "out") == {"a.bin": DATA}


def test_the_rest_of_the_store_copes(store: Store, site: Site, outside: Path, tmp_path: Path) -> None:
    """Diff, find, takedown, deletion, collecting garbage and checking meet references and go on."""
    first = referring(site, outside).save(store, "p")
    site.files["/a.bin"] = (DATA + b"x", '"v2"')
    draft = first.new_draft()
    draft.add_reference(f"{site.url}/a.bin", overwrite=True)
    draft.remove("near/sub")
    draft.save()
    diff = store.diff("p/far:v0", "p/far:v1")
    assert sorted((one.path, one.status) for one in diff) == [
        ("a.bin", "changed"),
        ("near/sub/two.txt", "removed"),
    ]
    store.push([outside], "p/own")
    found = store.find([outside / "one.bin"]).files[0]
    assert {place.artifact for place in found.places} == {"p/own"}
    assert [(place.artifact, place.path, place.versions) for place in found.references] == [
        ("p/far", "near/one.bin", (0, 1))
    ]
    plan = store.plan_takedown([outside / "one.bin"], rewrite=True)
    assert plan.files[0].references == found.references
    assert [version.artifact for version in plan.replace] == ["p/own"]
    store.takedown([outside / "one.bin"], rewrite=True)
    store.delete(["p/far:v0"], now=True)
    store.gc(store.plan_gc(), trust_clock=True)
    assert store.check(read_data=True).ok
    with reopened(tmp_path, store, cache="other") as other:
        assert [entry.kind for entry in other.version("p/far").files()] == ["reference", "reference", "file"]
        assert other.artifact("p/far").get_entry("a.bin").size == len(DATA) + 1


def test_a_file_that_is_only_referred_to_is_found(
    store: Store, site: Site, outside: Path, tmp_path: Path
) -> None:
    """When it is asked for: where the store holds nothing of a file, no page is read for it otherwise."""
    referring(site, outside).save(store, "p")
    one = outside / "one.bin"
    asked = [one, blake3(one.read_bytes()).hexdigest(), outside / "sub/two.txt"]
    assert [file.references for file in store.find([one]).files] == [()]
    report = store.find(asked, references=True)
    assert [file.places for file in report.files] == [(), (), ()]
    assert [[place.path for place in file.references] for file in report.files] == [
        ["near/one.bin"],
        ["near/one.bin"],
        ["near/sub/two.txt"],
    ]
    assert store.plan_takedown([one]).files[0].references == report.files[0].references
    store.delete(["p/far:v0"])
    (file,) = store.find([one], references=True).files
    assert [(place.versions, place.deleted) for place in file.references] == [((), (0,))]
    other = tmp_path / "other"
    other.write_bytes(b"elsewhere")
    assert store.find([other], references=True).files[0].references == ()


def test_privacy(store: Store, site: Site, outside: Path) -> None:
    """No URL stands in clear in any object."""
    referring(site, outside).save(store, "p")
    for name, data in objects_of(store).items():
        assert b"127.0.0.1" not in data, name
        assert str(outside).encode() not in data, name


def test_exports_and_copies(store: Store, site: Site, outside: Path, tmp_path: Path) -> None:
    """An archive lists references beside the files it holds; another store takes them over as they are."""
    artifact = referring(site, outside).save(store, "p")
    export_version(store, "p/far", tmp_path / "far.tar")
    with tarfile.open(tmp_path / "far.tar") as archive:
        listed = archive.extractfile(REFERENCES_PATH)
        assert listed is not None
        assert artifact.get_entry("a.bin").reference.url in listed.read().decode()
        assert "a.bin" not in archive.getnames()
    with make_store(tmp_path / "other") as other:
        copy_versions(store, other, ["p/far"])
        assert other.version("p/far").digest == artifact.digest
        assert other.artifact("p/far").get_entry("a.bin").reference == artifact.get_entry("a.bin").reference
