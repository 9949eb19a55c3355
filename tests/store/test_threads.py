"""One store, many threads: pushes, pulls, reads and names at once."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.errors import ArtifactStoreError
from tests.stores import make_store, noise, read_tree, write_tree

pytestmark = pytest.mark.places("memory", "folder", "s3")

THREADS = 8
SHARED = {f"shared/{number}": noise(20_000, number) for number in range(20)}


def tree_of(thread: int, turn: int) -> dict:
    return SHARED | {f"own/{thread}": noise(50_000, 1000 * thread + turn), "turn": bytes([turn])}


def worked(store: Store, folder: Path, thread: int) -> None:
    for turn in range(3):
        tree = tree_of(thread, turn)
        source = write_tree(folder / f"in{thread}", tree)
        version = store.push([source], f"p{thread % 2}/n{thread}", aliases=[f"turn{turn}"])
        assert version.number == turn
        store.pull(f"p{thread % 2}/n{thread}:turn{turn}", folder / f"out{thread}-{turn}")
        assert read_tree(folder / f"out{thread}-{turn}") == tree
        with version.open(f"own/{thread}") as file:
            file.seek(40_000)
            assert file.read() == tree[f"own/{thread}"][40_000:]
        store.add_tags(version.qualified_name, [f"by{thread}"])


def test_eight_threads_push_and_pull_through_one_store(tmp_path: Path) -> None:
    """Each gets its own versions, whole; shared content is not stored once a thread for ever."""
    with make_store(tmp_path) as store:
        store.push([write_tree(tmp_path / "seed", SHARED)], "p0/seed")
        with ThreadPoolExecutor(THREADS) as pool:
            for done in [pool.submit(worked, store, tmp_path, thread) for thread in range(THREADS)]:
                done.result()
        info = store.info()
        assert info.versions == 1 + 3 * THREADS
        assert info.unique_bytes <= len(SHARED) * 20_000 + 3 * THREADS * 50_000 + 3 * THREADS
        assert store.check(read_data=True).ok


def test_threads_push_to_one_artifact(tmp_path: Path) -> None:
    """Numbers are given in the order of the log, none twice and none left out."""
    with make_store(tmp_path) as store, ThreadPoolExecutor(THREADS) as pool:
        sources = [write_tree(tmp_path / str(number), {"a": noise(1000, number)}) for number in range(24)]
        numbers = list(pool.map(lambda source: store.push([source], "p/n").number, sources))
        assert sorted(numbers) == list(range(24))
        for number, source in zip(numbers, sources, strict=True):
            assert store.version(f"p/n:v{number}").open("a").read() == (source / "a").read_bytes()


def test_one_destination_has_one_winner(tmp_path: Path) -> None:
    """Threads that pull into one place don't write into each other's files: one makes it, the others are told."""
    tree = {f"{number}": noise(5000, number) for number in range(50)}
    with make_store(tmp_path) as store, ThreadPoolExecutor(4) as pool:
        store.push([write_tree(tmp_path / "in", tree)], "p/n")
        tasks = [pool.submit(store.pull, "p/n", tmp_path / "out") for _ in range(4)]
        errors = [task.exception() for task in tasks]
        assert errors.count(None) == 1
        assert all(isinstance(error, ArtifactStoreError) for error in errors if error)
        assert read_tree(tmp_path / "out") == tree
