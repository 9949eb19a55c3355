"""A store in a server: 64 threads at once and for long, ranges of files as pieces, nothing left over."""

import asyncio
import gc
import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artifactstore import Store, Version, Workers
from artifactstore.errors import NoSuchEntry, StoreClosed
from artifactstore.log.log import Applier, Log
from artifactstore.log.start import Start
from artifactstore.testing import MeteredBackend
from tests.stores import make_store, noise, reopened

DATA = noise(2_500_000)
ON_LINUX = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="reads /proc")


def open_files(folder: Path) -> list[str]:
    """What this process has open below a folder."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}"))  # noqa: PTH115
        except FileNotFoundError:
            continue
    return sorted(name for name in found if name.startswith(str(folder)))


def anonymous_bytes() -> int:
    """Memory of this process that no file stands behind."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no RssAnon")


@pytest.fixture
def version(tmp_path: Path) -> Iterator[Version]:
    with make_store(tmp_path) as store:
        yield store.push_stream(DATA, "p/n", path="dir/file")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, None),
        (0, 0),
        (0, 1),
        (1, None),
        (2_499_999, None),
        (2_500_000, None),
        (3_000_000, None),
        (0, 9_999_999),
    ]
    + [tuple(sorted(random.Random(seed).sample(range(2_500_001), 2))) for seed in range(20)],
)
def test_a_range_is_streamed(version: Version, start: int, end: int | None) -> None:
    """Exactly its bytes, in pieces of a mebibyte at most."""
    pieces = list(version.stream("dir/file", start, end))
    assert b"".join(pieces) == DATA[start:end]
    assert all(0 < len(piece) <= 1 << 20 for piece in pieces)


def test_what_is_no_range_or_no_file_is_refused_at_once(version: Version) -> None:
    """Before the first piece is asked for."""
    for start, end in ((-1, None), (5, 4)):
        with pytest.raises(ValueError, match="not a range"):
            version.stream("dir/file", start, end)
    for path in ("dir", "none"):
        with pytest.raises(NoSuchEntry):
            version.stream(path)
    with pytest.raises(NoSuchEntry):
        version.entry("dir")
    assert (version.entry("dir/file").size_bytes, version.entry("dir/file").kind) == (2_500_000, "file")


def test_only_what_is_asked_for_is_fetched(tmp_path: Path, version: Version) -> None:
    """A stream that is left early has fetched no more than its pieces; one byte costs one blob."""
    store = reopened(tmp_path, version._source, cache="other")
    meter = MeteredBackend(store._parts.backend)
    store._parts.reader._backend = meter
    again = store.version("p/n")
    stream = again.stream("dir/file")
    assert meter.transferred_bytes["get_range"] < 100_000
    next(stream)
    assert 400_000 < meter.transferred_bytes["get_range"] < 1_300_000
    stream.close()
    meter.reset()
    assert list(again.stream("dir/file", 2_400_000, 2_400_001)) == [DATA[2_400_000:2_400_001]]
    assert meter.transferred_bytes["get_range"] < 600_000


def serve(store: Store, thread: int, turn: int) -> None:
    """What a server does for one client: an upload, a listing, ranges of what is there."""
    own = noise(200_000, thread)
    with store.upload(f"p/n{thread}", aliases=[f"turn{turn}"]) as upload:
        upload.write("own", (own[at : at + 9000] for at in range(0, 200_000, 9000)))
        upload.write("turn", bytes([turn]))
    assert upload.version is not None
    assert upload.version.number == turn
    assert b"".join(upload.version.stream("own", 100_000)) == own[100_000:]
    with store.version("p/shared").open("file") as file:
        at = random.Random(thread).randrange(2_000_000)
        file.seek(at)
        assert file.read(5000) == DATA[at : at + 5000]
    assert f"turn{turn}" in store.version(f"p/n{thread}").aliases


@ON_LINUX
def test_64_threads_share_a_store_and_leave_nothing(tmp_path: Path) -> None:
    """Round after round: the same files, threads and memory after each, and a store that is whole."""
    workers = Workers(operations=4)
    threads_before = threading.active_count()
    with make_store(tmp_path, tmp_path / "store", make_executors=workers) as store:
        store.push_stream(DATA, "p/shared", path="file")
        seen: list[tuple[list[str], int]] = []
        objects, memory = [], []
        held = anonymous_bytes()
        for turn in range(3):
            with ThreadPoolExecutor(64) as pool:
                for done in [pool.submit(serve, store, thread, turn) for thread in range(64)]:
                    done.result()
            gc.collect()
            seen.append((open_files(tmp_path), threading.active_count()))
            objects.append(len(gc.get_objects()))
            memory.append(anonymous_bytes() - held)
        assert seen[0] == seen[1] == seen[2]
        assert objects[2] - objects[1] < 500
        # The allocator keeps an arena for each of so many threads; in the second round they have all they want.
        assert max(memory) < 512 << 20
        assert store.info().versions == 1 + 64 * 3
        assert store.check(read_data=True).ok
    workers.close()
    assert open_files(tmp_path) == []
    assert threading.active_count() == threads_before


def test_an_event_loop_shares_a_store(tmp_path: Path) -> None:
    """By `asyncio.to_thread`, 64 tasks at once."""
    with make_store(tmp_path, make_executors=Workers(operations=2)) as store:
        store.push_stream(DATA, "p/shared", path="file")

        async def main() -> None:
            await asyncio.gather(*[asyncio.to_thread(serve, store, task, 0) for task in range(64)])

        asyncio.run(main())
        assert store.info().versions == 65


@ON_LINUX
def test_sweeps_of_others_leave_no_files_open(tmp_path: Path) -> None:
    """A store that is open for months goes through generations; the index of each is let go of."""
    with (
        make_store(tmp_path, tmp_path / "store") as sweeper,
        reopened(tmp_path, sweeper, cache="other") as server,
    ):
        version = sweeper.push_stream(DATA, "p/n", path="file")
        reading = server.version("p/n").open("file")
        reading.read(10)
        counts = []
        for number in range(5):
            sweeper.push_stream(b"%d" % number, "p/gone", path="x")
            sweeper.delete(["p/gone:*"], force=True, now=True)
            sweeper.gc(sweeper.plan_gc())
            assert b"".join(server.version("p/n").stream("file", 0, 100)) == DATA[:100]
            gc.collect()
            counts.append(len(open_files(tmp_path)))
        # The open file reads on, and holds the index that it began with until then.
        assert counts[-1] <= counts[1]
        reading.seek(1_000_000)
        assert reading.read(1000) == DATA[1_000_000:1_001_000]
        assert version.digest == server.version("p/n").digest


def test_threads_that_meet_a_sweep_renew_once(tmp_path: Path) -> None:
    """All go on in the new generation, through one index of it."""
    with (
        make_store(tmp_path, tmp_path / "store") as sweeper,
        reopened(tmp_path, sweeper, cache="other") as server,
    ):
        sweeper.push_stream(DATA, "p/n", path="file")
        server.version("p/n")
        made: list[object] = []
        for number in range(3):
            sweeper.push_stream(b"%d" % number, "p/gone", path="x")
            sweeper.delete(["p/gone:*"], force=True, now=True)
            sweeper.gc(sweeper.plan_gc())
            with ThreadPoolExecutor(16) as pool:
                found = list(pool.map(lambda _: server.version("p/n").digest, range(16)))
            assert len(set(found)) == 1
            made.append(server.parts.environment)
        assert len(set(map(id, made))) == 3


def test_one_thread_starts_from_a_state_and_the_others_go_on_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first learns of the keys meanwhile would make the records void that the others look at."""
    inside, most, starts = 0, 0, 0
    start = Log._start

    def counted(self: Log, applier: Applier) -> Start:
        nonlocal inside, most, starts
        inside, starts = inside + 1, starts + 1
        most = max(most, inside)
        time.sleep(0.05)
        try:
            return start(self, applier)
        finally:
            inside -= 1

    with make_store(tmp_path, tmp_path / "store") as sweeper:
        for part in DATA, DATA[:100]:
            sweeper.push_stream(part, "p/n", path="file")
        sweeper.delete(["p/n:v0"], now=True)
        assert sweeper.gc(sweeper.plan_gc()).slot is not None
        monkeypatch.setattr(Log, "_start", counted)
        with reopened(tmp_path, sweeper, cache="empty") as server, ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(lambda _: server.refresh().next_slot, range(8)))) == 1
    assert (most, starts) == (1, 1)


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    """Closing twice does no harm; whoever still uses it gets an error of its own."""
    store = make_store(tmp_path)
    version = store.push_stream(DATA, "p/n", path="x")
    store.close()
    store.close()
    with pytest.raises(StoreClosed):
        store.versions("p/n")
    with pytest.raises(StoreClosed):
        store.push_stream(b"1", "p/n", path="x")
    with pytest.raises(StoreClosed):
        list(version.stream("x"))
