"""`audit` and checkpoints on the command line: what is said, with which exit code, and that no key is asked for."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.fixture
def store(run: Run, home: Path) -> Path:
    """A store of one version, of which the auditor has no key."""
    assert run("init", "store").code == 0
    assert run("push", "data", "team/corpus", "--store", "store").code == 0
    return home / "store"


def test_an_audit_says_what_it_looked_at(run: Run, store: Path) -> None:
    """For people, for programs, and nothing at all with --quiet; no key is needed."""
    (store.parent / ".config" / "artifactstore" / "key").unlink()
    done = run("audit", "--keyless", str(store))
    assert done.code == 0
    assert done.out.splitlines()[-1].startswith("found nothing wrong (2 records, ")
    document = run("audit", "--store", str(store), "--read-data", "--json").document
    assert (document["ok"], document["records"]) == (True, 2)
    assert document["bytes_read"] == document["pack_bytes"]
    assert run("audit", str(store), "-q") == (0, "", "")
    assert run("audit", str(store), "--store", str(store)).code == 2


def test_what_is_wrong_is_told_and_is_1(run: Run, store: Path) -> None:
    """With what to do about it, and also with --quiet."""
    pack = next(path for path in (store / "packs").rglob("*") if path.is_file())
    pack.unlink()
    for words in ((), ("-q",)):
        done = run("audit", str(store), *words)
        assert done.code == 1
        lines = done.out.splitlines()
        assert lines[0].startswith(f"damaged: packs/{pack.parent.name}/{pack.name}: ")
        assert lines[1].startswith("  next: put that object back")
        assert lines[-1].startswith("found 1 problem (2 records, ")


def test_a_checkpoint_is_printed_and_held_against_the_log(run: Run, store: Path, home: Path) -> None:
    """Signed by a member, or as an auditor saw it; an older copy contradicts both."""
    signed = run("log", "--checkpoint", "--store", str(store))
    seen = run("audit", str(store), "--print-checkpoint")
    assert (signed.code, seen.code) == (0, 0)
    assert signed.out.startswith(seen.out + "\n\u2014 artifactstore/")
    assert run("log", "--checkpoint", "--store", str(store), "--json").document["checkpoint"] == signed.out
    for number, printed in enumerate((signed, seen)):
        (home / f"{number}.note").write_text(printed.out, encoding="utf-8")
        assert run("audit", str(store), "--checkpoint", f"{number}.note").code == 0
    (store / "log" / f"{1:016d}").unlink()
    for number in range(2):
        done = run("audit", str(store), "--checkpoint", f"{number}.note", "--json")
        assert done.code == 1
        assert {problem["kind"] for problem in done.document["problems"]} == {"rolled-back"}
    done = run("audit", str(store), "--print-checkpoint")
    assert done.code == 1
    assert "the audit found something" in done.err


def test_what_is_no_checkpoint_and_no_store(run: Run, store: Path, home: Path) -> None:
    """Each is an error of its own."""
    (home / "note").write_text("nonsense\n")
    done = run("audit", str(store), "--checkpoint", "note", "--json")
    assert (done.code, done.error["kind"]) == (6, "invalid-evidence")
    assert run("audit", "nowhere").code == 3
    assert run("audit", str(store), "--store-id", "00" * 32).code == 6
