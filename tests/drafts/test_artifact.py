"""Artifacts as objects: drafts that are made, saved, changed and looked at, in the vocabulary of W&B."""

import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from artifactstore import Artifact, Store
from artifactstore.client.requests import push_request
from artifactstore.errors import (
    ContentsDiffer,
    Deleted,
    DraftSaved,
    InvalidMetadata,
    InvalidName,
    InvalidSource,
    NoSuchEntry,
    NoSuchPath,
    NotACollection,
    NotSaved,
    PathCollision,
    PreconditionFailed,
    SourceChanged,
    UsageError,
)
from artifactstore.format.pack import PackType
from artifactstore.format.page import Kind
from artifactstore.ids import parse_artifact_name
from artifactstore.manifest.read import find_entry
from artifactstore.transfer.scan import Found, Given, Program, Sources
from tests.stores import make_store, read_tree, reopened, write_tree

pytestmark = pytest.mark.places("memory", "s3")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with make_store(tmp_path) as made:
        yield made


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "tree", {"a.txt": b"a", "d/b.txt": b"b", "link": "a.txt", "empty": None})


def saved(store: Store, tree: Path) -> Artifact:
    draft = Artifact("cats", "dataset", "Cats.", {"rows": 2})
    draft.add_dir(tree)
    return draft.save(store, "vision")


def test_a_draft_becomes_a_version(store: Store, tree: Path, tmp_path: Path) -> None:
    """What it is before and after, in W&B's words."""
    draft = Artifact("cats", "dataset", description="Cats.", metadata={"rows": 2})
    draft.add_dir(tree)
    draft.add_file(tree / "a.txt", "more/c.txt")
    with draft.new_file("notes.md") as file:
        file.write("written\n")
    draft.aliases, draft.tags, draft.ttl = ["best"], ["raw"], timedelta(days=3)
    assert (draft.is_draft(), draft.state, draft.name, draft.qualified_name) == (
        True,
        "PENDING",
        "cats",
        "cats",
    )
    assert (draft.size, draft.file_count, draft.id) == (1 + 1 + 5 + 1 + 8, 6, None)
    assert draft.get_entry("a.txt").local_path == str((tree / "a.txt").resolve())
    assert draft.get_entry("a.txt").digest is None
    assert draft.save(store, "vision", aliases=["latest", "first"], tags=["new"]) is draft.wait()
    assert (draft.is_draft(), draft.state, draft.name) == (False, "COMMITTED", "cats:v0")
    assert (draft.project, draft.version, draft.qualified_name) == ("vision", "v0", "vision/cats:v0")
    assert (draft.type, draft.description, draft.metadata) == ("dataset", "Cats.", {"rows": 2})
    assert sorted(draft.aliases) == ["best", "first", "latest"]
    assert sorted(draft.tags) == ["new", "raw"]
    assert (draft.ttl, draft.size, draft.file_count) == (timedelta(days=3), 16, 6)
    assert draft.entity == store.url
    assert draft.id == f"{store.id}/vision/cats:v0"
    assert draft.created_at <= draft.updated_at  # its time to live is said by a record of its own
    assert draft.created_at.endswith("+00:00")
    assert draft.digest == store.version("vision/cats").digest
    assert {path: entry.kind for path, entry in draft.manifest.entries.items()} == {
        "a.txt": "file",
        "d/b.txt": "file",
        "empty": "folder",
        "link": "symlink",
        "more/c.txt": "file",
        "notes.md": "file",
    }
    assert read_tree(Path(draft.download(tmp_path / "out"))) == {
        **read_tree(tree),
        "more/c.txt": b"a",
        "notes.md": b"written\n",
    }


def test_adding_reads_nothing(store: Store, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A draft of files is made without opening one of them."""
    draft = Artifact("cats", "dataset")
    with monkeypatch.context() as patched:
        patched.setattr("os.open", None)
        patched.setattr("builtins.open", None)
        draft.add_dir(tree, "in")
        draft.add_file(tree / "a.txt")
    assert draft.save(store, "p").file_count == 5


@pytest.mark.parametrize("save", ["save", "push"])
def test_a_file_that_changed_is_an_error_that_names_it(store: Store, tree: Path, save: str) -> None:
    """Nothing is saved then, and the draft can be put right and saved."""
    draft = Artifact("cats", "dataset")
    draft.add_dir(tree)
    (tree / "d/b.txt").write_bytes(b"changed since")
    with pytest.raises(SourceChanged, match=r"d/b\.txt"):
        draft.save(store, "vision") if save == "save" else store.push(draft, "vision/cats")
    assert store.projects() == []
    draft.add_file(tree / "d/b.txt", "d/b.txt")
    if save == "save":
        draft.save(store, "vision")
    else:
        store.push(draft, "vision/cats")
    assert draft.get_entry("d/b.txt").size == 13
    assert store.version("vision/cats").open("d/b.txt").read() == b"changed since"


def test_frozen_after_it_is_saved(store: Store, tree: Path) -> None:
    """Neither changed nor saved once more as a draft, by any way in."""
    artifact = saved(store, tree)
    changes = [
        lambda: artifact.add_file(tree / "a.txt"),
        lambda: artifact.add_dir(tree),
        lambda: artifact.remove("a.txt"),
        lambda: artifact.new_file("x").__enter__(),
        lambda: artifact.save(store, "vision"),
        lambda: store.push(artifact, "vision/cats"),
    ]
    for change in changes:
        with pytest.raises(DraftSaved, match="vision/cats:v0"):
            change()
    assert len(store.versions("vision/cats")) == 1


def test_what_only_a_saved_one_has(tree: Path) -> None:
    """A draft that is asked for it says what to do."""
    draft = Artifact("cats", "dataset")
    draft.add_dir(tree)
    for what in ("version", "entity", "created_at", "updated_at"):
        with pytest.raises(NotSaved):
            getattr(draft, what)
    for act in (draft.download, draft.checkout, draft.wait, draft.new_draft, draft.delete, draft.save):
        with pytest.raises(NotSaved):
            act()


def test_what_is_changed_later_is_written_by_save(store: Store, tree: Path, tmp_path: Path) -> None:
    """All of it in one record; a list that was changed in place counts too; saving nothing writes nothing."""
    artifact = saved(store, tree)
    records = len(list(store.log()))
    artifact.save()
    assert len(list(store.log())) == records
    artifact.description = "Better cats."
    artifact.metadata["rows"] = 3
    artifact.metadata["new"] = [1]
    artifact.aliases.append("prod")
    artifact.tags = ["checked"]
    artifact.ttl = timedelta(hours=1)
    artifact.save()
    assert len(list(store.log())) == records + 1
    with reopened(tmp_path, store, cache="other") as other:
        again = other.artifact("vision/cats:prod")
    assert (again.description, again.metadata) == ("Better cats.", {"rows": 3, "new": [1]})
    assert (sorted(again.aliases), again.tags, again.ttl) == (
        ["latest", "prod"],
        ["checked"],
        timedelta(hours=1),
    )
    again = store.artifact("vision/cats")
    again.aliases, again.tags, again.ttl, again.metadata = [], [], None, {}
    again.save()
    now = store.artifact("vision/cats")
    assert (now.aliases, now.tags, now.ttl, now.metadata) == (["latest"], [], None, {})
    assert now.description == "Better cats."


def test_bad_values(store: Store, tree: Path) -> None:
    """Each its own error, on a draft and on a saved artifact, and nothing is written."""
    for name in ("", "a/b", "a b", ".", "x" * 129):
        with pytest.raises(InvalidName):
            Artifact(name, "dataset")
    with pytest.raises(InvalidName):
        Artifact("cats", "no type")
    with pytest.raises(InvalidMetadata):
        Artifact("cats", "dataset", metadata={"x": object()})
    with pytest.raises(InvalidMetadata):
        Artifact("cats", "dataset", "x" * 70_000)
    artifact = saved(store, tree)
    with pytest.raises(InvalidMetadata):
        artifact.metadata = {"x": float("nan")}
    with pytest.raises(UsageError):
        artifact.ttl = timedelta(0)
    with pytest.raises(UsageError):
        artifact.aliases = "prod"
    wrong: Any = 5
    with pytest.raises(UsageError):
        artifact.ttl = wrong
    with pytest.raises(InvalidMetadata, match="is text, not int"):
        artifact.description = wrong
    for change in ("aliases", "tags"):
        other = store.artifact("vision/cats")
        setattr(other, change, [wrong])
        with pytest.raises(InvalidName):
            other.save()
    records = len(list(store.log()))
    artifact.metadata["bad"] = {1: 2}
    with pytest.raises(InvalidMetadata):
        artifact.save()
    artifact = store.artifact("vision/cats")
    artifact.aliases.append("v3")
    with pytest.raises(InvalidName):
        artifact.save()
    assert len(list(store.log())) == records


def test_bad_additions(tree: Path) -> None:
    """What is not there, is of another kind, or can't be a path."""
    draft = Artifact("cats", "dataset")
    with pytest.raises(NoSuchPath):
        draft.add_file(tree / "missing")
    with pytest.raises(NoSuchPath):
        draft.add_dir(tree / "missing")
    with pytest.raises(InvalidSource, match="is a folder"):
        draft.add_file(tree)
    with pytest.raises(InvalidSource, match="is not a folder"):
        draft.add_dir(tree / "a.txt")
    for name in ("/abs", "../up", "a//b", "con", "a\nb", "x/" * 3000):
        with pytest.raises(InvalidSource):
            draft.add_file(tree / "a.txt", name)
    with pytest.raises(UsageError), draft.new_file("x", "r"):
        pass
    with draft.new_file("x", "wb") as file:
        file.write(b"1")
    with pytest.raises(UsageError, match="already"), draft.new_file("x"):
        pass
    with pytest.raises(NoSuchEntry):
        draft.remove("missing")
    with pytest.raises(NoSuchEntry):
        draft.get_entry("missing")


def test_a_folder_is_added_whole_or_not_at_all(tree: Path) -> None:
    """When one of its files is refused, the draft is as it was."""
    draft = Artifact("cats", "dataset")
    with draft.new_file("d/B.txt") as file:
        file.write("in the way")
    with pytest.raises(PathCollision):
        draft.add_dir(tree)
    assert [entry.path for entry in draft.files()] == ["d/B.txt"]
    with draft.new_file("a.txt", "wb") as file:
        file.write(b"other")
    draft.remove("d")
    with pytest.raises(PathCollision, match=r"a\.txt"):
        draft.add_dir(tree)
    draft.add_dir(tree, merge=True)
    assert draft.get_path("a.txt").size == 1


def test_a_new_draft_starts_from_its_version(store: Store, tree: Path, tmp_path: Path) -> None:
    """It changes what it names and keeps the rest, description and metadata too, and not aliases."""
    artifact = saved(store, tree)
    artifact.aliases.append("prod")
    artifact.save()
    write_tree(tree, {"a.txt": b"newer", "x.txt": b"x"})
    store.push([tree], "vision/cats")
    draft = artifact.new_draft()
    assert (draft.project, draft.description, draft.metadata, draft.aliases) == (
        "vision",
        "Cats.",
        {"rows": 2},
        [],
    )
    draft.remove("d")
    draft.remove(draft.get_entry("link"))
    draft.add_file(tree / "x.txt")
    draft.add_file(tree / "a.txt")
    with pytest.raises(NoSuchEntry):
        draft.remove("d/b.txt")
    assert [entry.path for entry in draft.files()] == ["a.txt", "empty", "x.txt"]
    assert (draft.size, draft.file_count) == (6, 3)
    assert draft.get_entry("empty").kind == "folder"
    draft.save()
    assert draft.version == "v2"
    assert read_tree(Path(draft.download(tmp_path / "out"))) == {
        "a.txt": b"newer",
        "empty": None,
        "x.txt": b"x",
    }
    assert store.artifact("vision/cats:prod").version == "v0"


def test_a_draft_of_something_deleted(store: Store, tree: Path) -> None:
    """Can't be saved once its version is gone, and says which that is."""
    artifact = saved(store, tree)
    draft = artifact.new_draft()
    draft.add_file(tree / "a.txt", "again.txt")
    store.add_aliases(artifact.qualified_name, ["prod"])
    with pytest.raises(PreconditionFailed):
        artifact.delete()
    artifact.delete(delete_aliases=True)
    with pytest.raises(Deleted, match="vision/cats:v0"):
        draft.save()


def test_incremental_drafts_of_many_writers_lose_nothing(store: Store, tree: Path) -> None:
    """Each starts from what is the newest version at the very slot of its record."""
    saved(store, tree)
    errors: list[Exception] = []

    def add(number: int) -> None:
        try:
            draft = Artifact("cats", "dataset", incremental=True)
            with draft.new_file(f"{number}.txt") as file:
                file.write(str(number))
            draft.save(store, "vision")
        except Exception as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=add, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    paths = {entry.path for entry in store.artifact("vision/cats").files()}
    assert paths >= {f"{number}.txt" for number in range(6)} | {"a.txt", "d/b.txt"}
    assert store.version("vision/cats").number == 6


def test_an_incremental_draft_of_nothing(store: Store, tree: Path) -> None:
    """Is a first version; what it is to remove and is not there shows when it is saved."""
    draft = Artifact("cats", "dataset", incremental=True)
    draft.add_dir(tree)
    draft.remove("a.txt")
    draft.remove("b.txt")
    with pytest.raises(NoSuchEntry, match=r"b\.txt"):
        draft.save(store, "vision")
    draft = Artifact("cats", "dataset", incremental=True)
    draft.add_dir(tree)
    draft.save(store, "vision")
    draft = Artifact("cats", "dataset", incremental=True)
    draft.remove("d")
    assert [entry.path for entry in draft.save(store, "vision").files()] == ["a.txt", "empty", "link"]


class Counted:
    """Counts the pages that a store's reader reads."""

    def __init__(self, store: Store, patched: pytest.MonkeyPatch) -> None:
        self.read = self.put = 0
        reader, writing = type(store._parts.reader), type(store)._chunk_writer
        one, many = reader.read, reader.read_many

        def read(inner: object, kind: PackType, cid: bytes) -> bytes:
            self.read += kind is PackType.PAGE
            return one(inner, kind, cid)  # type: ignore[arg-type]

        def read_many(inner: object, kind: PackType, cids: Sequence[bytes]) -> list[bytes]:
            self.read += len(cids) * (kind is PackType.PAGE)
            return many(inner, kind, cids)  # type: ignore[arg-type]

        def chunk_writer(inner: Store, *args: object, **options: object) -> object:
            writer = writing(inner, *args, **options)  # type: ignore[arg-type]
            put_one = writer.put_one

            def counted(kind: PackType, data: bytes) -> bytes:
                self.put += kind is PackType.PAGE
                return put_one(kind, data)

            writer.put_one = counted  # type: ignore[method-assign]
            return writer

        patched.setattr(reader, "read", read)
        patched.setattr(reader, "read_many", read_many)
        patched.setattr(type(store), "_chunk_writer", chunk_writer)


def test_a_draft_costs_what_changed(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten changes of 100,000 entries read and write a few dozen pages, not the four hundred that there are."""

    same = b"the same"
    paths = [f"train/{at // 1000:03d}/img_{at:06d}.jpg" for at in range(100_000)]
    store.push([], "p/many", streams={path: BytesIO(same) for path in paths[:1]})

    version = store.version("p/many")
    entry = find_entry(store.getter_of(parse_artifact_name("p/many"), 0), version.manifest, paths[0])
    assert entry is not None
    found = [
        Found(path, Kind.FILE, "", None, given=Given(known=((path, *entry.identity[1:]), entry.content)))
        for path in paths
    ]
    request = push_request(parse_artifact_name("p/many"), "dataset", [], [], None, None)
    store.push_sources(Sources(program=Program(lambda: iter(found))), request)
    draft = store.artifact("p/many").new_draft()
    (tmp_path / "new").write_bytes(b"new")
    counted = Counted(store, monkeypatch)
    for at in range(5_000, 95_000, 10_000):
        draft.add_file(tmp_path / "new", paths[at])
    draft.add_file(tmp_path / "new", "train/050/IMG_new.jpg")
    draft.save()
    assert draft.file_count == 100_001
    assert counted.read <= 36
    assert counted.put <= 20
    print(f"pages read {counted.read}, written {counted.put}")


def test_checkout_makes_a_folder_exactly_so(store: Store, tree: Path, tmp_path: Path) -> None:
    """What is not the version's goes; `download` leaves it."""
    artifact = saved(store, tree)
    out = write_tree(tmp_path / "out", {"mine.txt": b"1", "sub/mine.txt": b"2", "a.txt": b"other", "l": "x"})
    artifact.download(out)
    assert read_tree(out) == {**read_tree(tree), "mine.txt": b"1", "sub/mine.txt": b"2", "l": "x"}
    assert artifact.checkout(out) == str(out)
    assert read_tree(out) == read_tree(tree)


def test_downloading_parts(store: Store, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the beginning of the path, one entry, and into the folder that W&B would take."""
    artifact = saved(store, write_tree(tree, {"d/[1]*.txt": b"1", "d/1x.txt": b"no", "dx": b"2"}))
    artifact.download(tmp_path / "one", path_prefix="d/[1]*")
    assert read_tree(tmp_path / "one") == {"d/[1]*.txt": b"1"}
    artifact.download(tmp_path / "two", path_prefix="d")
    assert sorted(read_tree(tmp_path / "two")) == ["d/1x.txt", "d/[1]*.txt", "d/b.txt", "dx"]
    monkeypatch.chdir(tmp_path)
    assert artifact.get_entry("dx").download() == "artifacts/cats:v0/dx"
    assert Path("artifacts/cats:v0/dx").read_bytes() == b"2"
    assert artifact.get_entry("dx").open().read() == b"2"
    assert [entry.path for entry in artifact.files(["dx", "a.txt"])] == ["dx", "a.txt"]
    assert artifact.get_entry("dx").parent_artifact() is artifact
    assert "missing" not in artifact.manifest.entries


def test_runs_log_drafts(store: Store, tree: Path) -> None:
    """Under the draft's own name in the run's project; the artifact knows who made and who used it."""
    draft = Artifact("cats", "dataset")
    draft.add_dir(tree)
    with store.run("vision", name="make") as run:
        version = run.log_artifact(draft, aliases=["best"])
    assert (version.qualified_name, draft.qualified_name) == ("vision/cats:v0", "vision/cats:v0")
    with store.run("vision", name="train") as second:
        second.use("vision/cats:best")
        with pytest.raises(DraftSaved):
            second.log_artifact(draft)
    maker = draft.logged_by()
    assert maker is not None
    assert maker.name == "make"
    assert [one.name for one in draft.used_by()] == ["train"]
    alone = Artifact("dogs", "dataset")
    alone.add_dir(tree)
    assert alone.save(store, "vision").logged_by() is None
    for act in (Artifact("cats", "dataset").logged_by, Artifact("cats", "dataset").used_by):
        with pytest.raises(NotSaved):
            act()
    with store.run("other") as third:
        assert third.log_artifact(draft.new_draft(), aliases=["again"]).qualified_name == "vision/cats:v0"
        named = Artifact("cats", "dataset")
        named.add_dir(tree)
        assert third.log_artifact(named, "third/cats").qualified_name == "third/cats:v0"


def test_verify(store: Store, tree: Path, tmp_path: Path) -> None:
    """A folder is exactly what the artifact holds, or the first difference is named."""
    artifact = saved(store, tree)
    out = Path(artifact.download(tmp_path / "out"))
    artifact.verify(out)
    changes = {
        "a.txt": lambda: (out / "a.txt").write_bytes(b"A"),
        "d/b.txt": (out / "d/b.txt").unlink,
        "link": lambda: ((out / "link").unlink(), (out / "link").symlink_to("d")),
        "empty": (out / "empty").rmdir,
        "more.txt": lambda: (out / "more.txt").write_bytes(b""),
    }
    for path, change in changes.items():
        change()
        with pytest.raises(ContentsDiffer) as differs:
            artifact.verify(out)
        assert any(str(one).startswith(f"{path}: ") for one in differs.value.facts["problems"])  # type: ignore[attr-defined]
    assert len(differs.value.facts["problems"]) == 5  # type: ignore[arg-type]
    artifact.checkout(out)
    artifact.verify(out)
    (out / "a.txt").chmod(0o755)
    with pytest.raises(ContentsDiffer, match="executable"):
        artifact.verify(out)


def test_links(store: Store, tree: Path) -> None:
    """An artifact is put into a collection with an alias of its own there, and taken out again."""
    artifact = saved(store, tree)
    linked = artifact.link("registry/cats", ["production"])
    assert (linked.qualified_name, sorted(linked.aliases)) == ("registry/cats:v0", ["latest", "production"])
    assert linked.digest == artifact.digest
    with pytest.raises(NotACollection):
        artifact.unlink()
    linked.unlink()
    with pytest.raises(Deleted):
        store.version("registry/cats:v0")
    assert store.artifact("vision/cats").version == "v0"
    with pytest.raises(NotSaved):
        Artifact("cats", "dataset").link("registry/cats")


def test_the_store_itself_is_left_out(tmp_path: Path) -> None:
    """A folder that holds the store is added without it, with a word."""
    folder = write_tree(tmp_path / "all", {"a.txt": b"a"})
    with make_store(tmp_path, folder / "store") as store:
        draft = Artifact("all", "dataset")
        draft.add_dir(folder)
        draft.save(store, "p")
        assert [entry.path for entry in draft.files()] == ["a.txt"]
        assert any("store itself" in notice for notice in store.notices)
