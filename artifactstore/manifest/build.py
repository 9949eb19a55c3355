"""Building a manifest from entries in path order, page by page, and a chunk list from references, node by node.

Cuts depend on content alone, so that versions which differ in few files share most pages. Memory is bounded by one or
two pages a level (invariant 18).
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple, Protocol

from blake3 import blake3

from artifactstore.errors import InvalidSource
from artifactstore.format.coding import encode
from artifactstore.format.limits import (
    FILE_BYTES_MAX,
    INLINE_CHUNKS_MAX,
    LIST_CUT_MASK,
    LIST_DEPTH_MAX,
    LIST_REFERENCES_MAX,
    LIST_REFERENCES_MIN,
    PAGE_CHILDREN_MIN,
    PAGE_CUT_MASK,
    PAGE_ENTRIES_MAX,
    PAGE_ENTRIES_MIN,
    PAGE_LEVEL_MAX,
    PAGE_PATH_BYTES_MAX,
)
from artifactstore.format.operations import Manifest
from artifactstore.format.pack import PackType
from artifactstore.format.page import (
    Content,
    Identity,
    Kind,
    ListNode,
    Page,
    chunks_root,
    page_chunks,
    page_digest,
)


class Putter(Protocol):
    """What stores a chunk and names it."""

    def put_one(self, kind: PackType, data: bytes) -> bytes:
        """Store one chunk and return its cid."""
        ...


class ManifestBuilder:
    """Takes entries in path order and returns the manifest.

    Args:
        putter: Stores pages.

    Not thread-safe.
    """

    def __init__(self, putter: Putter) -> None:
        self._leaves = _Level(0, putter)
        self._levels = [self._leaves]
        self._putter = putter
        self.size = 0
        self.entries = 0

    def add(self, identity: Identity, content: Content) -> None:
        """Add the next entry; its path sorts after all before it.

        Raises:
            InvalidSource: The files and references are larger together than a version may be.
        """
        self._count(identity, 1)
        emitted = self._leaves.add(identity, content)
        if emitted is not None:
            self._add(1, emitted.identity, emitted.content)

    def add_page(self, level: int, identity: Identity, content: Content, read: Callable[[], Page]) -> bool:
        """Take a whole page of another manifest as it is, where the same entries would fill the same page here.

        They do where a page of each level up to this one has just ended, and what follows the page here begins with the
        path that follows it there; the second is the caller's to know.

        Args:
            level: The page's.
            identity: What the page above it says of it.
            content: Likewise.
            read: Reads it, when an entry has to join it after all.

        Returns:
            Whether it was taken; where not, its entries are to be added.
        """
        for below in range(level + 1):
            if below >= len(self._levels):
                break
            if not self._levels[below].at_boundary:
                return False
            # Two children at least of each level follow, so that what is held back there can't be joined any more.
            emitted = self._levels[below].flush() if 0 < below < level else None
            if emitted is not None:
                self._add(below + 1, emitted.identity, emitted.content)
        while len(self._levels) <= level:
            self._levels.append(_Level(len(self._levels), self._putter))
        self._count(identity, content.sizes[0])
        for passed in self._levels[:level]:
            passed.pass_over()
        emitted = self._levels[level].take(_Emitted(content.cids, identity, content), read)
        if emitted is not None:
            self._add(level + 1, emitted.identity, emitted.content)
        return True

    def finish(self) -> Manifest:
        """Close every level and return the root."""
        level = 0
        while True:
            only = self._levels[level].only_child() if level + 1 == len(self._levels) else None
            if only is not None:
                # The last entry ended a page and nothing follows: a page above would have one child.
                return self._manifest(only, level - 1)
            emitted = self._levels[level].finish()
            if level + 1 == len(self._levels) and len(emitted) == 1:
                return self._manifest(emitted[0], level)
            for page in emitted:
                self._add(level + 1, page.identity, page.content)
            level += 1

    def _count(self, identity: Identity, entries: int) -> None:
        self.size += identity[2]
        self.entries += entries
        if self.size > FILE_BYTES_MAX:
            raise InvalidSource(
                f"with {identity[0]!r} the version is larger than {FILE_BYTES_MAX} bytes", path=identity[0]
            )

    def _manifest(self, root: "_Emitted", level: int) -> Manifest:
        digest, chunks = root.identity[3], root.content.chunks
        return Manifest(root.cid, level, digest, self.size, self.entries, chunks)

    def _add(self, level: int, identity: Identity, content: Content) -> None:
        if level > PAGE_LEVEL_MAX:
            raise InvalidSource("there are more entries than a manifest can hold")
        if level == len(self._levels):
            self._levels.append(_Level(level, self._putter))
        emitted = self._levels[level].add(identity, content)
        if emitted is not None:
            self._add(level + 1, emitted.identity, emitted.content)


class _Emitted(NamedTuple):
    """A finished page as its parent holds it."""

    cid: bytes
    identity: Identity
    content: Content


class _Held(NamedTuple):
    """A page that is complete unless a lone last child joins it: its entries, or where it is stored already."""

    entries: Callable[[], tuple[list[Identity], list[Content]]]
    stored: _Emitted | None


class _Level:
    """One level of the tree: the page being filled, and above the leaves the page before it.

    Above the leaves a page is held back until the next one has two children, since a lone last child joins the page
    before it.
    """

    def __init__(self, level: int, putter: Putter) -> None:
        self._level = level
        self._prefix = bytes([level])
        self._minimum = PAGE_ENTRIES_MIN if level == 0 else PAGE_CHILDREN_MIN
        self._putter = putter
        self._identities: list[Identity] = []
        self._contents: list[Content] = []
        self._path_bytes = 0
        self._held: _Held | None = None
        self._emitted_any = False

    def add(self, identity: Identity, content: Content) -> _Emitted | None:
        path = identity[0].encode()
        length = len(path) + len(content.target.encode()) if content.target else len(path)
        emitted = None
        # No page exceeds the bound on bytes of paths and targets: the entry that would begins the next one.
        if self._identities and self._path_bytes + length > PAGE_PATH_BYTES_MAX:
            emitted = self._cut()
        self._identities.append(identity)
        self._contents.append(content)
        self._path_bytes += length
        count = len(self._contents)
        if self._held is not None and count == PAGE_CHILDREN_MIN:
            emitted = self.flush()
        if count >= self._minimum and (
            count >= PAGE_ENTRIES_MAX
            or not int.from_bytes(blake3(self._prefix + path).digest(4), "big") & PAGE_CUT_MASK
        ):
            assert emitted is None or self._level > 0
            cut = self._cut()
            emitted = emitted or cut
        return emitted

    def _cut(self) -> _Emitted | None:
        page = self._identities, self._contents
        self._identities, self._contents, self._path_bytes = [], [], 0
        if self._level == 0:
            return self._emit(*page)
        assert self._held is None
        self._held = _Held(lambda: page, None)
        return None

    @property
    def at_boundary(self) -> bool:
        """Whether no page is begun."""
        return not self._identities

    def flush(self) -> _Emitted | None:
        """Emit the page that is held back, if one is."""
        held, self._held = self._held, None
        if held is None:
            return None
        self._emitted_any = True
        return held.stored or self._emit(*held.entries())

    def pass_over(self) -> None:
        """Note that pages of this level were taken with one above them."""
        self._emitted_any = True

    def take(self, page: _Emitted, read: Callable[[], Page]) -> _Emitted | None:
        """Take a page that is stored; return what goes to the level above."""
        if not self._level:
            self._emitted_any = True
            return page
        emitted = self.flush()

        def entries() -> tuple[list[Identity], list[Content]]:
            found = read()
            return found.identities, found.contents

        self._held = _Held(entries, page)
        return emitted

    def only_child(self) -> _Emitted | None:
        """The one page below, when there is no other."""
        if not self._level or self._emitted_any or self._held is not None or len(self._identities) != 1:
            return None
        return _Emitted(self._contents[0].cids, self._identities[0], self._contents[0])

    def finish(self) -> list[_Emitted]:
        """The last pages of the level; an empty version has one empty leaf."""
        pages: list[_Emitted] = []
        rest = (self._identities, self._contents)
        if self._held is not None and len(rest[0]) == 1:
            held, self._held = self._held.entries(), None
            rest = (held[0] + rest[0], held[1] + rest[1])
        emitted = self.flush()
        if emitted is not None:
            pages.append(emitted)
        if rest[0] or (not pages and not self._emitted_any):
            pages.append(self._emit(*rest))
        return pages

    def _emit(self, identities: list[Identity], contents: list[Content]) -> _Emitted:
        self._emitted_any = True
        cid = self._putter.put_one(PackType.PAGE, encode(Page(self._level, identities, contents)))
        digest = page_digest(identities)
        size = sum(identity[2] for identity in identities)
        count = len(identities) if self._level == 0 else sum(content.sizes[0] for content in contents)
        first = identities[0][0] if identities else ""
        content = Content(0, cid, [count], chunks=page_chunks(contents))
        return _Emitted(cid, (first, Kind.PAGE, size, digest, 0), content)


class ListBuilder:
    """Takes (cid, length) references of one file in order and returns its content.

    Up to 64 stay inline; beyond that they become a tree of nodes, cut where a cid says so.

    Not thread-safe.
    """

    def __init__(self, putter: Putter) -> None:
        self._putter = putter
        # Of the references at each level: cids, bytes below, and of nodes what stands for the chunks below.
        self._levels: list[tuple[list[bytes], list[int], list[bytes]]] = [([], [], [])]
        self._nodes = False

    def add(self, cid: bytes, size: int) -> None:
        """Add the next reference."""
        self._add(0, cid, size, b"")

    def extend(self, references: Iterable[tuple[bytes, int]]) -> None:
        """Add several references."""
        for cid, size in references:
            self._add(0, cid, size, b"")

    def finish(self) -> Content:
        """Close the list."""
        cids, sizes, _ = self._levels[0]
        if not self._nodes and len(cids) <= INLINE_CHUNKS_MAX:
            return Content(0, b"".join(cids), sizes)
        level = 0
        while True:
            cids, sizes, chunks = self._levels[level]
            top = level + 1 == len(self._levels)
            if top and level > 0 and len(cids) == 1:
                return Content(level, cids[0], sizes, chunks=chunks[0])
            if cids:
                self._emit(level)
            level += 1

    def _add(self, level: int, cid: bytes, size: int, chunks: bytes) -> None:
        if level == len(self._levels):
            if level > LIST_DEPTH_MAX:
                raise InvalidSource("a file is larger than a chunk list can hold")
            self._levels.append(([], [], []))
        cids, sizes, below = self._levels[level]
        cids.append(cid)
        sizes.append(size)
        if level:
            below.append(chunks)
        count = len(cids)
        if count >= LIST_REFERENCES_MAX or (
            count >= LIST_REFERENCES_MIN and not int.from_bytes(cid[-4:], "big") & LIST_CUT_MASK
        ):
            self._emit(level)

    def _emit(self, level: int) -> None:
        cids, sizes, below = self._levels[level]
        self._levels[level] = ([], [], [])
        self._nodes = True
        joined = b"".join(cids)
        node = encode(ListNode(level + 1, joined, sizes))
        chunks = chunks_root(b"", list(zip(cids, below, strict=True))) if level else chunks_root(joined)
        self._add(level + 1, self._putter.put_one(PackType.LIST, node), sum(sizes), chunks)
