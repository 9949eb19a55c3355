"""Every chunk that a version reaches: its pages, its chunk lists, and the data below them.

Each page and list is read once, however many versions share it: what lies below one that was seen was seen too.
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from artifactstore.format.limits import CID_BYTES, CID_PREFIX_BYTES
from artifactstore.format.operations import Manifest
from artifactstore.format.pack import PackType
from artifactstore.format.page import decode_list, glance_contents
from artifactstore.manifest.read import Getter

_TOGETHER_MAX: Final = 64


class _Node(NamedTuple):
    """A page or list to be read: its level, and of a list the bytes below it."""

    kind: PackType
    cid: bytes
    level: int
    size: int


class Reached(NamedTuple):
    """Chunks of one type that something reaches.

    Attributes:
        kind: Their type.
        cids: Their cids, one after another.
        page: The cid of the page that names these and nothing else; empty where there is none.
    """

    kind: PackType
    cids: bytes
    page: bytes = b""


def reach(getter: Getter, manifest: Manifest, seen: set[bytes]) -> Iterator[Reached]:
    """Yield the chunks that a version reaches, but for those below pages and lists that were seen.

    Args:
        getter: Reads pages and lists.
        manifest: The version's root.
        seen: First 16 bytes of the cids of pages and lists seen so far; grows. A data chunk may come several times.

    Raises:
        Damaged: A page or list can't be read.
    """
    yield from reach_all(getter, [manifest], seen)


def reach_all(getter: Getter, manifests: Iterable[Manifest], seen: set[bytes]) -> Iterator[Reached]:
    """The same for many versions, whose pages and lists are read together, so that few answers are waited for.

    Args:
        getter: Reads pages and lists.
        manifests: The versions' roots; taken as they are needed.
        seen: As for `reach`.

    Raises:
        Damaged: A page or list can't be read; of which of the versions is not said.
    """
    rest = iter(manifests)
    pages: list[_Node] = []
    lists: list[_Node] = []
    while True:
        while len(pages) < _TOGETHER_MAX and (manifest := next(rest, None)) is not None:
            root = _Node(PackType.PAGE, manifest.cid, manifest.level, 0)
            if _unseen(root, seen):
                yield Reached(PackType.PAGE, manifest.cid)
                # Behind what is begun: the stack stays as short as for one version.
                pages.insert(0, root)
        # Lists wait for others, but not for long: they are many.
        waiting = lists if len(lists) >= _TOGETHER_MAX or not pages else pages
        if not waiting:
            return
        lot = [waiting.pop() for _ in range(min(_TOGETHER_MAX, len(waiting)))]
        for node, data in zip(lot, getter.read_many(lot[0].kind, [node.cid for node in lot]), strict=True):
            for below in _below(node, data):
                if isinstance(below, Reached):
                    yield below
                elif _unseen(below, seen):
                    yield Reached(below.kind, below.cid)
                    (pages if below.kind is PackType.PAGE else lists).append(below)


def _unseen(node: _Node, seen: set[bytes]) -> bool:
    prefix = node.cid[:CID_PREFIX_BYTES]
    if prefix in seen:
        return False
    seen.add(prefix)
    return True


def _below(node: _Node, data: bytes) -> Iterator[_Node | Reached]:
    """What a page or list names: nodes to be read in turn, and data chunks."""
    where = f"{node.kind.name.lower()} {node.cid.hex()[:16]}…"
    if node.kind is PackType.LIST:
        found = decode_list(data, node.level, node.size, where)
        yield from _named(node.level - 1, found.cids, found.sizes)
        return
    contents = glance_contents(data, node.level, where)
    if node.level:
        for content in contents:
            yield _Node(PackType.PAGE, content.cids, node.level - 1, 0)
        return
    plain = b"".join([content.cids for content in contents if not content.depth])
    listed = [content for content in contents if content.depth]
    if not listed:
        yield Reached(PackType.DATA, plain, node.cid)
        return
    yield from _named(0, plain, [])
    for content in listed:
        yield from _named(content.depth, content.cids, content.sizes)


def _named(depth: int, cids: bytes, sizes: list[int]) -> Iterator[_Node | Reached]:
    if not depth:
        if cids:
            yield Reached(PackType.DATA, cids)
        return
    for at, size in enumerate(sizes):
        yield _Node(PackType.LIST, cids[at * CID_BYTES : (at + 1) * CID_BYTES], depth, size)
