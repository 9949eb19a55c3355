"""Totals of a push under way: told where a bar is watched, and never in the way of the push."""

from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest

from artifactstore.cli.sources import Sources
from artifactstore.cli.totals import counted
from artifactstore.progress import Progress, Quiet
from artifactstore.store import Store
from tests.stores import make_store, write_tree

pytestmark = pytest.mark.places("memory", "s3")


class Told(Quiet):
    """Remembers the totals, and lets a test wait for them."""

    def __init__(self) -> None:
        self.totals: list[tuple[int | None, int | None]] = []
        self.heard = Event()

    def total(self, *, bytes_total: int | None = None, files_total: int | None = None) -> None:
        self.totals.append((bytes_total, files_total))
        self.heard.set()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with make_store(tmp_path) as made:
        yield made


def paths_of(*paths: Path, **more: object) -> Sources:
    return Sources(tuple(map(str, paths)), **{"files": None, "streams": {}, **more})


def test_the_totals_are_those_of_the_push(tmp_path: Path, store: Store) -> None:
    """Files and bytes of all that is not left out."""
    source = write_tree(tmp_path / "in", {"a": b"12345", "sub/b": b"123", "sub/c.tmp": b"1", "link": "a"})
    told = Told()
    with counted(store, "p/n", paths_of(source), ["*.tmp"], told, after_s=0):
        assert told.heard.wait(60)
    assert told.totals == [(8, 3)]


def test_a_push_that_is_over_is_not_counted(tmp_path: Path, store: Store) -> None:
    """Not begun when it is over soon; what is wrong with a source is for the push to say."""
    told = Told()
    with counted(store, "p/n", paths_of(tmp_path), [], told, after_s=3600):
        pass
    with counted(store, "p/n", paths_of(tmp_path / "absent"), [], told, after_s=0):
        pass
    assert told.totals == []


def test_counting_ends_with_the_push(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C waits for no count of a million files."""
    begun, told = Event(), Told()

    def endless(*_: object, progress: Progress, **__: object) -> None:
        while True:
            progress.total(files_total=1)
            begun.set()

    monkeypatch.setattr(store, "plan_push", endless)

    def interrupted() -> None:
        with counted(store, "p/n", paths_of(), [], told, after_s=0):
            assert begun.wait(60)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert told.totals == []


def test_what_can_not_be_read_twice_is_not_counted(tmp_path: Path, store: Store) -> None:
    """A list of files and standard input are left to the push."""
    told = Told()
    for sources in (paths_of(files=iter(["a"])), paths_of(streams={"x": None})):
        with counted(store, "p/n", sources, [], told, after_s=0):
            pass
    assert told.totals == []
