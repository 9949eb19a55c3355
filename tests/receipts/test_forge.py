"""Receipts of a log that somebody with all keys has made up: each lie is refused, by library and verifier alike."""

import json
from collections.abc import Callable

import msgspec
import pytest

from artifactstore import verify_receipt
from artifactstore.crypto.signing import SigningKey
from artifactstore.errors import InvalidEvidence
from artifactstore.format.record import Certificate, Clear, Handover, RecordType, handover_message
from tests.receipts import verifier
from tests.receipts.forge import CIDS, ERASED, PUSH, SWEEP, Forge

OTHER = SigningKey(bytes([5]) * 32)
Lie = Callable[[Forge], object]


def edited(at: int, **changes: object) -> Lie:
    def lie(forge: Forge) -> None:
        forge.edits[at] = lambda clear: msgspec.structs.replace(clear, **changes)

    return lie


def broken_chain(forge: Forge) -> None:
    """The second key is one that the first never handed over to."""
    forge.change = lambda document: document["certificates"][1].update(signature="00" * 64)
    certificate = Certificate(forge.keys[1].public_bytes, SWEEP, bytes(64))
    forge.edits[ERASED] = lambda clear: msgspec.structs.replace(clear, certificate=certificate)
    handover = Handover(forge.keys[1].public_bytes, bytes(64))
    forge.edits[SWEEP] = lambda clear: msgspec.structs.replace(clear, handover=handover)


def first_key_of_another_store(forge: Forge) -> None:
    forge.keys[0] = OTHER


def note_of_another_store(forge: Forge) -> None:
    forge.origin = bytes(32)


def signed_by_a_key_beside_the_chain(slot: int) -> Lie:
    def lie(forge: Forge) -> None:
        forge.signers[slot] = OTHER
        certificate = Certificate(OTHER.public_bytes, 0, b"")
        forge.edits[slot] = lambda clear: msgspec.structs.replace(clear, certificate=certificate)

    return lie


def signed_by_another_key_under_the_right_certificate(forge: Forge) -> None:
    forge.signers[PUSH] = OTHER


def altered_after_signing(forge: Forge) -> None:
    forge.raw[PUSH] = lambda data: data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]


def of_another_generation(forge: Forge) -> None:
    """A push by the second key, though it lies before the sweep; certificate and signature fit each other."""
    forge.signers[PUSH] = forge.keys[1]
    forge.edits[PUSH] = lambda clear: msgspec.structs.replace(
        clear, generation=5, certificate=forge.certificates[1]
    )


def hands_over_to_another_key(forge: Forge) -> None:
    message = handover_message(forge.store_id, 1, SWEEP, OTHER.public_bytes)
    handover = Handover(OTHER.public_bytes, forge.keys[0].sign(message))
    forge.edits[SWEEP] = lambda clear: msgspec.structs.replace(clear, handover=handover)


def handed_over_elsewhere(forge: Forge) -> None:
    """The chain says that another slot handed over to this key."""
    forge.handover_slot = 2


def other_chunks_listed(forge: Forge) -> None:
    """The sweep has committed to evidence that lists a chunk more than the push has."""
    forge.listed = CIDS


def fewer_chunks_listed(forge: Forge) -> None:
    forge.listed = CIDS[:1]


def push_after_the_sweep(forge: Forge) -> None:
    """Every record is good; the slots do not rise."""
    forge.change = lambda document: document["records"].update(
        erased=document["records"]["push"], push=document["records"]["erased"]
    )


LIES: dict[str, Lie] = {
    "the chain is broken": broken_chain,
    "the first key is of another store": first_key_of_another_store,
    "the checkpoint is of another store": note_of_another_store,
    "the push is signed beside the chain": signed_by_a_key_beside_the_chain(PUSH),
    "the sweep is signed beside the chain": signed_by_a_key_beside_the_chain(SWEEP),
    "the end is signed beside the chain": signed_by_a_key_beside_the_chain(ERASED),
    "another key under the right certificate": signed_by_another_key_under_the_right_certificate,
    "altered after it was signed": altered_after_signing,
    "of a generation that is not there": of_another_generation,
    "the push is for another slot": edited(PUSH, slot=2),
    "the push is of another store": edited(PUSH, store_id=bytes(32)),
    "the push was signed over another log": edited(PUSH, root=bytes(32)),
    "the sweep was signed over another log": edited(SWEEP, root=bytes(32)),
    "the push is a pending one": edited(PUSH, type=RecordType.PENDING),
    "the sweep is a commit": edited(SWEEP, type=RecordType.COMMIT, generation=0, handover=None),
    "the end is a commit": edited(ERASED, type=RecordType.COMMIT, erased=None),
    "the end is of another sweep": edited(ERASED, erased=2),
    "the sweep hands over to another key": hands_over_to_another_key,
    "another slot handed over": handed_over_elsewhere,
    "the push has committed to something else": edited(PUSH, committed=[bytes(32)]),
    "the sweep has purged something else": edited(SWEEP, purged=[bytes(32)]),
    "more chunks are listed": other_chunks_listed,
    "fewer chunks are listed": fewer_chunks_listed,
    "the records are in another order": push_after_the_sweep,
}


def test_without_a_lie_it_is_good() -> None:
    """So that each refusal below is of the lie."""
    data = Forge().receipt()
    assert verify_receipt(data).gone == verifier.verify(data)["counts"]["gone"] == 3


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_each_lie_is_refused(lie: Lie) -> None:
    """By both, with an error of theirs."""
    forge = Forge()
    lie(forge)
    data = forge.receipt()
    with pytest.raises(InvalidEvidence):
        verify_receipt(data)
    with pytest.raises(verifier.Refused):
        verifier.verify(data)


@pytest.mark.parametrize(
    "write",
    [
        lambda document: json.dumps(document, indent=1),
        lambda document: json.dumps(document, sort_keys=True, separators=(",", ":")),
        lambda document: json.dumps(document, separators=(",", ":")) + "\n",
        lambda document: json.dumps(document | {"format": document["format"]}, sort_keys=True) + "\n",
    ],
    ids=["indented", "no line feed", "unsorted", "spaces"],
)
def test_there_is_one_way_to_write_it(write: Callable[[object], str]) -> None:
    """Its signature stands over what it says; so that its bytes count too, there is one way to say it."""
    document = json.loads(Forge().receipt())
    document = dict(sorted(document.items(), reverse=True))
    with pytest.raises(InvalidEvidence):
        verify_receipt(write(document).encode())
    with pytest.raises(verifier.Refused):
        verifier.verify(write(document).encode())


def test_clear_parts_may_grow() -> None:
    """A later release may say more in a record; who verifies a receipt passes it over."""

    class Longer(Clear, array_like=True, frozen=True):
        more: int = 7

    forge = Forge()
    names = Clear.__struct_fields__
    forge.edits[PUSH] = lambda clear: Longer(*(getattr(clear, name) for name in names))
    data = forge.receipt()
    assert verify_receipt(data).gone == verifier.verify(data)["counts"]["gone"]
