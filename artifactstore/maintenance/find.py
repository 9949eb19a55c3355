"""Finding files by content: in which artifacts, versions and paths they lie, whole or in part.

Only pages and chunk lists are read, never data. Versions that are deleted and not purged are searched too.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, NamedTuple

import msgspec

from artifactstore.catalog.names import shown_name
from artifactstore.catalog.rows import all_versions
from artifactstore.content.locate import Locator
from artifactstore.format.limits import CID_PREFIX_BYTES
from artifactstore.format.operations import Manifest
from artifactstore.ids import ArtifactName
from artifactstore.index.environment import Environment
from artifactstore.index.tables import presence
from artifactstore.maintenance.findings import Names, Some
from artifactstore.manifest.read import Getter, StoredEntry, find_entry, spans
from artifactstore.manifest.search import Hit, Search, SoughtFile
from artifactstore.progress import Progress
from artifactstore.transfer.fingerprint import ChunkSample, Fingerprint

# Of one file; more are counted. Each place holds the numbers of its versions.
PLACES_MAX: Final = 10_000
FINDS_MAX: Final = 1 << 20
_VERSIONS_PER_READ: Final = 1024


class Place(msgspec.Struct, frozen=True):
    """An entry that is a file looked for, or shares chunks with it, in all versions that have it at this path.

    Attributes:
        artifact: `project/name`.
        path: Where in the versions.
        digest: The entry's digest, as hex.
        size_bytes: Its bytes.
        whole: Whether it is the file itself.
        shared_bytes: How many bytes of the file looked for its chunks make up.
        versions: Numbers of the versions that are shown.
        deleted: Numbers of those that are deleted and not purged.
    """

    artifact: str
    path: str
    digest: str
    size_bytes: int
    whole: bool
    shared_bytes: int
    versions: tuple[int, ...]
    deleted: tuple[int, ...]


class FoundFile(msgspec.Struct, frozen=True):
    """What was found of one file.

    Attributes:
        name: As it was asked for.
        digest: Its plain BLAKE3, as hex.
        size_bytes: Its bytes; None where only a digest is known.
        estimated: Whether `shared_bytes` and `unused_bytes` are worked out from a part of its chunks, as they are many.
        places: Where it lies, by artifact and path; whole ones first.
        more: How often it was found beyond those, counted in each version.
        unused_bytes: How many bytes of it are stored and in no version: of a push that is not over, or left over.
        references: References whose checksum says that they are of this file, and lead to where it lies elsewhere, by
            artifact and path; all of them where that was asked for, else those of versions that had to be searched.
    """

    name: str
    digest: str
    size_bytes: int | None
    estimated: bool
    places: tuple[Place, ...]
    more: int
    unused_bytes: int
    references: tuple[Place, ...] = ()


class FindReport(msgspec.Struct, frozen=True):
    """What a search found.

    Attributes:
        files: For each file that was asked for.
        versions: Versions that were searched.
        pages: Pages that were read.
        lists: Nodes of chunk lists that were read.
        unread: Versions of which a part could not be read, so that something may be missing here.
    """

    files: tuple[FoundFile, ...]
    versions: int
    pages: int
    lists: int
    unread: Names


class Known(NamedTuple):
    """A file to look for: what is known of it."""

    name: str
    digest: bytes
    fingerprint: Fingerprint | None


class _Version(NamedTuple):
    artifact: ArtifactName
    number: int
    manifest: Manifest
    deleted: bool


class Finder:
    """One search. Used once.

    Args:
        getter: Reads pages and lists.
        environment: The client index, at the head.
        locator: Makes it complete.
        progress: Told of each version.
        references: Whether versions are searched for references also where none can hold the files.
    """

    def __init__(
        self,
        getter: Getter,
        environment: Environment,
        locator: Locator,
        progress: Progress,
        *,
        references: bool = False,
    ) -> None:
        self._references = references
        self._getter = getter
        self._environment = environment
        self._locator = locator
        self._progress = progress

    def run(self, wanted: Sequence[Known]) -> FindReport:
        """Look for files; of a digest alone, first for an entry that says what its chunks are."""
        self._locator.complete()
        known = self.with_chunks(wanted)
        stored = [self._stored(one.fingerprint) for one in known]
        search = Search(
            self._getter,
            [SoughtFile(one.digest, held) for one, held in zip(known, stored, strict=True)],
            references=True,
        )
        gathered = [_Gathered(one) for one in known]
        unread, versions = Some(), 0
        # Whose chunks are not stored is in no version: equal content is cut into equal chunks.
        if self._references or any(
            held or not one.fingerprint or not one.fingerprint.chunks
            for one, held in zip(known, stored, strict=True)
        ):
            for version, found in search.run((one, one.manifest) for one in self._versions("find")):
                versions += 1
                for hit in found.hits:
                    for number, one in enumerate(gathered):
                        one.add(version, hit, hit.shared[number])
                if found.damage is not None:
                    unread.add(f"{version.artifact}:v{version.number}")
                self._progress.advance(files=1)
        unused = [sum(held.values()) - seen for held, seen in zip(stored, search.seen, strict=True)]
        return FindReport(
            tuple(one.told(loose) for one, loose in zip(gathered, unused, strict=True)),
            versions,
            search.pages,
            search.lists,
            unread.names(),
        )

    def _versions(self, label: str) -> Iterator[_Version]:
        """Every version, some at a time: no view of the index is held while pages are read."""
        with self._environment.read() as txn:
            self._progress.start(label, files_total=sum(1 for _ in all_versions(txn)))
        after: tuple[ArtifactName, int] | None = None
        while True:
            with self._environment.read() as txn:
                lot = [
                    _Version(shown_name(txn, name), number, row.manifest, row.deleted is not None)
                    for name, number, row in islice(all_versions(txn, after=after), _VERSIONS_PER_READ)
                ]
            if not lot:
                return
            yield from lot
            after = lot[-1][:2]

    def with_chunks(self, wanted: Sequence[Known]) -> list[Known]:
        """Of files that are known by digest alone, the chunks of the first entry with that digest."""
        sought = {one.digest for one in wanted if one.fingerprint is None}
        if not sought:
            return list(wanted)
        prints: dict[bytes, Fingerprint] = {}
        search = Search(self._getter, [SoughtFile(digest) for digest in sought])
        for version, found in search.run((one, one.manifest) for one in self._versions("find by digest")):
            for hit in found.hits:
                digest = hit.identity[3]
                if digest not in prints:
                    entry = find_entry(self._getter, version.manifest, hit.identity[0])
                    if entry is not None:
                        prints[digest] = fingerprint_of(self._getter, entry)
            if len(prints) == len(sought):
                break
        return [
            one if one.fingerprint else one._replace(fingerprint=prints.get(one.digest)) for one in wanted
        ]

    def _stored(self, found: Fingerprint | None) -> dict[bytes, int]:
        """The chunks of a file that lie in any pack."""
        if found is None:
            return {}
        with self._environment.read() as txn:
            lies = presence(txn)
            return {cid: size for cid, size in found.chunks.items() if lies(cid[:CID_PREFIX_BYTES])}


def fingerprint_of(getter: Getter, entry: StoredEntry) -> Fingerprint:
    """What a version says of one of its files.

    Raises:
        Damaged: A list can't be read.
    """
    sample = ChunkSample()
    for span in spans(getter, entry.content):
        sample.add(span.cid, span.length)
    return Fingerprint(entry.digest, entry.size, sample.chunks, sample.sampled)


class _PlaceSoFar(NamedTuple):
    hit: Hit
    shared: int
    versions: list[int]
    deleted: list[int]


class _Gathered:
    """The places of one file, version by version."""

    def __init__(self, file: Known) -> None:
        self._file = file
        self._places: dict[tuple[str, bytes, ArtifactName], _PlaceSoFar] = {}
        self._referring: dict[tuple[str, bytes, ArtifactName], _PlaceSoFar] = {}
        self._finds = self._more = 0

    def add(self, version: _Version, hit: Hit, shared: int) -> None:
        path, _, _, digest, _ = hit.identity
        if not shared and self._file.digest not in {digest, hit.referred}:
            return
        places = self._referring if hit.referred else self._places
        key = path, digest, version.artifact
        place = places.get(key)
        if place is None:
            if len(self._places) + len(self._referring) >= PLACES_MAX:
                self._more += 1
                return
            place = places[key] = _PlaceSoFar(hit, shared, [], [])
        if self._finds >= FINDS_MAX:
            self._more += 1
            return
        self._finds += 1
        (place.deleted if version.deleted else place.versions).append(version.number)

    def told(self, unused: int) -> FoundFile:
        file = self._file
        known = file.fingerprint
        places = self._told(self._places)
        return FoundFile(
            file.name,
            file.digest.hex(),
            None if known is None else known.size,
            known is not None and known.sampled > 1,
            tuple(places),
            self._more,
            self._scaled(unused),
            tuple(self._told(self._referring)),
        )

    def _told(self, found: dict[tuple[str, bytes, ArtifactName], _PlaceSoFar]) -> list[Place]:
        """Places, whole ones first."""
        wanted = self._file.digest
        places = [
            Place(
                str(artifact),
                path,
                digest.hex(),
                hit.identity[2],
                digest == wanted,
                hit.identity[2] if digest == wanted else self._scaled(shared),
                tuple(versions),
                tuple(deleted),
            )
            for (path, digest, artifact), (hit, shared, versions, deleted) in found.items()
        ]
        return sorted(places, key=lambda place: (not place.whole, place.artifact, place.path))

    def _scaled(self, size: int) -> int:
        """What a number of bytes of the kept chunks stands for."""
        known = self._file.fingerprint
        if known is None or known.sampled == 1:
            return size
        kept = sum(known.chunks.values())
        return size * known.size // kept if kept else 0
