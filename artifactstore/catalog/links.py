"""Links: versions of a collection that hold what versions of other artifacts hold.

A collection is an artifact whose versions are links, made by the first of them. A link has a number, aliases, tags and
a deletion of its own; what it holds stays for as long as it is there, whatever becomes of the version it was made of.
"""

from collections.abc import Iterator
from hashlib import sha256
from typing import Final, NamedTuple

from artifactstore.catalog.names import first_name, key_of, name_of
from artifactstore.catalog.outcome import Outcome
from artifactstore.catalog.rows import VersionRow, get_artifact, live_version, versions
from artifactstore.errors import IsCollection
from artifactstore.format.operations import Push, Source
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import ReadTransaction, WriteTransaction
from artifactstore.index.tables import LINKS

_NUMBER_BYTES: Final = 8
NO_SOURCE: Final = "the version that was to be linked is not there, or is a link itself"
NO_COLLECTION: Final = "the artifact holds versions of its own, so nothing can be linked into it"
OTHER_TYPE: Final = "the collection is of another type than the version"
IS_COLLECTION: Final = "the artifact is a collection, which takes links only"


class Link(NamedTuple):
    """A version of a collection, by the first name of its artifact."""

    collection: ArtifactName
    number: int


def first_source(txn: ReadTransaction, source: Source) -> Source:
    """A source by the first name of its artifact."""
    first = first_name(txn, ArtifactName(source.project, source.name))
    return Source(first.project, first.name, source.number)


def note_link(txn: WriteTransaction, source: Source, link: Link) -> None:
    """Note of which version a link was made."""
    txn.put(LINKS, _link_key(source, link), b"\1")


def forget_link(txn: WriteTransaction, source: Source, link: Link) -> None:
    """Forget a link that is gone."""
    txn.delete(LINKS, _link_key(source, link))


def links_of(txn: ReadTransaction, name: ArtifactName, number: int) -> Iterator[Link]:
    """The links of a version that are not deleted."""
    prefix = _source_key(Source(*first_name(txn, name), number))
    for key, _ in txn.scan(LINKS, prefix):
        held = bytes(key[len(prefix) :])
        link = Link(name_of(held[: -_NUMBER_BYTES - 1]), int.from_bytes(held[-_NUMBER_BYTES:], "big"))
        if live_version(txn, *link) is not None:
            yield link


def link_refusal(txn: ReadTransaction, push: Push, source: Source) -> str:
    """Why a link can't be made; empty when it can.

    Args:
        txn: Reads the index.
        push: The operation.
        source: What it links, by the first name of its artifact.
    """
    held = ArtifactName(source.project, source.name)
    row, artifact = live_version(txn, held, source.number), get_artifact(txn, held)
    if artifact is None or row is None or row.source is not None or row.manifest != push.manifest:
        return NO_SOURCE
    collection = get_artifact(txn, ArtifactName(push.project, push.name))
    if collection is not None and not collection.collection:
        return NO_COLLECTION
    if push.type != artifact.type or (collection is not None and collection.type != artifact.type):
        return OTHER_TYPE
    return ""


def refuse_collection(txn: ReadTransaction, name: ArtifactName) -> None:
    """Refuse to push versions into a collection.

    Raises:
        IsCollection: The artifact is one.
    """
    artifact = get_artifact(txn, name)
    if artifact is not None and artifact.collection:
        raise IsCollection(f"{name} is a collection, which takes links only", artifact=str(name))


def link_in(
    txn: ReadTransaction, name: ArtifactName, source: Source, *, slot: int | None = None
) -> tuple[int, VersionRow] | None:
    """The link of a version in a collection, as it was after the record at `slot`; as it is when None."""
    for number, row in versions(txn, name):
        at_slot = slot is None or row.slot <= slot
        shown = row.deleted is None or (slot is not None and row.deleted.slot > slot)
        if row.source == source and at_slot and shown:
            return number, row
    return None


def link_at(txn: ReadTransaction, push: Push, slot: int) -> Outcome:
    """What a link in the applied record at `slot` did, read back from the catalog."""
    assert push.source is not None
    found = link_in(txn, ArtifactName(push.project, push.name), first_source(txn, push.source), slot=slot)
    if found is None:
        return Outcome(None, skipped=NO_SOURCE)
    number, row = found
    return Outcome(number, created=row.slot == slot)


def _source_key(source: Source) -> bytes:
    # Two names would be too long for a key.
    hashed = sha256(key_of(ArtifactName(source.project, source.name))).digest()
    return hashed + source.number.to_bytes(_NUMBER_BYTES, "big")


def _link_key(source: Source, link: Link) -> bytes:
    return _source_key(source) + key_of(link.collection) + b"\0" + link.number.to_bytes(_NUMBER_BYTES, "big")
