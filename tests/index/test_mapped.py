"""How much address space indexes take, and one that LMDB gave up: it is opened again."""

import resource
from pathlib import Path

import lmdb

from artifactstore.index import mapped
from artifactstore.index.environment import Environment


def test_hundreds_of_indexes_are_open_at_once(tmp_path: Path) -> None:
    """A tebibyte of addresses for each would be more than a process has: those beyond the first few begin smaller."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4096 if hard == resource.RLIM_INFINITY else min(4096, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    before = len(mapped._largest)
    opened = []
    try:
        for number in range(240):
            opened.append(Environment.open(tmp_path / str(number), tables=["rows"]))
        for environment in (opened[0], opened[-1]):
            with environment.write() as txn:
                txn.put("rows", b"key", b"value" * 100)
        assert len(mapped._largest) <= max(before, mapped.LARGEST_MAX)
    finally:
        for environment in opened:
            environment.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(mapped._largest) <= before


def test_one_that_gave_itself_up_is_opened_again(tmp_path: Path) -> None:
    """LMDB refuses everything after a commit whose last write failed; what it holds is whole."""
    with Environment.open(tmp_path / "index", tables=("a",)) as environment:
        with environment.write() as txn:
            txn.put("a", b"key", b"value")
        given_up = environment._shared._lmdb

        class GivenUp:
            def begin(self, **_: object) -> None:
                raise lmdb.PanicError("update of meta page failed")

            def __getattr__(self, name: str) -> object:
                return getattr(given_up, name)

        for write in (False, True):
            environment._shared._lmdb = GivenUp()
            with environment.write() if write else environment.read() as txn:
                assert txn.get("a", b"key") == b"value"
            given_up = environment._shared._lmdb
