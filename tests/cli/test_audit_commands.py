"""`audit` and checkpoints on the command line: what is said, with which exit code, and that no key is asked for."""

from pathlib import Path

import pytest

from artifactstore.backend.base import Backend
from artifactstore.format.record import slot_name
from tests.cli.conftest import Run

pytestmark = pytest.mark.places("folder", "s3")


@pytest.fixture
def store(run: Run, place: str) -> str:
    """A store of one version, of which the auditor has no key."""
    assert run("init").code == 0
    assert run("push", "data", "team/corpus").code == 0
    return place


def test_an_audit_says_what_it_looked_at(run: Run, store: str, home: Path) -> None:
    """For people, for programs, and nothing at all with --quiet; no key is needed."""
    (home / ".config" / "artifactstore" / "key").unlink()
    done = run("audit", "--keyless", store)
    assert done.code == 0
    assert done.out.splitlines()[-1].startswith("found nothing wrong (2 records, ")
    document = run("audit", "--store", store, "--read-data", "--json").document
    assert (document["ok"], document["records"]) == (True, 2)
    assert document["bytes_read"] == document["pack_bytes"]
    assert run("audit", store, "-q") == (0, "", "")
    assert run("audit", store, "--store", store).code == 2


def test_what_is_wrong_is_told_and_is_1(run: Run, store: str, objects: Backend) -> None:
    """With what to do about it, and also with --quiet."""
    pack = next(info.name for info in objects.list("packs/"))
    objects.delete(pack)
    for words in ((), ("-q",)):
        done = run("audit", store, *words)
        assert done.code == 1
        lines = done.out.splitlines()
        assert lines[0].startswith(f"damaged: {pack}: ")
        assert lines[1].startswith("  next: put that object back")
        assert lines[-1].startswith("found 1 problem (2 records, ")


def test_a_checkpoint_is_printed_and_held_against_the_log(
    run: Run, store: str, objects: Backend, home: Path
) -> None:
    """Signed by a member, or as an auditor saw it; an older copy contradicts both."""
    signed = run("log", "--checkpoint", "--store", store)
    seen = run("audit", store, "--print-checkpoint")
    assert (signed.code, seen.code) == (0, 0)
    assert signed.out.startswith(seen.out + "\n\u2014 artifactstore/")
    assert run("log", "--checkpoint", "--store", store, "--json").document["checkpoint"] == signed.out
    for number, printed in enumerate((signed, seen)):
        (home / f"{number}.note").write_text(printed.out, encoding="utf-8")
        assert run("audit", store, "--checkpoint", f"{number}.note").code == 0
    objects.delete(slot_name(1))
    for number in range(2):
        done = run("audit", store, "--checkpoint", f"{number}.note", "--json")
        assert done.code == 1
        assert {problem["kind"] for problem in done.document["problems"]} == {"rolled-back"}
    done = run("audit", store, "--print-checkpoint")
    assert done.code == 1
    assert "the audit found something" in done.err


def test_what_is_no_checkpoint_and_no_store(run: Run, store: str, home: Path) -> None:
    """Each is an error of its own."""
    (home / "note").write_text("nonsense\n")
    done = run("audit", store, "--checkpoint", "note", "--json")
    assert (done.code, done.error["kind"]) == (6, "invalid-evidence")
    assert run("audit", "nowhere").code == 3
    assert run("audit", store, "--store-id", "00" * 32).code == 6
