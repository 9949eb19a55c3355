"""A manifest that differs from another in a few paths, made without touching the pages in between.

What is given is a version and changes to it: paths that are added or replaced, and paths or folders that are removed.
What comes out is what the new version holds, in path order: entries where something changes, and whole pages elsewhere,
of which a builder takes those that fall together with pages of its own. So a draft costs what changed.
"""

from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

from artifactstore.format.operations import Manifest
from artifactstore.format.page import Content, Identity, Page, path_order
from artifactstore.manifest.build import ManifestBuilder
from artifactstore.manifest.read import Getter, Node, StoredEntry, child_node, read_page, root_node

_PAGES_KEPT_MAX: Final = 64
# Sorts after a folder's name and everything in it, and before whatever else begins like it.
_AFTER_FOLDER: Final = "\x01"

T = TypeVar("T")


class Whole(NamedTuple):
    """A page of another version, nothing below which changes.

    Attributes:
        node: Where it is, and what is said of it there.
        identity: What the page above it says of it.
        content: Likewise.
    """

    node: Node
    identity: Identity
    content: Content


class Changes(Generic[T]):
    """What becomes of a version: paths with what is put there, and paths or folders that are removed.

    Args:
        added: Path to what is put there.
        removed: Paths of entries and folders; what is added below one stays.
    """

    def __init__(self, added: Iterable[tuple[str, T]], removed: Iterable[str]) -> None:
        self._rows = sorted((path_order(path), path, what) for path, what in added)
        self._orders = [order for order, _, _ in self._rows]
        ranges: list[tuple[str, str]] = []
        for start in sorted(path_order(path) for path in removed):
            if not ranges or start >= ranges[-1][1]:
                ranges.append((start, start + _AFTER_FOLDER))
        self._removed = ranges
        self._starts = [start for start, _ in ranges]

    def added(self, start: str | None, stop: str | None) -> list[tuple[str, T]]:
        """What is added from one order on and before another, in order; None for no bound."""
        first = 0 if start is None else bisect_left(self._orders, start)
        last = len(self._orders) if stop is None else bisect_left(self._orders, stop)
        return [(path, what) for _, path, what in self._rows[first:last]]

    def adds(self, path: str) -> bool:
        """Whether something is put at this path."""
        order = path_order(path)
        at = bisect_left(self._orders, order)
        return at < len(self._orders) and self._orders[at] == order

    def removes(self, path: str) -> bool:
        """Whether an entry at this path is removed, by itself or with a folder."""
        return self.removes_all(order := path_order(path), order)

    def removes_all(self, first: str, last: str | None) -> bool:
        """Whether everything from one order up to another is removed with one folder."""
        at = bisect_left(self._starts, first)
        spans = [self._removed[one] for one in (at - 1, at) if 0 <= one < len(self._removed)]
        return last is not None and any(start <= first and last < stop for start, stop in spans)

    def touches(self, first: str, last: str | None) -> bool:
        """Whether anything is added or removed from one order up to another, that included; None for no end."""
        at = bisect_left(self._orders, first)
        if at < len(self._orders) and (last is None or self._orders[at] <= last):
            return True
        return any(stop > first and (last is None or start <= last) for start, stop in self._removed)


class Pages:
    """Reads the pages of versions, and keeps the last ones.

    Args:
        getter: Reads them.

    Not thread-safe.
    """

    def __init__(self, getter: Getter) -> None:
        self._getter = getter
        # With the orders of its paths, which cost more to make than a page to search.
        self._kept: OrderedDict[bytes, tuple[Page, list[str]]] = OrderedDict()

    def read(self, node: Node) -> Page:
        """One page, held against what its parent says of it."""
        return self._read(node)[0]

    def _read(self, node: Node) -> tuple[Page, list[str]]:
        found = self._kept.get(node.cid)
        if found is None:
            page = read_page(self._getter, node)
            found = page, [path_order(identity[0]) for identity in page.identities]
            self._kept[node.cid] = found
            if len(self._kept) > _PAGES_KEPT_MAX:
                self._kept.popitem(last=False)
        self._kept.move_to_end(node.cid)
        return found

    def entries_from(self, manifest: Manifest, path: str) -> Iterator[StoredEntry]:
        """The entries of a version from where `path` is or would be, in path order; pages are read as they come."""
        yield from self._from(root_node(manifest), path_order(path))

    def _from(self, node: Node, order: str) -> Iterator[StoredEntry]:
        page, orders = self._read(node)
        at = bisect_left(orders, order)
        if not page.level:
            for row in range(at, len(orders)):
                yield StoredEntry(page.identities[row], page.contents[row])
            return
        # The page before may hold what sorts between its first path and this one's.
        for row in range(max(0, at - (at == len(orders) or orders[at] != order)), len(orders)):
            yield from self._from(child_node(page, page.identities[row], page.contents[row]), order)

    def at(self, manifest: Manifest, path: str) -> StoredEntry | None:
        """The entry at a path."""
        found = next(self.entries_from(manifest, path), None)
        return found if found is not None and found.path == path else None

    def below(self, manifest: Manifest, prefix: str) -> Iterator[StoredEntry]:
        """The entries of which the path begins with some text, in path order."""
        for entry in self.entries_from(manifest, prefix):
            if not entry.path.startswith(prefix):
                return
            yield entry


def spliced(
    pages: Pages, manifest: Manifest, changes: Changes[T]
) -> Iterator[tuple[str, T] | StoredEntry | Whole]:
    """Yield what a version holds after changes: (path, what is added), entries that stay, and pages that stay whole.

    Args:
        pages: Reads the version's pages.
        manifest: The version.
        changes: What becomes of it.
    """
    root = root_node(manifest)
    page = pages.read(root)
    first = path_order(page.identities[0][0]) if page.identities else None
    if first is not None:
        yield from changes.added(None, first)
    yield from _below(pages, page, None, changes)


def _below(
    pages: Pages, page: Page, stop: str | None, changes: Changes[T]
) -> Iterator[tuple[str, T] | StoredEntry | Whole]:
    if not page.level:
        yield from _merged(page, stop, changes)
        return
    firsts: list[str | None] = [path_order(identity[0]) for identity in page.identities]
    for at, (identity, content) in enumerate(zip(page.identities, page.contents, strict=True)):
        first, after = path_order(identity[0]), (*firsts, stop)[at + 1]
        node = child_node(page, identity, content)
        if not changes.touches(first, after):
            yield Whole(node, identity, content)
        elif changes.removes_all(first, after):
            yield from changes.added(first, after)
        else:
            yield from _below(pages, pages.read(node), after, changes)


def _merged(page: Page, stop: str | None, changes: Changes[T]) -> Iterator[tuple[str, T] | StoredEntry]:
    """The entries of one leaf, with what is added among them and up to the next."""
    at: str | None = path_order(page.identities[0][0]) if page.identities else None
    for identity, content in zip(page.identities, page.contents, strict=True):
        order = path_order(identity[0])
        yield from changes.added(at, order)
        at = order
        if not changes.adds(identity[0]) and not changes.removes(identity[0]):
            yield StoredEntry(identity, content)
    yield from changes.added(at, stop)


class Spliced(NamedTuple):
    """A page of another version on its way into a manifest."""

    pages: Pages
    whole: Whole

    @property
    def size(self) -> int:
        """Bytes of the files below it."""
        return self.whole.node.size

    @property
    def entries(self) -> int:
        """Entries below it."""
        return self.whole.node.entries

    def below(self) -> Iterator[StoredEntry]:
        """The entries below it."""
        waiting = [self.whole.node]
        while waiting:
            page = self.pages.read(waiting.pop())
            rows = list(zip(page.identities, page.contents, strict=True))
            if page.level:
                waiting += [child_node(page, *row) for row in reversed(rows)]
            else:
                yield from (StoredEntry(*row) for row in rows)

    def add_to(self, builder: ManifestBuilder) -> Sequence[bytes]:
        """Add what is below it; return the cids of the pages that were taken as they are."""
        return add_whole(builder, self.pages, self.whole)


def add_whole(builder: ManifestBuilder, pages: Pages, whole: Whole) -> Sequence[bytes]:
    """Add what is below a page: the page itself where the builder takes it, else what is in it.

    Returns:
        The cids of the pages that were taken.
    """
    node, identity, content = whole
    if builder.add_page(node.level, identity, content, lambda: pages.read(node)):
        return [node.cid]
    page = pages.read(node)
    taken: list[bytes] = []
    for below, where in zip(page.identities, page.contents, strict=True):
        if page.level:
            taken += add_whole(builder, pages, Whole(child_node(page, below, where), below, where))
        else:
            builder.add(below, where)
    return taken
