"""Evidence of what a version held: it reads back, gives the chunks root, and every byte of it counts."""

from collections.abc import Iterable

import pytest

from artifactstore.errors import Damaged, InvalidEvidence
from artifactstore.format.coding import encode
from artifactstore.format.operations import Manifest
from artifactstore.format.page import chunks_root
from artifactstore.format.receipt import (
    PURGE_FIELDS,
    Below,
    Draft,
    Opened,
    decode_draft,
    encode_draft,
    evidence_of,
    purge_of,
    purge_values,
    read_evidence,
)


class Listed:
    """What evidence lists."""

    def __init__(self) -> None:
        self.of_gone: list[bytes] = []
        self.of_shared = self.of_unread = 0

    def gone(self, prefixes: Iterable[bytes]) -> None:
        self.of_gone += prefixes

    def shared(self, count: int) -> None:
        self.of_shared += count

    def unread(self) -> None:
        self.of_unread += 1

    @property
    def all(self) -> tuple[tuple[bytes, ...], int, int]:
        return tuple(self.of_gone), self.of_shared, self.of_unread


def cid(number: int) -> bytes:
    return bytes([number]) * 32


def node(number: int, prefixes: list[int], *below: Below, read: bool = True) -> Below:
    """A node with data chunks and nodes of these numbers."""
    held = [cid(one)[:16] for one in prefixes]
    root = chunks_root(
        b"".join(cid(one) for one in prefixes), [(one.prefix + bytes(16), one.chunks) for one in below]
    )
    return Below(cid(number)[:16], root, lambda: Opened(held, below) if read else None)


LISTS = node(10, [11, 12, 13, 14, 15, 16, 17, 18, 19])
TREE = node(1, [], node(2, [3, 4], LISTS), node(5, [6]), node(7, [8], read=False))
KEPT = {cid(number)[:16] for number in (4, 5, 14, 18)}


def made() -> tuple[bytes, Listed]:
    listed = Listed()
    return b"".join(evidence_of(TREE, KEPT, listed)), listed


def test_evidence_reads_back() -> None:
    """Gone are the chunks of gone nodes that nobody needs; a shared node is one, and nothing below it is listed."""
    evidence, told = made()
    listed = Listed()
    assert read_evidence(evidence, listed) == TREE.prefix + TREE.chunks
    gone = [cid(number)[:16] for number in (1, 2, 3, 10, 11, 12, 13, 15, 16, 17, 19)]
    assert listed.all == told.all
    assert listed.all == (tuple(gone), 4, 1)


def test_every_byte_counts() -> None:
    """It is refused, gives another root, or lists other chunks as gone; the purge holds the SHA-256 of it all."""
    evidence, told = made()
    for at in range(len(evidence)):
        for bit in (1, 16, 128):
            altered = evidence[:at] + bytes([evidence[at] ^ bit]) + evidence[at + 1 :]
            listed = Listed()
            try:
                root = read_evidence(altered, listed)
            except InvalidEvidence:
                continue
            assert (root, listed.all) != (TREE.prefix + TREE.chunks, told.all), at


def test_cut_and_longer_evidence_is_refused() -> None:
    """At any byte."""
    evidence, _ = made()
    for at in range(len(evidence)):
        with pytest.raises(InvalidEvidence):
            read_evidence(evidence[:at], Listed())
    with pytest.raises(InvalidEvidence):
        read_evidence(evidence + b"\0", Listed())


def test_hostile_evidence_takes_no_memory_and_no_stack() -> None:
    """Declared counts are held against what is there; a chain of nodes ends."""
    head = bytes(16) + b"\1"
    with pytest.raises(InvalidEvidence):
        read_evidence(head + b"\xff" * 4, Listed())
    with pytest.raises(InvalidEvidence):
        read_evidence((head + bytes(4) + bytes([0, 0, 0, 1])) * 100_000, Listed())


DRAFT = Draft(
    bytes(16), "p", "n", 3, 7, Manifest(cid(1), 0, cid(2), 5, 6, cid(3)), cid(4), cid(5), 1000, "why", "who"
)


def test_a_draft_round_trips() -> None:
    """And what is none is damage."""
    assert decode_draft(encode_draft(DRAFT), "here") == DRAFT
    for data in (b"", b"\x90", encode_draft(DRAFT)[:-1], encode([1] * 11)):
        with pytest.raises(Damaged):
            decode_draft(data, "here")


def test_a_purge_commits_to_each_of_its_fields() -> None:
    """Another number, time, reason or asker is another commitment; so is another version or evidence."""
    import msgspec

    assert tuple(purge_values(DRAFT)) == PURGE_FIELDS
    changes: list[dict[str, object]] = [
        {"number": 4}, {"deleted_ms": 1001}, {"reason": "wh"}, {"requested_by": "ywho"}, {"salt": cid(9)},
        {"id": bytes(15) + b"1"},
    ]  # fmt: skip
    made = {purge_of(msgspec.structs.replace(DRAFT, **change), cid(6), cid(7)) for change in changes}
    made |= {
        purge_of(DRAFT, cid(6), cid(7)),
        purge_of(DRAFT, cid(8), cid(7)),
        purge_of(DRAFT, cid(6), cid(8)),
    }
    assert len(made) == len(changes) + 3
