"""Searching versions for files by their content, reading pages and chunk lists only, each of them once.

Versions share most of their pages, so what was read is remembered by cid and not read again. Nothing is checked that a
pull would check and a search doesn't need: a page that contradicts what stands above it is searched like any other.
What can't be read is told with the version, and the search goes on. Memory is bounded (invariant 18): by what is
remembered, and by the pages of the versions that are searched together.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, NamedTuple, TypeVar

from artifactstore.errors import Damaged
from artifactstore.format.cids import split_cids
from artifactstore.format.limits import CID_BYTES
from artifactstore.format.operations import Manifest
from artifactstore.format.pack import PackType
from artifactstore.format.page import Content, Identity, Kind, glance_list, glance_page
from artifactstore.manifest.read import Getter

T = TypeVar("T")

# Versions that are searched together, so that a store far away is asked for their pages together.
_VERSIONS_TOGETHER: Final = 256
_ENTRIES_TOGETHER: Final = 1 << 22
_PAGES_TOGETHER: Final = 64
# Pages and lists that are remembered, twice as many at most; one that says much counts as several.
_REMEMBERED: Final = 1 << 17
_BITS_AS_ONE: Final = 2048
_ENTRIES_AS_ONE: Final = 4
_MEASURED_MAX: Final = 4096
_REFERENCE: Final = int(Kind.REFERENCE)
_BITS: Final = [[bit for bit in range(8) if byte >> bit & 1] for byte in range(256)]


class SoughtFile(NamedTuple):
    """A file that is looked for.

    Attributes:
        digest: Plain BLAKE3 of its bytes.
        chunks: Its chunks, as far as they are known, each with the bytes of the file that it makes up.
    """

    digest: bytes
    chunks: Mapping[bytes, int] = {}


class Hit(NamedTuple):
    """An entry that is one of the files looked for, or shares chunks with one.

    Attributes:
        identity: What the entry's digest stands over.
        shared: For each file looked for, how many bytes of it the entry's chunks make up.
        referred: Of a reference whose checksum is that of a file looked for, the file's digest; empty of what is kept.
    """

    identity: Identity
    shared: tuple[int, ...]
    referred: bytes = b""


class Searched(NamedTuple):
    """What was found in one version.

    Attributes:
        hits: In path order.
        damage: Why a part of it could not be searched; None when all of it was.
    """

    hits: list[Hit]
    damage: Damaged | None


class _Node(NamedTuple):
    """A page or list node, and the level that it must have."""

    kind: PackType
    cid: bytes
    level: int


class _Above(NamedTuple):
    """A node above others: those of them that may say something."""

    children: tuple[_Node, ...]


class _Leaf(NamedTuple):
    """What a page of entries says: entries that are hits, and those whose chunk lists will tell, in path order."""

    entries: tuple[Hit | tuple[Identity, _Node], ...]


# Of a list, which chunks are in it: one bit for each that is looked for.
_Said = _Above | _Leaf | Damaged | int
_NOTHING: Final = 0


class Search:
    """Looks for files in versions; what it has read it need not read for the next ones.

    Args:
        getter: Reads pages and lists.
        files: What to look for.
        digests: What says whether a file of some digest is looked for; those of `files` when None.
        references: Whether references whose checksum is that of one of `files` are told too.

    Attributes:
        pages: Pages that were read.
        lists: Nodes of chunk lists that were read.

    Not thread-safe.
    """

    def __init__(
        self,
        getter: Getter,
        files: Sequence[SoughtFile] = (),
        digests: Container[bytes] | None = None,
        *,
        references: bool = False,
    ) -> None:
        self._getter = getter
        self._digests = frozenset(file.digest for file in files) if digests is None else digests
        # By the checksum that a reference to the file has.
        self._referred = {f"blake3:{file.digest.hex()}": file.digest for file in files if references}
        self._bits: dict[bytes, int] = {}
        for file in files:
            for cid in file.chunks:
                self._bits.setdefault(cid, len(self._bits))
        self._weights = [{self._bits[cid]: size for cid, size in file.chunks.items()} for file in files]
        self._masks = [_mask(weights) for weights in self._weights]
        self._sizes = [sum(weights.values()) for weights in self._weights]
        self._measured = {0: (0,) * len(files)}
        self._seen = 0
        self._recent: dict[bytes, _Said] = {}
        self._before: dict[bytes, _Said] = {}
        self._remembered = 0
        self.pages = self.lists = 0

    @property
    def seen(self) -> tuple[int, ...]:
        """For each file looked for, how many bytes of it are in any of the versions that were searched."""
        return self._shares(self._seen)

    def run(self, versions: Iterable[tuple[T, Manifest]]) -> Iterator[tuple[T, Searched]]:
        """Yield what each of some versions holds, in their order.

        Args:
            versions: Each with whatever the caller knows it by.
        """
        rest = iter(versions)
        while together := list(_together(rest)):
            roots = [
                (version, _Node(PackType.PAGE, manifest.cid, manifest.level))
                for version, manifest in together
            ]
            if self._remembered > _REMEMBERED:
                self._before, self._recent, self._remembered = self._recent, {}, 0
            self._read(root for _, root in roots)
            for version, root in roots:
                yield version, self._told(root)

    # --- reading ---------------------------------------------------------------------------------------------

    def _read(self, nodes: Iterable[_Node]) -> None:
        """Read all that is below some nodes and not remembered; the deepest first, which keeps the stack short."""
        asked: set[bytes] = set()
        stack = list(self._unread(nodes, asked))
        while stack:
            kind = stack[-1].kind
            together: list[_Node] = []
            while stack and stack[-1].kind is kind and len(together) < _PAGES_TOGETHER:
                together.append(stack.pop())
            for node, data in zip(together, self._fetch(kind, together), strict=True):
                said = data if isinstance(data, Damaged) else self._opened(node, data)
                self._remember(node.cid, said)
                stack += self._unread(_below(said), asked)

    def _unread(self, nodes: Iterable[_Node], asked: set[bytes]) -> Iterator[_Node]:
        """Those of some nodes, or of what is below remembered ones, that have to be read."""
        for node in nodes:
            cid = node.cid
            if cid in asked:
                continue
            asked.add(cid)
            said = self._recent.get(cid)
            if said is None:
                said = self._before.pop(cid, None)
                if said is None:
                    yield node
                    continue
                self._remember(cid, said)
            if not isinstance(said, int | Damaged):
                yield from self._unread(_below(said), asked)

    def _remember(self, cid: bytes, said: _Said) -> None:
        self._recent[cid] = said
        self._remembered += 1
        if isinstance(said, int):
            self._remembered += said.bit_length() // _BITS_AS_ONE
        elif isinstance(said, _Leaf):
            self._remembered += len(said.entries) // _ENTRIES_AS_ONE

    def _fetch(self, kind: PackType, nodes: Sequence[_Node]) -> Sequence[bytes | Damaged]:
        try:
            return self._getter.read_many(kind, [node.cid for node in nodes])
        except Damaged:
            return [self._fetch_one(node) for node in nodes]

    def _fetch_one(self, node: _Node) -> bytes | Damaged:
        try:
            return self._getter.read(node.kind, node.cid)
        except Damaged as error:
            return error

    def _opened(self, node: _Node, data: bytes) -> _Said:
        try:
            return self._page(node, data) if node.kind is PackType.PAGE else self._list(node, data)
        except Damaged as error:
            return error

    def _page(self, node: _Node, data: bytes) -> _Said:
        self.pages += 1
        page = glance_page(data, node.level, f"page {node.cid.hex()[:16]}…")
        if page.level:
            below = page.level - 1
            return _Above(tuple(_Node(PackType.PAGE, content.cids, below) for content in page.contents))
        bits, digests, referred = self._bits, self._digests, self._referred
        found: list[Hit | tuple[Identity, _Node]] = []
        # Written flat: most pages say nothing, and a store has many.
        for identity, content in zip(page.identities, page.contents, strict=True):
            cids = content.cids
            if content.depth and bits:
                found.append((identity, _Node(PackType.LIST, cids, content.depth)))
            elif len(cids) > CID_BYTES or cids in bits or identity[3] in digests:
                found += self._hit(identity, content)
            elif referred and identity[1] == _REFERENCE:
                found += self._referring(identity, content)
        return _Leaf(tuple(found)) if found else _NOTHING

    def _hit(self, identity: Identity, content: Content) -> list[Hit]:
        mask = 0 if content.depth else self._mask_of(content.cids)
        same = identity[3] in self._digests and identity[1] == Kind.FILE
        return [Hit(identity, self._shares(mask))] if mask or same else []

    def _referring(self, identity: Identity, content: Content) -> list[Hit]:
        # Its second line; not parsed in full, as a search does not check.
        checksum = content.target.partition("\n")[2].partition("\n")[0]
        digest = self._referred.get(checksum)
        return [] if digest is None else [Hit(identity, self._shares(0), digest)]

    def _list(self, node: _Node, data: bytes) -> _Said:
        self.lists += 1
        cids = glance_list(data, node.level, f"list {node.cid.hex()[:16]}…").cids
        if node.level == 1:
            return self._mask_of(cids)
        return _Above(tuple(_Node(PackType.LIST, cid, node.level - 1) for cid in split_cids(cids)))

    def _mask_of(self, cids: bytes) -> int:
        bits = self._bits
        return _mask(bits[cid] for cid in split_cids(cids) if cid in bits) if bits else 0

    # --- telling ---------------------------------------------------------------------------------------------

    def _told(self, root: _Node) -> Searched:
        hits: list[Hit] = []
        damage: Damaged | None = None
        # In a hostile manifest a page may be woven into several others; it is told once.
        told: set[bytes] = set()
        stack = [root]
        while stack:
            node = stack.pop()
            said = self._recent[node.cid]
            if node.cid in told:
                continue
            told.add(node.cid)
            if isinstance(said, Damaged):
                damage = damage or said
            elif isinstance(said, _Above):
                self._recent[node.cid] = said = self._pruned(said)
                stack += reversed(said.children)
            elif isinstance(said, _Leaf):
                for entry in said.entries:
                    if isinstance(entry, Hit):
                        hits.append(entry)
                        continue
                    mask = self._listed(entry[1])
                    if isinstance(mask, Damaged):
                        damage = damage or mask
                    elif mask or entry[0][3] in self._digests:
                        hits.append(Hit(entry[0], self._shares(mask)))
        return Searched(hits, damage)

    def _pruned(self, above: _Above) -> _Above:
        """Without the children that say nothing."""
        children = tuple(node for node in above.children if self._recent[node.cid] != _NOTHING)
        return above if len(children) == len(above.children) else _Above(children)

    def _listed(self, node: _Node) -> int | Damaged:
        """Which chunks are below a list node."""
        said = self._recent[node.cid]
        if not isinstance(said, _Above):
            assert not isinstance(said, _Leaf)
            return said
        mask = 0
        for child in said.children:
            below = self._listed(child)
            if isinstance(below, Damaged):
                return below
            mask |= below
        self._recent[node.cid] = mask
        return mask

    def _shares(self, mask: int) -> tuple[int, ...]:
        """The bytes of each file looked for that some chunks make up."""
        known = self._measured.get(mask)
        if known is None:
            self._seen |= mask
            known = tuple(self._share(mask, number) for number in range(len(self._masks)))
            if len(self._measured) > _MEASURED_MAX:
                self._measured = {0: self._measured[0]}
            self._measured[mask] = known
        return known

    def _share(self, mask: int, number: int) -> int:
        wanted, weights = self._masks[number], self._weights[number]
        found, missing = mask & wanted, wanted & ~mask
        if missing.bit_count() < found.bit_count():
            return self._sizes[number] - sum(weights[bit] for bit in _bits_of(missing))
        return sum(weights[bit] for bit in _bits_of(found))


def _together(versions: Iterator[tuple[T, Manifest]]) -> Iterator[tuple[T, Manifest]]:
    """The next versions that are searched together."""
    entries = 0
    for version in islice(versions, _VERSIONS_TOGETHER):
        yield version
        entries += version[1].entries
        if entries >= _ENTRIES_TOGETHER:
            return


def _below(said: _Said) -> Iterable[_Node]:
    if isinstance(said, _Above):
        return said.children
    if isinstance(said, _Leaf):
        return [entry[1] for entry in said.entries if not isinstance(entry, Hit)]
    return ()


def _mask(bits: Iterable[int]) -> int:
    """A number with these bits set; made of bytes, since each change of a large number copies it."""
    found = list(bits)
    if len(found) < 2:  # noqa: PLR2004 - one bit is a shift
        return 1 << found[0] if found else 0
    data = bytearray(max(found) // 8 + 1)
    for bit in found:
        data[bit >> 3] |= 1 << (bit & 7)
    return int.from_bytes(data, "little")


def _bits_of(mask: int) -> Iterator[int]:
    data = mask.to_bytes((mask.bit_length() + 7) // 8, "little")
    return (at * 8 + bit for at, byte in enumerate(data) if byte for bit in _BITS[byte])
