"""Observers and the log: each operation and request is told once, and nothing of a user's is told."""

import logging
import pickle
from pathlib import Path

import pytest

from artifactstore import Counters, OperationDone, RequestDone, Store, StorePool, Tenant
from artifactstore.errors import NoSuchVersion
from tests.stores import make_store, noise, write_tree


class Recorder:
    """Remembers everything, in order."""

    def __init__(self) -> None:
        self.started: list[tuple[str, str]] = []
        self.operations: list[OperationDone] = []
        self.requests: list[RequestDone] = []

    def operation_started(self, store: str, operation: str) -> None:
        self.started.append((store, operation))

    def operation_done(self, done: OperationDone) -> None:
        self.operations.append(done)

    def request_done(self, done: RequestDone) -> None:
        self.requests.append(done)


def everything(store: Store, folder: Path) -> None:
    """Most of what a store can do, with names that must not be told."""
    source = write_tree(
        folder / "secretfolder", {"secretfile.csv": noise(100_000), "other": b"secretcontent"}
    )
    version = store.push(
        [source], "secretproject/secretname", aliases=["secretalias"], metadata={"secretkey": "secretvalue"}
    )
    store.pull("secretproject/secretname:secretalias", folder / "secrettarget")
    assert len(b"".join(version.stream("secretfile.csv"))) == 100_000
    with store.upload("secretproject/secretupload", tags=["secrettag"]) as upload:
        upload.write("secretpath", b"secretbytes")
    with pytest.raises(NoSuchVersion):
        store.pull("secretproject/secretname:secretwrong", folder / "out")
    store.find([source / "secretfile.csv"])
    store.takedown([source / "secretfile.csv"], rewrite=True, reason="secretreason")
    store.delete(["secretproject/*"], force=True, now=True, reason="secretreason")
    store.gc(store.plan_gc())
    store.check(read_data=True)


def test_operations_and_requests_are_told_with_their_ends(tmp_path: Path) -> None:
    """Names of methods, kinds of errors, bytes and seconds, of one store."""
    seen = Recorder()
    with make_store(tmp_path, observer=seen) as store:
        seen.requests.clear()
        everything(store, tmp_path)
        names = [done.operation for done in seen.operations]
        assert names == [
            "push",
            "pull",
            "stream",
            "upload",
            "pull",
            "find",
            "takedown",
            "delete",
            "gc",
            "check",
        ]
        assert seen.started == [(store.id, name) for name in names]
        assert [done.error for done in seen.operations] == [None] * 4 + ["no-such-version"] + [None] * 5
        assert all(done.store == store.id and done.seconds >= 0 for done in seen.operations)
    sent = sum(done.sent_bytes for done in seen.requests)
    assert sent > 100_000
    assert {done.method for done in seen.requests} > {"put", "create", "get_range", "list"}
    assert {done.error for done in seen.requests} <= {
        None,
        "object-missing",
        "object-exists",
        "truncated-read",
    }
    assert sum(done.received_bytes for done in seen.requests) > 100_000


def test_counters_count(tmp_path: Path) -> None:
    """What they say is what was done, over all operations."""
    counters = Counters()
    with make_store(tmp_path, observer=counters) as store:
        version = store.push_stream(noise(1_000_000), "p/n", path="x")
        before = counters.snapshot()
        stream = version.stream("x")
        next(stream)
        assert counters.running["stream"] == 1
        stream.close()
        with pytest.raises(NoSuchVersion):
            store.pull("p/n:v7", tmp_path / "out")
    after = counters.snapshot()
    assert before["operations.push_stream"] == 1
    assert before["sent_bytes"] > 1_000_000 > before["received_bytes"]
    assert (after["operations.stream"], after["operations.stream.errors.GeneratorExit"]) == (1, 1)
    assert (after["operations.pull"], after["operations.pull.errors.no-such-version"]) == (1, 1)
    assert after["running.stream"] == after["running.pull"] == 0
    assert after["requests.get_range"] >= 1
    assert after["operations.pull.seconds"] >= 0


def test_an_observer_that_fails_harms_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What it raises is logged by its class alone."""

    class Broken(Recorder):
        def operation_started(self, store: str, operation: str) -> None:
            raise KeyError("secret")

        operation_done = request_done = operation_started  # type: ignore[assignment]

    with make_store(tmp_path, observer=Broken()) as store:
        assert store.push_stream(b"1", "p/n", path="x").number == 0
    assert "the observer's operation_started raised KeyError" in caplog.text
    assert "secret" not in caplog.text


def test_the_log_holds_nothing_of_a_users(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At info level: no name, path, alias, metadata or reason, no URL and no key, through all operations and errors."""
    folder = tmp_path / "secretplace"
    folder.mkdir()
    with caplog.at_level(logging.INFO, logger="artifactstore"):
        with make_store(folder, folder / "secretstore") as store:
            everything(store, folder)
            identity = store.id
            _, phrase = store.members.add_recovery()
        tenant = Tenant(str(folder / "secretstore"), passphrase=phrase, cache_dir=folder / "secretcache")
        with StorePool({"secrettenant": tenant}.__getitem__) as pool:
            with pool.lease("secrettenant") as store:
                assert store.projects() == []
            with pytest.raises(KeyError):
                pool.lease("secretunknown").__enter__()
    ours = [record for record in caplog.records if record.name.startswith("artifactstore")]
    assert len(ours) >= 12
    text = "\n".join(record.getMessage() for record in ours)
    assert "secret" not in text
    assert phrase not in text
    assert str(tmp_path) not in text
    assert f"store {identity[:12]}: push done" in text
    assert f"store {identity[:12]}: pull failed: no-such-version" in text


def test_an_observer_stays_where_it_was_made(tmp_path: Path) -> None:
    """A store that is opened again in another process tells nobody."""
    seen = Recorder()
    with make_store(tmp_path, observer=seen) as store, pickle.loads(pickle.dumps(store)) as again:
        seen.operations.clear()
        again.push_stream(b"1", "p/n", path="x")
        assert seen.operations == []
