"""`init`, `log`, `check` and `info`: the store as a whole."""

from pathlib import Path
from typing import Any

import pytest

from tests.cli import fake_store
from tests.cli.conftest import Run


@pytest.fixture(autouse=True)
def _fake(fake: Any) -> None:
    """All tests here are about the words around the store."""


def test_init_makes_a_store_once(run: Run, fake: Any, home: Path) -> None:
    """It says where the store and the key file are; a second one is refused."""
    done = run("init", str(home / "s"), "--json")
    assert (done.code, done.document["store"]["url"]) == (0, str(home / "s"))
    assert done.document["store"]["key_file_created"] is True
    again = run("init", str(home / "s"), "--json")
    assert (again.code, again.error["kind"]) == (4, "store-exists")
    assert run("init", "--store", str(home / "t")).out == f"the store {home / 't'} is ready\n"
    assert run("init", "a", "--store", "b").code == 2
    assert run("init", "a", "--store-id", "b").code == 2


def test_log_prints_records_newest_first(run: Run) -> None:
    """A record on a line: slot, time, member, what it did, what it added."""
    run("push", "data", "team/x", "-q")
    newest, oldest = run("log").out.splitlines()
    assert newest.split()[0] == "1"
    assert newest.endswith("abababab  push team/x v0  +1 pack, 1.00 kB")
    assert oldest.endswith("abababab  create")
    assert [record["slot"] for record in run("log", "-n", "1", "--json").document["records"]] == [1]
    assert run("log", "-n", "0").code == 2


def test_check_of_a_whole_store(run: Run) -> None:
    """No damage is 0; --sample implies reading."""
    run("push", "data", "team/x", "-q")
    assert run("check") == (0, "found no damage (2 records, 1 pack, 1 version, 3 chunks, 0 B read)\n", "")
    assert run("check", "--read-data", "--json").document["bytes_read"] == 100
    assert run("check", "--sample", "5", "--json").document["bytes_read"] == 5
    assert run("check", "-q") == (0, "", "")


def test_check_of_a_damaged_store(run: Run, fake: Any) -> None:
    """Damage is 1, and told even with -q."""
    run("push", "data", "team/x", "-q")
    fake.problems = (fake_store.Problem("damaged", "packs/ab/cd", "a byte\x1b is wrong"),)
    expected = [
        r"damaged: packs/ab/cd: a byte\x1b is wrong",
        "found 1 problem (2 records, 1 pack, 1 version, 3 chunks, 0 B read)",
    ]
    for words in (["check"], ["check", "-q"]):
        done = run(*words)
        assert (done.code, done.out.splitlines()) == (1, expected)
    done = run("check", "--json")
    assert (done.code, done.document["ok"]) == (1, False)
    assert done.document["problems"][0]["object"] == "packs/ab/cd"


def test_info(run: Run) -> None:
    """Sizes, ratios and slots."""
    run("push", "data", "team/x", "-q")
    lines = run("info").out.splitlines()
    assert "distinct      1.00 kB (dedup 2.00x)" in lines
    assert "stored        500 B (compression 2.00x)" in lines
    assert lines[-1].split() == ["ab" * 16, "key-file", "(made", "the", "store)", "read,", "write"]
