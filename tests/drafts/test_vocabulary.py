"""W&B's words: each method takes what theirs takes, and what is missing is named in the page for their users."""

import inspect
import os
import time
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from artifactstore import Artifact, ArtifactEntry, Run, Store
from artifactstore.errors import NotSaved, SourceChanged, TypeMismatch, UsageError
from tests.stores import make_store, write_tree

pytestmark = pytest.mark.places("memory", "s3")

PAGE = Path(__file__).resolve().parents[2] / "docs" / "for-wandb-users.md"
# What their classes have, in their release 0.31: methods with the names of their arguments, properties without.
THEIRS = {
    Artifact: """
        Artifact(name type description metadata incremental)
        add_dir(local_path name skip_cache policy merge)
        add_file(local_path name skip_cache policy overwrite)
        add_reference(uri name checksum max_objects)
        checkout(root) delete(delete_aliases)
        download(root allow_missing_references skip_cache path_prefix multipart)
        file(root) files(names per_page) get_added_local_path_name(local_path) get_entry(name) get_path(name)
        is_draft() link(target_path aliases) logged_by() new_draft() new_file(name mode encoding policy)
        remove(item) save(project) unlink() used_by() verify(root) wait(timeout)
        aliases created_at description digest entity file_count id incremental is_link linked_artifacts manifest
        metadata name project qualified_name size source_artifact source_qualified_name state tags ttl
        type updated_at version
    """,
    ArtifactEntry: """
        download(root skip_cache) parent_artifact() ref_target() ref_url() name
    """,
    Run: """
        log_artifact(name) use_artifact(artifact_or_name type use_as) link_artifact(artifact target_path aliases)
        finish(exit_code) config tags name group job_type
    """,
}
SETTABLE = ["aliases", "description", "metadata", "tags", "ttl"]
# What theirs have and ours has not, other than what starts with these.
MISSING = [
    "artifact.add(",
    "finalize",
    "distributed_id",
    "artifact.url",
    "history_step",
    "commit_hash",
    "is_tmp",
]


def words(text: str) -> Iterator[tuple[str, list[str] | None]]:
    while text := text.strip():
        head = text.split(maxsplit=1)[0]
        if "(" not in head:
            yield head, None
            text = text[len(head) :]
            continue
        name, _, rest = text.partition("(")
        arguments, _, text = rest.partition(")")
        yield name, arguments.split()


@pytest.mark.parametrize("ours", list(THEIRS), ids=lambda one: one.__name__)
def test_theirs_is_taken(ours: type) -> None:
    """Each name is there, and each argument by its name."""
    lacking = []
    for name, arguments in words(THEIRS[ours]):
        found = ours if name == ours.__name__ else inspect.getattr_static(ours, name, None)
        if found is None:
            lacking.append(name)
        elif arguments is None:
            assert isinstance(found, property), name
        else:
            taken = inspect.signature(found).parameters
            lacking += [f"{name}({argument})" for argument in arguments if argument not in taken]
    assert lacking == []


def test_what_may_be_assigned() -> None:
    """What theirs lets one assign, and nothing more."""
    settable = [
        name
        for name, one in inspect.getmembers(Artifact)
        if isinstance(one, property) and one.fset is not None
    ]
    assert settable == SETTABLE


def test_what_is_missing_is_said() -> None:
    """In the page for their users."""
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in MISSING if name not in page] == []


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with make_store(tmp_path) as made:
        yield made


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    files = {"a.txt": b"a", "d/b.txt": b"b", "link": "a.txt", "empty": None, "big": os.urandom(1 << 20)}
    return write_tree(tmp_path / "tree", files)


def test_the_digest_of_a_draft(store: Store, tree: Path) -> None:
    """That of the version which it becomes, of a draft of a version too; a file is read once, and must not change."""
    assert Artifact("n", "t").digest == Artifact("n", "t").save(store, "empty").digest
    draft = Artifact("cats", "dataset")
    draft.add_dir(tree)
    draft.add_reference((tree / "d").as_uri(), "far")
    (tree / "a.txt").chmod(0o755)
    draft.add_file(tree / "a.txt", "run.sh")
    before = draft.digest
    with mock.patch("artifactstore.transfer.digesting.blake3_of", side_effect=AssertionError):
        assert draft.digest == before
    assert draft.save(store, "vision").digest == before
    more = draft.new_draft()
    assert more.digest == before
    more.remove("d")
    with more.new_file("new") as file:
        file.write("new")
    before = more.digest
    assert more.save().digest == before != draft.digest
    changed = Artifact("cats", "dataset")
    changed.add_file(tree / "a.txt")
    (tree / "a.txt").write_bytes(b"other")
    with pytest.raises(SourceChanged) as refused:
        _ = changed.digest
    assert refused.value.facts["path"] == "a.txt"


def test_the_digest_of_many_pages(store: Store, tmp_path: Path) -> None:
    """Pages that stay are taken over as they are."""
    draft = Artifact("many", "dataset")
    draft.add_dir(write_tree(tmp_path / "many", {f"{number:04}": b"%d" % number for number in range(2000)}))
    before = draft.digest
    assert draft.save(store, "p").digest == before
    more = draft.new_draft()
    more.remove("0003")
    with more.new_file("1000") as file:
        file.write("other")
    before = more.digest
    assert more.save().digest == before


def test_when_it_was_updated(store: Store, tree: Path) -> None:
    """When it was made, until something is said anew of it."""
    draft = Artifact("cats", "dataset")
    draft.add_dir(tree)
    draft.save(store, "vision")
    assert draft.created_at == draft.updated_at
    seen = [draft.updated_at]
    for change in ("description", "aliases", "tags"):
        time.sleep(0.002)  # times are kept in milliseconds
        setattr(draft, change, ["new"] if change != "description" else "new")
        draft.save()
        seen.append(draft.updated_at)
    assert draft.created_at == seen[0]
    assert sorted(set(seen)) == seen
    assert store.artifact("vision/cats:new").updated_at == seen[-1]
    time.sleep(0.002)
    store.add_aliases("vision/cats:v0", ["more"])
    assert store.artifact("vision/cats").updated_at > seen[-1]


def test_a_file_alone(store: Store, tree: Path, tmp_path: Path) -> None:
    """`file` downloads the one file; of several it says what to do instead."""
    draft = Artifact("one", "dataset")
    entry = draft.add_file(tree / "a.txt", "deep/a.txt", policy="immutable", skip_cache=True)
    assert (entry.name, draft.get_added_local_path_name(tree / "a.txt")) == ("deep/a.txt", "deep/a.txt")
    assert draft.get_added_local_path_name(tree / "big") is None
    with pytest.raises(NotSaved):
        draft.file()
    draft.save(store, "p")
    assert Path(draft.file(tmp_path / "out")).read_bytes() == b"a"
    several = draft.new_draft()
    several.add_file(tree / "big")
    with pytest.raises(UsageError, match="holds 2 files"):
        several.save().file()


def test_saving_by_project_alone(store: Store, tree: Path) -> None:
    """As theirs: where the store is known, the first argument may be the project; else what is missing is the store."""
    draft = Artifact("cats", "dataset")
    draft.add_dir(tree)
    with pytest.raises(NotSaved, match="no store"):
        draft.save("vision")
    draft.save(store, "vision")
    assert draft.new_draft().save("other").qualified_name == "other/cats:v0"


def test_links_know_their_source(store: Store, tree: Path) -> None:
    """And the source its links; deleting a link leaves the source."""
    draft = Artifact("cats", "dataset")
    draft.add_dir(tree)
    assert not draft.is_link
    with store.run("vision", git=False) as run:
        link = run.link_artifact(draft, "registry/best", ["production"])
    assert (link.is_link, draft.is_link) == (True, False)
    assert link.source_artifact.qualified_name == link.source_qualified_name == "vision/cats:v0"
    assert draft.source_qualified_name == "vision/cats:v0"
    again = store.artifact("vision/cats:v0")
    assert [one.qualified_name for one in again.linked_artifacts] == [link.qualified_name]
    link.delete()
    assert store.artifact("vision/cats:v0").linked_artifacts == []


def test_runs_in_their_words(store: Store, tree: Path) -> None:
    """A name without a project is of the run's; the type is held against what is there before anything is noted."""
    with store.run("vision", git=False) as run:
        draft = Artifact("cats", "dataset")
        draft.add_dir(tree)
        assert run.log_artifact(draft).wait() is draft
        assert run.log_artifact(tree, name="dogs", type="dataset").qualified_name == "vision/dogs:v0"
    other = store.run("vision", git=False)
    with pytest.raises(TypeMismatch):
        other.use_artifact("cats:latest", type="model")
    with pytest.raises(NotSaved):
        other.use_artifact(Artifact("new", "dataset"))
    used = other.use_artifact("cats:latest", type="dataset", use_as="training")
    assert isinstance(used, Artifact)
    other.use_artifact(store.artifact("vision/dogs"))
    other.finish(exit_code=3)
    assert other.info().state == "failed"
    assert {edge.source: edge.role for edge in store.lineage(other.id, "up", 1).edges} == {
        "vision/cats:v0": "training",
        "vision/dogs:v0": "",
    }
    with pytest.raises(UsageError):
        store.run("vision", git=False).finish("failed", exit_code=1)
