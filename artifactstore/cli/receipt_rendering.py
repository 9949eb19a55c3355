"""How receipts are printed: for people, and as JSON."""

from collections.abc import Iterator, Sequence

from artifactstore.cli.rendering import count_text, fields, iso_time, printable, size_text, table, time_text
from artifactstore.store import ReceiptDetails, ReceiptFacts, ReceiptInfo

Shape = dict[str, object]
_DIGITS = 12


def receipt_shape(receipt: ReceiptInfo) -> Shape:
    """One receipt."""
    return {
        "id": receipt.id,
        "reference": receipt.reference,
        "slot": receipt.slot,
        "gone": receipt.gone,
        "shared": receipt.shared,
        "unread": receipt.unread,
    }


def details_shape(details: ReceiptDetails) -> Shape:
    """What a member may know of a receipt."""
    return {
        **receipt_shape(details.info),
        "digest": details.digest,
        "size_bytes": details.size_bytes,
        "file_count": details.file_count,
        "pushed_slot": details.pushed_slot,
        "deleted": iso_time(details.deleted_ns),
        "reason": details.reason,
        "requested_by": details.requested_by,
    }


def facts_shape(facts: ReceiptFacts) -> Shape:
    """What an exported receipt shows."""
    return {
        "id": facts.id,
        "store": facts.store_id,
        "shown": facts.shown,
        "pushed": {"slot": facts.pushed_slot, "time": iso_time(facts.pushed_ns)},
        "purged": {"slot": facts.purged_slot, "time": iso_time(facts.purged_ns)},
        "erased": {"slot": facts.erased_slot, "time": iso_time(facts.erased_ns)},
        "condemned": facts.condemned,
        "gone": facts.gone,
        "shared": facts.shared,
        "unread": facts.unread,
        "checkpoint": facts.checkpoint,
    }


def receipts_lines(receipts: Sequence[ReceiptInfo]) -> Iterator[str]:
    """A table of receipts."""
    return table(
        ("receipt", "version", "record", "gone", "shared", "unread"),
        [
            (
                one.id[:_DIGITS],
                one.reference,
                f"{one.slot}",
                f"{one.gone:,}",
                f"{one.shared:,}",
                f"{one.unread:,}",
            )
            for one in receipts
        ],
        right=(2, 3, 4, 5),
    )


def details_lines(details: ReceiptDetails) -> Iterator[str]:
    """What a member may know of a receipt."""
    info = details.info
    yield f"receipt {info.id} of {info.reference}"
    yield from fields(
        (
            ("digest", details.digest),
            ("files", f"{details.file_count:,}"),
            ("size", size_text(details.size_bytes)),
            ("pushed", f"by record {details.pushed_slot}"),
            ("deleted", time_text(details.deleted_ns)),
            ("reason", printable(details.reason)),
            ("asked by", printable(details.requested_by)),
            ("purged", f"by record {info.slot}"),
            ("chunks", _chunks(info.gone, info.shared, info.unread)),
        )
    )


def facts_lines(facts: ReceiptFacts) -> Iterator[str]:
    """What an exported receipt shows."""
    yield f"receipt {facts.id} of store {facts.store_id}"
    shown = [(name, printable(value)) for name, value in facts.shown.items() if name != "chunks"]
    _, slots, root, *_ = facts.checkpoint.splitlines()
    yield from fields(
        (
            *shown,
            ("pushed", f"{time_text(facts.pushed_ns)}, record {facts.pushed_slot}"),
            ("purged", f"{time_text(facts.purged_ns)}, record {facts.purged_slot}"),
            ("erased", f"{time_text(facts.erased_ns)}, record {facts.erased_slot}"),
            ("objects", f"{count_text(facts.condemned, 'object')} given up, all seen gone"),
            ("chunks", _chunks(facts.gone, facts.shared, facts.unread)),
            ("log", f"{slots} records, root {root}"),
        )
    )
    yield "the receipt is whole; that its objects are gone shows `artifactstore audit --receipt FILE URL`"


def _chunks(gone: int, shared: int, unread: int) -> str:
    more = f", {count_text(unread, 'part')} not listed" if unread else ""
    return f"{gone:,} gone, {shared:,} shared with others{more}"
