"""Pulling a version in parts: into one destination or several, at once, again, cut, with something in the way."""

import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.errors import DestinationExists, InvalidPart, StorageFull
from artifactstore.transfer import pull as pull_module
from tests.stores import Tree, make_store, noise, read_tree, reopened, write_tree

TREE: Tree = {
    **{f"d{number % 7}/f{number:03}": noise(1000 * (number % 9), number) for number in range(120)},
    "big": noise(200_000, 1000),
    "run": b"#!/bin/sh\n",
    "link": "big",
    "folder": None,
}
PARTS = 5


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with make_store(tmp_path) as made:
        folder = write_tree(tmp_path / "in", TREE)
        (folder / "run").chmod(0o755)
        made.push([folder], "p/n")
        yield made


def test_parts_fill_one_destination(tmp_path: Path, store: Store) -> None:
    """In any order, each entry once, and the balance is that of bytes; nothing else is left there."""
    files = [store.pull("p/n", tmp_path / "out", part=(part, PARTS)).files for part in (3, 0, 4, 2, 1)]
    assert read_tree(tmp_path / "out") == TREE
    assert (tmp_path / "out/run").stat().st_mode & stat.S_IXUSR
    assert sum(files) == len(TREE)
    assert not list(tmp_path.glob(".*.partial"))


def test_parts_fill_destinations_of_their_own(tmp_path: Path, store: Store) -> None:
    """Each machine has its share, and together they have all."""
    whole: dict[str, bytes | str | None] = {}
    for part in range(PARTS):
        done = store.pull("p/n", tmp_path / f"out{part}", part=(part, PARTS))
        found = read_tree(tmp_path / f"out{part}")
        assert not whole.keys() & found.keys()
        assert len(found) == done.files > 0
        whole |= found
    assert whole == TREE


def test_parts_at_once_from_several_clients(tmp_path: Path, store: Store) -> None:
    """They make the same folders at the same time."""

    def pulled(part: int) -> int:
        with reopened(tmp_path, store, cache=f"cache{part}") as other:
            return other.pull("p/n", tmp_path / "out", part=(part, PARTS)).files

    with ThreadPoolExecutor(PARTS) as pool:
        assert sum(pool.map(pulled, range(PARTS))) == len(TREE)
    assert read_tree(tmp_path / "out") == TREE


def test_a_part_done_again_fetches_nothing(tmp_path: Path, store: Store) -> None:
    """What is there and right is kept; a symlink that is the same is no obstacle."""
    for part in range(PARTS):
        store.pull("p/n", tmp_path / "out", part=(part, PARTS))
    again = [store.pull("p/n", tmp_path / "out", part=(part, PARTS)) for part in range(PARTS)]
    assert sum(one.bytes_written for one in again) == 0
    assert sum(one.bytes_kept for one in again) == sum(
        len(data) for data in TREE.values() if isinstance(data, bytes)
    )
    assert read_tree(tmp_path / "out") == TREE


@pytest.mark.parametrize("other", [b"mine", "big", None])
def test_another_file_is_not_replaced(tmp_path: Path, store: Store, other: bytes | str | None) -> None:
    """What someone else has at a path of the part is an error that names it; `overwrite` replaces a file."""
    write_tree(tmp_path / "out", {"run": other})
    with pytest.raises(DestinationExists, match="run"):
        store.pull("p/n", tmp_path / "out", part=(PARTS - 1, PARTS))
    assert read_tree(tmp_path / "out")["run"] == other
    if other is not None:
        for part in range(PARTS):
            store.pull("p/n", tmp_path / "out", part=(part, PARTS), overwrite=True)
        assert read_tree(tmp_path / "out") == TREE


def test_files_of_no_version_stay(tmp_path: Path, store: Store) -> None:
    """A destination of parts is nobody's alone."""
    write_tree(tmp_path / "out", {"mine": b"1"})
    store.pull("p/n", tmp_path / "out", part=(0, 1))
    assert read_tree(tmp_path / "out") == {**TREE, "mine": b"1"}
    with pytest.raises(DestinationExists, match="not empty"):
        store.pull("p/n", tmp_path / "out")


def test_a_part_that_was_cut_is_taken_up(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside others: what it had written in its own staging folder is kept, and theirs is not touched."""
    store.pull("p/n", tmp_path / "out", part=(1, 2))

    def full(*_: object) -> None:
        raise StorageFull("no space left")

    with monkeypatch.context() as cut:
        cut.setattr(pull_module, "move_into", full)
        with pytest.raises(StorageFull):
            store.pull("p/n", tmp_path / "out", part=(0, 2))
    assert len(list(tmp_path.glob(".*.partial"))) == 1
    again = store.pull("p/n", tmp_path / "out", part=(0, 2))
    assert (again.bytes_written, again.bytes_kept > 0) == (0, True)
    assert read_tree(tmp_path / "out") == TREE


def test_a_plan_tells_of_one_part(tmp_path: Path, store: Store) -> None:
    """Dry runs add up to the version."""
    plans = [store.plan_pull("p/n", tmp_path / "out", part=(part, PARTS)) for part in range(PARTS)]
    assert sum(plan.files for plan in plans) == len(TREE)
    assert not (tmp_path / "out").exists()


def test_globs_choose_within_a_part(tmp_path: Path, store: Store) -> None:
    """A part of which they name nothing is no error."""
    files = [
        store.pull("p/n", tmp_path / "out", part=(part, PARTS), paths=["/d3/"]).files for part in range(PARTS)
    ]
    assert sum(files) == 17
    assert 0 in files


@pytest.mark.parametrize("part", [(-1, 2), (2, 2), (0, 0)])
def test_parts_that_are_none(tmp_path: Path, store: Store, part: tuple[int, int]) -> None:
    """Numbers go from 0 to one less than there are."""
    with pytest.raises(InvalidPart):
        store.pull("p/n", tmp_path / "out", part=part)
