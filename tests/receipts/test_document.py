"""`docs/format/evidence.md` keeps its word: tables, bounds and texts are those of the library and of the verifier."""

import re
from pathlib import Path

from artifactstore.format import exported, receipt
from artifactstore.format.commitment import VERSION_FIELDS
from artifactstore.log import checkpoint
from tests.receipts import verifier

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "format" / "evidence.md").read_text(encoding="utf-8")
RECEIPTS = TEXT.partition("## Receipts")[2]


def test_the_keys_of_a_receipt() -> None:
    """The table has them all, and nothing else."""
    keys = re.findall(r"^\| `([a-z-]+)` \|", RECEIPTS, re.MULTILINE)
    assert set(keys) == verifier.TOP == set(exported.Exported.__struct_fields__)


def test_the_fields_of_the_commitments() -> None:
    """Every field is named where it says how its value is written."""
    (said,) = re.findall(r"Values of\n(.*?)\.", RECEIPTS, re.DOTALL)
    named = re.findall(r"`([a-z-]+)`", said)
    assert set(named) == {*VERSION_FIELDS, *receipt.PURGE_FIELDS}
    texts = named[: named.index("digest")]
    assert set(texts) == exported.TEXT_FIELDS == verifier.TEXTS


def test_bounds_and_texts() -> None:
    """Numbers and contexts stand in the document as the code has them."""
    assert f"{exported.RECEIPT_BYTES_MAX}" in RECEIPTS
    assert verifier.RECEIPT_BYTES_MAX == exported.RECEIPT_BYTES_MAX
    assert f"more than {receipt._DEPTH_MAX} nodes deep" in TEXT
    assert verifier.DEPTH_MAX == receipt._DEPTH_MAX
    assert f"longer than {checkpoint.NOTE_BYTES_MAX} bytes" in TEXT
    assert f"more than {checkpoint._SIGNATURES_MAX} signature lines" in TEXT
    assert exported.RECEIPT_FORMAT.encode() + b"\0" == exported.SIGNING_CONTEXT
    assert f"the ASCII text `{exported.RECEIPT_FORMAT}`, a zero byte" in RECEIPTS
    marks = re.search(r"mark: (\d) shared, (\d) gone, (\d) unread", TEXT)
    assert marks is not None
    assert [int(mark) for mark in marks.groups()] == [receipt.SHARED, receipt.GONE, receipt.UNREAD]
