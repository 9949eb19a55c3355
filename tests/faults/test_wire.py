"""A real S3 server behind a wire that loses, repeats, cuts, delays and reorders: each operation is won or lost, once.

The libraries between the store and the wire repeat requests, keep connections and read in pieces, so these faults are
others than those of a wrapper around the backend.
"""

import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from artifactstore.backend.remote import FsspecBackend
from artifactstore.clock import Clock
from artifactstore.errors import ArtifactStoreError, BackendError, ConnectionLost, ObjectExists
from artifactstore.format.limits import PACK_BYTES_TARGET
from artifactstore.store.store import Store
from artifactstore.testing import invariants
from artifactstore.testing.history import Recorder, read_journal, read_log
from artifactstore.testing.linearizability import Landed, assert_follows_log
from artifactstore.testing.proxy import Fault, FaultProxy, Rule
from artifactstore.transfer.ingest import BATCH_BYTES
from artifactstore.transfer.push import PENDING_BYTES
from tests.servers import BUCKET, Server
from tests.stores import FakeClock, noise

PUTS = frozenset({"PUT"})
GETS = frozenset({"GET"})
DELAY_S = 0.4
A_MINUTE_S = 60.0
PACKS = 34

# What passes by itself; credentials that expired don't, and a push that meets them has a test of its own.
PASSING = [fault for fault in Fault if fault is not Fault.EXPIRED]


class Wire:
    """A store, clients that reach it through the proxy, and one that reaches it by itself."""

    def __init__(self, folder: Path, server: Server, proxy: FaultProxy) -> None:
        self.proxy = proxy
        self.url = f"s3://{BUCKET}/wire-{os.getpid()}"
        self._folder = folder
        self._server = server
        self._names = itertools.count()
        Store.create(self.url, cache_dir=folder / "witness", **self._access(server.endpoint)).close()

    def _access(self, endpoint: str) -> dict[str, Any]:
        return {
            "key_file": self._folder / "key",
            "storage_options": self._server._replace(endpoint=endpoint).options(),
        }

    def artifact(self) -> str:
        """A name that no other test uses."""
        return f"project/data-{next(self._names)}"

    def open(self, client: str, *, endpoint: str | None = None, clock: Clock | None = None) -> Store:
        """The store as a client with a cache of that name, which may be warm, sees it."""
        access = self._access(endpoint or self.proxy.url)
        return Store.open(self.url, cache_dir=self._folder / client, clock=clock, **access)

    def direct(self) -> Store:
        """The store as a client sees it whose wire is whole."""
        return self.open("witness", endpoint=self._server.endpoint)

    def backend(self) -> FsspecBackend:
        return FsspecBackend(self.url, self._server._replace(endpoint=self.proxy.url).options())


@pytest.fixture(scope="module")
def shared_wire(tmp_path_factory: pytest.TempPathFactory, s3_server: Server) -> Iterator[Wire]:
    """One for the module: making stores takes longer than the tests. At its end everything is checked."""
    with FaultProxy(port_of(s3_server)) as proxy:
        wire = Wire(tmp_path_factory.mktemp("wire"), s3_server, proxy)
        yield wire
        with wire.direct() as store:
            invariants.assert_whole(store)
            invariants.assert_numbered(store)
            invariants.assert_packs_precede_records(store._parts)


@pytest.fixture
def wire(shared_wire: Wire) -> Iterator[Wire]:
    shared_wire.proxy.inject()
    shared_wire.proxy.injected.clear()
    yield shared_wire
    shared_wire.proxy.inject()


def port_of(server: Server) -> int:
    port = urlsplit(server.endpoint).port
    assert port is not None
    return port


def started(work: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=work)
    thread.start()
    return thread


def until(condition: Callable[[], object]) -> None:
    """Wait for what another thread or the wire is about to do."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it did not come about")


@pytest.mark.parametrize("fault", PASSING)
def test_a_claim_is_won_or_lost_and_never_both(wire: Wire, tmp_path: Path, fault: Fault) -> None:
    """While something happens to one client's claim another client commits: each operation is applied once."""
    artifact = wire.artifact()

    def beside() -> None:
        until(lambda: wire.proxy.injected)
        theirs.push(artifact, "theirs", 100, aliases=["last"])

    with (
        wire.open("mine") as one,
        wire.direct() as other,
        closing(Recorder(one, "mine", tmp_path / "one", tmp_path / "scratch-one")) as mine,
        closing(Recorder(other, "theirs", tmp_path / "two", tmp_path / "scratch-two")) as theirs,
    ):
        wire.proxy.inject(Rule(fault, PUTS, "/log/", count=1, delay_s=DELAY_S))
        thread = started(beside)
        landed = mine.push(artifact, "mine", 100, aliases=["last"])
        thread.join()
        if fault is Fault.STRAY:
            # What strays arrives behind all this, and changes nothing.
            time.sleep(DELAY_S)
        events = [noted.event for name in ("one", "two") for noted in read_journal(tmp_path / name)]
        assert isinstance(landed, Landed)
        assert wire.proxy.injected == {fault: 1}
        assert all(event.end_s is not None for event in events)
        assert_follows_log(events, [write for write in read_log(other) if write.artifact == artifact])
        assert [version.number for version in other.versions(artifact)] == [0, 1]


@pytest.mark.parametrize("fault", PASSING)
def test_a_pull_is_whole_or_fails(wire: Wire, tmp_path: Path, fault: Fault) -> None:
    """What happens once to any answer is mended without a word; what happens always is an error, and no data."""
    artifact = wire.artifact()
    (tmp_path / "big").write_bytes(noise(300_000, seed=ord(fault[0])))
    with wire.direct() as store:
        store.push([tmp_path / "big"], artifact)
    clock = FakeClock()
    with wire.open("mine", clock=clock) as store:
        wire.proxy.inject(*(Rule(fault, GETS, path, count=1, delay_s=0.05) for path in ("/log/", "/packs/")))
        store.pull(artifact, tmp_path / "whole")
        assert (tmp_path / "whole" / "big").read_bytes() == (tmp_path / "big").read_bytes()
        assert wire.proxy.injected == {fault: 2}
        if fault in {Fault.HOLD, Fault.LATE, Fault.REPEAT}:
            return
        wire.proxy.inject(Rule(fault, GETS, "/packs/"))
        with pytest.raises(BackendError) as caught:
            store.pull(artifact, tmp_path / "cut")
        assert wire.url in str(caught.value)
        assert not (tmp_path / "cut").exists()


def test_a_repeated_create_meets_its_own_bytes(wire: Wire) -> None:
    """On the wire a create that is sent twice looks refused; what lies there is what it wrote."""
    wire.proxy.inject(Rule(Fault.REPEAT, PUTS, count=1))
    backend = wire.backend()
    with pytest.raises(ObjectExists):
        backend.create("probe/repeated", b"mine")
    assert backend.get("probe/repeated", limit_bytes=10) == b"mine"


def test_a_create_whose_answer_is_lost_has_happened_or_not(wire: Wire) -> None:
    """A library below may repeat it by itself, so that it looks refused: what lies there is what it wrote."""
    backend = wire.backend()
    wire.proxy.inject(Rule(Fault.CUT_AFTER, PUTS, count=1))
    with pytest.raises((ConnectionLost, ObjectExists)):
        backend.create("probe/after", b"mine")
    assert backend.get("probe/after", limit_bytes=10) == b"mine"
    wire.proxy.inject(Rule(Fault.CUT_BEFORE, PUTS))
    with pytest.raises(ConnectionLost):
        backend.create("probe/before", b"mine")
    assert not backend.exists("probe/before")


def test_a_lost_answer_is_lost_whatever_was_answered_before(wire: Wire) -> None:
    """Who looks at what fills a name while it handles the refusal of its create is not told of the refusal again."""
    backend = wire.backend()
    backend.put("probe/filled", b"theirs")
    try:
        backend.create("probe/filled", b"mine")
    except ObjectExists:
        wire.proxy.inject(Rule(Fault.CUT_BEFORE, GETS))
        with pytest.raises(ConnectionLost):
            backend.get("probe/filled", limit_bytes=10)


def test_a_truncated_answer_is_never_data(wire: Wire) -> None:
    """Whole objects and ranges alike: fewer bytes than were promised are an error."""
    backend = wire.backend()
    backend.put("probe/long", noise(100_000))
    wire.proxy.inject(Rule(Fault.TRUNCATE, GETS))
    for read in (
        lambda: backend.get("probe/long", limit_bytes=200_000),
        lambda: backend.get("probe/long", limit_bytes=100_000),
        lambda: backend.get_range("probe/long", 0, 100_000),
        lambda: backend.get_range("probe/long", 5, 60_000),
        lambda: list(backend.list("probe/")),
    ):
        with pytest.raises(ArtifactStoreError):
            read()


class Storm(FakeClock):
    """Time passes by waiting alone, and a storm of 503 ends when a minute has passed."""

    def __init__(self, proxy: FaultProxy) -> None:
        super().__init__()
        self._proxy = proxy

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        if self.waited_s >= A_MINUTE_S:
            self._proxy.inject()


def test_a_storm_of_a_minute_is_ridden_out(wire: Wire, tmp_path: Path) -> None:
    """For a minute every request is answered with 503 SlowDown; a push and a pull wait, and succeed."""
    artifact, clock = wire.artifact(), Storm(wire.proxy)
    (tmp_path / "file").write_bytes(noise(300_000, seed=1))
    with wire.open("mine", clock=clock) as store:
        wire.proxy.inject(Rule(Fault.SLOW_DOWN))
        store.push([tmp_path / "file"], artifact)
        assert A_MINUTE_S <= clock.waited_s < 2 * A_MINUTE_S
        clock.waited_s = 0.0
        wire.proxy.inject(Rule(Fault.SLOW_DOWN))
        store.pull(artifact, tmp_path / "pulled")
        assert A_MINUTE_S <= clock.waited_s < 2 * A_MINUTE_S


@pytest.mark.deep
def test_a_real_storm_of_a_minute_is_ridden_out(wire: Wire, tmp_path: Path) -> None:
    """The same by the machine's clock, with pushes before, in and after the storm."""
    (tmp_path / "file").write_bytes(noise(300_000, seed=2))
    calm = threading.Timer(A_MINUTE_S, wire.proxy.inject)
    with wire.open("mine") as store:
        wire.proxy.inject(Rule(Fault.SLOW_DOWN))
        calm.start()
        began_s = time.monotonic()
        store.push([tmp_path / "file"], wire.artifact())
        assert time.monotonic() - began_s >= A_MINUTE_S
    calm.join()


@pytest.mark.parametrize("way", ["cut", "closed"])
def test_a_dead_network_is_an_error_in_bounded_time(
    wire: Wire, tmp_path: Path, s3_server: Server, way: str
) -> None:
    """Whether the endpoint cuts every connection or takes none, the error names it, after a minute or so at most."""
    artifact, clock = wire.artifact(), FakeClock()
    (tmp_path / "file").write_bytes(artifact.encode())
    with ExitStack() as proxies:
        proxy = proxies.enter_context(FaultProxy(port_of(s3_server)))
        with wire.open("mine", endpoint=proxy.url, clock=clock) as store:
            store.push([tmp_path / "file"], artifact)
            if way == "cut":
                proxy.inject(Rule(Fault.CUT_BEFORE))
            else:
                proxies.close()
            calls: list[Callable[[], Any]] = [
                lambda: store.push([tmp_path / "file"], f"{artifact}-other"),
                lambda: store.pull(artifact, tmp_path / "pulled"),
                lambda: store.add_tags(f"{artifact}:v0", ["tag"]),
                store.projects,
            ]
            for call in calls:
                clock.waited_s += 3600
                before_s = clock.waited_s
                with pytest.raises(ConnectionLost) as caught:
                    call()
                assert proxy.url in str(caught.value)
                assert clock.waited_s - before_s <= 90


def test_a_wrong_endpoint_is_an_error_sooner(wire: Wire) -> None:
    """Where nothing ever answered, the error names the endpoint after a few seconds."""
    clock = FakeClock()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ConnectionLost) as caught:
            wire.open("new", endpoint=endpoint, clock=clock)
    assert endpoint in str(caught.value)
    assert clock.waited_s <= 15


def orphans_bytes(store: Store) -> int:
    """Bytes of packs that are stored and that no record names: what was uploaded in vain."""
    store.projects()
    parts = store._parts
    with parts.environment.read() as txn:
        named = {
            f"packs/{name[:2]}/{name}" for pack in parts.packs.all(txn) for name in [pack.added.name.hex()]
        }
    return sum(info.size_bytes for info in parts.backend.list("packs/") if info.name not in named)


@pytest.mark.parametrize("passing", [1, 17, 30])
def test_a_cut_push_uploads_at_most_one_interval_twice(
    wire: Wire, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, passing: int, deep: bool
) -> None:
    """The network dies after some packs: what no pending record has named yet is all that the next push sends again."""
    scale = 1 if deep else 512
    pack_bytes, interval_bytes = PACK_BYTES_TARGET // scale, PENDING_BYTES // scale
    monkeypatch.setattr("artifactstore.content.put.PACK_BYTES_TARGET", pack_bytes)
    monkeypatch.setattr("artifactstore.transfer.push.PENDING_BYTES", interval_bytes)
    monkeypatch.setattr("artifactstore.transfer.push.BATCH_BYTES", BATCH_BYTES // scale)
    artifact, source = wire.artifact(), tmp_path / "source"
    source.mkdir()
    for number in range(4 * PACKS):
        (source / f"{number:03}").write_bytes(noise(pack_bytes // 4, seed=1000 * passing + number))
    with wire.direct() as store:
        before_bytes = orphans_bytes(store)
    with wire.open("mine", clock=FakeClock()) as store:
        wire.proxy.inject(Rule(Fault.CUT_BEFORE, PUTS, "/packs/", skip=passing))
        dying = started(
            lambda: until(lambda: wire.proxy.injected) or wire.proxy.inject(Rule(Fault.CUT_BEFORE))
        )
        with pytest.raises(ConnectionLost):
            store.push([source], artifact)
        dying.join()
        wire.proxy.inject()
        made = store.push([source], artifact)
    with wire.direct() as store:
        twice_bytes = orphans_bytes(store) - before_bytes
    assert made.push is not None
    assert twice_bytes <= interval_bytes
    # What was registered is not sent again.
    assert (made.push.new_bytes < 4 * PACKS * (pack_bytes // 4)) == (passing * pack_bytes > interval_bytes)
