"""What two versions don't have in common: a walk down both trees of pages that passes over what is equal in both.

Pages are cut by content, so an equal run of entries is the same page on both sides, and its digest says so to whoever
reads the pages above it: it is not read. What is read are the pages in which something differs and those above them,
many together, so that round trips follow the depth of the trees. Memory is bounded by the pages read ahead
(invariant 18).
"""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice, pairwise
from typing import Final, NamedTuple

from artifactstore.format.limits import PAGE_ENTRIES_MAX, PATH_BYTES_MAX
from artifactstore.format.operations import Manifest
from artifactstore.format.pack import PackType
from artifactstore.format.page import Page, page_digest, path_order
from artifactstore.manifest.read import (
    Getter,
    Node,
    PathGuard,
    StoredEntry,
    child_node,
    open_page,
    read_page,
    root_node,
)

# Pages of entries, and pages above them, that are read ahead and not walked yet.
_LEAVES_MAX: Final = 128
_ABOVE_MAX: Final = 128
_TOGETHER_MAX: Final = 64
# Behind every path there is.
_END: Final = "\U0010ffff" * PATH_BYTES_MAX


class Pair(NamedTuple):
    """One path at which two versions differ.

    Attributes:
        before: Its entry in the first; None where it has none.
        after: Its entry in the second; None where it has none.
    """

    before: StoredEntry | None
    after: StoredEntry | None

    @property
    def path(self) -> str:
        """The path."""
        entry = self.before or self.after
        assert entry is not None
        return entry.path


def differing(getter: Getter, before: Manifest, after: Manifest) -> Iterator[Pair]:
    """Yield the paths at which two versions differ, in path order.

    Args:
        getter: Reads pages of both.
        before: The root of the first.
        after: The root of the second.

    Raises:
        Damaged: A page is missing, or contradicts its parent.
        HostileManifest: An entry that differs has a path that no honest writer produces.
    """
    return _Walk(getter, before, after).run()


def differing_from(getter: Getter, before: Manifest, after: Iterable[StoredEntry]) -> Iterator[Pair]:
    """Yield the paths at which entries from elsewhere differ from a version, in path order.

    Pages of entries that are equal are not read, only those above them.

    Args:
        getter: Reads pages of the version.
        before: Its root.
        after: The entries, checked and in path order.

    Raises:
        Damaged, HostileManifest: As `differing`.
    """
    guard = PathGuard()
    rest = _Ahead(after)
    apart: list[tuple[Node, list[StoredEntry]]] = []
    for node, following in pairwise(chain(_leaves(getter, [root_node(before)]), [None])):
        assert node is not None
        stop = _order(following)
        run = rest.take(stop, PAGE_ENTRIES_MAX + 1)
        if len(run) != node.entries or page_digest([entry.identity for entry in run]) != node.digest:
            apart.append((node, run))
        long = len(run) > PAGE_ENTRIES_MAX
        if apart and (long or following is None or len(apart) == _TOGETHER_MAX):
            read = getter.read_many(PackType.PAGE, [node.cid for node, _ in apart])
            for (unequal, run), data in zip(apart, read, strict=True):
                page = open_page(unequal, data)
                for identity in page.identities:
                    guard.check(identity)
                # What is longer than a page stands last, and is merged as it comes.
                more = rest.until(stop) if unequal is node else ()
                yield from _merged(map(StoredEntry, page.identities, page.contents), chain(run, more))
            apart = []


class _Ahead:
    """Entries in path order, of which the next one can be looked at."""

    def __init__(self, entries: Iterable[StoredEntry]) -> None:
        self._entries = iter(entries)
        self._next = next(self._entries, None)

    def until(self, stop: str) -> Iterator[StoredEntry]:
        """Yield those that stand before `stop` in the order of paths."""
        while self._next is not None and _order(self._next) < stop:
            entry, self._next = self._next, next(self._entries, None)
            yield entry

    def take(self, stop: str, count: int) -> list[StoredEntry]:
        """The same, so many at most."""
        return list(islice(self.until(stop), count))


def _leaves(getter: Getter, nodes: Sequence[Node]) -> Iterator[Node]:
    """What pages say of the pages of entries below them, which are not read."""
    if not nodes or not nodes[0].level:
        yield from nodes
        return
    for start in range(0, len(nodes), _TOGETHER_MAX):
        part = nodes[start : start + _TOGETHER_MAX]
        read = getter.read_many(PackType.PAGE, [node.cid for node in part])
        for node, data in zip(part, read, strict=True):
            yield from _leaves(getter, _children(open_page(node, data)))


def _merged(before: Iterable[StoredEntry], after: Iterable[StoredEntry]) -> Iterator[Pair]:
    """Pairs of two runs of entries that differ."""
    left, right = iter(before), iter(after)
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        order = _order(one), _order(other)
        pair = Pair(one if order[0] <= order[1] else None, other if order[1] <= order[0] else None)
        if pair.before is not None:
            one = next(left, None)
        if pair.after is not None:
            other = next(right, None)
        if pair.before is None or pair.after is None or pair.before.identity != pair.after.identity:
            yield pair


class _Side:
    """What is left of one version: pages and entries, the next one last."""

    def __init__(self, manifest: Manifest) -> None:
        self.stack: list[Node | StoredEntry] = [root_node(manifest)]
        self._guard = PathGuard()

    def expand(self, page: Page) -> None:
        """Put what a page holds in the place of the page."""
        self.stack.pop()
        rows = list(zip(page.identities, page.contents, strict=True))
        if page.level:
            self.stack += [child_node(page, *row) for row in reversed(rows)]
            return
        for identity, _ in rows:
            self._guard.check(identity)
        self.stack += [StoredEntry(*row) for row in reversed(rows)]

    def nodes(self) -> list[Node]:
        """The pages that are left, in path order."""
        return [item for item in reversed(self.stack) if isinstance(item, Node)]


class _Walk:
    """One walk down two trees."""

    def __init__(self, getter: Getter, before: Manifest, after: Manifest) -> None:
        self._getter = getter
        self._sides = (_Side(before), _Side(after))
        self._ahead: dict[bytes, Page] = {}

    def run(self) -> Iterator[Pair]:
        before, after = self._sides
        while before.stack or after.stack:
            one = before.stack[-1] if before.stack else None
            other = after.stack[-1] if after.stack else None
            if isinstance(one, Node) and isinstance(other, Node) and _same(one, other):
                before.stack.pop()
                after.stack.pop()
                continue
            # Of two pages the one that begins earlier is opened: what it holds before the other is on one side only.
            if isinstance(one, Node) and _opens_first(one, other):
                before.expand(self._page(one))
            elif isinstance(other, Node) and _opens_first(other, one):
                after.expand(self._page(other))
            else:
                yield from self._told(one, other)

    def _told(self, one: Node | StoredEntry | None, other: Node | StoredEntry | None) -> Iterator[Pair]:
        """Take the next entry from its stack, or the next ones at one path; a page that begins later stays."""
        order = _order(one), _order(other)
        before = after = None
        if order[0] <= order[1]:
            before = self._sides[0].stack.pop()
        if order[1] <= order[0]:
            after = self._sides[1].stack.pop()
        assert not isinstance(before, Node)
        assert not isinstance(after, Node)
        if before is None or after is None or before.identity != after.identity:
            yield Pair(before, after)

    def _page(self, node: Node) -> Page:
        if node.digest not in self._ahead:
            self._read_ahead()
        page = self._ahead.pop(node.digest, None)
        # Only who contradicts himself gets a page opened that both sides have, or one side twice.
        return read_page(self._getter, node) if page is None else page

    def _read_ahead(self) -> None:
        """Read what the walk opens next, level by level: pages of either side that the other doesn't have."""
        waiting = [node for side in self._sides for node in side.nodes()]
        horizon = _END
        for level in range(max(node.level for node in waiting), -1, -1):
            apart = _apart(node for node in waiting if node.level == level and _order(node) < horizon)
            unread = [node for node in apart if node.digest not in self._ahead]
            room = self._room(level)
            if len(unread) > room:
                # What begins behind the first page that is left out might be equal to something below that page.
                horizon = _order(unread[room])
                del unread[room:]
            self._read(unread)
            waiting += chain.from_iterable(_children(self._ahead.get(node.digest)) for node in apart)

    def _room(self, level: int) -> int:
        """How many more pages of a level may be read ahead."""
        above = sum(1 for page in self._ahead.values() if page.level)
        if level:
            # Half of what is left, so that the levels below have some too.
            return max((_ABOVE_MAX - above) // 2, 1)
        return max(_LEAVES_MAX - (len(self._ahead) - above), 1)

    def _read(self, nodes: Sequence[Node]) -> None:
        for start in range(0, len(nodes), _TOGETHER_MAX):
            part = nodes[start : start + _TOGETHER_MAX]
            read = self._getter.read_many(PackType.PAGE, [node.cid for node in part])
            for node, data in zip(part, read, strict=True):
                self._ahead[node.digest] = open_page(node, data)


def _order(item: Node | StoredEntry | None) -> str:
    """Where a page or entry stands; a root before everything, the end of a version behind it."""
    if item is None:
        return _END
    if isinstance(item, Node):
        return path_order(item.first or "")
    return path_order(item.identity[0])


def _same(one: Node, other: Node) -> bool:
    return one.level == other.level and one.digest == other.digest


def _opens_first(node: Node, other: Node | StoredEntry | None) -> bool:
    """Whether a page is to be opened before the walk can look at what stands next on the other side."""
    if isinstance(other, Node):
        # Nothing is known of where a root begins.
        if node.first is None or other.first is None or node.first == other.first:
            return node.level >= other.level
        return _order(node) < _order(other)
    return _order(node) <= _order(other)


def _apart(nodes: Iterable[Node]) -> list[Node]:
    """Pages of one level that only one of the sides has, in path order."""
    seen: dict[bytes, list[Node]] = {}
    for node in nodes:
        seen.setdefault(node.digest, []).append(node)
    return sorted((found[0] for found in seen.values() if len(found) == 1), key=_order)


def _children(page: Page | None) -> list[Node]:
    if page is None or not page.level:
        return []
    return [child_node(page, *row) for row in zip(page.identities, page.contents, strict=True)]
