"""Dry runs: they say what would be done and do nothing."""

import os
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.errors import DestinationExists, NoSuchPath
from tests.stores import make_store, noise, read_tree, state_of, write_tree

pytestmark = pytest.mark.places("memory", "s3")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("artifactstore.index.statcache._SETTLED_NS", -(10**18))
    write_tree(tmp_path / "in", {"a": b"aaa", "b/c": noise(5000), "link": "a"})
    with make_store(tmp_path) as made:
        made.push([tmp_path / "in"], "p/n")
        yield made


def test_a_push_is_planned_and_not_done(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts say what would be read; no file is opened and no object written."""
    write_tree(tmp_path / "in", {"new": b"12345"})
    before = state_of(store)
    monkeypatch.setattr(os, "pread", None)
    plan = store.plan_push([tmp_path / "in"], "p/n")
    assert (plan.files, plan.logical_bytes) == (4, 5008)
    assert (plan.files_unchanged, plan.files_to_read, plan.bytes_to_read) == (2, 1, 5)
    assert plan.paths == ("new",)
    assert state_of(store) == before


def test_a_planned_push_finds_what_is_wrong_with_its_sources(tmp_path: Path, store: Store) -> None:
    """A dry run refuses what the push would refuse."""
    with pytest.raises(NoSuchPath):
        store.plan_push([tmp_path / "absent"], "p/n")


def test_a_pull_is_planned_and_not_done(tmp_path: Path, store: Store) -> None:
    """Counts say what would be fetched; nothing is made."""
    plan = store.plan_pull("p/n", tmp_path / "out")
    assert (plan.files, plan.logical_bytes, plan.files_to_write, plan.bytes_to_fetch) == (3, 5003, 3, 5003)
    assert not (tmp_path / "out").exists()
    plan = store.plan_pull("p/n", tmp_path / "out", paths=["b"])
    assert (plan.files, plan.bytes_to_fetch) == (1, 5000)


def test_a_planned_overwrite_counts_what_seems_to_be_there(tmp_path: Path, store: Store) -> None:
    """A file of the right size counts as there; a destination that would be refused is refused."""
    write_tree(tmp_path / "out", {"a": b"bbb", "b/c": b"short"})
    plan = store.plan_pull("p/n", tmp_path / "out", overwrite=True)
    assert (plan.files_to_write, plan.bytes_to_fetch) == (2, 5000)
    with pytest.raises(DestinationExists):
        store.plan_pull("p/n", tmp_path / "out")
    assert read_tree(tmp_path / "out") == {"a": b"bbb", "b/c": b"short"}
