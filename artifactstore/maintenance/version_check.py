"""Checking versions: which of them, and which of their files, miss something, and because of which object.

A walk goes on where a reader would stop: a page, a list or a chunk that can't be had is noted with the version and the
paths that miss it. Pages that many versions share are walked once, unless something below them is missing.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from artifactstore.catalog.begun import open_pushes
from artifactstore.catalog.names import shown_name
from artifactstore.catalog.rows import all_versions
from artifactstore.content.get import ChunkReader
from artifactstore.errors import Damaged, HostileManifest
from artifactstore.format.operations import Manifest
from artifactstore.format.page import Identity, Kind, Page
from artifactstore.index.environment import Environment
from artifactstore.index.tables import PackTable, locations
from artifactstore.maintenance.findings import BrokenPack, Names, Problem, Some
from artifactstore.manifest.read import Node, PathGuard, Span, child_node, read_page, root_node, spans
from artifactstore.progress import Progress

_SPANS_TOGETHER: Final = 4096


class VersionsChecked(NamedTuple):
    """What a check of the versions found.

    Attributes:
        versions: Versions that were walked.
        hurt: How many of them miss something.
        located: References to chunks that were located.
        by_pack: For each broken pack that something is missing because of: versions and paths.
        problems: What is wrong with versions and lies in no pack.
    """

    versions: int
    hurt: int
    located: int
    by_pack: dict[int, tuple[Names, Names]]
    problems: list[Problem]


class _Known(NamedTuple):
    """A page below which everything was found, with the first and the last entry below it."""

    node: Node
    first: Identity
    last: Identity


class _Hurt:
    """Who misses something because of one pack."""

    def __init__(self) -> None:
        self.versions = Some()
        self.paths = Some()


class VersionCheck:
    """One check of all versions. Used once.

    Args:
        reader: Reads pages and lists.
        environment: The client index.
        packs: Its pack table.
        broken: Broken packs by number.
        suspect: Called with the number of a pack that did not give what it should; it is in `broken` then, or whole.
        progress: Told of each version.
    """

    def __init__(
        self,
        reader: ChunkReader,
        environment: Environment,
        packs: PackTable,
        broken: Mapping[int, BrokenPack],
        suspect: Callable[[int], None],
        progress: Progress,
    ) -> None:
        self._reader = reader
        self._environment = environment
        self._packs = packs
        self._broken = broken
        self._suspect = suspect
        self._progress = progress
        self._whole: dict[bytes, _Known] = {}
        self._hurt: dict[int, _Hurt] = {}
        self._problems: list[Problem] = []
        self._located = 0

    def run(self) -> VersionsChecked:
        """Walk every version, and every finished part of a distributed push."""
        with self._environment.read() as txn:
            manifests = [
                (f"{shown_name(txn, name)}:v{number}", row.manifest)
                for name, number, row in all_versions(txn)
            ]
            versions = len(manifests)
            manifests += [
                (f"part {part} of a push to {one.row.project}/{one.row.name}", row.manifest)
                for one in open_pushes(txn)
                for part, row in one.finished.items()
            ]
        self._progress.start("check versions", files_total=len(manifests))
        hurt = 0
        for reference, manifest in manifests:
            walk = _Walk(self, reference)
            if not walk.run(manifest):
                hurt += 1
            self._problems += walk.problems()
            self._progress.advance(files=1)
        by_pack = {number: (one.versions.names(), one.paths.names()) for number, one in self._hurt.items()}
        return VersionsChecked(versions, hurt, self._located, by_pack, self._problems)

    # --- for one walk ----------------------------------------------------------------------------------------

    @property
    def reader(self) -> ChunkReader:
        """Reads pages and lists."""
        return self._reader

    def known(self, node: Node) -> _Known | None:
        """A page that was walked before as what the page above says of it now, nothing below it missing."""
        known = self._whole.get(node.cid)
        same = known is not None and known.node[:-1] == node[:-1] and node.first in {None, known.first[0]}
        return known if same else None

    def remember(self, node: Node, first: Identity, last: Identity) -> None:
        """A page below which nothing is missing."""
        self._whole[node.cid] = _Known(node, first, last)

    def missing(self, together: Sequence[tuple[str, Span]]) -> list[tuple[tuple[str, Span], list[int]]]:
        """Those of some chunks that can't be had, each with the packs that held it.

        Raises:
            HostileManifest: A chunk has another length than the manifest declares.
        """
        self._located += len(together)
        lost: list[tuple[tuple[str, Span], list[int]]] = []
        with self._environment.read() as txn:
            for wanted in together:
                span = wanted[1]
                found = locations(txn, span.cid)
                if found and found[0].span != span.length:
                    raise HostileManifest(
                        f"chunk {span.cid.hex()[:16]}… has {found[0].span} bytes, {span.length} declared",
                        chunk=span.cid.hex(),
                    )
                if not any(self._gives(at.pack, at.ordinal) for at in found):
                    lost.append((wanted, sorted({at.pack for at in found})))
        return lost

    def holders(self, error: Damaged, page: bytes | None) -> list[int]:
        """The broken packs that a page or list lay in, which could not be read."""
        with self._environment.read() as txn:
            name = _pack_in(error)
            named = None if name is None else self._packs.number_of(txn, name)
            found = set() if page is None else {at.pack for at in locations(txn, page)}
        if named is not None:
            found.add(named)
        for number in found - self._broken.keys():
            self._suspect(number)
        return sorted(found & self._broken.keys())

    def note(self, packs: list[int], reference: str, path: str) -> None:
        """A version misses a path because of these packs."""
        for number in packs:
            hurt = self._hurt.setdefault(number, _Hurt())
            hurt.versions.add(reference)
            hurt.paths.add(f"{reference} {path}")

    def _gives(self, pack: int, ordinal: int) -> bool:
        broken = self._broken.get(pack)
        return broken is None or broken.gives(ordinal)


class _Walk:
    """The walk of one version. Used once."""

    def __init__(self, check: VersionCheck, reference: str) -> None:
        self._check = check
        self._reference = reference
        self._guard = PathGuard()
        self._losses = 0
        self._elsewhere = Some()
        self._why: Damaged | None = None
        self._refused: HostileManifest | None = None

    def run(self, manifest: Manifest) -> bool:
        """Walk the version; return whether all of it is there."""
        try:
            self._node(root_node(manifest))
        except HostileManifest as error:
            self._refused = error
            return False
        return not self._losses

    def problems(self) -> list[Problem]:
        """What is wrong with the version and lies in no broken pack."""
        told = ((self._refused, Names()), (self._why, self._elsewhere.names()))
        return [
            Problem(
                error.kind,
                self._reference,
                error.message,
                "version",
                Names((self._reference,), 1),
                paths,
                error.next_step,
            )
            for error, paths in told
            if error is not None
        ]

    def _node(self, node: Node) -> None:
        known = self._check.known(node)
        if known is not None:
            self._guard.pass_over(known.first, known.last)
            return
        losses = self._losses
        try:
            page = read_page(self._check.reader, node)
        except Damaged as error:
            self._lose(error, node.cid, f"(all paths of a page, from {node.first or 'the first'} on)")
            return
        first = page.identities[0] if page.identities else None
        if page.level == 0:
            self._leaf(page)
        else:
            for identity, content in zip(page.identities, page.contents, strict=True):
                child = child_node(page, identity, content)
                self._node(child)
                if identity is first:
                    below = self._check.known(child)
                    first = None if below is None else below.first
        last = self._guard.last
        if first is not None and last is not None and losses == self._losses:
            self._check.remember(node, first, last)

    def _leaf(self, page: Page) -> None:
        together: list[tuple[str, Span]] = []
        for identity, content in zip(page.identities, page.contents, strict=True):
            self._guard.check(identity)
            if identity[1] != Kind.FILE:
                continue
            path = identity[0]
            try:
                for span in spans(self._check.reader, content):
                    together.append((path, span))
                    if len(together) >= _SPANS_TOGETHER:
                        self._chunks(together)
                        together = []
            except Damaged as error:
                if isinstance(error, HostileManifest):
                    raise
                self._lose(error, None, path)
        self._chunks(together)

    def _chunks(self, together: Sequence[tuple[str, Span]]) -> None:
        for (path, span), packs in self._check.missing(together):
            if not packs:
                error = Damaged(
                    f"chunk {span.cid.hex()[:16]}… has no location left",
                    next_step="artifactstore index rebuild; if it is still missing then, push the file again",
                )
                self._lose(error, None, path)
                continue
            self._losses += 1
            self._check.note(packs, self._reference, path)

    def _lose(self, error: Damaged, page: bytes | None, path: str) -> None:
        """Note what can't be read, with the pack that it lay in where that is broken."""
        self._losses += 1
        packs = self._check.holders(error, page)
        if packs:
            self._check.note(packs, self._reference, path)
        else:
            self._why = self._why or error
            self._elsewhere.add(f"{self._reference} {path}")


def _pack_in(error: Damaged) -> bytes | None:
    """The name of the pack that an error tells of."""
    named = str(error.facts.get("object", "")).rpartition("/")[2]
    return bytes.fromhex(named) if re.fullmatch(r"[0-9a-f]{64}", named) else None
