"""The front door: versions and names, digests that don't depend on the store, and what a store says of itself."""

import subprocess
from pathlib import Path

import pytest
from blake3 import blake3

from artifactstore import Store
from artifactstore.errors import (
    InvalidMetadata,
    InvalidName,
    InvalidReference,
    NoSuchArtifact,
    NoSuchProject,
    NoSuchVersion,
)
from tests.stores import make_store, noise, read_tree, reopened, write_tree

pytestmark = pytest.mark.places("memory", "s3")

TREE = {"a.bin": noise(300_000), "sub/b.txt": b"text", "link": "a.bin", "empty": None, "nothing": b""}


@pytest.fixture
def store(tmp_path: Path):
    """Two versions of p/n and one of p/other and q/n."""
    with make_store(tmp_path) as made:
        write_tree(tmp_path / "in", TREE)
        made.push([tmp_path / "in"], "p/n", description="first", metadata={"rows": 1}, tags=["raw"])
        write_tree(tmp_path / "in", {"c": b"new"})
        made.push([tmp_path / "in"], "p/n", aliases=["best"])
        made.push([tmp_path / "in"], "p/other", type="model")
        made.push([tmp_path / "in"], "q/n")
        yield made


# --- digests ---------------------------------------------------------------------------------------------------


@pytest.mark.places("memory", "folder", "s3")
def test_the_same_tree_has_the_same_digest_in_every_store(tmp_path: Path) -> None:
    """Keys, chunk names and places differ; the digest does not."""
    write_tree(tmp_path / "in", TREE)
    digests = set()
    for name in "12":
        (tmp_path / name).mkdir()
        with make_store(tmp_path / name) as store:
            digests.add(store.push([tmp_path / "in"], f"p{name}/n", metadata={"n": name}).digest)
    assert len(digests) == 1


def test_each_files_digest_is_what_b3sum_prints(store: Store) -> None:
    """Plain BLAKE3, as hex; a symlink's is that of its target."""
    found = {entry.path: entry.digest for entry in store.version("p/n:v0").files()}
    assert found == {
        "a.bin": blake3(TREE["a.bin"]).hexdigest(),
        "empty": blake3(b"").hexdigest(),
        "link": blake3(b"a.bin").hexdigest(),
        "nothing": "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
        "sub/b.txt": blake3(b"text").hexdigest(),
    }


def test_order_and_place_of_the_sources_do_not_matter(tmp_path: Path, store: Store) -> None:
    """The same entries are the same version, wherever they came from."""
    write_tree(tmp_path / "x", {"a": b"1"})
    write_tree(tmp_path / "y", {"b": b"2"})
    write_tree(tmp_path / "z", {"a": b"1", "b": b"2"})
    digests = {
        store.push([tmp_path / "x", tmp_path / "y"], "p/d").digest,
        store.push([tmp_path / "y", tmp_path / "x"], "p/e").digest,
        store.push([tmp_path / "z"], "p/f").digest,
        store.push([tmp_path / "z/b", tmp_path / "z/a"], "p/g").digest,
    }
    assert len(digests) == 1


# --- versions and names --------------------------------------------------------------------------------------------


def test_a_version_is_found_by_each_of_its_names(store: Store) -> None:
    """Number, alias, `latest`, nothing, digest prefix."""
    version = store.version("p/n:v1")
    for ref in (
        "p/n",
        "p/n:latest",
        "p/n:best",
        f"p/n@{version.digest}",
        f"p/n@{version.digest[:8].upper()}",
    ):
        assert store.version(ref).number == 1
    assert version.qualified_name == "p/n:v1"
    assert version.aliases == ("best", "latest")


@pytest.mark.parametrize(
    ("ref", "error"),
    [
        ("x/n", NoSuchProject),
        ("p/x", NoSuchArtifact),
        ("p/n:v9", NoSuchVersion),
        ("p/n:absent", NoSuchVersion),
        ("p/n@00000000", NoSuchVersion),
        ("p", InvalidReference),
        ("p/n/x", InvalidReference),
        ("p/n@abc", InvalidReference),
        ("p/n:", InvalidReference),
        ("../n", InvalidName),
        ("p/é", InvalidName),
    ],
)
def test_a_reference_that_names_nothing_says_why(store: Store, ref: str, error: type[Exception]) -> None:
    """Each way of being wrong has its own class."""
    with pytest.raises(error):
        store.version(ref)


def test_what_stands_outside_the_digest_is_kept(store: Store) -> None:
    """Description, metadata, type and tags come back as they were given."""
    version = store.version("p/n:v0")
    assert (version.description, version.metadata, version.tags) == ("first", {"rows": 1}, ("raw",))
    assert (version.type, store.version("p/other").type) == ("dataset", "model")
    assert version.size_bytes == 300_000 + 4 + len("a.bin")
    assert version.file_count == 5
    assert version.created_ns > 10**18


@pytest.mark.parametrize(
    "metadata",
    [{"a": object()}, {"a": float("nan")}, {"a": "x" * (1 << 20)}, {"a": {1, 2}}],
    ids=["object", "nan", "too long", "set"],
)
def test_metadata_that_is_not_json_is_refused(tmp_path: Path, store: Store, metadata: dict) -> None:
    """Before anything is read or written."""
    with pytest.raises(InvalidMetadata):
        store.push([tmp_path / "in"], "p/n", metadata=metadata)


@pytest.mark.parametrize("bad", [{"aliases": ["v3"]}, {"tags": ["a b"]}, {"type": ""}, {"aliases": ["é"]}])
def test_names_that_break_the_rules_are_refused(tmp_path: Path, store: Store, bad: dict) -> None:
    """One rule for all names."""
    with pytest.raises(InvalidName):
        store.push([tmp_path / "in"], "p/n", **bad)


def test_aliases_and_tags_change_without_a_push(store: Store) -> None:
    """They move and go, and `latest` moves by itself alone."""
    assert store.add_aliases("p/n:v0", ["best", "old"]).aliases == ("best", "old")
    store.remove_aliases("p/n", ["old"])
    assert store.version("p/n:v0").aliases == ("best",)
    assert store.add_tags("p/n:best", ["x", "y"]).tags == ("raw", "x", "y")
    assert store.remove_tags("p/n:v0", ["raw", "y"]).tags == ("x",)
    for change in (store.add_aliases, store.remove_aliases):
        with pytest.raises(InvalidName, match="latest"):
            change("p/n:v0", ["latest"])
    with pytest.raises(NoSuchVersion):
        store.remove_aliases("p/n", ["absent"])


def test_listings_tell_what_is_there(store: Store) -> None:
    """Projects, artifacts and versions, by name and number."""
    assert [(one.name, one.artifacts, one.versions) for one in store.projects()] == [("p", 2, 3), ("q", 1, 1)]
    assert [(one.artifact, one.versions, one.latest) for one in store.artifacts("p")] == [
        ("p/n", 2, 1),
        ("p/other", 1, 0),
    ]
    assert [version.name for version in store.versions("p/n")] == ["v0", "v1"]
    with pytest.raises(NoSuchProject):
        store.artifacts("x")


def test_the_log_tells_what_was_done(store: Store) -> None:
    """Newest first, with the slot key that the writer claims and never a host or user."""
    store.add_aliases("p/n:v0", ["old"])
    found = list(store.log())
    assert [entry.slot for entry in found] == [5, 4, 3, 2, 1, 0]
    assert found[0].operations == ("alias p/n:v0 old",)
    assert found[3].operations == ("push p/n as best",)
    assert (found[-1].kind, found[-1].packs_added) == ("create", 0)
    assert {entry.member for entry in found} == {store.info().slots[0].id}
    assert len(list(store.log(limit=2))) == 2


def test_info_adds_up(store: Store) -> None:
    """Sizes and ratios are those of what was pushed."""
    info = store.info()
    assert (info.projects, info.artifacts, info.versions, info.records) == (2, 3, 4, 5)
    assert info.logical_bytes == sum(
        version.size_bytes for name in ("p/n", "p/other", "q/n") for version in store.versions(name)
    )
    assert info.unique_bytes == 300_000 + 4 + 3
    assert info.stored_bytes == sum(one.size_bytes for one in store._parts.backend.list("packs/"))
    assert info.dedup_ratio == info.logical_bytes / info.unique_bytes
    index = store.index_info()
    assert (index.slot, index.packs) == (4, info.packs)
    assert index.size_bytes > 0


def test_reopening_shows_the_same(tmp_path: Path, store: Store) -> None:
    """From another client, with nothing but the key."""
    with reopened(tmp_path, store, cache="fresh") as other:
        for name in ("p/n:v0", "p/n:v1", "q/n"):
            assert list(other.version(name).files()) == list(store.version(name).files())
        assert other.info().unique_bytes == store.info().unique_bytes


def test_two_stores_can_be_used_at_once(tmp_path: Path, store: Store) -> None:
    """Nothing is kept in the process but by store."""
    with make_store(tmp_path) as other:
        other.push([tmp_path / "in"], "p/n")
        other.pull("p/n", tmp_path / "one")
        store.pull("p/n", tmp_path / "two")
    assert read_tree(tmp_path / "one") == read_tree(tmp_path / "two")


def test_no_object_holds_a_name_or_text_in_clear(tmp_path: Path) -> None:
    """Names, paths, digests and metadata of a user are in no object (invariant 8)."""
    secrets = {
        "project": "zebra",
        "artifact": "walrus",
        "file": "giraffe.txt",
        "text": "the quick brown ocelot",
        "meta": "platypus",
    }
    write_tree(tmp_path / "in", {secrets["file"]: secrets["text"].encode() * 3})
    with make_store(tmp_path, tmp_path / "store") as store:
        version = store.push(
            [tmp_path / "in"], "zebra/walrus", metadata={"m": secrets["meta"]}, aliases=["okapi"]
        )
        digests = [bytes.fromhex(version.digest), bytes.fromhex(next(version.files()).digest)]
    needles = [word.encode() for word in [*secrets.values(), "okapi"]] + digests
    needles += [digest.hex().encode() for digest in digests]
    for path in (tmp_path / "store").rglob("*"):
        if path.is_file():
            data = path.read_bytes() + str(path).encode()
            assert [needle for needle in needles if needle in data] == []


@pytest.mark.places("folder")
def test_sha256sum_is_a_scrubber(tmp_path: Path) -> None:
    """A pack's name is the SHA-256 of its bytes, so that plain tools can look after a store."""
    write_tree(tmp_path / "in", TREE)
    with make_store(tmp_path, tmp_path / "store") as store:
        store.push([tmp_path / "in"], "p/n")
    for path in (tmp_path / "store/packs").rglob("*"):
        if path.is_file():
            printed = subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout
            assert printed.split()[0] == path.name


@pytest.mark.places("folder")
def test_a_store_does_not_push_itself(tmp_path: Path) -> None:
    """A folder may hold the store and its index: neither goes into the version, and a repetition changes nothing."""
    write_tree(tmp_path / "home", {"a": b"data"})
    with make_store(tmp_path / "home", tmp_path / "home/store") as store:
        paths = [entry.path for entry in store.push([tmp_path / "home"], "p/n").files()]
        assert "a" in paths
        assert [path for path in paths if path.startswith("store/") or path.endswith(".mdb")] == []
        assert [notice.split()[0] for notice in store.notices] == [
            str(store.index_info().path), f"{tmp_path}/home/store"
        ]  # fmt: skip
        again = store.push([tmp_path / "home"], "p/n")
        assert again.push is not None
        assert not again.push.created
        assert store.plan_push([tmp_path / "home"], "p/n").files == again.file_count
