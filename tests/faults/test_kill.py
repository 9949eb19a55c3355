"""A process that is killed at any moment of a push or a pull loses nothing that was acknowledged and blocks nothing."""

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from artifactstore.store.store import Store
from artifactstore.testing import invariants
from tests.faults.process import Command
from tests.faults.trees import Tree, contents

KILLS = 50
KILLS_DEEP = 500
PULL_KILLS = 10
PULL_KILLS_DEEP = 100
# A store is given up for a new one now and then, so that checking all of it stays cheap.
KILLS_PER_STORE = 10
ARTIFACT = "project/data"


class Place:
    """A folder store and the client that uses it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = folder / "store"
        self.key = folder / "key"
        self.cache = folder / "cache"
        folder.mkdir()
        Store.create(self.url, key_file=self.key, cache_dir=self.cache).close()

    def open(self, cache: str = "cache") -> Store:
        return Store.open(self.url, key_file=self.key, cache_dir=self.folder / cache)

    def command(self, *words: str) -> Command:
        """A command of the same user."""
        return Command(*words, "--store", str(self.url), "-q")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Place]:
    """Makes stores, and tells the commands which key and cache are theirs."""

    def made(number: int) -> Place:
        where = Place(tmp_path / f"place-{number}")
        monkeypatch.setenv("ARTIFACTSTORE_KEY_FILE", str(where.key))
        monkeypatch.setenv("ARTIFACTSTORE_CACHE_DIR", str(where.cache))
        return where

    return made


def killed(command: Command, after_s: float) -> bool:
    """Start a command, kill it after a while, and say whether it was still running."""
    with command:
        command.wait_until_ready()
        command.start()
        time.sleep(after_s)
        command.process.kill()
        return command.finish() != 0


def whole_time_s(command: Command) -> float:
    """How long a command takes that nobody kills."""
    with command:
        command.wait_until_ready()
        started = time.monotonic()
        command.start()
        assert command.finish() == 0
        return time.monotonic() - started


def test_a_push_killed_at_any_moment(place: Callable[[int], Place], tmp_path: Path, deep: bool) -> None:
    """After SIGKILL: check reads everything back, the repetition makes the one version, a pull equals the source."""
    moments = random.Random(20)
    kills = hits = 0
    for number in range((KILLS_DEEP if deep else KILLS) // KILLS_PER_STORE):
        where = place(number)
        tree = Tree(tmp_path / f"tree-{number}", seed=number)
        push = ("push", str(tree.folder), ARTIFACT)
        # The first push of a client takes longer than those that are killed, since it tests the backend.
        for _ in range(2):
            tree.change()
            span_s = whole_time_s(where.command(*push))
        for version in range(2, KILLS_PER_STORE + 2):
            tree.change()
            hits += killed(where.command(*push), moments.uniform(0, span_s))
            kills += 1
            # Every other time by a client that has never seen the store: nothing may hang on the killed one's index.
            with where.open("cache" if version % 2 else f"cache-{version}") as store:
                recover(store, tree, version, tmp_path / "pulled")
                with where.open() as other:
                    other.projects()
                    invariants.assert_same_index(store._parts, other._parts)
        shutil.rmtree(where.folder)
    assert kills == (KILLS_DEEP if deep else KILLS)
    assert hits


def recover(store: Store, tree: Tree, number: int, target: Path) -> None:
    """What a user does after a crash, and what must come of it."""
    invariants.assert_whole(store)
    before = [version.digest for version in store.versions(ARTIFACT)]
    assert len(before) in {number, number + 1}
    repeated = store.push([tree.folder], ARTIFACT)
    assert repeated.number == number
    assert [version.digest for version in store.versions(ARTIFACT)][: len(before)] == before
    invariants.assert_whole(store)
    invariants.assert_numbered(store)
    invariants.assert_packs_precede_records(store._parts)
    store.pull(ARTIFACT, target)
    assert contents(target) == contents(tree.folder)
    shutil.rmtree(target)


def test_a_pull_killed_at_any_moment(place: Callable[[int], Place], tmp_path: Path, deep: bool) -> None:
    """A killed pull leaves no half version at its destination, and the next one finishes it."""
    moments = random.Random(21)
    where = place(0)
    tree = Tree(tmp_path / "tree", seed=30)
    for _ in range(4):
        tree.change()
    whole_time_s(where.command("push", str(tree.folder), ARTIFACT))
    expected = contents(tree.folder)
    span_s = whole_time_s(where.command("pull", ARTIFACT, str(tmp_path / "first")))
    for number in range(PULL_KILLS_DEEP if deep else PULL_KILLS):
        target = tmp_path / f"pulled-{number}"
        killed(where.command("pull", ARTIFACT, str(target)), moments.uniform(0, span_s))
        assert not target.exists() or contents(target) == expected
        with where.open() as store:
            store.pull(ARTIFACT, target, overwrite=True)
        assert contents(target) == expected
        assert [path.name for path in tmp_path.glob(".pulled*")] == []
        shutil.rmtree(target)
