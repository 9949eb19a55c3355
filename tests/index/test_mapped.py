"""How much address space indexes take: as many as a server wants are open at once."""

import resource
from pathlib import Path

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
