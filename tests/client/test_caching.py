"""The cache directory: what is listed, what goes first, and that nothing goes that somebody has open."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from artifactstore import Store, cache_info, clean_cache
from artifactstore.errors import CacheShared
from tests.stores import make_store, reopened, write_tree

HOLD = """
import sys
from pathlib import Path
from artifactstore.index.environment import Environment
from artifactstore.index.tables import TABLES
with Environment.open(sys.argv[1], tables=TABLES):
    print("open", flush=True)
    sys.stdin.read()
"""


def three_stores(folder: Path) -> list[Store]:
    """Three stores of one client, closed, used one day after the other."""
    stores = [make_store(folder, folder / f"store{number}") for number in range(3)]
    for day, store in enumerate(stores):
        path = store.index_info().path
        store.close()
        os.utime(path, (86400 * (day + 1), 86400 * (day + 1)))
    return stores


def ids(indexes: tuple[object, ...]) -> list[str]:
    """Of which stores they are."""
    return [each.store_id for each in indexes]  # type: ignore[attr-defined]


def test_indexes_are_listed_by_when_they_were_used(tmp_path: Path) -> None:
    """Store, size, time, and what else lies there; opening a store makes its index the one used last."""
    stores = three_stores(tmp_path)
    info = cache_info(tmp_path / "cache")
    assert ids(info.indexes) == [store.id for store in stores]
    assert [each.used_ns for each in info.indexes] == [86400 * 10**9 * day for day in (1, 2, 3)]
    assert all(each.size_bytes > 0 and not each.in_use and not each.generation for each in info.indexes)
    assert info.index_bytes == sum(each.size_bytes for each in info.indexes)
    assert info.other_bytes > 0
    with reopened(tmp_path, stores[0]):
        info = cache_info(tmp_path / "cache")
        assert ids(info.indexes) == [stores[1].id, stores[2].id, stores[0].id]
        assert [each.in_use for each in info.indexes] == [False, False, True]


def test_the_least_recently_used_go_until_the_others_fit(tmp_path: Path) -> None:
    """A dry run says the same and removes nothing; a store whose index went works as before."""
    stores = three_stores(tmp_path)
    fits = cache_info(tmp_path / "cache").indexes[2].size_bytes
    for dry_run in (True, False):
        done = clean_cache(tmp_path / "cache", max_bytes=fits, dry_run=dry_run)
        assert (ids(done.removed), ids(done.kept)) == ([stores[0].id, stores[1].id], [stores[2].id])
        assert len(cache_info(tmp_path / "cache").indexes) == (3 if dry_run else 1)
    assert clean_cache(tmp_path / "cache", max_bytes=fits).removed == ()
    with reopened(tmp_path, stores[0]) as store:
        version = store.push([write_tree(tmp_path / "data", {"a": b"1"})], "team/x")
        assert clean_cache(tmp_path / "cache").kept[0].store_id == store.id
        # It goes on with its index as if nothing had been.
        assert store.version("team/x").digest == version.digest
    assert store.id in ids(clean_cache(tmp_path / "cache").removed)


def test_an_index_that_another_process_has_open_stays(tmp_path: Path) -> None:
    """As long as it is open, and no longer; asking does not disturb who has it."""
    three_stores(tmp_path)
    path = cache_info(tmp_path / "cache").indexes[0].path
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        for _ in range(2):
            assert [each.path for each in cache_info(tmp_path / "cache").indexes if each.in_use] == [path]
        done = clean_cache(tmp_path / "cache")
        assert ([each.path for each in done.kept], len(done.removed)) == ([path], 2)
        holder.communicate("")
    assert [each.path for each in clean_cache(tmp_path / "cache").removed] == [path]


def test_what_is_no_index_is_left_alone(tmp_path: Path) -> None:
    """Other files, links and pins survive; an empty or missing cache is nothing to speak of."""
    assert cache_info(tmp_path / "none").indexes == ()
    assert clean_cache(tmp_path / "none").removed == ()
    (store,) = three_stores(tmp_path)[:1]
    index = tmp_path / "cache" / "index"
    (index / "mine.txt").write_text("mine")
    (tmp_path / "precious").mkdir()
    (index / ("ab" * 32)).symlink_to(tmp_path / "precious")
    pins = sorted((tmp_path / "cache" / "pins").iterdir())
    clean_cache(tmp_path / "cache")
    assert (index / "mine.txt").read_text() == "mine"
    assert (tmp_path / "precious").is_dir()
    assert sorted((tmp_path / "cache" / "pins").iterdir()) == pins
    assert not (index / store.id).exists()


def test_a_cache_that_others_can_change_is_refused(tmp_path: Path) -> None:
    """As for every other use of it."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache").chmod(0o777)
    with pytest.raises(CacheShared):
        clean_cache(tmp_path / "cache")
