"""Check: the log's chain, keys, packs, index and manifests, each held against the others.

Without `read_data` every object is looked at and every footer opened; with it, packs are read whole: name, header,
blobs and the cid of every chunk. A check reports; it repairs nothing and writes nothing to the store.
"""

from collections.abc import Callable, Iterator
from typing import Final

import msgspec

from artifactstore.backend.base import Backend
from artifactstore.catalog.rows import all_versions
from artifactstore.clock import Randomness
from artifactstore.content.get import ChunkReader
from artifactstore.crypto.hashing import keyed_blake3, sha256
from artifactstore.errors import ArtifactStoreError, Damaged, HostileManifest, ObjectMissing
from artifactstore.executors import Executors
from artifactstore.format.keys import KEYS_BYTES_MAX
from artifactstore.format.limits import CID_PREFIX_BYTES
from artifactstore.format.operations import Manifest
from artifactstore.format.pack import END, HEADER, PackedChunk, PackType, encode_trailer
from artifactstore.format.page import Kind
from artifactstore.format.record import slot_name
from artifactstore.index.environment import Environment
from artifactstore.index.tables import PackTable, StoredPack, locations, read_position
from artifactstore.keyring.keyring import Keyring
from artifactstore.log.log import Log
from artifactstore.log.merkle import append, root_of
from artifactstore.log.records import open_slot
from artifactstore.manifest.read import Span, entries, spans
from artifactstore.pack.reader import BlobOpener, PackRef, read_contents, read_whole
from artifactstore.progress import Progress

# Each holds a whole pack of 32 MiB in memory.
_PACKS_IN_FLIGHT: Final = 3
_INDEXED: Final = (PackType.DATA, PackType.PAGE, PackType.LIST)


class Problem(msgspec.Struct, frozen=True):
    """One thing that is wrong.

    Attributes:
        kind: The stable kind of the error.
        object: The object or version it is about.
        message: What is wrong, in one sentence.
    """

    kind: str
    object: str
    message: str


class CheckReport(msgspec.Struct, frozen=True):
    """What a check found.

    Attributes:
        problems: All that is wrong.
        records: Slots that were verified.
        packs: Packs that were looked at.
        versions: Versions whose manifests were walked.
        chunks: References to chunks that were located; with `read_data`, chunks that were opened instead.
        bytes_read: Bytes of packs that were read whole.
    """

    problems: tuple[Problem, ...]
    records: int
    packs: int
    versions: int
    chunks: int
    bytes_read: int

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


class Checker:
    """One check of one store. Used once."""

    def __init__(
        self,
        backend: Backend,
        keyring: Keyring,
        environment: Environment,
        packs: PackTable,
        log: Log,
        reader: ChunkReader,
        executors: Executors,
        progress: Progress,
    ) -> None:
        self._backend = backend
        self._keyring = keyring
        self._environment = environment
        self._packs = packs
        self._log = log
        self._reader = reader
        self._executors = executors
        self._progress = progress
        self._problems: list[Problem] = []
        self._opened = self._located = self._bytes_read = 0

    def run(self, *, read_data: bool, sample_percent: float, randomness: Randomness) -> CheckReport:
        """Check everything.

        Args:
            read_data: Read packs whole.
            sample_percent: How many of them, by chance.
            randomness: Chooses them.
        """
        records = self._check_log()
        self._check_keys()
        packs = self._check_packs(read_data=read_data, sample_percent=sample_percent, randomness=randomness)
        versions = self._check_versions()
        self._progress.finish()
        chunks = self._opened if read_data else self._located
        return CheckReport(tuple(self._problems), records, packs, versions, chunks, self._bytes_read)

    def _note(self, error: ArtifactStoreError, subject: str) -> None:
        named = error.facts.get("object")
        self._problems.append(Problem(error.kind, str(named or subject), error.message))

    def _check_log(self) -> int:
        """Every slot again from the start: signatures, chained roots, and the root this client's index holds."""
        with self._environment.read() as txn:
            position = read_position(txn)
        self._progress.start("check records", files_total=position.next_slot)
        frontier: list[bytes] = []
        for slot in range(position.next_slot):
            data = self._log.read(slot)
            if data is None:
                self._note(Damaged(f"{slot_name(slot)} is missing"), slot_name(slot))
                return slot
            try:
                opened = open_slot(data, slot, root_of(frontier), self._keyring)
            except Damaged as error:
                self._note(error, slot_name(slot))
                return slot
            frontier = append(frontier, slot, opened.leaf)
            if opened.clear is not None and opened.sealed is None:
                self._note(Damaged(f"{slot_name(slot)} is signed but does not open"), slot_name(slot))
            self._progress.advance(files=1)
        if frontier != position.frontier:
            message = "a record was altered since this client applied it: the roots differ"
            self._note(Damaged(message), slot_name(position.next_slot - 1))
        return position.next_slot

    def _check_keys(self) -> None:
        with self._environment.read() as txn:
            names = read_position(txn).keys
        for digest in names:
            name = f"keys/{digest.hex()}"
            try:
                if sha256(self._backend.get(name, limit_bytes=KEYS_BYTES_MAX)) != digest:
                    self._note(Damaged(f"{name} was altered"), name)
            except ObjectMissing:
                self._note(Damaged(f"{name} is missing"), name)
            except ArtifactStoreError as error:
                self._note(error, name)

    def _check_packs(self, *, read_data: bool, sample_percent: float, randomness: Randomness) -> int:
        with self._environment.read() as txn:
            known = list(self._packs.all(txn))
        chosen = {pack.number for pack in known if _drawn(sample_percent, randomness)} if read_data else set()
        self._progress.start(
            "check packs", bytes_total=sum(pack.added.size for pack in known if pack.number in chosen) or None
        )
        tasks = [
            self._executors.io.submit(self._check_pack, pack, whole=pack.number in chosen) for pack in known
        ]
        for task in tasks:
            chunks, size = task.result()
            self._opened += chunks
            self._bytes_read += size
        return len(known)

    def _check_pack(self, pack: StoredPack, *, whole: bool) -> tuple[int, int]:
        """Check one pack; return how many chunks were opened and how many bytes read."""
        opened = read = 0
        ref = PackRef(pack.added.name, PackType(pack.added.type), pack.added.size, pack.key)
        try:
            if whole:
                data, chunks = read_whole(self._backend, self._keyring.store_id, ref)
                read = len(data)
                self._open_all(ref, data, chunks)
                opened = len(chunks)
                self._progress.advance(bytes=read)
            else:
                chunks = read_contents(self._backend, self._keyring.store_id, ref)
            _compare_record(pack, ref, chunks)
            if ref.type in _INDEXED:
                self._compare_index(pack, ref, chunks)
        except ArtifactStoreError as error:
            self._note(error, ref.name)
        return opened, read

    def _open_all(self, ref: PackRef, data: memoryview, chunks: list[PackedChunk]) -> None:
        opener = BlobOpener(self._keyring.store_id, ref)
        key = self._keyring.cid_key(ref.type.name.lower())
        ordinal, raw = -1, memoryview(b"")
        for chunk in chunks:
            if chunk.ordinal != ordinal:
                blob = chunk.blob
                sealed = data[blob.offset : blob.offset + blob.length]
                raw = memoryview(opener.open(sealed, chunk.ordinal, blob.codec, blob.raw_length))
                ordinal = chunk.ordinal
            if keyed_blake3(key, raw[chunk.start : chunk.start + chunk.length]) != chunk.cid:
                raise Damaged(f"{ref.name}: a chunk of blob {ordinal} is not the one its cid names")

    def _compare_index(self, pack: StoredPack, ref: PackRef, chunks: list[PackedChunk]) -> None:
        """Every chunk of a footer is in the index, at exactly that place (invariant 10)."""
        with self._environment.read() as txn:
            for chunk in chunks:
                at = (pack.number, chunk.ordinal, *chunk.blob, chunk.start, chunk.length)
                if at not in locations(txn, chunk.cid):
                    raise Damaged(
                        f"{ref.name}: the index does not know its chunk {chunk.cid.hex()[:16]}…",
                        next_step="artifactstore index rebuild",
                        object=ref.name,
                    )

    def _check_versions(self) -> int:
        """Walk each manifest; pages and lists that versions share are visited once."""
        with self._environment.read() as txn:
            manifests = [(f"{name}:v{number}", row.manifest) for name, number, row in all_versions(txn)]
        self._progress.start("check versions", files_total=len(manifests))
        pages: set[bytes] = set()
        for reference, manifest in manifests:
            try:
                self._check_version(manifest, pages)
            except (Damaged, HostileManifest) as error:
                self._problems.append(Problem(error.kind, reference, error.message))
            self._progress.advance(files=1)
        return len(manifests)

    def _check_version(self, manifest: Manifest, pages: set[bytes]) -> None:
        seen: Callable[[bytes], bool] = pages.__contains__
        if seen(manifest.cid):
            return
        fresh: list[bytes] = []
        for batch in _batches(self._spans(manifest, fresh)):
            self._located += len(batch)
            for span, found in zip(batch, self._reader.locate([one.cid for one in batch]), strict=True):
                if found.span != span.length:
                    raise HostileManifest(
                        f"chunk {span.cid.hex()[:16]}… has {found.span} bytes, {span.length} declared",
                        chunk=span.cid.hex(),
                    )
        pages.update(fresh)

    def _spans(self, manifest: Manifest, fresh: list[bytes]) -> Iterator[Span]:
        for entry in entries(self._reader, manifest, on_page=fresh.append):
            if entry.kind == Kind.FILE:
                yield from spans(self._reader, entry.content)


def _compare_record(pack: StoredPack, ref: PackRef, chunks: list[PackedChunk]) -> None:
    """A pack's contents are what the record that registered it promised: so many chunks, this very trailer."""
    last = chunks[-1].blob if chunks else None
    blobs_end = HEADER.size if last is None else last.offset + last.length
    trailer_bytes = len(chunks) * CID_PREFIX_BYTES + END.size
    trailer = encode_trailer([chunk.cid for chunk in chunks], ref.size - blobs_end - trailer_bytes)
    if len(chunks) != pack.added.count or sha256(trailer) != pack.added.trailer:
        raise Damaged(f"{ref.name}: its trailer is not the one that its record promised", object=ref.name)


def _batches(found: Iterator[Span]) -> Iterator[list[Span]]:
    batch: list[Span] = []
    for span in found:
        batch.append(span)
        if len(batch) >= 4096:  # noqa: PLR2004 - one transaction's worth of lookups
            yield batch
            batch = []
    if batch:
        yield batch


def _drawn(percent: float, randomness: Randomness) -> bool:
    return percent >= 100 or int.from_bytes(randomness.token(4), "big") < percent / 100 * (1 << 32)  # noqa: PLR2004
