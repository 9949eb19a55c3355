"""What somebody tries who may write to the bucket, without a key and with an old member's; and what is seen of it.

The table in docs/deletion.md says the same in words.
"""

import json
import shutil
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import msgspec
import pytest

from artifactstore import AuditReport, Store, audit, verify_receipt
from artifactstore.backend.local import LocalBackend
from artifactstore.clock import SystemClock, SystemRandomness
from artifactstore.crypto.signing import SigningKey
from artifactstore.errors import InvalidEvidence
from artifactstore.format.operations import Alias, Sealed
from artifactstore.format.record import Certificate, Clear, Handover, RecordType, handover_message, slot_name
from artifactstore.log.records import make_record
from artifactstore.log.walk import Walk
from artifactstore.testing.invariants import assert_receipts_hold
from tests.receipts.conftest import History, make_history, push
from tests.stores import make_store, noise, reopened, write_tree

RECEIPT = "p/n:v1"


@pytest.fixture
def bucket(history: History, tmp_path: Path) -> Path:
    """A copy of the bucket, for somebody to write to."""
    return shutil.copytree(history.bucket, tmp_path / "bucket")


def audited(history: History, bucket: Path, **options: Any) -> AuditReport:
    """By somebody who holds a receipt and has not seen the store before."""
    options = {"receipt": history.receipts[RECEIPT], "cache_dir": bucket.parent / "auditor"} | options
    return audit(bucket, **options)


def kinds(report: AuditReport) -> set[str]:
    return {problem.kind for problem in report.problems}


def files(folder: Path, *prefixes: str) -> dict[str, Path]:
    return {
        path.relative_to(folder).as_posix(): path
        for prefix in prefixes
        for path in (folder / prefix).rglob("*")
        if path.is_file()
    }


def head(bucket: Path) -> int:
    return len(list((bucket / "log").iterdir()))


def test_an_untouched_bucket_is_as_the_receipt_says(history: History, bucket: Path) -> None:
    """Every receipt: objects gone, no chunk of it in a live pack."""
    for data in history.receipts.values():
        report = audited(history, bucket, receipt=data, read_data=True)
        assert (report.problems, report.ok, report.all_forms) == ((), True, True)
        assert report.receipt is not None
        assert (report.receipt.present, report.receipt.id) == (0, verify_receipt(data).id)
        assert report.condemned > report.receipt.condemned > 0
        assert report.unerased.names.total == 0
        assert report.generation == 2


# --- with write access and no key ---------------------------------------------------------------------------------


def test_condemned_objects_that_are_put_back_are_seen(history: History, bucket: Path) -> None:
    """A pack that was purged, a state that is replayed, keys of an earlier generation: each under its own name."""
    old = files(history.copy, "packs", "keys")
    for name in sorted(old.keys() - files(bucket, "packs", "keys").keys()):
        path = bucket / name
        path.parent.mkdir(exist_ok=True)
        shutil.copy(old[name], path)
        report = audited(history, bucket)
        assert [(problem.kind, problem.object) for problem in report.problems] == [("still-there", name)]
        path.unlink()
    assert audited(history, bucket).ok


def test_a_purged_pack_under_another_name_is_no_pack_of_the_store(history: History, bucket: Path) -> None:
    """Nothing names it: the store never reads it, and the audit lists it."""
    old = files(history.copy, "packs")
    name = next(iter(old.keys() - files(bucket, "packs").keys()))
    shutil.copy(old[name], bucket / "packs" / "00hidden")
    report = audited(history, bucket)
    assert report.ok
    assert report.unnamed is not None
    assert report.unnamed.names.shown == ("packs/00hidden",)


def test_a_replaced_trailer_is_seen(history: History, bucket: Path) -> None:
    """One that does not list a chunk which the pack holds: the record has promised another."""
    for name, path in files(bucket, "packs").items():
        data = path.read_bytes()
        path.write_bytes(data[:-28] + bytes(16) + data[-12:])
        report = audited(history, bucket)
        assert [(problem.kind, problem.object) for problem in report.problems] == [("damaged", name)]
        path.write_bytes(data)


def test_a_pack_in_the_place_of_another_is_seen(history: History, bucket: Path) -> None:
    """Its size and trailer are not those that the record has promised; of the same size and trailer, its bytes are not.

    Only the two copies of a state are so much alike: they hold the same under keys of their own.
    """
    seen = set()
    for (first, one), (_, two) in permutations(list(files(bucket, "packs").items()), 2):
        data, other = one.read_bytes(), two.read_bytes()
        alike = len(data) == len(other) and data[-28:] == other[-28:]
        if alike in seen:
            continue
        seen.add(alike)
        one.write_bytes(other)
        report = audited(history, bucket, read_data=alike)
        assert [(problem.kind, problem.object) for problem in report.problems] == [("damaged", first)]
        one.write_bytes(data)
    assert seen == {False, True}


def test_a_strangers_record_and_keys_change_nothing(history: History, bucket: Path, tmp_path: Path) -> None:
    """The record is void and the log goes on; the keys object is named by no record (invariant 19)."""
    parts = history.store._parts
    stranger = SigningKey(bytes(range(32)))
    clear = next_clear(bucket, parts.keyring.store_id, 2)
    certificate = Certificate(stranger.public_bytes, 0, b"")
    for generation in (0, 2):
        forged = msgspec.structs.replace(clear, certificate=certificate, generation=generation)
        record = signed_record(history, forged, stranger)
        (bucket / slot_name(head(bucket))).write_bytes(record)
        clear = next_clear(bucket, parts.keyring.store_id, 2)
    (bucket / "keys" / ("ab" * 32)).write_bytes(b"let me in")
    report = audited(history, bucket)
    assert report.ok
    assert report.unnamed is not None
    assert report.unnamed.names.shown == ("keys/" + "ab" * 32,)
    with opened(history, bucket, tmp_path) as store:
        assert [one.name for one in store.versions("q/twin")] == ["v0"]
        store.add_tags("q/twin", ["goes-on"])
    assert audited(history, bucket).ok


def test_a_strangers_first_key_is_not_the_stores(tmp_path: Path) -> None:
    """In a store that was never swept: the first key counts by the store's id alone, for readers and for an audit."""
    with make_store(tmp_path, tmp_path / "store") as store:
        push(store, tmp_path / "in", 1, "q/twin")
        store.add_aliases("q/twin", ["x"])
        place, keyring, stranger = tmp_path / "store", store.parts.keyring, SigningKey(bytes(range(32)))
        clear = msgspec.structs.replace(
            next_clear(place, keyring.store_id, 0), certificate=Certificate(stranger.public_bytes, 0, b"")
        )
        sealed = Sealed(keyring.slot_id, [], [], [Alias("q", "twin", None, ["x"])], None, None)
        record = make_record(clear, sealed, keyring, SystemRandomness(), stranger)
        (place / slot_name(head(place))).write_bytes(record)
        assert next(store.log()).kind == "void"
        assert "x" in store.version("q/twin").aliases
        before = audit(place, cache_dir=tmp_path / "auditor")
        store.add_tags("q/twin", ["goes-on"])
        after = audit(place, cache_dir=tmp_path / "auditor")
    assert (before.problems, after.problems) == ((), ())


@pytest.mark.parametrize("slot", [0, 1, 4])
def test_an_altered_record_is_seen(history: History, bucket: Path, slot: int) -> None:
    """Record 0 makes the store; any other is signed for by all after it."""
    path = bucket / slot_name(slot)
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    if slot:
        report = audited(history, bucket)
        assert (kinds(report), report.problems[0].part) == ({"damaged"}, "log")
    else:
        with pytest.raises(Exception, match="was altered"):
            audited(history, bucket)


def test_a_record_taken_away_is_seen(history: History, bucket: Path) -> None:
    """The newest one, with which the receipt's log is shorter than its checkpoint."""
    for slot in (head(bucket) - 1, head(bucket) - 2):
        (bucket / slot_name(slot)).unlink()
        assert kinds(audited(history, bucket)) == {"rolled-back"}


def test_an_older_copy_of_the_bucket_is_shown_as_rollback(history: History, tmp_path: Path) -> None:
    """By the receipt's checkpoint, though what it holds is whole in itself; all that was deleted is in it again."""
    report = audited(history, shutil.copytree(history.copy, tmp_path / "older"))
    assert kinds(report) == {"rolled-back", "still-there"}
    assert report.receipt is not None
    assert report.receipt.present == report.receipt.gone > 0 == report.receipt.stored_again
    alone = audit(tmp_path / "older", cache_dir=tmp_path / "no memory")
    assert alone.ok  # without a memory, a checkpoint or a receipt nothing shows it


# --- with the keys of an old member ---------------------------------------------------------------------------------


def next_clear(bucket: Path, store_id: bytes, generation: int) -> Clear:
    """The clear part of an honest record for the next slot, as one of an earlier generation would have it."""
    walk = Walk(LocalBackend(bucket), store_id, SystemClock())
    clears = [one.clear for one in walk.records() if one.clear is not None]
    like = next(
        one for one in reversed(clears) if one.generation == generation and one.type == RecordType.COMMIT
    )
    return msgspec.structs.replace(
        like, slot=walk.slots, root=walk.root, operation=bytes(16), packs=[], committed=[], state=None
    )


def signed_record(history: History, clear: Clear, key: SigningKey) -> bytes:
    """A record that removes an alias, sealed and signed with what an old member has."""
    sealed = Sealed(history.old.slot_id, [], [], [Alias("q", "twin", None, ["x"])], None, None)
    keyring = history.old if clear.generation == 0 else history.store._parts.keyring
    if clear.generation != keyring.generation:
        return make_like(clear, sealed, history, key)
    return make_record(clear, sealed, keyring, SystemRandomness(), key)


def make_like(clear: Clear, sealed: Sealed, history: History, key: SigningKey) -> bytes:
    """A record of a generation whose KEK its maker does not have."""
    from artifactstore.format.record import SIGNING_CONTEXT, encode_associated

    body = encode_associated(clear, 100) + bytes(100)
    return body + key.sign(SIGNING_CONTEXT + body)


def old_record(history: History, bucket: Path) -> bytes:
    clear = next_clear(bucket, history.old.store_id, 0)
    return signed_record(history, clear, history.old.signer())


def old_record_over_another_log(history: History, bucket: Path) -> bytes:
    clear = next_clear(bucket, history.old.store_id, 0)
    return signed_record(history, msgspec.structs.replace(clear, root=bytes(32)), history.old.signer())


def second_handover(history: History, bucket: Path) -> bytes:
    """A sweep of generation 1, as if there had been none: it hands over to a key of the old member's."""
    clear = next_clear(bucket, history.old.store_id, 0)
    own = SigningKey(bytes(range(32)))
    message = handover_message(history.old.store_id, 1, clear.slot, own.public_bytes)
    pack = [bytes(32)]
    sweep = msgspec.structs.replace(
        clear,
        type=RecordType.SWEEP,
        generation=1,
        state=msgspec.convert([clear.slot, pack, pack], type=type(history_state(history))),
        handover=Handover(own.public_bytes, history.old.signer().sign(message)),
    )
    return make_like(sweep, Sealed(bytes(16), [], [], [], None, None), history, history.old.signer())


def history_state(history: History) -> Any:
    from artifactstore.format.record import StateNamed

    return StateNamed(0, [bytes(32)], [])


def record_of_a_second_generation_1(history: History, bucket: Path) -> bytes:
    """Signed by a key that the old one has handed over to, beside the one that the log knows."""
    clear = next_clear(bucket, history.old.store_id, 0)
    own = SigningKey(bytes(range(32)))
    message = handover_message(history.old.store_id, 1, 5, own.public_bytes)
    certificate = Certificate(own.public_bytes, 5, history.old.signer().sign(message))
    forged = msgspec.structs.replace(clear, generation=1, certificate=certificate)
    return make_like(forged, Sealed(bytes(16), [], [], [], None, None), history, own)


@pytest.mark.parametrize(
    "make", [old_record, old_record_over_another_log, second_handover, record_of_a_second_generation_1]
)
def test_an_old_members_records_are_void(
    history: History, bucket: Path, tmp_path: Path, make: Callable[[History, Path], bytes]
) -> None:
    """Its key was handed on; the audit passes them over, and so do the store's readers, whose log goes on."""
    (bucket / slot_name(head(bucket))).write_bytes(make(history, bucket))
    before = head(bucket)
    report = audited(history, bucket)
    assert (report.problems, report.records, report.generation) == ((), before, 2)
    with opened(history, bucket, tmp_path) as store:
        store.add_tags("q/twin", ["goes-on"])
        assert "goes-on" in store.version("q/twin").tags
    assert head(bucket) == before + 1
    assert audited(history, bucket).ok


def opened(history: History, bucket: Path, folder: Path) -> Store:
    """The copy of the bucket, opened by a member who has not seen it before."""
    shutil.copy(history.store.key_file, folder / "key")
    return reopened(folder, bucket, cache="cache")


def test_a_log_of_ones_own_is_seen_where_the_true_one_is_known(history: History, tmp_path: Path) -> None:
    """An old member sets the bucket back to a copy, deletes and sweeps there, and issues a receipt of good signatures.

    By itself it verifies: nothing in it contradicts the store's id. Against the true log it does not hold, nor does the
    forged bucket against a true checkpoint.
    """
    fork = shutil.copytree(history.copy, tmp_path / "fork")
    with opened(history, fork, tmp_path) as store:
        store.delete(["p/n:v1"], reason="a lie", now=True)
        store.gc()
        (one,) = store.receipts.list()
        forged = store.receipts.export(one.id, disclose=["reason"])
    assert verify_receipt(forged).shown["reason"] == "a lie"
    true = shutil.copytree(history.bucket, tmp_path / "bucket")
    report = audited(history, true, receipt=forged)
    assert kinds(report) == {"rolled-back"}
    assert "forked" in report.problems[0].message
    assert kinds(audited(history, fork, checkpoint=history.store.checkpoint(), receipt=None)) == {
        "rolled-back"
    }
    assert kinds(audited(history, fork)) == {"rolled-back"}  # by the true receipt alone


# --- what is no attack --------------------------------------------------------------------------------------------


def test_content_that_is_pushed_again_is_told(tmp_path: Path) -> None:
    """The receipt was true; what it calls gone was stored again since, by the record that is named."""
    history = make_history(tmp_path)
    with history.store as store:
        push(store, tmp_path / "in", 2, "r/again")
        report = audit(history.bucket, receipt=history.receipts[RECEIPT], cache_dir=tmp_path / "auditor")
        assert kinds(report) == {"still-there"}
        assert all("stored again after the sweep" in problem.message for problem in report.problems)
        assert report.receipt is not None
        assert 0 < report.receipt.present == report.receipt.stored_again <= report.receipt.gone
        assert assert_receipts_hold(store, cache_dir=tmp_path / "auditor") == 3


def test_a_receipt_of_another_store_is_refused(history: History, tmp_path: Path) -> None:
    """Before anything is read."""
    with make_history(tmp_path).store as store:
        other = store.receipts.export(store.receipts.list()[0].id)
        with pytest.raises(InvalidEvidence, match="another store"):
            audit(history.bucket, receipt=other, cache_dir=tmp_path / "auditor")
        with pytest.raises(InvalidEvidence):
            audit(
                history.bucket, receipt=json.dumps(json.loads(other)).encode(), cache_dir=tmp_path / "auditor"
            )


def test_what_a_pack_that_stays_holds_is_not_called_gone(tmp_path: Path) -> None:
    """A chunk beside one that is needed and can't be read: its pack is kept, and no receipt says otherwise."""
    with make_store(tmp_path, tmp_path / "store") as store:
        write_tree(tmp_path / "in", {"needed": noise(300_000, 1), "dead": noise(300_000, 2)})
        store.push([tmp_path / "in"], "p/n")
        (tmp_path / "in" / "dead").unlink()
        store.push([tmp_path / "in"], "p/n")
        name, path = max(files(tmp_path / "store", "packs").items(), key=lambda one: one[1].stat().st_size)
        data = path.read_bytes()
        path.write_bytes(data[:48] + bytes(1000) + data[1048:-200_000] + bytes(1000) + data[-199_000:])
        store.delete(["p/n:v0"], now=True)
        assert store.gc().kept_packs == 1
        (one,) = store.receipts.list()
        assert one.shared > 0
        report = audit(
            tmp_path / "store", receipt=store.receipts.export(one.id), cache_dir=tmp_path / "auditor"
        )
        assert report.ok
        assert report.receipt is not None
        assert report.receipt.present == 0
        assert name not in str(report)
