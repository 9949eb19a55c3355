"""A request for deletion from the first question to the proof, as docs/deletion.md tells it."""

from pathlib import Path

import pytest

from artifactstore import audit, verify_receipt
from artifactstore.errors import Denied
from artifactstore.format.exported import decode_receipt, from_base64
from artifactstore.format.receipt import read_evidence
from artifactstore.manifest.read import find_entry, spans
from tests.format.test_receipt import Listed
from tests.stores import make_store, noise, write_tree


@pytest.mark.parametrize("rewrite", [False, True])
def test_a_file_is_taken_down_and_shown_to_be_gone(tmp_path: Path, rewrite: bool) -> None:
    """Found, taken out of every version, swept, shown by receipts, audited without a key, refused from then on."""
    secret = tmp_path / "secret"
    secret.write_bytes(noise(9_000_000, 5))  # with a chunk list of its own
    tree = {"kept": noise(300_000, 6), "notes": b"kept too"}
    with make_store(tmp_path, tmp_path / "store") as store:
        write_tree(tmp_path / "in", tree | {"ana.bin": secret.read_bytes()})
        store.push([tmp_path / "in"], "p/n")
        write_tree(tmp_path / "in", {"more": b"of the second version"})
        store.push([tmp_path / "in"], "p/n")
        entry = find_entry(store._parts.reader, store.version("p/n")._row.manifest, "ana.bin")
        assert entry is not None
        chunks = {span.cid[:16] for span in spans(store._parts.reader, entry.content)}
        assert len(chunks) > 64

        (file,) = store.find([secret]).files
        assert {(place.artifact, place.path) for place in file.places} == {("p/n", "ana.bin")}
        store.takedown([secret], rewrite=rewrite, reason="Art. 17", requested_by="Ana Overbeck")
        store.gc()

        receipts = [
            store.receipts.export(one.id, disclose=["reason", "requested-by"])
            for one in store.receipts.list()
            if one.reference in {"p/n:v0", "p/n:v1"}
        ]
        with pytest.raises(Denied):
            store.push([secret], "q/again")
        kept = [one.name for one in store.versions("p/n")] if rewrite else []
        for name in kept:
            store.pull(f"p/n:{name}", tmp_path / name)
            assert (tmp_path / name / "kept").read_bytes() == tree["kept"]
            assert not (tmp_path / name / "ana.bin").exists()
    assert bool(kept) == rewrite
    assert len(receipts) == 2
    for receipt in receipts:
        assert verify_receipt(receipt).shown["requested-by"] == "Ana Overbeck"
        listed = Listed()
        read_evidence(from_base64(decode_receipt(receipt).evidence, "evidence"), listed)
        assert chunks < set(listed.of_gone)
        report = audit(tmp_path / "store", receipt=receipt, cache_dir=tmp_path / "auditor", read_data=True)
        assert report.problems == ()
        assert report.receipt is not None
        assert report.receipt.present == 0
