"""Runs of a store: how they begin and end, what they use and produce, and how they are found."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from artifactstore import Artifact, Store
from artifactstore.errors import (
    Deleted,
    InvalidMetadata,
    InvalidName,
    LineageCircle,
    NoSuchRun,
    NoSuchVersion,
    PreconditionFailed,
    RunEnded,
    UsageError,
)
from artifactstore.format.alive import alive_name
from artifactstore.format.operations import Push, Rename, Source


@pytest.fixture
def store(tmp_path: Path) -> Any:
    with Store.create(tmp_path / "store", key_file=tmp_path / "key", cache_dir=tmp_path / "cache") as made:
        yield made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data.txt"
    path.write_text("one")
    return path


def test_a_run_finishes_when_its_block_ends(store: Store, file: Path) -> None:
    """And what it used and produced is known of it, and of the versions."""
    data = store.push([file], "p/data")
    with store.run("p", "train", "fit", {"rate": 0.5}, ["b", "a"], "night", git=False) as run:
        assert run.use("p/data", "training").qualified_name == data.qualified_name
        file.write_text("model")
        model = run.log_artifact(file, "model", type="model", aliases=["best"])
        assert run.info().state == "running"
    info = store.run_info(run.id)
    assert (info.state, info.name, info.job_type, info.config) == ("finished", "train", "fit", {"rate": 0.5})
    assert (info.tags, info.group, info.commit, info.host) == (("a", "b"), "night", None, None)
    assert info.ended_ns is not None
    assert info.started_ns <= info.ended_ns
    assert (model.qualified_name, model.type, model.aliases) == ("p/model:v0", "model", ("best", "latest"))
    assert [one.id for one in store.runs(produced="p/model:best")] == [run.id]
    assert [one.id for one in store.runs(used="p/data:v0")] == [run.id]
    assert store.runs(used="p/model") == store.runs(produced="p/data") == []


@pytest.mark.parametrize(
    ("error", "state"),
    [
        (ValueError("x"), "failed"),
        (KeyboardInterrupt(), "killed"),
        (SystemExit(0), "finished"),
        (SystemExit(None), "finished"),
        (SystemExit("no"), "failed"),
    ],
)
def test_a_run_ends_as_its_block_does(store: Store, error: BaseException, state: str) -> None:
    """What the block raises goes on to whoever waits for it."""
    with pytest.raises(type(error)), store.run("p", git=False) as run:
        raise error
    assert store.run_info(run.id).state == state


def test_a_run_finished_twice_is_an_error_of_its_own(store: Store, file: Path) -> None:
    """And nothing is used or produced by it any more; what it said of itself may still be put right."""
    store.push([file], "p/data")
    with store.run("p", git=False) as run:
        run.finish("failed")
        with pytest.raises(RunEnded):
            run.finish()
    assert store.run_info(run.id).state == "failed"
    for act in (lambda: run.use("p/data"), lambda: run.log_artifact(file), lambda: store.open_run(run.id)):
        with pytest.raises(RunEnded) as caught:
            act()
        assert caught.value.facts["state"] == "failed"
    run.update(name="put right", tags=["late"], config={"rate": 1})
    assert (run.name, run.tags, run.config) == ("put right", ("late",), {"rate": 1})
    assert [version.number for version in store.versions("p/data")] == [0]


def test_what_goes_wrong_at_the_end_does_not_hide_what_went_wrong_first(store: Store) -> None:
    """The second error is a note to the first."""

    def fails() -> None:
        with store.run("p", git=False) as run:
            store.finish_run(run.id)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) as caught:
        fails()
    assert "finished already" in caught.value.__notes__[0]
    with pytest.raises(RunEnded), store.run("p", git=False) as run:
        store.finish_run(run.id)


def test_whoever_logs_the_same_again_is_a_producer_too(store: Store, file: Path) -> None:
    """No version is made, and both runs are known as its producers, the later one first."""
    ids = []
    for _ in range(2):
        with store.run("p", git=False) as run:
            version = run.log_artifact(file)
            ids.append(run.id)
    assert version.qualified_name == "p/data.txt:v0"
    assert version.push is not None
    assert not version.push.created
    assert [one.id for one in store.runs(produced="p/data.txt")] == ids[::-1]


def test_a_version_that_is_there_is_told_to_be_of_a_run_too(store: Store, file: Path) -> None:
    """Without its content: of the newest version alone, of an open run, in no circle; no version is made."""
    store.push([file], "p/data")
    with store.run("p", git=False) as run:
        assert store.log_in_run(run.id[:8], "p/data").qualified_name == "p/data:v0"
        assert [one.id for one in store.runs(produced="p/data:v0")] == [run.id]
        with store.run("p", git=False) as user:
            user.use("p/data")
            with pytest.raises(LineageCircle):
                store.log_in_run(user.id, "p/data")
        file.write_text("two")
        store.push([file], "p/data")
        head = store.info().records
        with pytest.raises(PreconditionFailed, match="not the newest"):
            store.log_in_run(run.id, "p/data:v0")
        store.link("p/data", "registry/data")
        with pytest.raises(PreconditionFailed):
            store.log_in_run(run.id, "registry/data")
    with pytest.raises(RunEnded):
        store.log_in_run(run.id, "p/data:v1")
    assert store.info().records == head + 2  # the link, and the end of the run
    assert [version.number for version in store.versions("p/data")] == [0, 1]


def test_a_circle_is_an_error_of_its_own(store: Store, file: Path) -> None:
    """Where a run would use what came of it, and where it would produce what it came of; nothing is written."""
    with store.run("p", git=False) as first:
        first.log_artifact(file, "data")
        with pytest.raises(LineageCircle):
            first.use("p/data")
        with store.run("p", git=False) as second:
            second.use("p/data")
            head = store.info().records
            with pytest.raises(LineageCircle) as caught:
                second.log_artifact(file, "data")
            assert caught.value.facts["version"] == "p/data:v0"
            assert store.info().records == head
            second.log_artifact(file, "copy")
            with pytest.raises(LineageCircle):
                first.use("p/copy")


def test_what_a_run_may_be_called(store: Store, file: Path) -> None:
    """Names of artifacts come from the path or from whoever logs them; everything has its bound."""
    with store.run("p", git=False) as run:
        assert run.log_artifact([file], "q/other").qualified_name == "q/other:v0"
        with pytest.raises(InvalidName):
            run.log_artifact([file, file.parent])
        with pytest.raises(InvalidName):
            run.log_artifact(file, "no good")
        with pytest.raises(InvalidMetadata):
            run.use("p/data", "x" * 257)
    for options in ({"name": "a\nb"}, {"group": "x" * 257}, {"config": {"a": float("nan")}}):
        with pytest.raises(InvalidMetadata):
            store.run("p", git=False, **options)  # type: ignore[arg-type]
    for options in ({"project": "/"}, {"project": "p", "tags": ["no good"]}):
        with pytest.raises(InvalidName):
            store.run(git=False, **options)  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        store.finish_run(run.id, "running")  # type: ignore[arg-type]
    with pytest.raises(UsageError):
        store.runs(state="lost")


def test_versions_that_are_not_there_are_not_used(store: Store, file: Path) -> None:
    """Each with the error that says so."""
    store.push([file], "p/data")
    store.delete(["p/data:v0"])
    with store.run("p", git=False) as run:
        with pytest.raises(Deleted):
            run.use("p/data:v0")
        with pytest.raises(NoSuchVersion):
            run.use("p/data:v7")
    with pytest.raises(NoSuchRun):
        store.push([file], "p/data", run="0" * 32)


def test_runs_are_found(store: Store) -> None:
    """By everything that is said of them, the newest first."""
    made = [
        store.run("p", job_type="fit", tags=["x"], group="g", git=False, heartbeat=False),
        store.run("p", job_type="fit", git=False, heartbeat=False),
        store.run("q", job_type="test", group="g", tags=["x"], git=False, heartbeat=False),
    ]
    made[1].finish("failed")
    one, two, three = (run.id for run in made)

    def ids(**conditions: Any) -> list[str]:
        return [run.id for run in store.runs(**conditions)]

    assert ids() == [three, two, one]
    assert ids(project="p") == [two, one]
    assert ids(state="running") == [three, one]
    assert ids(state="failed") == [two]
    assert ids(group="g", job_type="fit") == [one]
    assert ids(tag="x", limit=1) == [three]
    assert store.run_info(one[:8]).id == one
    with pytest.raises(NoSuchRun):
        store.run_info("0" * 8)


def test_a_deleted_run_is_forgotten(store: Store, file: Path) -> None:
    """What it had said of itself is gone; that there was one, and its edges, stay."""
    with store.run("p", "secret", config={"of": "ada"}, git=False) as run:
        run.log_artifact(file)
    store.delete_run(run.id)
    info = store.run_info(run.id)
    assert (info.state, info.project, info.name, info.config) == ("deleted", "", "", {})
    assert [one.id for one in store.runs(produced="p/data.txt")] == [run.id]
    for act in (lambda: store.delete_run(run.id), lambda: store.update_run(run.id, name="again")):
        with pytest.raises(NoSuchRun):
            act()


def test_the_commit_is_kept_and_the_host_only_when_asked(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a folder under Git its commit; elsewhere nothing."""
    folder = tmp_path / "code"
    folder.mkdir()
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", str(folder)]
    subprocess.run([*git, "init", "-q"], check=True)
    monkeypatch.chdir(folder)
    with store.run("p") as run:
        assert run.commit is None
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    done = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    with store.run("p", host=True) as run:
        info = run.info()
    assert info.commit == done.stdout.strip()
    assert info.host is not None
    assert info.host["pid"] == os.getpid()


def test_a_run_beats_until_it_ends(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its object is there from the beginning, is put again, and no thread is left afterwards."""
    puts: list[str] = []
    put = store.parts.backend.put
    again = threading.Event()

    def counted(name: str, data: bytes) -> None:
        put(name, data)
        puts.append(name)
        if len(puts) > 2:
            again.set()

    monkeypatch.setattr(store.parts.backend, "put", counted)
    monkeypatch.setattr("artifactstore.tracking.heart.Heart.__init__.__defaults__", (0.01,))
    with store.run("p", git=False) as run:
        assert puts == [alive_name(bytes.fromhex(run.id))]
        assert again.wait(30)
    assert "artifactstore-heart" not in {thread.name for thread in threading.enumerate()}
    assert set(puts) == {alive_name(bytes.fromhex(run.id))}
    with store.run("p", git=False, heartbeat=False):
        assert len(set(puts)) == 1


KILLED = """
import sys
from artifactstore import Artifact, Store
store = Store.open(sys.argv[1], key_file=sys.argv[2], cache_dir=sys.argv[3])
run = store.run("p", "killed", git=False)
print(run.id, flush=True)
sys.stdin.read()
"""


def test_a_killed_run_is_seen_by_its_silence(tmp_path: Path) -> None:
    """A process that was killed says nothing; five minutes after its last sign others call its run killed."""
    places = (tmp_path / "store", tmp_path / "key", tmp_path / "cache")
    with Store.create(places[0], key_file=places[1], cache_dir=places[2]) as store:
        with subprocess.Popen(
            [sys.executable, "-c", KILLED, *map(str, places)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            run = process.stdout.readline().strip()
            assert store.run_info(run).state == "running"
            process.send_signal(signal.SIGKILL)
        assert store.run_info(run).state == "running"
        sign = places[0] / alive_name(bytes.fromhex(run))
        past = sign.stat().st_mtime - 301
        os.utime(sign, (past, past))
        started_ns = store.run_info(run).started_ns
        store._clock = Later(301)  # type: ignore[assignment]
        info = store.run_info(run)
        assert (info.state, info.ended_ns) == ("killed", started_ns)
        assert [one.id for one in store.runs(state="killed")] == [run]
        store.open_run(run).finish()
        assert store.run_info(run).state == "finished"


class Later:
    """The machine's clock, some seconds ahead."""

    def __init__(self, seconds: float) -> None:
        from artifactstore.clock import SystemClock

        self._clock = SystemClock()
        self._ahead_ns = int(seconds * 1e9)

    def now_ns(self) -> int:
        return self._clock.now_ns() + self._ahead_ns

    def monotonic_s(self) -> float:
        return self._clock.monotonic_s()

    def sleep(self, seconds: float) -> None:
        self._clock.sleep(seconds)


def test_sweeps_take_away_what_ended_runs_left(store: Store, file: Path) -> None:
    """By record, with whatever else they take away; a run that goes on keeps its sign, one of a week ago is killed."""
    live, lost = store.run("p", "live", git=False), store.run("p", "lost", git=False)
    with store.run("p", git=False) as run:
        run.log_artifact(file)
    plan = store.plan_gc().plan
    assert [len(plan.signs), len(plan.killed), plan.sweeps] == [1, 0, False]
    store.delete(["p/data.txt:v0"], now=True)
    store._clock = Later(8 * 24 * 3600)  # type: ignore[assignment]
    folder = Path(store.url.removeprefix("file://")) / "runs"
    ahead = (folder / live.id / "alive").stat().st_mtime + 8 * 24 * 3600
    os.utime(folder / live.id / "alive", (ahead, ahead))
    done = store.gc(store.plan_gc(), trust_clock=True)
    assert done.purged == ("p/data.txt:v0",)
    assert sorted(path.parent.name for path in folder.glob("*/alive")) == [live.id]
    assert store.run_info(live.id).state == "running"
    assert store.run_info(lost.id).state == "killed"
    assert store.check().ok
    lost.finish()
    live.finish()
    assert [one.state for one in store.runs()] == ["finished"] * 3


def test_a_purged_version_stays_in_the_lineage_without_its_name(store: Store, file: Path) -> None:
    """As a deleted node, found by who knows what it was called; once deleted it is shown by its name."""
    with store.run("p", git=False) as run:
        run.log_artifact(file, "secret")
    with store.run("p", git=False) as user:
        user.use("p/secret")
    store.delete(["p/secret:v0"], now=True)
    node = next(node for node in store.lineage("p/secret:v0").nodes if node.kind == "version")
    assert (node.id, node.state) == ("p/secret:v0", "deleted")
    store.gc(store.plan_gc(), trust_clock=True)
    found = store.lineage("p/secret:v0")
    assert found.start.startswith("deleted-")
    assert found.start.endswith(":v0")
    assert [
        (node.name, node.project, node.digest, node.state) for node in found.nodes if node.depth == 0
    ] == [("", "", "", "purged")]
    assert {(node.id, node.depth) for node in found.nodes if node.depth} == {(run.id, -1), (user.id, 1)}
    assert "secret" not in str(store.lineage(run.id).to_dict())
    assert [one.id for one in store.runs(used="p/secret:v0")] == [user.id]


def test_a_draft_is_logged_by_a_run(store: Store, file: Path) -> None:
    """It is the version then, and knows which run logged it first and which used it."""
    draft = Artifact("made", "model")
    draft.add_file(str(file))
    with store.run("p", git=False) as run:
        version = run.log_artifact(draft, aliases=["best"])
    assert version.qualified_name == "p/made:v0"
    assert draft.version == "v0"
    with store.run("p", git=False) as other:
        other.log_artifact(file, "made")
    with store.run("p", git=False) as user:
        user.use("p/made:best")
    saved = store.artifact("p/made")
    made_by = saved.logged_by()
    assert made_by is not None
    assert made_by.id == run.id
    assert [one.id for one in saved.used_by()] == [user.id]
    assert store.logged_by("p/made") == made_by
    store.push([file], "p/alone")
    assert store.artifact("p/alone").logged_by() is None


def test_what_is_renamed_and_linked_keeps_its_lineage(store: Store, file: Path) -> None:
    """A run leads to a version by any name that it had, and through a link to where it came from."""
    with store.run("p", git=False) as run:
        run.log_artifact(file, "model")
    commit = store.parts.committer.commit
    commit([Rename("p", "model", "p", "better")])
    held = store.version("p/better").manifest
    source = Source("p", "better", 0)
    commit(
        [Push("registry", "models", "dataset", held, None, None, [], [], 0, 0, [], bytes(32), None, source)]
    )
    with store.run("q", git=False) as user:
        user.use("registry/models")
    found = store.lineage(user.id, "up")
    assert [(node.name, node.depth) for node in found.nodes if node.kind == "version"] == [
        ("registry/models:v0", -1),
        ("p/better:v0", -2),
    ]
    assert found.nodes[-1].id == run.id
    assert [edge.kind for edge in found.edges] == ["used", "linked", "produced"]
    assert store.lineage("p/model:v0").start == "p/better:v0"
    assert [one.id for one in store.runs(produced="p/better")] == [run.id]


def test_what_is_downstream_of_several(store: Store, file: Path) -> None:
    """Runs that used any of them, and what those made, each once."""
    for name in ("a", "b"):
        file.write_text(name)
        store.push([file], f"p/{name}")
    with store.run("p", git=False) as run:
        run.use("p/a")
        run.use("p/b")
        file.write_text("c")
        run.log_artifact(file, "c")
    found = store.downstream(["p/a", "p/b:v0"])
    assert [(node.id, node.depth) for node in found.nodes] == [
        ("p/a:v0", 0),
        ("p/b:v0", 0),
        (run.id, 1),
        ("p/c:v0", 2),
    ]
    assert (len(found.edges), found.complete) == (3, True)
