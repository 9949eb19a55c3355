"""A store in a pool of processes, under fork and under spawn."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.errors import NoSuchVersion
from tests.stores import make_store, noise, read_tree, write_tree

pytestmark = pytest.mark.places("folder", "s3")

METHODS = ["fork", "spawn"]


@pytest.fixture
def store(tmp_path: Path):
    """Not in memory, which is one process's."""
    write_tree(tmp_path / "in", {"a": noise(200_000), "b": b"text"})
    with make_store(tmp_path) as made:
        made.push([tmp_path / "in"], "p/n")
        yield made


def pool_of(method: str) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method))


def pushed(store: Store, folder: Path, number: int) -> tuple[int, str]:
    source = write_tree(folder / f"in{number}", {"own": noise(30_000, number), "a": noise(200_000)})
    version = store.push([source], f"p/n{number % 3}", aliases=[f"by{number}"])
    assert version.push is not None
    assert version.push.new_bytes <= 30_000
    return version.number, version.digest


def pulled(store: Store, folder: Path, number: int) -> dict:
    store.pull("p/n:v0", folder / f"out{number}")
    return read_tree(folder / f"out{number}")


def failed(store: Store) -> None:
    store.version("p/n:v99")


@pytest.mark.parametrize("method", METHODS)
def test_workers_push_through_the_parents_store(tmp_path: Path, store: Store, method: str) -> None:
    """Each worker's version is acknowledged once, and the parent sees them all."""
    with pool_of(method) as pool:
        done = list(pool.map(pushed, [store] * 9, [tmp_path] * 9, range(9)))
    for name in range(3):
        mine = [done[number] for number in range(9) if number % 3 == name]
        assert sorted(number for number, _ in mine) == [0, 1, 2]
    for number in range(9):
        assert store.version(f"p/n{number % 3}:by{number}").digest == done[number][1]
    assert store.check(read_data=True).ok


@pytest.mark.parametrize("method", METHODS)
def test_workers_pull_what_the_parent_pushed(tmp_path: Path, store: Store, method: str) -> None:
    """Also while the parent goes on pushing."""
    with pool_of(method) as pool:
        tasks = [pool.submit(pulled, store, tmp_path, number) for number in range(4)]
        write_tree(tmp_path / "in", {"more": b"x"})
        store.push([tmp_path / "in"], "p/n")
        for task in tasks:
            assert task.result() == {"a": noise(200_000), "b": b"text"}


@pytest.mark.parametrize("method", METHODS)
def test_errors_cross_processes_whole(store: Store, method: str) -> None:
    """Class, facts and next step arrive."""
    with pool_of(method) as pool, pytest.raises(NoSuchVersion) as caught:
        pool.submit(failed, store).result()
    assert caught.value.facts["reference"] == "p/n:v99"
    assert caught.value.next_step


_inherited: Store | None = None


def through_the_inherited(folder: Path, number: int) -> tuple[int, str]:
    assert _inherited is not None
    return pushed(_inherited, folder, number)


def test_a_store_is_inherited_by_a_fork(tmp_path: Path, store: Store) -> None:
    """Without pickling it: the child opens what it must open anew by itself."""
    globals()["_inherited"] = store
    try:
        with pool_of("fork") as pool:
            done = list(pool.map(through_the_inherited, [tmp_path] * 6, range(6)))
    finally:
        globals()["_inherited"] = None
    assert len({digest for _, digest in done}) == 6
    assert pulled(store, tmp_path, 77) == {"a": noise(200_000), "b": b"text"}
    assert len(store.versions("p/n0")) == 2
    assert store.check(read_data=True).ok
