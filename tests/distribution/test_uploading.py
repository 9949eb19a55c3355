"""Uploads: versions of what arrives in pieces, and nothing of what was given up."""

import asyncio
import io
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.errors import (
    Denied,
    InvalidName,
    InvalidSource,
    PathCollision,
    SourceStalled,
    StorageFull,
    UploadAborted,
)
from artifactstore.transfer import push as push_module
from tests.stores import make_store, noise, objects_of, write_tree

pytestmark = pytest.mark.places("memory", "s3")

TREE = {"z/last": noise(300_000, 1), "a": b"", "m/in/between": noise(3_000_000, 2), "m/in/other": b"x"}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with make_store(tmp_path) as made:
        yield made
    assert [one.name for one in threading.enumerate() if "upload" in one.name] == []


def half() -> Iterator[bytes]:
    """A source that breaks off."""
    yield noise(100_000)
    raise KeyError("hung up")


def log_and_packs(store: Store) -> list[str]:
    return sorted(objects_of(store))


def test_files_come_in_any_order_and_by_any_source(tmp_path: Path, store: Store) -> None:
    """The version is the one that a push of the same files makes, to the digest."""
    with store.upload("p/n", aliases=["here"], tags=["t"], metadata={"a": 1}) as upload:
        assert upload.write("z/last", TREE["z/last"]) == 300_000
        assert (
            upload.write("m/in/between", iter([TREE["m/in/between"][:7], TREE["m/in/between"][7:]]))
            == 3_000_000
        )
        assert upload.write("a", b"") == 0
        assert upload.write("m/in/other", io.BytesIO(b"x")) == 1
        assert upload.version is None
    version = upload.version
    assert version is not None
    assert (version.push.files, version.push.created, version.push.new_bytes) == (4, True, 3_300_001)
    assert (version.aliases, version.tags, version.metadata) == (("here", "latest"), ("t",), {"a": 1})
    pushed = store.push([write_tree(tmp_path / "in", TREE)], "p/n")
    assert (pushed.number, pushed.digest, pushed.push.created) == (0, version.digest, False)
    assert {path: b"".join(version.stream(path)) for path in TREE} == TREE
    assert store.check(read_data=True).ok


def test_many_small_files_arrive(store: Store) -> None:
    """More than fill a page, backwards."""
    with store.upload("p/n") as upload:
        for number in reversed(range(1500)):
            upload.write(f"{number:04}", b"%d" % number)
    assert upload.version is not None
    assert [entry.path for entry in upload.version.files()] == [f"{number:04}" for number in range(1500)]


@pytest.mark.parametrize("when", ["before the first", "in the middle", "after a file", "at the end"])
def test_an_upload_that_is_given_up_leaves_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """Neither a version nor a record: the store is as it was, byte for byte."""
    store.push_stream(b"before", "p/n", path="x")
    before = log_and_packs(store)
    with pytest.raises(KeyError), store.upload("p/n") as upload:
        if when != "before the first":
            upload.write("a", noise(50_000))
        if when == "in the middle":
            upload.write("b", half())
        if when == "at the end":
            upload.write("b", noise(200_000))
        raise KeyError("hung up")
    assert upload.version is None
    assert log_and_packs(store) == before
    assert [version.number for version in store.versions("p/n")] == [0]


@pytest.mark.places("memory")  # its threads are waited for, and S3 keeps some
def test_what_a_long_upload_had_registered_is_nobodys(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its packs are garbage at once, which the next collection takes away, and not in use for a week."""
    monkeypatch.setattr(push_module, "PENDING_BYTES", 1 << 20)
    monkeypatch.setattr("artifactstore.content.put.PACK_BYTES_TARGET", 1 << 20)
    before = {name for name in objects_of(store) if name.startswith("packs/")}
    with pytest.raises(KeyError), store.upload("p/n") as upload:
        for number in range(8):
            upload.write(str(number), noise(5_000_000, number))
        upload.write("x", half())
    while any(one.name.startswith("artifactstore-") for one in threading.enumerate()):
        time.sleep(0.01)  # what was being uploaded then
    left = {name for name in objects_of(store) if name.startswith("packs/")} - before
    assert left
    assert store.garbage().running_bytes == 0
    store.gc(store.plan_gc())
    still = {name for name in objects_of(store) if name.startswith("packs/")} & left
    # What was compressed at that moment and stored later is no record's: it goes when it is a week old.
    report = store.check()
    assert still <= set(report.orphans.names.shown)
    assert len(still) <= 3 < len(left)
    assert report.ok


def test_half_a_file_spoils_the_upload_even_where_its_error_is_swallowed(store: Store) -> None:
    """No version holds it, and who goes on is told why not."""
    with pytest.raises(UploadAborted) as caught, store.upload("p/n") as upload:
        with pytest.raises(KeyError):
            upload.write("a", half())
        with pytest.raises(UploadAborted):
            upload.write("b", b"more")
    assert isinstance(caught.value.__cause__, KeyError)
    assert store.projects() == []


@pytest.mark.parametrize(
    ("paths", "error"),
    [
        (["a", "a"], PathCollision),
        (["a", "A"], PathCollision),
        (["a", "a/b"], PathCollision),
        (["a/b", "a"], PathCollision),
        (["../a"], InvalidSource),
        (["a\0"], InvalidSource),
        ([""], InvalidSource),
    ],
)
def test_paths_that_no_version_can_hold(store: Store, paths: list[str], error: type[Exception]) -> None:
    """They are refused with the same errors as those of a push."""
    with pytest.raises(error), store.upload("p/n") as upload:
        for path in paths:
            upload.write(path, b"1")
    assert store.projects() == []


def test_a_name_that_is_none_is_refused_at_once(store: Store) -> None:
    """Before any byte is taken."""
    with pytest.raises(InvalidName):
        store.upload("p/n", aliases=["v3"])
    with pytest.raises(InvalidName):
        store.push_stream(b"", "p/n", path="a", tags=["?"])


def test_a_source_that_stalls_is_given_up(store: Store) -> None:
    """Between files and within one; whoever waits for it is told how long it took."""
    stop = threading.Event()

    def stalling() -> Iterator[bytes]:
        yield b"1"
        stop.wait(20)
        yield b"2" * 10

    with pytest.raises(SourceStalled), store.upload("p/n", stall_s=0.05) as upload:
        threading.Timer(0.3, stop.set).start()
        upload.write("a", stalling())
    with pytest.raises(SourceStalled), store.upload("p/n", stall_s=0.05) as upload:
        stop.clear()
        stop.wait(0.3)
    assert store.projects() == []


def test_what_was_taken_down_is_refused(store: Store) -> None:
    """An upload is held against the deny list as a push is."""
    store.push_stream(b"secret", "p/n", path="x")
    digest = store.version("p/n").entry("x").digest
    store.takedown([digest])
    with pytest.raises(Denied), store.upload("p/m") as upload:
        upload.write("y", b"secret")


def test_a_backend_that_fails_ends_the_upload(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A writer that waits for room is told, instead of waiting for ever."""

    def full(*_: object) -> None:
        raise StorageFull("no space left")

    monkeypatch.setattr("artifactstore.content.put.PACK_BYTES_TARGET", 1 << 20)
    with pytest.raises(StorageFull), store.upload("p/n") as upload:
        monkeypatch.setattr(store._parts.backend, "put", full)
        upload.write("a", (noise(1 << 20, number) for number in range(100)))
    monkeypatch.undo()
    assert store.projects() == []


def test_a_stream_of_unknown_length_is_pushed(store: Store) -> None:
    """From an iterable, a file and bytes; what the iterable raises is raised, and nothing is left of it."""
    data = noise(5_000_000)
    first = store.push_stream(
        (data[at : at + 99_999] for at in range(0, len(data), 99_999)), "p/n", path="x/y"
    )
    assert b"".join(first.stream("x/y")) == data
    assert store.push_stream(io.BytesIO(data), "p/n", path="x/y").number == 0
    assert store.push_stream(data, "p/n", path="x/y", aliases=["same"]).aliases == ("latest", "same")
    before = log_and_packs(store)
    with pytest.raises(KeyError):
        store.push_stream(half(), "p/n", path="x/y")
    assert log_and_packs(store) == before


def test_an_upload_is_used_within_its_block(store: Store) -> None:
    """Before and after it, writing is an error instead of waiting for ever."""
    upload = store.upload("p/n")
    with pytest.raises(UploadAborted, match="within its"):
        upload.write("a", b"1")
    with upload:
        upload.write("a", b"1")
    with pytest.raises(UploadAborted, match="within its"):
        upload.write("b", b"2")
    assert [entry.path for entry in store.version("p/n").files()] == ["a"]


async def produced(pieces: int, size: int) -> AsyncIterator[bytes]:
    for number in range(pieces):
        yield noise(size, number)
        await asyncio.sleep(0)


def test_an_event_loop_uploads(store: Store) -> None:
    """Sixteen tasks at once, each with two files, while the loop goes on."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    async def one(number: int) -> str:
        async with store.upload(f"p/n{number}") as upload:
            assert await upload.write_async("b", produced(6, 200_000)) == 1_200_000
            await upload.write_async("a", produced(number, 10))
        assert upload.version is not None
        return upload.version.digest

    async def main() -> list[str]:
        ticking = asyncio.create_task(tick())
        done = await asyncio.gather(*[one(number) for number in range(16)])
        ticking.cancel()
        return done

    digests = asyncio.run(main())
    assert len(set(digests)) == 16
    assert ticks > 20
    assert store.check(read_data=True).ok


def test_a_task_that_left_its_upload_has_no_thread_of_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one that has said it is over and takes its time to end."""

    class Slow(threading.Thread):
        def run(self) -> None:
            super().run()
            time.sleep(0.05)

    async def one() -> None:
        async with store.upload("p/n") as upload:
            await upload.write_async("a", few())
        assert not [thread for thread in threading.enumerate() if isinstance(thread, Slow)]

    async def few() -> AsyncIterator[bytes]:
        yield b"1"

    monkeypatch.setattr("artifactstore.distribution.uploading.threading.Thread", Slow)
    asyncio.run(one())


def test_a_task_that_is_cancelled_leaves_nothing(store: Store) -> None:
    """As when a server's client hangs up."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1000)
            await asyncio.sleep(0.001)

    async def one() -> None:
        async with store.upload("p/n") as upload:
            await upload.write_async("a", endless())

    async def main() -> None:
        task = asyncio.create_task(one())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    before = log_and_packs(store)
    asyncio.run(main())
    assert log_and_packs(store) == before
