"""Copying between stores: same digests at the other end, only what is missing, nothing half done."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from artifactstore import Store, copy_versions, mirror, plan_copy, plan_mirror
from artifactstore.drafts.keeper import Edits
from artifactstore.errors import Damaged, Denied, NewerStore, NoSuchVersion, UsageError
from artifactstore.format.record import slot_name
from tests.stores import make_store, noise, objects_of, read_tree, reopened, write_tree

pytestmark = pytest.mark.places("memory", "s3")

TREE = {
    "a/one.bin": noise(3_000_000, 1),
    "a/two.txt": b"two\n" * 1000,
    "b/link": "../a/two.txt",
    "c": None,
    "zero": b"",
}


@pytest.fixture
def here(tmp_path: Path) -> Store:
    """A store with three versions of `p/n`, of which the last is the first again, and one of `p/other`."""
    store = make_store(tmp_path / "here")
    folder = write_tree(tmp_path / "tree", TREE)
    (folder / "a/two.txt").chmod(0o755)
    store.push(
        [folder], "p/n", type="model", aliases=["first"], tags=["t1"], description="d", metadata={"k": [1]}
    )
    (folder / "a/two.txt").write_bytes(b"changed")
    store.push([folder], "p/n", aliases=["prod"])
    (folder / "a/two.txt").write_bytes(b"two\n" * 1000)
    store.push([folder], "p/n")
    store.push([folder / "a"], "p/other")
    return store


@pytest.fixture
def there(tmp_path: Path) -> Store:
    """An empty store with a key of its own."""
    return make_store(tmp_path / "there")


def test_all_of_a_project_arrives_as_it_is(here: Store, there: Store, tmp_path: Path) -> None:
    """Files, digests, order, type, aliases, labels, description and metadata."""
    done = copy_versions(here, there, ["p/*"])
    assert [step.action for step in done.steps] == ["copy"] * 4
    for artifact in ("p/n", "p/other"):
        pairs = zip(here.versions(artifact), there.versions(artifact), strict=True)
        for one, other in pairs:
            assert (one.digest, one.number, one.type, one.aliases, one.tags) == (
                other.digest,
                other.number,
                other.type,
                other.aliases,
                other.tags,
            )
            assert (one.description, one.metadata) == (other.description, other.metadata)
    here.pull("p/n:first", tmp_path / "x")
    there.pull("p/n:first", tmp_path / "y")
    assert read_tree(tmp_path / "x") == read_tree(tmp_path / "y") == dict(sorted(TREE.items()))
    assert (tmp_path / "y/a/two.txt").stat().st_mode & 0o100
    assert there.check(read_data=True).problems == ()


def test_again_copies_nothing(here: Store, there: Store) -> None:
    """A repeated copy writes no object; a plan says so beforehand."""
    plan = plan_copy(here, there, ["p/n:*"])
    assert ([step.action for step in plan.steps], plan.logical_bytes > 0) == (["copy"] * 3, True)
    assert there.projects() == []
    copy_versions(here, there, ["p/n:*"])
    before = objects_of(there).keys()
    again = copy_versions(here, there, ["p/n:*"])
    assert [step.action for step in again.steps] == ["keep"] * 3
    assert [step.target for step in again.steps] == [0, 1, 2]
    assert objects_of(there).keys() == before


def test_names_follow(here: Store, there: Store) -> None:
    """An alias that was moved and a label that was added since go over without content."""
    copy_versions(here, there, ["p/n:*"])
    here.add_aliases("p/n:v2", ["prod"])
    here.add_tags("p/n:v1", ["good"])
    done = copy_versions(here, there, ["p/n:*"])
    assert [step.action for step in done.steps] == ["keep", "update", "update"]
    assert there.version("p/n:prod").number == 2
    assert there.version("p/n:v1").tags == ("good",)


def test_what_is_said_follows(here: Store, there: Store) -> None:
    """Description and metadata that were changed since."""
    copy_versions(here, there, ["p/n:*"])
    version = here.version("p/n:v1")
    edits = Edits(version)
    edits.description, edits.metadata = "better", {"rows": 7}
    here.save_changes(version, edits)
    assert [step.said for step in plan_copy(here, there, ["p/n:*"]).steps] == [False, True, False]
    copy_versions(here, there, ["p/n:*"])
    assert (there.version("p/n:v1").description, there.version("p/n:v1").metadata) == ("better", {"rows": 7})
    assert {step.action for step in copy_versions(here, there, ["p/n:*"]).steps} == {"keep"}


def test_one_version_before_the_others(here: Store, there: Store) -> None:
    """What was copied on its own before stands for its version, and no content comes twice."""
    assert copy_versions(here, there, ["p/n:prod"]).steps[0].target == 0
    copy_versions(here, there, ["p/n:*"])
    assert [version.number for version in there.versions("p/n")] == [0, 1]
    assert {step.action for step in copy_versions(here, there, ["p/n:*"]).steps} == {"keep"}


def test_equal_neighbours_become_one(here: Store, there: Store) -> None:
    """Where what lay between was deleted, two of one content are neighbours: the first says what it is, at once."""
    here.describe("p/n:v2", metadata={"k": [2]})
    here.add_tags("p/n:v2", ["t2"])
    here.delete(["p/n:v1"], force=True)
    done = copy_versions(here, there, ["p/n:*"])
    assert [(step.action, step.target) for step in done.steps] == [("copy", 0), ("update", 0)]
    (made,) = there.versions("p/n")
    assert (made.metadata, made.description, made.tags) == ({"k": [1]}, "d", ("t1", "t2"))
    assert [step.action for step in copy_versions(here, there, ["p/n:*"]).steps] == ["keep"] * 2
    (again,) = there.versions("p/n")
    assert (again.metadata, again.tags) == (made.metadata, made.tags)


def test_a_file_that_is_there_is_not_read(here: Store, there: Store) -> None:
    """Of the second version only the changed file is read and stored."""
    steps = copy_versions(here, there, ["p/n:v0"]).steps
    done = copy_versions(here, there, ["p/n:v0", "p/n:v1"])
    push = there.version("p/n:v1")
    assert (steps[0].stored_bytes or 0) > 3_000_000
    assert (done.steps[1].stored_bytes or 0) < 10_000
    assert push.new_bytes < 10_000


def test_a_mirror_follows(here: Store, there: Store) -> None:
    """Everything goes over; what is not here is deleted there only when asked for, and can be undeleted."""
    mirror(here, there)
    here.delete(["p/n:v1"], force=True)
    here.delete(["p/other:*"])
    assert plan_mirror(here, there).deletes == ()
    assert plan_mirror(here, there, delete=True).deletes == ("p/n:v1", "p/other:v0")
    mirror(here, there)
    assert len(there.versions("p/n")) == 3
    mirror(here, there, delete=True)
    assert [version.number for version in there.versions("p/n")] == [0, 2]
    assert there.undelete(["p/other:v0"])[0].number == 0


def test_bad_ends(here: Store, there: Store, tmp_path: Path) -> None:
    """The same store, a reference to nothing."""
    with pytest.raises(UsageError, match="one store"), reopened(tmp_path / "here", here) as same:
        copy_versions(here, same, ["p/n"])
    with pytest.raises(NoSuchVersion):
        copy_versions(here, there, ["p/n:v9"])


def test_a_denied_file(here: Store, there: Store, tmp_path: Path) -> None:
    """The destination's takedown holds; the version is not made, and what came before stays."""
    (tmp_path / "bad").write_bytes(b"changed")
    there.push([tmp_path / "bad"], "p/bad")
    there.takedown([tmp_path / "bad"], reason="no")
    with pytest.raises(Denied, match=r"p/n:v1 can't be copied to [a-z0-9]+://"):
        copy_versions(here, there, ["p/n:*"])
    assert [version.number for version in there.versions("p/n")] == [0]


def test_damage_in_the_source(here: Store, there: Store) -> None:
    """A chunk that can't be read back: the error of the source, and no version at the other end."""
    backend = here.parts.backend
    largest = max(backend.list("packs/"), key=lambda info: info.size_bytes)
    backend.delete(largest.name)
    with pytest.raises(Damaged):
        copy_versions(here, there, ["p/n:v0"])
    assert there.projects() == []


def test_a_chunk_that_the_destination_lost_is_stored_again(here: Store, there: Store, tmp_path: Path) -> None:
    """What the version before it has there is relied on only where it lies whole."""
    copy_versions(here, there, ["p/n:v0"])
    backend = there.parts.backend
    largest = max(backend.list("packs/"), key=lambda info: info.size_bytes)
    backend.delete(largest.name)
    there.repair(there.plan_repair())
    copy_versions(here, there, ["p/n:*"])
    there.pull("p/n:v1", tmp_path / "out")
    assert (tmp_path / "out/a/one.bin").read_bytes() == TREE["a/one.bin"]


CUT = """
import sys
import time
from pathlib import Path
from artifactstore import Store, copy_versions
from artifactstore.content import put
from artifactstore.transfer import push
put.PACK_BYTES_TARGET, push.PENDING_BYTES = 256 << 10, 1 << 20
root = Path(sys.argv[1])
here, there = (
    Store.open(root / name / "store", key_file=root / name / "key", cache_dir=root / name / "cache")
    for name in ("here", "there")
)
class Watch:
    def start(self, label, **totals): pass
    def total(self, **totals): pass
    def notice(self, text): pass
    def finish(self): pass
    read = 0
    def advance(self, *, bytes=0, files=0, new_bytes=0):
        Watch.read += bytes
        for _ in range(10 if Watch.read > 6_000_000 else 0):
            if len(list((root / "there/store/log").iterdir())) > 1:
                print("cut", flush=True)  # a record has registered packs
                sys.stdin.readline()
            time.sleep(0.01)
copy_versions(here, there, ["p/n:*"], progress=Watch())
"""


def test_killed_in_the_middle(tmp_path: Path) -> None:
    """What was registered before SIGKILL is not stored again by the copy that takes it up."""
    content = noise(12_000_000, 5)
    tree = {f"{at:02}": content[at : at + 1_200_000] for at in range(0, len(content), 1_200_000)}
    here = make_store(tmp_path / "here", tmp_path / "here/store")
    there = make_store(tmp_path / "there", tmp_path / "there/store")
    here.push([write_tree(tmp_path / "tree", tree)], "p/n")
    here.close()
    there.close()
    process = subprocess.Popen(
        [sys.executable, "-c", CUT, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"cut\n"
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    with (
        reopened(tmp_path / "here", tmp_path / "here/store") as here,
        reopened(tmp_path / "there", tmp_path / "there/store") as there,
    ):
        assert there.projects() == []
        done = copy_versions(here, there, ["p/n"])
        assert 0 < (done.steps[0].stored_bytes or 0) < len(content)
        assert there.version("p/n").digest == here.version("p/n").digest
        assert there.check(read_data=True).problems == ()


def test_a_newer_destination(here: Store, there: Store, tmp_path: Path) -> None:
    """A store of a format that comes later is refused before anything is copied."""
    copy_versions(here, there, ["p/n:v0"])
    backend = there.parts.backend
    first = backend.get(slot_name(0), limit_bytes=1 << 20)
    backend.put(slot_name(0), first[:4] + b"\0\x09" + first[6:])
    before = objects_of(there)
    with pytest.raises(NewerStore):
        reopened(tmp_path / "there", there, cache="another")
    assert objects_of(there) == before


def test_runs_go_over_as_facts(here: Store, there: Store, tmp_path: Path) -> None:
    """Under their own ids, with what they used and how they ended; again nothing is written."""
    with here.run("p", name="training", job_type="train", config={"lr": 1}, tags=["x"]) as run:
        run.use("p/n:v1", role="data")
        (tmp_path / "weights").write_bytes(b"weights")
        run.log_artifact(tmp_path / "weights", "p/model")
    copy_versions(here, there, ["p/*"])
    one, other = here.logged_by("p/model"), there.logged_by("p/model")
    assert one is not None
    assert other is not None
    assert (other.id, other.name, other.job_type, other.config, other.tags, other.state) == (
        one.id,
        "training",
        "train",
        {"lr": 1},
        ("x",),
        "finished",
    )
    edges = [
        {(edge.source, edge.target, edge.kind, edge.role) for edge in store.lineage("p/model").edges}
        for store in (here, there)
    ]
    assert edges[0] == edges[1]
    assert len(edges[0]) == 2
    before = objects_of(there).keys()
    copy_versions(here, there, ["p/*"])
    assert objects_of(there).keys() == before


def test_a_run_that_goes_on(here: Store, there: Store, tmp_path: Path) -> None:
    """It ends there with a later copy; what it used and the other store lacks is left out."""
    (tmp_path / "weights").write_bytes(b"weights")
    run = here.run("p", name="long")
    run.use("p/other")
    run.log_artifact(tmp_path / "weights", "p/model")
    copy_versions(here, there, ["p/model"])
    assert there.run_info(run.id).state == "running"
    run.finish("failed")
    copy_versions(here, there, ["p/model"])
    assert there.run_info(run.id).state == "failed"
    assert {edge.kind for edge in there.lineage("p/model").edges} == {"produced"}


def produced_by(store: Store, ref: str) -> list[str]:
    """The runs that produced a version, the newest first."""
    return [run.id for run in store.runs(produced=ref)]


def test_every_producer_goes_over(here: Store, there: Store, tmp_path: Path) -> None:
    """Runs that made the same content are all told, the first that did first; one that comes later, later."""
    (tmp_path / "weights").write_bytes(b"weights")
    runs = []
    for name in ("one", "two", "three"):
        with here.run("p", name=name) as run:
            run.log_artifact(tmp_path / "weights", "p/model")
            runs.append(run.id)
    copy_versions(here, there, ["p/model"])
    assert produced_by(there, "p/model:v0") == produced_by(here, "p/model:v0") == runs[::-1]
    first = there.logged_by("p/model:v0")
    assert first is not None
    assert (first.id, first.state) == (runs[0], "finished")
    with here.run("p", name="four") as run:
        run.log_artifact(tmp_path / "weights", "p/model")
    copy_versions(here, there, ["p/model"])
    assert produced_by(there, "p/model:v0") == [run.id, *runs[::-1]]
    assert len(there.versions("p/model")) == 1
    before = objects_of(there).keys()
    copy_versions(here, there, ["p/model"])
    assert objects_of(there).keys() == before


def test_a_mirror_takes_all_runs(here: Store, there: Store) -> None:
    """Also those that only used something, and that a copy of versions leaves; an open one is not told twice."""
    with here.run("p", name="evaluation", config={"k": 5}) as run:
        run.use("p/n:v1", role="tested")
    waiting = here.run("p", name="waiting")
    waiting.use("p/other")
    copy_versions(here, there, ["*"])
    assert there.runs() == []
    mirror(here, there)
    assert [(one.name, one.state) for one in there.runs()] == [
        ("waiting", "running"),
        ("evaluation", "finished"),
    ]
    (edge,) = there.lineage(run.id).edges
    assert (edge.source, edge.kind, edge.role) == ("p/n:v1", "used", "tested")
    before = objects_of(there).keys()
    mirror(here, there)
    assert objects_of(there).keys() == before
    waiting.finish()


def test_expiry_goes_over(here: Store, there: Store) -> None:
    """A time, not a duration; changed here, it is changed there; what only the other store says stays."""
    here.set_ttl("p/n:v0", 1000)
    there_first = copy_versions(here, there, ["p/n:v0", "p/n:v1"])
    assert [step.expires for step in there_first.steps] == [True, False]
    assert there.version("p/n:v0").expires_ns == here.version("p/n:v0").expires_ns
    there.set_ttl("p/n:v1", 5)
    kept = there.version("p/n:v1").expires_ns
    assert {step.action for step in copy_versions(here, there, ["p/n:v0", "p/n:v1"]).steps} == {"keep"}
    here.set_ttl("p/n:v0", 2000)
    assert [step.expires for step in plan_copy(here, there, ["p/n:v0"]).steps] == [True]
    copy_versions(here, there, ["p/n:v0", "p/n:v1"])
    assert there.version("p/n:v0").expires_ns == here.version("p/n:v0").expires_ns
    assert there.version("p/n:v1").expires_ns == kept
