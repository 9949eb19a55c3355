"""Walking a manifest: entries in path order, one entry by path, the chunks of a file by offset.

Everything that a hostile writer with the key could have put there is refused here, before anyone acts on it: paths
that no honest push makes, sizes that contradict each other, trees that are deeper than the format allows.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Final, NamedTuple, Protocol, TypeVar

from artifactstore.errors import Damaged, HostileManifest
from artifactstore.format.limits import CID_BYTES
from artifactstore.format.operations import Manifest
from artifactstore.format.pack import PackType
from artifactstore.format.page import (
    EXECUTABLE,
    Content,
    Identity,
    Kind,
    Page,
    decode_list,
    decode_page,
    page_chunks,
    page_digest,
    path_order,
)
from artifactstore.format.reference import Reference, parse_reference
from artifactstore.manifest.paths import OpenFolders, path_problem

# Bounds the memory of a walk; names further apart in one folder are not compared. Hashes are salted by the process.
_FOLDED_NAMES_MAX: Final = 1 << 18

# Pages and list nodes that are read together; the first alone, as somebody waits for it and may have to look it up.
_TOGETHER_AT_FIRST: Final = 1
_TOGETHER_MAX: Final = 64

T = TypeVar("T")


class Getter(Protocol):
    """What reads a chunk, verified."""

    def read(self, kind: PackType, cid: bytes) -> bytes:
        """The bytes of one chunk."""
        ...

    def read_many(self, kind: PackType, cids: Sequence[bytes]) -> list[bytes]:
        """The bytes of a few chunks, asked for together."""
        ...


class StoredEntry(NamedTuple):
    """One entry of a version, with where its bytes lie."""

    identity: Identity
    content: Content

    @property
    def path(self) -> str:
        """The path within the version."""
        return self.identity[0]

    @property
    def kind(self) -> int:
        """A `Kind`."""
        return self.identity[1]

    @property
    def size(self) -> int:
        """Bytes of the file, at its source for a reference; 0 for folders."""
        return self.identity[2]

    @property
    def digest(self) -> bytes:
        """Plain BLAKE3 of the bytes; of a reference, of what it says."""
        return self.identity[3]

    @property
    def executable(self) -> bool:
        """Whether the executable bit is set."""
        return bool(self.identity[4] & EXECUTABLE)

    @property
    def reference(self) -> Reference:
        """What an entry of kind `reference` says.

        Raises:
            HostileManifest: It says nothing that an honest writer does; a page that was opened holds no such entry.
        """
        found = parse_reference(self.content.target, self.size)
        if found is None:
            raise HostileManifest(f"{self.path!r} is no reference", path=self.path)
        return found


class Span(NamedTuple):
    """One chunk of a file: its cid, its first byte in the file, its length."""

    cid: bytes
    start: int
    length: int


def entries(getter: Getter, manifest: Manifest) -> Iterator[StoredEntry]:
    """Yield a version's entries in path order, each checked.

    Args:
        getter: Reads pages.
        manifest: The version's root.

    Raises:
        Damaged: A page is missing, or contradicts its parent.
        HostileManifest: An entry has a path that no honest writer produces.
    """
    guard = PathGuard()
    for identity, content in _walk(getter, root_node(manifest)):
        guard.check(identity)
        yield StoredEntry(identity, content)


class Node(NamedTuple):
    """What stands above a page says of it; `first` is None for the root, which has nothing to say of paths."""

    cid: bytes
    level: int
    digest: bytes
    size: int
    entries: int
    chunks: bytes
    first: str | None


def root_node(manifest: Manifest) -> Node:
    """What a version says of its root page."""
    return Node(
        manifest.cid, manifest.level, manifest.digest, manifest.size, manifest.entries, manifest.chunks, None
    )


def _walk(getter: Getter, node: Node) -> Iterator[tuple[Identity, Content]]:
    yield from _walk_page(getter, read_page(getter, node))


def _walk_page(getter: Getter, page: Page) -> Iterator[tuple[Identity, Content]]:
    if page.level == 0:
        yield from zip(page.identities, page.contents, strict=True)
        return
    children = [child_node(page, *entry) for entry in zip(page.identities, page.contents, strict=True)]
    for nodes in _ahead(children):
        read = getter.read_many(PackType.PAGE, [node.cid for node in nodes])
        for node, data in zip(nodes, read, strict=True):
            yield from _walk_page(getter, open_page(node, data))


def _ahead(nodes: Sequence[T]) -> Iterator[Sequence[T]]:
    """Split the nodes below one into those that are read together."""
    yield nodes[:_TOGETHER_AT_FIRST]
    for start in range(_TOGETHER_AT_FIRST, len(nodes), _TOGETHER_MAX):
        yield nodes[start : start + _TOGETHER_MAX]


def child_node(page: Page, identity: Identity, content: Content) -> Node:
    """What a page says of one below it."""
    return Node(
        content.cids, page.level - 1, identity[3], identity[2], content.sizes[0], content.chunks, identity[0]
    )


def read_page(getter: Getter, node: Node) -> Page:
    """Read one page and hold it against what its parent says of it."""
    return open_page(node, getter.read(PackType.PAGE, node.cid))


def open_page(node: Node, data: bytes) -> Page:
    """Open a page that was read, and hold it against what its parent says of it.

    A page below another has entries, and begins with the path that the other says: since paths rise, no page can
    occur twice in one walk, however its parents are woven.
    """
    where = f"page {node.cid.hex()[:16]}…"
    page = decode_page(data, where)
    found = len(page.identities) if page.level == 0 else sum(content.sizes[0] for content in page.contents)
    first = page.identities[0][0] if page.identities else ""
    if (
        page.level != node.level
        or page_digest(page.identities) != node.digest
        or sum(identity[2] for identity in page.identities) != node.size
        or found != node.entries
        or page_chunks(page.contents) != node.chunks
        or node.first not in {None, first}
    ):
        raise Damaged(f"{where} contradicts what stands above it", object=where)
    return page


class _Names(OpenFolders[None]):
    """Keeps of a name that it was there."""

    def kept(self, _: str) -> None:
        """Nothing: a million names may be seen."""

    def refuse(self, folder: str, name: str, _: None) -> None:
        """Name the path."""
        raise HostileManifest(
            f"the manifest holds {folder + name!r} and a name beside it that differs by case or form only",
            path=folder + name,
        )


class PathGuard:
    """Refuses paths across a whole walk: order, collisions by file and folder, by case and form, forbidden names.

    Attributes:
        last: The entry that was checked last.
    """

    def __init__(self) -> None:
        self.last: Identity | None = None
        self._names = _Names(_FOLDED_NAMES_MAX)

    def check(self, identity: Identity) -> None:
        """Refuse an entry that can't stand after the last one.

        Raises:
            HostileManifest: It can't.
        """
        path = identity[0]
        problem = path_problem(path)
        if problem:
            raise HostileManifest(f"the manifest holds {path!r}: {problem}", path=path)
        last = self.last
        if last is not None:
            if path_order(path) <= path_order(last[0]):
                raise HostileManifest(f"the manifest holds {path!r} out of order", path=path)
            if path.startswith(last[0] + "/"):
                raise HostileManifest(
                    f"the manifest holds {last[0]!r} both as an entry and as a folder of {path!r}", path=path
                )
        self._names.enter(path)
        self.last = identity

    def pass_over(self, first: Identity, last: Identity) -> None:
        """Take entries as checked that were checked among each other before.

        Raises:
            HostileManifest: They can't stand after the last one.
        """
        self.check(first)
        self.last = last


def find_entry(getter: Getter, manifest: Manifest, path: str) -> StoredEntry | None:
    """The entry at `path`, reading one page a level."""
    node = root_node(manifest)
    order = path_order(path)
    while True:
        page = read_page(getter, node)
        if page.level == 0:
            for identity, content in zip(page.identities, page.contents, strict=True):
                if identity[0] == path:
                    PathGuard().check(identity)
                    return StoredEntry(identity, content)
            return None
        chosen: Node | None = None
        for identity, content in zip(page.identities, page.contents, strict=True):
            if path_order(identity[0]) > order:
                break
            chosen = child_node(page, identity, content)
        if chosen is None:
            return None
        node = chosen


def spans(
    getter: Getter,
    content: Content,
    start: int = 0,
    stop: int | None = None,
    on_list: Callable[[bytes], None] | None = None,
) -> Iterator[Span]:
    """Yield the chunks of a file that overlap [start, stop), reading only the list nodes on the way.

    Raises:
        Damaged: A list node is missing or contradicts its parent.
    """
    total = sum(content.sizes)
    yield from _spans(
        getter, content.depth, content.cids, content.sizes, 0, start, total if stop is None else stop, on_list
    )


def _spans(
    getter: Getter,
    depth: int,
    cids: bytes,
    sizes: list[int],
    base: int,
    start: int,
    stop: int,
    on_list: Callable[[bytes], None] | None,
) -> Iterator[Span]:
    overlapping: list[Span] = []
    for at, size in enumerate(sizes):
        if base >= stop:
            break
        if base + size > start:
            overlapping.append(Span(cids[at * CID_BYTES : (at + 1) * CID_BYTES], base, size))
        base += size
    if depth == 0:
        yield from overlapping
        return
    for nodes in _ahead(overlapping):
        read = getter.read_many(PackType.LIST, [span.cid for span in nodes])
        for span, data in zip(nodes, read, strict=True):
            if on_list is not None:
                on_list(span.cid)
            node = decode_list(data, depth, span.length, f"list {span.cid.hex()[:16]}…")
            yield from _spans(getter, depth - 1, node.cids, node.sizes, span.start, start, stop, on_list)


def read_lists_ahead(getter: Getter, contents: Iterable[Content], lists_max: int) -> None:
    """Read the chunk lists of many files, those of one level together, for a getter that keeps what it opens.

    What is missing or malformed shows where the list is needed.

    Args:
        getter: Reads and keeps them.
        contents: Where the bytes of the files lie.
        lists_max: How many lists to read at most.
    """
    level = [(each.depth, each.cids, each.sizes) for each in contents if each.depth]
    while level and lists_max > 0:
        nodes = [
            (depth, cids[at * CID_BYTES : (at + 1) * CID_BYTES], size)
            for depth, cids, sizes in level
            for at, size in enumerate(sizes)
        ][:lists_max]
        lists_max -= len(nodes)
        level = []
        with suppress(Damaged):
            for start in range(0, len(nodes), _TOGETHER_MAX):
                part = nodes[start : start + _TOGETHER_MAX]
                read = getter.read_many(PackType.LIST, [cid for _, cid, _ in part])
                for (depth, cid, size), data in zip(part, read, strict=True):
                    if depth > 1:
                        node = decode_list(data, depth, size, f"list {cid.hex()[:16]}…")
                        level.append((depth - 1, node.cids, node.sizes))


def kind_name(kind: int) -> str:
    """The word for a kind: file, symlink, folder or reference."""
    return Kind(kind).name.lower()


__all__ = ["Getter", "Span", "StoredEntry", "entries", "find_entry", "kind_name", "spans"]
