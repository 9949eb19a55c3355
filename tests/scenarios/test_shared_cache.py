"""A cache directory that two users share is refused: each gets a sentence, and the store is as it was."""

import os
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.errors import CacheShared
from tests.scenarios.as_somebody import as_nobody, nobodys_folder
from tests.stores import make_store, state_of, write_tree


@pytest.mark.parametrize("mode", [0o770, 0o777, 0o720, 0o702, 0o1777])
def test_a_cache_that_others_may_write_to(tmp_path: Path, mode: int) -> None:
    """For making, opening and using; with the folder taken from the others everything goes on."""
    with make_store(tmp_path, tmp_path / "store") as store:
        before = state_of(store)
        (tmp_path / "cache").chmod(mode)
        for call in (Store.open, lambda *_, **named: Store.create(tmp_path / "other", **named)):
            with pytest.raises(CacheShared) as caught:
                call(tmp_path / "store", key_file=tmp_path / "key", cache_dir=tmp_path / "cache")
            assert (caught.value.kind, caught.value.exit_code) == ("cache-shared", 5)
            assert str(tmp_path / "cache") in caught.value.message
            assert "ARTIFACTSTORE_CACHE_DIR" in caught.value.next_step
        assert not (tmp_path / "other").exists()
        assert state_of(store) == before
    (tmp_path / "cache").chmod(mode & 0o755)
    with Store.open(tmp_path / "store", key_file=tmp_path / "key", cache_dir=tmp_path / "cache") as again:
        assert again.projects() == []


def test_a_cache_that_anybody_may_read_is_no_shared_one(tmp_path: Path) -> None:
    """Names lie in the index below it, which is closed to others."""
    (tmp_path / "cache").mkdir(mode=0o755)
    with make_store(tmp_path, tmp_path / "store") as store:
        store.push([write_tree(tmp_path / "in", {"a": b"x"})], "p/n")
        index = store._parts.environment.path
    assert [path.stat().st_mode & 0o077 for path in (index, index.parent)] == [0, 0]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be two users")
def test_the_cache_of_another_user() -> None:
    """A second user with the same cache directory is refused, whatever its mode."""
    with nobodys_folder() as folder:
        cache = folder / "cache"
        cache.mkdir(mode=0o755)

        def attempt() -> None:
            with pytest.raises(CacheShared, match="another user"):
                make_store(folder, folder / "store")
            assert not (folder / "store").exists()

        as_nobody(folder, attempt)
        os.chown(cache, 65534, 65534)
        as_nobody(folder, lambda: make_store(folder, folder / "store").close())
