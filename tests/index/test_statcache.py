"""The stat cache takes nothing for unchanged that could have changed."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from artifactstore.index.environment import Environment
from artifactstore.index.statcache import (
    Known,
    StatCache,
    file_key,
    folder_key,
    is_empty,
    remember,
    stat_row,
)
from artifactstore.index.tables import CHUNKS, TABLES

MINUTE_NS = 60 * 10**9
CIDS = [bytes([number]) * 32 for number in range(2)]
KNOWN = Known(b"d" * 32, 1, b"".join(CIDS), [7, 8], b"c" * 32)
KEY = file_key(folder_key("/folder"), "name")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    with Environment.open(tmp_path / "index", tables=TABLES) as opened:
        with opened.write() as txn:
            txn.put_many(CHUNKS, [(cid[:16], b"place") for cid in CIDS])
        yield opened


def stat_of(**changes: int) -> os.stat_result:
    """A file's stat, with some of it changed."""
    facts = {"st_size": 15, "st_ino": 3, "st_mtime_ns": MINUTE_NS, "st_ctime_ns": 2 * MINUTE_NS} | changes
    return os.stat_result((0o100644, facts["st_ino"], 0, 1, 0, 0, facts["st_size"], 0, 0, 0), facts)


def looked_up(environment: Environment, stat: os.stat_result, key: bytes = KEY) -> Known | None:
    with environment.read() as txn:
        return StatCache(txn).lookup(key, stat)


def remembered(environment: Environment, read_ns: int = 10 * MINUTE_NS) -> None:
    row = stat_row(stat_of(), read_ns, *KNOWN)
    assert row is not None
    remember(environment, [(KEY, row)])


def test_an_unchanged_file_is_known(environment: Environment) -> None:
    """What was remembered comes back as it was."""
    with environment.read() as txn:
        assert is_empty(txn)
    assert looked_up(environment, stat_of()) is None
    remembered(environment)
    assert looked_up(environment, stat_of()) == KNOWN
    with environment.read() as txn:
        assert not is_empty(txn)


@pytest.mark.parametrize("fact", ["st_size", "st_ino", "st_mtime_ns", "st_ctime_ns"])
def test_every_fact_counts(environment: Environment, fact: str) -> None:
    """Size, inode and both times must all be what they were."""
    remembered(environment)
    assert looked_up(environment, stat_of(**{fact: getattr(stat_of(), fact) + 1})) is None


def test_another_file_is_another_file(environment: Environment) -> None:
    """The name counts, and the folder."""
    remembered(environment)
    for other in (file_key(folder_key("/folder"), "other"), file_key(folder_key("/other"), "name")):
        assert looked_up(environment, stat_of(), other) is None


@pytest.mark.parametrize("cid", CIDS)
def test_a_lost_chunk_is_no_hit(environment: Environment, cid: bytes) -> None:
    """A hit counts only while the index knows every chunk of the file."""
    remembered(environment)
    with environment.write() as txn:
        txn.delete(CHUNKS, cid[:16])
    assert looked_up(environment, stat_of()) is None


@pytest.mark.parametrize("time", ["st_mtime_ns", "st_ctime_ns"])
def test_fresh_times_are_not_trusted(time: str) -> None:
    """A file whose times are within two seconds of its reading may be written again in the same tick."""
    read_ns = 10 * MINUTE_NS
    for age_ns, trusted in ((0, False), (10**9, False), (2 * 10**9 - 1, False), (2 * 10**9, True)):
        row = stat_row(stat_of(**{time: read_ns - age_ns}), read_ns, *KNOWN)
        assert (row is not None) == trusted
