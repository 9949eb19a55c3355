"""Drafts of receipts: they list all that a version held, give its chunks root, and lie where their rows say."""

from collections.abc import Container, Iterable
from hashlib import sha256
from pathlib import Path

import pytest

from artifactstore import Store
from artifactstore.catalog.receipts import FinishedDraft, get_receipt, put_receipts, receipts
from artifactstore.clock import SystemRandomness
from artifactstore.content.packs import fetch_whole
from artifactstore.errors import Damaged
from artifactstore.format.commitment import commitment_of
from artifactstore.format.pack import PackType
from artifactstore.format.receipt import Draft, decode_draft, purge_of, read_evidence
from artifactstore.ids import parse_artifact_name
from artifactstore.index.environment import Environment
from artifactstore.index.tables import TABLES
from artifactstore.maintenance import drafts as drafts_module
from artifactstore.maintenance.drafts import DraftWriter, PurgedVersion
from artifactstore.maintenance.mark import Mark
from artifactstore.manifest.read import entries, spans
from artifactstore.pack.reader import PackRef
from artifactstore.pack.writer import FinishedPack
from tests.stores import make_store, noise, write_tree

LARGE = 12_000_000  # more than 64 chunks


class Gathered:
    """What evidence lists."""

    def __init__(self) -> None:
        self.of_gone: set[bytes] = set()
        self.of_shared = self.of_unread = 0

    def gone(self, prefixes: Iterable[bytes]) -> None:
        self.of_gone |= set(prefixes)

    def shared(self, count: int) -> None:
        self.of_shared += count

    def unread(self) -> None:
        self.of_unread += 1


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory):
    """Two versions that share most of their pages, and a large file of which one byte differs; both deleted."""
    folder = tmp_path_factory.mktemp("drafts")
    with make_store(folder) as made:
        tree = {f"many/{number:04}": b"%d" % number for number in range(1500)}
        large = noise(LARGE)
        write_tree(folder / "in", tree | {"large": large, "empty": b""})
        made.push([folder / "in"], "p/n")
        (folder / "in" / "many" / "0007").write_bytes(b"changed")
        (folder / "in" / "large").write_bytes(large[:-1] + b"!")
        made.push([folder / "in"], "p/n")
        made.delete(["p/n:*"], reason="asked for", requested_by="Ana", force=True)
        yield made


def purged(store: Store, *numbers: int) -> list[PurgedVersion]:
    name = parse_artifact_name("p/n")
    rows = {version.number: version._row for version in store.deleted_versions("p/n")}
    return [PurgedVersion(name, number, rows[number]) for number in numbers]


def held(store: Store, version: PurgedVersion) -> set[bytes]:
    """Every chunk of a version, by walking it."""
    reader, lists, found = store._parts.reader, set(), set()
    for entry in entries(reader, version.row.manifest):
        found |= {span.cid[:16] for span in spans(reader, entry.content, on_list=lists.add)}
    return found | {cid[:16] for cid in lists}


def draft_of(store: Store, packs: list[FinishedPack], draft: FinishedDraft) -> tuple[Draft, bytes]:
    """A draft read back from its packs, and its evidence."""
    parts = store._parts
    chunks: list[bytes] = []
    for place in draft.places:
        pack = next(pack for pack in packs if pack.added.name == place.pack)
        parts.backend.put(pack.name, pack.data)
        ref = PackRef(pack.added.name, PackType.RECEIPT, pack.added.size, pack.key)
        for _, inside in fetch_whole(parts.backend, parts.keyring, [ref]):
            chunks += list(inside)[place.start : place.start + place.count]
        parts.backend.delete(pack.name)
    return decode_draft(chunks[0], "draft"), b"".join(chunks[1:])


class _Everything:
    def __contains__(self, prefix: object) -> bool:
        return True


EVERYTHING = _Everything()
NOTHING: frozenset[bytes] = frozenset()


def drafted(
    store: Store, versions: list[PurgedVersion], kept: Container[bytes]
) -> list[tuple[FinishedDraft, Draft, bytes]]:
    parts = store._parts
    writer = DraftWriter(parts.reader, parts.keyring, kept, SystemRandomness())
    packs = list(writer.packs(versions))
    assert {pack.added.type for pack in packs} <= {PackType.RECEIPT}
    return [(draft, *draft_of(store, packs, draft)) for draft in writer.drafts]


def test_all_that_a_version_held_is_listed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is shared every chunk of it is gone, and what it gives is what the push has committed to."""
    monkeypatch.setattr(drafts_module, "EVIDENCE_CHUNK_BYTES", 1000)
    versions = purged(store, 0, 1)
    for version, (finished, draft, evidence) in zip(versions, drafted(store, versions, NOTHING), strict=True):
        found = Gathered()
        manifest = version.row.manifest
        assert read_evidence(evidence, found) == manifest.cid[:16] + manifest.chunks
        assert held(store, version) < found.of_gone  # and the pages
        assert (found.of_shared, found.of_unread) == (0, 0)
        assert finished.counts[1:] == (0, 0)
        assert (draft.reason, draft.requested_by, draft.number) == ("asked for", "Ana", version.number)
        commitment = commitment_of("p", "n", manifest, version.row.salt)
        assert finished.commitment == purge_of(draft, commitment, sha256(evidence).digest())
        assert len(finished.places) == 1
        assert finished.places[0].count > 2


def test_pages_that_a_mark_has_read_are_not_read_again(store: Store) -> None:
    """The evidence is the same, and one that is not what stands above it says is refused as before."""
    (version,) = purged(store, 0)
    mark = Mark(store._parts.reader)
    mark.give_up(version.row.manifest, 0)
    read: list[bytes] = []

    class Reading:
        def read(self, kind: PackType, cid: bytes) -> bytes:
            read.append(cid)
            return store._parts.reader.read(kind, cid)

    def evidence_with(pages: dict[bytes, bytes]) -> bytes:
        writer = DraftWriter(Reading(), store._parts.keyring, NOTHING, SystemRandomness(), pages)
        packs = list(writer.packs([version]))
        return draft_of(store, packs, writer.drafts[0])[1]

    without = evidence_with({})
    assert len(mark.pages) > 2
    assert mark.pages.keys() < set(read)
    read.clear()
    assert evidence_with(mark.pages) == without
    assert mark.pages.keys().isdisjoint(read)
    altered = {page: named[:-1] + b"?" for page, named in mark.pages.items()}
    found = Gathered()
    read_evidence(evidence_with(altered), found)
    assert found.of_unread == len(mark.pages)


def test_only_so_many_pages_are_remembered(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what a mark reads it keeps a bounded part."""
    (version,) = purged(store, 0)
    monkeypatch.setattr("artifactstore.maintenance.mark._PAGES_BYTES_MAX", 10_000)
    mark = Mark(store._parts.reader)
    mark.give_up(version.row.manifest, 0)
    assert 0 < sum(map(len, mark.pages.values())) <= 10_000


def test_what_others_need_is_shared_and_not_looked_into(store: Store) -> None:
    """Of the second version only what differs from the first is gone; what is below a shared page is not listed."""
    first, second = purged(store, 0, 1)
    kept = Gathered()
    ((_, _, evidence),) = drafted(store, [first], NOTHING)
    read_evidence(evidence, kept)
    ((finished, _, evidence),) = drafted(store, [second], kept.of_gone)
    found = Gathered()
    manifest = second.row.manifest
    assert read_evidence(evidence, found) == manifest.cid[:16] + manifest.chunks
    # The root, the leaf of the file that changed and its chunk, the leaf of the large file, its list and last chunk.
    assert 4 <= len(found.of_gone) <= 8
    assert found.of_gone == (held(store, second) | found.of_gone) - kept.of_gone
    assert found.of_shared == finished.counts[1] > 50
    ((finished, _, evidence),) = drafted(store, [first], EVERYTHING)
    assert finished.counts == (0, 1, 0)
    assert read_evidence(evidence, Gathered()) == first.row.manifest.cid[:16] + first.row.manifest.chunks


def test_what_can_not_be_read_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rest is listed, and the root still fits."""
    (version,) = purged(store, 0)
    reader = type(store._parts.reader)
    original = reader.read

    def failing(self, kind, cid):
        if kind is PackType.LIST:
            raise Damaged("gone")
        return original(self, kind, cid)

    monkeypatch.setattr(reader, "read", failing)
    ((finished, _, evidence),) = drafted(store, [version], NOTHING)
    found = Gathered()
    assert read_evidence(evidence, found) == version.row.manifest.cid[:16] + version.row.manifest.chunks
    assert found.of_unread == finished.counts[2] == 1


def test_rows_of_receipts(tmp_path: Path, store: Store) -> None:
    """They are found by the beginning of their id."""
    finished = [draft for draft, _, _ in drafted(store, purged(store, 0, 1), EVERYTHING)]
    with Environment.open(tmp_path / "index", tables=TABLES) as environment:
        with environment.write() as txn:
            put_receipts(txn, 9, finished)
        with environment.read() as txn:
            assert {receipt_id for receipt_id, _ in receipts(txn)} == {draft.id for draft in finished}
            ((found, row),) = receipts(txn, finished[1].id[:15])
            assert (found, row.slot, row.project, row.name, row.number) == (finished[1].id, 9, "p", "n", 1)
            assert row == get_receipt(txn, finished[1].id)
            assert row.places == finished[1].places
            assert get_receipt(txn, bytes(16)) is None
