"""`receipt` on the command line: what is listed, shown, exported and refused, with which exit code."""

from pathlib import Path

import pytest

from tests.cli.conftest import Run

pytestmark = pytest.mark.places("folder", "s3")


@pytest.fixture
def receipt_id(run: Run, place: str) -> str:
    """The receipt of the only version of a store, which was purged."""
    assert run("init").code == 0
    assert run("push", "data", "team/corpus").code == 0
    words = ["--reason", "contract ended", "--requested-by", "the legal department", "--now", "--yes"]
    assert run("delete", "team/corpus:v0", *words).code == 0
    assert run("receipt", "list", "--json").document == {"receipts": []}
    assert run("gc", "--yes").code == 0
    (one,) = run("receipt", "list", "--json").document["receipts"]
    assert (one["reference"], one["shared"], one["unread"]) == ("team/corpus:v0", 0, 0)
    return str(one["id"])


def test_receipts_are_listed_and_shown(run: Run, receipt_id: str) -> None:
    """To members; an id may be cut."""
    lines = run("receipt", "list").out.splitlines()
    assert lines[1].split()[:2] == [receipt_id[:12], "team/corpus:v0"]
    shown = run("receipt", "show", receipt_id[:4], "--json").document["receipt"]
    assert (shown["reason"], shown["requested_by"], shown["pushed_slot"]) == (
        "contract ended",
        "the legal department",
        1,
    )
    out = run("receipt", "show", receipt_id).out
    assert "contract ended" in out
    assert "the legal department" in out
    for wrong in ("beef" if not receipt_id.startswith("beef") else "cafe", receipt_id[:3], "zzzz", "."):
        done = run("receipt", "show", wrong, "--json")
        assert (done.code, done.error["kind"]) == (3, "no-such-receipt")


def test_a_receipt_is_exported_verified_and_audited(
    run: Run, receipt_id: str, place: str, home: Path
) -> None:
    """By somebody who has neither key nor store, then by somebody who may read the bucket."""
    words = ["--output", "receipt.json", "--disclose", "reason"]
    made = run("receipt", "export", receipt_id, *words, "--json")
    assert made.code == 0
    assert "department" not in (home / "receipt.json").read_text()
    again = run("receipt", "export", receipt_id, *words, "--json")
    assert (again.code, again.error["kind"]) == (4, "destination-exists")
    (home / ".config" / "artifactstore" / "key").unlink()
    verified = run("receipt", "verify", "receipt.json", "--json")
    assert verified.document["receipt"] == made.document["receipt"]
    assert verified.document["receipt"]["shown"]["reason"] == "contract ended"
    said = run("receipt", "verify", "receipt.json").out
    assert "contract ended" in said
    assert "all seen gone" in said
    assert run("receipt", "verify", "receipt.json", "-q") == (0, "", "")
    done = run("audit", "--keyless", "--receipt", "receipt.json", place, "--json")
    assert (done.code, done.document["receipt"]["present"]) == (0, 0)
    assert "0 are in live packs" in run("audit", "--receipt", "receipt.json", place).out


def test_what_does_not_verify_is_refused(run: Run, receipt_id: str, place: str, home: Path) -> None:
    """Altered, of another store, none at all, not there; and fields that no receipt has."""
    assert run("receipt", "export", receipt_id, "--output", "good").code == 0
    data = (home / "good").read_bytes()
    (home / "bad").write_bytes(data[:500] + b"0" + data[501:] if data[500:501] != b"0" else data[1:])
    note = run("audit", place, "--print-checkpoint").out
    (home / "note").write_text(note)
    assert run("receipt", "verify", "good", "--checkpoint", "note").code == 0
    (home / "other").write_text(note.replace("artifactstore/", "artifactstore/" + "0" * 8, 1))
    cases = [
        ["receipt", "verify", "bad"],
        ["receipt", "verify", "good", "--store-id", "00" * 32],
        ["receipt", "verify", "good", "--checkpoint", "other"],
        ["audit", "--receipt", "bad", place],
    ]
    for words in cases:
        done = run(*words, "--json")
        assert (done.code, done.error["kind"]) == (6, "invalid-evidence"), words
    assert run("receipt", "verify", "nothing").code == 3
    done = run("receipt", "export", receipt_id, "--output", "x", "--disclose", "chunk", "--json")
    assert (done.code, done.error["kind"]) == (2, "usage")
    assert not (home / "x").exists()
