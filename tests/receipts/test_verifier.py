"""Receipts are verified alike by the library and by a verifier that knows nothing of it; forged ones by neither."""

import ast
import base64
import copy
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from artifactstore import verify_receipt
from artifactstore.crypto.signing import SigningKey
from artifactstore.errors import InvalidEvidence
from artifactstore.format.exported import SIGNING_CONTEXT, canonical
from artifactstore.log.checkpoint import Checkpoint, sign_note
from artifactstore.log.proofs import Prover
from tests.receipts import verifier
from tests.receipts.conftest import History, make_history

Change = Callable[[dict[str, Any]], Any]


def test_the_verifier_knows_nothing_of_the_library() -> None:
    """One file on the standard library and `cryptography`, so that it is evidence for the document."""
    tree = ast.parse(Path(verifier.__file__).read_text(encoding="utf-8"))
    names = {
        name.split(".")[0]
        for part in ast.walk(tree)
        for name in (
            [alias.name for alias in part.names]
            if isinstance(part, ast.Import)
            else [part.module or ""]
            if isinstance(part, ast.ImportFrom)
            else []
        )
    }
    assert names - set(sys.stdlib_module_names) == {"cryptography"}


def test_both_read_the_same_out_of_good_receipts(history: History) -> None:
    """Of three versions, purged by two sweeps; what is not disclosed is not there."""
    assert sorted(history.receipts) == ["p/n:v0", "p/n:v1", "p/n:v2"]
    for reference, data in history.receipts.items():
        ours, theirs = verify_receipt(data), verifier.verify(data)
        assert (ours.store_id, ours.id, ours.shown) == (theirs["store"], theirs["id"], theirs["shown"])
        assert [ours.pushed_slot, ours.purged_slot, ours.erased_slot] == theirs["slots"]
        assert [ours.pushed_ns, ours.purged_ns, ours.erased_ns] == [ms * 10**6 for ms in theirs["times_ms"]]
        assert {"gone": ours.gone, "shared": ours.shared, "unread": ours.unread} == theirs["counts"]
        assert ours.condemned == theirs["condemned"] > 0
        assert ours.checkpoint.splitlines()[1] == str(theirs["checkpoint"][0])
        assert (ours.gone > 10) == (reference != "p/n:v0")
        if reference != "p/n:v1":
            assert ours.shown.keys() == {"chunks", "reason", "name"}
            assert (ours.shown["reason"], ours.shown["name"]) == ("contract ended", "n")
        else:
            assert ours.shown.keys() == {"chunks"}
            assert b"letter" not in data
        assert b"Overbeck" not in data


def test_a_shared_version_is_not_gone(history: History) -> None:
    """What a live version of other artifacts holds is shared, though the version that had it is purged."""
    ours = verify_receipt(history.receipts["p/n:v0"])
    assert (ours.gone, ours.shared, ours.unread) == (0, 1, 0)  # its root page, and so everything below


def test_the_verifier_runs_by_itself(history: History, tmp_path: Path, capsys: Any) -> None:
    """As a program: it says what a receipt shows, or why it shows nothing."""
    data = history.receipts["p/n:v2"]
    (tmp_path / "receipt").write_bytes(data)
    assert verifier.main([str(tmp_path / "receipt")]) == 0
    assert "contract ended" in capsys.readouterr().out
    (tmp_path / "receipt").write_bytes(data[:-1])
    assert verifier.main([str(tmp_path / "receipt")]) == 1
    assert capsys.readouterr().out.startswith("refused: ")


def refused_by_both(data: bytes) -> None:
    with pytest.raises(InvalidEvidence):
        verify_receipt(data)
    with pytest.raises(verifier.Refused):
        verifier.verify(data)


@given(drawn=st.data())
def test_any_altered_byte_fails(history: History, drawn: st.DataObject) -> None:
    """Wherever it is, whatever it becomes."""
    data = history.receipts[drawn.draw(st.sampled_from(sorted(history.receipts)))]
    at = drawn.draw(st.integers(0, len(data) - 1))
    byte = drawn.draw(st.integers(0, 255).filter(lambda value: value != data[at]))
    refused_by_both(data[:at] + bytes([byte]) + data[at + 1 :])


def test_every_kind_of_byte_fails(history: History) -> None:
    """A flipped bit in each of many places that are spread over the whole, and in each key of the document."""
    data = history.receipts["p/n:v1"]
    places = set(random.Random(1).sample(range(len(data)), 150))
    places |= {data.index(f'"{name}"'.encode()) + 1 for name in verifier.TOP}
    for at in sorted(places):
        refused_by_both(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])


@given(drawn=st.data())
def test_a_cut_or_longer_receipt_fails(history: History, drawn: st.DataObject) -> None:
    """At any length."""
    data = history.receipts["p/n:v1"]
    refused_by_both(data[: drawn.draw(st.integers(0, len(data) - 1))])
    refused_by_both(data + drawn.draw(st.binary(min_size=1, max_size=3)))


# --- what somebody does who has the signing key ------------------------------------------------------------------


def forged(history: History, reference: str, change: Change, key: SigningKey | None = None) -> bytes:
    """A receipt that a member has changed and signed again."""
    document = copy.deepcopy(json.loads(history.receipts[reference]))
    change(document)
    document.pop("signature")
    signer = key or history.store._parts.keyring.signer()
    return canonical(document | {"signature": signer.sign(SIGNING_CONTEXT + canonical(document)).hex()})


def decoded(document: dict[str, Any], *path: str) -> bytearray:
    for name in path:
        document = document[name]
    return bytearray(base64.b64decode(document))  # type: ignore[arg-type]


def altered_evidence(document: dict[str, Any], at: int, value: int) -> None:
    evidence = decoded(document, "evidence")
    evidence[at] = value
    document["evidence"] = base64.b64encode(evidence).decode()


def record_of(other: str) -> Change:
    def change(document: dict[str, Any]) -> None:
        document["records"][other] = document["records"]["push"]

    return change


def altered_record(document: dict[str, Any]) -> None:
    record = decoded(document, "records", "sweep", "record")
    record[40] ^= 1
    document["records"]["sweep"]["record"] = base64.b64encode(record).decode()


FORGERIES: dict[str, Change] = {
    "another count": lambda document: document["counts"].update(gone=document["counts"]["gone"] + 1),
    "the root page is shared": lambda document: altered_evidence(document, 16, 0),
    "a chunk is another": lambda document: altered_evidence(document, 0, 1),
    "no evidence": lambda document: document.update(evidence=""),
    "another reason": lambda document: document["purge"]["reason"].update(value="obsolete"),
    "another name": lambda document: document["version"]["name"].update(value="m"),
    "a hidden field is another": lambda document: document["purge"]["deleted"].update(hash="00" * 32),
    "chunks are hidden": lambda document: document["version"].update(chunks={"hash": "00" * 32}),
    "a field both hidden and shown": lambda document: document["purge"]["reason"].update(hash="00" * 32),
    "a field more": lambda document: document["purge"].update(more={"hash": "00" * 32}),
    "a key more": lambda document: document.update(more=1),
    "another id": lambda document: document.update(id="00" * 16),
    "another store": lambda document: document.update(store="00" * 32),
    "the sweep is a push": record_of("sweep"),
    "the end is a push": record_of("erased"),
    "an altered record": altered_record,
    "no certificates": lambda document: document.update(certificates=[]),
    "the last certificate is missing": lambda document: document["certificates"].pop(),
    "an altered handover": lambda document: document["certificates"][1].update(slot=1),
    "a proof is empty": lambda document: document["records"]["push"].update(inclusion=[]),
    "a proof is another's": lambda document: document["records"]["push"].update(
        consistency=document["records"]["sweep"]["consistency"]
    ),
    "a float": lambda document: document["records"]["push"].update(slot=1.0),
    "a negative number": lambda document: document["counts"].update(unread=-1),
    "a truth": lambda document: document["counts"].update(unread=False),
    "nothing": lambda document: document.update(records=None),
}


@pytest.mark.parametrize("change", FORGERIES.values(), ids=FORGERIES)
def test_what_a_member_forges_and_signs_fails(history: History, change: Change) -> None:
    """The records have committed to what it must say, before anybody could know what to forge."""
    refused_by_both(forged(history, "p/n:v2", change))


def test_unchanged_and_signed_again_it_is_good(history: History) -> None:
    """So it is the change that is refused, and not the way in which the forger signs."""
    data = forged(history, "p/n:v2", lambda _: None)
    assert verifier.verify(data)["counts"]["gone"] == verify_receipt(data).gone


def test_another_key_signs_nothing(history: History) -> None:
    """A stranger's, and that of an old member."""
    for key in (SigningKey(bytes(32)), history.old.signer()):
        refused_by_both(forged(history, "p/n:v2", lambda _: None, key))


def test_a_shortened_log_fails(history: History) -> None:
    """A checkpoint of so few slots that a record lies beyond it; proofs for it can't be made."""
    parts = history.store._parts
    erased = verify_receipt(history.receipts["p/n:v2"]).erased_slot
    for slots in (erased, erased - 1):
        prover = Prover(parts.backend, parts.log.signers, slots)
        note = sign_note(
            Checkpoint(parts.keyring.store_id, slots, prover.root(slots)), parts.keyring.signer()
        )
        refused_by_both(
            forged(history, "p/n:v2", lambda document, note=note: document.update(checkpoint=note))
        )


def test_records_of_another_version_fail(history: History) -> None:
    """Every part is genuine, and they don't belong together."""
    other = json.loads(history.receipts["p/n:v1"])
    for name in ("records", "version", "purge", "evidence", "id", "counts"):
        refused_by_both(
            forged(history, "p/n:v2", lambda document, name=name: document.update({name: other[name]}))
        )


def test_a_receipt_with_another_stores_log_fails(history: History, tmp_path: Path) -> None:
    """Made by somebody who has the keys of both."""
    with make_history(tmp_path).store as store:
        (one,) = [one for one in store.receipts.list() if one.reference == "p/n:v1"]
        foreign = json.loads(store.receipts.export(one.id))
        verify_receipt(canonical(foreign))
        for names in (["records"], ["records", "checkpoint"], ["records", "checkpoint", "certificates"]):
            for key in (None, store._parts.keyring.signer()):
                refused_by_both(
                    forged(
                        history,
                        "p/n:v1",
                        lambda document, names=names: document.update(
                            {name: foreign[name] for name in names}
                        ),
                        key,
                    )
                )
        with pytest.raises(InvalidEvidence, match="another store"):
            verify_receipt(canonical(foreign), store_id=history.store.id)
        with pytest.raises(InvalidEvidence, match="another store"):
            verify_receipt(canonical(foreign), checkpoint=history.store.checkpoint())


def test_a_checkpoint_from_elsewhere_tells_a_log_of_the_forgers_own(history: History) -> None:
    """Same store, same length, another root."""
    data = history.receipts["p/n:v1"]
    found = verify_receipt(data)
    slots = int(found.checkpoint.splitlines()[1])
    assert verify_receipt(data, checkpoint=found.checkpoint).id == found.id
    other = Checkpoint(bytes.fromhex(found.store_id), slots, bytes(32)).text
    with pytest.raises(InvalidEvidence, match="not that of the checkpoint"):
        verify_receipt(data, checkpoint=other)


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"null", b"\xff", b'{"a":' * 100_000, b"1" * 5000])
def test_what_is_no_receipt_is_refused(data: bytes) -> None:
    """With an error of ours, whatever it is."""
    refused_by_both(data)
