"""Copies of `keys/` objects: used when they are right, and for nothing but opening."""

import shutil
from pathlib import Path

import pytest

from artifactstore.backend.memory import MemoryBackend
from artifactstore.client.kept import KeptKeys
from artifactstore.crypto.hashing import sha256
from artifactstore.errors import ObjectMissing, ObjectTooLarge
from artifactstore.testing import MeteredBackend
from tests.stores import make_store, memory_url, reopened

DATA = b"a keys object"
NAME = f"keys/{sha256(DATA).hex()}"


@pytest.fixture
def meter() -> MeteredBackend:
    """A backend with one keys object, and the count of what is asked of it."""
    backend = MeteredBackend(MemoryBackend(memory_url()))
    backend.put(NAME, DATA)
    return backend


def test_a_keys_object_is_fetched_once(tmp_path: Path, meter: MeteredBackend) -> None:
    """The second time, and for every other client of this cache, it is there."""
    for _ in range(3):
        assert KeptKeys(meter, tmp_path).get(NAME, limit_bytes=100) == DATA
    assert meter.requests["get"] == 1
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("left", [b"", DATA[:-1], DATA + b"x", bytes(1000)])
def test_a_wrong_copy_is_none(tmp_path: Path, meter: MeteredBackend, left: bytes) -> None:
    """Whatever happened to the copy, the object is fetched again and the copy put right."""
    KeptKeys(meter, tmp_path).get(NAME, limit_bytes=100)
    (copy,) = (tmp_path / "keys").iterdir()
    copy.write_bytes(left)
    assert KeptKeys(meter, tmp_path).get(NAME, limit_bytes=100) == DATA
    assert copy.read_bytes() == DATA


def test_what_is_not_what_its_name_says_is_not_kept(tmp_path: Path, meter: MeteredBackend) -> None:
    """An altered object is given as it lies there, for its reader to refuse."""
    meter.put(NAME, b"altered")
    assert KeptKeys(meter, tmp_path).get(NAME, limit_bytes=100) == b"altered"
    assert not (tmp_path / "keys").exists()


def test_other_objects_are_asked_for_each_time(tmp_path: Path, meter: MeteredBackend) -> None:
    """Only `keys/` objects are kept, and only the bound that is asked for is given."""
    kept = KeptKeys(meter, tmp_path)
    with pytest.raises(ObjectMissing):
        kept.get("keys/none", limit_bytes=100)
    with pytest.raises(ObjectMissing):
        kept.get("log/0", limit_bytes=100)
    kept.get(NAME, limit_bytes=100)
    with pytest.raises(ObjectTooLarge):
        kept.get(NAME, limit_bytes=3)


def test_a_cache_that_can_not_be_written_keeps_nothing(tmp_path: Path, meter: MeteredBackend) -> None:
    """And nothing fails for it."""
    (tmp_path / "keys").write_bytes(b"")
    assert KeptKeys(meter, tmp_path).get(NAME, limit_bytes=100) == DATA


def test_a_check_looks_at_the_objects_themselves(tmp_path: Path) -> None:
    """A client with copies opens a store whose `keys/` objects are gone, and its check says that they are."""
    with make_store(tmp_path, tmp_path / "store") as store, reopened(tmp_path, store):
        pass
    shutil.rmtree(tmp_path / "store" / "keys")
    with reopened(tmp_path, tmp_path / "store") as store:
        (problem,) = store.check().problems
        assert problem.object.startswith("keys/")
